package led

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Timer is something to be called when its time has come.
type Timer struct {
	at    int64
	f     func()
	index int // in the heap, -1 when it is not there any more
}

type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}

// Timers are the timers of a coordinator, called one after the other by one goroutine.
type Timers struct {
	wake chan struct{} // the first timer has changed

	mu   sync.Mutex
	heap timerHeap
}

// NewTimers are none.
func NewTimers() *Timers { return &Timers{wake: make(chan struct{}, 1)} }

// Set has f called at a time, in milliseconds since 1970.
func (t *Timers) Set(at int64, f func()) *Timer {
	x := &Timer{at: at, f: f}
	t.mu.Lock()
	heap.Push(&t.heap, x)
	first := x.index == 0
	t.mu.Unlock()
	if first {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	return x
}

// Stop forgets a timer, if it was not called yet. nil is none.
func (t *Timers) Stop(x *Timer) {
	if x == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.index >= 0 {
		heap.Remove(&t.heap, x.index)
	}
}

// Len is how many are set.
func (t *Timers) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.heap)
}

// due takes the first timer whose time has come; otherwise it returns how long that takes.
func (t *Timers) due(now int64) (x *Timer, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 {
		return nil, time.Hour
	}
	if at := t.heap[0].at; at > now {
		return nil, time.Until(time.UnixMilli(at))
	}
	return heap.Pop(&t.heap).(*Timer), 0
}

// Run calls the timers until ctx ends.
func (t *Timers) Run(ctx context.Context) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for ctx.Err() == nil {
		x, wait := t.due(time.Now().UnixMilli())
		if x != nil {
			x.f()
			continue
		}
		clock.Reset(wait)
		select {
		case <-clock.C:
		case <-t.wake:
		case <-ctx.Done():
		}
	}
}
