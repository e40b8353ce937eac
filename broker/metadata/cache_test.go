package metadata

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func update(version int16, edit ...func(*kmsg.UpdateMetadataRequest)) *kmsg.UpdateMetadataRequest {
	r := kmsg.NewPtrUpdateMetadataRequest()
	r.Version, r.ControllerID = version, 1
	for _, e := range edit {
		e(r)
	}
	return r
}

func broker(id int32, listeners ...string) func(*kmsg.UpdateMetadataRequest) {
	return func(r *kmsg.UpdateMetadataRequest) {
		b := kmsg.NewUpdateMetadataRequestLiveBroker()
		b.ID, b.Host, b.Port = id, "h", 9092
		for i, l := range listeners {
			b.Endpoints = append(b.Endpoints, kmsg.UpdateMetadataRequestLiveBrokerEndpoint{ListenerName: l, Host: fmt.Sprintf("h%d", id), Port: int32(9092 + i)})
		}
		r.LiveBrokers = append(r.LiveBrokers, b)
	}
}

func part(topic string, id, leader int32, replicas ...int32) func(*kmsg.UpdateMetadataRequest) {
	return func(r *kmsg.UpdateMetadataRequest) {
		p := kmsg.NewUpdateMetadataRequestTopicPartition()
		p.Topic, p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR = topic, id, leader, 7, replicas, replicas
		if r.Version < 5 {
			r.PartitionStates = append(r.PartitionStates, p)
			return
		}
		t := kmsg.NewUpdateMetadataRequestTopicState()
		t.Topic, t.PartitionStates = topic, []kmsg.UpdateMetadataRequestTopicPartition{p}
		r.TopicStates = append(r.TopicStates, t)
	}
}

func TestPartialUpdatesAndDeletes(t *testing.T) {
	for version := int16(0); version <= 6; version++ {
		c := New("cluster")
		c.Apply(update(version, broker(1, "PLAINTEXT"), part("b", 1, 1, 1), part("b", 0, 1, 1), part("a", 0, -1, 1, 2)))
		changed := c.Changed()
		if !slices.Equal(c.Topics(), []string{"a", "b"}) || c.PartitionCount("b") != 2 || c.NumPartitions() != 3 {
			t.Fatalf("v%d: %v, %d partitions of b, %d in all", version, c.Topics(), c.PartitionCount("b"), c.NumPartitions())
		}
		if !c.AllLed("b", 2) || c.AllLed("b", 3) || c.AllLed("a", 1) || c.AllLed("x", 0) {
			t.Errorf("v%d: AllLed", version)
		}
		deleted := c.Apply(update(version, broker(1, "PLAINTEXT"), part("b", 0, -2), part("a", 0, -2), part("nope", 3, -2)))
		if len(deleted) != 3 {
			t.Errorf("v%d: deleted %v", version, deleted)
		}
		select {
		case <-changed:
		default:
			t.Errorf("v%d: an update does not wake those who wait", version)
		}
		if p, ok := c.Partition("b", 1); !slices.Equal(c.Topics(), []string{"b"}) || !ok || p.Leader != 1 || p.LeaderEpoch != 7 || c.NumPartitions() != 1 {
			t.Errorf("v%d: %v %+v", version, c.Topics(), p)
		}
		if _, ok := c.Partition("b", 0); ok {
			t.Errorf("v%d: a deleted partition is still there", version)
		}
	}
}

func TestMetadataErrorsByVersionAndListener(t *testing.T) {
	c := New("cluster")
	c.Apply(update(6, broker(1, "IN", "OUT"), broker(2, "IN"), part("t", 0, 1, 1, 2), part("t", 1, 2, 2, 1), part("t", 2, 3, 3, 1), part("t", 3, -1, 1)))
	for _, v := range []struct {
		version int16
		codes   [4]int16
		leaders [4]int32
	}{
		{0, [4]int16{kerr.ReplicaNotAvailable.Code, 5, 5, 5}, [4]int32{1, -1, -1, -1}},
		{5, [4]int16{0, 5, 5, 5}, [4]int32{1, -1, -1, -1}},
		{6, [4]int16{0, kerr.ListenerNotFound.Code, 5, 5}, [4]int32{1, -1, -1, -1}},
	} {
		view, topics, missing, controller := c.Answer([]string{"t", "no"}, "OUT", v.version)
		if len(view.Brokers()) != 1 || view.Brokers()[0].Host != "h1" || view.Brokers()[0].Port != 9093 || controller != 1 || !slices.Equal(missing, []string{"no"}) {
			t.Fatalf("v%d: brokers %+v, controller %d, missing %v", v.version, view.Brokers(), controller, missing)
		}
		for i, p := range topics[0].Partitions {
			if p.ErrorCode != v.codes[i] || p.Leader != v.leaders[i] {
				t.Errorf("v%d: partition %d: error %d, leader %d; want %d, %d", v.version, i, p.ErrorCode, p.Leader, v.codes[i], v.leaders[i])
			}
		}
		if v.version == 0 && !slices.Equal(topics[0].Partitions[0].Replicas, []int32{1}) {
			t.Errorf("v0 shows replicas that cannot be reached: %v", topics[0].Partitions[0].Replicas)
		}
	}
	// Seen from IN every leader but 3 and -1 is there, and what another client was answered has not changed it.
	_, topics, _, _ := c.Answer(nil, "IN", 9)
	if p := topics[0].Partitions; p[0].Leader != 1 || p[1].Leader != 2 || len(p[0].Replicas) != 2 {
		t.Errorf("%+v", p)
	}
}

func TestVersionZeroBrokersArePlaintext(t *testing.T) {
	c := New("cluster")
	c.Apply(update(0, broker(4)))
	if e, ok := c.Brokers()[0].Endpoint("PLAINTEXT"); !ok || e.Port != 9092 {
		t.Errorf("%+v", c.Brokers()[0])
	}
}

// BenchmarkApplyOne is one partition's change among 100,000.
func BenchmarkApplyOne(b *testing.B) {
	c := big()
	one := update(6, broker(1, "PLAINTEXT"), part("t5000", 3, 1, 1))
	b.ReportAllocs()
	for b.Loop() {
		c.Apply(one)
	}
}

// BenchmarkAnswerAll lists 10,000 topics of 10 partitions.
func BenchmarkAnswerAll(b *testing.B) {
	c := big()
	b.ReportAllocs()
	for b.Loop() {
		c.Answer(nil, "PLAINTEXT", 9)
	}
}

func big() *Cache {
	r := update(6, broker(1, "PLAINTEXT"))
	for t := range 10_000 {
		s := kmsg.NewUpdateMetadataRequestTopicState()
		s.Topic = fmt.Sprintf("t%d", t)
		for p := range int32(10) {
			s.PartitionStates = append(s.PartitionStates, kmsg.UpdateMetadataRequestTopicPartition{Partition: p, Leader: 1, Replicas: []int32{1}, ISR: []int32{1}})
		}
		r.TopicStates = append(r.TopicStates, s)
	}
	c := New("cluster")
	c.Apply(r)
	return c
}
