package compare

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire/compress"
)

func fetchPart(partition int32, offset int64) kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	return p
}

// fetch is a request for partitions of one topic, outside a session.
func fetch(b *Broker, v int16, topic string, parts ...kmsg.FetchRequestTopicPartition) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.SessionID, r.SessionEpoch = v, -1, 0, 0, 1<<20, 0, -1
	r.Topics = []kmsg.FetchRequestTopic{{Topic: b.topic(topic, 0), Partitions: parts}}
	return r
}

// fetchCases read topics f (three batches, offsets 0 to 5), fd (the same, with the first two batches deleted) and fz (zstd).
func fetchCases() []Case {
	prepare := Case{Key: kmsg.CreateTopics, Name: "prepared for fetches", Min: 5, Max: 5, Build: func(b *Broker, v int16) kmsg.Request {
		var ts []newTopic
		for _, n := range []string{"f", "fd", "fz", "fe", "fs"} {
			ts = append(ts, newTopic{name: b.topic(n, 0), partitions: 3, rf: 1})
		}
		return create(v, 30_000, false, ts...)
	}}
	fill := func(topic string, records func() []byte) Case {
		return Case{Key: kmsg.Produce, Name: "records for fetches, " + topic, Min: 7, Max: 7, Build: func(b *Broker, v int16) kmsg.Request {
			r := produce(b, v, 1, topic, records())
			r.Topics[0].Topic = b.topic(topic, 0)
			return r
		}}
	}
	cases := []Case{prepare}
	for _, t := range []string{"f", "fd", "fs"} {
		cases = append(cases, fill(t, plain("one", "two").encode), fill(t, plain("three", strings.Repeat("four", 100)).encode), fill(t, plain("five", "six").encode))
	}
	cases = append(cases, fill("fz", plain("one", "two").with(func(b *batch) { b.codec = compress.Zstd }).encode))
	cases = append(cases, Case{Key: kmsg.DeleteRecords, Name: "before fetches", Max: 1, Min: 1, Build: func(b *Broker, v int16) kmsg.Request {
		return deleteRecords(b, v, b.topic("fd", 0), 0, 3)
	}})
	cases = append(cases, readCases()...)
	return append(cases, sessionCases()...)
}

func readCases() []Case {
	f := func(name string, edit func(b *Broker, r *kmsg.FetchRequest)) Case {
		c := Case{Key: kmsg.Fetch, Name: name, Build: func(b *Broker, v int16) kmsg.Request {
			r := fetch(b, v, "f", fetchPart(0, 0))
			edit(b, r)
			return r
		}}
		return c
	}
	part := func(r *kmsg.FetchRequest) *kmsg.FetchRequestTopicPartition { return &r.Topics[0].Partitions[0] }
	at := func(name, topic string, offset int64) Case {
		return f(name, func(b *Broker, r *kmsg.FetchRequest) {
			r.Topics[0].Topic, part(r).FetchOffset = b.topic(topic, 0), offset
		})
	}
	limit := func(name string, request, partition int32) Case {
		return f(name, func(_ *Broker, r *kmsg.FetchRequest) { r.MaxBytes, part(r).PartitionMaxBytes = request, partition })
	}
	epoch := func(name string, current, last int32, offset int64) Case {
		c := f(name, func(_ *Broker, r *kmsg.FetchRequest) {
			p := part(r)
			p.CurrentLeaderEpoch, p.LastFetchedEpoch, p.FetchOffset = current, last, offset
		})
		c.Min = 9
		if last >= 0 {
			c.Min = 12
		}
		return c
	}
	return []Case{
		at("from the beginning", "f", 0), at("inside a batch", "f", 1), at("the last", "f", 5), at("at the end", "f", 6),
		at("behind the end", "f", 7), at("far behind the end", "f", 1<<60), at("offset -1", "f", -1), at("offset -2", "f", -2),
		at("before the log's start", "fd", 0), at("at offset 2, before the log's start", "fd", 2), at("at the log's start", "fd", 3), at("behind the log's start", "fd", 4),
		at("empty topic", "fe", 0), at("empty topic, offset 1", "fe", 1),
		at("zstd", "fz", 0),
		f("unknown topic", func(b *Broker, r *kmsg.FetchRequest) { r.Topics[0].Topic = "never-there" }),
		f("invalid topic", func(b *Broker, r *kmsg.FetchRequest) { r.Topics[0].Topic = "a b" }),
		f("unknown partition", func(_ *Broker, r *kmsg.FetchRequest) { part(r).Partition = 77 }),
		f("partition -1", func(_ *Broker, r *kmsg.FetchRequest) { part(r).Partition = -1 }),
		f("partition 2147483647", func(_ *Broker, r *kmsg.FetchRequest) { part(r).Partition = 1<<31 - 1 }),
		f("partition -2147483648", func(_ *Broker, r *kmsg.FetchRequest) { part(r).Partition = -1 << 31 }),
		f("no topics", func(_ *Broker, r *kmsg.FetchRequest) { r.Topics = nil }),
		f("no partitions", func(_ *Broker, r *kmsg.FetchRequest) { r.Topics[0].Partitions = nil }),
		f("three partitions", func(_ *Broker, r *kmsg.FetchRequest) {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, fetchPart(1, 0), fetchPart(9, 0))
		}),
		twice(f("the same partition twice", func(_ *Broker, r *kmsg.FetchRequest) {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, fetchPart(0, 4))
		})),
		f("two topics", func(b *Broker, r *kmsg.FetchRequest) {
			r.Topics = append(r.Topics, kmsg.FetchRequestTopic{Topic: b.topic("fd", 0), Partitions: []kmsg.FetchRequestTopicPartition{fetchPart(0, 4), fetchPart(1, 5)}})
		}),
		limit("request limit 0", 0, 1<<20), limit("request limit 1", 1, 1<<20), unknown(limit("request limit -1", -1, 1<<20)), limit("partition limit 0", 1<<20, 0), limit("partition limit 1", 1<<20, 1),
		limit("partition limit 100", 1<<20, 100), limit("partition limit 300", 1<<20, 300), limit("request limit 300", 300, 1<<20), unknown(limit("partition limit -1", 1<<20, -1)), limit("both limits 0", 0, 0),
		f("the second of two cut by the request limit", func(b *Broker, r *kmsg.FetchRequest) {
			r.MaxBytes = 200
			r.Topics = append(r.Topics, kmsg.FetchRequestTopic{Topic: b.topic("fs", 0), Partitions: []kmsg.FetchRequestTopicPartition{fetchPart(0, 0)}})
		}),
		f("waits in vain", func(_ *Broker, r *kmsg.FetchRequest) { r.MinBytes, r.MaxWaitMillis, part(r).FetchOffset = 1, 50, 6 }),
		f("waits in vain for more", func(_ *Broker, r *kmsg.FetchRequest) { r.MinBytes, r.MaxWaitMillis = 1<<20, 50 }),
		f("minimum negative", func(_ *Broker, r *kmsg.FetchRequest) { r.MinBytes, part(r).FetchOffset = -1, 6 }),
		f("wait negative", func(_ *Broker, r *kmsg.FetchRequest) { r.MinBytes, r.MaxWaitMillis, part(r).FetchOffset = 1, -1, 6 }),
		f("read committed", func(_ *Broker, r *kmsg.FetchRequest) { r.IsolationLevel = 1 }),
		f("read committed at the end", func(_ *Broker, r *kmsg.FetchRequest) { r.IsolationLevel, part(r).FetchOffset = 1, 6 }),
		unknown(f("isolation level 2", func(_ *Broker, r *kmsg.FetchRequest) { r.IsolationLevel = 2 })),
		unknown(f("isolation level -1", func(_ *Broker, r *kmsg.FetchRequest) { r.IsolationLevel = -1 })),
		f("as an unknown replica", func(_ *Broker, r *kmsg.FetchRequest) { r.ReplicaID = 99 }),
		f("as the debugging consumer", func(_ *Broker, r *kmsg.FetchRequest) { r.ReplicaID = -2 }),
		f("as replica -3", func(_ *Broker, r *kmsg.FetchRequest) { r.ReplicaID = -3 }),
		f("as the leader's own replica", func(b *Broker, r *kmsg.FetchRequest) { r.ReplicaID = b.ID }),
		epoch("current epoch", 0, -1, 0), epoch("unknown epoch", 5, -1, 0), epoch("fenced epoch", -2, -1, 0), epoch("unknown epoch, out of range", 5, -1, 77),
		epoch("last fetched epoch", 0, 0, 2), epoch("last fetched epoch unknown", 0, 3, 2), epoch("last fetched epoch, behind the end", 0, 0, 9), epoch("last fetched epoch -2", -1, 0, 6),
		f("rack", func(_ *Broker, r *kmsg.FetchRequest) { r.Rack = "somewhere" }),
		f("session id without an epoch", func(_ *Broker, r *kmsg.FetchRequest) { r.SessionID = 12345 }),
		f("unknown session", func(_ *Broker, r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = 12345, 1 }),
		f("session epoch without id", func(_ *Broker, r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = 0, 1 }),
		f("session epoch -2", func(_ *Broker, r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = 0, -2 }),
	}
}

// unknown is a case on which Kafka fails with UNKNOWN_SERVER_ERROR.
func unknown(c Case) Case {
	c.Deliberate = "Kafka answers UNKNOWN_SERVER_ERROR; Gregor takes a negative limit for 0 and an unknown isolation level for read_uncommitted"
	return c
}

// step is one fetch of a session.
type step struct {
	epoch  int32
	parts  []kmsg.FetchRequestTopicPartition
	forget []int32
	edit   func(r *kmsg.FetchRequest)
	// produced is a record that is appended to partition 1 of the session's topic before the fetch.
	produced string
}

func sessionCases() []Case {
	s := func(name string, steps ...step) Case {
		return Case{Key: kmsg.Fetch, Name: "session: " + name, Min: 7, Do: func(b *Broker, v int16) any { return b.session(v, name, steps) }}
	}
	begin := step{epoch: 0, parts: []kmsg.FetchRequestTopicPartition{fetchPart(0, 0), fetchPart(1, 0), fetchPart(2, 0)}}
	ended := step{epoch: 1, parts: []kmsg.FetchRequestTopicPartition{fetchPart(0, 6)}}
	return []Case{
		s("made and used", begin, ended, step{epoch: 2}, step{epoch: 3}),
		s("data every time until the offset moves", begin, step{epoch: 1}, step{epoch: 2}, step{epoch: 3, parts: ended.parts}, step{epoch: 4}),
		s("wrong epoch", begin, step{epoch: 5}, step{epoch: 1}),
		s("epoch repeated", begin, ended, step{epoch: 1}, step{epoch: 2}),
		s("wrong id", begin, step{epoch: 1, edit: func(r *kmsg.FetchRequest) { r.SessionID ^= 0x55 }}, step{epoch: 1}),
		s("closed", begin, step{epoch: -1, parts: ended.parts}, step{epoch: 1}),
		s("made anew", begin, step{epoch: 0, parts: begin.parts}, step{epoch: 1}),
		s("forgotten partitions", begin, step{epoch: 1, forget: []int32{0}}, step{epoch: 2}, step{epoch: 3, parts: []kmsg.FetchRequestTopicPartition{fetchPart(0, 2)}}),
		s("all forgotten", begin, step{epoch: 1, forget: []int32{0, 1, 2}}, step{epoch: 2}),
		s("forgotten and added at once", begin, step{epoch: 1, forget: []int32{0}, parts: []kmsg.FetchRequestTopicPartition{fetchPart(0, 3)}}, step{epoch: 2}),
		s("unknown ones forgotten", begin, step{epoch: 1, forget: []int32{55}}, step{epoch: 2}),
		s("of unknown partitions", step{epoch: 0, parts: []kmsg.FetchRequestTopicPartition{fetchPart(50, 0)}}, step{epoch: 1}, step{epoch: 2}),
		s("out of range", step{epoch: 0, parts: []kmsg.FetchRequestTopicPartition{fetchPart(0, 70)}}, step{epoch: 1}, ended, step{epoch: 2, parts: ended.parts}, step{epoch: 3}),
		s("of nothing", step{epoch: 0}, step{epoch: 1}),
		twice(s("a partition twice", step{epoch: 0, parts: []kmsg.FetchRequestTopicPartition{fetchPart(0, 0), fetchPart(0, 6)}}, step{epoch: 1}, step{epoch: 2})),
		s("new records", step{epoch: 0, parts: []kmsg.FetchRequestTopicPartition{fetchPart(1, 1000), fetchPart(2, 0)}}, step{epoch: 1, produced: "new"}, step{epoch: 2}),
		s("waits in vain", begin, ended, step{epoch: 2, edit: func(r *kmsg.FetchRequest) { r.MinBytes, r.MaxWaitMillis = 1, 50 }}),
	}
}

// session makes the fetches of a session one after another. The session's id is random: the answers say only whether there is one.
func (b *Broker) session(v int16, name string, steps []step) any {
	var id int32
	out := []any{}
	for i, s := range steps {
		if s.produced != "" {
			p := produce(b, 7, 1, "fs", plain(s.produced).encode())
			p.Topics[0].Topic = b.topic("fs", 0)
			p.Topics[0].Partitions[0].Partition = 1
			out = append(out, b.tree(p))
		}
		r := fetch(b, v, "fs", s.parts...)
		if s.parts == nil {
			r.Topics = nil
		}
		r.SessionID, r.SessionEpoch = id, s.epoch
		if s.forget != nil {
			r.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: b.topic("fs", 0), Partitions: s.forget}}
		}
		if s.edit != nil {
			s.edit(r)
		}
		resp, err := b.Ask(r)
		if f, ok := resp.(*kmsg.FetchResponse); ok && err == nil && f.SessionID != 0 {
			if i > 0 && f.SessionID == id {
				f.SessionID = 1 // the same
			} else {
				id, f.SessionID = f.SessionID, 2
			}
		}
		out = append(out, map[string]any{fmt.Sprintf("step %d", i): answer(resp, err, nil)})
	}
	return out
}
