package group

import "gregor/coordinator/group/fsm"

// Snapshot is a group as metrics show it.
type Snapshot struct {
	Group   string
	State   fsm.State
	Members int
	Offsets []SnapshotOffset // in no order
}

// SnapshotOffset is a committed offset.
type SnapshotOffset struct {
	fsm.TP
	Offset int64
}

// Each calls f for each group that this broker serves until it returns false, with no lock held. The snapshot is f's until it returns: one
// group is copied at a time, and requests are served in between.
func (c *Coordinator) Each(f func(*Snapshot) bool) {
	var snap Snapshot
	shards, _ := c.shards.All()
	for _, s := range shards {
		for _, g := range s.list() {
			snap.Offsets = snap.Offsets[:0]
			s.mu.Lock()
			snap.Group, snap.State, snap.Members = g.ID(), g.State(), g.Size()
			g.EachOffset(func(tp fsm.TP, o *fsm.Offset) { snap.Offsets = append(snap.Offsets, SnapshotOffset{tp, o.Offset}) })
			s.mu.Unlock()
			if snap.State != fsm.Dead && !f(&snap) {
				return
			}
		}
	}
}
