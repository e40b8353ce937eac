package group

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led"
	"gregor/coordinator/led/ledtest"
	"gregor/wire/record"
)

func commitOffsets(c *Coordinator, group string, list []fsm.Commit, done func()) {
	c.Commit(&OffsetCommit{Group: group, OffsetCommit: fsm.OffsetCommit{Generation: -1, Commits: list}, Done: done})
}

func put(c *Coordinator, group string, partition int32, offset int64) (code int16, answered *bool) {
	answered = new(bool)
	list := []fsm.Commit{{TP: fsm.TP{Topic: "t", Partition: partition}, Offset: fsm.Offset{Offset: offset, LeaderEpoch: -1, ExpireTime: -1, CommitTime: nowMillis()}}}
	commitOffsets(c, group, list, func() { *answered = true })
	return list[0].Code, answered
}

func fetched(t *testing.T, c *Coordinator, group string, partition int32) int64 {
	t.Helper()
	list, code := c.Fetch(group, []fsm.TP{{Topic: "t", Partition: partition}}, false, false)
	if code != 0 {
		t.Fatalf("fetching: %v", kerr.ErrorForCode(code))
	}
	if list[0].Offset == nil {
		return -1
	}
	return list[0].Offset.Offset
}

func TestAnAnswerWaitsForItsRecordToBeCommitted(t *testing.T) {
	log := held()
	c := lead(t, testOptions(), log)
	_, answered := put(c, "g", 0, 5)
	if *answered || fetched(t, c, "g", 0) != -1 {
		t.Fatal("a commit counts before its record is replicated")
	}
	if list, _ := c.Fetch("g", []fsm.TP{{Topic: "t"}}, false, true); list[0].Code != kerr.UnstableOffsetCommit.Code {
		t.Errorf("a reader that wants stable offsets gets code %d", list[0].Code)
	}
	log.Release(nil)
	if !*answered || fetched(t, c, "g", 0) != 5 {
		t.Fatal("a replicated commit does not count")
	}
}

func TestACommitThatIsWrittenWhileOlderOnesWaitIsTheOneThatCounts(t *testing.T) {
	log := held()
	c := lead(t, testOptions(), log)
	one := func(offset int64) []fsm.Commit {
		return []fsm.Commit{{TP: fsm.TP{Topic: "t"}, Offset: fsm.Offset{Offset: offset, LeaderEpoch: -1, ExpireTime: -1, CommitTime: nowMillis()}}}
	}
	var answers []int
	commitOffsets(c, "g", one(1), func() {
		answers = append(answers, 1)
		// The log has committed everything by now, and the second commit is not told yet.
		commitOffsets(c, "g", one(3), func() { answers = append(answers, 3) })
		if got := fetched(t, c, "g", 0); got != 3 {
			t.Errorf("offset %d right after the commit of 3", got)
		}
	})
	commitOffsets(c, "g", one(2), func() { answers = append(answers, 2) })
	log.Release(nil)
	if !slices.Equal(answers, []int{1, 3, 2}) || fetched(t, c, "g", 0) != 3 {
		t.Errorf("answers %v, offset %d", answers, fetched(t, c, "g", 0))
	}
	if list, _ := c.Fetch("g", []fsm.TP{{Topic: "t"}}, false, true); list[0].Code != 0 {
		t.Errorf("with nothing under way the offset is not stable: %d", list[0].Code)
	}
}

func TestAnOffsetOfADeletedTopicDoesNotComeBackWithItsCommit(t *testing.T) {
	log := new(ledtest.Log)
	c := lead(t, testOptions(), log)
	put(c, "g", 0, 4)
	log.Hold()
	var answered []*bool
	for p := range int32(3) { // the first has an offset already, the second not
		_, a := put(c, "g", p, 5)
		answered = append(answered, a)
	}
	c.TopicDeleted([]fsm.TP{{Topic: "t", Partition: 0}, {Topic: "t", Partition: 1}})
	log.Release(nil)
	for p, want := range []int64{-1, -1, 5} {
		if got := fetched(t, c, "g", int32(p)); !*answered[p] || got != want {
			t.Errorf("partition %d: answered %v, offset %d, want %d", p, *answered[p], got, want)
		}
	}
}

func TestACommitThatWaitsWhenThePartitionGoesIsAnsweredOnce(t *testing.T) {
	log := held()
	c := lead(t, testOptions(), log)
	answers := 0
	list := []fsm.Commit{{TP: fsm.TP{Topic: "t"}, Offset: fsm.Offset{Offset: 5, LeaderEpoch: -1, ExpireTime: -1}}}
	commitOffsets(c, "g", list, func() { answers++ })
	c.Resign(0)
	log.Release(errNotLeader)
	if answers != 1 || list[0].Code != kerr.NotCoordinator.Code {
		t.Errorf("%d answers, code %d", answers, list[0].Code)
	}
}

// The batch is encoded in memory that is used again, and the offsets replace those of the commit before.
func TestACommitAllocatesNothingInItsGroup(t *testing.T) {
	if raceDetector {
		t.Skip("pools do not keep everything under the race detector")
	}
	c := lead(t, testOptions(), emptyLog{new(ledtest.Log)})
	q := &OffsetCommit{Group: "g", Done: func() {}}
	q.Generation = -1
	for p := range int32(10) {
		q.Commits = append(q.Commits, fsm.Commit{TP: fsm.TP{Topic: "t", Partition: p}, Offset: fsm.Offset{Offset: 1, ExpireTime: -1, Metadata: "m"}})
	}
	if n := testing.AllocsPerRun(1000, func() { c.Commit(q) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
	if got := fetched(t, c, "g", 9); got != 1 {
		t.Errorf("offset %d", got)
	}
}

// emptyLog forgets what is appended.
type emptyLog struct{ *ledtest.Log }

func (emptyLog) Append([]byte, int16, time.Time) (first, last int64, err error) { return 0, 9, nil }

func TestARefusedRecordIsAnsweredAndDoesNotCount(t *testing.T) {
	log := new(ledtest.Log)
	c := lead(t, testOptions(), log)
	put(c, "g", 0, 5)
	log.Refuse(errNotLeader)
	code, answered := put(c, "g", 0, 6)
	if !*answered || code != kerr.NotCoordinator.Code || fetched(t, c, "g", 0) != 5 {
		t.Errorf("answered %v with %d, offset %d", *answered, code, fetched(t, c, "g", 0))
	}
}

func TestTheNextCoordinatorReadsWhatWasCommitted(t *testing.T) {
	log := new(ledtest.Log)
	c := lead(t, testOptions(), log)
	for i := range int64(100) {
		put(c, fmt.Sprintf("g%d", i%10), int32(i/10), i)
	}
	var deleted int16 = -1
	c.Delete("g3", func(code int16) { deleted = code })
	if deleted != 0 {
		t.Fatalf("deleting: %d", deleted)
	}
	c.Resign(0)
	if _, code := c.Fetch("g1", nil, true, false); code != kerr.NotCoordinator.Code {
		t.Errorf("after the resignation: %d", code)
	}
	next := lead(t, testOptions(), log)
	for i := range int64(100) {
		want := i
		if i%10 == 3 {
			want = -1
		}
		if got := fetched(t, next, fmt.Sprintf("g%d", i%10), int32(i/10)); got != want {
			t.Errorf("group g%d partition %d: %d, want %d", i%10, i/10, got, want)
		}
	}
	if list, _ := next.List(nil); len(list) != 9 {
		t.Errorf("%d groups are there, want 9", len(list))
	}
}

func TestACorruptRecordStopsItsKeyOnly(t *testing.T) {
	log := new(ledtest.Log)
	c := lead(t, testOptions(), log)
	put(c, "g", 0, 1)
	put(c, "g", 1, 2)
	b := record.NewBuilder()
	b.Append(1, appendOffsetKey(nil, "g", fsm.TP{Topic: "t", Partition: 0}), []byte{0, 9, 1})
	b.Append(1, []byte{0}, []byte{1})
	b.Append(1, []byte{0, 77, 0}, []byte{1})
	b.Append(1, groupKey("g"), []byte{0, 3, 0})
	bad, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := log.Append(bad, -1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	put(c, "g", 2, 3)
	next := lead(t, testOptions(), log)
	for p, want := range []int64{1, 2, 3} {
		if got := fetched(t, next, "g", int32(p)); got != want {
			t.Errorf("partition %d: %d, want %d", p, got, want)
		}
	}
}

// start runs the timers of a coordinator inside a bubble.
func start(t *testing.T, opt Options, log led.Log) (*Coordinator, func()) {
	c := New(opt)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	c.Lead(0, log)
	synctest.Wait()
	return c, func() { stop(); <-done }
}

func join(c *Coordinator, group, id, newID string, session int32, done func(*fsm.JoinResult)) {
	c.Join(group, &fsm.Join{MemberID: id, NewID: newID, Session: session, Rebalance: 60_000, ProtocolType: "consumer",
		Protocols: []fsm.Protocol{{Name: "range"}}}, done)
}

func TestAJoinIsAnsweredAfterTheInitialDelayAndAMemberIsMissedAfterItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := start(t, testOptions(), new(ledtest.Log))
		defer stop()
		began := time.Now()
		var answer atomic.Pointer[fsm.JoinResult]
		join(c, "g", "", "m1", 10_000, answer.Store)
		time.Sleep(2999 * time.Millisecond)
		synctest.Wait()
		if answer.Load() != nil {
			t.Fatal("the first member did not wait for others")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		res := answer.Load()
		if res == nil || res.Code != 0 || res.Generation != 1 || time.Since(began) > 3100*time.Millisecond {
			t.Fatalf("after the delay: %+v", res)
		}
		for range 5 { // heartbeats keep it
			time.Sleep(9 * time.Second)
			if code := c.Heartbeat("g", "m1", nil, 1); code != 0 {
				t.Fatalf("heartbeat: %d", code)
			}
		}
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if d := c.Describe("g"); d.State != "Empty" {
			t.Errorf("without heartbeats the group is %s", d.State)
		}
	})
}

func TestACommitThatIsNotReplicatedInTimeIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := held()
		c, stop := start(t, testOptions(), log)
		defer stop()
		list := []fsm.Commit{{TP: fsm.TP{Topic: "t"}, Offset: fsm.Offset{Offset: 1, ExpireTime: -1}}}
		answered := false
		commitOffsets(c, "g", list, func() { answered = true })
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		if !answered || list[0].Code != kerr.RequestTimedOut.Code {
			t.Errorf("answered %v with %d", answered, list[0].Code)
		}
		log.Release(nil)
	})
}

func TestOffsetsExpireAndLeaveTombstones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(ledtest.Log)
		c, stop := start(t, testOptions(), log)
		put(c, "old", 0, 1)
		time.Sleep(4 * 24 * time.Hour)
		put(c, "new", 0, 2)
		time.Sleep(3*24*time.Hour + 11*time.Minute)
		synctest.Wait()
		if got := fetched(t, c, "old", 0); got != -1 {
			t.Errorf("an offset of more than seven days is still %d", got)
		}
		if list, _ := c.List(nil); len(list) != 1 {
			t.Errorf("%d groups are left, want 1", len(list))
		}
		stop()
		next, stop := start(t, testOptions(), log)
		defer stop()
		if a, b := fetched(t, next, "old", 0), fetched(t, next, "new", 0); a != -1 || b != 2 {
			t.Errorf("read again: %d and %d, want -1 and 2", a, b)
		}
	})
}

func TestWhoWaitsIsAnsweredWhenThePartitionGoes(t *testing.T) {
	log := new(ledtest.Log)
	c := lead(t, testOptions(), log)
	var res *fsm.JoinResult
	join(c, "g", "", "m1", 10_000, func(r *fsm.JoinResult) { res = r })
	c.Resign(0)
	if res == nil || res.Code != kerr.NotCoordinator.Code {
		t.Errorf("answered %+v", res)
	}
}

// TestFiveThousandMembersRebalance: a storm of members in one group passes in well under a second.
func TestFiveThousandMembersRebalance(t *testing.T) {
	const n = 5000
	opt := testOptions()
	opt.Groups.InitialDelay = 0
	c := lead(t, opt, new(ledtest.Log))
	run, stop := context.WithCancel(t.Context())
	defer stop()
	go c.Run(run)
	began := time.Now()
	var mu sync.Mutex
	generation := make([]int32, n)
	synced := 0
	var wg sync.WaitGroup
	wg.Add(n)
	// The first member is alone for a generation; the others join and it joins again.
	first := make(chan struct{})
	var leader func(r *fsm.JoinResult)
	syncing := func(i int, r *fsm.JoinResult) {
		s := &fsm.Sync{MemberID: r.MemberID, Generation: r.Generation}
		if len(r.Members) > 0 {
			s.Assignments = map[string][]byte{}
			for _, m := range r.Members {
				s.Assignments[m.ID] = []byte{1}
			}
		}
		c.Sync("g", s, func(sr *fsm.SyncResult) {
			mu.Lock()
			defer mu.Unlock()
			if sr.Code != 0 || len(sr.Assignment) != 1 {
				t.Errorf("member %d: %+v", i, sr)
			}
			generation[i] = r.Generation
			synced++
			wg.Done()
		})
	}
	join(c, "g", "", "m0", 60_000, func(r *fsm.JoinResult) { close(first) })
	<-first
	for i := 1; i < n; i++ {
		join(c, "g", "", fmt.Sprint("m", i), 60_000, func(r *fsm.JoinResult) { go syncing(i, r) })
	}
	leader = func(r *fsm.JoinResult) { go syncing(0, r) }
	join(c, "g", "m0", "", 60_000, leader)
	wg.Wait()
	t.Logf("%d members in %v", synced, time.Since(began))
}

func BenchmarkLoad(b *testing.B) {
	log := new(ledtest.Log)
	c := lead(b, testOptions(), log)
	const offsets = 1_000_000
	for g := range 1000 {
		list := make([]fsm.Commit, offsets/1000)
		for p := range list {
			list[p] = fsm.Commit{TP: fsm.TP{Topic: "some.topic", Partition: int32(p)}, Offset: fsm.Offset{Offset: int64(p), LeaderEpoch: 3, ExpireTime: -1}}
		}
		commitOffsets(c, fmt.Sprintf("some-group-%d", g), list, func() {})
	}
	b.ResetTimer()
	for range b.N {
		lead(b, testOptions(), log)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/offsets, "ns/offset")
}

func BenchmarkCommit(b *testing.B) {
	c := lead(b, testOptions(), emptyLog{new(ledtest.Log)})
	b.ReportAllocs()
	for i := range b.N {
		list := []fsm.Commit{{TP: fsm.TP{Topic: "t", Partition: int32(i % 10)}, Offset: fsm.Offset{Offset: int64(i), LeaderEpoch: -1, ExpireTime: -1}}}
		commitOffsets(c, "g", list, func() {})
	}
}

func BenchmarkHeartbeat(b *testing.B) {
	c := lead(b, testOptions(), new(ledtest.Log))
	join(c, "g", "", "m", 60_000, func(*fsm.JoinResult) {})
	b.ReportAllocs()
	for range b.N {
		c.Heartbeat("g", "m", nil, 0)
	}
}

// A group that is larger than what one goroutine answers: nobody is left out, and everybody gets his own.
func TestAllMembersOfALargeGroupAreAnswered(t *testing.T) {
	const members = 2*answersAtOnce + 50
	synctest.Test(t, func(t *testing.T) {
		c := New(testOptions())
		c.Lead(0, new(ledtest.Log))
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = c.Run(ctx) }()
		synctest.Wait()
		id := func(i int) string { return fmt.Sprintf("m%d", i) }
		var joined [members]atomic.Pointer[fsm.JoinResult]
		var synced [members]atomic.Pointer[fsm.SyncResult]
		for i := range members {
			j := &fsm.Join{NewID: id(i), Session: 30_000, Rebalance: 30_000, ProtocolType: "consumer", Protocols: []fsm.Protocol{{Name: "range", Metadata: []byte(id(i))}}}
			c.Join("g", j, func(r *fsm.JoinResult) { joined[i].Store(r) })
		}
		time.Sleep(10 * time.Second) // the first rebalance waits for more members
		synctest.Wait()
		q := fsm.Sync{Assignments: map[string][]byte{}}
		for i := range members {
			r := joined[i].Load()
			if r == nil || r.Code != 0 || r.MemberID != id(i) || r.Leader != id(0) || *r.Protocol != "range" || *r.ProtocolType != "consumer" {
				t.Fatalf("member %d was answered %+v", i, r)
			}
			if want := map[bool]int{true: members}[i == 0]; len(r.Members) != want {
				t.Fatalf("member %d is told of %d members, not %d", i, len(r.Members), want)
			}
			q.Generation = r.Generation
			q.Assignments[id(i)] = []byte("of " + id(i))
		}
		for i := members - 1; i >= 0; i-- { // the leader, who has the assignment, is the last
			s := fsm.Sync{MemberID: id(i), Generation: q.Generation}
			if i == 0 {
				s.Assignments = q.Assignments
			}
			c.Sync("g", &s, func(r *fsm.SyncResult) { synced[i].Store(r) })
		}
		synctest.Wait()
		for i := range members {
			if r := synced[i].Load(); r == nil || r.Code != 0 || string(r.Assignment) != "of "+id(i) || *r.ProtocolType != "consumer" {
				t.Fatalf("member %d was answered %+v", i, r)
			}
		}
		stop()
	})
}
