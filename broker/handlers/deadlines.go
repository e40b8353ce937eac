package handlers

import (
	"container/heap"
	"sync"
	"time"
)

// deadlines is when the requests that wait give up, with one timer for all of them. A timer for each would be made and stopped thousands
// of times a second only to fire never.
type deadlines struct {
	mu    sync.Mutex
	list  deadlineHeap
	timer *time.Timer
	armed time.Time // when the timer fires; zero if it does not
}

// deadline is one request's, part of whatever waits. Its fields belong to the list it is in.
type deadline struct {
	at     time.Time
	owner  expirer
	ticket uint64
	index  int // in the list, -1 when in none
}

type expirer interface {
	// expire ends the wait that had the ticket.
	expire(ticket uint64)
}

// add has owner.expire called with the ticket when the time is over. The call may come late, even after remove: the ticket tells.
func (l *deadlines) add(d *deadline, after time.Duration, owner expirer, ticket uint64) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	d.at, d.owner, d.ticket = now.Add(after), owner, ticket
	heap.Push(&l.list, d)
	// A timer that is armed for earlier is left alone: it will find out that there is nothing to do yet.
	if l.armed.IsZero() || d.at.Before(l.armed) {
		l.arm(d.at, after)
	}
}

func (l *deadlines) arm(at time.Time, after time.Duration) {
	l.armed = at
	if l.timer == nil {
		l.timer = time.AfterFunc(after, l.fire)
	} else {
		l.timer.Reset(after)
	}
}

// remove takes d out if it is in.
func (l *deadlines) remove(d *deadline) {
	l.mu.Lock()
	if d.index >= 0 && d.index < len(l.list) && l.list[d.index] == d {
		heap.Remove(&l.list, d.index)
	}
	l.mu.Unlock()
}

func (l *deadlines) fire() {
	now := time.Now()
	for {
		l.mu.Lock()
		if len(l.list) == 0 {
			l.armed = time.Time{}
			l.mu.Unlock()
			return
		}
		d := l.list[0]
		if left := d.at.Sub(now); left > 0 {
			l.arm(d.at, left)
			l.mu.Unlock()
			return
		}
		heap.Pop(&l.list)
		owner, ticket := d.owner, d.ticket
		l.mu.Unlock()
		owner.expire(ticket)
	}
}

// deadlineHeap has the earliest first.
type deadlineHeap []*deadline

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h deadlineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is heap.Interface's.
func (h *deadlineHeap) Push(x any) {
	d := x.(*deadline)
	d.index = len(*h)
	*h = append(*h, d)
}

// Pop is heap.Interface's.
func (h *deadlineHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	d.index = -1
	return d
}
