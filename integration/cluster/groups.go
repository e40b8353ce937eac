package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Groups are consumer groups of each way to share partitions, whose members commit what they have read, leave, come back, stand still for longer
// than their session, and die. Each group must read every record, a committed offset must never go back, and in one generation a partition
// must have one owner.
type Groups struct {
	*ledger
	c          *Cluster
	topic      string
	partitions int32
	feeder     *feeder
	groups     []*oneGroup
	cancel     context.CancelFunc
	stopAll    context.CancelFunc
	members    sync.WaitGroup
	closing    sync.WaitGroup
	observer   sync.WaitGroup

	Read, Commits, looks, ended atomic.Int64
}

// oneGroup is what is known of a group; guarded by ledger.mu.
type oneGroup struct {
	name     string
	balancer kgo.GroupBalancer
	static   bool
	read     [][]uint64                 // a bit for each record of each partition
	missing  []int64                    // by partition: the first record that was not read
	acked    []int64                    // by partition: the highest commit that was answered
	owners   map[int32]map[int32]string // by generation and partition
}

// GroupOptions says how many members each group has.
type GroupOptions struct {
	Members   int
	PerSecond int // records that are written
	Seed      uint64
}

// StartGroups begins to write, to read and to commit.
func (c *Cluster) StartGroups(ctx context.Context, topic string, partitions int32, o GroupOptions) (*Groups, error) {
	g := &Groups{c: c, topic: topic, partitions: partitions}
	for name, b := range map[string]kgo.GroupBalancer{"eager": kgo.RangeBalancer(), "cooperative": kgo.CooperativeStickyBalancer(), "static": kgo.CooperativeStickyBalancer()} {
		g.groups = append(g.groups, &oneGroup{name: topic + "-" + name, balancer: b, static: name == "static", read: make([][]uint64, partitions),
			missing: make([]int64, partitions), acked: make([]int64, partitions), owners: map[int32]map[int32]string{}})
	}
	g.ledger = newLedger(len(g.groups))
	all, stopAll := context.WithCancel(ctx)
	g.stopAll = stopAll
	work, cancel := context.WithCancel(all)
	g.cancel = cancel
	var err error
	if g.feeder, err = c.feed(all, g.ledger, topic, partitions, o.PerSecond); err != nil {
		return nil, err
	}
	g.observer.Go(func() { g.observe(all) })
	for i, one := range g.groups {
		for m := range o.Members {
			g.members.Go(func() { g.member(work, i, one, m, rand.New(rand.NewPCG(o.Seed, uint64(i*100+m)))) })
		}
	}
	return g, nil
}

func (g *Groups) member(ctx context.Context, part int, one *oneGroup, id int, r *rand.Rand) {
	for ctx.Err() == nil {
		network := newNetwork()
		opts := append(ClientOptions(), g.c.Seeds(), kgo.ConsumerGroup(one.name), kgo.ConsumeTopics(g.topic), kgo.Balancers(one.balancer),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.SessionTimeout(6*time.Second),
			kgo.HeartbeatInterval(500*time.Millisecond), kgo.FetchMaxWait(250*time.Millisecond), kgo.BlockRebalanceOnPoll(), kgo.Dialer(network.dial),
			kgo.RebalanceTimeout(10*time.Second), kgo.ClientID("member"),
			kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, assigned map[string][]int32) {
				owner, generation := cl.GroupMetadata()
				if one.static { // it takes over what its predecessor has, in the same generation
					owner = fmt.Sprint("instance-", id)
				}
				g.assigned(one, owner, generation, assigned[g.topic])
			}))
		if one.static {
			opts = append(opts, kgo.InstanceID(fmt.Sprint("instance-", id)))
		}
		cl, err := kgo.NewClient(opts...)
		if err != nil {
			g.problem("member %d of %s: %v", id, one.name, err)
			return
		}
		g.consume(ctx, part, one, cl, network, r)
		g.ended.Add(1)
		g.closing.Go(func() {
			if network.isDead() {
				leave, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_ = cl.LeaveGroupContext(leave)
			}
			cl.CloseAllowingRebalance()
		})
	}
}

// assigned notes who owns what in a generation.
func (g *Groups) assigned(one *oneGroup, member string, generation int32, partitions []int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	owners := one.owners[generation]
	if owners == nil {
		owners = map[int32]string{}
		one.owners[generation] = owners
	}
	for _, p := range partitions {
		if other := owners[p]; other != "" && other != member {
			g.problemLocked("group %s, generation %d: partition %d is %s's and %s's", one.name, generation, p, other, member)
		}
		owners[p] = member
	}
}

// consume reads and commits until the context ends or the member does.
func (g *Groups) consume(ctx context.Context, part int, one *oneGroup, cl *kgo.Client, network *network, r *rand.Rand) {
	for {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fs := cl.PollRecords(poll, 100)
		cancel()
		if ctx.Err() != nil {
			return
		}
		records := fs.Records()
		if len(records) == 0 {
			cl.AllowRebalance()
			continue
		}
		g.note(one, records)
		switch r.IntN(80) {
		case 0:
			network.freeze(ctx, 6*time.Second+time.Duration(r.IntN(3000))*time.Millisecond)
		case 1:
			network.kill()
			return
		case 2:
			return // it leaves, without having committed
		}
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := cl.CommitRecords(within, records...)
		cancel()
		if err == nil {
			g.committed(one, records)
			g.Commits.Add(1)
			g.advanced(part)
		}
		cl.AllowRebalance()
	}
}

func (g *Groups) note(one *oneGroup, records []*kgo.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range records {
		g.Read.Add(1)
		bits := one.read[r.Partition]
		for int(r.Offset/64) >= len(bits) {
			bits = append(bits, 0)
		}
		bits[r.Offset/64] |= 1 << (r.Offset % 64)
		one.read[r.Partition] = bits
		for at := one.missing[r.Partition]; int(at/64) < len(bits) && bits[at/64]&(1<<(at%64)) != 0; at++ {
			one.missing[r.Partition] = at + 1
		}
	}
}

func (g *Groups) committed(one *oneGroup, records []*kgo.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range records {
		one.acked[r.Partition] = max(one.acked[r.Partition], r.Offset+1)
	}
}

// observe asks for committed offsets again and again. One that is lower than what was answered before may come from a coordinator that does not
// know yet that it is none any more; one that stays so is wrong.
func (g *Groups) observe(ctx context.Context) {
	adm := kadm.NewClient(g.c.Client)
	highest := map[string][]int64{}
	for ctx.Err() == nil {
		pause(ctx, 300*time.Millisecond)
		for _, one := range g.groups {
			if highest[one.name] == nil {
				highest[one.name] = make([]int64, g.partitions)
			}
			floor := highest[one.name]
			g.mu.Lock()
			for p := range floor {
				floor[p] = max(floor[p], one.acked[p])
			}
			g.mu.Unlock()
			g.look(ctx, adm, one, floor)
		}
	}
}

func (g *Groups) look(ctx context.Context, adm *kadm.Client, one *oneGroup, floor []int64) {
	for since := time.Now(); ctx.Err() == nil; pause(ctx, 300*time.Millisecond) {
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		got, err := adm.FetchOffsets(within, one.name)
		cancel()
		if err != nil {
			return
		}
		low := int32(-1)
		for p := range g.partitions {
			o, ok := got[g.topic][p]
			if ok && o.Err != nil {
				return
			}
			if (!ok && floor[p] > 0) || (ok && o.At < floor[p]) {
				low = p
				continue
			}
			if ok {
				floor[p] = o.At
			}
		}
		if low < 0 {
			g.looks.Add(1)
			return
		}
		if time.Since(since) > 15*time.Second {
			g.problem("group %s, partition %d: offset %d is committed (%v), it was %d", one.name, low, got[g.topic][low].At, got[g.topic], floor[low])
			return
		}
	}
}

// Topics implements Workload.
func (g *Groups) Topics() []string { return []string{g.topic} }

// Progress implements Workload.
func (g *Groups) Progress() string {
	return fmt.Sprintf("%d read, %d commits, committed offsets looked at %d times, members ended %d times", g.Read.Load(), g.Commits.Load(), g.looks.Load(), g.ended.Load())
}

// Finish ends the writing, and waits until each group has read and committed everything.
func (g *Groups) Finish(ctx context.Context) (records int64, problems []string) {
	all := g.feeder.finish(ctx)
	complete := func() (string, bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, one := range g.groups {
			for p := range one.missing {
				if end := g.feeder.sent[p].Load(); one.missing[p] < end || one.acked[p] < end {
					return fmt.Sprintf("group %s, partition %d: read up to %d, committed %d, of %d", one.name, p, one.missing[p], one.acked[p], end), false
				}
			}
		}
		return "", true
	}
	for ctx.Err() == nil {
		if _, ok := complete(); ok {
			break
		}
		pause(ctx, 20*time.Millisecond)
	}
	if what, ok := complete(); !ok {
		g.problem("%s", what)
	}
	g.cancel()
	g.members.Wait()
	g.closing.Wait()
	g.stopAll()
	g.observer.Wait()
	if g.looks.Load() == 0 {
		g.problem("committed offsets were never looked at")
	}
	return all, slices.Clone(g.all())
}
