package fsm

import (
	"github.com/twmb/franz-go/pkg/kerr"
)

// Sync is a SyncGroup request.
type Sync struct {
	MemberID               string
	Instance               *string
	Generation             int32
	ProtocolType, Protocol *string
	Assignments            map[string][]byte // by member, from the leader
}

// SyncResult answers it.
type SyncResult struct {
	Code                   int16
	ProtocolType, Protocol *string
	Assignment             []byte
}

// Sync takes a SyncGroup request.
func (g *Group) Sync(now int64, s *Sync, w Waiter, out *Out) {
	reply := func(r *SyncResult) { out.Replies = append(out.Replies, Reply{To: w, Sync: r}) }
	m, code := g.identify(s.MemberID, s.Instance, s.Generation)
	switch {
	case code != 0:
		reply(&SyncResult{Code: code})
		return
	case s.ProtocolType != nil && *s.ProtocolType != g.protocolType,
		s.Protocol != nil && (g.protocol == nil || *s.Protocol != *g.protocol):
		reply(&SyncResult{Code: kerr.InconsistentGroupProtocol.Code})
		return
	}
	switch g.state {
	case PreparingRebalance:
		reply(&SyncResult{Code: kerr.RebalanceInProgress.Code})
	case CompletingRebalance:
		if m.sync != nil { // it asked twice
			g.answerSync(m, &SyncResult{Code: kerr.RebalanceInProgress.Code}, out)
		}
		m.sync = w
		if m.id == g.leader {
			g.assign(s, out)
		}
	case Stable:
		res := g.synced(m)
		reply(&res)
		g.alive(m, now, out)
	case Empty, Dead:
		reply(&SyncResult{Code: kerr.UnknownMemberID.Code})
	}
}

func (g *Group) synced(m *member) SyncResult {
	return SyncResult{ProtocolType: g.typeShown, Protocol: g.protocol, Assignment: m.assignment}
}

// assign has the leader's assignment recorded; with the record committed it holds.
func (g *Group) assign(s *Sync, out *Out) {
	g.note(out, "Assignment received from leader for group %s for generation %d", g.id, g.generation)
	generation, assignments := g.generation, s.Assignments
	if assignments == nil {
		assignments = map[string][]byte{}
	}
	w := &Write{Txn: NoTxn, Group: g.record(assignments)}
	w.written = func(now int64, code int16, _ int64, out *Out) {
		// Others may have joined meanwhile, or a second assignment of the leader may have been first.
		if g.state != CompletingRebalance || g.generation != generation {
			return
		}
		if code != 0 {
			g.failAssignment(now, code, out)
			g.prepare(now, "error when storing group assignment during SyncGroup (member: "+s.MemberID+")", out)
			return
		}
		for _, m := range g.order {
			m.assignment = assignments[m.id]
		}
		g.enter(Stable, now)
		results := make([]SyncResult, len(g.order)) // one allocation for all
		for i, m := range g.order {
			results[i] = g.synced(m)
			if g.answerSync(m, &results[i], out) {
				g.alive(m, now, out)
			}
		}
	}
	out.Writes = append(out.Writes, w)
}

// failAssignment answers all who wait for their assignment.
func (g *Group) failAssignment(now int64, code int16, out *Out) {
	for _, m := range g.order {
		m.assignment = nil
		if g.answerSync(m, &SyncResult{Code: code}, out) {
			g.alive(m, now, out)
		}
	}
}

// Heartbeat takes a Heartbeat request and returns its answer.
func (g *Group) Heartbeat(now int64, memberID string, instance *string, generation int32, out *Out) int16 {
	m, code := g.identify(memberID, instance, generation)
	if code != 0 {
		return code
	}
	switch g.state {
	case PreparingRebalance:
		g.alive(m, now, out)
		return kerr.RebalanceInProgress.Code
	case CompletingRebalance, Stable:
		g.alive(m, now, out)
		return 0
	case Empty, Dead:
	}
	return kerr.UnknownMemberID.Code
}

// Leaving is one member of a LeaveGroup request.
type Leaving struct {
	MemberID string
	Instance *string
	Code     int16 // filled in
}

// Leave takes a LeaveGroup request; the answer for each member is its Code, that for all is returned.
func (g *Group) Leave(now int64, members []Leaving, out *Out) int16 {
	if g.state == Dead {
		return kerr.CoordinatorNotAvailable.Code
	}
	for i := range members {
		members[i].Code = g.leave(now, &members[i], out)
	}
	return 0
}

func (g *Group) leave(now int64, l *Leaving, out *Out) int16 {
	if l.MemberID != "" && g.fenced(l.MemberID, l.Instance) {
		return kerr.FencedInstanceID.Code
	}
	m := g.members[l.MemberID]
	if _, pending := g.pending[l.MemberID]; pending && m == nil && l.Instance == nil {
		g.note(out, "Pending member %s is leaving group %s.", l.MemberID, g.id)
		delete(g.pending, l.MemberID)
		g.tryCompleteJoin(now, out)
		return 0
	}
	if l.Instance != nil && g.static[*l.Instance] != nil {
		m = g.static[*l.Instance]
	}
	if m == nil {
		return kerr.UnknownMemberID.Code
	}
	g.note(out, "Member %s in group %s has left, removing it from the group", m.id, g.id)
	g.removeAndUpdate(m, now, "removing member "+m.id+" on LeaveGroup", out)
	return 0
}
