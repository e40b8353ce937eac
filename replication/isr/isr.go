// Package isr decides which replicas of a partition are in sync, and how far all of them hold the log: the high watermark.
//
// It owns the leader's view of one partition's followers. It is a value that the partition guards; it has no lock, goroutine, clock or I/O,
// and imports only the standard library.
//
// What always holds:
//   - The high watermark is never above the log end of a replica that is in sync, or that has been proposed to be: whoever the
//     controller may make leader has everything below it.
//   - At most one change is proposed at a time; until it is answered, nobody else joins or leaves.
//   - A replica joins only when it holds everything up to the high watermark and everything up to the start of the leader's epoch.
//
// Kafka's counterparts: IsrState in kafka.cluster.Partition and kafka.cluster.Replica (KIP-497).
package isr

import (
	"cmp"
	"slices"
	"time"
)

// State is what a leader knows of its partition's replicas.
type State struct {
	self     int32
	replicas []int32
	// committed is the ISR that stands in ZooKeeper, with its znode's version; proposed, if not nil, is the one asked for.
	committed []int32
	version   int32
	proposed  []int32

	epochStart int64
	followers  []follower
}

// follower is what fetches told about another replica.
type follower struct {
	id int32
	// end and start are its log's, -1 while unknown.
	end, start int64
	// lastFetch is when it last fetched, and leaderEnd where the leader's log ended then.
	lastFetch time.Time
	leaderEnd int64
	// caughtUp is the last moment at which it is known to have held the whole log.
	caughtUp time.Time
}

// Lead returns the state of a leader whose epoch begins at epochStart, with the log ending at end. former is the state of the same
// leadership before a decision that kept the leader and its epoch, or nil.
func Lead(self int32, replicas, isr []int32, version int32, epochStart, end int64, now time.Time, former *State) *State {
	s := &State{self: self, replicas: replicas, committed: isr, version: version, epochStart: epochStart}
	for _, id := range replicas {
		if id == self {
			continue
		}
		f := follower{id: id, end: -1, start: -1}
		if former != nil {
			if old := former.follower(id); old != nil {
				f = *old
			}
		}
		f.lastFetch, f.leaderEnd = now, end
		f.caughtUp = time.Time{}
		if slices.Contains(isr, id) {
			f.caughtUp = now // whoever was in sync gets the full time to show that it still is
		}
		s.followers = append(s.followers, f)
	}
	return s
}

func (s *State) follower(id int32) *follower {
	for i := range s.followers {
		if s.followers[i].id == id {
			return &s.followers[i]
		}
	}
	return nil
}

// ISR is the set that stands, with its version. The slice must not be changed.
func (s *State) ISR() ([]int32, int32) { return s.committed, s.version }

// Pending says whether a change was proposed and is not answered.
func (s *State) Pending() bool { return s.proposed != nil }

// MaximalSize is how many replicas are in sync if the proposed change is counted wherever it adds.
func (s *State) MaximalSize() int {
	n := len(s.committed)
	for _, id := range s.proposed {
		if !slices.Contains(s.committed, id) {
			n++
		}
	}
	return n
}

func (s *State) maximal(id int32) bool {
	return slices.Contains(s.committed, id) || slices.Contains(s.proposed, id)
}

// Alone says that nobody else is in sync or about to be, so that the log end is the high watermark as far as the ISR goes.
func (s *State) Alone() bool {
	return s.proposed == nil && len(s.committed) == 1 && s.committed[0] == s.self && len(s.followers) == 0
}

// Fetched notes a follower's fetch from offset on, which tells that it holds everything before. leaderEnd is the log end when the fetch was
// read. It returns whether the replica is known, and whether its end and its start moved.
func (s *State) Fetched(id int32, offset, start, leaderEnd int64, now time.Time) (known, ended, started bool) {
	f := s.follower(id)
	if f == nil {
		return false, false, false
	}
	switch {
	case offset >= leaderEnd:
		f.caughtUp = later(f.caughtUp, now)
	case offset >= f.leaderEnd:
		f.caughtUp = later(f.caughtUp, f.lastFetch)
	}
	ended, started = f.end != offset, f.start != start
	f.end, f.start, f.leaderEnd, f.lastFetch = offset, start, leaderEnd, now
	return true, ended, started
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// HighWatermark is the offset below which every replica that counts holds the log: those in sync or proposed, and those that caught up
// within maxLag, which are about to be in sync.
func (s *State) HighWatermark(end int64, now time.Time, maxLag time.Duration) int64 {
	for i := range s.followers {
		f := &s.followers[i]
		if f.end < end && (s.maximal(f.id) || now.Sub(f.caughtUp) <= maxLag) {
			end = f.end
		}
	}
	return end
}

// Joins returns the ISR to propose so that a follower joins, or nil if it may not, or not yet.
func (s *State) Joins(id int32, highWatermark int64) []int32 {
	if f := s.follower(id); f == nil || !s.mayJoin(f, highWatermark) {
		return nil
	}
	return append(slices.Clone(s.committed), id)
}

func (s *State) mayJoin(f *follower, highWatermark int64) bool {
	return s.proposed == nil && !slices.Contains(s.committed, f.id) && f.end >= highWatermark && f.end >= s.epochStart
}

// Joinable says whether some follower, by what it last told, may join. It has to tell it once more: it may have died meanwhile, and come back
// with less.
func (s *State) Joinable(highWatermark int64) bool {
	return slices.ContainsFunc(s.followers, func(f follower) bool { return s.mayJoin(&f, highWatermark) })
}

// Shrinks returns the ISR to propose without the followers that have not held the whole log within maxLag, and those; nil if all have.
func (s *State) Shrinks(end int64, now time.Time, maxLag time.Duration) (isr, lagging []int32) {
	if s.proposed != nil {
		return nil, nil
	}
	for _, id := range s.committed {
		f := s.follower(id)
		if f != nil && f.end != end && now.Sub(f.caughtUp) > maxLag {
			lagging = append(lagging, id)
		} else {
			isr = append(isr, id)
		}
	}
	if len(lagging) == 0 {
		return nil, nil
	}
	return isr, lagging
}

// Propose notes that isr is asked for.
func (s *State) Propose(isr []int32) { s.proposed = isr }

// Commit takes over what stands in ZooKeeper now. It returns false, and changes nothing, when that is not newer than what is known.
func (s *State) Commit(isr []int32, version int32) bool {
	if version <= s.version {
		return false
	}
	s.committed, s.version, s.proposed = isr, version, nil
	return true
}

// Withdraw takes back a proposal that certainly did not come to pass.
func (s *State) Withdraw() { s.proposed = nil }

// FollowerStart is the lowest log start of the followers that want says count, at most start; -1 when one of them is not known yet.
func (s *State) FollowerStart(start int64, want func(id int32) bool) int64 {
	for i := range s.followers {
		if f := &s.followers[i]; want(f.id) {
			start = min(start, f.start)
		}
	}
	return start
}

// Follower tells what is known of a follower, for admin requests and metrics.
func (s *State) Follower(id int32) (end int64, caughtUp time.Time, ok bool) {
	if f := s.follower(id); f != nil {
		return f.end, f.caughtUp, true
	}
	return -1, time.Time{}, false
}

// Nearest is, of the followers that want says are near, the one that holds the log from offset on and the most of it; -1 if there is none
// (RackAwareReplicaSelector and ReplicaView.comparator, KIP-392).
func (s *State) Nearest(offset int64, want func(id int32) bool) int32 {
	var best *follower
	for i := range s.followers {
		f := &s.followers[i]
		if f.end < offset || f.start > offset || !want(f.id) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(f.end, best.end), f.caughtUp.Compare(best.caughtUp), cmp.Compare(f.id, best.id)) > 0 {
			best = f
		}
	}
	if best == nil {
		return -1
	}
	return best.id
}
