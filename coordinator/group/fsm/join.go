package fsm

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Join is a JoinGroup request.
type Join struct {
	MemberID string
	// NewID is the id that the member gets if it has none: the caller makes it, which takes randomness.
	NewID        string
	Instance     *string
	RequireID    bool // the client understands MEMBER_ID_REQUIRED (KIP-394)
	Client, Host string
	// Rebalance and Session are time-outs in milliseconds.
	Rebalance, Session int32
	ProtocolType       string
	Protocols          []Protocol
}

// JoinResult answers it.
type JoinResult struct {
	Code         int16
	Generation   int32
	ProtocolType *string
	Protocol     *string
	Leader       string
	MemberID     string
	Members      []JoinedMember // for the leader
}

// JoinedMember is what the leader is told about each member.
type JoinedMember struct {
	ID       string
	Instance *string
	Metadata []byte
}

func failedJoin(memberID string, code int16) *JoinResult {
	return &JoinResult{Code: code, Generation: -1, MemberID: memberID}
}

// Join takes a JoinGroup request. The caller has checked the session time-out, and that a group that this request made is joined without
// a member id.
func (g *Group) Join(now int64, j *Join, w Waiter, out *Out) {
	if !g.accepts(j.MemberID) {
		if m := g.members[j.MemberID]; m != nil {
			g.remove(m, out)
		}
		out.Replies = append(out.Replies, Reply{To: w, Join: failedJoin("", kerr.GroupMaxSizeReached.Code)})
	} else if res := g.join(now, j, w, out); res != nil {
		out.Replies = append(out.Replies, Reply{To: w, Join: res})
	}
	g.tryCompleteJoin(now, out)
}

// accepts says whether there is room for a member that joins.
func (g *Group) accepts(memberID string) bool {
	m := g.members[memberID]
	switch g.state {
	case PreparingRebalance:
		return m != nil && m.join != nil || g.awaiting < g.cfg.MaxSize
	case CompletingRebalance, Stable:
		return m != nil || len(g.members) < g.cfg.MaxSize
	case Empty, Dead:
	}
	return true
}

// join returns the answer if it is known at once.
func (g *Group) join(now int64, j *Join, w Waiter, out *Out) *JoinResult {
	switch {
	case g.state == Dead:
		return failedJoin(j.MemberID, kerr.CoordinatorNotAvailable.Code)
	case !g.supports(j.ProtocolType, j.Protocols):
		return failedJoin(j.MemberID, kerr.InconsistentGroupProtocol.Code)
	case j.MemberID == "":
		return g.joinUnknown(now, j, w, out)
	}
	m := g.members[j.MemberID]
	if _, pending := g.pending[j.MemberID]; pending && m == nil {
		if j.Instance != nil {
			return failedJoin(j.MemberID, kerr.UnknownMemberID.Code) // an id that was given to a dynamic member
		}
		g.addMember(now, j, j.MemberID, w, out)
		return nil
	}
	if g.fenced(j.MemberID, j.Instance) {
		return failedJoin(j.MemberID, kerr.FencedInstanceID.Code)
	}
	if m == nil || j.Instance != nil && g.static[*j.Instance] == nil {
		return failedJoin(j.MemberID, kerr.UnknownMemberID.Code)
	}
	return g.rejoin(now, m, j, w, out)
}

func (g *Group) joinUnknown(now int64, j *Join, w Waiter, out *Out) *JoinResult {
	if j.Instance != nil && g.static[*j.Instance] != nil {
		return g.joinReplacing(now, g.static[*j.Instance], j, w, out)
	}
	if j.RequireID {
		at := now + int64(j.Session)
		g.pending[j.NewID] = at
		out.Timers = append(out.Timers, Timer{At: at, Member: j.NewID})
		return failedJoin(j.NewID, kerr.MemberIDRequired.Code)
	}
	g.addMember(now, j, j.NewID, w, out)
	return nil
}

func (g *Group) addMember(now int64, j *Join, id string, w Waiter, out *Out) {
	m := &member{id: id, instance: j.Instance, client: j.Client, host: j.Host, rebalance: j.Rebalance, session: j.Session,
		protocols: j.Protocols, isNew: true, join: w}
	if g.state == PreparingRebalance && g.generation == 0 {
		g.newMember = true
	}
	delete(g.pending, id)
	g.add(m, j.ProtocolType)
	g.arm(m, now+newMemberTimeout, out)
	if g.state != PreparingRebalance {
		g.prepare(now, "Adding new member "+id, out)
	}
}

// rejoin is a known member that joins again.
func (g *Group) rejoin(now int64, m *member, j *Join, w Waiter, out *Out) *JoinResult {
	same := m.offers(j.Protocols)
	switch g.state {
	case PreparingRebalance:
		g.update(m, j.Protocols, w, out)
		return nil
	case CompletingRebalance:
		if same { // its first answer got lost
			return g.joined(m)
		}
	case Stable:
		// The leader joins again to have an assignment made for what only it sees, as new partitions.
		if same && m.id != g.leader {
			return g.joined(m)
		}
	case Empty, Dead:
		return failedJoin(m.id, kerr.UnknownMemberID.Code)
	}
	reason := "Updating metadata for member " + m.id + " during " + g.state.String()
	if m.id == g.leader {
		reason = "leader " + m.id + " re-joining group during " + g.state.String()
	}
	g.update(m, j.Protocols, w, out)
	g.prepare(now, reason, out)
	return nil
}

// joinReplacing is a static member that comes back without its member id.
func (g *Group) joinReplacing(now int64, m *member, j *Join, w Waiter, out *Out) *JoinResult {
	oldID, oldLeader, oldProtocols := m.id, g.leader, m.protocols
	g.note(out, "Static member %s of group %s with unknown member id rejoins, assigning new member id %s, while old member id %s will be removed.",
		*j.Instance, g.id, j.NewID, oldID)
	g.replace(m, j.NewID, out)
	g.alive(m, now, out)
	g.update(m, j.Protocols, w, out)
	switch g.state {
	case Stable:
		if g.protocol == nil || g.selectProtocol() != *g.protocol {
			g.prepare(now, "Group's selectedProtocol will change because static member "+m.id+" joined with change of protocol", out)
			return nil
		}
		write := &Write{Txn: NoTxn, Group: g.record(nil)}
		write.written = func(now int64, code int16, _ int64, out *Out) {
			if g.members[j.NewID] != m {
				return // it is gone or has been replaced again, and was answered then
			}
			if code == 0 {
				// The former leader's id, so that a leader which came back does not make an assignment that nobody waits for.
				g.answerJoin(m, g.joinedUnder(m, oldLeader), out)
				g.alive(m, now, out)
				return
			}
			res := g.joinedUnder(m, oldLeader)
			res.Code, res.MemberID = code, ""
			g.answerJoin(m, res, out)
			g.update(m, oldProtocols, nil, out)
			g.replace(m, oldID, out)
			g.alive(m, now, out)
		}
		out.Writes = append(out.Writes, write)
	case CompletingRebalance:
		g.prepare(now, "Updating metadata for static member "+m.id+" with instance id "+*j.Instance, out)
	case PreparingRebalance, Empty, Dead:
	}
	return nil
}

// joined is the answer for a member of the present generation.
func (g *Group) joined(m *member) *JoinResult {
	res := new(JoinResult)
	g.joinedTo(res, m)
	return res
}

func (g *Group) joinedTo(res *JoinResult, m *member) {
	*res = g.joinedAs(m, g.leader)
	if m.id == g.leader && g.state == CompletingRebalance {
		res.Members = make([]JoinedMember, 0, len(g.order))
		for _, o := range g.order {
			res.Members = append(res.Members, JoinedMember{ID: o.id, Instance: o.instance, Metadata: o.metadata(*g.protocol)})
		}
	}
}

func (g *Group) joinedUnder(m *member, leader string) *JoinResult {
	res := g.joinedAs(m, leader)
	return &res
}

func (g *Group) joinedAs(m *member, leader string) JoinResult {
	return JoinResult{Generation: g.generation, ProtocolType: g.typeShown, Protocol: g.protocol, Leader: leader, MemberID: m.id}
}

// prepare starts a rebalance.
func (g *Group) prepare(now int64, reason string, out *Out) {
	if g.state == PreparingRebalance || g.state == Dead {
		return
	}
	if g.state == CompletingRebalance {
		g.failAssignment(now, kerr.RebalanceInProgress.Code, out)
	}
	g.initial = g.state == Empty
	timeout := g.rebalanceTimeout()
	if g.initial {
		g.initialDelay = g.cfg.InitialDelay
		g.initialRemaining = max(timeout-g.cfg.InitialDelay, 0)
		timeout = g.cfg.InitialDelay
	}
	g.note(out, "Preparing to rebalance group %s in state %s with old generation %d (reason: %s)", g.id, PreparingRebalance, g.generation, reason)
	g.enter(PreparingRebalance, now)
	g.armJoin(now+timeout, out)
	g.tryCompleteJoin(now, out)
}

func (g *Group) rebalanceTimeout() int64 {
	t := int32(0)
	for _, m := range g.order {
		t = max(t, m.rebalance)
	}
	return int64(t)
}

// tryCompleteJoin ends the joining when everybody is there.
func (g *Group) tryCompleteJoin(now int64, out *Out) {
	if g.state == PreparingRebalance && !g.initial && g.awaiting == len(g.members) && len(g.pending) == 0 {
		g.completeJoin(now, out)
	}
}

// completeJoin begins the next generation with those who joined.
func (g *Group) completeJoin(now int64, out *Out) {
	for i := len(g.order) - 1; i >= 0; i-- { // from the end: a removed member's place is taken by the last, which has been seen
		if m := g.order[i]; m.join == nil && m.instance == nil {
			g.note(out, "Group %s removed dynamic member who hasn't joined: %s", g.id, m.id)
			g.remove(m, out)
		}
	}
	if len(g.members) > 0 && !g.electJoined(out) {
		g.note(out, "Group %s could not complete rebalance because no members rejoined", g.id)
		g.initial = false
		g.armJoin(now+g.rebalanceTimeout(), out)
		return
	}
	g.joinAt, g.initial, g.newMember = 0, false, false
	g.generation++
	if len(g.members) == 0 {
		g.protocol = nil
		g.subscribed = g.subscriptions()
		g.enter(Empty, now)
		g.note(out, "Group %s with generation %d is now empty", g.id, g.generation)
		out.Writes = append(out.Writes, &Write{Txn: NoTxn, Group: g.record(nil)})
		return
	}
	p := g.selectProtocol()
	g.protocol = &p
	g.subscribed = g.subscriptions()
	g.enter(CompletingRebalance, now)
	g.note(out, "Stabilized group %s generation %d with %d members", g.id, g.generation, len(g.members))
	results := make([]JoinResult, len(g.order)) // one allocation for all: they are answered together
	out.Replies = slices.Grow(out.Replies, len(g.order))
	for i, m := range g.order {
		g.joinedTo(&results[i], m)
		g.answerJoin(m, &results[i], out)
		m.isNew = false
		g.alive(m, now, out)
	}
}

// electJoined sees to it that the leader is a member that joined; false if there is none.
func (g *Group) electJoined(out *Out) bool {
	if l := g.members[g.leader]; l != nil && l.join != nil {
		return true
	}
	for _, m := range g.order {
		if m.join != nil {
			g.note(out, "Group leader %s of group %s failed to join before rebalance timeout, while new leader %s was elected.", g.leader, g.id, m.id)
			g.leader = m.id
			return true
		}
	}
	return false
}

// selectProtocol is the protocol that all members support and most prefer; of equals, the one whose first voter is longest in the group.
func (g *Group) selectProtocol() string {
	common, candidates := "", 0
	for name, members := range g.supported {
		if members == len(g.members) {
			common = name
			candidates++
		}
	}
	if candidates == 1 {
		return common // which is what all vote for
	}
	votes := map[string]int{}
	best := ""
	for _, m := range g.order {
		for i := range m.protocols {
			if name := m.protocols[i].Name; g.supported[name] == len(g.members) {
				votes[name]++
				break
			}
		}
	}
	for _, m := range g.order {
		for i := range m.protocols {
			if name := m.protocols[i].Name; votes[name] > votes[best] {
				best = name
			}
		}
	}
	return best
}
