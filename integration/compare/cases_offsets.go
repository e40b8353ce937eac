package compare

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func deleteRecords(b *Broker, v int16, topic string, partition int32, offset int64) *kmsg.DeleteRecordsRequest {
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Version, r.TimeoutMillis = v, 2000
	r.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: offset}}}}
	return r
}

func offsetCases() []Case {
	var cases []Case
	for _, family := range [][]Case{listCases(), epochEndCases(), deleteRecordsCases(), producerIDCases()} {
		cases = append(cases, family...)
	}
	return cases
}

// listCases look for offsets in the topics of the fetch cases, and in fe, where there is nothing.
func listCases() []Case {
	l := func(name string, min int16, edit func(b *Broker, r *kmsg.ListOffsetsRequest, p *kmsg.ListOffsetsRequestTopicPartition)) Case {
		return Case{Key: kmsg.ListOffsets, Name: name, Min: min, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrListOffsetsRequest()
			r.Version, r.ReplicaID = v, -1
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.MaxNumOffsets = 10
			r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: b.topic("f", 0), Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
			edit(b, r, &r.Topics[0].Partitions[0])
			return r
		}}
	}
	at := func(name, topic string, time int64) Case {
		return l(name, 0, func(b *Broker, r *kmsg.ListOffsetsRequest, p *kmsg.ListOffsetsRequestTopicPartition) {
			r.Topics[0].Topic, p.Timestamp = b.topic(topic, 0), time
		})
	}
	type R = *kmsg.ListOffsetsRequest
	type P = *kmsg.ListOffsetsRequestTopicPartition
	return []Case{
		at("latest", "f", -1), at("earliest", "f", -2), at("time -3", "f", -3), at("time -4", "f", -4), at("time 0", "f", 0), at("time of the first", "f", past),
		at("time of the second", "f", past+1), at("time after all", "f", past+2), at("time in the future", "f", 1<<60),
		at("latest, records deleted", "fd", -1), at("earliest, records deleted", "fd", -2), at("time, records deleted", "fd", past), at("time of deleted ones", "fd", 0),
		at("latest of nothing", "fe", -1), at("earliest of nothing", "fe", -2), at("time of nothing", "fe", 0),
		at("compressed", "fz", past+1),
		l("unknown topic", 0, func(_ *Broker, r R, p P) { r.Topics[0].Topic, p.Timestamp = "never-there", -1 }),
		l("invalid topic", 0, func(_ *Broker, r R, p P) { r.Topics[0].Topic, p.Timestamp = "a b", -1 }),
		l("unknown partition", 0, func(_ *Broker, r R, p P) { p.Partition, p.Timestamp = 77, -1 }),
		l("negative partition", 0, func(_ *Broker, r R, p P) { p.Partition, p.Timestamp = -1, -1 }),
		l("the same partition twice", 0, func(_ *Broker, r R, p P) {
			p.Timestamp = -1
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, *p)
		}),
		l("no topics", 0, func(_ *Broker, r R, _ P) { r.Topics = nil }),
		l("no partitions", 0, func(_ *Broker, r R, _ P) { r.Topics[0].Partitions = nil }),
		l("one offset at most", 0, func(_ *Broker, r R, p P) { p.MaxNumOffsets, p.Timestamp = 1, -1 }),
		l("no offset at most", 0, func(_ *Broker, r R, p P) { p.MaxNumOffsets, p.Timestamp = 0, -1 }),
		l("read committed, latest", 2, func(_ *Broker, r R, p P) { r.IsolationLevel, p.Timestamp = 1, -1 }),
		l("read committed, earliest", 2, func(_ *Broker, r R, p P) { r.IsolationLevel, p.Timestamp = 1, -2 }),
		l("read committed, time", 2, func(_ *Broker, r R, p P) { r.IsolationLevel, p.Timestamp = 1, past }),
		unknown(l("isolation level 7", 2, func(_ *Broker, r R, p P) { r.IsolationLevel, p.Timestamp = 7, -1 })),
		l("as a replica", 0, func(_ *Broker, r R, p P) { r.ReplicaID, p.Timestamp = 99, -1 }),
		l("as the debugging consumer", 0, func(_ *Broker, r R, p P) { r.ReplicaID, p.Timestamp = -2, -1 }),
		l("current epoch", 4, func(_ *Broker, r R, p P) { p.CurrentLeaderEpoch, p.Timestamp = 0, -1 }),
		l("unknown epoch", 4, func(_ *Broker, r R, p P) { p.CurrentLeaderEpoch, p.Timestamp = 3, -1 }),
		l("fenced epoch", 4, func(_ *Broker, r R, p P) { p.CurrentLeaderEpoch, p.Timestamp = -2, -1 }),
	}
}

func epochEndCases() []Case {
	e := func(name, topic string, partition, current, asked int32) Case {
		return Case{Key: kmsg.OffsetForLeaderEpoch, Name: name, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrOffsetForLeaderEpochRequest()
			r.Version, r.ReplicaID = v, -1
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, asked
			name := b.topic(topic, 0)
			if topic == "" {
				name = ""
			}
			r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: name, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
			if partition == 5 {
				r.Topics[0].Partitions = append(r.Topics[0].Partitions, p)
			}
			return r
		}}
	}
	return []Case{
		e("epoch 0", "f", 0, -1, 0), e("epoch 1", "f", 0, -1, 1), e("epoch -1", "f", 0, -1, -1), e("epoch -5", "f", 0, -1, -5), e("records deleted", "fd", 0, -1, 0), e("nothing there", "fe", 0, -1, 0),
		e("nothing there, epoch 3", "fe", 0, -1, 3), e("current epoch right", "f", 0, 0, 0), e("current epoch unknown", "f", 0, 4, 0), e("current epoch fenced", "f", 0, -2, 0),
		e("unknown topic", "never", 0, -1, 0), e("unknown partition", "f", 77, -1, 0), twice(e("unknown partition twice", "f", 5, -1, 0)), e("empty topic", "", 0, -1, 0),
	}
}

func deleteRecordsCases() []Case {
	d := func(name string, topic string, partition int32, offset int64) Case {
		return Case{Key: kmsg.DeleteRecords, Name: name, Build: func(b *Broker, v int16) kmsg.Request {
			return deleteRecords(b, v, b.topic(topic, 3+v), partition, offset)
		}}
	}
	named := func(name, topic string) Case {
		return Case{Key: kmsg.DeleteRecords, Name: name, Build: func(b *Broker, v int16) kmsg.Request { return deleteRecords(b, v, topic, 0, 1) }}
	}
	return []Case{
		d("offset -2", "pi", 0, -2), d("offset 0", "pi", 0, 0), d("offset 1, inside a batch", "pi", 0, 1), d("offset 2", "pi", 0, 2), d("back to 1", "pi", 0, 1), d("behind the end", "pi", 0, 1000),
		d("far behind the end", "pi", 0, 1<<62), d("all", "pi", 0, -1), d("all again", "pi", 0, -1), d("of nothing", "p", 1, -1), d("compacted", "pc", 0, 1), d("unknown partition", "pi", 44, 0),
		d("negative partition", "pi", -1, 0), named("unknown topic", "never-there"), named("invalid topic", "a b"), named("internal topic", "__consumer_offsets"), named("empty topic", ""),
		twice(Case{Key: kmsg.DeleteRecords, Name: "twice the same", Build: func(b *Broker, v int16) kmsg.Request {
			r := deleteRecords(b, v, b.topic("p", 3+v), 0, 1)
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: 0, Offset: 2})
			return r
		}}),
		{Key: kmsg.DeleteRecords, Name: "nothing", Build: func(b *Broker, v int16) kmsg.Request {
			r := deleteRecords(b, v, "", 0, 1)
			r.Topics = nil
			return r
		}},
	}
}

func producerIDCases() []Case {
	i := func(name string, edit func(r *kmsg.InitProducerIDRequest)) Case {
		return Case{Key: kmsg.InitProducerID, Name: name, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrInitProducerIDRequest()
			r.Version, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = v, 60_000, -1, -1
			edit(r)
			return r
		}}
	}
	late := func(c Case) Case { c.Min = 3; return c }
	return []Case{
		i("idempotent", func(*kmsg.InitProducerIDRequest) {}),
		i("no time", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 0 }),
		i("negative time", func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = -1 }),
		i("empty transactional id", func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = ptr("") }),
		i("transactional, time-out too large", func(r *kmsg.InitProducerIDRequest) {
			r.TransactionalID, r.TransactionTimeoutMillis = ptr("txn"), 1<<30
		}),
		late(i("id and epoch", func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = 5, 3 })),
		late(i("id without epoch", func(r *kmsg.InitProducerIDRequest) { r.ProducerID = 5 })),
		late(i("epoch without id", func(r *kmsg.InitProducerIDRequest) { r.ProducerEpoch = 5 })),
	}
}
