package txn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/coordinator/led"
	"gregor/coordinator/led/ledtest"
	"gregor/coordinator/txn/fsm"
	"gregor/wire/record"
)

func TestATransactionIsRecordedMarkedAndRecordedAgain(t *testing.T) {
	cl, log := newCluster(), new(ledtest.Log)
	a, b := tp("t", 0), tp("u", 3)
	cl.lead(1, a, b)
	c := lead(t, testOptions(cl), 4, log)
	p := begin(t, c, "id")
	for i, commit := range []bool{true, false} {
		if code := add(c, "id", p, a, b); code != 0 {
			t.Fatalf("adding: %d", code)
		}
		if code := end(c, "id", p, commit); code != 0 {
			t.Fatalf("ending: %d", code)
		}
		if d := c.Describe("id"); d.State.String() != []string{"CompleteCommit", "CompleteAbort"}[i] || len(d.Parts) != 0 {
			t.Errorf("it is %v", d)
		}
	}
	for _, tp := range []fsm.TP{a, b} {
		if got := cl.ends(tp); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("the markers of %v are %v", tp, got)
		}
	}
	if m := cl.written[0]; m.Producer != p.ID || m.Epoch != p.Epoch || m.CoordinatorEpoch != 4 {
		t.Errorf("the marker is %+v", m)
	}
	var states []string
	for _, v := range records(t, log) {
		states = append(states, fsm.State(v.State).String())
	}
	want := []string{"Empty", "Ongoing", "PrepareCommit", "CompleteCommit", "Ongoing", "PrepareAbort", "CompleteAbort"}
	if !slices.Equal(states, want) {
		t.Errorf("recorded are %v, want %v", states, want)
	}
}

// records are the states in a log.
func records(t *testing.T, log led.Log) (out []*kmsg.TxnMetadataValue) {
	t.Helper()
	it := record.NewIter(nil, 1<<20)
	defer it.Close()
	_, err := led.ReadAll(log, 1<<20, func() bool { return false }, func(b []byte, _ *record.Header) {
		for it.Reset(b, 1<<20); it.Next(); {
			if it.Record.Value == nil {
				out = append(out, nil)
				continue
			}
			v, err := readValue(it.Record.Value, func(b []byte) string { return string(b) })
			if err != nil {
				t.Fatal(err)
			}
			if again := appendValue(v); !bytes.Equal(again, it.Record.Value) {
				t.Errorf("a state is written as %x, and was %x", again, it.Record.Value)
			}
			out = append(out, v)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNothingIsAnsweredOrSentBeforeItIsCommitted(t *testing.T) {
	cl, log := newCluster(), new(ledtest.Log)
	a := tp("t", 0)
	cl.lead(1, a)
	c := lead(t, testOptions(cl), 1, log)
	p := begin(t, c, "id")
	add(c, "id", p, a)
	log.Hold()
	code := int16(-99)
	c.End("id", p, true, func(got int16) { code = got })
	if code != -99 || len(cl.ends(a)) > 0 {
		t.Fatalf("answered %d with %v markers", code, cl.ends(a))
	}
	if other := end(c, "id", p, true); other != kerr.ConcurrentTransactions.Code {
		t.Errorf("meanwhile: %d", other)
	}
	log.Release(nil)
	if code != 0 || len(cl.ends(a)) != 1 {
		t.Errorf("then %d with %v markers", code, cl.ends(a))
	}
}

func TestTheNextCoordinatorGoesOn(t *testing.T) {
	cl, log := newCluster(), new(ledtest.Log)
	a, b := tp("t", 0), tp("t", 1)
	cl.lead(1, a)
	c := lead(t, testOptions(cl), 1, log)
	open, decided, done := begin(t, c, "open"), begin(t, c, "decided"), begin(t, c, "done")
	add(c, "open", open, a)
	add(c, "decided", decided, a, b) // b has no leader
	end(c, "decided", decided, true)
	add(c, "done", done, a)
	end(c, "done", done, false)
	held := int16(-99)
	c.AddPartitions("decided", decided, []fsm.TP{a}, func(code int16) { held = code })
	if held != -99 {
		t.Errorf("a transaction whose markers are not out answers another partition with %d", held)
	}
	c.Resign(0)
	if held != kerr.NotCoordinator.Code {
		t.Errorf("who was held gets %d", held)
	}
	if code := end(c, "open", open, true); code != kerr.NotCoordinator.Code {
		t.Errorf("after the resignation: %d", code)
	}
	cl.lead(1, b)
	next := lead(t, testOptions(cl), 2, log)
	if got := cl.ends(b); !slices.Equal(got, []bool{true}) {
		t.Errorf("the decision that was left half done: %v", got)
	}
	if m := cl.written[len(cl.written)-1]; m.CoordinatorEpoch != 2 {
		t.Errorf("its markers carry epoch %d", m.CoordinatorEpoch)
	}
	for id, want := range map[string]fsm.State{"open": fsm.Ongoing, "decided": fsm.CompleteCommit, "done": fsm.CompleteAbort} {
		if d := next.Describe(id); d.Code != 0 || d.State != want {
			t.Errorf("%s is %v", id, d)
		}
	}
	if code := end(next, "open", open, true); code != 0 {
		t.Errorf("the open transaction: %d", code)
	}
	list, code := next.List([]fsm.State{fsm.CompleteCommit}, nil)
	if code != 0 || len(list) != 2 || list[0].ID != "decided" || list[1].ID != "open" {
		t.Errorf("%v, %d", list, code)
	}
	if list, _ := next.List(nil, []int64{done.ID}); len(list) != 1 || list[0].ID != "done" {
		t.Errorf("%v", list)
	}
}

// A coordinator that loses its partition while it loads, and gets it back, loads it once more and serves (Apache Kafka 2.7 goes on loading).
func TestLeadershipThatComesBackDuringTheLoad(t *testing.T) {
	log := new(ledtest.Log)
	before := lead(t, testOptions(newCluster()), 1, log)
	p := begin(t, before, "id")
	before.Close()
	reading, goOn := make(chan struct{}, 2), make(chan struct{})
	log.OnRead = func() {
		reading <- struct{}{}
		<-goOn
	}
	c := New(testOptions(newCluster()))
	defer c.Close()
	c.Lead(0, 2, log)
	<-reading
	if code := add(c, "id", p, tp("t", 0)); code != kerr.CoordinatorLoadInProgress.Code {
		t.Errorf("while it loads: %d", code)
	}
	if _, code := c.List(nil, nil); code != kerr.CoordinatorLoadInProgress.Code {
		t.Errorf("a list while it loads: %d", code)
	}
	c.Resign(0)
	if code := add(c, "id", p, tp("t", 0)); code != kerr.NotCoordinator.Code {
		t.Errorf("after the resignation: %d", code)
	}
	c.Lead(0, 4, log)
	close(goOn)
	c.shards.Wait()
	if code := add(c, "id", p, tp("t", 0)); code != 0 {
		t.Errorf("after the second load: %d", code)
	}
	if s, _, _ := c.shards.Find(0); s.epoch != 4 {
		t.Errorf("it serves in epoch %d", s.epoch)
	}
}

// A decision that the new leader has and others may not have yet is not acted upon: it could be lost, and what its markers did could not.
func TestWhatIsReadIsServedWhenItIsCommitted(t *testing.T) {
	cl, log := newCluster(), new(ledtest.Log)
	a := tp("t", 0)
	before := lead(t, testOptions(cl), 1, log)
	p := begin(t, before, "id")
	add(before, "id", p, a)
	log.Hold()
	before.End("id", p, true, func(int16) {})
	before.Close()
	cl.lead(1, a)
	for _, err := range []error{errNotLeader, nil} {
		c := lead(t, testOptions(cl), 2, log)
		if code := add(c, "id", p, a); code != kerr.CoordinatorLoadInProgress.Code || len(cl.ends(a)) > 0 {
			t.Errorf("served before it is committed: %d, markers %v", code, cl.ends(a))
		}
		if log.Release(err); err == nil {
			if got := cl.ends(a); c.Describe("id").State != fsm.CompleteCommit || !slices.Equal(got, []bool{true}) {
				t.Errorf("it is %v, markers %v", c.Describe("id").State, got)
			}
			continue
		}
		if code := add(c, "id", p, a); code != kerr.CoordinatorLoadInProgress.Code || len(cl.ends(a)) > 0 {
			t.Errorf("served though it will not be committed here: %d, markers %v", code, cl.ends(a))
		}
		c.Close()
		log.Hold()
	}
}

func TestRecordsThatCannotBeUnderstoodAreLeftOut(t *testing.T) {
	cl, log := newCluster(), new(ledtest.Log)
	c := lead(t, testOptions(cl), 1, log)
	p, gone := begin(t, c, "id"), begin(t, c, "gone")
	bad := record.NewBuilder()
	dead := &kmsg.TxnMetadataValue{State: 6, Topics: []kmsg.TxnMetadataValueTopic{}}
	for _, r := range [][2][]byte{{appendKey(nil, "id"), {0, 9, 1}}, {appendKey(nil, "id"), {0, 0, 1}}, {appendKey(nil, "id"), {}}, {{0}, {1}}, {{0, 5, 0}, {1}},
		{{0, 0, 0, 99}, {1}}, {appendKey(nil, "id"), appendValue(dead)}, {appendKey(nil, "gone"), nil}} {
		bad.Append(1, r[0], r[1])
	}
	batch, err := bad.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := log.Append(batch, -1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(batch)
	broken[len(broken)-1] ^= 1
	if _, _, err := log.Append(broken, -1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	next := lead(t, testOptions(cl), 2, log)
	if code := add(next, "id", p, tp("t", 0)); code != 0 {
		t.Errorf("the id: %d", code)
	}
	if code := add(next, "gone", gone, tp("t", 0)); code != kerr.InvalidProducerIDMapping.Code {
		t.Errorf("the one that was deleted: %d", code)
	}
}

func TestBadRequests(t *testing.T) {
	c := lead(t, testOptions(newCluster()), 1, new(ledtest.Log))
	for _, q := range []struct {
		id      string
		timeout int32
		want    int16
	}{{"", 1, kerr.InvalidRequest.Code}, {"x", 0, kerr.InvalidTransactionTimeout.Code}, {"x", -5, kerr.InvalidTransactionTimeout.Code},
		{"x", 900_001, kerr.InvalidTransactionTimeout.Code}, {"x", 900_000, 0}} {
		c.Init(t.Context(), q.id, q.timeout, nil, func(r InitResult) {
			if r.Code != q.want {
				t.Errorf("%+v: %d", q, r.Code)
			}
		})
	}
	if code := add(c, "", fsm.Producer{}); code != kerr.InvalidRequest.Code {
		t.Errorf("no id: %d", code)
	}
	if code := end(c, "nobody", fsm.Producer{}, true); code != kerr.InvalidProducerIDMapping.Code {
		t.Errorf("an unknown id: %d", code)
	}
	if d := c.Describe("nobody"); d.Code != kerr.TransactionalIDNotFound.Code {
		t.Errorf("described: %d", d.Code)
	}
	if d := c.Describe(""); d.Code != kerr.InvalidRequest.Code {
		t.Errorf("described without a name: %d", d.Code)
	}
	opt := testOptions(newCluster())
	opt.NewProducerID = func(context.Context) (int64, error) { return 0, errors.New("no ZooKeeper") }
	lead(t, opt, 1, new(ledtest.Log)).Init(t.Context(), "x", 1000, nil, func(r InitResult) {
		if r.Code != kerr.CoordinatorLoadInProgress.Code || r.ID != -1 || r.Epoch != -1 {
			t.Errorf("without producer ids: %+v", r)
		}
	})
	c.Close()
	if code := end(c, "x", fsm.Producer{}, true); code != kerr.CoordinatorNotAvailable.Code {
		t.Errorf("after the end: %d", code)
	}
	if _, code := c.List(nil, nil); code != kerr.CoordinatorNotAvailable.Code {
		t.Errorf("a list after the end: %d", code)
	}
}

func TestAPartitionIsVerifiedWhereItsCoordinatorIs(t *testing.T) {
	cl := newCluster()
	c := lead(t, testOptions(cl), 1, new(ledtest.Log))
	p, a := begin(t, c, "id"), tp("t", 0)
	if v := c.Verify("id", p, a); v != Without {
		t.Errorf("before: %v", v)
	}
	add(c, "id", p, a)
	if v := c.Verify("id", p, a); v != Within {
		t.Errorf("within: %v", v)
	}
	for _, v := range []Verdict{c.Verify("id", p, tp("t", 1)), c.Verify("other", p, a), c.Verify("id", fsm.Producer{ID: p.ID, Epoch: p.Epoch + 1}, a)} {
		if v != Without {
			t.Errorf("another: %v", v)
		}
	}
	end(c, "id", p, true)
	if v := c.Verify("id", p, a); v != Without {
		t.Errorf("after the end: %v", v)
	}
	c.Resign(0)
	if v := c.Verify("id", p, a); v != Unknown {
		t.Errorf("elsewhere: %v", v)
	}
}

// start runs a coordinator inside a bubble.
func start(t *testing.T, opt Options, log led.Log) (*Coordinator, func()) {
	c := New(opt)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	c.Lead(0, 1, log)
	synctest.Wait()
	return c, func() { stop(); <-done }
}

func TestATransactionThatTakesTooLongIsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := newCluster()
		a := tp("t", 0)
		cl.lead(1, a)
		c, stop := start(t, testOptions(cl), new(ledtest.Log))
		defer stop()
		p := begin(t, c, "id")
		add(c, "id", p, a)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if d := c.Describe("id"); d.State != fsm.Ongoing {
			t.Fatalf("it is %v before its time", d.State)
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if d := c.Describe("id"); d.State != fsm.CompleteAbort || !slices.Equal(cl.ends(a), []bool{false}) {
			t.Errorf("it is %v, markers %v", d.State, cl.ends(a))
		}
		if code := end(c, "id", p, true); code != kerr.ProducerFenced.Code {
			t.Errorf("its producer: %d", code)
		}
	})
}

func TestAnIDThatIsNotUsedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl, log := newCluster(), new(ledtest.Log)
		c, stop := start(t, testOptions(cl), log)
		begin(t, c, "old")
		time.Sleep(4 * 24 * time.Hour)
		begin(t, c, "new")
		time.Sleep(3*24*time.Hour + 2*time.Hour)
		synctest.Wait()
		if list, _ := c.List(nil, nil); len(list) != 1 || list[0].ID != "new" {
			t.Errorf("there are %v", list)
		}
		stop()
		next, stop := start(t, testOptions(cl), log)
		defer stop()
		if list, _ := next.List(nil, nil); len(list) != 1 || list[0].ID != "new" {
			t.Errorf("read again: %v", list)
		}
	})
}

func TestARecordThatIsNotReplicatedInTimeIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl, log := newCluster(), new(ledtest.Log)
		c, stop := start(t, testOptions(cl), log)
		defer stop()
		p := begin(t, c, "id")
		log.Hold()
		var code atomic.Int32
		c.AddPartitions("id", p, []fsm.TP{tp("t", 0)}, func(got int16) { code.Store(int32(got)) })
		time.Sleep(30*time.Second + time.Millisecond)
		synctest.Wait()
		if code.Load() != int32(kerr.CoordinatorNotAvailable.Code) {
			t.Errorf("answered %d", code.Load())
		}
		log.Release(nil)
		if code := add(c, "id", p, tp("t", 0)); code != 0 {
			t.Errorf("asked again: %d", code)
		}
		if n := c.timers.Len(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
}

func TestMarkersThatFailAndPartitionsThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := newCluster()
		a, gone, late := tp("t", 0), tp("gone", 0), tp("late", 0)
		cl.lead(1, a)
		cl.gone[gone] = true
		cl.refuse = []int16{kerr.NotLeaderForPartition.Code, kerr.NotEnoughReplicas.Code, kerr.UnknownServerError.Code}
		c, stop := start(t, testOptions(cl), new(ledtest.Log))
		defer stop()
		p := begin(t, c, "id")
		add(c, "id", p, a, gone, late)
		if code := end(c, "id", p, true); code != 0 {
			t.Fatalf("ending: %d", code)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if d := c.Describe("id"); d.State != fsm.PrepareCommit || !slices.Equal(d.Parts, []fsm.TP{late}) || !slices.Equal(cl.ends(a), []bool{true}) {
			t.Errorf("it is %v, markers %v", d, cl.ends(a))
		}
		if lost, _ := c.Stats(); lost != 1 {
			t.Errorf("%d are lost", lost)
		}
		cl.lead(1, late)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if d := c.Describe("id"); d.State != fsm.CompleteCommit {
			t.Errorf("it is %v", d)
		}
		if lost, _ := c.Stats(); lost != 0 {
			t.Errorf("%d are lost", lost)
		}
	})
}

func TestACompletionIsTriedUntilItIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl, log := newCluster(), new(ledtest.Log)
		opt := testOptions(cl)
		a := tp("t", 0)
		opt.Brokers.Leader = func(fsm.TP) (int32, bool) {
			log.Refuse(errors.New("the disk is full")) // the marker is written, what follows cannot be
			return 1, true
		}
		c, stop := start(t, opt, log)
		defer stop()
		p := begin(t, c, "id")
		add(c, "id", p, a)
		if code := end(c, "id", p, true); code != 0 {
			t.Fatalf("ending: %d", code)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, retries := c.Stats(); retries != 1 || c.Describe("id").State != fsm.PrepareCommit {
			t.Errorf("%d wait, it is %v", retries, c.Describe("id").State)
		}
		log.Refuse(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if _, retries := c.Stats(); retries != 0 || c.Describe("id").State != fsm.CompleteCommit || len(cl.ends(a)) != 1 {
			t.Errorf("%d wait, it is %v, markers %v", retries, c.Describe("id").State, cl.ends(a))
		}
	})
}

// What comes between a decision and its completion waits for it, but not for long.
func TestARequestIsHeldUntilTheTransactionIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := newCluster()
		a := tp("t", 0)
		c, stop := start(t, testOptions(cl), new(ledtest.Log))
		defer stop()
		p := begin(t, c, "id")
		add(c, "id", p, a) // it has no leader
		end(c, "id", p, true)
		ask := func() *atomic.Int32 {
			code := new(atomic.Int32)
			code.Store(-99)
			c.AddPartitions("id", p, []fsm.TP{a}, func(got int16) { code.Store(int32(got)) })
			return code
		}
		first := ask()
		time.Sleep(fsm.HoldFor*time.Millisecond - 20*time.Millisecond)
		synctest.Wait()
		second := ask()
		if first.Load() != -99 {
			t.Errorf("the first is answered %d too early", first.Load())
		}
		time.Sleep(21 * time.Millisecond)
		synctest.Wait()
		if first.Load() != int32(kerr.ConcurrentTransactions.Code) || second.Load() != -99 {
			t.Errorf("after its time the first has %d, the second %d", first.Load(), second.Load())
		}
		cl.lead(1, a)
		time.Sleep(150 * time.Millisecond) // the marker's next try
		synctest.Wait()
		if second.Load() != 0 {
			t.Errorf("with the transaction complete the second has %d", second.Load())
		}
	})
}

func FuzzReadRecord(f *testing.F) {
	v := &kmsg.TxnMetadataValue{ProducerID: 5, ProducerEpoch: 1, TimeoutMillis: 1000, State: 1, LastUpdateTimestamp: 7, StartTimestamp: 6,
		Topics: []kmsg.TxnMetadataValueTopic{{Topic: "t", Partitions: []int32{0, 5}}, {Topic: "u", Partitions: []int32{1}}}}
	f.Add(appendKey(nil, "id"), appendValue(v))
	v.State, v.Topics = 0, nil
	f.Add(appendKey(nil, ""), appendValue(v))
	f.Add([]byte{0, 0, 0xff, 0xff}, []byte{0, 0, 0x7f, 0xff, 0xff, 0xff})
	cfg := &fsm.Config{}
	// A record that is read is written again as it was; what a lying count makes it allocate is bounded by its bytes.
	f.Fuzz(func(t *testing.T, key, value []byte) {
		id, err := readKey(key)
		if err == nil && !bytes.HasPrefix(key, appendKey(nil, string(id))) {
			t.Errorf("the key %x becomes %x", key, appendKey(nil, string(id)))
		}
		v, err := readValue(value, func(b []byte) string { return string(b) })
		if err != nil {
			return
		}
		x, err := fsm.Load("id", v, cfg)
		if err != nil {
			return
		}
		again, err := readValue(appendValue(x.Value()), func(b []byte) string { return string(b) })
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		y, err := fsm.Load("id", again, cfg)
		if err != nil || !bytes.Equal(appendValue(x.Value()), appendValue(y.Value())) {
			t.Errorf("%x becomes %x, %v", appendValue(x.Value()), appendValue(y.Value()), err)
		}
	})
}

// BenchmarkOpenIDs tells what an id with an open transaction of ten partitions costs.
func BenchmarkOpenIDs(b *testing.B) {
	const ids = 10_000
	for range b.N {
		c := lead(b, testOptions(newCluster()), 1, new(ledtest.Log))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		parts := make([]fsm.TP, 10)
		for i := range ids {
			id := fmt.Sprintf("some.transactional.id-%d", i)
			p := begin(b, c, id)
			topic := fmt.Sprint("some.topic", i%100)
			for j := range parts {
				parts[j] = tp(topic, int32(j))
			}
			if code := add(c, id, p, parts...); code != 0 {
				b.Fatal(code)
			}
		}
		s, _, _ := c.shards.Find(0)
		s.log = new(ledtest.Log) // what the log in memory holds is not the coordinator's
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/ids, "B/id")
		c.Close()
	}
}

// BenchmarkLoad tells how long the coordinator of 100,000 ids takes to begin to serve.
func BenchmarkLoad(b *testing.B) {
	const ids = 100_000
	log := new(ledtest.Log)
	c := lead(b, testOptions(newCluster()), 1, log)
	for i := range ids {
		id := fmt.Sprintf("some.transactional.id-%d", i)
		p := begin(b, c, id)
		if code := add(c, id, p, tp("some.topic", 0), tp("some.topic", 1)); code != 0 {
			b.Fatal(code)
		}
	}
	c.Close()
	b.ResetTimer()
	for range b.N {
		lead(b, testOptions(newCluster()), 2, log).Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/ids, "ns/id")
}
