package replication

import (
	"testing"
	"testing/synctest"
	"time"

	"gregor/storage"
)

// heldISR keeps what is proposed until the test answers.
type heldISR struct {
	change ISRChange
	done   func(ISRAnswer)
}

func (h *heldISR) Propose(c ISRChange, done func(ISRAnswer)) { h.change, h.done = c, done }

// A follower that has caught up while it was on its way out of the ISR waits at the leader for something new, which never comes as long as too few
// are in sync. The answer that puts it out, or a refusal, makes it fetch again, so that it can join.
func TestWhoCaughtUpMeanwhileJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t)
		held := &heldISR{}
		m.opt.ISR, m.opt.MaxLag = held, time.Second
		p := m.decide(t, State{Leader: self, LeaderEpoch: 1, ISR: []int32{self, 2}, Replicas: []int32{self, 2}, ZKVersion: 4})
		if _, err := p.Append(one(t), 1, storage.FromClient, time.Now(), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		m.shrinkISRs()
		if held.done == nil || len(held.change.ISR) != 1 {
			t.Fatalf("it proposes %+v", held.change)
		}
		fetch := func() { p.FollowerFetched(2, 1, 0, 1, time.Now(), nil) }
		fetch() // too late: the change is under way, and after this it waits
		var set WatchSet
		w := &Watch{Set: &set, Follower: true}
		w.Attach(p)
		defer w.Detach()
		woken := 0
		wait := func() {
			set.Take(nil)
			if !set.Park(resume(func() { woken++; fetch() })) {
				t.Fatal("nothing has happened")
			}
		}
		wait()
		out := held.done
		held.done = nil
		out(ISRAnswer{Leader: self, LeaderEpoch: 1, ISR: []int32{self}, Version: 5})
		synctest.Wait()
		if woken != 1 || held.done == nil || len(held.change.ISR) != 2 {
			t.Fatalf("woken %d times, then %+v is proposed", woken, held.change)
		}
		wait()
		refused := held.done
		held.done = nil
		refused(ISRAnswer{Err: ErrISRRefused})
		time.Sleep(isrRefusedPause + time.Millisecond)
		synctest.Wait()
		if woken != 2 || held.done == nil || len(held.change.ISR) != 2 {
			t.Errorf("after a refusal: woken %d times, then %+v is proposed", woken, held.change)
		}
	})
}
