package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/zkmeta"
)

func testLog(t testing.TB) logrus.FieldLogger {
	l := logrus.New()
	l.SetOutput(os.Stderr)
	if !testing.Verbose() {
		l.SetLevel(logrus.PanicLevel)
	}
	return l
}

func cluster(t testing.TB) string {
	return startZooKeeper(t) + "/" + strings.ReplaceAll(fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano()), "/", "_")
}

func assignment(partitions int, replicas ...int32) map[int32][]int32 {
	m := map[int32][]int32{}
	for p := range partitions {
		m[int32(p)] = replicas
	}
	return m
}

// untilGone waits for a znode to be deleted.
func untilGone(t testing.TB, zk *zkmeta.Client, path string) {
	t.Helper()
	ch := make(chan struct{}, 100)
	defer zk.Subscribe(func(zkmeta.Event) { ch <- struct{}{} })()
	for {
		_, _, err := zk.GetW(t.Context(), path)
		if errors.Is(err, zkmeta.ErrNoNode) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-ch:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s is still there", path)
		}
	}
}

func TestTopicsComeToLifeGrowAndAreDeleted(t *testing.T) {
	f := startFake(t, cluster(t), 1)
	c, _ := runController(t, f)
	ctx := t.Context()
	f.until(t, "the list of brokers", func() bool { return f.brokers == 1 })
	if err := f.zk.CreateTopic(ctx, "t", assignment(3, 1), map[string]string{"retention.ms": "1"}); err != nil {
		t.Fatal(err)
	}
	f.until(t, "3 partitions led", f.leads("t", 3))
	if !c.IsActive() || c.Epoch() != 1 {
		t.Errorf("epoch %d", c.Epoch())
	}
	// As an old tool grows it.
	if _, err := f.zk.Set(ctx, zkmeta.PathTopic("t"), []byte(`{"version":1,"partitions":{"0":[1],"1":[1],"2":[1],"3":[1]}}`), zkmeta.AnyVersion); err != nil {
		t.Fatal(err)
	}
	f.until(t, "4 partitions led", f.leads("t", 4))
	data, st, err := f.zk.Get(ctx, "/brokers/topics/t/partitions/3/state")
	if want := `{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1]}`; err != nil || string(data) != want || st.Version != 0 {
		t.Errorf("got %s v%d, %v, want %s", data, st.Version, err, want)
	}
	if err := f.zk.DeleteTopic(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	untilGone(t, f.zk, zkmeta.PathDeleteTopic("t"))
	for _, p := range []string{zkmeta.PathTopic("t"), zkmeta.PathEntityConfig("topics", "t")} {
		if ok, _, _ := f.zk.Exists(ctx, p); ok {
			t.Errorf("%s is still there", p)
		}
	}
	f.mu.Lock()
	if len(f.deleted) != 4 || len(f.meta) != 0 {
		t.Errorf("deleted %v, metadata %v", f.deleted, f.meta)
	}
	f.mu.Unlock()
	// A request to delete what is not there is cleared; so is garbage in a topic's znode survived.
	if err := errors.Join(f.zk.Create(ctx, zkmeta.PathDeleteTopic("none"), nil), f.zk.Create(ctx, zkmeta.PathTopic("bad"), []byte("garbage"))); err != nil {
		t.Fatal(err)
	}
	untilGone(t, f.zk, zkmeta.PathDeleteTopic("none"))
	if err := f.zk.CreateTopic(ctx, "t", assignment(1, 1), nil); err != nil {
		t.Fatal(err)
	}
	f.until(t, "the new t led", f.leads("t", 1))
	if _, err := f.zk.Set(ctx, zkmeta.PathTopic("bad"), []byte(`{"version":1,"partitions":{"0":[1]}}`), zkmeta.AnyVersion); err != nil {
		t.Fatal(err)
	}
	f.until(t, "the mended topic led", f.leads("bad", 1))
}

func TestLeadershipMovesWhenABrokerDiesAndTheNextControllerTakesOver(t *testing.T) {
	connect := cluster(t)
	f1, f2, f3 := startFake(t, connect, 1), startFake(t, connect, 2), startFake(t, connect, 3)
	_, stop1 := runController(t, f1)
	f1.until(t, "three brokers", func() bool { return f1.brokers == 3 })
	c2, _ := runController(t, f2)
	ctx := t.Context()
	asg := map[int32][]int32{0: {1, 2, 3}, 1: {2, 3, 1}, 2: {3, 1, 2}}
	if err := f3.zk.CreateTopic(ctx, "t", asg, nil); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*fakeBroker{f1, f2, f3} {
		f.until(t, "one led", f.leads("t", 1))
	}
	stop1()
	f1.kill() // its session is closed: /brokers/ids/1 and /controller go
	f2.until(t, "broker 1's partition led by 2", f2.leads("t", 2))
	f3.until(t, "told of it", func() bool { return f3.meta["t-0"].Leader == 2 && f3.roles["t-0"].Leader == 2 })
	if !c2.IsActive() || c2.Epoch() != 2 {
		t.Errorf("controller 2: epoch %d", c2.Epoch())
	}
	data, _, _ := f2.zk.Get(ctx, "/brokers/topics/t/partitions/0/state")
	if want := `{"controller_epoch":2,"leader":2,"version":1,"leader_epoch":1,"isr":[2,3]}`; string(data) != want {
		t.Errorf("got %s, want %s", data, want)
	}
	data, _, _ = f2.zk.Get(ctx, "/brokers/topics/t/partitions/2/state")
	if want := `{"controller_epoch":2,"leader":3,"version":1,"leader_epoch":1,"isr":[3,2]}`; string(data) != want {
		t.Errorf("got %s, want %s", data, want)
	}
	// It comes back, as a follower outside the ISR.
	f1 = startFake(t, connect, 1)
	f1.until(t, "its roles", func() bool { return len(f1.roles) == 3 && f1.roles["t-0"].Leader == 2 && len(f1.meta) == 3 })
	if err := f2.zk.DeleteTopic(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	untilGone(t, f2.zk, zkmeta.PathDeleteTopic("t"))
}

func TestADeposedControllerChangesNothing(t *testing.T) {
	connect := cluster(t)
	f1, f2 := startFake(t, connect, 1), startFake(t, connect, 2)
	c1, _ := runController(t, f1)
	f1.until(t, "elected", func() bool { return f1.brokers == 2 })
	ctx := t.Context()
	// Someone counts up the epoch behind its back, as a new controller does when the old one is stalled.
	if _, err := f2.zk.Set(ctx, zkmeta.PathControllerEpoch, []byte("7"), zkmeta.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if err := f2.zk.CreateTopic(ctx, "t", assignment(1, 1), nil); err != nil {
		t.Fatal(err)
	}
	// The write is fenced; the term ends; /controller is still its own, so that it starts another one.
	f1.until(t, "led in the new term", f1.leads("t", 1))
	if c1.Epoch() != 8 {
		t.Errorf("epoch %d", c1.Epoch())
	}
	if data, _, _ := f1.zk.Get(ctx, "/brokers/topics/t/partitions/0/state"); !strings.HasPrefix(string(data), `{"controller_epoch":8,`) {
		t.Errorf("got %s", data)
	}
	// And when /controller is deleted, as Cruise Control does, somebody is elected.
	if err := f2.zk.Delete(ctx, zkmeta.PathController, zkmeta.AnyVersion); err != nil {
		t.Fatal(err)
	}
	f1.until(t, "epoch 9", func() bool { return len(f1.epochs) > 0 && f1.epochs[len(f1.epochs)-1] == 9 })
}

func TestAPartitionHalfMadeIsFinished(t *testing.T) {
	f := startFake(t, cluster(t), 1)
	ctx := t.Context()
	if err := f.zk.CreateTopic(ctx, "t", assignment(4, 1), nil); err != nil {
		t.Fatal(err)
	}
	state := `{"controller_epoch":0,"leader":-1,"version":1,"leader_epoch":5,"isr":[1]}`
	for _, n := range []struct{ path, data string }{{"", ""}, {"/0", ""}, {"/1", ""}, {"/1/state", state}} {
		if err := f.zk.Create(ctx, zkmeta.PathTopicPartitions("t")+n.path, []byte(n.data)); err != nil {
			t.Fatal(err)
		}
	}
	runController(t, f)
	f.until(t, "all led", f.leads("t", 4))
	if f.roles["t-1"].LeaderEpoch != 6 {
		t.Errorf("leader epoch %d", f.roles["t-1"].LeaderEpoch)
	}
}

func TestADeletionThatFailsIsTriedAgainWhenTheBrokerComesBack(t *testing.T) {
	f := startFake(t, cluster(t), 1)
	ctx := t.Context()
	runController(t, f)
	if err := f.zk.CreateTopic(ctx, "t", assignment(2, 1), nil); err != nil {
		t.Fatal(err)
	}
	f.until(t, "led", f.leads("t", 2))
	f.mu.Lock()
	f.refuse = 56
	f.mu.Unlock()
	if err := f.zk.DeleteTopic(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	f.until(t, "asked", func() bool { return len(f.meta) == 0 })
	f.mu.Lock()
	f.refuse = 0
	f.mu.Unlock()
	if err := f.zk.UnregisterBroker(ctx, 1); err != nil {
		t.Fatal(err)
	}
	f.register(t)
	untilGone(t, f.zk, zkmeta.PathTopic("t"))
}

// BenchmarkCreateAndTakeOver is about seconds, not about nanoseconds: run it with -benchtime=1x.
func BenchmarkCreateAndTakeOver(b *testing.B) {
	for range b.N {
		connect := cluster(b)
		f := startFake(b, connect, 1)
		_, stop := runController(b, f)
		f.until(b, "elected", func() bool { return f.brokers == 1 })
		ctx := context.Background()
		const topics, partitions = 100, 1000
		began := time.Now()
		for i := range 10 {
			if err := f.zk.CreateTopic(ctx, fmt.Sprintf("t%d", i), assignment(partitions, 1), nil); err != nil {
				b.Fatal(err)
			}
		}
		f.until(b, "led", f.leads("t9", partitions))
		f.until(b, "led", func() bool { return len(f.roles) == 10*partitions })
		b.ReportMetric(time.Since(began).Seconds(), "s/create-10k")
		for i := 10; i < topics; i++ {
			if err := f.zk.CreateTopic(ctx, fmt.Sprintf("t%d", i), assignment(partitions, 1), nil); err != nil {
				b.Fatal(err)
			}
		}
		f.until(b, "led", func() bool { return len(f.roles) == topics*partitions })
		b.ReportMetric(time.Since(began).Seconds(), "s/create-100k")
		stop()
		f.kill()
		began = time.Now()
		f = startFake(b, connect, 1)
		runController(b, f)
		f.until(b, "led", func() bool { return len(f.roles) == topics*partitions && len(f.meta) == topics*partitions })
		b.ReportMetric(time.Since(began).Seconds(), "s/take-over-100k")
		_ = topics
	}
}
