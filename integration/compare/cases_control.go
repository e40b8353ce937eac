package compare

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// controlCases speak as the controller does. They come last: the brokers believe what they say.
func controlCases() []Case {
	prepare := Case{Key: kmsg.CreateTopics, Name: "prepared for control requests", Min: 5, Max: 5, Build: func(b *Broker, v int16) kmsg.Request {
		var ts []newTopic
		for v := int16(0); v <= 6; v++ {
			ts = append(ts, newTopic{name: b.topic("c", v), partitions: 2, rf: 1})
		}
		return create(v, 30_000, false, ts...)
	}}
	cases := append([]Case{prepare}, leaderCases()...)
	cases = append(cases, stopCases()...)
	return append(cases, updateCases()...)
}

func leaderCases() []Case {
	type part = kmsg.LeaderAndISRRequestTopicPartition
	l := func(name string, min int16, edit func(b *Broker, r *kmsg.LeaderAndISRRequest, p *part)) Case {
		return Case{Key: kmsg.LeaderAndISR, Name: name, Min: min, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrLeaderAndISRRequest()
			r.Version, r.ControllerID, r.ControllerEpoch, r.BrokerEpoch = v, b.ID, 1, -1
			p := kmsg.NewLeaderAndISRRequestTopicPartition()
			p.Topic, p.Partition, p.ControllerEpoch, p.Leader, p.LeaderEpoch = b.topic("c", v), 0, 1, b.ID, 0
			p.ISR, p.Replicas = []int32{b.ID}, []int32{b.ID}
			edit(b, r, &p)
			if v < 2 {
				r.PartitionStates = []part{p}
			} else {
				r.TopicStates = []kmsg.LeaderAndISRRequestTopicState{{Topic: p.Topic, PartitionStates: []part{p}}}
			}
			r.LiveLeaders = []kmsg.LeaderAndISRRequestLiveLeader{{BrokerID: b.ID, Host: "localhost", Port: 1}}
			return r
		}}
	}
	type R = *kmsg.LeaderAndISRRequest
	write := func(name string) Case {
		return Case{Key: kmsg.Produce, Name: name, Min: 3, Max: 6, Build: func(b *Broker, v int16) kmsg.Request {
			r := produce(b, v, 1, "c", plain(name).encode())
			r.Topics[0].Topic = b.topic("c", v-3)
			return r
		}}
	}
	ends := Case{Key: kmsg.OffsetForLeaderEpoch, Name: "after elections", Do: func(b *Broker, v int16) any {
		var out []any
		for e := int32(-1); e <= 9; e++ {
			for _, current := range []int32{-1, 3, 7} {
				r := kmsg.NewPtrOffsetForLeaderEpochRequest()
				r.Version, r.ReplicaID = v, -1
				p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				p.CurrentLeaderEpoch, p.LeaderEpoch = current, e
				r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: b.topic("c", 1), Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
				out = append(out, b.tree(r))
			}
		}
		return out
	}}
	diverge := Case{Key: kmsg.Fetch, Name: "diverging epochs after elections", Min: 12, Do: func(b *Broker, v int16) any {
		var out []any
		for last := int32(-1); last <= 8; last++ {
			for offset := range int64(4) {
				p := fetchPart(0, offset)
				p.LastFetchedEpoch, p.CurrentLeaderEpoch = last, 7
				r := fetch(b, v, "c", p)
				r.Topics[0].Topic = b.topic("c", 1)
				out = append(out, b.tree(r))
			}
		}
		return out
	}}
	list := Case{Key: kmsg.ListOffsets, Name: "after elections", Min: 1, Do: func(b *Broker, v int16) any {
		var out []any
		for _, time := range []int64{-2, -1, past} {
			for _, epoch := range []int32{-1, 3, 7, 8} {
				r := kmsg.NewPtrListOffsetsRequest()
				r.Version, r.ReplicaID = v, -1
				p := kmsg.NewListOffsetsRequestTopicPartition()
				p.Timestamp, p.CurrentLeaderEpoch = time, epoch
				r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: b.topic("c", 1), Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
				out = append(out, b.tree(r))
			}
		}
		return out
	}}
	disk := Case{Key: kmsg.Produce, Name: "bytes on disk after elections", Min: 3, Max: 6, Do: func(b *Broker, v int16) any { return b.logBytes(b.topic("c", v-3), false) }}
	alive := Case{Key: kmsg.UpdateMetadata, Name: "broker 98 is alive", Min: 6, Build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrUpdateMetadataRequest()
		r.Version, r.ControllerID, r.ControllerEpoch, r.BrokerEpoch = v, b.ID, 1, -1
		for _, id := range []int32{b.ID, 98} {
			l := kmsg.NewUpdateMetadataRequestLiveBroker()
			e := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
			e.Host, e.Port, e.ListenerName = "127.0.0.1", 9, "PLAINTEXT"
			l.ID, l.Endpoints = id, append(l.Endpoints, e)
			r.LiveBrokers = append(r.LiveBrokers, l)
		}
		return r
	}}
	return []Case{
		write("before an election"),
		l("the present epoch", 0, func(*Broker, R, *part) {}),
		l("a newer leader epoch", 0, func(_ *Broker, _ R, p *part) { p.LeaderEpoch = 3 }),
		write("in epoch 3"),
		l("an older leader epoch", 0, func(_ *Broker, _ R, p *part) { p.LeaderEpoch = 2 }),
		l("the same leader epoch", 0, func(_ *Broker, _ R, p *part) { p.LeaderEpoch = 3 }),
		l("a stale controller epoch", 0, func(_ *Broker, r R, p *part) { r.ControllerEpoch, p.LeaderEpoch = 0, 9 }),
		l("a stale broker epoch", 2, func(_ *Broker, r R, p *part) { r.BrokerEpoch, p.LeaderEpoch = 0, 9 }),
		l("not a replica", 0, func(b *Broker, _ R, p *part) {
			p.Partition, p.Leader, p.ISR, p.Replicas = 9, 99, []int32{99}, []int32{99}
		}),
		l("leader epoch -2, deletion", 0, func(b *Broker, _ R, p *part) { p.LeaderEpoch = -2 }),
		alive,
		l("follower of another broker", 0, func(b *Broker, _ R, p *part) {
			p.Partition, p.Leader, p.ISR, p.Replicas, p.LeaderEpoch = 1, 98, []int32{98}, []int32{98, b.ID}, 3
		}),
		l("follower of a dead leader", 0, func(b *Broker, _ R, p *part) {
			p.Partition, p.Leader, p.ISR, p.Replicas, p.LeaderEpoch = 1, 99, []int32{99}, []int32{99, b.ID}, 4
		}),
		l("no leader", 0, func(b *Broker, _ R, p *part) { p.Partition, p.Leader, p.LeaderEpoch = 1, -1, 5 }),
		l("leader again", 0, func(b *Broker, _ R, p *part) { p.LeaderEpoch = 7 }),
		write("in epoch 7"),
		{Key: kmsg.Produce, Name: "to a partition without leader", Min: 3, Max: 6, Build: func(b *Broker, v int16) kmsg.Request {
			r := produce(b, v, 1, "c", plain("x").encode())
			r.Topics[0].Topic, r.Topics[0].Partitions[0].Partition = b.topic("c", v-3), 1
			return r
		}},
		{Key: kmsg.Fetch, Name: "from a partition without leader", Build: func(b *Broker, v int16) kmsg.Request {
			r := fetch(b, v, "c", fetchPart(1, 0))
			r.Topics[0].Topic = b.topic("c", 1)
			return r
		}},
		{Key: kmsg.ListOffsets, Name: "of a partition without leader", Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrListOffsetsRequest()
			r.Version, r.ReplicaID = v, -1
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp, p.MaxNumOffsets = 1, -1, 1
			r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: b.topic("c", 1), Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
			return r
		}},
		{Key: kmsg.OffsetForLeaderEpoch, Name: "of a partition without leader", Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrOffsetForLeaderEpochRequest()
			r.Version, r.ReplicaID = v, -1
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.LeaderEpoch = 1, 0
			r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: b.topic("c", 1), Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
			return r
		}},
		{Key: kmsg.DeleteRecords, Name: "of a partition without leader", Build: func(b *Broker, v int16) kmsg.Request {
			return deleteRecords(b, v, b.topic("c", 1), 1, 0)
		}},
		{Key: kmsg.Metadata, Name: "of a partition without leader", Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrMetadataRequest()
			r.Version = v
			r.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr(b.topic("c", 1))}}
			return r
		}},
		ends, diverge, list, disk,
	}
}

func stopCases() []Case {
	s := func(name string, min int16, partition, epoch int32, del bool, edit func(r *kmsg.StopReplicaRequest)) Case {
		return Case{Key: kmsg.StopReplica, Name: name, Min: min, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrStopReplicaRequest()
			r.Version, r.ControllerID, r.ControllerEpoch, r.BrokerEpoch, r.DeletePartitions = v, b.ID, 1, -1, del
			t := kmsg.NewStopReplicaRequestTopic()
			t.Topic, t.Partition, t.Partitions = b.topic("c", v), partition, []int32{partition}
			t.PartitionStates = []kmsg.StopReplicaRequestTopicPartitionState{{Partition: partition, LeaderEpoch: epoch, Delete: del}}
			r.Topics = append(r.Topics, t)
			edit(r)
			return r
		}}
	}
	none := func(*kmsg.StopReplicaRequest) {}
	after := Case{Key: kmsg.Produce, Name: "after StopReplica with deletion", Min: 3, Max: 6, Build: func(b *Broker, v int16) kmsg.Request {
		r := produce(b, v, 1, "c", plain("x").encode())
		r.Topics[0].Topic = b.topic("c", v-3)
		return r
	}}
	kept := after
	kept.Name, kept.Deliberate = "after StopReplica", "told to stop a replica and keep its log, Kafka goes on leading; Gregor stops"
	return []Case{
		s("a stale controller epoch", 0, 0, 9, true, func(r *kmsg.StopReplicaRequest) { r.ControllerEpoch = 0 }),
		s("a stale broker epoch", 1, 0, 9, true, func(r *kmsg.StopReplicaRequest) { r.BrokerEpoch = 0 }),
		s("an older leader epoch", 3, 0, 2, true, none),
		s("unknown partition", 0, 33, 9, false, none),
		s("unknown partition, deleted", 0, 33, 9, true, none),
		s("stopped", 0, 0, 9, false, none), kept,
		s("stopped again", 0, 0, 9, false, none),
		s("deleted", 0, 0, 9, true, none), after,
		s("deleted again", 0, 0, 9, true, none),
		s("epoch -2", 3, 1, -2, true, none),
		s("nothing", 0, 0, 0, true, func(r *kmsg.StopReplicaRequest) { r.Topics = nil }),
	}
}

func updateCases() []Case {
	u := func(name string, min int16, edit func(b *Broker, r *kmsg.UpdateMetadataRequest)) Case {
		return Case{Key: kmsg.UpdateMetadata, Name: name, Min: min, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrUpdateMetadataRequest()
			r.Version, r.ControllerID, r.ControllerEpoch, r.BrokerEpoch = v, b.ID, 1, -1
			l := kmsg.NewUpdateMetadataRequestLiveBroker()
			e := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
			e.Host, e.Port, e.ListenerName = "127.0.0.1", 9, "PLAINTEXT"
			l.ID, l.Host, l.Port, l.Endpoints = b.ID, "127.0.0.1", 9, append(l.Endpoints, e)
			r.LiveBrokers = append(r.LiveBrokers, l)
			other := l
			other.ID = 98
			r.LiveBrokers = append(r.LiveBrokers, other)
			edit(b, r)
			return r
		}}
	}
	state := func(r *kmsg.UpdateMetadataRequest, topic string, leader int32, isr, replicas, offline []int32) {
		p := kmsg.NewUpdateMetadataRequestTopicPartition()
		p.Topic, p.Leader, p.ISR, p.Replicas, p.OfflineReplicas, p.ControllerEpoch, p.LeaderEpoch = topic, leader, isr, replicas, offline, 1, 5
		if r.Version < 5 {
			r.PartitionStates = append(r.PartitionStates, p)
			return
		}
		r.TopicStates = append(r.TopicStates, kmsg.UpdateMetadataRequestTopicState{Topic: topic, PartitionStates: []kmsg.UpdateMetadataRequestTopicPartition{p}})
	}
	look := func(name, topic string) Case {
		return Case{Key: kmsg.Metadata, Name: name, Do: func(b *Broker, v int16) any {
			var out []any
			for from := int16(0); from <= 6; from++ {
				r := kmsg.NewPtrMetadataRequest()
				r.Version = v
				if name == "deleted" && v < 4 {
					continue // it would be created again
				}
				r.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr(b.topic(topic, from))}}
				out = append(out, b.tree(r))
			}
			return out
		}}
	}
	type R = *kmsg.UpdateMetadataRequest
	return []Case{
		u("a stale controller epoch", 0, func(b *Broker, r R) { r.ControllerEpoch = 0 }),
		u("a stale broker epoch", 5, func(b *Broker, r R) { r.BrokerEpoch = 0 }),
		u("nothing about topics", 0, func(*Broker, R) {}),
		u("a topic elsewhere", 0, func(b *Broker, r R) { state(r, b.topic("m", r.Version), 98, []int32{98}, []int32{98, b.ID}, nil) }),
		look("a topic elsewhere", "m"),
		u("a leader that is not alive", 0, func(b *Broker, r R) { state(r, b.topic("n", r.Version), 55, []int32{55}, []int32{55, b.ID}, nil) }),
		look("a leader that is not alive", "n"),
		u("no leader", 0, func(b *Broker, r R) {
			state(r, b.topic("o", r.Version), -1, []int32{b.ID}, []int32{98, b.ID}, []int32{98})
		}),
		look("no leader", "o"),
		u("a leader without our listener", 0, func(b *Broker, r R) {
			far := kmsg.NewUpdateMetadataRequestLiveBroker()
			e := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
			e.Host, e.Port, e.ListenerName = "127.0.0.1", 9, "ELSEWHERE"
			far.ID, far.Host, far.Port, far.Endpoints = 97, "127.0.0.1", 9, append(far.Endpoints, e)
			r.LiveBrokers = append(r.LiveBrokers, far)
			state(r, b.topic("l", r.Version), 97, []int32{97}, []int32{97, b.ID}, nil)
		}),
		look("a leader without our listener", "l"),
		u("replicas not alive", 0, func(b *Broker, r R) {
			state(r, b.topic("q", r.Version), b.ID, []int32{b.ID, 77}, []int32{77, b.ID}, nil)
		}),
		look("replicas not alive", "q"),
		u("deleted", 0, func(b *Broker, r R) { state(r, b.topic("m", r.Version), -2, []int32{98}, []int32{98, b.ID}, nil) }),
		look("deleted", "m"),
		u("a newer controller epoch", 0, func(b *Broker, r R) { r.ControllerEpoch = 100 }),
		u("the epoch that was", 0, func(b *Broker, r R) { r.ControllerEpoch = 1 }),
	}
}
