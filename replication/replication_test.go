package replication

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"

	"gregor/storage"
	"gregor/wire/record"
)

const self int32 = 1

func newManager(t *testing.T) *Manager {
	t.Helper()
	log, _ := test.NewNullLogger()
	st, err := storage.Open(context.Background(), storage.Options{Dirs: []string{t.TempDir()}, BrokerID: self,
		Defaults: storage.DefaultConfig(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close(context.Background()) })
	return New(Options{BrokerID: self, Logs: st, TopicConfig: func(string) storage.Config { return storage.DefaultConfig() }, Log: log})
}

func (m *Manager) decide(t *testing.T, st State) *Partition {
	t.Helper()
	req := &LeaderAndIsr{ControllerEpoch: st.ControllerEpoch, Partitions: []PartitionState{{TopicPartition: storage.TopicPartition{Topic: "t"}, State: st}}}
	if err := m.BecomeLeaderOrFollower(req); err != nil {
		t.Fatal(err)
	}
	if req.Partitions[0].Err != nil {
		t.Fatal(req.Partitions[0].Err)
	}
	p, err := m.Lookup("t", 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Whoever makes a topic tells nobody of its settings: they must be known before its first log is created, and only then.
func TestNewTopicsAreAnnounced(t *testing.T) {
	m := newManager(t)
	var announced []string
	m.opt.NewLogs = func(topics []string) { announced = append(announced, topics...) }
	m.decide(t, State{Leader: self, ISR: []int32{self}, Replicas: []int32{self}})
	m.decide(t, State{Leader: self, LeaderEpoch: 1, ISR: []int32{self}, Replicas: []int32{self}})
	if len(announced) != 1 || announced[0] != "t" {
		t.Errorf("announced %v, want t once", announced)
	}
}

// A new controller repeats what its predecessor decided: that is one line in the log, and no warning, however many partitions there are.
func TestRepeatedDecisionsAreOneLine(t *testing.T) {
	m := newManager(t)
	log, hook := test.NewNullLogger()
	m.opt.Log = log
	req := &LeaderAndIsr{}
	for i := range int32(50) {
		req.Partitions = append(req.Partitions, PartitionState{TopicPartition: storage.TopicPartition{Topic: "t", Partition: i},
			State: State{Leader: self, LeaderEpoch: 3, ISR: []int32{self}, Replicas: []int32{self}}})
	}
	for range 2 {
		hook.Reset()
		if err := m.BecomeLeaderOrFollower(req); err != nil {
			t.Fatal(err)
		}
		req.ControllerEpoch++
	}
	for i := range req.Partitions {
		if !errors.Is(req.Partitions[i].Err, ErrStaleLeaderEpoch) {
			t.Fatal(req.Partitions[i].Err)
		}
	}
	if all := hook.AllEntries(); len(all) != 1 || all[0].Level != logrus.InfoLevel || !strings.Contains(all[0].Message, "50 of 50") {
		t.Errorf("%d lines: %v", len(all), all)
	}
	req.Partitions = req.Partitions[:2]
	req.Partitions[0].LeaderEpoch = 2
	if err := m.BecomeLeaderOrFollower(req); err != nil || len(hook.AllEntries()) != 3 || hook.AllEntries()[1].Level != logrus.WarnLevel {
		t.Errorf("an older decision: %v, %d lines", err, len(hook.AllEntries()))
	}
}

func one(t *testing.T) []byte {
	t.Helper()
	b := record.NewBuilder()
	b.Append(time.Now().UnixMilli(), nil, []byte("v"))
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Appends that race must never make the high watermark fall, and alone in sync it ends at the log's end.
func TestHighWatermarkNeverFalls(t *testing.T) {
	p := newManager(t).decide(t, State{Leader: self, ISR: []int32{self}, Replicas: []int32{self}})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for range 200 {
				info, err := p.Append(one(t), -1, storage.FromClient, time.Now(), nil)
				if err != nil {
					t.Error(err)
				} else if hw := p.Log().HighWatermark(); hw <= info.LastOffset {
					t.Errorf("high watermark %d after appending %d", hw, info.LastOffset)
				}
			}
		})
	}
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		last := int64(0)
		for {
			hw := p.Log().HighWatermark()
			if hw < last {
				t.Errorf("high watermark fell from %d to %d", last, hw)
			}
			last = hw
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-seen
	if hw := p.Log().HighWatermark(); hw != 800 {
		t.Error(hw)
	}
}

func TestHighWatermarkFollowsTheSlowestInSync(t *testing.T) {
	p := newManager(t).decide(t, State{Leader: self, ISR: []int32{self, 2, 3}, Replicas: []int32{self, 2, 3}})
	for range 5 {
		if _, err := p.Append(one(t), -1, storage.FromClient, time.Now(), nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		replica int32
		offset  int64
		hw      int64
	}{{2, 4, 0}, {3, 2, 2}, {3, 5, 4}, {2, 5, 5}, {9, 5, 5}} {
		p.FollowerFetched(step.replica, step.offset, 0, 5, time.Now(), nil)
		if hw := p.Log().HighWatermark(); hw != step.hw {
			t.Errorf("step %d: high watermark %d, want %d", i, hw, step.hw)
		}
	}
}

func TestEpochsAreFenced(t *testing.T) {
	m := newManager(t)
	p := m.decide(t, State{ControllerEpoch: 3, Leader: self, LeaderEpoch: 5, ISR: []int32{self}, Replicas: []int32{self}})
	var res ReadResult
	for epoch, want := range map[int32]error{4: ErrFencedLeaderEpoch, 6: ErrUnknownLeaderEpoch, 5: nil, NoEpoch: nil} {
		err := p.Read(&ReadRequest{LeaderEpoch: epoch, LastFetchedEpoch: NoEpoch, MaxBytes: 100}, &res)
		if !errors.Is(err, want) {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	}
	if err := m.BecomeLeaderOrFollower(&LeaderAndIsr{ControllerEpoch: 2}); !errors.Is(err, ErrStaleControllerEpoch) {
		t.Error(err)
	}
	if err := m.StopReplicas(2, nil); !errors.Is(err, ErrStaleControllerEpoch) {
		t.Error(err)
	}
	m.decide(t, State{ControllerEpoch: 3, Leader: 2, LeaderEpoch: 6, ISR: []int32{2}, Replicas: []int32{self, 2}})
	if _, err := p.Append(one(t), 1, storage.FromClient, time.Now(), nil); !errors.Is(err, ErrNotLeader) {
		t.Error("a follower appends:", err)
	}
}

// The end of an epoch nobody wrote in is where the next began.
func TestEndOffsetForEpoch(t *testing.T) {
	m := newManager(t)
	st := State{Leader: self, LeaderEpoch: 1, ISR: []int32{self}, Replicas: []int32{self}}
	p := m.decide(t, st)
	p.Append(one(t), 1, storage.FromClient, time.Now(), nil)
	p.Append(one(t), 1, storage.FromClient, time.Now(), nil)
	st.LeaderEpoch = 5
	m.decide(t, st)
	for _, q := range []struct {
		epoch, found int32
		end          int64
	}{{1, 1, 2}, {3, 1, 2}, {5, 5, 2}, {6, -1, -1}} {
		if e, end, err := p.EndOffsetForEpoch(NoEpoch, q.epoch, true); e != q.found || end != q.end || err != nil {
			t.Errorf("epoch %d: %d ends at %d, %v", q.epoch, e, end, err)
		}
	}
}

func TestWatches(t *testing.T) {
	p := newManager(t).decide(t, State{Leader: self, ISR: []int32{self}, Replicas: []int32{self}})
	var set WatchSet
	a, b := &Watch{Set: &set}, &Watch{Set: &set}
	a.Attach(p)
	b.Attach(p)
	woken := make(chan struct{})
	if !set.Park(resume(func() { close(woken) })) {
		t.Fatal("nothing has moved yet")
	}
	p.Append(one(t), 1, storage.FromClient, time.Now(), nil)
	<-woken
	p.Append(one(t), 1, storage.FromClient, time.Now(), nil) // both are marked already
	if got := set.Take(nil); len(got) != 2 {
		t.Errorf("%d watches fired", len(got))
	}
	a.Detach()
	a.Detach()
	p.Append(one(t), 1, storage.FromClient, time.Now(), nil)
	if set.Park(resume(func() {})) {
		t.Error("parked although a watch had fired")
	}
	if got := set.Take(nil); len(got) != 1 || got[0] != b {
		t.Error(got)
	}
	b.Detach()
	if p.watched.Load() {
		t.Error("still watched")
	}
}

// resume makes a waiter of a function.
type resume func()

func (r resume) Resume() { r() }

// A log that has lost its last record with an epoch says to followers that what they have of former epochs is not in it, as Kafka's does, which
// notes the leader's epoch before there is a record.
func TestALeaderWithoutEpochsKnowsWhereItsOwnBegins(t *testing.T) {
	p := newManager(t).decide(t, State{Leader: self, LeaderEpoch: 5, ISR: []int32{self}, Replicas: []int32{self, 2}})
	for _, q := range []struct {
		epoch, found int32
		end          int64
	}{{3, 3, 0}, {5, 5, 0}, {6, -1, -1}} {
		if e, end, err := p.EndOffsetForEpoch(NoEpoch, q.epoch, true); e != q.found || end != q.end || err != nil {
			t.Errorf("epoch %d: %d ends at %d, %v", q.epoch, e, end, err)
		}
	}
	var res ReadResult
	err := p.Read(&ReadRequest{Offset: 7, LeaderEpoch: 5, LastFetchedEpoch: 3, MaxBytes: 100, Isolation: ReadLogEnd}, &res)
	if err != nil || !res.Diverging || res.DivergingEnd != 0 {
		t.Errorf("a follower with records of epoch 3 is told %+v, %v", res, err)
	}
}

// Who waits for replicas of a broker that stops is told at once to ask another.
func TestResignedLeadersKeepNobodyWaiting(t *testing.T) {
	m := newManager(t)
	p := m.decide(t, State{Leader: self, ISR: []int32{self, 2}, Replicas: []int32{self, 2}})
	info, err := p.Append(one(t), -1, storage.FromClient, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	p.WhenReplicated(info.LastOffset+1, func(err error) { told <- err })
	m.Resign()
	if err := <-told; !errors.Is(err, ErrNotLeader) {
		t.Error(err)
	}
	if _, err := p.Append(one(t), -1, storage.FromClient, time.Now(), nil); !errors.Is(err, ErrNotLeader) {
		t.Error(err)
	}
}
