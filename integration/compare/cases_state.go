package compare

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceTo is a request to partition 0 of a topic that is the same in every version.
func (b *Broker) produceTo(v, acks int16, topic string, values ...string) *kmsg.ProduceRequest {
	r := produce(b, v, acks, topic, plain(values...).encode())
	r.Topics[0].Topic = b.topic(topic, 0)
	return r
}

func (b *Broker) listOf(v int16, topic string, time int64) *kmsg.ListOffsetsRequest {
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version, r.ReplicaID = v, -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.MaxNumOffsets = time, 3
	r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: b.topic(topic, 0), Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return r
}

func (b *Broker) epochOf(v int16, topic string) kmsg.Request {
	r := kmsg.NewPtrOffsetForLeaderEpochRequest()
	r.Version, r.ReplicaID = v, -1
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: b.topic(topic, 0), Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
	return r
}

func (b *Broker) metadataOf(v int16, topic string) kmsg.Request {
	r := kmsg.NewPtrMetadataRequest()
	r.Version, r.AllowAutoTopicCreation = v, true
	r.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr(topic)}}
	return r
}

func (b *Broker) leaderOf(v int16, topic string, epoch int32, isr ...int32) *kmsg.LeaderAndISRRequest {
	r := kmsg.NewPtrLeaderAndISRRequest()
	r.Version, r.ControllerID, r.ControllerEpoch, r.BrokerEpoch = v, b.ID, 1, -1
	p := kmsg.NewLeaderAndISRRequestTopicPartition()
	p.Topic, p.ControllerEpoch, p.Leader, p.LeaderEpoch, p.ISR, p.Replicas = b.topic(topic, 0), 1, b.ID, epoch, isr, isr
	if v < 2 {
		r.PartitionStates = append(r.PartitionStates, p)
	} else {
		r.TopicStates = []kmsg.LeaderAndISRRequestTopicState{{Topic: p.Topic, PartitionStates: []kmsg.LeaderAndISRRequestTopicPartition{p}}}
	}
	r.LiveLeaders = []kmsg.LeaderAndISRRequestLiveLeader{{BrokerID: b.ID, Host: "localhost", Port: 1}}
	return r
}

// made makes topics of one partition, one after the other, so that both brokers choose the same directories.
func made(name string, topics ...string) Case {
	return Case{Key: kmsg.CreateTopics, Name: name, Min: 5, Only: true, Do: func(b *Broker, v int16) any {
		var out []any
		for _, t := range topics {
			out = append(out, b.tree(create(v, 30_000, false, newTopic{name: b.topic(t, 0), partitions: 1, rf: 1}), "Configs"))
		}
		return out
	}}
}

// waitCases have a second replica in sync that never fetches: the high watermark stays where it was, and what needs it waits in vain.
func waitCases() []Case {
	all := func(key kmsg.Key, name string, min int16, build func(b *Broker, v int16) kmsg.Request) Case {
		return Case{Key: key, Name: name, Min: min, Build: build}
	}
	lead := func(name string, epoch int32) Case {
		return Case{Key: kmsg.LeaderAndISR, Name: name, Min: 4, Only: true, Build: func(b *Broker, v int16) kmsg.Request { return b.leaderOf(v, "w", epoch, b.ID, 98) }}
	}
	read := func(name string, offset int64, current int32) Case {
		return all(kmsg.Fetch, name, 4, func(b *Broker, v int16) kmsg.Request {
			p := fetchPart(0, offset)
			p.CurrentLeaderEpoch = current
			r := fetch(b, v, "w", p)
			r.MaxWaitMillis, r.MinBytes = 50, 1
			return r
		})
	}
	list := func(name string, time int64) Case {
		return all(kmsg.ListOffsets, name, 0, func(b *Broker, v int16) kmsg.Request { return b.listOf(v, "w", time) })
	}
	return []Case{
		made("prepared for a silent replica", "w"),
		all(kmsg.Produce, "before another replica is in sync", 7, func(b *Broker, v int16) kmsg.Request { return b.produceTo(v, -1, "w", "a") }),
		lead("a silent replica in sync", 1),
		all(kmsg.Produce, "acks=all, a silent replica", 3, func(b *Broker, v int16) kmsg.Request {
			r := b.produceTo(v, -1, "w", "b")
			r.TimeoutMillis = 100
			return r
		}),
		all(kmsg.Produce, "acks=all, no time, a silent replica", 3, func(b *Broker, v int16) kmsg.Request {
			r := b.produceTo(v, -1, "w", "b")
			r.TimeoutMillis = 0
			return r
		}),
		all(kmsg.Produce, "acks=1, a silent replica", 3, func(b *Broker, v int16) kmsg.Request { return b.produceTo(v, 1, "w", "c") }),
		read("at the high watermark", 2, -1), read("above the high watermark", 4, -1), read("far above", 4000, -1), read("fenced epoch, a silent replica", 0, 0),
		read("the present epoch, a silent replica", 0, 1),
		list("latest, a silent replica", -1), list("earliest, a silent replica", -2), list("time, a silent replica", past),
		all(kmsg.OffsetForLeaderEpoch, "a silent replica", 0, func(b *Broker, v int16) kmsg.Request { return b.epochOf(v, "w") }),
		all(kmsg.DeleteRecords, "a silent replica", 0, func(b *Broker, v int16) kmsg.Request {
			r := deleteRecords(b, v, b.topic("w", 0), 0, 1)
			r.TimeoutMillis = 100
			return r
		}),
		all(kmsg.DeleteRecords, "above the high watermark", 0, func(b *Broker, v int16) kmsg.Request { return deleteRecords(b, v, b.topic("w", 0), 0, 4) }),
		lead("elected again, the high watermark behind", 2),
		list("latest, elected again", -1), list("earliest, elected again", -2), list("time, elected again", past), list("time of nothing, elected again", past+1<<30),
		read("elected again", 0, 2),
	}
}

// fail makes the broker's last log directory one that cannot be written, and waits until the broker has noticed.
func (b *Broker) fail() any {
	dir := b.LogDirs[len(b.LogDirs)-1]
	if err := os.Rename(dir, dir+"-away"); err != nil {
		return err.Error()
	}
	if err := os.WriteFile(dir, nil, 0o644); err != nil {
		return err.Error()
	}
	r := kmsg.NewPtrDescribeLogDirsRequest()
	r.Version = 1
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		resp, err := b.Ask(r)
		if err != nil {
			return err.Error()
		}
		for _, d := range resp.(*kmsg.DescribeLogDirsResponse).Dirs {
			if d.ErrorCode != 0 {
				return "noticed"
			}
		}
	}
	return "not noticed"
}

// failingCases have a log directory that fails, topics that may not be made on demand, and none that may be deleted.
func failingCases() []Case {
	on := func(key kmsg.Key, name string, min int16, topic string, build func(b *Broker, v int16) kmsg.Request) Case {
		return Case{Key: key, Name: name + ", " + topic, Min: min, Mask: []string{"LogAppendTime"}, Build: build}
	}
	cases := []Case{
		made("prepared for a failing directory", "d0", "d1"),
		{Key: kmsg.Metadata, Name: "unknown, not made on demand", Build: func(b *Broker, v int16) kmsg.Request { return b.metadataOf(v, "never-there") }},
		{Key: kmsg.DeleteTopics, Name: "not enabled", Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrDeleteTopicsRequest()
			r.Version, r.TimeoutMillis, r.TopicNames = v, 1000, []string{b.topic("d0", 0), "never-there"}
			return r
		}},
	}
	look := func(when string) {
		for _, t := range []string{"d0", "d1"} {
			cases = append(cases,
				on(kmsg.Produce, when, 3, t, func(b *Broker, v int16) kmsg.Request { return b.produceTo(v, 1, t, "a") }),
				on(kmsg.Produce, when+", acks=all", 3, t, func(b *Broker, v int16) kmsg.Request { return b.produceTo(v, -1, t, "a") }),
				on(kmsg.Fetch, when, 4, t, func(b *Broker, v int16) kmsg.Request { return fetch(b, v, t, fetchPart(0, 0)) }),
				on(kmsg.ListOffsets, when, 0, t, func(b *Broker, v int16) kmsg.Request { return b.listOf(v, t, -1) }),
				on(kmsg.OffsetForLeaderEpoch, when, 0, t, func(b *Broker, v int16) kmsg.Request { return b.epochOf(v, t) }),
				on(kmsg.DeleteRecords, when, 0, t, func(b *Broker, v int16) kmsg.Request { return deleteRecords(b, v, b.topic(t, 0), 0, 0) }),
				on(kmsg.Metadata, when, 0, t, func(b *Broker, v int16) kmsg.Request { return b.metadataOf(v, b.topic(t, 0)) }),
			)
		}
		cases = append(cases, Case{Key: kmsg.DescribeLogDirs, Name: when, Mask: []string{"TotalBytes", "UsableBytes"}, Build: func(_ *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrDescribeLogDirsRequest()
			r.Version = v
			return r
		}})
	}
	look("before the failure")
	cases = append(cases, Case{Key: kmsg.DescribeLogDirs, Name: "the failure is noticed", Min: 1, Only: true, Do: func(b *Broker, _ int16) any { return b.fail() }},
		Case{Key: kmsg.Metadata, Name: "the controller has heard of it", Min: 9, Only: true, Do: func(b *Broker, v int16) any {
			for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				resp, err := b.Ask(b.metadataOf(v, b.topic("d1", 0)))
				if err == nil && resp.(*kmsg.MetadataResponse).Topics[0].Partitions[0].Leader == -1 {
					return "without leader"
				}
			}
			return "still led"
		}})
	look("after the failure")
	lead := Case{Key: kmsg.LeaderAndISR, Name: "a partition of the failed directory", Build: func(b *Broker, v int16) kmsg.Request { return b.leaderOf(v, "d1", 9, b.ID) }}
	stop := Case{Key: kmsg.StopReplica, Name: "a partition of the failed directory", Build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrStopReplicaRequest()
		r.Version, r.ControllerID, r.ControllerEpoch, r.BrokerEpoch = v, b.ID, 1, -1
		t := kmsg.NewStopReplicaRequestTopic()
		t.Topic, t.Partition, t.Partitions = b.topic("d1", 0), 0, []int32{0}
		t.PartitionStates = []kmsg.StopReplicaRequestTopicPartitionState{{Partition: 0, LeaderEpoch: 10}}
		r.Topics = append(r.Topics, t)
		return r
	}}
	return append(cases, lead, stop, made("prepared after the failure", "d2"),
		on(kmsg.Produce, "after the failure", 3, "d2", func(b *Broker, v int16) kmsg.Request { return b.produceTo(v, 1, "d2", "a") }))
}

// set writes a znode as somebody else might.
func (b *Broker) set(path string, data any) error {
	j, err := json.Marshal(data)
	if err == nil {
		_, err = b.zk.Set(b.Root+path, j, -1)
	}
	return err
}

// deposedCases have more replicas by default than there are brokers, a topic that is being reassigned, and in the end another controller.
func deposedCases() []Case {
	grow := func(name string) Case {
		return Case{Key: kmsg.CreatePartitions, Name: name, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrCreatePartitionsRequest()
			r.Version, r.TimeoutMillis = v, 5000
			r.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: b.topic("r", 0), Count: 3}, {Topic: "a b", Count: 3}}
			return r
		}}
	}
	settings := map[string]*string{"retention.ms": ptr("5")}
	return []Case{
		made("prepared for a reassignment", "r"),
		{Key: kmsg.Metadata, Name: "too few brokers to make it on demand", Build: func(b *Broker, v int16) kmsg.Request { return b.metadataOf(v, b.topic("auto", v)) }},
		{Key: kmsg.CreateTopics, Name: "too few brokers for the default", Build: func(b *Broker, v int16) kmsg.Request {
			return create(v, 5000, false, newTopic{name: b.topic("few", v), partitions: -1, rf: -1})
		}},
		{Key: kmsg.CreatePartitions, Name: "a reassignment begins", Min: 3, Only: true, Do: func(b *Broker, _ int16) any {
			return fmt.Sprint(b.set("/brokers/topics/"+b.topic("r", 0), map[string]any{"version": 2, "partitions": map[string]any{"0": []int{1, 2}},
				"adding_replicas": map[string]any{"0": []int{2}}, "removing_replicas": map[string]any{}}))
		}},
		grow("while it is reassigned"),
		{Key: kmsg.CreateTopics, Name: "another controller", Min: 5, Only: true, Do: func(b *Broker, v int16) any {
			if err := b.set("/controller", map[string]any{"version": 1, "brokerid": 99, "timestamp": "1"}); err != nil {
				return err.Error()
			}
			for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				resp, err := b.Ask(create(v, 5000, true, newTopic{name: "probe", partitions: 1, rf: 1}))
				if err == nil && resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode == 41 {
					return "deposed"
				}
			}
			return "still the controller"
		}},
		{Key: kmsg.CreateTopics, Name: "no controller", Build: func(b *Broker, v int16) kmsg.Request {
			return create(v, 5000, false, newTopic{name: b.topic("new", 0), partitions: 1, rf: 1, config: settings}, newTopic{name: "a b", partitions: 1, rf: 1},
				newTopic{name: b.topic("twice", 0), partitions: 1, rf: 1}, newTopic{name: b.topic("twice", 0), partitions: 1, rf: 1})
		}},
		{Key: kmsg.DeleteTopics, Name: "no controller", Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrDeleteTopicsRequest()
			r.Version, r.TimeoutMillis, r.TopicNames = v, 1000, []string{b.topic("r", 0), "never-there"}
			return r
		}},
		grow("no controller"),
		{Key: kmsg.AlterConfigs, Name: "no controller", Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrAlterConfigsRequest()
			r.Version = v
			r.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: b.topic("r", 0),
				Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: ptr("7")}}}}
			return r
		}},
		{Key: kmsg.Metadata, Name: "no controller", Build: func(b *Broker, v int16) kmsg.Request { return b.metadataOf(v, b.topic("r", 0)) }},
		{Key: kmsg.Metadata, Name: "no controller, unknown topic", Build: func(b *Broker, v int16) kmsg.Request { return b.metadataOf(v, b.topic("unknown", v)) }},
		{Key: kmsg.Produce, Name: "no controller", Min: 3, Build: func(b *Broker, v int16) kmsg.Request { return b.produceTo(v, -1, "r", "a") }},
	}
}
