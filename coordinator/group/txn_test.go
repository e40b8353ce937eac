package group

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led/ledtest"
	"gregor/wire/record"
)

// putTxn commits an offset in a producer's transaction.
func putTxn(c *Coordinator, group string, producer int64, partition int32, offset int64) int16 {
	list := []fsm.Commit{{TP: fsm.TP{Topic: "t", Partition: partition}, Offset: fsm.Offset{Offset: offset, LeaderEpoch: -1, ExpireTime: -1, CommitTime: nowMillis()}}}
	c.CommitTxn(group, "", nil, -1, fsm.Txn{Producer: producer, Epoch: 1}, list, func() {})
	return list[0].Code
}

// mark writes a transaction's end to the log, and tells the coordinator as the handler of markers does.
func mark(t *testing.T, c *Coordinator, log *ledtest.Log, producer int64, commit bool) {
	t.Helper()
	at := markLog(t, log, producer, commit)
	c.EndTxn(0, producer, at, commit)
}

func markLog(t *testing.T, log *ledtest.Log, producer int64, commit bool) int64 {
	t.Helper()
	kind := record.ControlAbort
	if commit {
		kind = record.ControlCommit
	}
	at, _, err := log.Append(record.BuildEndTxnMarker(producer, 1, record.EndTxnMarker{Type: kind}, 0), -1, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func unstable(t *testing.T, c *Coordinator, group string, partition int32) bool {
	t.Helper()
	list, code := c.Fetch(group, []fsm.TP{{Topic: "t", Partition: partition}}, false, true)
	if code != 0 {
		t.Fatalf("fetching: %v", kerr.ErrorForCode(code))
	}
	return list[0].Code == kerr.UnstableOffsetCommit.Code
}

func TestOffsetsOfATransactionCountWithItsMarker(t *testing.T) {
	log := new(ledtest.Log)
	c := lead(t, testOptions(), log)
	put(c, "g", 0, 1)
	for i, commit := range []bool{true, false, true} {
		was, next := fetched(t, c, "g", 0), int64(10+i)
		if code := putTxn(c, "g", 7, 0, next); code != 0 {
			t.Fatalf("committing: %d", code)
		}
		if got := fetched(t, c, "g", 0); got != was || !unstable(t, c, "g", 0) || unstable(t, c, "g", 1) {
			t.Errorf("before the marker the offset is %d, unstable %v", got, unstable(t, c, "g", 0))
		}
		mark(t, c, log, 7, commit)
		if commit {
			was = next
		}
		if got := fetched(t, c, "g", 0); got != was || unstable(t, c, "g", 0) {
			t.Errorf("after the marker (commit %v) the offset is %d, want %d", commit, got, was)
		}
	}
	next := lead(t, testOptions(), log)
	if got := fetched(t, next, "g", 0); got != 12 {
		t.Errorf("the next coordinator reads %d", got)
	}
}

// The younger of two commits wins, whichever way they were made.
func TestATransactionDoesNotBringBackAnOlderOffset(t *testing.T) {
	log := new(ledtest.Log)
	c := lead(t, testOptions(), log)
	putTxn(c, "g", 7, 0, 5)
	put(c, "g", 0, 6)
	mark(t, c, log, 7, true)
	for name, c := range map[string]*Coordinator{"this": c, "the next": lead(t, testOptions(), log)} {
		if got := fetched(t, c, "g", 0); got != 6 {
			t.Errorf("%s coordinator says %d", name, got)
		}
	}
}

// What is in the log belongs to the transaction, even if its client was told that it could not be replicated.
func TestAnOffsetThatWasRecordedBelongsToItsTransaction(t *testing.T) {
	log := held()
	c := lead(t, testOptions(), log)
	putTxn(c, "g", 7, 0, 5)
	log.Release(errNotLeader)
	if !unstable(t, c, "g", 0) {
		t.Error("it is forgotten")
	}
	log.Refuse(errNotLeader)
	if code := putTxn(c, "g", 7, 1, 5); code != kerr.NotCoordinator.Code || unstable(t, c, "g", 1) {
		t.Errorf("one that is not in the log: code %d, unstable %v", code, unstable(t, c, "g", 1))
	}
	log.Refuse(nil)
	mark(t, c, log, 7, true)
	if got := fetched(t, c, "g", 0); got != 5 {
		t.Errorf("after the marker the offset is %d", got)
	}
}

// The marker of a transaction that the loader has read as open may come before the partition is served.
func TestAMarkerThatComesDuringTheLoadIsNotMissed(t *testing.T) {
	log := new(ledtest.Log)
	before := lead(t, testOptions(), log)
	putTxn(before, "g", 7, 0, 5)
	putTxn(before, "g", 8, 1, 6)
	before.Close()
	c := New(testOptions())
	defer c.Close()
	reads := 0
	log.OnRead = func() {
		if reads++; reads == 1 {
			mark(t, c, log, 7, true) // read again by the loader, which goes on to the end
			return
		}
		reads = 3
	}
	c.Lead(0, log)
	c.shards.Wait()
	if got := fetched(t, c, "g", 0); got != 5 || unstable(t, c, "g", 0) || !unstable(t, c, "g", 1) {
		t.Errorf("the offset is %d", got)
	}
	// And one that the loader cannot have read.
	log.OnRead = nil
	late := New(testOptions())
	defer late.Close()
	s := &shard{c: late, log: log}
	late.shards.Lead(0, func() *shard { s.mu.Loaded = false; return s })
	late.shards.Wait()
	s.mu.Lock()
	s.mu.Loaded = false
	s.mu.Unlock()
	mark(t, late, log, 8, false)
	if len(s.ended) != 1 {
		t.Fatalf("%d markers are kept for the loader", len(s.ended))
	}
	l := &loader{s: s, groups: map[string]*loading{}, topics: map[string]string{}, txn: map[int64]map[string]map[fsm.TP]*fsm.Offset{}, upTo: s.ended[0].position}
	offs := map[fsm.TP]*fsm.Offset{{Topic: "t", Partition: 1}: {Offset: 6, Position: 1}}
	l.txn[8] = map[string]map[fsm.TP]*fsm.Offset{"g": offs}
	l.group([]byte("g"))
	l.install()
	if unstable(t, late, "g", 1) || fetched(t, late, "g", 1) != -1 {
		t.Error("the offsets of an aborted transaction are pending for ever")
	}
}

// A marker of a transaction that is over does not end the next one of the same producer.
func TestAMarkerEndsOnlyWhatLiesBeforeIt(t *testing.T) {
	log := new(ledtest.Log)
	c := lead(t, testOptions(), log)
	putTxn(c, "g", 7, 0, 5)
	at := markLog(t, log, 7, true)
	putTxn(c, "g", 7, 1, 9)
	c.EndTxn(0, 7, at, true)
	if fetched(t, c, "g", 0) != 5 || !unstable(t, c, "g", 1) || fetched(t, c, "g", 1) != -1 {
		t.Error("the next transaction was ended too")
	}
	mark(t, c, log, 7, false)
	if unstable(t, c, "g", 1) || fetched(t, c, "g", 1) != -1 {
		t.Error("the next transaction is not over")
	}
}

func TestOffsetsOfATransactionDemandAGroupAsFarAsTheyNameOne(t *testing.T) {
	c := lead(t, testOptions(), new(ledtest.Log))
	ask := func(group, member string, generation int32) int16 {
		list := []fsm.Commit{{TP: fsm.TP{Topic: "t"}, Offset: fsm.Offset{Offset: 1, ExpireTime: -1}}}
		c.CommitTxn(group, member, nil, generation, fsm.Txn{Producer: 7}, list, func() {})
		return list[0].Code
	}
	for _, q := range []struct {
		group, member string
		generation    int32
		want          int16
	}{{"", "", -1, kerr.InvalidGroupID.Code}, {"new", "m", -1, kerr.UnknownMemberID.Code}, {"new", "", 1, kerr.IllegalGeneration.Code}, {"new", "", 0, 0}} {
		if got := ask(q.group, q.member, q.generation); got != q.want {
			t.Errorf("%+v: code %d", q, got)
		}
	}
	c.Resign(0)
	if got := ask("g", "", -1); got != kerr.NotCoordinator.Code {
		t.Errorf("after the resignation: code %d", got)
	}
	c.EndTxn(0, 7, 100, true) // nobody is there to hear it
}
