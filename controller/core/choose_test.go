package core

import (
	"fmt"
	"testing"
)

func TestWhoLeads(t *testing.T) {
	l := func(leader, epoch int32, isr ...int32) Leadership {
		return Leadership{Leader: leader, LeaderEpoch: epoch, ISR: isr}
	}
	none := Leadership{Leader: -9}
	for _, c := range []struct {
		name      string
		now       Leadership
		exists    bool
		up        []int32
		bounced   []int32
		leaving   []int32
		unclean   bool
		preferred bool
		want      string // "" is no change
	}{
		{name: "a new partition is led by its first live replica, all live ones in sync", now: none, up: []int32{2, 3}, want: "leader 2 epoch 0 isr [2 3]"},
		{name: "a new partition waits for a live replica", now: none, up: []int32{7}},
		{name: "nothing changes while leader and ISR live", now: l(2, 4, 2, 3), exists: true, up: []int32{1, 2, 3}},
		{name: "a dead follower leaves the ISR", now: l(1, 4, 1, 2, 3), exists: true, up: []int32{1, 3}, want: "leader 1 epoch 5 isr [1 3]"},
		{name: "a dead follower outside the ISR changes nothing", now: l(1, 4, 1, 3), exists: true, up: []int32{1, 3}},
		{name: "a dead leader is followed by the first assigned live replica in sync", now: l(1, 4, 3, 1, 2), exists: true, up: []int32{2, 3}, want: "leader 2 epoch 5 isr [3 2]"},
		{name: "the last in sync stays in the ISR", now: l(1, 4, 1), exists: true, up: []int32{2, 3}, want: "leader -1 epoch 5 isr [1]"},
		{name: "without a leader there is nothing to change", now: l(-1, 5, 1), exists: true, up: []int32{2, 3}},
		{name: "the last in sync leads again", now: l(-1, 5, 1), exists: true, up: []int32{1, 2, 3}, want: "leader 1 epoch 6 isr [1]"},
		{name: "unclean: anyone who lives", now: l(-1, 5, 1), exists: true, up: []int32{2, 3}, unclean: true, want: "leader 2 epoch 6 isr [2]"},
		{name: "unclean: but one in sync first", now: l(2, 5, 2, 3), exists: true, up: []int32{1, 3}, unclean: true, want: "leader 3 epoch 6 isr [3]"},
		{name: "a bounced leader loses its place", now: l(1, 4, 1, 2), exists: true, up: []int32{1, 2, 3}, bounced: []int32{1}, want: "leader 2 epoch 5 isr [2]"},
		{name: "a bounced follower leaves the ISR", now: l(1, 4, 1, 2), exists: true, up: []int32{1, 2, 3}, bounced: []int32{2}, want: "leader 1 epoch 5 isr [1]"},
		{name: "a bounced leader alone in sync leads under a new epoch", now: l(1, 4, 1), exists: true, up: []int32{1, 2, 3}, bounced: []int32{1}, want: "leader 1 epoch 5 isr [1]"},
		{name: "all bounced", now: l(2, 4, 2, 1), exists: true, up: []int32{1, 2}, bounced: []int32{1, 2}, want: "leader 1 epoch 5 isr [2 1]"},
		{name: "a leader that stops hands over", now: l(1, 4, 1, 2, 3), exists: true, up: []int32{1, 2, 3}, leaving: []int32{1}, want: "leader 2 epoch 5 isr [2 3]"},
		{name: "a follower that stops leaves the ISR", now: l(1, 4, 1, 2, 3), exists: true, up: []int32{1, 2, 3}, leaving: []int32{3}, want: "leader 1 epoch 5 isr [1 2]"},
		{name: "a leader that stops goes on when nobody else is in sync", now: l(1, 4, 1), exists: true, up: []int32{1, 2, 3}, leaving: []int32{1}},
		{name: "not to one that stops as well", now: l(1, 4, 1, 2, 3), exists: true, up: []int32{1, 2, 3}, leaving: []int32{1, 2}, want: "leader 3 epoch 5 isr [3]"},
		{name: "a new partition is not led by one that stops", now: none, up: []int32{1, 2}, leaving: []int32{1}, want: "leader 2 epoch 0 isr [2]"},
		{name: "the last in sync leads again even if it stops", now: l(-1, 5, 1), exists: true, up: []int32{1, 2}, leaving: []int32{1}, want: "leader 1 epoch 6 isr [1]"},
		{name: "the preferred leader on request", now: l(2, 4, 2, 1), exists: true, up: []int32{1, 2, 3}, preferred: true, want: "leader 1 epoch 5 isr [2 1]"},
		{name: "not a preferred leader out of sync", now: l(2, 4, 2, 3), exists: true, up: []int32{1, 2, 3}, preferred: true},
		{name: "an ISR of strangers has no leader", now: l(9, 4, 9), exists: true, up: []int32{1, 2}, want: "leader -1 epoch 5 isr [9]"},
	} {
		a := Assignment{Replicas: []int32{1, 2, 3}}
		got, change := choose(c.now, c.exists, a, func(r int32) bool { return contains(c.up, r) }, c.bounced, c.leaving, c.unclean, c.preferred)
		if s := got.String(); change != (c.want != "") || change && s != c.want {
			t.Errorf("%s:\n got %v %s\nwant %s", c.name, change, s, c.want)
		}
	}
}

// Whatever stood before, what choose leaves is lawful, and choosing again changes nothing.
func TestChoiceIsLawfulAndSettles(t *testing.T) {
	sets := func() (out [][]int32) {
		for bits := range 16 {
			var s []int32
			for i := range int32(4) {
				if bits>>i&1 == 1 {
					s = append(s, i)
				}
			}
			out = append(out, s)
		}
		return out
	}()
	a := Assignment{Replicas: []int32{2, 0, 1}}
	for _, isr := range sets[1:] {
		for _, leader := range append([]int32{-1}, isr...) {
			for _, up := range sets {
				for _, bounced := range sets {
					for _, unclean := range []bool{false, true} {
						now := Leadership{Leader: leader, LeaderEpoch: 3, ISR: isr}
						online := func(r int32) bool { return contains(up, r) }
						next, change := choose(now, true, a, online, bounced, nil, unclean, false)
						what := fmt.Sprintf("from %s, up %v, bounced %v, unclean %v: %s", now, up, bounced, unclean, next)
						if change && next.LeaderEpoch != 4 || len(next.ISR) == 0 {
							t.Fatal(what)
						}
						if next.Leader >= 0 && (!online(next.Leader) || !contains(next.ISR, next.Leader)) {
							t.Fatalf("%s: a leader that is dead or out of sync", what)
						}
						clean := next.Leader < 0 || contains(isr, next.Leader)
						for _, r := range next.ISR {
							clean = clean && contains(isr, r)
						}
						if !unclean && !clean {
							t.Fatalf("%s: unclean", what)
						}
						if len(filter(a.Replicas, func(r int32) bool { return online(r) && contains(isr, r) })) > 0 && (next.Leader < 0 || !clean) {
							t.Fatalf("%s: a replica in sync lives", what)
						}
						if again, more := choose(next, true, a, online, nil, nil, unclean, false); more {
							t.Fatalf("%s, and then %s", what, again)
						}
					}
				}
			}
		}
	}
}

// Who lost power and registered after the leadership was written was away, and nobody saw it: a new controller treats it as one that bounced,
// unless nobody else who is in sync is there.
func TestReplicasThatReturnedUnseen(t *testing.T) {
	elected := func(brokers ...Broker) Plan {
		s := New(Config{})
		return s.Apply(Elected{Epoch: 2, Brokers: brokers, Topics: []Topic{{Name: "t", Partitions: map[int32]Assignment{0: {Replicas: []int32{1, 2, 3}}},
			States: map[int32]Leadership{0: {Leader: 1, LeaderEpoch: 4, ISR: []int32{1, 2, 3}, ControllerEpoch: 1, Version: 7}}, Written: map[int32]int64{0: 100}}}})
	}
	for _, c := range []struct {
		epochs [3]int64 // negative: power was lost before
		want   string   // "" no write
	}{
		{[3]int64{10, 20, 30}, ""},
		{[3]int64{110, 120, 30}, ""}, // their processes died, and 3 may be dead since
		{[3]int64{-10, 20, 30}, ""},  // that was before
		{[3]int64{-110, 20, 30}, "set t-0 v7: leader 2 epoch 5 isr [2 3]"},
		{[3]int64{-110, 120, 30}, "set t-0 v7: leader 2 epoch 5 isr [2 3]"},
		{[3]int64{10, -120, 30}, "set t-0 v7: leader 1 epoch 5 isr [1 3]"},
		{[3]int64{-110, -120, 30}, "set t-0 v7: leader 3 epoch 5 isr [3]"},
		{[3]int64{-110, -120, -130}, ""},
	} {
		var brokers []Broker
		for i, epoch := range c.epochs {
			brokers = append(brokers, Broker{ID: int32(i + 1), Epoch: max(epoch, -epoch), PowerLost: epoch < 0})
		}
		plan := elected(brokers...)
		got := ""
		for _, w := range plan.Writes {
			got += w.String()
		}
		if got != c.want {
			t.Errorf("epochs %v: %q, want %q", c.epochs, got, c.want)
		}
	}
}

// A controller that died between writing the assignment of a move and telling the leader leaves a leader that does not know its new replicas, and
// believes nobody under the epoch it has: its successor gives it another.
func TestAMoveGoesOnUnderANewEpoch(t *testing.T) {
	s := New(Config{})
	plan := s.Apply(Elected{Epoch: 2, Brokers: []Broker{{ID: 1, Epoch: 10}, {ID: 2, Epoch: 20}}, Topics: []Topic{{Name: "t",
		Partitions: map[int32]Assignment{0: {Replicas: []int32{2, 1}, Adding: []int32{2}, Removing: []int32{1}}, 1: {Replicas: []int32{1}}},
		States: map[int32]Leadership{0: {Leader: 1, LeaderEpoch: 4, ISR: []int32{1}, ControllerEpoch: 1, Version: 7},
			1: {Leader: 1, LeaderEpoch: 4, ISR: []int32{1}, ControllerEpoch: 1, Version: 7}}}}})
	if len(plan.Writes) != 1 || plan.Writes[0].String() != "set t-0 v7: leader 1 epoch 5 isr [1]" {
		t.Errorf("%v", plan.Writes)
	}
}

// A controller that died between writing the assignment that ends a move and telling the leader leaves a leader with the replicas of before:
// what its successor says must be news to it.
func TestAMoveEndsUnderAnEpochThatNobodyHasHeardOf(t *testing.T) {
	tp := TP{"t", 0}
	brokers := []Broker{{ID: 1, Epoch: 10}, {ID: 2, Epoch: 20}}
	stands := Leadership{Leader: 2, LeaderEpoch: 4, ISR: []int32{1, 2}, ControllerEpoch: 1, Version: 7}
	topics := []Topic{{Name: "t", Partitions: map[int32]Assignment{0: {Replicas: []int32{2, 1}, Adding: []int32{2}, Removing: []int32{1}}},
		States: map[int32]Leadership{0: stands}}}
	told := stands.LeaderEpoch
	assigned := false
	first := New(Config{})
	plan := first.Apply(Elected{Epoch: 2, Brokers: brokers, Topics: topics})
	for range 10 {
		var done []Result
		for _, r := range plan.Requests {
			if r.LeaderAndIsr != nil {
				told = r.LeaderAndIsr.Partitions[0].Leadership.LeaderEpoch
			}
		}
		for _, w := range plan.Writes {
			r := Result{Write: w}
			switch w.Kind {
			case SetState:
				stands = w.To
				stands.Version = w.From + 1
				r.Version = stands.Version
			case SetAssignments:
				topics[0].Partitions[0], assigned = w.Assignments[0], true
			}
			done = append(done, r)
		}
		if assigned {
			break // and the controller dies
		}
		plan = first.Apply(WritesDone{done})
	}
	if got := topics[0].Partitions[0]; !equal(got.Replicas, []int32{2}) {
		t.Fatalf("the assignment is %v", got)
	}
	topics[0].States[0] = stands
	for _, r := range New(Config{}).Apply(Elected{Epoch: 3, Brokers: brokers, Topics: topics}).Requests {
		if r.LeaderAndIsr != nil && r.Broker == 2 {
			p := r.LeaderAndIsr.Partitions[0]
			if p.TP != tp || p.Leadership.LeaderEpoch <= told || !equal(p.Assignment.Replicas, []int32{2}) {
				t.Errorf("the leader, whose epoch is %d, is told epoch %d and replicas %v", told, p.Leadership.LeaderEpoch, p.Assignment.Replicas)
			}
			return
		}
	}
	t.Error("the successor tells nothing")
}
