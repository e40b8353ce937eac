package handlers

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/replication"
	"gregor/storage"
)

const followerID = self + 1

// follower is a second broker's replica manager, which follows a plane's partitions.
type follower struct {
	*replication.Manager
	pl      *plane
	storage *storage.Manager
}

func (pl *plane) follower(change func(*replication.Fetching)) *follower {
	pl.t.Helper()
	log, _ := test.NewNullLogger()
	cfg := storage.DefaultConfig()
	logs, err := storage.Open(context.Background(), storage.Options{Dirs: []string{pl.t.TempDir()}, BrokerID: followerID, Defaults: cfg, Log: log})
	if err != nil {
		pl.t.Fatal(err)
	}
	var d net.Dialer
	// Nothing may depend on time running out.
	f := replication.Fetching{Dial: d.DialContext, Endpoint: func(int32) (string, bool) { return pl.addr, true },
		MaxWait: time.Hour, Timeout: 2 * time.Hour}
	if change != nil {
		change(&f)
	}
	m := replication.New(replication.Options{BrokerID: followerID, Logs: logs, TopicConfig: func(string) storage.Config { return cfg }, Log: log, Fetching: f})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = m.Run(ctx); close(ended) }()
	pl.t.Cleanup(func() {
		cancel()
		<-ended
		logs.Close(context.Background())
	})
	return &follower{m, pl, logs}
}

func (f *follower) follow(topic string, partition, epoch int32) {
	f.pl.t.Helper()
	both := []int32{self, followerID}
	req := &replication.LeaderAndIsr{Partitions: []replication.PartitionState{{
		TopicPartition: storage.TopicPartition{Topic: topic, Partition: partition},
		State:          replication.State{Leader: self, LeaderEpoch: epoch, ISR: both, Replicas: both, IsNew: true}}}}
	if err := f.BecomeLeaderOrFollower(req); err != nil {
		f.pl.t.Fatal(err)
	}
	if err := req.Partitions[0].Err; err != nil {
		f.pl.t.Fatal(err)
	}
}

func TestFollowerNamesNewPartitionsWhileTheLeaderKeepsItsFetch(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 10, 0, self, followerID)
	f := pl.follower(nil)
	c := pl.dial()
	for i := range int32(10) {
		f.follow("t", i, 0)
		for j := range i + 1 {
			if p := c.produce("t", j, fmt.Sprint(i)); p.ErrorCode != 0 {
				t.Fatalf("partition %d after %d were added: error %d", j, i+1, p.ErrorCode)
			}
		}
	}
	for i := range int32(10) {
		l, _ := f.storage.Get(storage.TopicPartition{Topic: "t", Partition: i})
		if got := l.LogEndOffset(); got != int64(10-i) {
			t.Errorf("partition %d ends at %d, want %d", i, got, 10-i)
		}
	}
}

func TestFollowerAsksALeaderAgainThatHasNotHeardOfItYet(t *testing.T) {
	pl := newPlane(t)
	pl.lead("other", 1, 0, self, followerID)
	f := pl.follower(func(f *replication.Fetching) { f.Backoff = time.Hour })
	f.follow("other", 0, 0)
	c := pl.dial()
	c.produce("other", 0, "x")
	f.follow("t", 0, 0)
	if code := c.produce("t", 0, "x").ErrorCode; code != 3 {
		t.Fatal(code)
	}
	pl.lead("t", 1, 0, self, followerID)
	req := produceRequest(8, -1, "t", 0, batch("x"))
	req.TimeoutMillis = 60_000
	if r := c.call(req).(*kmsg.ProduceResponse); r.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Error(r.Topics[0].Partitions[0].ErrorCode)
	}
}

func TestThrottledFollowersWait(t *testing.T) {
	pl := newPlane(t)
	pl.fetch.Throttle = replication.NewThrottle(2, time.Second)
	pl.fetch.Throttle.SetTopic("t", false, []int32{0, 1})
	pl.fetch.Throttle.SetRate(0)
	pl.fetch.Throttle.Record(1, time.Now().Add(time.Hour)) // for as long as the test takes
	both := []int32{self, followerID}
	req := &replication.LeaderAndIsr{}
	for i, isr := range [][]int32{{self}, both, {self}} {
		req.Partitions = append(req.Partitions, replication.PartitionState{TopicPartition: storage.TopicPartition{Topic: "t", Partition: int32(i)},
			State: replication.State{Leader: self, ISR: isr, Replicas: both, IsNew: true}})
	}
	if err := pl.replicas.BecomeLeaderOrFollower(req); err != nil {
		t.Fatal(err)
	}
	c := pl.dial()
	fetch := fetchRequest(11, "t", 0, 0)
	fetch.ReplicaID = followerID
	for p := range int32(3) {
		if p > 0 {
			addPartition(fetch, "t", p, 0)
		}
		produce := produceRequest(8, 1, "t", p, batch("x"))
		c.call(produce)
	}
	if got := describe(t, c.call(fetch).(*kmsg.FetchResponse)); got != "t-0[] t-1[x] t-2[x] " {
		t.Errorf("%q: only what is not in sync and on the list waits", got)
	}
	pl.fetch.Throttle.SetRate(replication.Unthrottled)
	if got := describe(t, c.call(fetch).(*kmsg.FetchResponse)); got != "t-0[x] t-1[x] t-2[x] " {
		t.Error(got)
	}
}
