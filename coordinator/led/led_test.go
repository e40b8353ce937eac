package led

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// No test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNamesBelongToThePartitionsThatJavaWouldChoose(t *testing.T) {
	// "polygenelubricants" hashes to the smallest number, of which Java's abs is not positive.
	for name, want := range map[string]int32{"": 0, "a": 47, "g1": 42, "polygenelubricants": 0} {
		if got := PartitionFor(name, 50); got != want {
			t.Errorf("%q is in partition %d, want %d", name, got, want)
		}
	}
	if h := javaHash("😀"); h != 0xd83d*31+0xde00 {
		t.Errorf("the hash of a character of two units is %d", h)
	}
	if got := PartitionFor("a", 0); got != 0 {
		t.Errorf("of no partitions it is %d", got)
	}
}

func TestTimersAreCalledInTheirOrderAndStoppedOnesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timers, now := NewTimers(), time.Now().UnixMilli()
		ctx, stop := context.WithCancel(t.Context())
		go timers.Run(ctx)
		var called []int
		say := func(i int) func() { return func() { called = append(called, i) } }
		third := timers.Set(now+3000, say(3))
		timers.Set(now+1000, say(1))
		second := timers.Set(now+2000, say(2))
		timers.Stop(second)
		timers.Stop(second)
		timers.Stop(nil)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if len(called) != 1 || timers.Len() != 1 {
			t.Fatalf("after a second and a half %v were called, %d are set", called, timers.Len())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(called) != 2 || called[1] != 3 || timers.Len() != 0 {
			t.Errorf("%v were called, %d are left", called, timers.Len())
		}
		timers.Stop(third) // too late, and no harm
		stop()
	})
}

type testShard struct{ loads, unloads atomic.Int32 }

func (s *testShard) Load(time.Duration) { s.loads.Add(1) }
func (s *testShard) Unload()            { s.unloads.Add(1) }

func TestAPartitionThatIsLedAgainGetsAnotherShard(t *testing.T) {
	set := NewSet[*testShard]()
	var made []*testShard
	create := func() *testShard {
		made = append(made, new(testShard))
		return made[len(made)-1]
	}
	set.Lead(1, create)
	set.Lead(1, create) // it is told twice
	set.Wait()
	set.Resign(1)
	set.Resign(1)
	if _, ok, closed := set.Find(1); ok || closed {
		t.Error("a partition that was given up is still found")
	}
	set.Lead(1, create)
	set.Lead(0, create)
	if all, _ := set.All(); len(all) != 2 || all[1] != made[1] {
		t.Errorf("%d shards, not in order", len(all))
	}
	set.Close()
	set.Lead(2, create)
	ran := false
	set.Go(func() { ran = true })
	set.Wait()
	if len(made) != 3 || ran {
		t.Errorf("%d shards were made, and after the end something ran: %v", len(made), ran)
	}
	for i, s := range made {
		if s.loads.Load() > 1 || s.unloads.Load() != 1 {
			t.Errorf("shard %d was loaded %d times and unloaded %d times", i, s.loads.Load(), s.unloads.Load())
		}
	}
	if _, _, closed := set.Find(1); !closed {
		t.Error("the set is not closed")
	}
}
