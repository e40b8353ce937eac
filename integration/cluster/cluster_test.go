package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
	"gregor/wire/record"
	"gregor/zkmeta"
)

var threeGregors = []peer.Kind{peer.Gregor, peer.Gregor, peer.Gregor}

// start starts a cluster for a test, or skips it.
func start(t *testing.T, limit time.Duration, o Options) (*Cluster, context.Context) {
	t.Helper()
	if os.Getenv("GREGOR_INTEROP") != "1" {
		t.Skip("run by make interop")
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	c, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if t.Failed() {
			for _, n := range c.Nodes {
				t.Logf("the end of the log of broker %d:\n%s", n.ID, n.Tail())
			}
		}
	})
	return c, ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, ctx context.Context, c *Cluster, topics ...string) *View {
	t.Helper()
	v, err := c.View(ctx, 0, topics...)
	must(t, err)
	return v
}

// wait waits for what the metadata of a topic shows, at most 40 s.
func (c *Cluster) wait(t *testing.T, ctx context.Context, what, topic string, ok func(*View) error) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	began := time.Now()
	must(t, c.Wait(ctx, what, ok, topic))
	return time.Since(began)
}

func (c *Cluster) inSync(t *testing.T, ctx context.Context, topic string) {
	t.Helper()
	c.wait(t, ctx, "all in sync", topic, func(v *View) error {
		if len(v.Brokers) < len(c.Nodes) {
			return fmt.Errorf("only brokers %v", v.Brokers)
		}
		return InSync(v)
	})
}

// progress waits until n more records are acknowledged.
func (l *Load) progress(t *testing.T, ctx context.Context, n int64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for want := l.Acked.Load() + n; l.Acked.Load() < want; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d records fewer than wanted are acknowledged", want-l.Acked.Load())
		}
	}
}

// finish ends the load and the brokers, and checks what they leave.
func (c *Cluster) finish(t *testing.T, ctx context.Context, l *Load) {
	t.Helper()
	c.inSync(t, ctx, l.topic)
	end, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	records, problems := l.Finish(end)
	for _, p := range problems {
		t.Error(p)
	}
	v := view(t, ctx, c, l.topic)
	c.stopAll(t, end)
	size, err := c.SameLogs(v.Partitions)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d records, %d read, the same %d bytes on all replicas", records, l.Read.Load(), size)
}

func (c *Cluster) stopAll(t *testing.T, ctx context.Context) {
	t.Helper()
	var wg sync.WaitGroup
	for _, n := range c.Nodes {
		wg.Go(func() {
			if err := n.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func (c *Cluster) dial(t *testing.T) *zkmeta.Client {
	t.Helper()
	zk, err := zkmeta.Dial(t.Context(), zkmeta.Options{Connect: c.ZooKeeperAddr()})
	must(t, err)
	t.Cleanup(zk.Close)
	return zk
}

// TestKillsUnderLoad: leader, controller and a follower are killed and come back while producers with acks=all write.
func TestKillsUnderLoad(t *testing.T) {
	for _, v := range []struct {
		name string
		o    Options
		full bool
	}{
		{"gregor", Options{Kinds: threeGregors}, false},
		{"debian", Options{Kinds: threeGregors, Debian: true}, false},
		{"isr in the znode", Options{Kinds: threeGregors, Config: map[string]string{"inter.broker.protocol.version": "2.6"}}, true},
	} {
		t.Run(v.name, func(t *testing.T) {
			if v.full && os.Getenv("FULL") != "1" {
				t.Skip("with FULL=1")
			}
			c, ctx := start(t, 3*time.Minute, v.o)
			must(t, c.CreateTopic(ctx, "t", c.Spread(3, 3), map[string]string{"min.insync.replicas": "2"}))
			l, err := c.StartLoad(ctx, "t", 3, LoadOptions{Producers: 2, Readers: 2, PerSecond: 300})
			must(t, err)
			l.progress(t, ctx, 500)
			for _, who := range []struct {
				role string
				node func(*View) int32
			}{
				{"the leader of a partition", func(v *View) int32 { return v.Partitions[0].Leader }},
				{"the controller", func(v *View) int32 { return v.Controller }},
				{"a follower", func(v *View) int32 {
					return v.Partitions[1].Replicas[slices.IndexFunc(v.Partitions[1].Replicas, func(r int32) bool { return r != v.Partitions[1].Leader })]
				}},
			} {
				n := c.Node(who.node(view(t, ctx, c, "t")))
				l.Stalls()
				n.Kill()
				took := c.wait(t, ctx, "others lead", "t", func(v *View) error {
					for _, p := range v.Partitions {
						if p.Leader < 0 || p.Leader == int32(n.ID) || slices.Contains(p.ISR, int32(n.ID)) {
							return errors.New(p.String())
						}
					}
					return nil
				})
				l.progress(t, ctx, 500)
				must(t, n.Start(ctx))
				c.inSync(t, ctx, "t")
				t.Logf("broker %d, %s, killed: others lead after %.2f s (session timeout 6 s), longest time without an acknowledgement %.2f s",
					n.ID, who.role, took.Seconds(), slices.Max(l.Stalls()).Seconds())
			}
			c.finish(t, ctx, l)
		})
	}
}

// TestPausedFollower: a follower that is silent for longer than replica.lag.time.max.ms leaves the in-sync replicas, and comes back.
func TestPausedFollower(t *testing.T) {
	for _, version := range []string{"2.7", "2.6"} {
		t.Run(version, func(t *testing.T) {
			c, ctx := start(t, 2*time.Minute, Options{Kinds: threeGregors, Config: map[string]string{
				"replica.lag.time.max.ms": "1500", "inter.broker.protocol.version": version, "zookeeper.session.timeout.ms": "40000",
			}})
			at := view(t, ctx, c).Controller // neither the leader nor the controller is paused
			follower := c.Nodes[int(at)%3]
			must(t, c.CreateTopic(ctx, "t", [][]int32{{at, int32(follower.ID), int32(c.Nodes[int(at+1)%3].ID)}}, map[string]string{"min.insync.replicas": "2"}))
			l, err := c.StartLoad(ctx, "t", 1, LoadOptions{Producers: 1, Readers: 1, PerSecond: 200})
			must(t, err)
			l.progress(t, ctx, 100)
			follower.Pause()
			took := c.wait(t, ctx, "shrunk ISR", "t", func(v *View) error {
				if p := v.Partitions[0]; len(p.ISR) != 2 || slices.Contains(p.ISR, int32(follower.ID)) || p.Leader != at || p.Epoch != 0 {
					return errors.New(p.String())
				}
				return nil
			})
			l.progress(t, ctx, 100)
			follower.Resume()
			back := c.wait(t, ctx, "ISR expanded", "t", InSync)
			t.Logf("out of sync after %.2f s, back after %.2f s; longest time without an acknowledgement %.2f s", took.Seconds(), back.Seconds(), slices.Max(l.Stalls()).Seconds())
			c.finish(t, ctx, l)
		})
	}
}

// TestTooFewInSync: with too few replicas in sync acks=all is refused: NOT_ENOUGH_REPLICAS_AFTER_APPEND when that turns out while the request
// waits, NOT_ENOUGH_REPLICAS from then on; acks=1 goes on.
func TestTooFewInSync(t *testing.T) {
	c, ctx := start(t, 2*time.Minute, Options{Kinds: threeGregors, Config: map[string]string{"replica.lag.time.max.ms": "1500", "zookeeper.session.timeout.ms": "40000"}})
	at := view(t, ctx, c).Controller
	others := []*Node{c.Nodes[int(at)%3], c.Nodes[int(at+1)%3]}
	must(t, c.CreateTopic(ctx, "t", [][]int32{{at, int32(others[0].ID), int32(others[1].ID)}}, map[string]string{"min.insync.replicas": "2"}))
	put := func(acks int16) error {
		b := record.NewBuilder()
		b.Append(time.Now().UnixMilli(), nil, []byte("v"))
		records, err := b.Build()
		must(t, err)
		conn, err := peer.Dial(ctx, c.Node(at).Addr())
		must(t, err)
		defer conn.Close()
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = 8, acks, 20_000
		rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
		rp.Records = records
		rt.Topic, rt.Partitions = "t", append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, err := conn.Request(ctx, req)
		must(t, err)
		return kerr.ErrorForCode(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
	}
	must(t, put(-1))
	for _, n := range others {
		n.Pause()
	}
	if err := put(-1); !errors.Is(err, kerr.NotEnoughReplicasAfterAppend) {
		t.Errorf("while the in-sync replicas shrink: %v", err)
	}
	if err := put(-1); !errors.Is(err, kerr.NotEnoughReplicas) {
		t.Errorf("with one in sync: %v", err)
	}
	must(t, put(1))
	for _, n := range others {
		n.Resume()
	}
	// A broker that was paused knows of the ISR as it was: what the leader takes decides.
	for err := put(-1); err != nil; err = put(-1) {
		if !errors.Is(err, kerr.NotEnoughReplicas) && !errors.Is(err, kerr.NotEnoughReplicasAfterAppend) || ctx.Err() != nil {
			t.Fatalf("with all back: %v", err)
		}
	}
	c.wait(t, ctx, "ISR expanded", "t", InSync)
}

// TestRollingRestart: every broker is stopped and started again, twice, under load.
func TestRollingRestart(t *testing.T) {
	c, ctx := start(t, 3*time.Minute, Options{Kinds: threeGregors})
	must(t, c.CreateTopic(ctx, "t", c.Spread(12, 3), map[string]string{"min.insync.replicas": "2"}))
	l, err := c.StartLoad(ctx, "t", 12, LoadOptions{Producers: 3, Readers: 2, PerSecond: 500})
	must(t, err)
	l.progress(t, ctx, 500)
	for range 2 {
		for _, n := range c.Nodes {
			l.Stalls()
			began := time.Now()
			must(t, n.Stop(ctx))
			stopped := time.Since(began)
			must(t, n.Start(ctx))
			c.inSync(t, ctx, "t")
			t.Logf("broker %d: stopped in %.2f s; longest time without an acknowledgement %.2f s", n.ID, stopped.Seconds(), slices.Max(l.Stalls()).Seconds())
		}
	}
	must(t, c.ElectPreferred(ctx))
	c.wait(t, ctx, "preferred leaders", "t", func(v *View) error {
		for _, p := range v.Partitions {
			if p.Leader != p.Replicas[0] {
				return errors.New(p.String())
			}
		}
		return nil
	})
	c.finish(t, ctx, l)
}

// TestPausedController: a controller that does not run for longer than its session finds another one when it goes on, and changes nothing.
func TestPausedController(t *testing.T) {
	c, ctx := start(t, 2*time.Minute, Options{Kinds: threeGregors})
	must(t, c.CreateTopic(ctx, "t", c.Spread(3, 3), map[string]string{"min.insync.replicas": "2"}))
	l, err := c.StartLoad(ctx, "t", 3, LoadOptions{Producers: 2, Readers: 2, PerSecond: 200})
	must(t, err)
	l.progress(t, ctx, 200)
	old := c.Node(view(t, ctx, c).Controller)
	old.Pause()
	c.wait(t, ctx, "another controller", "t", func(v *View) error {
		if v.Controller == int32(old.ID) || v.Controller < 0 || slices.Contains(v.Brokers, int32(old.ID)) {
			return fmt.Errorf("controller %d of %v", v.Controller, v.Brokers)
		}
		return nil
	})
	l.progress(t, ctx, 200)
	now := view(t, ctx, c).Controller
	old.Resume()
	c.inSync(t, ctx, "t")
	for _, n := range c.Nodes {
		v, err := c.View(ctx, int32(n.ID))
		must(t, err)
		if v.Controller != now {
			t.Errorf("broker %d believes that %d is the controller, which is %d", n.ID, v.Controller, now)
		}
	}
	t.Logf("longest time without an acknowledgement %.2f s", slices.Max(l.Stalls()).Seconds())
	c.finish(t, ctx, l)
}

// TestUncleanElection: a replica that was not in sync leads only when its topic allows it.
func TestUncleanElection(t *testing.T) {
	c, ctx := start(t, 2*time.Minute, Options{Kinds: threeGregors})
	must(t, c.CreateTopic(ctx, "t", [][]int32{{1, 2}}, nil))
	zk := c.dial(t)
	put := func(value string) {
		t.Helper()
		cl, err := kgo.NewClient(append(ClientOptions(), c.Seeds(), kgo.DefaultProduceTopic("t"))...)
		must(t, err)
		defer cl.Close()
		must(t, cl.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr())
	}
	put("both have it")
	c.Node(2).Kill()
	c.wait(t, ctx, "ISR [1]", "t", func(v *View) error { return isISR(v.Partitions[0], 1) })
	put("only 1 has it")
	c.Node(1).Kill()
	noLeader := func(v *View) error {
		if p := v.Partitions[0]; p.Leader != -1 {
			return errors.New(p.String())
		}
		return isISR(v.Partitions[0], 1)
	}
	c.wait(t, ctx, "no leader", "t", noLeader)
	must(t, c.Node(2).Start(ctx))
	c.wait(t, ctx, "broker 2 is back and does not lead", "t", func(v *View) error {
		if !slices.Contains(v.Brokers, 2) {
			return fmt.Errorf("brokers %v", v.Brokers)
		}
		return noLeader(v)
	})
	must(t, zk.SetTopicConfig(ctx, "t", map[string]string{"unclean.leader.election.enable": "true"}))
	c.wait(t, ctx, "an unclean leader", "t", func(v *View) error { return isISR(v.Partitions[0], 2) })
	put("only 2 has it")
	must(t, c.Node(1).Start(ctx))
	c.inSync(t, ctx, "t")
	put("both have it")
	v := view(t, ctx, c, "t")
	c.stopAll(t, ctx)
	if _, err := c.SameLogs(v.Partitions); err != nil {
		t.Error(err)
	}
}

func isISR(p Partition, want ...int32) error {
	if !slices.Equal(p.ISR, want) {
		return errors.New(p.String())
	}
	return nil
}

// TestDeletionWaitsForABroker: a topic that is deleted while one of its brokers is down is gone there too when it comes back, and may have been
// made anew by then.
func TestDeletionWaitsForABroker(t *testing.T) {
	c, ctx := start(t, 2*time.Minute, Options{Kinds: threeGregors})
	must(t, c.CreateTopic(ctx, "t", c.Spread(3, 3), nil))
	zk := c.dial(t)
	c.Node(3).Kill()
	c.wait(t, ctx, "broker 3 gone", "t", func(v *View) error {
		if slices.Contains(v.Brokers, 3) {
			return fmt.Errorf("brokers %v", v.Brokers)
		}
		return nil
	})
	must(t, zk.DeleteTopic(ctx, "t"))
	folders := func(id int32) int {
		found, err := filepath.Glob(filepath.Join(c.Node(id).LogDir(), "t-?")) // not those renamed for their deletion
		must(t, err)
		return len(found)
	}
	eventually(t, ctx, "its folders on brokers 1 and 2 are gone", func() bool { return folders(1)+folders(2) == 0 })
	if ok, _, err := zk.Exists(ctx, zkmeta.PathTopic("t")); !ok || err != nil || folders(3) != 3 {
		t.Errorf("the topic is gone before all of its replicas are: %v %v, %d folders", ok, err, folders(3))
	}
	must(t, c.Node(3).Start(ctx))
	eventually(t, ctx, "its folders on broker 3 and its znode are gone", func() bool {
		ok, _, err := zk.Exists(ctx, zkmeta.PathTopic("t"))
		return err == nil && !ok && folders(3) == 0
	})
	must(t, c.CreateTopic(ctx, "t", c.Spread(3, 3), nil))
}

func eventually(t *testing.T, ctx context.Context, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(40 * time.Second)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not in time: %s", what)
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
}

// moved waits until partition p of a topic is where it was sent, and the folders are.
func (c *Cluster) moved(t *testing.T, ctx context.Context, topic string, p int32, to []int32) {
	t.Helper()
	c.wait(t, ctx, fmt.Sprintf("%s-%d at %v", topic, p, to), topic, func(v *View) error {
		if got := v.Partitions[p]; !slices.Equal(got.Replicas, to) || len(got.ISR) != len(to) {
			return errors.New(got.String())
		}
		return nil
	})
	for _, n := range c.Nodes {
		want := slices.Contains(to, int32(n.ID))
		eventually(t, ctx, fmt.Sprintf("broker %d: folder of %s-%d there: %v", n.ID, topic, p, want), func() bool {
			_, err := os.Stat(filepath.Join(n.LogDir(), fmt.Sprintf("%s-%d", topic, p)))
			return (err == nil) == want
		})
	}
}

// TestReassignment: partitions move from broker to broker under load, asked for by the request and by the znode, while controllers are killed.
func TestReassignment(t *testing.T) {
	c, ctx := start(t, 4*time.Minute, Options{Kinds: append(slices.Clone(threeGregors), peer.Gregor)})
	must(t, c.CreateTopic(ctx, "t", [][]int32{{1, 2}, {2, 3}}, nil))
	zk := c.dial(t)
	l, err := c.StartLoad(ctx, "t", 2, LoadOptions{Producers: 2, Readers: 2, PerSecond: 300})
	must(t, err)
	l.progress(t, ctx, 500)
	znode := func(p int32, to []int32) {
		data := zkmeta.EncodeReassignment(map[zkmeta.TopicPartition][]int32{{Topic: "t", Partition: p}: to})
		must(t, zk.Create(ctx, zkmeta.PathReassignPartitions, data))
	}
	gone := func() {
		eventually(t, ctx, "the wish is removed", func() bool {
			ok, _, err := zk.Exists(ctx, zkmeta.PathReassignPartitions)
			return err == nil && !ok
		})
	}
	must(t, c.Reassign(ctx, "t", 0, []int32{3, 4}))
	c.moved(t, ctx, "t", 0, []int32{3, 4})
	znode(1, []int32{4, 1})
	c.moved(t, ctx, "t", 1, []int32{4, 1})
	gone()
	for i, to := range [][]int32{{1, 2}, {2, 3}, {4, 3}, {1, 4}} {
		controller := c.Node(view(t, ctx, c).Controller)
		if i%2 == 0 {
			must(t, c.Reassign(ctx, "t", 0, to))
		} else {
			znode(0, to)
		}
		controller.Kill()
		must(t, controller.Start(ctx))
		c.moved(t, ctx, "t", 0, to)
		if i%2 != 0 {
			gone()
		}
	}
	// A move to a broker that dies is cancelled.
	for { // until the controller knows it again after its kill
		c.Node(2).Pause()
		err := c.Reassign(ctx, "t", 1, []int32{4, 2})
		if err == nil {
			break
		}
		c.Node(2).Resume()
		if !errors.Is(err, kerr.InvalidReplicaAssignment) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	must(t, c.Reassign(ctx, "t", 1, nil))
	c.assigned(t, ctx, "t", 1, []int32{4, 1})
	c.Node(2).Resume()
	c.moved(t, ctx, "t", 1, []int32{4, 1})
	c.finish(t, ctx, l)
}

func (c *Cluster) assigned(t *testing.T, ctx context.Context, topic string, p int32, to []int32) {
	t.Helper()
	c.wait(t, ctx, "the assignment is back", topic, func(v *View) error {
		if got := v.Partitions[p]; !slices.Equal(got.Replicas, to) {
			return errors.New(got.String())
		}
		return nil
	})
}

// forceController deletes /controller until the wanted broker is the one.
func (c *Cluster) forceController(t *testing.T, ctx context.Context, id int32) {
	t.Helper()
	zk := c.dial(t)
	eventually(t, ctx, fmt.Sprintf("controller %d", id), func() bool {
		now, there, err := zk.ControllerIDW(ctx)
		if err != nil || !there {
			return false
		}
		if now == id {
			v, err := c.View(ctx, id)
			return err == nil && v.Controller == id
		}
		_ = zk.Delete(ctx, zkmeta.PathController, zkmeta.AnyVersion)
		return false
	})
}

// TestMixedCluster: one of the brokers is Apache Kafka 2.7.2. Each kind is controller, leader and follower; partitions move from one to the
// other and back; brokers are killed. At the end all logs are the same.
func TestMixedCluster(t *testing.T) {
	for _, debian := range []bool{false, true} {
		t.Run(fmt.Sprintf("debian=%v", debian), func(t *testing.T) {
			if debian && os.Getenv("FULL") != "1" {
				t.Skip("with FULL=1")
			}
			c, ctx := start(t, 5*time.Minute, Options{Kinds: []peer.Kind{peer.Gregor, peer.Kafka, peer.Gregor}, Debian: debian})
			const gregor, kafka = 1, 2
			must(t, c.CreateTopic(ctx, "t", c.Spread(3, 3), map[string]string{"min.insync.replicas": "2"}))
			must(t, c.CreateTopic(ctx, "moves", [][]int32{{1}, {2}}, nil))
			l, err := c.StartLoad(ctx, "t", 3, LoadOptions{Producers: 2, Readers: 2, PerSecond: 200})
			must(t, err)
			m, err := c.StartLoad(ctx, "moves", 2, LoadOptions{Producers: 1, Readers: 1, PerSecond: 200})
			must(t, err)
			for _, controller := range []int32{kafka, gregor} {
				c.forceController(t, ctx, controller)
				l.progress(t, ctx, 200)
				for _, to := range [][2][]int32{{{kafka}, {gregor}}, {{gregor}, {kafka}}} {
					for p := range int32(2) {
						must(t, c.Reassign(ctx, "moves", p, to[p]))
					}
					for p := range int32(2) {
						c.assigned(t, ctx, "moves", p, to[p])
					}
					m.progress(t, ctx, 100)
				}
				for _, id := range []int32{3, kafka, controller} {
					n := c.Node(id)
					l.Stalls()
					n.Kill()
					must(t, n.Start(ctx))
					c.inSync(t, ctx, "t")
					c.inSync(t, ctx, "moves")
					t.Logf("controller %d, broker %d killed: longest time without an acknowledgement %.2f s", controller, id, slices.Max(l.Stalls()).Seconds())
				}
				// A clean stop of a leader of each kind.
				for _, id := range []int32{gregor, kafka} {
					must(t, c.Node(id).Stop(ctx))
					must(t, c.Node(id).Start(ctx))
					c.inSync(t, ctx, "t")
				}
				must(t, c.ElectPreferred(ctx))
			}
			if _, problems := m.Finish(ctx); len(problems) > 0 {
				t.Error(problems)
			}
			c.finish(t, ctx, l)
		})
	}
}
