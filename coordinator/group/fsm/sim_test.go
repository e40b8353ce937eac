package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// world is a group, its log, and clients that join, crash, come back, commit and leave at random; the coordinator is killed now and then.
type world struct {
	t    *testing.T
	seed uint64
	rnd  *rand.Rand
	now  int64
	g    *Group
	cfg  *Config

	timers  []Timer
	log     []*Write // what is in the log
	flying  []flight // appended and not committed, or refused
	ids     int
	clients []*client

	open               map[int]bool              // waiters not answered yet
	leaders, protocols map[int32]string          // by generation
	owners             map[string]map[int]string // by life and generation: who has which partition
	life               int
	value              int64        // the last offset that somebody committed
	acked              map[TP]int64 // the largest offset whose commit was answered well
	seen               map[TP]int64 // the largest offset that was visible
	// markers are the ends of transactions, by their place in the log; txns is what the open ones hold, aborted what nobody may see.
	markers map[int]simMarker
	txns    map[int64]map[TP]int64
	aborted map[int64]bool
}

type simMarker struct {
	producer int64
	commit   bool
}

type flight struct {
	w      *Write
	at     int64
	failed bool
}

type client struct {
	n          int
	id         string
	instance   *string
	generation int32
	waiting    int // its waiter, 0 if it waits for nothing
	life       int
	plan       []JoinedMember // it leads and has to share
	owned      bool
}

type answer struct {
	n int
	c *client
	// of a commit
	commits []Commit
	inTxn   bool
}

const simPartitions = 7

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), now: 1000, open: map[int]bool{}, leaders: map[int32]string{}, protocols: map[int32]string{},
		owners: map[string]map[int]string{}, acked: map[TP]int64{}, seen: map[TP]int64{},
		markers: map[int]simMarker{}, txns: map[int64]map[TP]int64{}, aborted: map[int64]bool{},
		cfg: &Config{MinSession: 1, MaxSession: 1 << 30, InitialDelay: 300, MaxSize: 6, MaxMetadata: 10, Retention: 1 << 40}}
	w.g = New("g", w.cfg, w.now)
	for n := range 8 {
		c := &client{n: n}
		if n%3 == 0 {
			s := fmt.Sprintf("static%d", n)
			c.instance = &s
		}
		w.clients = append(w.clients, c)
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, time %d: %s", w.seed, w.now, fmt.Sprintf(format, args...))
}

func (w *world) waiter(c *client) *answer {
	w.ids++
	w.open[w.ids] = true
	return &answer{n: w.ids, c: c}
}

// take does what an event asks for.
func (w *world) take(out *Out) {
	w.timers = append(w.timers, out.Timers...)
	for i := 0; i < len(out.Writes); i++ {
		wr := out.Writes[i]
		refused := w.rnd.IntN(20) == 0
		if refused && w.rnd.IntN(2) == 0 {
			w.g.Written(w.now, wr, kerr.CoordinatorNotAvailable.Code, -1, out)
			continue
		}
		w.g.Appended(wr, int64(len(w.log)))
		for _, o := range wr.Offsets {
			if p := wr.Txn.Producer; wr.Txn != NoTxn {
				if w.txns[p] == nil {
					w.txns[p] = map[TP]int64{}
				}
				w.aborted[w.txns[p][o.TP]] = true // an older one of the same transaction
				w.txns[p][o.TP] = o.Offset.Offset
			}
		}
		at := int64(len(w.log))
		w.log = append(w.log, snapshot(wr))
		if !refused && len(w.flying) == 0 && w.rnd.IntN(3) == 0 { // no replica has to be waited for
			w.g.Written(w.now, wr, 0, at, out)
			continue
		}
		w.g.Uncommitted(wr)
		w.flying = append(w.flying, flight{wr, at, refused})
	}
	for _, r := range out.Replies {
		w.reply(r)
	}
	w.check()
}

func snapshot(w *Write) *Write {
	s := &Write{Txn: w.Txn, Group: w.Group, GroupTombstone: w.GroupTombstone}
	for _, o := range w.Offsets {
		off := *o.Offset
		s.Offsets = append(s.Offsets, OffsetRecord{o.TP, &off})
	}
	return s
}

func (w *world) reply(r Reply) {
	a := r.To.(*answer)
	if !w.open[a.n] {
		w.fail("waiter %d was answered twice", a.n)
	}
	delete(w.open, a.n)
	c := a.c
	if a.commits != nil {
		for _, k := range a.commits {
			if k.Code == 0 && !a.inTxn {
				w.acked[k.TP] = max(w.acked[k.TP], k.Offset.Offset)
			}
		}
		return
	}
	if c.waiting != a.n {
		return // the client has given it up
	}
	c.waiting = 0
	switch {
	case r.Join != nil:
		w.joined(c, r.Join)
	case r.Sync != nil && r.Sync.Code == 0:
		w.own(c, r.Sync.Assignment)
	case r.Sync != nil && (r.Sync.Code == kerr.UnknownMemberID.Code || r.Sync.Code == kerr.FencedInstanceID.Code):
		c.id, c.generation = "", 0
	case r.Sync != nil:
		c.generation = 0
	}
}

func (w *world) joined(c *client, j *JoinResult) {
	c.plan, c.owned = nil, false
	switch j.Code {
	case 0:
		c.id, c.generation, c.plan = j.MemberID, j.Generation, j.Members
		c.life = w.life
		if len(j.Members) > 0 {
			key := j.Generation
			if was, ok := w.leaders[key]; ok && was != j.MemberID {
				w.fail("generation %d has the leaders %s and %s", key, was, j.MemberID)
			}
			w.leaders[key] = j.MemberID
			if j.Leader != j.MemberID {
				w.fail("%s was given the members and %s is called the leader", j.MemberID, j.Leader)
			}
		}
		if j.Protocol == nil || c.n%2 == 0 && *j.Protocol != "range" {
			w.fail("a protocol that client %d does not offer was chosen", c.n)
		}
		if was := w.protocols[j.Generation]; was != "" && was != *j.Protocol {
			w.fail("generation %d has the protocols %s and %s", j.Generation, was, *j.Protocol)
		}
		w.protocols[j.Generation] = *j.Protocol
	case kerr.MemberIDRequired.Code:
		c.id = j.MemberID
	case kerr.UnknownMemberID.Code, kerr.FencedInstanceID.Code, kerr.GroupMaxSizeReached.Code:
		c.id, c.generation = "", 0
	default:
		c.generation = 0
	}
}

// own checks that a partition has one owner in a generation.
func (w *world) own(c *client, assignment []byte) {
	key := fmt.Sprintf("%d/%d", c.life, c.generation)
	if w.owners[key] == nil {
		w.owners[key] = map[int]string{}
	}
	for _, p := range assignment {
		if was, ok := w.owners[key][int(p)]; ok && was != fmt.Sprint(c.n) {
			w.fail("partition %d belongs to client %s and to client %d in generation %s", p, was, c.n, key)
		}
		w.owners[key][int(p)] = fmt.Sprint(c.n)
	}
	c.owned = true
}

func (w *world) check() {
	g := w.g
	waits := 0
	for i, m := range g.order {
		if m.at != i || g.members[m.id] != m {
			w.fail("member %s is misplaced", m.id)
		}
		if m.join != nil {
			waits++
		}
		if m.instance != nil && g.static[*m.instance] != m {
			w.fail("static member %s is not known by its instance", m.id)
		}
		if m.sync != nil && g.state != CompletingRebalance {
			w.fail("%s waits for an assignment in state %s", m.id, g.state)
		}
		if m.deadline == 0 && !m.waits() && g.state != Dead {
			w.fail("%s would never be missed", m.id)
		}
	}
	if waits != g.awaiting || len(g.order) != len(g.members) {
		w.fail("%d members wait, counted %d; %d members, listed %d", waits, g.awaiting, len(g.members), len(g.order))
	}
	switch g.state {
	case Empty:
		if len(g.members) > 0 {
			w.fail("an empty group has %d members", len(g.members))
		}
	case CompletingRebalance, Stable:
		if g.members[g.leader] == nil {
			w.fail("the leader %q is no member", g.leader)
		}
	case PreparingRebalance:
		if g.joinAt == 0 {
			w.fail("a rebalance without an end")
		}
	case Dead:
	}
	for p := range int32(simPartitions) {
		tp := TP{"t", p}
		got := int64(-1)
		if o, _ := g.Offset(tp); o != nil {
			got = o.Offset
		}
		if w.aborted[got] && got > 0 {
			w.fail("offset %d of %v is of an aborted transaction", got, tp)
		}
		if was := w.seen[tp]; was > 0 && got < was {
			w.fail("offset of %v went back from %d to %d", tp, w.seen[tp], got)
		}
		if promised := w.acked[tp]; promised > 0 && got < promised {
			w.fail("offset %d of %v was promised, %d is there", w.acked[tp], tp, got)
		}
		w.seen[tp] = max(w.seen[tp], got)
	}
}

func (w *world) step() {
	var out Out
	c := w.clients[w.rnd.IntN(len(w.clients))]
	switch n := w.rnd.IntN(100); {
	case n < 25:
		w.advance(int64(w.rnd.IntN(200)))
		return
	case n < 45 && len(w.flying) > 0:
		w.land(&out)
	case n < 70:
		w.goOn(c, &out)
	case n < 80 && c.id != "" && c.waiting == 0:
		w.g.Heartbeat(w.now, c.id, c.instance, c.generation, &out)
	case n < 86 && c.id != "" && c.owned:
		w.commit(c, &out)
	case n < 88:
		w.commitTxn(c, &out)
	case n < 90:
		w.endTxn()
	case n < 92 && c.id != "":
		l := []Leaving{{MemberID: c.id, Instance: c.instance}}
		w.g.Leave(w.now, l, &out)
		c.id, c.waiting, c.generation, c.owned = "", 0, 0, false
	case n < 95: // it crashes, and forgets
		c.id, c.waiting, c.generation, c.owned = "", 0, 0, false
	case n < 96:
		w.crash(&out)
		return
	}
	w.take(&out)
}

// goOn does what a client would do next.
func (w *world) goOn(c *client, out *Out) {
	switch {
	case c.waiting != 0:
	case c.id == "" || c.generation == 0 || c.owned:
		a := w.waiter(c)
		c.waiting, c.owned = a.n, false
		protocols := []Protocol{{"sticky", []byte("x")}, {"range", nil}}
		if c.n%2 == 0 {
			protocols = protocols[1:]
		}
		w.g.Join(w.now, &Join{MemberID: c.id, NewID: fmt.Sprintf("m%d-%d", c.n, a.n), Instance: c.instance, RequireID: c.instance == nil && c.n != 1,
			Rebalance: 900, Session: 500, ProtocolType: "consumer", Protocols: protocols}, a, out)
	default:
		a := w.waiter(c)
		c.waiting = a.n
		s := &Sync{MemberID: c.id, Instance: c.instance, Generation: c.generation}
		if len(c.plan) > 0 {
			s.Assignments = map[string][]byte{}
			for p := range simPartitions {
				m := c.plan[p%len(c.plan)].ID
				s.Assignments[m] = append(s.Assignments[m], byte(p))
			}
		}
		w.g.Sync(w.now, s, a, out)
	}
}

func (w *world) commit(c *client, out *Out) {
	w.value++
	tp := TP{"t", int32(w.rnd.IntN(simPartitions))}
	a := w.waiter(c)
	a.commits = []Commit{{TP: tp, Offset: Offset{Offset: w.value, ExpireTime: -1, CommitTime: w.now}}}
	if w.rnd.IntN(10) == 0 {
		a.commits[0].Offset.Metadata = "far too long"
	}
	w.g.Commit(w.now, &OffsetCommit{MemberID: c.id, Instance: c.instance, Generation: c.generation, Commits: a.commits}, a, out)
}

// commitTxn commits an offset in the transaction of the client's producer.
func (w *world) commitTxn(c *client, out *Out) {
	w.value++
	tp := TP{"t", int32(w.rnd.IntN(simPartitions))}
	a := w.waiter(c)
	a.inTxn, a.commits = true, []Commit{{TP: tp, Offset: Offset{Offset: w.value, ExpireTime: -1, CommitTime: w.now}}}
	member, generation := "", int32(-1)
	if w.rnd.IntN(2) == 0 {
		member, generation = c.id, c.generation
	}
	w.g.CommitTxn(member, nil, generation, Txn{Producer: int64(c.n), Epoch: 0}, a.commits, a, out)
}

// endTxn writes a marker, and tells the group.
func (w *world) endTxn() {
	m := simMarker{int64(w.rnd.IntN(len(w.clients))), w.rnd.IntN(3) > 0}
	at := len(w.log)
	w.log, w.markers[at] = append(w.log, &Write{Txn: NoTxn}), m
	w.g.EndTxn(m.producer, int64(at), m.commit)
	for tp, value := range w.txns[m.producer] {
		if m.commit {
			w.acked[tp] = max(w.acked[tp], value)
		} else {
			w.aborted[value] = true
		}
	}
	delete(w.txns, m.producer)
	w.check()
}

// land commits the first write that is under way, as a log does.
func (w *world) land(out *Out) {
	f := w.flying[0]
	w.flying = w.flying[1:]
	code := int16(0)
	if f.failed {
		code = kerr.CoordinatorNotAvailable.Code
	}
	w.g.Written(w.now, f.w, code, f.at, out)
}

func (w *world) advance(by int64) {
	end := w.now + by
	for {
		slices.SortFunc(w.timers, func(a, b Timer) int { return int(a.At - b.At) })
		if len(w.timers) == 0 || w.timers[0].At > end {
			break
		}
		t := w.timers[0]
		w.timers = w.timers[1:]
		w.now = max(w.now, t.At)
		var out Out
		w.g.Fire(w.now, t, &out)
		w.take(&out)
	}
	w.now = end
}

// crash ends the coordinator; the next one reads the log.
func (w *world) crash(out *Out) {
	w.g.Unload(w.now, out)
	for _, f := range w.flying {
		w.g.Written(w.now, f.w, kerr.NotCoordinator.Code, -1, out)
	}
	for _, r := range out.Replies {
		w.reply(r)
	}
	w.flying, w.timers = nil, nil
	w.life++
	w.leaders, w.protocols = map[int32]string{}, map[int32]string{}
	var last *kmsg.GroupMetadataValue
	offsets, open := map[TP]*Offset{}, map[int64]map[TP]*Offset{}
	for at, wr := range w.log {
		if m, is := w.markers[at]; is {
			for tp, o := range open[m.producer] {
				if was := offsets[tp]; m.commit && (was == nil || was.Position < o.Position) {
					offsets[tp] = o
				}
			}
			delete(open, m.producer)
		}
		if wr.Group != nil {
			last = wr.Group
		}
		for _, o := range wr.Offsets {
			off := *o.Offset
			off.Position = int64(at)
			to := offsets
			if wr.Txn != NoTxn {
				if open[wr.Txn.Producer] == nil {
					open[wr.Txn.Producer] = map[TP]*Offset{}
				}
				to = open[wr.Txn.Producer]
			}
			to[o.TP] = &off
		}
	}
	if last == nil {
		w.g = New("g", w.cfg, w.now)
	} else {
		last.Version = 3
		w.g = Load("g", last, w.cfg)
	}
	w.g.SetOffsets(offsets)
	for producer, of := range open {
		for tp, o := range of {
			w.g.SetPendingTxn(producer, tp, o)
		}
	}
	var start Out
	w.g.Start(w.now, &start)
	w.take(&start)
}

func TestSimulatedGroupsKeepTheirPromises(t *testing.T) {
	seeds := uint64(400)
	if testing.Short() {
		seeds = 50
	}
	stable := 0
	for seed := range seeds {
		w := newWorld(t, seed)
		for range 600 {
			w.step()
			if w.g.state == Stable {
				stable++
			}
		}
		// Left alone, the group answers everybody and loses its members.
		for len(w.flying) > 0 {
			var out Out
			w.land(&out)
			w.take(&out)
		}
		for range 20 {
			w.advance(newMemberTimeout)
			for len(w.flying) > 0 {
				var out Out
				w.land(&out)
				w.take(&out)
			}
		}
		if len(w.open) > 0 || len(w.g.members) > 0 || len(w.g.pending) > 0 {
			t.Fatalf("seed %d: %d waiters never answered, %d members and %d pending ones left in state %s", seed, len(w.open), len(w.g.members), len(w.g.pending), w.g.state)
		}
	}
	if stable < int(seeds)*20 {
		t.Errorf("only %d of %d steps had a stable group: the simulation does not reach much", stable, seeds*600)
	}
}
