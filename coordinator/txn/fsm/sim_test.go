package fsm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// world is one transactional id with the producers that fight for it, the log of its coordinator and the partitions that its transactions
// write to. Coordinators move and leave zombies behind, records are refused, replicated late or lost, answers are lost, markers fail.
//
// What holds after every step, or at the end when everything has settled: each waiter is answered once; no epoch is given to two producers; a
// transaction is never committed in one partition and aborted in another; what was acknowledged as committed is; markers are of a decision
// that is committed, and a completion is recorded only when all of them are written.
type world struct {
	t    *testing.T
	seed uint64
	rnd  *rand.Rand
	now  int64
	cfg  Config

	log       []entry // of all coordinators; the first committed are replicated
	committed int
	coords    []*coord // the last one is the leader
	parts     map[TP]*partition
	clients   []*producer
	pids      int64
	waiters   int
	open      map[int]bool
	flying    []parcel
	owners    map[Producer]string // who was given an epoch
	outcomes  map[string]map[bool][]TP
	promised  map[string]bool
	settling  bool
}

// entry is one record; nil is a tombstone.
type entry struct {
	value *kmsg.TxnMetadataValue
	coord *coord
	txn   *Txn
	w     *Write
	told  bool // its coordinator knows what became of it
	fine  bool // and it is in effect
}

// coord is a coordinator in one epoch. A deposed one goes on for a while.
type coord struct {
	epoch int32
	txn   *Txn
	gone  bool
	retry bool
	// upTo is what it has read of the log, and serves when that is committed; -1 since it does.
	upTo int
	// marked are the partitions of the decision that was recorded last, which have to be so before it is complete.
	marked  map[TP]bool
	decided State
}

type parcel struct {
	c *coord
	t *Txn
	m *Markers
	// codes are set of an answer that comes again.
	codes []int16
}

type partition struct {
	epochs map[int64]int16
	coords map[int64]int32
	open   map[int64][]string
}

// producer is a client. It does one thing after the other, and asks again when an answer is lost or says so.
type producer struct {
	n, life, txn int
	p            Producer
	has          bool // it was given an epoch
	parts        []TP
	added        bool
	ending       bool
	commit       bool
	waiting      int
	expects      bool // asks for its next epoch by the present one
	rests        int  // steps before it does anything
}

func (p *producer) name() string  { return fmt.Sprintf("%d.%d", p.n, p.life) }
func (p *producer) label() string { return fmt.Sprintf("%d.%d/%d", p.n, p.life, p.txn) }

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 7)), now: 1_000_000, cfg: Config{MaxTimeout: 10_000, Expiration: 50_000},
		parts: map[TP]*partition{}, open: map[int]bool{}, owners: map[Producer]string{}, outcomes: map[string]map[bool][]TP{}, promised: map[string]bool{}}
	for i := range int32(5) {
		w.parts[TP{"t", i}] = &partition{epochs: map[int64]int16{}, coords: map[int64]int32{}, open: map[int64][]string{}}
	}
	for i := range 1 + w.rnd.IntN(3) {
		w.clients = append(w.clients, &producer{n: i})
	}
	w.coords = []*coord{{upTo: -1}}
	return w
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

// take does what an event of a coordinator's id asks for.
func (w *world) take(c *coord, t *Txn, out *Out) {
	for i := 0; i < len(out.Writes); i++ {
		wr := out.Writes[i]
		leads := c == w.coords[len(w.coords)-1] && !c.gone
		if !leads || !w.settling && w.chance(5) {
			t.Written(w.now, wr, kerr.CoordinatorNotAvailable.Code, out)
			continue
		}
		w.checkRecord(c, t, wr)
		w.log = append(w.log, entry{value: wr.Value, coord: c, txn: t, w: wr})
	}
	for _, m := range out.Markers {
		w.checkMarkers(c, m)
		w.flying = append(w.flying, parcel{c: c, t: t, m: m})
	}
	c.retry = c.retry || out.Retry
	if t.State() == Dead && c.txn == t && !c.gone {
		c.txn = nil
	}
	for _, r := range out.Replies {
		r.To.(func(Reply))(r)
	}
}

// checkRecord: epochs of a producer id that were in effect never fall, and a completion comes after all markers.
func (w *world) checkRecord(c *coord, t *Txn, wr *Write) {
	if wr.Value == nil {
		return
	}
	for i := len(w.log) - 1; i >= 0; i-- {
		if v := w.log[i].value; v != nil && w.log[i].fine && v.ProducerID == wr.Value.ProducerID {
			if v.ProducerEpoch > wr.Value.ProducerEpoch {
				w.fail("epoch %d of producer %d is recorded after %d", wr.Value.ProducerEpoch, v.ProducerID, v.ProducerEpoch)
			}
			break
		}
	}
	switch State(wr.Value.State) {
	case PrepareCommit, PrepareAbort:
		c.marked, c.decided = map[TP]bool{}, State(wr.Value.State)
		for _, tp := range t.parts {
			c.marked[tp] = false
		}
	case CompleteCommit, CompleteAbort:
		if State(wr.Value.State) != c.decided+2 {
			w.fail("what was %v is recorded as %v", c.decided, State(wr.Value.State))
		}
		for tp, done := range c.marked {
			if !done {
				w.fail("the transaction is complete without a marker in %v", tp)
			}
		}
	case Empty, Ongoing, Dead:
	}
}

// checkMarkers: the decision is committed, unless its coordinator is deposed and says nothing that counts.
func (w *world) checkMarkers(c *coord, m *Markers) {
	if c != w.coords[len(w.coords)-1] {
		return
	}
	for i := w.committed - 1; i >= 0; i-- {
		v := w.log[i].value
		if v == nil {
			break
		}
		switch s := State(v.State); {
		case s == PrepareCommit && m.Commit || s == PrepareAbort && !m.Commit:
			return
		default:
			w.fail("markers (commit %v) are sent, the last record that is committed is %v", m.Commit, s)
		}
	}
	w.fail("markers are sent, and no decision is committed")
}

func (w *world) step() {
	w.now += int64(w.rnd.IntN(10))
	switch n := w.rnd.IntN(100); {
	case n < 45:
		w.act(w.clients[w.rnd.IntN(len(w.clients))])
	case n < 65:
		w.replicate()
	case n < 85:
		w.deliver()
	case n < 88:
		w.sweep()
	case n < 90:
		w.lose()
	case n < 91 && w.chance(20):
		w.now += 12_000
	case n < 92 && w.chance(10):
		w.now += 60_000
	case n < 94:
		w.move()
	case n < 96:
		w.depose()
	case n < 97:
		w.restart()
	}
}

// lose loses the answer of a client, which will ask again.
func (w *world) lose() { w.clients[w.rnd.IntN(len(w.clients))].waiting = 0 }

// restart makes a client begin anew: the one before is a zombie that may have requests under way.
func (w *world) restart() {
	p := w.clients[w.rnd.IntN(len(w.clients))]
	*p = producer{n: p.n, life: p.life + 1, rests: w.rnd.IntN(100)}
}

// waiter makes a waiter that calls f unless its client has given up.
func (w *world) waiter(p *producer, f func(Reply)) Waiter {
	w.waiters++
	n, life := w.waiters, p.life
	w.open[n], p.waiting = true, n
	return func(r Reply) {
		if !w.open[n] {
			w.fail("waiter %d is answered twice", n)
		}
		delete(w.open, n)
		if p.life == life && p.waiting == n {
			p.waiting = 0
			f(r)
		}
	}
}

// ask lets a coordinator serve a request: mostly the leader, at times one that was.
func (w *world) ask(p *producer, f func(c *coord, t *Txn, out *Out), fail func(code int16)) {
	c := w.coords[len(w.coords)-1]
	if w.chance(10) {
		c = w.coords[w.rnd.IntN(len(w.coords))]
	}
	switch {
	case c.gone || c.upTo >= 0: // or it is loading
		fail(kerr.NotCoordinator.Code)
	case c.txn == nil:
		fail(kerr.InvalidProducerIDMapping.Code)
	default:
		var out Out
		t := c.txn
		f(c, t, &out)
		w.take(c, t, &out)
	}
}

func (w *world) act(p *producer) {
	switch {
	case p.rests > 0:
		p.rests--
	case p.waiting != 0:
	case !p.has:
		w.init(p)
	case p.ending:
		w.end(p)
	case !p.added || w.chance(10):
		w.add(p)
	case w.chance(40):
		w.write(p)
	default:
		p.ending, p.commit = true, w.chance(70)
	}
}

// again is what a client makes of a code: ask again, or begin anew.
func (w *world) again(p *producer, code int16) {
	switch code {
	case kerr.ConcurrentTransactions.Code, kerr.NotCoordinator.Code, kerr.CoordinatorNotAvailable.Code:
	default:
		expects := p.has && w.chance(50)
		keep := p.p
		*p = producer{n: p.n, life: p.life + 1, p: keep, expects: expects, rests: w.rnd.IntN(300)}
	}
}

func (w *world) init(p *producer) {
	q := &Init{Timeout: 2000, NewID: -1}
	if p.expects {
		q.Expected = &Producer{p.p.ID, p.p.Epoch}
	}
	c := w.coords[len(w.coords)-1]
	if c.gone || c.upTo >= 0 {
		return
	}
	if c.txn == nil {
		w.pids++
		c.txn = New("id", w.pids, q.Timeout, w.now, &w.cfg)
		if w.chance(30) {
			c.txn.epoch = lastEpoch - 2 // so that epochs are used up
		}
	}
	if c.txn.NeedsID(q) {
		w.pids++
		q.NewID = w.pids
	}
	var out Out
	t := c.txn
	t.Init(w.now, q, w.waiter(p, func(r Reply) {
		if r.Code != 0 {
			p.expects = false
			w.again(p, r.Code)
			return
		}
		got := Producer{r.Producer, r.Epoch}
		if got.Epoch > lastEpoch {
			w.fail("epoch %d was given out: nothing is left to fence it with", got.Epoch)
		}
		if was, taken := w.owners[got]; taken && was != p.name() {
			w.fail("%v was given to %s and to %s", got, was, p.name())
		}
		w.owners[got] = p.name()
		p.p, p.has, p.expects, p.added, p.ending, p.parts = got, true, false, false, false, nil
		p.txn++
	}), &out)
	w.take(c, t, &out)
}

func (w *world) add(p *producer) {
	var more []TP
	for range 1 + w.rnd.IntN(2) {
		more = append(more, TP{"t", int32(w.rnd.IntN(len(w.parts)))})
	}
	w.ask(p, func(_ *coord, t *Txn, out *Out) {
		t.AddPartitions(w.now, p.p, more, w.waiter(p, func(r Reply) {
			if r.Code != 0 {
				w.again(p, r.Code)
				return
			}
			p.added = true
			p.parts = append(p.parts, more...)
		}), out)
	}, func(code int16) { w.again(p, code) })
}

// write appends to a partition, which knows of epochs what markers and records have told it.
func (w *world) write(p *producer) {
	tp := p.parts[w.rnd.IntN(len(p.parts))]
	part := w.parts[tp]
	if e, known := part.epochs[p.p.ID]; known && e > p.p.Epoch {
		w.again(p, kerr.InvalidProducerEpoch.Code)
		return
	}
	part.epochs[p.p.ID] = p.p.Epoch
	if !slices.Contains(part.open[p.p.ID], p.label()) {
		part.open[p.p.ID] = append(part.open[p.p.ID], p.label())
	}
}

func (w *world) end(p *producer) {
	label, commit := p.label(), p.commit
	w.ask(p, func(_ *coord, t *Txn, out *Out) {
		t.End(w.now, p.p, commit, w.waiter(p, func(r Reply) {
			if r.Code != 0 {
				w.again(p, r.Code)
				return
			}
			if commit {
				w.promised[label] = true
			}
			p.added, p.ending, p.parts = false, false, nil
			p.txn++
		}), out)
	}, func(code int16) { w.again(p, code) })
}

// replicate moves the committed end of the log, or lets a coordinator give up waiting for a record that may be committed yet.
func (w *world) replicate() {
	if w.committed == len(w.log) {
		return
	}
	if !w.settling && w.chance(10) {
		i := w.committed + w.rnd.IntN(len(w.log)-w.committed)
		w.tell(i, kerr.CoordinatorNotAvailable.Code)
		return
	}
	w.committed++
	w.tell(w.committed-1, 0)
	w.serve()
}

// serve lets the leader begin when all that it has read is committed.
func (w *world) serve() {
	c := w.coords[len(w.coords)-1]
	if c.upTo < 0 || w.committed < c.upTo {
		return
	}
	c.upTo = -1
	if c.txn == nil {
		return
	}
	var out Out
	c.txn.Start(w.now, &out)
	w.take(c, c.txn, &out)
}

// tell says what became of a record to the coordinator that wrote it.
func (w *world) tell(i int, code int16) {
	e := &w.log[i]
	if e.told {
		return
	}
	e.told, e.fine = true, code == 0
	var out Out
	e.txn.Written(w.now, e.w, code, &out)
	w.take(e.coord, e.txn, &out)
}

// deliver brings markers to their partitions, some of which refuse them.
func (w *world) deliver() {
	if len(w.flying) == 0 {
		return
	}
	i := w.rnd.IntN(len(w.flying))
	x := w.flying[i]
	w.flying = slices.Delete(w.flying, i, i+1)
	codes := x.codes
	if codes == nil {
		if !x.t.Current(x.m) {
			return // it was not sent any more
		}
		codes = make([]int16, len(x.m.Parts))
		for j, tp := range x.m.Parts {
			codes[j] = w.mark(x, tp)
		}
		if w.chance(10) {
			w.flying = append(w.flying, parcel{x.c, x.t, x.m, codes})
		}
	}
	var out Out
	x.t.Marked(x.m, codes, &out)
	w.take(x.c, x.t, &out)
}

func (w *world) mark(x parcel, tp TP) int16 {
	if !w.settling && w.chance(15) {
		return []int16{kerr.NotLeaderForPartition.Code, kerr.NotEnoughReplicas.Code, kerr.RequestTimedOut.Code, kerr.NetworkException.Code}[w.rnd.IntN(4)]
	}
	p, id := w.parts[tp], x.m.Producer
	if e, known := p.epochs[id]; known && e > x.m.Epoch {
		return kerr.InvalidProducerEpoch.Code
	}
	if p.coords[id] > x.c.epoch {
		return kerr.TransactionCoordinatorFenced.Code
	}
	p.epochs[id], p.coords[id] = x.m.Epoch, x.c.epoch
	for _, label := range p.open[id] {
		if w.outcomes[label] == nil {
			w.outcomes[label] = map[bool][]TP{}
		}
		w.outcomes[label][x.m.Commit] = append(w.outcomes[label][x.m.Commit], tp)
		if n := w.outcomes[label]; len(n[true]) > 0 && len(n[false]) > 0 {
			w.fail("transaction %s is committed in %v and aborted in %v", label, n[true], n[false])
		}
		if w.promised[label] && !x.m.Commit {
			w.fail("transaction %s was acknowledged as committed and is aborted in %v", label, tp)
		}
	}
	delete(p.open, id)
	if x.c.marked != nil {
		x.c.marked[tp] = true
	}
	return 0
}

// sweep is what the coordinator does from time to time.
func (w *world) sweep() {
	for _, c := range w.coords {
		if c.txn == nil || c.gone || c.upTo >= 0 {
			continue
		}
		var out Out
		t := c.txn
		t.Release(w.now, &out)
		switch {
		case c.retry:
			c.retry = false
			t.Retry(&out)
		case t.TimedOut(w.now):
			t.Abort(w.now, &out)
		default:
			t.Expire(w.now, &out)
		}
		w.take(c, t, &out)
	}
}

// move elects another leader: what was not committed may be lost. The old one does not know yet.
func (w *world) move() {
	keep := w.committed + w.rnd.IntN(len(w.log)-w.committed+1)
	lost := w.log[keep:]
	w.log = w.log[:keep:keep]
	c := &coord{epoch: w.coords[len(w.coords)-1].epoch + 1, upTo: keep}
	w.coords = append(w.coords, c)
	for i := range lost {
		if e := &lost[i]; !e.told {
			var out Out
			e.txn.Written(w.now, e.w, kerr.NotCoordinator.Code, &out)
			w.take(e.coord, e.txn, &out)
		}
	}
	for i := range w.log {
		if e := &w.log[i]; !e.told { // its coordinator may hear of it or not
			if w.chance(50) {
				w.tell(i, kerr.NotCoordinator.Code)
			}
		}
	}
	if keep == 0 || w.log[keep-1].value == nil {
		w.serve()
		return
	}
	last := *w.log[keep-1].value
	raw := last.AppendTo(nil)
	var v kmsg.TxnMetadataValue
	if err := v.ReadFrom(raw); err != nil {
		w.fail("a record cannot be read again: %v", err)
	}
	t, err := Load("id", &v, &w.cfg)
	if err != nil {
		w.fail("loading: %v", err)
	}
	c.txn, c.marked, c.decided = t, map[TP]bool{}, t.state
	if t.state == CompleteCommit || t.state == CompleteAbort {
		c.decided = t.state - 2
	}
	for _, tp := range t.parts {
		c.marked[tp] = false
	}
	w.serve()
}

// depose tells a former coordinator that it is one.
func (w *world) depose() {
	if len(w.coords) < 2 {
		return
	}
	c := w.coords[w.rnd.IntN(len(w.coords)-1)]
	w.unload(c)
}

func (w *world) unload(c *coord) {
	if c.gone = true; c.txn != nil {
		var out Out
		c.txn.Unload(&out)
		w.take(c, c.txn, &out)
	}
}

// settle lets everything come to its end, and looks at what has become of each transaction.
func (w *world) settle() {
	w.settling = true
	for len(w.coords) > 1 {
		w.unload(w.coords[0])
		w.coords = w.coords[1:]
	}
	for range 2000 {
		w.now += 100
		w.replicate()
		w.deliver()
		w.sweep()
	}
	c := w.coords[0]
	if c.txn != nil && (c.txn.Pending() || !c.txn.State().over()) {
		w.fail("nothing is under way, and the id is %v, pending %v, fenced %v, parts %v", c.txn.State(), c.txn.Pending(), c.txn.fenced, c.txn.parts)
	}
	if len(w.open) > 0 {
		w.fail("%d waiters were never answered", len(w.open))
	}
	for tp, p := range w.parts {
		for id, labels := range p.open {
			if len(labels) > 0 {
				w.fail("the transactions %v of producer %d hang in %v", labels, id, tp)
			}
		}
	}
	for label := range w.promised {
		if o := w.outcomes[label]; o != nil && len(o[false]) > 0 {
			w.fail("transaction %s was promised and is aborted in %v", label, o[false])
		}
	}
}

// TestSimulation runs seeds; SEED=n runs one of them, SEEDS=n so many.
func TestSimulation(t *testing.T) {
	from, n := uint64(1), uint64(1500)
	if s := os.Getenv("SEED"); s != "" {
		from, _ = strconv.ParseUint(s, 10, 64)
		n = 1
	} else if s := os.Getenv("SEEDS"); s != "" {
		n, _ = strconv.ParseUint(s, 10, 64)
	}
	if testing.Short() {
		n = min(n, 200)
	}
	committed, aborted := 0, 0
	for seed := from; seed < from+n; seed++ {
		w := newWorld(t, seed)
		for range 900 {
			w.step()
		}
		w.settle()
		for _, o := range w.outcomes {
			if len(o[true]) > 0 {
				committed++
			} else {
				aborted++
			}
		}
	}
	if n > 100 && (committed < int(n) || aborted < int(n)/2) {
		t.Errorf("%d transactions were committed and %d aborted in %d worlds: they do too little", committed, aborted, n)
	}
	t.Logf("%d worlds, %d transactions committed, %d aborted", n, committed, aborted)
}
