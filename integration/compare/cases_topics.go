package compare

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type newTopic struct {
	name       string
	partitions int32
	rf         int16
	manual     map[int32][]int32
	config     map[string]*string
}

func create(version int16, timeout int32, validate bool, topics ...newTopic) kmsg.Request {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version, r.TimeoutMillis, r.ValidateOnly = version, timeout, validate
	for _, t := range topics {
		k := kmsg.NewCreateTopicsRequestTopic()
		k.Topic, k.NumPartitions, k.ReplicationFactor = t.name, t.partitions, t.rf
		for p := int32(-3); p < 10; p++ {
			if replicas, ok := t.manual[p]; ok {
				k.ReplicaAssignment = append(k.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: p, Replicas: replicas})
			}
		}
		for n, v := range t.config {
			k.Configs = append(k.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: n, Value: v})
		}
		r.Topics = append(r.Topics, k)
	}
	return r
}

func topicCases() []Case {
	ct := func(name string, topic func(b *Broker, v int16) newTopic) Case {
		return Case{Key: kmsg.CreateTopics, Name: name, Build: func(b *Broker, v int16) kmsg.Request {
			return create(v, 20_000, false, topic(b, v))
		}}
	}
	simple := func(name string, partitions int32, rf int16) func(b *Broker, v int16) newTopic {
		return func(b *Broker, v int16) newTopic {
			return newTopic{name: b.topic(name, v), partitions: partitions, rf: rf}
		}
	}
	manual := func(name string, replicas func(b *Broker) map[int32][]int32) func(b *Broker, v int16) newTopic {
		return func(b *Broker, v int16) newTopic {
			return newTopic{name: b.topic(name, v), partitions: -1, rf: -1, manual: replicas(b)}
		}
	}
	conf := func(name, key string, value *string) func(b *Broker, v int16) newTopic {
		return func(b *Broker, v int16) newTopic {
			return newTopic{name: b.topic(name, v), partitions: 1, rf: 1, config: map[string]*string{key: value}}
		}
	}
	named := func(name string) func(b *Broker, v int16) newTopic {
		return func(*Broker, int16) newTopic { return newTopic{name: name, partitions: 1, rf: 1} }
	}
	cases := []Case{
		ct("two partitions", simple("two", 2, 1)),
		ct("the same again", simple("two", 2, 1)),
		ct("broker's defaults", simple("defaults", -1, -1)),
		ct("no partitions", simple("bad", 0, 1)),
		ct("negative partitions", simple("bad", -2, 1)),
		ct("replication factor 0", simple("bad", 1, 0)),
		ct("replication factor too large", simple("bad", 1, 5)),
		ct("manual assignment", manual("manual", func(b *Broker) map[int32][]int32 { return map[int32][]int32{0: {b.ID}, 1: {b.ID}} })),
		ct("manual: a hole", manual("bad", func(b *Broker) map[int32][]int32 { return map[int32][]int32{0: {b.ID}, 2: {b.ID}} })),
		ct("manual: uneven", manual("bad", func(b *Broker) map[int32][]int32 { return map[int32][]int32{0: {b.ID}, 1: {b.ID, b.ID + 1}} })),
		ct("manual: a double", manual("bad", func(b *Broker) map[int32][]int32 { return map[int32][]int32{0: {b.ID, b.ID}} })),
		ct("manual and partitions", func(b *Broker, v int16) newTopic {
			return newTopic{name: b.topic("bad", v), partitions: 1, rf: -1, manual: map[int32][]int32{0: {b.ID}}}
		}),
		ct("empty name", named("")), ct("dot", named(".")), ct("dot dot", named("..")), ct("space", named("a b")), ct("non-ASCII", named("ä")),
		ct("name too long", named(strings.Repeat("x", 250))),
		ct("setting", conf("setting", "retention.ms", ptr("1000"))),
		ct("setting without value", conf("bad", "retention.ms", nil)),
		ct("unknown setting", conf("bad", "no.such.key", ptr("1"))),
		ct("setting out of range", conf("bad", "retention.ms", ptr("-2"))),
		ct("setting no number", conf("bad", "retention.ms", ptr("abc"))),
		ct("setting no choice", conf("bad", "cleanup.policy", ptr("burn"))),
		ct("setting no boolean", conf("bad", "preallocate", ptr("yes"))),
		ct("setting no version", conf("bad", "message.format.version", ptr("9.9"))),
		ct("throttled replicas malformed", conf("bad", "leader.replication.throttled.replicas", ptr("0:1,x"))),
		ct("ratio too large", conf("bad", "min.cleanable.dirty.ratio", ptr("1.5"))),
		ct("lags in conflict", func(b *Broker, v int16) newTopic {
			return newTopic{name: b.topic("bad", v), partitions: 1, rf: 1, config: map[string]*string{"min.compaction.lag.ms": ptr("9"), "max.compaction.lag.ms": ptr("5")}}
		}),
		ct("collision prepared", func(b *Broker, v int16) newTopic { return newTopic{name: b.topic("a.b", v), partitions: 1, rf: 1} }),
		ct("collision", func(b *Broker, v int16) newTopic { return newTopic{name: b.topic("a_b", v), partitions: 1, rf: 1} }),
		{Key: kmsg.CreateTopics, Name: "nothing", Build: func(_ *Broker, v int16) kmsg.Request { return create(v, 1000, false) }},
		{Key: kmsg.CreateTopics, Name: "the same topic twice", Build: func(b *Broker, v int16) kmsg.Request {
			return create(v, 1000, false, simple("twice", 1, 1)(b, v), simple("twice", 2, 1)(b, v), simple("once", -1, 1)(b, v))
		}},
		{Key: kmsg.CreateTopics, Name: "validate only", Min: 1, Build: func(b *Broker, v int16) kmsg.Request {
			return create(v, 1000, true, simple("imagined", 3, 1)(b, v), simple("two", 1, 1)(b, v))
		}},
		{Key: kmsg.CreateTopics, Name: "no time", Build: func(b *Broker, v int16) kmsg.Request { return create(v, 0, false, simple("late", 1, 1)(b, v)) }},
		{Key: kmsg.CreateTopics, Name: "unknown broker", Build: func(b *Broker, v int16) kmsg.Request {
			return create(v, 300, false, manual("nobroker", func(*Broker) map[int32][]int32 { return map[int32][]int32{0: {99}} })(b, v))
		}},
	}
	return append(append(cases, metadataCases()...), growAndDeleteCases()...)
}

func metadataCases() []Case {
	ask := func(names []string, auto, ops bool) func(b *Broker, v int16) kmsg.Request {
		return func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrMetadataRequest()
			r.Version, r.AllowAutoTopicCreation, r.IncludeClusterAuthorizedOperations, r.IncludeTopicAuthorizedOperations = v, auto, ops, ops
			for _, n := range names {
				if strings.HasPrefix(n, "@") {
					n = b.topic(n[1:], v)
				}
				r.Topics = append(r.Topics, kmsg.MetadataRequestTopic{Topic: &n})
			}
			return r
		}
	}
	md := func(name string, minVersion int16, names []string, auto, ops bool) Case {
		return Case{Key: kmsg.Metadata, Name: name, Min: minVersion, Build: ask(names, auto, ops)}
	}
	two := func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrMetadataRequest()
		r.Version = v
		r.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr(b.topic("two", 0))}, {Topic: ptr(b.topic("nobroker", 0))}, {Topic: ptr(b.topic("two", 0))}}
		return r
	}
	return []Case{
		{Key: kmsg.Metadata, Name: "two topics, one without a leader", Build: two},
		{Key: kmsg.Metadata, Name: "no topics", Min: 1, Build: func(_ *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrMetadataRequest()
			r.Version, r.Topics = v, []kmsg.MetadataRequestTopic{}
			return r
		}},
		{Key: kmsg.Metadata, Name: "all topics", Build: ask(nil, false, false), OwnTopics: true},
		md("unknown, not created", 4, []string{"@unknown"}, false, false),
		md("operations", 8, []string{"@unknown"}, false, true),
		md("created on demand", 0, []string{"@auto"}, true, false),
		md("invalid names, created on demand", 0, []string{"a b", "..", ""}, true, false),
	}
}

func growAndDeleteCases() []Case {
	grow := func(name string, topic string, count int32, timeout int32, validate bool, manual func(b *Broker) [][]int32) Case {
		return Case{Key: kmsg.CreatePartitions, Name: name, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrCreatePartitionsRequest()
			r.Version, r.TimeoutMillis, r.ValidateOnly = v, timeout, validate
			t := kmsg.NewCreatePartitionsRequestTopic()
			t.Topic, t.Count = b.topic(topic, v), count
			if manual != nil {
				t.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
				for _, replicas := range manual(b) {
					t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
				}
			}
			r.Topics = append(r.Topics, t)
			if name == "twice" {
				r.Topics = append(r.Topics, t)
			}
			return r
		}}
	}
	del := func(name string, minVersion int16, timeout int32, topics ...string) Case {
		return Case{Key: kmsg.DeleteTopics, Name: name, Min: minVersion, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrDeleteTopicsRequest()
			r.Version, r.TimeoutMillis = v, timeout
			for _, t := range topics {
				r.TopicNames = append(r.TopicNames, b.topic(t, v))
			}
			return r
		}}
	}
	return []Case{
		grow("validate only", "two", 5, 1000, true, nil),
		grow("to three", "two", 3, 20_000, false, nil),
		grow("to three again", "two", 3, 1000, false, nil),
		grow("to fewer", "two", 1, 1000, false, nil),
		grow("to -1", "two", -1, 1000, false, nil),
		grow("unknown topic", "unknown-topic", 3, 1000, false, nil),
		grow("twice", "two", 4, 1000, false, nil),
		grow("manual", "two", 4, 20_000, false, func(b *Broker) [][]int32 { return [][]int32{{b.ID}} }),
		grow("manual: none", "two", 5, 1000, false, func(*Broker) [][]int32 { return nil }),
		grow("manual: too many", "two", 5, 1000, false, func(b *Broker) [][]int32 { return [][]int32{{b.ID}, {b.ID}} }),
		grow("manual: unknown broker", "two", 5, 1000, false, func(*Broker) [][]int32 { return [][]int32{{77}} }),
		grow("manual: a double", "two", 5, 1000, false, func(b *Broker) [][]int32 { return [][]int32{{b.ID, b.ID}} }),
		grow("manual: empty", "two", 5, 1000, false, func(*Broker) [][]int32 { return [][]int32{{}} }),
		grow("no time", "two", 5, 0, false, nil),
		del("unknown", 0, 1000, "never-there"),
		del("one and an unknown one", 0, 20_000, "two", "never-there"),
		del("gone", 0, 1000, "two"),
		del("no time", 0, 0, "manual"),
		del("nothing", 0, 1000),
	}
}
