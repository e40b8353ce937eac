package group

import "gregor/coordinator/group/fsm"

// CommitTxn takes a TxnOffsetCommit request; the codes of the commits are filled in when done is called, now or later. The group is made if
// there is none.
func (c *Coordinator) CommitTxn(group, memberID string, instance *string, generation int32, txn fsm.Txn, commits []fsm.Commit, done func()) {
	s, g, code := c.group(group, false)
	if code != 0 {
		for i := range commits {
			commits[i].Code = code
		}
		done()
		return
	}
	now := nowMillis()
	if g == nil {
		g = s.add(group, now)
	}
	var out fsm.Out
	g.CommitTxn(memberID, instance, generation, txn, commits, func(*fsm.Reply) { done() }, &out)
	s.leave(g, now, &out)
}

// ending is the end of a producer's transaction: its marker lies at position.
type ending struct {
	producer, position int64
	commit             bool
}

// EndTxn is called when a marker is committed in a partition of __consumer_offsets: what was pending counts from then on, or is forgotten.
// position is where the marker lies.
func (c *Coordinator) EndTxn(partition int32, producer, position int64, commit bool) {
	s, ok, _ := c.shards.Find(partition)
	if !ok {
		return // the next coordinator reads it from the log
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := ending{producer: producer, position: position, commit: commit}
	switch {
	case s.mu.Gone:
	case !s.mu.Loaded:
		s.ended = append(s.ended, e) // the loader may have passed the place where the marker lies now
	default:
		s.end(e)
	}
}

// end, with the lock held, ends a transaction in every group that has offsets in it.
func (s *shard) end(e ending) {
	for id := range s.open[e.producer] {
		if g := s.groups[id]; g == nil || g.EndTxn(e.producer, e.position, e.commit) {
			delete(s.open[e.producer], id)
		}
	}
	if len(s.open[e.producer]) == 0 {
		delete(s.open, e.producer)
	}
}

// opened, with the lock held, notes that a group has offsets in a producer's transaction.
func (s *shard) opened(producer int64, group string) {
	if s.open == nil {
		s.open = map[int64]map[string]struct{}{}
	}
	if s.open[producer] == nil {
		s.open[producer] = map[string]struct{}{}
	}
	s.open[producer][group] = struct{}{}
}
