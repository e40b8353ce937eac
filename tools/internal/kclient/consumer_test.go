package kclient

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/gregortest"
)

func consume(t *testing.T, addr, group string, settings map[string]string, s Subscription) *Consumer {
	t.Helper()
	s.Topic, s.Group = "t", group
	c, err := Config{Servers: addr, Props: settings, Warn: io.Discard}.AsConsumer(group).NewConsumer(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// committed waits until a group has an offset of each partition, and returns their sum.
func committed(t *testing.T, admin *Admin, group string, partitions int) int64 {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := admin.Committed(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == partitions {
			sum := int64(0)
			for _, o := range found {
				sum += o.Offset
			}
			return sum
		}
		<-tick.C
	}
}

// A member commits its positions, also where it has read nothing, and gives back what it was assigned when it leaves.
func TestAMemberCommitsWhereItIs(t *testing.T) {
	b := gregortest.Start(t, gregortest.Topic("t", 2))
	admin, err := OpenAdmin(b.Addr(), nil, "a", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	var told []string
	tell := func(what string) func([]TopicPartition) {
		return func(tps []TopicPartition) {
			names := strings.Split(JoinPartitions(tps, " "), " ")
			slices.Sort(names)
			told = append(told, what+fmt.Sprint(names))
		}
	}
	c := consume(t, b.Addr(), "g", map[string]string{"auto.commit.interval.ms": "20"}, Subscription{Assigned: tell("+"), Revoked: tell("-")})
	ctx, cancel := context.WithCancel(t.Context())
	polled := make(chan int)
	go func() { // the group is joined beside the poll
		n := 0
		for n < 5 {
			fetches, err := c.Poll(ctx, nil)
			if err != nil || ctx.Err() != nil {
				break
			}
			fetches.EachRecord(func(r *kgo.Record) { c.Read(r); n++ })
		}
		polled <- n
	}()
	if sum := committed(t, admin, "g", 2); sum != 0 {
		t.Errorf("committed %d before anything was written", sum)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for range 5 {
		if err := producer.ProduceSync(t.Context(), kgo.StringRecord("v")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if n := <-polled; n != 5 {
		t.Errorf("read %d records", n)
	}
	cancel()
	c.Close()
	if sum := committed(t, admin, "g", 2); sum != 5 {
		t.Errorf("committed %d of 5", sum)
	}
	if got := fmt.Sprint(told); got != "[+[t-0 t-1] -[t-0 t-1]]" {
		t.Error(got)
	}
	g, err := admin.DescribeGroup(t.Context(), "g")
	if err != nil || g.State != "Empty" || len(g.Members) != 0 {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestNowhereToBeginEndsThePoll(t *testing.T) {
	b := gregortest.Start(t, gregortest.Topic("t", 1))
	c := consume(t, b.Addr(), "g", map[string]string{"auto.offset.reset": "none", "enable.auto.commit": "false"}, Subscription{})
	defer c.Close()
	_, err := c.Poll(t.Context(), nil)
	if err == nil || err.Error() != "Undefined offset with no reset policy for partitions: [t-0]" {
		t.Error(err)
	}
}

func TestUnknownAssignorsAreRefused(t *testing.T) {
	_, err := Config{Servers: "a:1", Props: map[string]string{"partition.assignment.strategy": RangeAssignor + ", my.Assignor"}}.NewConsumer(Subscription{Topic: "t", Group: "g"})
	if err == nil || !strings.Contains(err.Error(), "my.Assignor ClassNotFoundException exception occurred") {
		t.Error(err)
	}
}
