package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// coordinated are properties of clusters whose coordinators survive a broker.
func coordinated(partitions string) map[string]string {
	return map[string]string{
		"offsets.topic.replication.factor": "3", "offsets.topic.num.partitions": partitions, "transaction.state.log.replication.factor": "3",
		"transaction.state.log.min.isr": "2", "transaction.state.log.num.partitions": partitions,
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	}
}

const transactionState, consumerOffsets = "__transaction_state", "__consumer_offsets"

// coordinateAt moves the leadership of an internal topic's only partition to a broker.
func (c *Cluster) coordinateAt(t *testing.T, ctx context.Context, topic string, id int32) {
	t.Helper()
	replicas := []int32{id}
	for _, n := range c.Nodes {
		if int32(n.ID) != id {
			replicas = append(replicas, int32(n.ID))
		}
	}
	eventually(t, ctx, fmt.Sprintf("%s led by broker %d", topic, id), func() bool {
		v, err := c.View(ctx, 0, topic)
		if err != nil || len(v.Partitions) != 1 || InSync(v) != nil {
			return false
		}
		p := v.Partitions[0]
		if !slices.Equal(p.Replicas, replicas) {
			_ = c.Reassign(ctx, topic, 0, replicas)
			return false
		}
		if p.Leader != id {
			_ = c.ElectPreferred(ctx)
			return false
		}
		return true
	})
}

// both are the workloads of transactions, at once.
type both struct {
	bank   *Bank
	copies *Copies
}

func (c *Cluster) startBoth(t *testing.T, ctx context.Context) both {
	t.Helper()
	must(t, c.CreateTopic(ctx, "bank", c.Spread(2, 3), map[string]string{"min.insync.replicas": "2"}))
	for _, topic := range []string{"in", "out"} {
		must(t, c.CreateTopic(ctx, topic, c.Spread(3, 3), map[string]string{"min.insync.replicas": "2"}))
	}
	bank, err := c.StartBank(ctx, "bank", BankOptions{Tellers: 3, PerSecond: 20, Seed: 1})
	must(t, err)
	copies, err := c.StartCopies(ctx, "in", "out", 3, CopyOptions{Workers: 3, PerSecond: 100, Seed: 1})
	must(t, err)
	return both{bank, copies}
}

// progress waits until transfers and copies are made.
func (b both) progress(t *testing.T, ctx context.Context, transfers, copies int64) {
	t.Helper()
	transfers, copies = b.bank.Committed.Load()+transfers, b.copies.Copied.Load()+copies
	deadline, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for b.bank.Committed.Load() < transfers || b.copies.Copied.Load() < copies {
		if deadline.Err() != nil {
			t.Fatalf("no progress: %s; %s; wanted %d and %d", b.bank.Progress(), b.copies.Progress(), transfers, copies)
		}
		pause(ctx, 10*time.Millisecond)
	}
}

func (b both) finish(t *testing.T, ctx context.Context) {
	t.Helper()
	end, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, w := range []Workload{b.bank, b.copies} {
		n, problems := w.Finish(end)
		for _, p := range problems {
			t.Error(p)
		}
		t.Logf("%d records or transfers: %s", n, w.Progress())
	}
}

// TestTransactionsInMixedCluster: coordinators move from a Gregor to a Kafka and back while transactions go on, and are killed.
func TestTransactionsInMixedCluster(t *testing.T) {
	c, ctx := start(t, 5*time.Minute, Options{Kinds: []peer.Kind{peer.Gregor, peer.Kafka, peer.Gregor}, Config: coordinated("1")})
	const gregor, kafka, other = 1, 2, 3
	b := c.startBoth(t, ctx)
	b.progress(t, ctx, 20, 100)
	for _, to := range []int32{kafka, gregor} {
		for _, topic := range []string{transactionState, consumerOffsets} {
			c.coordinateAt(t, ctx, topic, to)
		}
		b.progress(t, ctx, 20, 100)
		c.Node(to).Kill()
		must(t, c.Node(to).Start(ctx))
		b.progress(t, ctx, 20, 100)
		if os.Getenv("FULL") != "1" {
			continue
		}
		c.coordinateAt(t, ctx, transactionState, other)
		c.coordinateAt(t, ctx, consumerOffsets, kafka)
		b.progress(t, ctx, 20, 100)
		must(t, c.Node(kafka).Stop(ctx))
		must(t, c.Node(kafka).Start(ctx))
		b.progress(t, ctx, 20, 100)
	}
	b.finish(t, ctx)
	c.inSync(t, ctx, "out")
}

// TestCoordinatorsKilled: the coordinators of groups and of transactions are killed, one after the other, and paused for longer than their session.
func TestCoordinatorsKilled(t *testing.T) {
	if os.Getenv("FULL") != "1" {
		t.Skip("with FULL=1; the short form is integration/torture's")
	}
	c, ctx := start(t, 5*time.Minute, Options{Kinds: threeGregors, Config: coordinated("1")})
	b := c.startBoth(t, ctx)
	b.progress(t, ctx, 20, 100)
	for _, topic := range []string{transactionState, consumerOffsets} {
		n := c.Node(view(t, ctx, c, topic).Partitions[0].Leader)
		n.Kill()
		b.progress(t, ctx, 20, 100)
		must(t, n.Start(ctx))
		c.inSync(t, ctx, topic)
		n = c.Node(view(t, ctx, c, topic).Partitions[0].Leader)
		n.Pause()
		c.wait(t, ctx, "another coordinator", topic, func(v *View) error {
			if v.Partitions[0].Leader == int32(n.ID) || v.Partitions[0].Leader < 0 {
				return errors.New(v.Partitions[0].String())
			}
			return nil
		})
		b.progress(t, ctx, 20, 100)
		n.Resume()
		c.inSync(t, ctx, topic)
	}
	b.finish(t, ctx)
}

// TestPreparedTransactionIsExchanged: a broker that has written that a transaction will be committed (or aborted) and could not yet tell the leader of
// its partition is killed, and the other kind of broker starts on its directory: it has to finish what was decided.
func TestPreparedTransactionIsExchanged(t *testing.T) {
	for _, pair := range [][2]peer.Kind{{peer.Gregor, peer.Kafka}, {peer.Kafka, peer.Gregor}} {
		t.Run(fmt.Sprintf("%s to %s", pair[0], pair[1]), func(t *testing.T) {
			config := coordinated("1")
			config["offsets.topic.replication.factor"], config["transaction.state.log.replication.factor"] = "1", "1"
			config["transaction.state.log.min.isr"] = "1"
			// The other broker is silent for a while, and is to stay a member of the cluster.
			config["zookeeper.session.timeout.ms"] = "40000"
			c, ctx := start(t, 4*time.Minute, Options{Kinds: []peer.Kind{pair[0], peer.Gregor}, Config: config,
				ConfigOf: func(id int) map[string]string {
					if id == 1 { // it is to be forgotten soon after it is killed
						return map[string]string{"zookeeper.session.timeout.ms": "6000"}
					}
					return nil
				}})
			coordinator, leader := c.Node(1), c.Node(2)
			must(t, c.CreateTopic(ctx, "t", [][]int32{{2}}, nil))
			// The first transactional id makes the coordinator's topic, which is moved to where it is wanted.
			_, err := clients.FindCoordinator(ctx, coordinator.Addr(), clients.OfTransactions, "any")
			must(t, err)
			must(t, c.Reassign(ctx, transactionState, 0, []int32{1}))
			c.moved(t, ctx, transactionState, 0, []int32{1})
			c.forceController(t, ctx, 1)
			var open []*clients.Txn
			for _, id := range []string{"commit", "abort"} {
				p := &clients.Txn{ID: id, Backoff: 20 * time.Millisecond}
				eventually(t, ctx, "a producer id of "+id, func() bool {
					return p.Connect(ctx, leader.Addr()) == nil && p.Init(ctx) == nil
				})
				defer p.Close()
				must(t, p.Add(ctx, "t", 0))
				must(t, p.Produce(ctx, "t", []int32{0}, 1, []byte(id)))
				open = append(open, p)
			}
			leader.Pause()
			for _, p := range open {
				must(t, p.End(ctx, p.ID == "commit"))
			}
			coordinator.Kill()
			coordinator.Become(pair[1])
			leader.Resume()
			must(t, coordinator.Start(ctx))
			eventually(t, ctx, "the markers", func() bool {
				conn, err := peer.Dial(ctx, leader.Addr())
				if err != nil {
					return false
				}
				defer conn.Close()
				end, err := clients.End(ctx, conn, "t", 0, false)
				stable, err2 := clients.End(ctx, conn, "t", 0, true)
				return errors.Join(err, err2) == nil && end == stable
			})
			got, err := clients.Values(ctx, leader.Addr(), "t", 0, true)
			if err != nil || !slices.Equal(got, []string{"commit"}) {
				t.Errorf("committed: %q, %v", got, err)
			}
			// Both ids can go on.
			for _, p := range open {
				must(t, p.Connect(ctx, leader.Addr()))
				must(t, p.Add(ctx, "t", 0))
				must(t, p.Produce(ctx, "t", []int32{0}, 1, []byte("again")))
				must(t, p.End(ctx, true))
			}
		})
	}
}
