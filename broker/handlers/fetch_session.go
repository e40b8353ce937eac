package handlers

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/broker/server"
	"gregor/replication"
)

const (
	// A fetch with initialEpoch lists all partitions and would like a session; with finalEpoch it wants none.
	initialEpoch int32 = 0
	finalEpoch   int32 = -1

	// sessionIdle is how long a session must be unused, or have lived, before another may take its slot.
	sessionIdle = 2 * time.Minute
	// defaultSessionSlots is max.incremental.fetch.session.cache.slots.
	defaultSessionSlots = 1000
)

// SessionCache holds the incremental fetch sessions (KIP-227) of this broker. Its mutex is taken before a session's.
type SessionCache struct {
	slots int

	evictions atomic.Int64

	mu       sync.Mutex
	sessions map[int32]*session
}

// NewSessionCache makes a cache of so many slots; 0 or less means Kafka's 1000.
func NewSessionCache(slots int) *SessionCache {
	if slots <= 0 {
		slots = defaultSessionSlots
	}
	return &SessionCache{slots: slots, sessions: map[int32]*session{}}
}

// Len is the number of sessions.
func (c *SessionCache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions)
}

// Stats tells how many sessions there are, how many partitions they hold, and how many were evicted so far.
func (c *SessionCache) Stats() (sessions int, partitions, evicted int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions {
		partitions += int64(s.size.Load())
	}
	return len(c.sessions), partitions, c.evictions.Load()
}

// session is what a client's fetches share: partitions named once. It watches them all and keeps the few with something to say in
// active, in the order in which they are due, so that a fetch costs nothing for the others.
type session struct {
	id         int32
	privileged bool
	created    time.Time
	lastUsed   time.Time // guarded by the cache's mutex
	size       atomic.Int32

	mu     sync.Mutex
	epoch  int32 // what the next request must carry
	closed bool
	parts  map[forgottenPart]*sessionPart
	active []*sessionPart
	set    replication.WatchSet
	taken  []*replication.Watch
	back   []*sessionPart // answer's, between its calls
	// cur is the request that waits or is at work.
	cur *fetchOp
}

// sessionPart is one partition of a session, with what its last answer said.
type sessionPart struct {
	fetchPart
	queued  bool // in active
	fresh   bool // its watch began after its last read
	removed bool
	hw      int64
	start   int64
}

func nextEpoch(e int32) int32 {
	switch e {
	case finalEpoch:
		return finalEpoch
	case math.MaxInt32:
		return 1
	}
	return e + 1
}

// create makes a session of a full fetch that is about to be answered and returns its id, 0 if there is no slot for it.
func (c *SessionCache) create(op *fetchOp) int32 {
	now := time.Now()
	s := &session{privileged: op.replica >= 0, created: now, lastUsed: now, epoch: nextEpoch(initialEpoch),
		parts: make(map[forgottenPart]*sessionPart, len(op.parts))}
	s.size.Store(int32(len(op.parts)))
	c.mu.Lock()
	if len(c.sessions) >= c.slots {
		evicted := c.evictFor(s, now)
		if evicted == nil {
			c.mu.Unlock()
			return 0
		}
		delete(c.sessions, evicted.id)
		c.evictions.Add(1)
		defer evicted.close()
	}
	for s.id == 0 || c.sessions[s.id] != nil {
		s.id = rand.Int32N(math.MaxInt32-1) + 1
	}
	// Nobody else knows the id yet, but an eviction may find the session in the map.
	s.mu.Lock()
	defer s.mu.Unlock()
	c.sessions[s.id] = s
	c.mu.Unlock()
	for i := range op.parts {
		part := s.put(&op.parts[i])
		part.told(&op.parts[i])
	}
	return s.id
}

// evictFor finds the session whose slot a new one may take: one that was not used for long, or, once it has lived long enough, one
// with fewer partitions. Followers' sessions take those of consumers at any time.
func (c *SessionCache) evictFor(n *session, now time.Time) *session {
	var idle, least *session
	for _, s := range c.sessions {
		if idle == nil || s.lastUsed.Before(idle.lastUsed) {
			idle = s
		}
		old := now.Sub(s.created) > sessionIdle
		if (old || (n.privileged && !s.privileged)) && (least == nil || s.cheaper(least)) {
			least = s
		}
	}
	switch {
	case idle != nil && now.Sub(idle.lastUsed) > sessionIdle:
		return idle
	case least != nil && !n.cheaper(least):
		return least
	}
	return nil
}

// cheaper orders sessions by what losing them would cost.
func (s *session) cheaper(o *session) bool {
	if s.privileged != o.privileged {
		return !s.privileged
	}
	return s.size.Load() < o.size.Load()
}

func (c *SessionCache) remove(id int32) {
	c.mu.Lock()
	s := c.sessions[id]
	delete(c.sessions, id)
	c.mu.Unlock()
	if s != nil {
		s.close()
	}
}

// use finds the session of an incremental fetch and brings it up to date. It returns the session with its mutex held; or nil and 0
// if it has no partition left; or an error code.
func (c *SessionCache) use(op *fetchOp) (*session, int16) {
	c.mu.Lock()
	s := c.sessions[op.sessionID]
	if s != nil {
		s.lastUsed = time.Now()
	}
	c.mu.Unlock()
	if s == nil {
		return nil, kerr.FetchSessionIDNotFound.Code
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, kerr.FetchSessionIDNotFound.Code
	}
	if s.epoch != op.sessionEpoch {
		s.mu.Unlock()
		return nil, kerr.InvalidFetchSessionEpoch.Code
	}
	for i := range op.parts {
		s.put(&op.parts[i])
	}
	for _, f := range op.forgotten {
		s.forget(f)
	}
	s.size.Store(int32(len(s.parts)))
	s.epoch = nextEpoch(s.epoch)
	if late := s.cur; late != nil {
		s.cur = nil
		late.h.deadlines.remove(&late.deadline)
		late.spent = !s.set.Unpark() // it is about to be resumed, and must find itself abandoned
		if op.r.SameConnection(late.r) {
			// A follower that does not wait for the answer: it has more to ask. What has moved is left to the new request.
			late.refuse(0, s.id)
		} else {
			// Its answer would carry an epoch that is over.
			late.refuse(kerr.InvalidFetchSessionEpoch.Code, 0)
		}
	}
	if len(s.parts) == 0 {
		s.mu.Unlock()
		c.remove(op.sessionID)
		return nil, 0
	}
	s.cur = op
	return s, 0
}

// put adds a partition or takes over what a request says about it.
func (s *session) put(f *fetchPart) *sessionPart {
	part := s.parts[forgottenPart{f.topic, f.partition}]
	if part == nil {
		part = &sessionPart{hw: -1, start: -1}
		part.topic, part.partition = strings.Clone(f.topic), f.partition
		if f.p != nil {
			part.topic = f.p.TopicPartition().Topic
		}
		part.watch.Set, part.watch.Owner, part.watch.Follower = &s.set, part, s.privileged
		s.parts[forgottenPart{part.topic, part.partition}] = part
	}
	part.offset, part.maxBytes, part.epoch, part.lastEpoch, part.logStart = f.offset, f.maxBytes, f.epoch, f.lastEpoch, f.logStart
	s.activate(part)
	return part
}

// told notes what an answer says.
func (part *sessionPart) told(f *fetchPart) {
	part.hw, part.start = f.res.HighWatermark, f.res.LogStart
	if f.code != 0 {
		part.hw, part.start = -1, -1
	}
}

func (s *session) activate(part *sessionPart) {
	if !part.queued && !part.removed {
		part.queued = true
		s.active = append(s.active, part)
	}
}

func (s *session) forget(f forgottenPart) {
	if part := s.parts[f]; part != nil {
		delete(s.parts, f)
		part.removed = true
		part.watch.Detach()
	}
}

// close ends a session that is no longer in the cache; a request that waits is answered with what there is.
func (s *session) close() {
	s.mu.Lock()
	s.closed = true
	for _, part := range s.parts {
		part.watch.Detach()
	}
	op := s.cur
	if op == nil {
		s.mu.Unlock()
		return
	}
	op.setExpired()
	if !s.set.Unpark() {
		s.mu.Unlock() // it is being resumed
		return
	}
	s.serve(op)
}

// serve answers a request or parks it. It is called with mu held and gives it up before anything is sent.
func (s *session) serve(op *fetchOp) {
	p := s.look(op)
	s.mu.Unlock()
	if p != nil {
		op.deliver(p)
	}
}

// look reads what is active and returns the response, or nil if the request is parked.
func (s *session) look(op *fetchOp) *server.Response {
	for {
		s.collect()
		op.list = op.list[:0]
		for _, part := range s.active {
			op.list = append(op.list, &part.fetchPart)
		}
		wait := op.readAll(len(s.parts) - len(s.active))
		s.attach()
		if !wait {
			return s.answer(op)
		}
		if s.park(op) {
			return nil
		}
	}
}

// collect moves the partitions that moved to the end of active and drops forgotten ones.
func (s *session) collect() {
	s.taken = s.set.Take(s.taken[:0])
	for i, w := range s.taken {
		s.activate(w.Owner.(*sessionPart))
		s.taken[i] = nil
	}
	keep := s.active[:0]
	for _, part := range s.active {
		if part.removed {
			part.queued = false
			part.release()
			continue
		}
		keep = append(keep, part)
	}
	clear(s.active[len(keep):])
	s.active = keep
}

// attach watches partitions that have been found only now. Whatever they missed is found by the next look: they stay active once.
func (s *session) attach() {
	if s.closed {
		return
	}
	for _, part := range s.active {
		if part.p != nil && part.watch.Partition() != part.p {
			part.watch.Detach()
			part.watch.Attach(part.p)
			part.fresh = true
		}
	}
}

func (s *session) park(op *fetchOp) bool {
	if op.isExpired() {
		return false
	}
	for _, part := range s.active {
		if part.fresh {
			part.fresh = false
			return s.again()
		}
	}
	if !op.waited {
		op.forget()
		op.r.ReleaseBody()
		op.r.Waits()
		op.waits(len(s.parts))
		op.wait()
	}
	op.woken = nil
	return s.set.Park(op)
}

// forget lets go of what the request named, which the session has by now and which lies in the request's bytes.
func (op *fetchOp) forget() {
	if cap(op.parts) > maxWaitingParts {
		op.parts = nil
	}
	clear(op.parts)
	op.parts, op.forgotten = op.parts[:0], nil
}

// again forgets which partitions are fresh and asks for another look.
func (s *session) again() bool {
	for _, part := range s.active {
		part.fresh = false
	}
	return false
}

func (s *session) resume(op *fetchOp) {
	s.mu.Lock()
	if s.cur != op {
		s.mu.Unlock()
		return
	}
	s.serve(op)
}

func (s *session) expire(op *fetchOp, ticket uint64) {
	s.mu.Lock()
	if s.cur != op || op.ticketNow() != ticket {
		s.mu.Unlock()
		return
	}
	op.setExpired()
	if !s.set.Unpark() {
		s.mu.Unlock() // it is being resumed
		return
	}
	s.serve(op)
}

func (op *fetchOp) ticketNow() uint64 {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.ticket
}

func (op *fetchOp) setExpired() {
	op.mu.Lock()
	op.expired = true
	op.mu.Unlock()
}

// answer sends what is new: partitions with records, an error, or another high watermark or log start than last told. Those with
// records go to the end of the queue, so that every partition gets its turn.
func (s *session) answer(op *fetchOp) *server.Response {
	if op.waited {
		op.h.deadlines.remove(&op.deadline)
	}
	s.cur = nil
	op.list = op.list[:0]
	front, back := s.active[:0], s.back[:0]
	for _, part := range s.active {
		f := &part.fetchPart
		data := f.res.Slice.Length > 0
		hw, start := f.res.HighWatermark, f.res.LogStart
		if f.code != 0 {
			hw, start = -1, -1
		}
		if data || f.code != 0 || f.res.Diverging || f.preferred >= 0 || hw != part.hw || start != part.start {
			part.hw, part.start = hw, start
			op.list = append(op.list, f)
		}
		stays := data || f.code != 0 || f.res.Diverging || f.res.More || part.fresh
		part.fresh = false
		switch {
		case !stays:
			part.queued = false
		case data:
			back = append(back, part)
		default:
			front = append(front, part)
		}
	}
	old := s.active
	s.active = append(front, back...)
	clear(back)
	s.back = back[:0]
	if len(s.active) < len(old) {
		clear(old[len(s.active):])
	}
	return op.encode(s.id, op.list)
}
