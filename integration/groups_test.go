package integration

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

const groupTopic, groupRecords = "shared", 90

func groupBroker(t *testing.T, ctx context.Context, kind peer.Kind, dir, zooKeeper string) *peer.Broker {
	t.Helper()
	return startBroker(t, ctx, peer.Options{Kind: kind, Dir: dir, ZooKeeper: zooKeeper, ID: 1, Config: map[string]string{
		"offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "5", "group.initial.rebalance.delay.ms": "0",
	}})
}

// fill writes the records v0, v1, ... over the topic's partitions.
func fill(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	if err := clients.CreateTopic(ctx, addr, groupTopic, 3, nil); err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(groupTopic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range groupRecords {
		if err := c.ProduceSync(ctx, kgo.StringRecord(fmt.Sprintf("v%d", i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGroupsOfEveryClient: each client reads a part of the topic as a member of its group, and after a restart of the broker the rest:
// nothing twice, nothing left out.
func TestGroupsOfEveryClient(t *testing.T) {
	kind, ctx := interop(t, 10*time.Minute)
	b := groupBroker(t, ctx, kind, "", "")
	fill(t, ctx, b.Addr)
	members := tools(t).Members()
	read := map[string][]string{}
	round := func(n int) {
		var mu sync.Mutex
		var all sync.WaitGroup
		turn := make(chan bool, 3) // so many at once
		for _, m := range members {
			turn <- true
			all.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
				defer cancel()
				values, err := m.Read(ctx, b.Addr, groupTopic, "group-of-"+m.Name, n)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				read[m.Name] = append(read[m.Name], values...)
				mu.Unlock()
				<-turn
			})
		}
		all.Wait()
	}
	round(50)
	stop(t, b)
	b, err := b.Restart(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	round(groupRecords - 50)
	for name, values := range read {
		slices.Sort(values)
		if n := len(slices.Compact(values)); n != groupRecords || len(values) != groupRecords {
			t.Errorf("%s read %d records, %d different ones, of %d", name, len(values), n, groupRecords)
		}
	}
}

// TestMemberKilled: what a killed member had goes to the other when its session is over.
func TestMemberKilled(t *testing.T) {
	kind, ctx := interop(t, 3*time.Minute)
	b := groupBroker(t, ctx, kind, "", "")
	fill(t, ctx, b.Addr)
	victim := exec.CommandContext(ctx, "kcat", "-q", "-b", b.Addr, "-G", "shared", "-X", "session.timeout.ms=6000,auto.offset.reset=earliest",
		"-X", "partition.assignment.strategy=roundrobin", groupTopic)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	adm := admin(t, b.Addr)
	members := func(n int) bool {
		d, err := adm.DescribeGroups(ctx, "shared")
		return err == nil && d["shared"].State == "Stable" && len(d["shared"].Members) == n
	}
	waitFor(t, ctx, "the first member", func() bool { return members(1) })
	owned := make(chan map[string][]int32, 10)
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.ConsumerGroup("shared"), kgo.ConsumeTopics(groupTopic), kgo.SessionTimeout(6*time.Second),
		kgo.Balancers(kgo.RoundRobinBalancer()), kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { owned <- m }))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	waitFor(t, ctx, "the second member", func() bool { return members(2) })
	if got := len((<-owned)[groupTopic]); got != 1 && got != 2 {
		t.Errorf("of two members one has %d of 3 partitions", got)
	}
	began := time.Now()
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	victim.Wait()
	for got := 0; got != 3; {
		select {
		case m := <-owned:
			got = len(m[groupTopic])
		case <-ctx.Done():
			t.Fatal("the partitions of the killed member were not given to the other")
		}
	}
	t.Logf("after %.1f s", time.Since(began).Seconds())
}

func admin(t *testing.T, addr string) *kadm.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

func waitFor(t *testing.T, ctx context.Context, what string, f func() bool) {
	t.Helper()
	for !f() {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, ctx.Err())
		}
	}
}

// TestGroupsAreExchanged: what one broker keeps about groups, the other reads from its directory, changes, and gives back.
func TestGroupsAreExchanged(t *testing.T) {
	_, ctx := interop(t, 10*time.Minute)
	for _, pair := range [][2]peer.Kind{{peer.Gregor, peer.Kafka}, {peer.Kafka, peer.Gregor}} {
		t.Run(string(pair[0])+" to "+string(pair[1]), func(t *testing.T) {
			dir, zooKeeper := t.TempDir(), startZooKeeper(t, ctx).Addr
			want := map[string]map[int32]kadm.Offset{}
			for turn := range 4 {
				b := groupBroker(t, ctx, pair[turn%2], dir, zooKeeper)
				if turn == 0 {
					fill(t, ctx, b.Addr)
				}
				groupsTurn(t, ctx, b, turn, want)
				stop(t, b)
			}
		})
	}
}

// groupsTurn compares what is committed with want, and changes it.
func groupsTurn(t *testing.T, ctx context.Context, b *peer.Broker, turn int, want map[string]map[int32]kadm.Offset) {
	t.Helper()
	adm := admin(t, b.Addr)
	for group, parts := range want {
		var got kadm.OffsetResponses
		waitFor(t, ctx, "the coordinator of "+group, func() (ok bool) {
			var err error
			got, err = adm.FetchOffsets(ctx, group)
			return err == nil && (len(got[groupTopic]) > 0 || len(parts) == 0)
		})
		if len(got[groupTopic]) != len(parts) {
			t.Errorf("turn %d: %s has %d offsets of group %s, want %d", turn, b.Kind, len(got[groupTopic]), group, len(parts))
		}
		for p, o := range parts {
			if g := got[groupTopic][p]; g.At != o.At || g.Metadata != o.Metadata || g.LeaderEpoch != o.LeaderEpoch {
				t.Errorf("turn %d: %s has %+v of group %s, partition %d, want %+v", turn, b.Kind, g, group, p, o)
			}
		}
	}
	// A group that only keeps offsets, and one that had members.
	simple := fmt.Sprintf("simple-%d", turn)
	for _, group := range []string{"simple-0", simple} {
		offsets := kadm.Offsets{}
		want[group] = map[int32]kadm.Offset{}
		for p := range int32(3) {
			o := kadm.Offset{Topic: groupTopic, Partition: p, At: int64(turn*10) + int64(p), LeaderEpoch: p - 1, Metadata: fmt.Sprint("of turn ", turn)}
			want[group][p] = o
			offsets.Add(o)
		}
		waitFor(t, ctx, "a commit of "+group, func() bool { return adm.CommitAllOffsets(ctx, group, offsets) == nil })
	}
	m := find(t, tools(t).Members(), func(m clients.Member) string { return m.Name }, "franz-go")
	if _, err := m.Read(ctx, b.Addr, groupTopic, "members", 10); err != nil {
		t.Error(err)
	}
	got, err := adm.FetchOffsets(ctx, "members")
	if err != nil {
		t.Fatal(err)
	}
	want["members"] = map[int32]kadm.Offset{}
	got.Each(func(o kadm.OffsetResponse) { want["members"][o.Partition] = o.Offset })
	d, err := adm.DescribeGroups(ctx, "members", simple)
	if err != nil || d["members"].State != "Empty" || d["members"].ProtocolType != "consumer" || d[simple].State != "Empty" || d[simple].ProtocolType != "" {
		t.Errorf("turn %d: %s describes the groups as %+v, %v", turn, b.Kind, d, err)
	}
	if turn > 0 {
		before := fmt.Sprintf("simple-%d", turn)
		if _, err := adm.DeleteGroups(ctx, before); err != nil {
			t.Error(err)
		}
		want[before] = map[int32]kadm.Offset{}
	}
}
