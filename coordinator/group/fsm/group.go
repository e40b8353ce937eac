package fsm

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// State is a group's state; the names are Kafka's.
type State uint8

const (
	// Empty has no members; it may have offsets.
	Empty State = iota
	// PreparingRebalance waits for the members to join.
	PreparingRebalance
	// CompletingRebalance waits for the leader's assignment, and for its record.
	CompletingRebalance
	// Stable has an assignment.
	Stable
	// Dead is removed: unloaded or deleted.
	Dead
)

var stateNames = [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}

func (s State) String() string { return stateNames[s] }

// Config is what a broker's configuration says about groups. Times are in milliseconds.
type Config struct {
	MinSession, MaxSession int32 // group.min.session.timeout.ms and group.max.session.timeout.ms
	InitialDelay           int64 // group.initial.rebalance.delay.ms
	MaxSize                int   // group.max.size
	MaxMetadata            int   // offset.metadata.max.bytes
	Retention              int64 // offsets.retention.minutes
}

// newMemberTimeout is how long a new member may wait for its first generation, whatever its session time-out is.
const newMemberTimeout = 5 * 60 * 1000

// Waiter stands for a request that waits for its answer; the caller knows what it is. nil is none.
type Waiter any

// Out collects what follows from an event.
type Out struct {
	Replies []Reply
	Timers  []Timer
	// Writes are to be appended to the group's log in this order. Then Group.Appended or Group.Written is called with each.
	Writes []*Write
	// Notes are lines for the log.
	Notes []string
}

// maxKept bounds what an Out that is used again keeps.
const maxKept = 64

// Reset empties an Out, which may then be used again.
func (o *Out) Reset() {
	if cap(o.Replies) > maxKept || cap(o.Timers) > maxKept || cap(o.Writes) > maxKept {
		*o = Out{}
		return
	}
	clear(o.Replies)
	clear(o.Timers)
	clear(o.Writes)
	o.Replies, o.Timers, o.Writes, o.Notes = o.Replies[:0], o.Timers[:0], o.Writes[:0], nil
}

// Reply answers a waiter; which part of it counts depends on the request.
type Reply struct {
	To   Waiter
	Join *JoinResult
	Sync *SyncResult
	Code int16 // of a request about offsets
}

// Timer asks for Group.Fire at a time. There is no cancelling: one that is not needed any more does nothing.
type Timer struct {
	At     int64
	Member string // empty: the group's own
}

// Group is one group.
type Group struct {
	id  string
	cfg *Config

	state State
	since int64 // when the state was entered, -1 if the record does not say

	protocolType string // empty: offsets only
	// typeShown is protocolType for answers, which are encoded when the group may have changed: what it points to never does.
	typeShown  *string
	protocol   *string
	generation int32
	leader     string // empty: none

	members   map[string]*member
	order     []*member // the same; positions change when members go
	static    map[string]*member
	pending   map[string]int64 // ids given out, and when they lapse
	awaiting  int              // members with a JoinGroup waiting
	supported map[string]int   // how many members support a protocol

	// The deadline of the present rebalance, 0 if none, and the earliest timer that is set for it.
	joinAt, joinArmed int64
	// While the first members gather: how long the present delay is, and how long it may be prolonged.
	initial                        bool
	initialDelay, initialRemaining int64
	newMember                      bool
	subscribed                     map[string]struct{} // topics of a consumer group's members; nil if not known
	offsets                        offsets
}

// New is a group without members and offsets.
func New(id string, cfg *Config, now int64) *Group {
	return &Group{
		id: id, cfg: cfg, since: now, members: map[string]*member{}, static: map[string]*member{}, pending: map[string]int64{},
		supported: map[string]int{},
	}
}

// ID is the group's name.
func (g *Group) ID() string { return g.id }

// State is the present state.
func (g *Group) State() State { return g.state }

// Generation is the present generation, 0 before the first.
func (g *Group) Generation() int32 { return g.generation }

// ProtocolType is "consumer" for consumers, empty for a group that only has offsets.
func (g *Group) ProtocolType() string { return g.protocolType }

// Size is the number of members.
func (g *Group) Size() int { return len(g.members) }

func (g *Group) enter(s State, now int64) {
	g.state, g.since = s, now
}

func (g *Group) note(out *Out, format string, args ...any) {
	out.Notes = append(out.Notes, fmt.Sprintf(format, args...))
}

// fenced says that the instance is known under another member id.
func (g *Group) fenced(memberID string, instance *string) bool {
	if instance == nil {
		return false
	}
	m, ok := g.static[*instance]
	return ok && m.id != memberID
}

// identify checks what every request of a member but JoinGroup gives. Code 0 comes with the member.
func (g *Group) identify(memberID string, instance *string, generation int32) (*member, int16) {
	if g.state == Dead {
		return nil, kerr.CoordinatorNotAvailable.Code
	}
	if g.fenced(memberID, instance) {
		return nil, kerr.FencedInstanceID.Code
	}
	m := g.members[memberID]
	if m == nil {
		return nil, kerr.UnknownMemberID.Code
	}
	if generation != g.generation {
		return nil, kerr.IllegalGeneration.Code
	}
	return m, 0
}

// supports says whether members with these protocols could be in the group.
func (g *Group) supports(protocolType string, protocols []Protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if g.protocolType != protocolType {
		return false
	}
	for i := range protocols {
		if g.supported[protocols[i].Name] == len(g.members) {
			return true
		}
	}
	return false
}

// Unload ends the group because this broker does not lead its log any more: who waits is sent to the new coordinator.
func (g *Group) Unload(now int64, out *Out) {
	for _, m := range g.order {
		g.answerJoin(m, failedJoin(m.id, kerr.NotCoordinator.Code), out)
		g.answerSync(m, &SyncResult{Code: kerr.NotCoordinator.Code}, out)
	}
	g.joinAt = 0
	g.enter(Dead, now)
}

// Fire is called when a timer's time has come.
func (g *Group) Fire(now int64, t Timer, out *Out) {
	switch {
	case g.state == Dead:
	case t.Member == "":
		g.fireJoin(now, t.At, out)
	default:
		g.fireMember(now, t, out)
	}
}

func (g *Group) armJoin(at int64, out *Out) {
	g.joinAt = at
	if g.joinArmed == 0 || at < g.joinArmed {
		g.joinArmed = at
		out.Timers = append(out.Timers, Timer{At: at})
	}
}

func (g *Group) fireJoin(now, at int64, out *Out) {
	if g.joinArmed != at {
		return
	}
	g.joinArmed = 0
	switch {
	case g.joinAt == 0:
	case g.joinAt > now:
		g.armJoin(g.joinAt, out)
	case g.initial && g.newMember && g.initialRemaining != 0:
		g.newMember = false
		delay := min(g.cfg.InitialDelay, g.initialRemaining)
		g.initialRemaining = max(g.initialRemaining-g.initialDelay, 0)
		g.initialDelay = delay
		g.armJoin(now+delay, out)
	default:
		g.completeJoin(now, out)
	}
}

func (g *Group) fireMember(now int64, t Timer, out *Out) {
	if m := g.members[t.Member]; m != nil {
		if m.armed != t.At {
			return
		}
		m.armed = 0
		switch {
		case m.deadline == 0:
		case m.deadline > now:
			g.arm(m, m.deadline, out)
		case !m.isNew && m.waits():
			m.deadline = 0 // it is set anew with the answer
		default:
			g.note(out, "Member %s in group %s has failed, removing it from the group", m.id, g.id)
			g.removeAndUpdate(m, now, "removing member "+m.id+" on heartbeat expiration", out)
		}
		return
	}
	if at, ok := g.pending[t.Member]; ok && at <= now {
		g.note(out, "Pending member %s in group %s has been removed after session timeout expiration.", t.Member, g.id)
		delete(g.pending, t.Member)
		g.tryCompleteJoin(now, out)
	}
}
