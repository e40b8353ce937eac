package fsm

import (
	"bytes"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Protocol is one way of sharing that a member offers, and what it has to say for it.
type Protocol struct {
	Name     string
	Metadata []byte
}

type member struct {
	id                 string
	instance           *string
	client, host       string
	rebalance, session int32
	protocols          []Protocol
	assignment         []byte
	isNew              bool // it has not been in a generation yet
	join, sync         Waiter
	at                 int // its place in Group.order

	// The time when it counts as failed, 0 if it does not for now, and the earliest timer that is set for it.
	deadline, armed int64
}

func (m *member) waits() bool { return m.join != nil || m.sync != nil }

func (m *member) metadata(protocol string) []byte {
	for i := range m.protocols {
		if m.protocols[i].Name == protocol {
			return m.protocols[i].Metadata
		}
	}
	return nil
}

func (m *member) offers(protocols []Protocol) bool {
	if len(protocols) != len(m.protocols) {
		return false
	}
	for i := range protocols {
		if protocols[i].Name != m.protocols[i].Name || !bytes.Equal(protocols[i].Metadata, m.protocols[i].Metadata) {
			return false
		}
	}
	return true
}

func (g *Group) arm(m *member, at int64, out *Out) {
	m.deadline = at
	if m.armed == 0 || at < m.armed {
		m.armed = at
		out.Timers = append(out.Timers, Timer{At: at, Member: m.id})
	}
}

// alive notes that a member was heard of.
func (g *Group) alive(m *member, now int64, out *Out) {
	if !m.isNew && m.waits() {
		m.deadline = 0
		return
	}
	g.arm(m, now+int64(m.session), out)
}

func (g *Group) add(m *member, protocolType string) {
	if len(g.members) == 0 {
		shown := protocolType
		g.protocolType, g.typeShown = protocolType, &shown
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.members[m.id] = m
	m.at = len(g.order)
	g.order = append(g.order, m)
	if m.instance != nil {
		g.static[*m.instance] = m
	}
	g.support(m.protocols)
	if m.join != nil {
		g.awaiting++
	}
}

// remove takes a member out. If requests of it wait, they are told.
func (g *Group) remove(m *member, out *Out) {
	g.answerJoin(m, failedJoin("", kerr.UnknownMemberID.Code), out)
	g.answerSync(m, &SyncResult{Code: kerr.UnknownMemberID.Code}, out)
	delete(g.members, m.id)
	last := g.order[len(g.order)-1]
	g.order[m.at], last.at = last, m.at
	g.order[len(g.order)-1] = nil
	g.order = g.order[:len(g.order)-1]
	if m.instance != nil && g.static[*m.instance] == m {
		delete(g.static, *m.instance)
	}
	g.unsupport(m.protocols)
	if g.leader == m.id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].id
		}
	}
}

func (g *Group) support(protocols []Protocol) {
	for i := range protocols {
		if !named(protocols[:i], protocols[i].Name) {
			g.supported[protocols[i].Name]++
		}
	}
}

func (g *Group) unsupport(protocols []Protocol) {
	for i := range protocols {
		name := protocols[i].Name
		if named(protocols[:i], name) {
			continue
		}
		if g.supported[name]--; g.supported[name] <= 0 {
			delete(g.supported, name)
		}
	}
}

// named says whether one of the protocols has the name: a member may offer one twice, which counts once.
func named(protocols []Protocol, name string) bool {
	for i := range protocols {
		if protocols[i].Name == name {
			return true
		}
	}
	return false
}

func sameNames(a, b []Protocol) bool {
	return slices.EqualFunc(a, b, func(a, b Protocol) bool { return a.Name == b.Name })
}

// update takes over what a member joins with, and its waiter.
func (g *Group) update(m *member, protocols []Protocol, w Waiter, out *Out) {
	if !sameNames(m.protocols, protocols) {
		g.unsupport(m.protocols)
		g.support(protocols)
	}
	m.protocols = protocols
	g.awaitJoin(m, w, out)
}

func (g *Group) awaitJoin(m *member, w Waiter, out *Out) {
	if m.join != nil { // it asked twice; only one of its requests can be answered well
		g.answerJoin(m, failedJoin(m.id, kerr.RebalanceInProgress.Code), out)
	}
	if m.join = w; w != nil {
		g.awaiting++
	}
}

func (g *Group) answerJoin(m *member, res *JoinResult, out *Out) {
	if m.join == nil {
		return
	}
	out.Replies = append(out.Replies, Reply{To: m.join, Join: res})
	m.join = nil
	g.awaiting--
}

func (g *Group) answerSync(m *member, res *SyncResult, out *Out) bool {
	if m.sync == nil {
		return false
	}
	out.Replies = append(out.Replies, Reply{To: m.sync, Sync: res})
	m.sync = nil
	return true
}

// replace gives a static member the id of its new incarnation; the old one is fenced.
func (g *Group) replace(m *member, id string, out *Out) {
	g.answerJoin(m, failedJoin(m.id, kerr.FencedInstanceID.Code), out)
	g.answerSync(m, &SyncResult{Code: kerr.FencedInstanceID.Code}, out)
	delete(g.members, m.id)
	if g.leader == m.id {
		g.leader = id
	}
	m.id, m.armed, m.deadline = id, 0, 0
	g.members[id] = m
}

// removeAndUpdate removes a member and starts or completes the rebalance that follows.
func (g *Group) removeAndUpdate(m *member, now int64, reason string, out *Out) {
	g.remove(m, out)
	switch g.state {
	case Stable, CompletingRebalance:
		g.prepare(now, reason, out)
	case PreparingRebalance:
		g.tryCompleteJoin(now, out)
	case Empty, Dead:
	}
}
