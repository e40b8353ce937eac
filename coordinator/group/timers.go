package group

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"gregor/coordinator/group/fsm"
)

// timer is something to be looked at when its time has come: a group's timer, or a commit.
type timer struct {
	at     int64
	shard  *shard
	group  *fsm.Group
	what   fsm.Timer
	commit *commit
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = timer{}
	*h = old[:len(old)-1]
	return t
}

// timers are those of all groups. A heartbeat sets none: a member has one timer at a time, and it is set on when it fires.
type timers struct {
	wake chan struct{} // the first timer has changed

	mu   sync.Mutex
	heap timerHeap
}

func (t *timers) add(x timer) {
	t.mu.Lock()
	heap.Push(&t.heap, x)
	first := t.heap[0] == x
	t.mu.Unlock()
	if first {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// due takes the first timer whose time has come; otherwise it returns how long that takes.
func (t *timers) due(now int64) (x timer, wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 {
		return timer{}, time.Hour, false
	}
	if at := t.heap[0].at; at > now {
		return timer{}, time.Until(time.UnixMilli(at)), false
	}
	return heap.Pop(&t.heap).(timer), 0, true
}

func (c *Coordinator) fireTimers(ctx context.Context) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for ctx.Err() == nil {
		x, wait, ok := c.timers.due(nowMillis())
		if ok {
			x.fire()
			continue
		}
		clock.Reset(wait)
		select {
		case <-clock.C:
		case <-c.timers.wake:
		case <-ctx.Done():
		}
	}
}

func (x *timer) fire() {
	if x.commit != nil {
		x.commit.timedOut()
		return
	}
	x.shard.event(x.group, func(now int64, out *fsm.Out) { x.group.Fire(now, x.what, out) })
}
