package core

import (
	"flag"
	"fmt"
	"math/rand"
	"slices"
	"testing"
)

var (
	simSeeds = flag.Int("seeds", 150, "how many seeds the simulation runs")
	simSeed  = flag.Int64("seed", 0, "one seed of the simulation")
	simTail  = flag.Int("tail", 40, "how many lines of the story of a failure are shown")
)

// The simulation: a ZooKeeper, brokers, and controllers of which some do not know that they are deposed; everything between them takes
// its time. After every step nothing unlawful stands in ZooKeeper, and when the trouble ends everything comes to rest.
type sim struct {
	t       *testing.T
	seed    int64
	rng     *rand.Rand
	unclean bool

	// ZooKeeper
	epoch   int32
	zxid    int64
	live    map[int32]int64 // broker: epoch
	topics  map[string]map[int32]Assignment
	states  map[TP]Leadership
	deletes map[string]bool
	stood   map[string]bool // leaderships that ever stood, with their versions

	brokers map[int32]*simBroker
	ctls    []*simController
	led     map[string]int32 // partition and leader epoch: who led
	leaving map[int32]bool
	ref     uint64
	log     []string
}

type simBroker struct {
	ctlEpoch int32
	onDisk   map[TP]int32 // leader epoch
	role     map[TP]Leadership
	// knows is the assignment that came with the role: as a real broker does, it takes in nothing under an epoch that it has.
	knows map[TP]Assignment
}

type simController struct {
	s      *State
	epoch  int32
	events []func() Event // hints: read when they are handled
	writes []Write
	wire   map[int32][]Request
}

func (m *sim) logf(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *sim) fail(format string, args ...any) {
	m.t.Helper()
	tail := m.log[max(0, len(m.log)-*simTail):]
	for _, l := range tail {
		m.t.Log(l)
	}
	m.t.Fatalf("seed %d: %s", m.seed, fmt.Sprintf(format, args...))
}

func TestSimulation(t *testing.T) {
	seeds := make([]int64, 0, *simSeeds)
	for i := range *simSeeds {
		seeds = append(seeds, int64(i+1))
	}
	if *simSeed != 0 {
		seeds = []int64{*simSeed}
	}
	for _, seed := range seeds {
		m := &sim{t: t, seed: seed, rng: rand.New(rand.NewSource(seed)), unclean: seed%5 == 0, live: map[int32]int64{},
			topics: map[string]map[int32]Assignment{}, states: map[TP]Leadership{}, deletes: map[string]bool{}, stood: map[string]bool{},
			brokers: map[int32]*simBroker{}, led: map[string]int32{}, leaving: map[int32]bool{}}
		m.run()
	}
}

func (m *sim) run() {
	for id := int32(1); id <= 4; id++ {
		m.brokers[id] = &simBroker{onDisk: map[TP]int32{}}
		m.register(id)
	}
	m.elect()
	for range 1500 {
		if m.rng.Intn(8) == 0 {
			m.trouble()
		} else {
			m.progress()
		}
		m.check()
	}
	for id := range m.leaving { // who hands over stops then
		m.die(id)
	}
	for id := range m.brokers {
		if m.live[id] == 0 && m.seed%2 == 0 { // else who is dead stays so
			m.register(id)
		}
	}
	m.settle()
	m.arrive()
	m.rest()
}

// settle lets everything happen that is under way.
func (m *sim) settle() {
	for i := 0; m.progress(); i++ {
		m.check()
		if i > 100000 {
			m.fail("it does not come to rest")
		}
	}
}

// arrive lets every leader take in all live replicas, after which no move to live brokers may be left.
func (m *sim) arrive() {
	for range 3 {
		for _, tp := range m.sorted() {
			if l := m.states[tp]; l.Leader >= 0 && m.live[l.Leader] != 0 {
				up := func(id int32) bool {
					return m.live[id] != 0 && (id == l.Leader || m.brokers[id].role[tp].LeaderEpoch == l.LeaderEpoch)
				}
				m.ask(tp, l, filter(m.topics[tp.Topic][tp.Partition].Replicas, up), m.current())
			}
		}
		m.settle()
	}
	for _, tp := range m.sorted() {
		a, l := m.topics[tp.Topic][tp.Partition], m.states[tp]
		if a.Moving() && l.Leader >= 0 && !m.deletes[tp.Topic] && len(without(a.target(), sortedKeys(m.live))) == 0 {
			m.fail("%s is at %v for ever: %s", tp, a, l)
		}
	}
	if left := m.current().s.Unanswered(); len(left) > 0 {
		m.fail("nobody answers %v", left)
	}
}

func (m *sim) die(id int32) {
	delete(m.live, id)
	delete(m.leaving, id)
	m.logf("broker %d dies", id)
	m.hint(m.brokersNow)
}

// ask lets a leader ask a controller for another ISR.
func (m *sim) ask(tp TP, l Leadership, isr []int32, c *simController) {
	if equal(isr, l.ISR) {
		return
	}
	m.ref++
	ev := AlterIsr{Ref: m.ref, Broker: l.Leader, Epoch: m.live[l.Leader], Changes: []IsrChange{{TP: tp, LeaderEpoch: l.LeaderEpoch, ISR: isr, Version: l.Version}}}
	m.logf("leader %d of %s asks for %v", l.Leader, tp, isr)
	c.events = append(c.events, func() Event { return ev })
}

func (m *sim) current() *simController { return m.ctls[len(m.ctls)-1] }

func (m *sim) register(id int32) {
	m.zxid++
	delete(m.leaving, id)
	m.live[id] = m.zxid
	m.brokers[id].role, m.brokers[id].knows = map[TP]Leadership{}, map[TP]Assignment{}
	m.logf("broker %d registers, epoch %d", id, m.zxid)
	m.hint(m.brokersNow)
}

func (m *sim) hint(f func() Event) {
	for _, c := range m.ctls {
		c.events = append(c.events, f)
	}
}

func (m *sim) brokersNow() Event {
	var ev BrokersChanged
	for _, id := range sortedKeys(m.live) {
		ev.Brokers = append(ev.Brokers, Broker{ID: id, Epoch: m.live[id]})
	}
	return ev
}

func (m *sim) topic(name string, states bool) Topic {
	in := Topic{Name: name, Partitions: map[int32]Assignment{}, States: map[int32]Leadership{}}
	for n, a := range m.topics[name] {
		in.Partitions[n] = a
		if l, ok := m.states[TP{name, n}]; ok && states {
			in.States[n] = l
		}
	}
	return in
}

func (m *sim) topicsNow(c *simController) Event {
	ev := TopicsChanged{Names: sortedKeys(m.topics)}
	for _, n := range c.s.Unknown(ev.Names) {
		ev.New = append(ev.New, m.topic(n, false))
	}
	return ev
}

// elect makes a new controller; the old one may not know for long.
func (m *sim) elect() {
	m.epoch++
	c := &simController{s: New(Config{BrokerID: 1, DeleteTopics: true, Unclean: m.unclean}), epoch: m.epoch, wire: map[int32][]Request{}}
	m.logf("controller of epoch %d", m.epoch)
	m.ctls = append(m.ctls, c)
	ev := Elected{Epoch: m.epoch, Brokers: m.brokersNow().(BrokersChanged).Brokers, Deleting: sortedKeys(m.deletes)}
	for _, n := range sortedKeys(m.topics) {
		ev.Topics = append(ev.Topics, m.topic(n, true))
	}
	m.apply(c, ev)
}

func (m *sim) apply(c *simController, ev Event) {
	plan := c.s.Apply(ev)
	m.logf("%d: %T -> %v, %d requests", c.epoch, ev, plan.Writes, len(plan.Requests))
	c.writes = append(c.writes, plan.Writes...)
	for _, r := range plan.Requests {
		c.wire[r.Broker] = append(c.wire[r.Broker], r)
		if r.LeaderAndIsr == nil {
			continue
		}
		for _, p := range r.LeaderAndIsr.Partitions {
			if !m.stood[m.key(p.TP, p.Leadership)] {
				m.fail("broker %d is told %s of %s, which never stood in ZooKeeper", r.Broker, p.Leadership, p.TP)
			}
		}
	}
}

func (m *sim) key(tp TP, l Leadership) string { return fmt.Sprint(tp, l, l.ControllerEpoch, l.Version) }

func (m *sim) trouble() {
	r := m.rng
	ids := sortedKeys(m.live)
	switch r.Intn(15) {
	case 0:
		if len(ids) > 1 {
			id := ids[r.Intn(len(ids))]
			m.die(id)
		}
	case 1:
		if id := int32(r.Intn(4) + 1); m.live[id] == 0 || r.Intn(3) == 0 {
			m.register(id)
		}
	case 2, 3:
		name := fmt.Sprintf("t%d", r.Intn(4))
		if m.topics[name] != nil || m.deletes[name] {
			return
		}
		m.topics[name] = map[int32]Assignment{}
		m.grow(name, 1+r.Intn(3))
		for _, c := range m.ctls {
			c.events = append(c.events, func() Event { return m.topicsNow(c) })
		}
	case 4:
		if names := sortedKeys(m.topics); len(names) > 0 {
			name := names[r.Intn(len(names))]
			m.grow(name, 1)
			m.hint(func() Event { return TopicChanged{m.topic(name, false)} })
		}
	case 5:
		if names := sortedKeys(m.topics); len(names) > 0 && r.Intn(2) == 0 {
			name := names[r.Intn(len(names))]
			m.deletes[name] = true
			m.logf("deletion of %s is asked for", name)
			m.hint(func() Event { return DeletionsChanged{sortedKeys(m.deletes)} })
		}
	case 6:
		if r.Intn(4) == 0 {
			m.elect()
		}
	case 7:
		if id := int32(r.Intn(4) + 1); m.live[id] != 0 && len(ids)-len(m.leaving) > 2 {
			m.leaving[id] = true
			m.ref++
			ev := ControlledShutdown{Ref: m.ref, Broker: id, Epoch: m.live[id]}
			m.logf("broker %d would like to stop", id)
			c := m.ctls[r.Intn(len(m.ctls))]
			c.events = append(c.events, func() Event { return ev })
		}
	case 8, 9:
		tps := m.sorted()
		if len(tps) == 0 {
			return
		}
		tp := tps[r.Intn(len(tps))]
		var target []int32 // nil cancels
		if r.Intn(4) > 0 {
			for _, i := range r.Perm(4)[:1+r.Intn(3)] {
				target = append(target, int32(i+1))
			}
		}
		m.ref++
		ev := Reassign{Ref: m.ref, Targets: []Target{{TP: tp, Replicas: target}}, Znode: target != nil && r.Intn(2) == 0}
		m.logf("%s shall move to %v", tp, target)
		c := m.ctls[r.Intn(len(m.ctls))]
		c.events = append(c.events, func() Event { return ev })
	case 10:
		tps := m.sorted()
		if len(tps) == 0 {
			return
		}
		m.ref++
		ev := Elect{Ref: m.ref, Partitions: tps[:1+r.Intn(len(tps))], Unclean: m.unclean && r.Intn(2) == 0}
		c := m.current()
		c.events = append(c.events, func() Event { return ev }, func() Event { return Balance{10} })
	default:
		m.leaderWrites()
	}
}

func (m *sim) grow(name string, by int) {
	for range by {
		p := m.rng.Perm(4)[:1+m.rng.Intn(3)]
		a := Assignment{}
		for _, i := range p {
			a.Replicas = append(a.Replicas, int32(i+1))
		}
		m.topics[name][int32(len(m.topics[name]))] = a
	}
	m.logf("topic %s: %v", name, m.topics[name])
}

// leaderWrites lets a leader shrink or expand its ISR by itself, as leaders do below protocol version 2.7-IV2.
func (m *sim) leaderWrites() {
	for _, tp := range m.sorted() {
		// A leader that has just died may have written before: it is no matter here whether it lives.
		l := m.states[tp]
		if l.Leader < 0 || m.brokers[l.Leader].role[tp].LeaderEpoch != l.LeaderEpoch || m.rng.Intn(3) > 0 {
			continue
		}
		var isr []int32
		for _, id := range m.topics[tp.Topic][tp.Partition].Replicas {
			if id == l.Leader || m.live[id] != 0 && m.rng.Intn(2) == 0 {
				isr = append(isr, id)
			}
		}
		if m.rng.Intn(2) == 0 && m.live[l.Leader] != 0 {
			m.ask(tp, l, isr, m.ctls[m.rng.Intn(len(m.ctls))])
			return
		}
		l.ISR = isr
		l.Version++
		m.put(tp, l)
		m.logf("leader %d writes %s: %s v%d", l.Leader, tp, l, l.Version)
		m.hint(func() Event {
			if s, ok := m.states[tp]; ok {
				return StatesRead{map[TP]Leadership{tp: s}}
			}
			return StatesRead{}
		})
		return
	}
}

func (m *sim) put(tp TP, l Leadership) {
	m.states[tp] = l
	m.stood[m.key(tp, l)] = true
}

func (m *sim) sorted() []TP {
	tps := make([]TP, 0, len(m.states))
	for tp := range m.states {
		tps = append(tps, tp)
	}
	sortTPs(tps)
	return tps
}

// progress lets one thing happen that is under way, and says whether there was one.
func (m *sim) progress() bool {
	var can []func()
	for _, c := range slices.Clone(m.ctls) {
		if len(c.events) > 0 {
			can = append(can, func() {
				f := c.events[0]
				c.events = c.events[1:]
				m.apply(c, f())
			})
		}
		if len(c.writes) > 0 {
			can = append(can, func() {
				i := m.rng.Intn(len(c.writes))
				w := c.writes[i]
				c.writes = slices.Delete(c.writes, i, i+1)
				m.write(c, w)
			})
		}
		for _, id := range sortedKeys(c.wire) {
			if len(c.wire[id]) > 0 {
				can = append(can, func() { m.deliver(c, id) })
			}
		}
	}
	if len(can) == 0 {
		return false
	}
	can[m.rng.Intn(len(can))]()
	return true
}

func (m *sim) write(c *simController, w Write) {
	if c.epoch != m.epoch { // fenced: it resigns
		m.logf("%d: fenced: %s", c.epoch, w)
		m.ctls = slices.DeleteFunc(m.ctls, func(o *simController) bool { return o == c })
		return
	}
	res := Result{Write: w}
	now, there := m.states[w.TP]
	switch w.Kind {
	case CreateState:
		switch {
		case m.topics[w.TP.Topic] == nil:
			res.Outcome = Conflict
		case there:
			res.Outcome, res.Found = Conflict, &now
		default:
			m.put(w.TP, w.To)
		}
	case SetState:
		switch {
		case !there:
			res.Outcome = Conflict
		case now.Version != w.From:
			res.Outcome, res.Found = Conflict, &now
		default:
			m.lawful(now, w)
			w.To.Version = now.Version + 1
			m.put(w.TP, w.To)
			res.Version = w.To.Version
		}
	case DeleteTopic:
		for n, a := range m.topics[w.TP.Topic] {
			tp := TP{w.TP.Topic, n}
			for _, id := range a.Replicas {
				if _, ok := m.brokers[id].onDisk[tp]; ok {
					// A partition that grew out of sight of the controller may be there; one it told of may not.
					m.fail("the znodes of %s go while broker %d has its files", tp, id)
				}
			}
			delete(m.states, tp)
		}
		for _, b := range m.brokers { // brokers that were away when a partition left them keep its files, as with Kafka
			for tp := range b.onDisk {
				if tp.Topic == w.TP.Topic {
					delete(b.onDisk, tp)
					delete(b.role, tp)
					delete(b.knows, tp)
				}
			}
		}
		delete(m.topics, w.TP.Topic)
		delete(m.deletes, w.TP.Topic)
		for k := range m.led {
			if len(k) > len(w.TP.Topic) && k[:len(w.TP.Topic)+1] == w.TP.Topic+"-" {
				delete(m.led, k)
			}
		}
		m.hint(func() Event { return TopicsChanged{Names: sortedKeys(m.topics), New: nil} })
	case ClearDeletion:
		delete(m.deletes, w.TP.Topic)
	case SetAssignments:
		if m.topics[w.TP.Topic] == nil {
			res.Outcome, res.Err = Failed, "gone"
			break
		}
		for n, a := range w.Assignments {
			tp := TP{w.TP.Topic, n}
			if l, ok := m.states[tp]; ok && len(filter(l.ISR, func(id int32) bool { return contains(a.Replicas, id) })) == 0 {
				m.fail("%s: no replica in sync is left of %s", w, l)
			}
			m.topics[w.TP.Topic][n] = a
		}
	case ClearMoves:
	}
	m.logf("%d: %s: outcome %d", c.epoch, w, res.Outcome)
	c.events = append(c.events, func() Event { return WritesDone{[]Result{res}} })
	if w.Kind == DeleteTopic {
		for _, o := range m.ctls {
			o.events = append(o.events, func() Event { return m.topicsNow(o) })
		}
	}
}

func (m *sim) lawful(now Leadership, w Write) {
	if w.To.LeaderEpoch == now.LeaderEpoch && w.To.Leader == now.Leader && contains(w.To.ISR, now.Leader) {
		return // what its leader asked for
	}
	if w.To.LeaderEpoch <= now.LeaderEpoch {
		m.fail("%s: leader epoch after %s", w, now)
	}
	if len(w.To.ISR) == 0 || w.To.Leader >= 0 && !contains(w.To.ISR, w.To.Leader) {
		m.fail("%s: no ISR, or a leader outside it", w)
	}
	for _, id := range append([]int32{w.To.Leader}, w.To.ISR...) {
		if id >= 0 && !m.unclean && !contains(now.ISR, id) {
			m.fail("%s: %d was not in sync: %s", w, id, now)
		}
	}
}

func (m *sim) deliver(c *simController, id int32) {
	r := c.wire[id][0]
	c.wire[id] = c.wire[id][1:]
	b := m.brokers[id]
	if m.live[id] != r.BrokerEpoch || c.epoch < b.ctlEpoch {
		return // a stale request; the controller hears of the broker's new registration
	}
	b.ctlEpoch = c.epoch
	switch {
	case r.LeaderAndIsr != nil:
		errs := map[TP]int16{}
		for _, p := range r.LeaderAndIsr.Partitions {
			errs[p.TP] = 0
			old, ok := b.role[p.TP]
			if ok && old.LeaderEpoch > p.Leadership.LeaderEpoch {
				continue
			}
			if !ok || old.LeaderEpoch < p.Leadership.LeaderEpoch {
				b.knows[p.TP] = p.Assignment
			}
			b.role[p.TP], b.onDisk[p.TP] = p.Leadership, p.Leadership.LeaderEpoch
			if p.Leadership.Leader == id {
				k := fmt.Sprintf("%s/%d", p.TP, p.Leadership.LeaderEpoch)
				if who, ok := m.led[k]; ok && who != id {
					m.fail("%s is led by %d and %d", k, who, id)
				}
				m.led[k] = id
			}
		}
		c.events = append(c.events, func() Event { return LeaderAndIsrAnswered{id, r.BrokerEpoch, errs} })
	case r.StopReplica != nil:
		errs := map[TP]int16{}
		for _, p := range r.StopReplica.Partitions {
			if p.Delete {
				errs[p.TP] = 0
			}
			if m.rng.Intn(10) == 0 && len(m.log) < 3000 {
				if p.Delete {
					errs[p.TP] = 56
				}
				continue
			}
			delete(b.role, p.TP)
			delete(b.knows, p.TP)
			if p.Delete {
				delete(b.onDisk, p.TP)
			}
		}
		c.events = append(c.events, func() Event { return StopReplicaAnswered{id, r.BrokerEpoch, errs} })
	}
}

func (m *sim) check() {
	for tp, l := range m.states {
		if len(l.ISR) == 0 || l.Leader >= 0 && !contains(l.ISR, l.Leader) || l.ControllerEpoch > m.epoch {
			m.fail("%s: %s", tp, l)
		}
	}
}

// rest checks what must be true when nothing is under way any more: what can be led is, who lives knows by whom, and what can be deleted is.
func (m *sim) rest() {
	if len(m.deletes) > 0 { // those that failed are tried again when asked for anew
		for len(m.log) < 3001 {
			m.logf("")
		}
		m.apply(m.current(), DeletionsChanged{sortedKeys(m.deletes)})
		for m.progress() {
			m.check()
		}
	}
	for name, ps := range m.topics {
		alive := true
		for _, a := range ps {
			for _, id := range a.Replicas {
				alive = alive && m.live[id] != 0
			}
		}
		if m.deletes[name] {
			if alive {
				m.fail("not deleted: %v", name)
			}
			continue
		}
		for n, a := range ps {
			m.restOf(TP{name, n}, a)
		}
	}
}

func (m *sim) restOf(tp TP, a Assignment) {
	up := func(id int32) bool { return m.live[id] != 0 }
	l, ok := m.states[tp]
	could := len(filter(l.ISR, up)) > 0
	if !ok || m.unclean {
		could = len(filter(a.Replicas, up)) > 0
	}
	if could != (ok && l.Leader >= 0) || ok && l.Leader >= 0 && !up(l.Leader) {
		m.fail("%s stands as %s (%v), and could be led: %v; live are %v", tp, l, ok, could, sortedKeys(m.live))
	}
	if !ok {
		return
	}
	if view, _ := m.current().s.LeadershipOf(tp); m.key(tp, view) != m.key(tp, l) {
		m.fail("%s stands as %s v%d, and the controller knows %s v%d", tp, l, l.Version, view, view.Version)
	}
	for _, id := range filter(a.Replicas, up) {
		if got := m.brokers[id].role[tp]; got.LeaderEpoch != l.LeaderEpoch || got.Leader != l.Leader {
			m.fail("%s: %s v%d stands, and broker %d knows %s", tp, l, l.Version, id, got)
		}
		if knows := m.brokers[id].knows[tp]; id == l.Leader && !equal(knows.Replicas, a.Replicas) {
			m.fail("%s: %v stands, and its leader %d knows %v", tp, a, id, knows)
		}
	}
}
