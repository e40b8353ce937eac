package replication

import "sync"

// Watch connects a partition with somebody who wants to look at it again whenever its end, high watermark, log start or role moves.
// A fetch session keeps one per partition for its whole life; a single waiting request keeps its own while it waits.
type Watch struct {
	// Set collects the watches that fired.
	Set *WatchSet
	// Owner is whatever the watch stands for; it is the owner's alone.
	Owner any
	// Follower: a high watermark that moves is something to look at, but nothing to wake up for.
	Follower bool

	p      *Partition
	at     int  // position in p.watch.list, guarded by p.watch
	queued bool // in Set.ready, guarded by Set.mu
}

// WatchSet is the list of watches that fired since they were last taken, and who waits for the next. It is safe for concurrent use.
type WatchSet struct {
	mu     sync.Mutex
	ready  []*Watch
	parked Waiter
}

// Waiter is somebody who waits for a partition to move.
type Waiter interface {
	// Resume runs once each time the waiter was parked and a watch fired.
	Resume()
}

// Woken collects the waiters that an append resumes, so that whoever appends can resume them himself when he has nothing more urgent to
// do: a goroutine for each would wake a processor for each. It is not safe for concurrent use.
type Woken struct{ Waiters []Waiter }

// Attach begins to watch p. A watch is attached to one partition at a time.
func (w *Watch) Attach(p *Partition) {
	p.watch.Lock()
	w.p, w.at = p, len(p.watch.list)
	p.watch.list = append(p.watch.list, w)
	p.watched.Store(true)
	p.watch.Unlock()
}

// Detach ends watching; the watch may still be in its set's list.
func (w *Watch) Detach() {
	p := w.p
	if p == nil {
		return
	}
	p.watch.Lock()
	last := len(p.watch.list) - 1
	moved := p.watch.list[last]
	p.watch.list[w.at] = moved
	moved.at = w.at
	p.watch.list[last] = nil
	p.watch.list = p.watch.list[:last]
	if last == 0 {
		p.watch.list = nil
		p.watched.Store(false)
	}
	w.p = nil
	p.watch.Unlock()
}

// Partition is the partition being watched, or nil.
func (w *Watch) Partition() *Partition { return w.p }

// Take appends the watches that fired to dst; each can fire again from here on.
func (s *WatchSet) Take(dst []*Watch) []*Watch {
	s.mu.Lock()
	for i, w := range s.ready {
		w.queued = false
		dst = append(dst, w)
		s.ready[i] = nil
	}
	s.ready = s.ready[:0]
	s.mu.Unlock()
	return dst
}

// Park arranges that w.Resume runs once when a watch fires: in a goroutine of its own, or wherever the append that fired it sees fit. It
// returns false, and arranges nothing, if one has fired already.
func (s *WatchSet) Park(w Waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) > 0 {
		return false
	}
	s.parked = w
	return true
}

// Unpark takes back Park; false means that Resume runs or will run.
func (s *WatchSet) Unpark() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.parked != nil
	s.parked = nil
	return was
}

// fire puts the watch on the list. Unless quiet it resumes who is parked.
func (s *WatchSet) fire(w *Watch, woken *Woken, quiet bool) {
	s.mu.Lock()
	if !w.queued {
		w.queued = true
		s.ready = append(s.ready, w)
	}
	var parked Waiter
	if !quiet {
		parked, s.parked = s.parked, nil
	}
	s.mu.Unlock()
	switch {
	case parked == nil:
	case woken == nil:
		go parked.Resume()
	default:
		woken.Waiters = append(woken.Waiters, parked)
	}
}

// notify tells everybody who watches p. Those who wait are resumed in goroutines of their own, or left to the caller in woken.
func (p *Partition) notify(woken *Woken) {
	if !p.watched.Load() {
		return
	}
	p.watch.Lock()
	for _, w := range p.watch.list {
		w.Set.fire(w, woken, false)
	}
	p.watch.Unlock()
}

// notifyReaders tells everybody that the high watermark has moved, without waking followers.
func (p *Partition) notifyReaders(woken *Woken) {
	if !p.watched.Load() {
		return
	}
	p.watch.Lock()
	for _, w := range p.watch.list {
		w.Set.fire(w, woken, w.Follower)
	}
	p.watch.Unlock()
}

// notifyFollowers makes the followers that watch p look again, so that their fetches count anew.
func (p *Partition) notifyFollowers() {
	if !p.watched.Load() {
		return
	}
	p.watch.Lock()
	for _, w := range p.watch.list {
		if w.Follower {
			w.Set.fire(w, nil, false)
		}
	}
	p.watch.Unlock()
}
