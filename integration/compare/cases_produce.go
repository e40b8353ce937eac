package compare

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire/compress"
)

// logTopics are the topics that produce cases write to, one of each per version; their logs are compared on disk afterwards.
var logTopics = map[string]map[string]*string{
	"p":  {},
	"pc": {"cleanup.policy": ptr("compact")},
	"pt": {"message.timestamp.difference.max.ms": ptr("60000")},
	"pl": {"message.timestamp.type": ptr("LogAppendTime")},
	"ps": {"max.message.bytes": ptr("300")},
	"pz": {"segment.bytes": ptr("1000"), "max.message.bytes": ptr("100000")},
	"pu": {"compression.type": ptr("uncompressed")},
	"pg": {"compression.type": ptr("gzip")},
	"pm": {"min.insync.replicas": ptr("2")},
	"pi": {},
	"pd": {}, // for what the brokers take differently: its log is not compared
}

func prepareLogs(version int16, names ...string) Case {
	return Case{Key: kmsg.CreateTopics, Name: fmt.Sprintf("prepared for %v, v%d", names, version), Min: 5, Max: 5, Build: func(b *Broker, v int16) kmsg.Request {
		var ts []newTopic
		for _, n := range names {
			ts = append(ts, newTopic{name: b.topic(n, version), partitions: 2, rf: 1, config: logTopics[n]})
		}
		return create(v, 30_000, false, ts...)
	}}
}

// produce is a request to partition 0 of a topic.
func produce(b *Broker, v, acks int16, topic string, records []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = v, acks, 2000
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: b.topic(topic, v), Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: records}}}}
	return r
}

func produceCases() []Case {
	var cases []Case
	names := []string{"p", "pc", "pt", "pl", "ps", "pz", "pu", "pg", "pm", "pi", "pd"}
	for v := int16(0); v <= 8; v++ {
		cases = append(cases, prepareLogs(v, names...))
	}
	for _, family := range [][]Case{addressCases(), batchCases(), compressedCases(), topicRuleCases(), idempotentCases(), transactionalCases(), oldSetCases()} {
		cases = append(cases, family...)
	}
	return append(cases, Case{Key: kmsg.Produce, Name: "bytes of the logs on disk", Min: 3, Do: func(b *Broker, v int16) any {
		logs := map[string]any{}
		for _, n := range names[:len(names)-1] {
			logs[n] = b.logBytes(b.topic(n, v), n == "pl" || n == "pg" || n == "pu")
		}
		return logs
	}})
}

// pc is a produce case with acks=1 on topic p: versions below 3 may not carry format v2.
func pc(name, topic string, records func() []byte) Case {
	return Case{Key: kmsg.Produce, Name: name, Min: 3, Mask: []string{"LogAppendTime"}, Build: func(b *Broker, v int16) kmsg.Request {
		return produce(b, v, 1, topic, records())
	}}
}

func batched(name string, b batch) Case { return pc(name, "p", b.encode) }

func acks(name string, acks int16, topic string) Case {
	c := pc(name, topic, nil)
	c.Build = func(b *Broker, v int16) kmsg.Request { return produce(b, v, acks, topic, plain("a").encode()) }
	return c
}

func silent(name string, f func(b *Broker, v int16) []kmsg.Request) Case {
	return Case{Key: kmsg.Produce, Name: name, Min: 3, Do: func(b *Broker, v int16) any { return b.tell(f(b, v)...) }}
}

// worded is a case whose messages name records and times in words of their own.
func worded(c Case) Case {
	c.Mask = append(c.Mask, "ErrorMessage")
	return c
}

// twice is a case that names a partition twice.
func twice(c Case) Case {
	c.Deliberate = "a partition named twice is served and answered twice; Kafka keeps the last mention only"
	return c
}

func addressCases() []Case {
	edit := func(name string, min int16, f func(r *kmsg.ProduceRequest, b *Broker)) Case {
		return Case{Key: kmsg.Produce, Name: name, Min: min, Build: func(b *Broker, v int16) kmsg.Request {
			r := produce(b, v, 1, "p", plain("a").encode())
			f(r, b)
			return r
		}}
	}
	partition := func(n int32, records []byte) kmsg.ProduceRequestTopicPartition {
		return kmsg.ProduceRequestTopicPartition{Partition: n, Records: records}
	}
	return []Case{
		acks("acks=1", 1, "p"), acks("acks=all", -1, "p"), acks("acks=2", 2, "p"), acks("acks=-2", -2, "p"),
		acks("acks=all, too few replicas", -1, "pm"), acks("acks=1, too few replicas", 1, "pm"),
		silent("acks=0", func(b *Broker, v int16) []kmsg.Request {
			return []kmsg.Request{produce(b, v, 0, "p", plain("silent").encode())}
		}),
		silent("acks=0, several", func(b *Broker, v int16) []kmsg.Request {
			r := produce(b, v, 0, "p", plain("silent").encode())
			return []kmsg.Request{r, r, r}
		}),
		silent("acks=0, unknown topic", func(b *Broker, v int16) []kmsg.Request {
			return []kmsg.Request{produce(b, v, 0, "never-there", plain("x").encode())}
		}),
		silent("acks=0, bad CRC", func(b *Broker, v int16) []kmsg.Request {
			return []kmsg.Request{produce(b, v, 0, "p", plain("x").with(func(b *batch) { b.badCRC = true }).encode())}
		}),
		silent("acks=0, no topics", func(b *Broker, v int16) []kmsg.Request {
			r := produce(b, v, 0, "p", nil)
			r.Topics = nil
			return []kmsg.Request{r}
		}),
		edit("unknown topic", 0, func(r *kmsg.ProduceRequest, b *Broker) {
			r.Topics[0].Topic = "never-there"
			if r.Version < 2 {
				r.Topics[0].Partitions[0].Records = message(0, 0, 0, 0, nil, []byte("old"))
			} else if r.Version < 3 {
				r.Topics[0].Partitions[0].Records = message(1, 0, 0, past, nil, []byte("old"))
			}
		}),
		edit("invalid topic", 3, func(r *kmsg.ProduceRequest, b *Broker) { r.Topics[0].Topic = "a b" }),
		edit("empty topic", 3, func(r *kmsg.ProduceRequest, b *Broker) { r.Topics[0].Topic = "" }),
		edit("internal topic", 3, func(r *kmsg.ProduceRequest, b *Broker) { r.Topics[0].Topic = "__consumer_offsets" }),
		edit("unknown partition", 3, func(r *kmsg.ProduceRequest, b *Broker) { r.Topics[0].Partitions[0].Partition = 7 }),
		edit("negative partition", 3, func(r *kmsg.ProduceRequest, b *Broker) { r.Topics[0].Partitions[0].Partition = -1 }),
		edit("no topics", 0, func(r *kmsg.ProduceRequest, b *Broker) { r.Topics = nil }),
		edit("no partitions", 0, func(r *kmsg.ProduceRequest, b *Broker) { r.Topics[0].Partitions = nil }),
		edit("two partitions, one bad", 3, func(r *kmsg.ProduceRequest, b *Broker) {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, partition(1, plain("x").with(func(b *batch) { b.badCRC = true }).encode()), partition(9, plain("x").encode()))
		}),
		twice(edit("the same partition twice", 3, func(r *kmsg.ProduceRequest, b *Broker) {
			r.Topics[0].Topic = b.topic("pd", r.Version)
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, partition(0, plain("second").encode()))
		})),
		twice(edit("the same topic twice", 3, func(r *kmsg.ProduceRequest, b *Broker) {
			r.Topics[0].Topic = b.topic("pd", r.Version)
			r.Topics = append(r.Topics, r.Topics[0])
		})),
		edit("acks=2 and an unknown topic", 3, func(r *kmsg.ProduceRequest, b *Broker) { r.Acks, r.Topics[0].Topic = 2, "never-there" }),
		edit("acks=2 and bad records", 3, func(r *kmsg.ProduceRequest, b *Broker) {
			r.Acks, r.Topics[0].Partitions[0].Records = 2, plain("x").with(func(b *batch) { b.badCRC = true }).encode()
		}),
	}
}

func batchCases() []Case {
	two := func(a, b batch) func() []byte { return func() []byte { return append(a.encode(), b.encode()...) } }
	short := func(n int) func() []byte { return func() []byte { return plain("abc").encode()[:n] } }
	odd := plain("a", "b", "c")
	return []Case{
		pc("null records", "p", func() []byte { return nil }),
		pc("no bytes", "p", func() []byte { return []byte{} }),
		pc("records cut inside the header", "p", short(30)), pc("records of 16 bytes", "p", short(16)), pc("records of 17 bytes", "p", short(17)),
		pc("records cut inside the payload", "p", func() []byte { e := plain("abc").encode(); return e[:len(e)-2] }),
		pc("bytes behind the batch", "p", func() []byte { return append(plain("abc").encode(), 1, 2, 3) }),
		pc("zeros behind the batch", "p", func() []byte { return append(plain("abc").encode(), make([]byte, 40)...) }),
		batched("length too large", odd.with(func(b *batch) { b.length = ptr(int32(5000)) })),
		batched("length too small", odd.with(func(b *batch) { b.length = ptr(int32(50)) })),
		batched("length 10", odd.with(func(b *batch) { b.length = ptr(int32(10)) })),
		batched("length 14", odd.with(func(b *batch) { b.length = ptr(int32(14)) })),
		batched("length -1", odd.with(func(b *batch) { b.length = ptr(int32(-1)) })),
		batched("magic 3", odd.with(func(b *batch) { b.magic = ptr(int8(3)) })),
		batched("magic -1", odd.with(func(b *batch) { b.magic = ptr(int8(-1)) })),
		batched("magic 1 over a batch", odd.with(func(b *batch) { b.magic = ptr(int8(1)) })),
		batched("bad CRC", odd.with(func(b *batch) { b.badCRC = true })),
		pc("two batches", "p", two(plain("a"), plain("b"))),
		batched("base offset 5", odd.with(func(b *batch) { b.base = 5 })),
		batched("base offset -1", odd.with(func(b *batch) { b.base = -1 })),
		batched("leader epoch 77", odd.with(func(b *batch) { b.leaderEpoch = 77 })),
		batched("a gap in the deltas", odd.with(func(b *batch) {
			b.records[1].delta, b.records[2].delta, b.lastDelta = ptr(int64(2)), ptr(int64(3)), ptr(int32(3))
		})),
		batched("a gap in the deltas, right last one", odd.with(func(b *batch) { b.records[1].delta = ptr(int64(2)) })),
		batched("equal deltas", odd.with(func(b *batch) { b.records[1].delta = ptr(int64(0)) })),
		batched("backward deltas", odd.with(func(b *batch) { b.records[1].delta, b.records[2].delta = ptr(int64(2)), ptr(int64(1)) })),
		batched("negative delta", odd.with(func(b *batch) { b.records[0].delta = ptr(int64(-1)) })),
		batched("huge delta", odd.with(func(b *batch) { b.records[2].delta = ptr(int64(1) << 40) })),
		batched("last delta too large", odd.with(func(b *batch) { b.lastDelta = ptr(int32(9)) })),
		batched("last delta too small", odd.with(func(b *batch) { b.lastDelta = ptr(int32(1)) })),
		batched("last delta negative", odd.with(func(b *batch) { b.lastDelta = ptr(int32(-1)) })),
		batched("count too large", odd.with(func(b *batch) { b.count = ptr(int32(4)) })),
		batched("count too small", odd.with(func(b *batch) { b.count = ptr(int32(2)) })),
		batched("count too large, last delta with it", odd.with(func(b *batch) { b.count, b.lastDelta = ptr(int32(4)), ptr(int32(3)) })),
		batched("count too small, last delta with it", odd.with(func(b *batch) { b.count, b.lastDelta = ptr(int32(2)), ptr(int32(1)) })),
		batched("count 0", odd.with(func(b *batch) { b.count = ptr(int32(0)) })),
		batched("count -1", odd.with(func(b *batch) { b.count = ptr(int32(-1)) })),
		batched("count huge", odd.with(func(b *batch) { b.count, b.lastDelta = ptr(int32(1)<<30), ptr(int32(1)<<30-1) })),
		batched("no records", batch{pid: -1, epoch: -1, seq: -1, count: ptr(int32(0)), lastDelta: ptr(int32(0))}),
		batched("no records, last delta -1", batch{pid: -1, epoch: -1, seq: -1}),
		batched("record size too large", odd.with(func(b *batch) { b.records[1].size = ptr(int64(500)) })),
		batched("record size too small", odd.with(func(b *batch) { b.records[1].size = ptr(int64(4)) })),
		batched("record size negative", odd.with(func(b *batch) { b.records[1].size = ptr(int64(-1)) })),
		batched("record size 0", odd.with(func(b *batch) { b.records[1].size = ptr(int64(0)) })),
		batched("bytes behind the records", odd.with(func(b *batch) { b.trailing = []byte{1, 2, 3} })),
		batched("payload of garbage", odd.with(func(b *batch) { b.payload = []byte(strings.Repeat("\xff\x01garbage", 9)) })),
		batched("null key and value", plain("a").with(func(b *batch) { b.records[0].key, b.records[0].value = nil, nil })),
		batched("headers", plain("a").with(func(b *batch) { b.records[0].headers = [][2][]byte{{[]byte("h"), []byte("v")}, {[]byte(""), nil}} })),
		batched("null header key", plain("a").with(func(b *batch) { b.records[0].headers = [][2][]byte{{nil, []byte("v")}} })),
		batched("first timestamp -1", plain("a").with(func(b *batch) { b.records[0].time = -1 })),
		batched("negative timestamp", plain("a").with(func(b *batch) { b.records[0].time = -5 })),
		batched("max timestamp too large", odd.with(func(b *batch) { b.maxTime = ptr(past + 100_000) })),
		batched("max timestamp too small", odd.with(func(b *batch) { b.maxTime = ptr(past - 100_000) })),
		batched("timestamps backwards", plain("a", "b").with(func(b *batch) { b.records[1].time = past - 5000 })),
		worded(batched("LogAppendTime attribute", odd.with(func(b *batch) { b.attrs = 0x08 }))),
		batched("unknown attributes", odd.with(func(b *batch) { b.attrs = 0x7fc0 })),
		batched("control batch", odd.with(func(b *batch) { b.attrs = 0x20 })),
		batched("codec 5", odd.with(func(b *batch) { b.attrs = 5 })),
		batched("codec 7", odd.with(func(b *batch) { b.attrs = 7 })),
		batched("producer epoch without producer id", odd.with(func(b *batch) { b.epoch = 3 })),
		batched("sequence without producer id", odd.with(func(b *batch) { b.seq = 3 })),
		pc("max.message.bytes exceeded", "ps", plain(strings.Repeat("x", 300)).encode),
		pc("max.message.bytes reached", "ps", plain(strings.Repeat("x", 100)).encode),
		pc("segment.bytes exceeded", "pz", plain(strings.Repeat("x", 1500)).encode),
		pc("a segment filled", "pz", plain(strings.Repeat("x", 700)).encode),
		pc("a segment rolled", "pz", plain(strings.Repeat("y", 700)).encode),
	}
}

func compressedCases() []Case {
	var cases []Case
	many := plain("a", "b", "c", strings.Repeat("the same again ", 40))
	for _, codec := range []compress.Codec{compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		of := func(name string, f func(b *batch)) Case {
			return batched(fmt.Sprintf("codec %d: %s", codec, name), many.with(func(b *batch) {
				b.codec = codec
				if f != nil {
					f(b)
				}
			}))
		}
		renumbered := func(name string, delta int64) Case {
			c := of(name, nil)
			c.Deliberate = "Kafka means to renumber the records and fails (UNKNOWN_SERVER_ERROR); Gregor renumbers them"
			c.Build = func(b *Broker, v int16) kmsg.Request {
				return produce(b, v, 1, "pd", many.with(func(b *batch) { b.codec, b.records[1].delta = codec, &delta }).encode())
			}
			return c
		}
		bytesFor := func(topic string) Case {
			c := of("to "+topic, nil)
			c.Build = func(b *Broker, v int16) kmsg.Request {
				return produce(b, v, 1, topic, many.with(func(b *batch) { b.codec = codec }).encode())
			}
			return c
		}
		cases = append(cases,
			of("good", nil),
			of("corrupt", func(b *batch) { b.corruptPayload = true }),
			of("cut", func(b *batch) { b.truncatedCompressed = true }),
			of("garbage", func(b *batch) { b.codec, b.attrs, b.payload = 0, int16(codec), []byte("this is not compressed at all") }),
			of("count too large", func(b *batch) { b.count, b.lastDelta = ptr(int32(5)), ptr(int32(4)) }),
			of("count too small", func(b *batch) { b.count, b.lastDelta = ptr(int32(3)), ptr(int32(2)) }),
			of("count 0", func(b *batch) { b.count = ptr(int32(0)) }),
			of("bytes behind the records", func(b *batch) { b.trailing = []byte{9, 9, 9} }),
			renumbered("a gap in the deltas", 3), renumbered("equal deltas", 0),
			of("base offset 5", func(b *batch) { b.base = 5 }),
			of("max timestamp wrong", func(b *batch) { b.maxTime = ptr(past + 77_777) }),
			of("record size too large", func(b *batch) { b.records[1].size = ptr(int64(5000)) }),
			of("record size too small", func(b *batch) { b.records[1].size = ptr(int64(5)) }),
			of("negative header count", func(b *batch) {
				b.payload = []byte{14, 0, 0, 0, 2, 'k', 2, 'v'}
				b.payload[0] = 14
				b.trailing = []byte{1}
			}),
			bytesFor("pu"), bytesFor("pg"), bytesFor("pl"), bytesFor("pc"),
		)
	}
	return append(cases, pc("uncompressed to pg", "pg", many.encode), pc("uncompressed to pu", "pu", many.encode))
}

func topicRuleCases() []Case {
	null := func(b *batch) { b.records[1].key = nil }
	now := int64(4_000_000_000_000)
	zip := func(c compress.Codec) func(b *batch) { return func(b *batch) { b.codec = c } }
	return []Case{
		pc("compacted: keys", "pc", plain("a", "b").encode),
		pc("compacted: a null key", "pc", plain("a", "b", "c").with(null).encode),
		pc("compacted: all keys null", "pc", plain("a", "b").with(func(b *batch) { b.records[0].key, b.records[1].key = nil, nil }).encode),
		pc("compacted: a null key, compressed", "pc", plain("a", "b", "c").with(null).with(zip(compress.Gzip)).encode),
		worded(pc("timestamps too old", "pt", plain("a", "b").encode)),
		worded(pc("timestamps too new", "pt", plain("a").with(func(b *batch) { b.records[0].time = now }).encode)),
		worded(pc("timestamps too old, compressed", "pt", plain("a", "b").with(zip(compress.LZ4)).encode)),
		pc("timestamp -1 with a limit", "pt", plain("a").with(func(b *batch) { b.records[0].time = -1 }).encode),
		pc("LogAppendTime", "pl", plain("a", "b").encode),
		worded(pc("LogAppendTime, attribute set", "pl", plain("a", "b").with(func(b *batch) { b.attrs = 8 }).encode)),
	}
}

func idempotentCases() []Case {
	send := func(name string, pid int64, epoch int16, seq int32, values ...string) Case {
		return pc("idempotent: "+name, "pi", plain(values...).with(func(b *batch) { b.pid, b.epoch, b.seq = pid, epoch, seq }).encode)
	}
	cases := []Case{
		send("unknown producer starts at 0", 5000, 0, 0, "a", "b"),
		send("a duplicate", 5000, 0, 0, "a", "b"),
		send("the next", 5000, 0, 2, "c"),
		send("a gap", 5000, 0, 9, "d"),
		send("an overlap", 5000, 0, 2, "c", "d"),
		send("going back", 5000, 0, 1, "x"),
		send("unknown producer starts at 17", 5001, 0, 17, "a"),
		send("a new epoch at 0", 5000, 2, 0, "a"),
		send("the old epoch", 5000, 1, 0, "a"),
		send("a new epoch not at 0", 5000, 3, 5, "a"),
		send("negative sequence", 5002, 0, -1, "a"),
		send("sequence -2", 5002, 0, -2, "a"),
		send("epoch -1", 5002, -1, 0, "a"),
		send("negative producer id", -7, 0, 0, "a"),
		send("epoch 32767", 5003, 32767, 0, "a"),
		send("sequence before the wrap", 5004, 0, 1<<31-2, "a", "b"),
		send("sequence after the wrap", 5004, 0, 0, "c"),
	}
	for i := range int32(8) {
		cases = append(cases, send(fmt.Sprintf("batch %d", i), 5010, 0, i, "v"))
	}
	return append(cases,
		send("duplicate of the fifth last", 5010, 0, 3, "v"),
		send("duplicate of the sixth last", 5010, 0, 2, "v"),
		send("duplicate of the last", 5010, 0, 7, "v"),
	)
}

func transactionalCases() []Case {
	txn := func(name string, pid int64, id *string, attrs int16) Case {
		return Case{Key: kmsg.Produce, Name: "transactional: " + name, Min: 3, Build: func(b *Broker, v int16) kmsg.Request {
			r := produce(b, v, 1, "pi", plain("t").with(func(b *batch) {
				b.attrs = attrs
				if pid >= 0 {
					b.pid, b.epoch, b.seq = pid, 0, 0
				}
			}).encode())
			r.TransactionID = id
			return r
		}}
	}
	return []Case{
		txn("attribute without producer id", -1, nil, 0x10),
		txn("attribute without id", 6000, nil, 0x10),
		txn("attribute with id", 6001, ptr("nobody"), 0x10),
		txn("id without attribute", -1, ptr("nobody"), 0),
		txn("control batch with producer id", 6002, nil, 0x30),
		txn("control batch with producer id, no transaction", 6003, nil, 0x20),
	}
}

func oldSetCases() []Case {
	set := func(name string, min, max int16, records []byte) Case {
		return Case{Key: kmsg.Produce, Name: "message set: " + name, Min: min, Max: max, Build: func(b *Broker, v int16) kmsg.Request { return produce(b, v, 1, "p", records) }}
	}
	bad := message(1, 0, 0, past, []byte("k"), []byte("v"))
	bad[12]++
	last := func(c Case) Case { c.Max = 2; return c }
	v2 := Case{Key: kmsg.Produce, Name: "format v2 in an old version", Min: 0, Build: func(b *Broker, v int16) kmsg.Request { return produce(b, v, 1, "pd", plain("a").encode()) }}
	return []Case{
		set("v0", 0, 2, message(0, 0, 0, 0, []byte("k"), []byte("v"))),
		set("v1", 0, 2, message(1, 0, 0, past, []byte("k"), []byte("v"))),
		set("v0 to a new version", 3, 8, message(0, 0, 0, 0, []byte("k"), []byte("v"))),
		set("v1 to a new version", 3, 8, message(1, 0, 0, past, []byte("k"), []byte("v"))),
		set("v1, two, to a new version", 3, 8, append(message(1, 0, 0, past, nil, []byte("v")), message(1, 0, 1, past, nil, []byte("w"))...)),
		set("bad CRC", 0, 2, bad),
		set("cut", 0, 2, bad[:len(bad)-1]),
		last(v2),
		{Key: kmsg.Produce, Name: "message set: nothing", Min: 0, Max: 2, Build: func(b *Broker, v int16) kmsg.Request { return produce(b, v, 1, "p", []byte{}) }},
		{Key: kmsg.Produce, Name: "message set: null", Min: 0, Max: 2, Build: func(b *Broker, v int16) kmsg.Request { return produce(b, v, 1, "p", nil) }},
	}
}

// stampless zeroes what depends on the time in batches that the broker stamps or compresses itself: it keeps offsets and attributes.
func stampless(log []byte) []any {
	var out []any
	for len(log) >= 61 {
		n := 12 + int(binary.BigEndian.Uint32(log[8:]))
		if n > len(log) {
			break
		}
		out = append(out, fmt.Sprintf("offset %d attributes %#x last delta %d count %d producer %d %d %d", binary.BigEndian.Uint64(log), binary.BigEndian.Uint16(log[21:]),
			binary.BigEndian.Uint32(log[23:]), binary.BigEndian.Uint32(log[57:]), int64(binary.BigEndian.Uint64(log[43:])), int16(binary.BigEndian.Uint16(log[51:])),
			int32(binary.BigEndian.Uint32(log[53:]))))
		log = log[n:]
	}
	return append(out, fmt.Sprintf("%d bytes behind", len(log)))
}
