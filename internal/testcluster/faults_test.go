package testcluster_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// fault is one thing that can happen. begin makes it happen and returns what ends it.
type fault struct {
	name string
	// power: it makes one replica lose what it acknowledged, so it comes when every replica is in sync, with one other fault at most, and
	// everything recovers before the next. More than that the protocol does not promise to survive.
	power             bool
	shortest, longest time.Duration
	begin             func(ctx context.Context, s *sim, r *rand.Rand) (what string, end func())
}

var all = []fault{
	{name: "kill", longest: 9 * time.Second, begin: func(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
		n, role := s.victim(ctx, r)
		n.kill(false)
		return fmt.Sprintf("kill of broker %d, %s", n.id, role), n.start
	}},
	{name: "crash", longest: 9 * time.Second, begin: func(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
		n, role := s.victim(ctx, r)
		ops := 1 + r.Int64N(200)
		n.killAfter(ops, 2*time.Second, false)
		return fmt.Sprintf("kill of broker %d, %s, after %d operations on files", n.id, role, ops), n.start
	}},
	{name: "power", power: true, longest: 9 * time.Second, begin: func(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
		n, role := s.victim(ctx, r)
		ops := 1 + r.Int64N(200)
		n.killAfter(ops, 2*time.Second, true)
		return fmt.Sprintf("loss of power of broker %d, %s, after %d operations on files", n.id, role, ops), n.start
	}},
	{name: "stop", longest: 4 * time.Second, begin: func(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
		n, role := s.victim(ctx, r)
		began := time.Now()
		n.stop()
		return fmt.Sprintf("clean stop of broker %d, %s, in %v", n.id, role, time.Since(began)), n.start
	}},
	{name: "starts", longest: time.Second, begin: func(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
		n, role := s.victim(ctx, r)
		kills := 1 + r.IntN(3)
		n.kill(false)
		for range kills {
			n.start()
			n.killAfter(1+r.Int64N(400), 3*time.Second, false)
		}
		return fmt.Sprintf("kill of broker %d, %s, %d times while it starts", n.id, role, kills), n.start
	}},
	{name: "zkkill", longest: 10 * time.Second, begin: func(_ context.Context, s *sim, r *rand.Rand) (string, func()) {
		power := r.IntN(2) == 0
		s.zk.kill(power)
		return fmt.Sprintf("kill of ZooKeeper (power lost: %t)", power), func() {
			if err := s.zk.start(); err != nil {
				s.problem("ZooKeeper: %v", err)
			}
		}
	}},
	{name: "cut", shortest: time.Second, longest: 12 * time.Second, begin: func(_ context.Context, s *sim, r *rand.Rand) (string, func()) {
		a := r.IntN(machines)
		b := (a + 1 + r.IntN(machines-1)) % machines
		return s.cut(r, s.nodes[a].name, s.nodes[b].name)
	}},
	{name: "zkcut", shortest: time.Second, longest: 12 * time.Second, begin: func(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
		n, role := s.victim(ctx, r)
		what, end := s.cut(r, n.name, "zk")
		return what + ", " + role, end
	}},
	{name: "clients", shortest: time.Second, longest: 12 * time.Second, begin: func(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
		n, role := s.victim(ctx, r)
		what, end := s.cut(r, n.name, "clients")
		return what + ", " + role, end
	}},
	{name: "alone", shortest: time.Second, longest: 12 * time.Second, begin: isolate},
	{name: "slow", shortest: time.Second, longest: 5 * time.Second, begin: func(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
		n, role := s.victim(ctx, r)
		by := time.Duration(r.Int64N(int64(2 * time.Second)))
		set := func(by time.Duration) {
			for _, other := range s.others(n) {
				s.net.Slow(n.name, other, by)
			}
		}
		set(by)
		return fmt.Sprintf("broker %d, %s, is heard %v late", n.id, role, by), func() { set(0) }
	}},
	{name: "full", shortest: time.Second, longest: 5 * time.Second, begin: fill},
	{name: "reassign", longest: 2 * time.Second, begin: reassign},
	{name: "topic", longest: 4 * time.Second, begin: passing},
	{name: "elect", longest: time.Second, begin: func(ctx context.Context, s *sim, _ *rand.Rand) (string, func()) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		err := s.c.ElectPreferred(ctx)
		return fmt.Sprintf("election of preferred leaders (%v)", err), func() {}
	}},
}

// cut cuts a link one way or both.
func (s *sim) cut(r *rand.Rand, a, b string) (string, func()) {
	way, lose := r.IntN(3), r.IntN(2) == 0
	if way != 1 {
		s.net.Cut(a, b)
	}
	if way != 0 {
		s.net.Cut(b, a)
	}
	what := fmt.Sprintf([]string{"link cut from %s to %s", "link cut backwards from %s to %s", "link cut between %s and %s"}[way], a, b)
	if lose {
		what += ", connections lost"
	}
	return what, func() {
		s.net.Heal(a, b, lose)
		s.net.Heal(b, a, lose)
	}
}

// others are the machines beside a broker's.
func (s *sim) others(n *node) []string {
	out := []string{"zk", "clients", "admin", "watcher"}
	for _, o := range s.nodes {
		if o != n {
			out = append(out, o.name)
		}
	}
	return out
}

// isolate lets nobody hear a broker, nor it anybody: to the others it looks as a stopped process does.
func isolate(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
	n, role := s.victim(ctx, r)
	lose := r.IntN(2) == 0
	for _, o := range s.others(n) {
		s.net.Cut(n.name, o)
		s.net.Cut(o, n.name)
	}
	return fmt.Sprintf("broker %d, %s, is cut off (connections lost: %t)", n.id, role, lose), func() {
		for _, o := range s.others(n) {
			s.net.Heal(n.name, o, lose)
			s.net.Heal(o, n.name, lose)
		}
	}
}

// fill leaves no room on a broker's disk. It may go on, or stop as one without a log directory does.
func fill(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
	n, role := s.victim(ctx, r)
	n.mu.Lock()
	n.full = true
	mem := n.mem
	n.mu.Unlock()
	free, total, _ := mem.Free("/")
	mem.SetCapacity(total - free + r.Int64N(3000))
	return fmt.Sprintf("the disk of broker %d, %s, is full", n.id, role), func() {
		n.mu.Lock()
		n.full = false
		n.mem.SetCapacity(math.MaxInt64)
		n.mu.Unlock()
		mem.SetCapacity(math.MaxInt64)
		// With a failed directory, or none at all, a broker is of no use until it is restarted.
		n.stop()
		n.start()
	}
}

// reassign gives a partition three brokers in another order.
func reassign(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
	p := int32(r.IntN(s.partitions()))
	var to []int32
	for _, i := range r.Perm(machines)[:replicas] {
		to = append(to, int32(i+1))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := s.c.Reassign(ctx, topic, p, to)
	return fmt.Sprintf("partition %d is moved to %v (%v)", p, to, err), func() {}
}

// passing makes a topic, which is deleted after a while. Whether either succeeds does not matter: at the end it is to be gone.
func passing(ctx context.Context, s *sim, r *rand.Rand) (string, func()) {
	name := fmt.Sprintf("%s%d", passingTopics, r.IntN(5))
	var spread [][]int32
	factor := 1 + r.IntN(replicas)
	for range 1 + r.IntN(4) {
		var ids []int32
		for _, i := range r.Perm(machines)[:factor] {
			ids = append(ids, int32(i+1))
		}
		spread = append(spread, ids)
	}
	limit, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := s.c.CreateTopic(limit, name, spread, nil)
	return fmt.Sprintf("topic %s of %d partitions is made (%v)", name, len(spread), err), func() {
		limit, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		s.note("topic %s is deleted (%v)", name, s.deleteTopics(limit, name))
	}
}

const passingTopics = "passing"

// suffer makes faults until the time is over, one and two at a time.
func (s *sim) suffer(ctx context.Context, r *rand.Rand, lasts time.Duration) {
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		now := []fault{all[r.IntN(len(all))]}
		if second := all[r.IntN(len(all))]; r.IntN(2) == 0 && !(now[0].power && second.power) {
			now = append(now, second)
		}
		power := slices.ContainsFunc(now, func(f fault) bool { return f.power })
		if power {
			s.recover(ctx, time.Minute, "before "+names(now))
		}
		var wg sync.WaitGroup
		for _, f := range now {
			seed, lasts := r.Uint64(), f.shortest+time.Duration(r.Int64N(int64(f.longest-f.shortest)))
			wg.Go(func() {
				what, end := f.begin(ctx, s, rand.New(rand.NewPCG(seed, 2)))
				s.note("%s: %s, for %v", f.name, what, lasts*s.hurry/100)
				pause(ctx, lasts*s.hurry/100)
				end()
				s.note("%s: over", f.name)
			})
			if r.IntN(2) == 0 {
				pause(ctx, time.Duration(r.Int64N(int64(2*time.Second)))*s.hurry/100)
			}
		}
		wg.Wait()
		if power {
			s.recover(ctx, time.Minute, "after "+names(now))
		}
		pause(ctx, time.Duration(r.Int64N(int64(3*time.Second)))*s.hurry/100)
	}
}
