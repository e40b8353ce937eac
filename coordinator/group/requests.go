package group

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/group/fsm"
)

// Join takes a JoinGroup request; done is called once, now or later, with no lock held.
func (c *Coordinator) Join(group string, j *fsm.Join, done func(*fsm.JoinResult)) {
	fail := func(code int16) { done(&fsm.JoinResult{Code: code, Generation: -1, MemberID: j.MemberID}) }
	s, code := c.find(group, false)
	if code == 0 {
		code = s.mu.Enter()
	}
	if code != 0 {
		fail(code)
		return
	}
	if j.Session < c.opt.Groups.MinSession || j.Session > c.opt.Groups.MaxSession {
		s.mu.Unlock()
		fail(kerr.InvalidSessionTimeout.Code)
		return
	}
	now := nowMillis()
	g := s.groups[group]
	if g == nil && j.MemberID != "" {
		s.mu.Unlock()
		fail(kerr.UnknownMemberID.Code)
		return
	}
	if g == nil {
		g = s.add(group, now)
	}
	out := takeOut()
	g.Join(now, j, done, out)
	s.leave(g, now, out)
	giveOut(out)
}

// add makes a group, with the lock held.
func (s *shard) add(group string, now int64) *fsm.Group {
	g := fsm.New(group, &s.c.opt.Groups, now)
	s.groups[group] = g
	return g
}

// leave unlocks the shard and does what follows.
func (s *shard) leave(g *fsm.Group, now int64, out *fsm.Out) {
	a := s.apply(g, now, out)
	s.mu.Unlock()
	a.run()
}

// group locks the shard of a group; with code 0 the caller has to unlock it. The group is nil if there is none.
func (c *Coordinator) group(name string, emptyAllowed bool) (*shard, *fsm.Group, int16) {
	s, code := c.find(name, emptyAllowed)
	if code == 0 {
		code = s.mu.Enter()
	}
	if code != 0 {
		return nil, nil, code
	}
	return s, s.groups[name], 0
}

// Sync takes a SyncGroup request; done is called once, now or later.
func (c *Coordinator) Sync(group string, q *fsm.Sync, done func(*fsm.SyncResult)) {
	s, g, code := c.group(group, false)
	if code == kerr.CoordinatorLoadInProgress.Code {
		code = kerr.RebalanceInProgress.Code // old clients do not expect the other here, and the rebalance is lost anyway
	}
	if code == 0 && g == nil {
		s.mu.Unlock()
		code = kerr.UnknownMemberID.Code
	}
	if code != 0 {
		done(&fsm.SyncResult{Code: code})
		return
	}
	out, now := takeOut(), nowMillis()
	g.Sync(now, q, done, out)
	s.leave(g, now, out)
	giveOut(out)
}

// Heartbeat takes a Heartbeat request.
func (c *Coordinator) Heartbeat(group, memberID string, instance *string, generation int32) int16 {
	s, g, code := c.group(group, false)
	switch {
	case code == kerr.CoordinatorLoadInProgress.Code:
		return 0 // the member may still be in its group
	case code != 0:
		return code
	case g == nil:
		s.mu.Unlock()
		return kerr.UnknownMemberID.Code
	}
	out, now := takeOut(), nowMillis()
	code = g.Heartbeat(now, memberID, instance, generation, out)
	s.leave(g, now, out)
	giveOut(out)
	return code
}

// Leave takes a LeaveGroup request: the code is that of the whole, the members have theirs.
func (c *Coordinator) Leave(group string, members []fsm.Leaving) int16 {
	s, g, code := c.group(group, false)
	if code != 0 {
		return code
	}
	if g == nil {
		s.mu.Unlock()
		for i := range members {
			members[i].Code = kerr.UnknownMemberID.Code
		}
		return 0
	}
	var out fsm.Out
	now := nowMillis()
	code = g.Leave(now, members, &out)
	s.leave(g, now, &out)
	return code
}

// OffsetCommit is an OffsetCommit request. It may be used again when it has been answered.
type OffsetCommit struct {
	// Group and the strings of fsm.OffsetCommit are not kept, but for the names of topics.
	Group string
	fsm.OffsetCommit
	// Done is called once, now or later, with no lock held: the Code of each commit is filled in then.
	Done func()
}

// Commit takes an OffsetCommit request.
func (c *Coordinator) Commit(q *OffsetCommit) {
	s, g, code := c.group(q.Group, true)
	now := nowMillis()
	if code == 0 && g == nil {
		if q.Generation < 0 {
			g = s.add(strings.Clone(q.Group), now)
		} else {
			s.mu.Unlock()
			code = kerr.IllegalGeneration.Code
		}
	}
	if code != 0 {
		for i := range q.Commits {
			q.Commits[i].Code = code
		}
		q.Done()
		return
	}
	out := takeOut()
	g.Commit(now, &q.OffsetCommit, q, out)
	s.leave(g, now, out)
	giveOut(out)
}

// Fetched is a committed offset; Offset is nil if there is none.
type Fetched struct {
	fsm.TP
	Offset *fsm.Offset
	Code   int16
}

// Fetch returns the committed offsets of partitions, or with all set of every partition that has one.
func (c *Coordinator) Fetch(group string, tps []fsm.TP, all, requireStable bool) ([]Fetched, int16) {
	s, g, code := c.group(group, true)
	if code != 0 {
		return nil, code
	}
	defer s.mu.Unlock()
	if all {
		tps = nil
		if g != nil {
			tps = g.Offsets()
		}
	}
	out := make([]Fetched, len(tps))
	var offsets []fsm.Offset
	for i, tp := range tps {
		out[i].TP = tp
		if g == nil {
			continue
		}
		off, unstable := g.Offset(tp)
		if unstable && requireStable {
			out[i].Code = kerr.UnstableOffsetCommit.Code
			continue
		}
		if off != nil {
			if offsets == nil {
				offsets = make([]fsm.Offset, len(tps)-i)
			}
			offsets[0] = *off // the next commit changes it
			out[i].Offset, offsets = &offsets[0], offsets[1:]
		}
	}
	return out, 0
}

// Delete takes one group of a DeleteGroups request; done is called once, now or later.
func (c *Coordinator) Delete(group string, done func(int16)) {
	c.remove(group, true, done, func(g *fsm.Group, now int64, w fsm.Waiter, out *fsm.Out) int16 { return g.Delete(now, w, out) })
}

// DeleteOffsets takes an OffsetDelete request; done is called once, now or later, with the code of the whole.
func (c *Coordinator) DeleteOffsets(group string, parts []fsm.Commit, done func(int16)) {
	c.remove(group, false, done, func(g *fsm.Group, now int64, w fsm.Waiter, out *fsm.Out) int16 {
		return g.DeleteOffsets(now, parts, w, out)
	})
}

func (c *Coordinator) remove(group string, emptyAllowed bool, done func(int16), f func(*fsm.Group, int64, fsm.Waiter, *fsm.Out) int16) {
	s, g, code := c.group(group, emptyAllowed)
	if code == 0 && g == nil {
		s.mu.Unlock()
		code = kerr.GroupIDNotFound.Code
	}
	if code != 0 {
		done(code)
		return
	}
	var out fsm.Out
	now := nowMillis()
	code = f(g, now, func(r *fsm.Reply) { done(r.Code) }, &out)
	s.leave(g, now, &out)
	if code != 0 {
		done(code)
	}
}

// Listed is a group as ListGroups shows it.
type Listed struct {
	Group, ProtocolType, State string
}

// List returns the groups in one of the states, or all if none is given. The code tells of partitions that are still being loaded.
func (c *Coordinator) List(states []string) (list []Listed, code int16) {
	shards, closed := c.shards.All()
	if closed {
		return nil, kerr.CoordinatorNotAvailable.Code
	}
	for _, s := range shards {
		if e := s.mu.Enter(); e != 0 {
			if e == kerr.CoordinatorLoadInProgress.Code {
				code = e
			}
			continue
		}
		for id, g := range s.groups {
			if state := g.State().String(); len(states) == 0 || slices.Contains(states, state) {
				list = append(list, Listed{id, g.ProtocolType(), state})
			}
		}
		s.mu.Unlock()
	}
	return list, code
}

// Description is a group as DescribeGroups shows it.
type Description struct {
	Code                          int16
	State, ProtocolType, Protocol string
	Members                       []fsm.Member
}

// Describe tells about a group; one that does not exist is Dead.
func (c *Coordinator) Describe(group string) (d Description) {
	s, g, code := c.group(group, true)
	if code != 0 {
		d.Code = code
		return d
	}
	defer s.mu.Unlock()
	if g == nil {
		d.State = fsm.Dead.String()
		return d
	}
	d.State, d.ProtocolType = g.State().String(), g.ProtocolType()
	d.Protocol, d.Members = g.Describe()
	return d
}
