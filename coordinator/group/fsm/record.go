package fsm

import (
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Write is a set of records to append in one go. Call Group.Appended when they are in the log, Group.Uncommitted then if they have to wait
// for replicas, and Group.Written when they are committed or have failed.
type Write struct {
	// Txn is the transaction that the offsets are part of, or NoTxn.
	Txn            Txn
	Offsets        []OffsetRecord
	Group          *kmsg.GroupMetadataValue
	GroupTombstone bool

	// Of a write of offsets: who is answered, for which partitions, and whether they are among the group's pending ones.
	commits []Commit
	waiter  Waiter
	staged  bool

	appended func(position int64)
	written  func(now int64, code int16, position int64, out *Out)
}

// OffsetRecord is the record of one committed offset.
type OffsetRecord struct {
	TP
	Offset *Offset // nil: a tombstone
}

// Appended notes that the write is in the log, where its batch begins at position.
func (g *Group) Appended(w *Write, position int64) {
	if w.appended != nil {
		w.appended(position)
	}
}

// Uncommitted notes that a write, which was appended, is not committed at once.
func (g *Group) Uncommitted(w *Write) {
	if w.commits != nil && w.Txn == NoTxn {
		g.stage(w)
	}
}

// Written tells what became of a write: committed with code 0, its batch beginning at position in the log, or not. It counts even if the
// group was unloaded or deleted meanwhile: whoever waits for it is answered.
func (g *Group) Written(now int64, w *Write, code int16, position int64, out *Out) {
	switch {
	case w.written != nil:
		w.written(now, code, position, out)
	case w.commits != nil:
		g.stored(w, code, position, out)
	}
}

const consumerType = "consumer"

// record is the group's present state for the log. A nil assignments means those that are in effect.
func (g *Group) record(assignments map[string][]byte) *kmsg.GroupMetadataValue {
	v := &kmsg.GroupMetadataValue{ProtocolType: g.protocolType, Generation: g.generation, Protocol: g.protocol, CurrentStateTimestamp: g.since}
	if g.leader != "" {
		leader := g.leader
		v.Leader = &leader
	}
	if len(g.order) > 0 {
		v.Members = make([]kmsg.GroupMetadataValueMember, 0, len(g.order))
	}
	for _, m := range g.order {
		rec := kmsg.GroupMetadataValueMember{MemberID: m.id, InstanceID: m.instance, ClientID: m.client, ClientHost: m.host,
			RebalanceTimeoutMillis: m.rebalance, SessionTimeoutMillis: m.session, Assignment: m.assignment}
		if g.protocol != nil {
			rec.Subscription = m.metadata(*g.protocol)
		}
		if assignments != nil {
			rec.Assignment = assignments[m.id]
		}
		v.Members = append(v.Members, rec)
	}
	return v
}

// Load makes a group from its record. Start is to be called when its offsets are set.
func Load(id string, v *kmsg.GroupMetadataValue, cfg *Config) *Group {
	g := New(id, cfg, -1)
	if v.Version >= 2 {
		g.since = v.CurrentStateTimestamp
	}
	g.generation, g.protocol, g.protocolType = v.Generation, v.Protocol, v.ProtocolType
	if len(v.Members) > 0 {
		g.state = Stable
	}
	for i := range v.Members {
		rec := &v.Members[i]
		m := &member{id: rec.MemberID, instance: rec.InstanceID, client: rec.ClientID, host: rec.ClientHost,
			rebalance: rec.RebalanceTimeoutMillis, session: rec.SessionTimeoutMillis, assignment: rec.Assignment}
		if v.Version == 0 {
			m.rebalance = m.session
		}
		if v.Protocol != nil {
			m.protocols = []Protocol{{Name: *v.Protocol, Metadata: rec.Subscription}}
		}
		if g.members[m.id] == nil {
			g.add(m, v.ProtocolType)
		}
	}
	g.leader = ""
	if v.Leader != nil && g.members[*v.Leader] != nil {
		g.leader = *v.Leader
	} else if len(g.order) > 0 {
		g.leader = g.order[0].id
	}
	g.subscribed = g.subscriptions()
	return g
}

// Start lets a loaded group live: its members have their session time-out to be heard of.
func (g *Group) Start(now int64, out *Out) {
	for _, m := range g.order {
		g.alive(m, now, out)
	}
	if len(g.members) > g.cfg.MaxSize {
		g.prepare(now, "Freshly-loaded group is over capacity", out)
	}
}

// subscriptions are the topics that the members of a consumer group read; nil if that cannot be told.
func (g *Group) subscriptions() map[string]struct{} {
	if g.protocolType != consumerType || len(g.members) > 0 && g.protocol == nil {
		return nil
	}
	topics := map[string]struct{}{}
	for _, m := range g.order {
		b := kbin.Reader{Src: m.metadata(*g.protocol)}
		b.Int16() // every version begins as version 0
		for n := b.ArrayLen(); n > 0 && b.Ok(); n-- {
			if name := b.Span(int(b.Int16())); !has(topics, name) {
				topics[string(name)] = struct{}{}
			}
		}
		b.NullableBytes()
		if b.Complete() != nil && !b.Ok() {
			return nil
		}
	}
	return topics
}

func has(topics map[string]struct{}, name []byte) bool {
	_, ok := topics[string(name)]
	return ok
}

// Member is a member as DescribeGroups shows it.
type Member struct {
	ID                   string
	Instance             *string
	Client, Host         string
	Metadata, Assignment []byte
}

// Describe returns the protocol and the members; both are known while the group is stable, otherwise only who the members are.
func (g *Group) Describe() (protocol string, members []Member) {
	stable := g.state == Stable && g.protocol != nil
	if stable {
		protocol = *g.protocol
	}
	for _, m := range g.order {
		d := Member{ID: m.id, Instance: m.instance, Client: m.client, Host: m.host}
		if stable {
			d.Metadata, d.Assignment = m.metadata(protocol), m.assignment
		}
		members = append(members, d)
	}
	return protocol, members
}
