package compare

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire/compress"
)

// formats are the message formats by number, as message.format.version names them.
var formats = []string{"0.9.0", "0.10.2", "2.7"}

// Kinds of topics that the produce cases of each format write to.
var formatTopics = map[string]map[string]*string{
	"plain":   {},
	"zip":     {"compression.type": ptr("gzip")},
	"raw":     {"compression.type": ptr("uncompressed")},
	"zstd":    {"compression.type": ptr("zstd")},
	"stamp":   {"message.timestamp.type": ptr("LogAppendTime")},
	"compact": {"cleanup.policy": ptr("compact")},
	"time":    {"message.timestamp.difference.max.ms": ptr("60000")},
	"small":   {"max.message.bytes": ptr("200")},
	"rolled":  {"segment.bytes": ptr("1000"), "index.interval.bytes": ptr("100"), "max.message.bytes": ptr("100000")},
	"fetched": {},
	"packed":  {},
	"turned":  {}, // its format changes
	"refused": {"message.downconversion.enable": ptr("false")},
}

// formatTopic is a topic of a kind in a format; the same one for every version of a case.
func (b *Broker) formatTopic(kind string, format int) string {
	return fmt.Sprintf("%s-%s-format%d", b.Topic, kind, format)
}

func legacyCases() []Case {
	cases := []Case{{Key: kmsg.CreateTopics, Name: "prepared topics of each format", Min: 5, Max: 5, Build: func(b *Broker, v int16) kmsg.Request {
		var ts []newTopic
		for format, version := range formats {
			for _, kind := range sortedKeys(formatTopics) {
				config := map[string]*string{"message.format.version": ptr(version)}
				for k, v := range formatTopics[kind] {
					config[k] = v
				}
				partitions := int32(1)
				if kind == "turned" {
					partitions = 2 // the second shows whether the change has taken effect
				}
				ts = append(ts, newTopic{name: b.formatTopic(kind, format), partitions: partitions, rf: 1, config: config})
			}
		}
		return create(v, 60_000, false, ts...)
	}}}
	for _, family := range [][]Case{everyFormatCases(), oddSetCases(), foundCases(), everyFetchCases(), turnedCases()} {
		cases = append(cases, family...)
	}
	return append(cases, Case{Key: kmsg.Produce, Name: "bytes of the logs of each format on disk", Min: 8, Do: func(b *Broker, _ int16) any {
		logs := map[string]any{}
		for format := range formats {
			for _, kind := range sortedKeys(formatTopics) {
				logs[fmt.Sprintf("%s v%d", kind, format)] = b.logEntries(b.formatTopic(kind, format), kind == "stamp", format < 2 && kind != "turned")
			}
		}
		return logs
	}})
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// produceTo is a request to a topic of a kind and format.
func produceTo(b *Broker, v int16, kind string, format int, records []byte) *kmsg.ProduceRequest {
	r := produce(b, v, 1, kind, records)
	r.Topics[0].Topic = b.formatTopic(kind, format)
	return r
}

// toFormat is a case of one record set to a topic of a kind and format.
func toFormat(name, kind string, format int, min, max int16, records func() []byte) Case {
	return Case{Key: kmsg.Produce, Name: fmt.Sprintf("%s, to %s in format v%d", name, kind, format), Min: min, Max: max, Mask: []string{"LogAppendTime", "ErrorMessage"},
		Build: func(b *Broker, v int16) kmsg.Request { return produceTo(b, v, kind, format, records()) }}
}

// messages is a set of a format, as a client sends it.
func messages(magic byte, codec compress.Codec, values ...string) []byte {
	if magic == 2 {
		return plain(values...).with(func(b *batch) { b.codec = codec }).encode()
	}
	var set []byte
	for i, v := range values {
		set = append(set, message(magic, 0, int64(i), past+int64(i), []byte("k"), []byte(v))...)
	}
	if codec == compress.None {
		return set
	}
	return wrapped(magic, codec, int64(len(values)-1), past+int64(len(values)-1), set)
}

// wrapped is a compressed message that holds a set.
func wrapped(magic byte, codec compress.Codec, offset, time int64, set []byte) []byte {
	of := codec
	if magic == 0 && codec == compress.LZ4 {
		of = compress.LZ4V0
	}
	packed, err := compress.Compress(nil, of, set)
	if err != nil {
		panic(err)
	}
	return message(magic, byte(codec), offset, time, nil, packed)
}

// everyFormatCases send every magic and codec in every version to topics of every format.
func everyFormatCases() []Case {
	var cases []Case
	for format := range formats {
		for magic := byte(0); magic <= 2; magic++ {
			for codec := compress.None; codec <= compress.Zstd; codec++ {
				set := messages(magic, codec, "a", "bb", strings.Repeat("the same again ", 10))
				for _, kind := range []string{"plain", "zip", "raw", "stamp", "zstd"} {
					name := fmt.Sprintf("message set of format v%d, codec %v", magic, codec)
					cases = append(cases, toFormat(name, kind, format, 2, 2, func() []byte { return set }))
					if kind == "plain" {
						for v := int16(0); v <= 8; v++ {
							c := toFormat(name, kind, format, v, v, func() []byte { return set })
							c.Only, c.Long = true, v != 0 && v != 3 && v != 8
							cases = append(cases, c)
						}
					}
				}
			}
		}
		for i := range 30 {
			cases = append(cases, toFormat(fmt.Sprintf("message %d", i), "rolled", format, 2, 2, func() []byte {
				return messages(byte(i%3), compress.None, strings.Repeat("x", 20+i*7%90), "y", strings.Repeat("z", i*13%50))
			}))
		}
	}
	return cases
}

// oddSetCases are sets that a broker refuses, or puts right.
func oddSetCases() []Case {
	var cases []Case
	for format := range formats {
		for magic := byte(0); magic < 2; magic++ {
			odd := func(name, kind string, records func() []byte) {
				cases = append(cases, toFormat(fmt.Sprintf("odd v%d: %s", magic, name), kind, format, 2, 2, records))
			}
			oddMessages(magic, odd)
			oddCompressed(magic, odd)
		}
		oddNumbers(func(name, kind string, records func() []byte) {
			cases = append(cases, toFormat(name, kind, format, 2, 2, records))
		})
		cases = append(cases, oddBatches(format)...)
	}
	slices.SortStableFunc(cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) }) // a map's order is not both brokers'
	return cases
}

// keyed is a message of the key k and the value v.
func keyed(magic, attrs byte) []byte {
	return message(magic, attrs, 0, past, []byte("k"), []byte("v"))
}

// holding is a gzip message that holds a set.
func holding(magic byte, set []byte) []byte { return wrapped(magic, compress.Gzip, 0, past, set) }

func just(b []byte) func() []byte       { return func() []byte { return b } }
func join(sets ...[]byte) func() []byte { return just(slices.Concat(sets...)) }

// oddMessages are sets of plain messages.
func oddMessages(magic byte, odd func(name, kind string, records func() []byte)) {
	k, val := []byte("k"), []byte("v")
	bad := keyed(1, 0)
	bad[len(bad)-1] ^= 1
	odd("two messages", "plain", join(keyed(magic, 0), keyed(magic, 0)))
	odd("bad crc in the second", "plain", join(keyed(magic, 0), bad))
	odd("cut in the second", "plain", join(keyed(magic, 0), bad[:20]))
	odd("another format in the second", "plain", join(keyed(magic, 0), keyed(1-magic, 0)))
	odd("a v2 batch in the second", "plain", join(keyed(magic, 0), plain("a").encode()))
	odd("behind a v2 batch", "plain", join(plain("a").encode(), keyed(magic, 0)))
	for codec := byte(4); codec <= 7; codec++ {
		odd(fmt.Sprintf("codec %d", codec), "plain", just(keyed(magic, codec)))
	}
	odd("unknown attributes", "plain", just(keyed(magic, 0xf0)))
	odd("LogAppendTime", "plain", just(keyed(magic, 8)))
	odd("LogAppendTime", "stamp", just(keyed(magic, 8)))
	odd("LogAppendTime, compressed", "plain", just(message(magic, 9, 0, past, nil, holding(magic, keyed(magic, 0))[18+int(magic)*8+8:])))
	odd("no time", "plain", just(message(magic, 0, 0, -1, k, val)))
	odd("time before 1970", "plain", just(message(magic, 0, 0, -7, k, val)))
	odd("time before 1970, compressed", "plain", just(holding(magic, message(magic, 0, 0, -7, k, val))))
	odd("too old", "time", just(keyed(magic, 0)))
	odd("too old, compressed", "time", just(holding(magic, keyed(magic, 0))))
	odd("no time with a limit", "time", just(message(magic, 0, 0, -1, k, val)))
	odd("null key", "compact", join(keyed(magic, 0), message(magic, 0, 1, past, nil, val)))
	odd("null key, compressed", "compact", just(holding(magic, slices.Concat(keyed(magic, 0), message(magic, 0, 1, past, nil, val)))))
	odd("keys", "compact", join(keyed(magic, 0), keyed(magic, 0)))
	odd("null value", "compact", just(message(magic, 0, 0, past, k, nil)))
	odd("keys, compressed", "compact", just(holding(magic, keyed(magic, 0))))
	odd("max.message.bytes reached", "small", just(message(magic, 0, 0, past, k, make([]byte, 200-27-int(magic)*8))))
	odd("max.message.bytes exceeded", "small", just(message(magic, 0, 0, past, k, make([]byte, 200-26-int(magic)*8))))
}

// oddCompressed are sets with compressed messages.
func oddCompressed(magic byte, odd func(name, kind string, records func() []byte)) {
	odd("two compressed", "plain", join(holding(magic, keyed(magic, 0)), holding(magic, keyed(magic, 0))))
	odd("a plain and a compressed", "plain", join(keyed(magic, 0), holding(magic, keyed(magic, 0))))
	odd("a compressed null", "plain", just(message(magic, 1, 0, past, nil, nil)))
	odd("compressed garbage", "plain", just(message(magic, 1, 0, past, nil, []byte("this is no gzip at all"))))
	odd("snappy garbage", "plain", just(message(magic, 2, 0, past, nil, []byte("this is no snappy at all"))))
	odd("lz4 garbage", "plain", just(message(magic, 3, 0, past, nil, []byte("this is no lz4 at all"))))
	odd("holds nothing", "plain", just(holding(magic, nil)))
	odd("holds a compressed one", "plain", just(holding(magic, keyed(magic, 1))))
	odd("holds another format", "plain", just(holding(magic, keyed(1-magic, 0))))
	odd("holds a bad crc", "plain", just(holding(magic, append(keyed(magic, 0)[:12:12], slices.Concat([]byte{1, 2, 3, 4}, keyed(magic, 0)[16:])...))))
	odd("holds a size below any", "plain", just(holding(magic, append(make([]byte, 11), 5))))
	odd("holds a cut one", "plain", just(holding(magic, slices.Concat(keyed(magic, 0), keyed(magic, 0)[:20]))))
	odd("lz4 with the other format's checksum", "plain", func() []byte {
		codec := compress.LZ4
		if magic == 1 {
			codec = compress.LZ4V0
		}
		packed, err := compress.Compress(nil, codec, keyed(magic, 0))
		if err != nil {
			panic(err)
		}
		return message(magic, 3, 0, past, nil, packed)
	})
}

// oddNumbers are compressed v1 messages with offsets of every kind.
func oddNumbers(to func(name, kind string, records func() []byte)) {
	numbered := func(outer int64, offsets ...int64) func() []byte {
		return func() []byte {
			var set []byte
			for i, o := range offsets {
				set = append(set, message(1, 0, o, past+int64(i), []byte("k"), []byte("v"))...)
			}
			return wrapped(1, compress.Snappy, outer, past, set)
		}
	}
	to("odd v1: inner offsets right", "plain", numbered(2, 0, 1, 2))
	to("odd v1: outer offset 0", "plain", numbered(0, 0, 1, 2))
	to("odd v1: inner offsets 0", "plain", numbered(0, 0, 0, 0))
	to("odd v1: inner offsets from 1", "plain", numbered(3, 1, 2, 3))
	to("odd v1: outer offset large", "plain", numbered(50, 0, 1, 2))
	to("odd v1: outer offset too small", "plain", numbered(1, 0, 1, 2))
	to("odd v1: a gap", "plain", numbered(5, 0, 1, 5))
	to("odd v1: descending", "plain", numbered(0, 2, 1, 0))
}

// oddBatches are v2 batches with what the old formats have no place for.
func oddBatches(format int) (cases []Case) {
	for name, edit := range map[string]func(b *batch){
		"headers":            func(b *batch) { b.records[0].headers = [][2][]byte{{[]byte("h"), []byte("v")}} },
		"time before 1970":   func(b *batch) { b.records[0].time = -7 },
		"no time":            func(b *batch) { b.records[0].time = -1 },
		"idempotent":         func(b *batch) { b.pid, b.epoch, b.seq = 7000, 0, 0 },
		"null key and value": func(b *batch) { b.records[0].key, b.records[0].value = nil, nil },
		"control batch":      func(b *batch) { b.attrs = 0x20 },
		"count too large":    func(b *batch) { b.count = ptr(int32(4)) },
		"bad crc":            func(b *batch) { b.badCRC = true },
		"LogAppendTime":      func(b *batch) { b.attrs = 8 },
		"base offset 5":      func(b *batch) { b.base = 5 },
		"codec 6":            func(b *batch) { b.attrs = 6 },
	} {
		cases = append(cases, toFormat("odd v2: "+name, "plain", format, 8, 8, plain("a", "b").with(edit).encode))
		cases = append(cases, toFormat("odd v2: compressed, "+name, "plain", format, 8, 8, plain("a", "b").with(func(b *batch) { b.codec = compress.LZ4 }).with(edit).encode))
	}
	return cases
}

// foundCases look for offsets by time and by epoch.
func foundCases() []Case {
	var cases []Case
	for format := range formats {
		for _, ts := range []int64{-1, -2, 0, past, past + 1, past + 2, 1 << 60} {
			cases = append(cases, Case{Key: kmsg.ListOffsets, Name: fmt.Sprintf("time %d in format v%d", ts, format), Build: func(b *Broker, v int16) kmsg.Request {
				r := kmsg.NewPtrListOffsetsRequest()
				r.Version, r.ReplicaID = v, -1
				p := kmsg.NewListOffsetsRequestTopicPartition()
				p.MaxNumOffsets, p.Timestamp, p.CurrentLeaderEpoch = 5, ts, -1
				r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: b.formatTopic("plain", format), Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
				return r
			}})
		}
		cases = append(cases, Case{Key: kmsg.OffsetForLeaderEpoch, Name: fmt.Sprintf("epoch 0 in format v%d", format), Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrOffsetForLeaderEpochRequest()
			r.Version, r.ReplicaID = v, -1
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.CurrentLeaderEpoch, p.LeaderEpoch = -1, 0
			r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: b.formatTopic("plain", format), Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
			return r
		}})
	}
	return cases
}

// everyFetchCases read topics of every format, filled by every codec, in every version of a fetch.
func everyFetchCases() []Case {
	var cases []Case
	values := []string{"first", "second", strings.Repeat("third ", 20), "fourth"}
	for format := range formats {
		for i := range 4 {
			set := messages(2, compress.None, append(values, strings.Repeat("more ", i*10))...)
			for _, kind := range []string{"fetched", "refused", "turned"} {
				cases = append(cases, toFormat(fmt.Sprintf("for fetches, %d", i), kind, format, 8, 8, func() []byte { return set }))
			}
		}
		for codec := compress.None; codec <= compress.Zstd && (codec < compress.Zstd || format == 2); codec++ {
			set := messages(2, codec, values...)
			cases = append(cases, toFormat(fmt.Sprintf("for fetches, codec %v", codec), "packed", format, 8, 8, func() []byte { return set }))
			for i := range int64(4) {
				cases = append(cases, fetchFormat("packed", format, int64(codec)*4+i, 1<<20))
			}
		}
		for offset := int64(0); offset <= 20; offset++ {
			cases = append(cases, newerLong(fetchFormat("fetched", format, offset, 1<<20))...)
		}
		for _, limit := range []int32{0, 1, 10, 17, 40, 100, 150, 250, 400, 1000} {
			cases = append(cases, newerLong(fetchFormat("fetched", format, 0, limit))...)
			cases = append(cases, newerLong(fetchFormat("fetched", format, 6, limit))...)
		}
		cases = append(cases, fetchFormat("refused", format, 0, 1<<20), fetchFormat("refused", format, 20, 1<<20))
	}
	return cases
}

// fetchFormat is a fetch of one partition, whose records are compared as entries. Of those that a broker compressed, only the first is sure
// to fit into both answers.
func fetchFormat(kind string, format int, offset int64, limit int32) Case {
	return Case{Key: kmsg.Fetch, Name: fmt.Sprintf("%s in format v%d from %d, %d bytes", kind, format, offset, limit), Max: 11, Do: func(b *Broker, v int16) any {
		return b.fetchEntries(v, b.formatTopic(kind, format), offset, limit, kind == "packed")
	}}
}

// newerLong leaves the versions of a fetch for which nothing is converted to the long form.
func newerLong(c Case) []Case {
	older, newer := c, c
	older.Max, newer.Min, newer.Long = 4, 5, true
	return []Case{older, newer}
}

func (b *Broker) fetchEntries(v int16, topic string, offset int64, limit int32, first bool) any {
	p := fetchPart(0, offset)
	p.PartitionMaxBytes, p.CurrentLeaderEpoch = limit, -1
	r := fetch(b, v, "", p)
	r.Topics[0].Topic = topic
	resp, err := b.Ask(r)
	f, ok := resp.(*kmsg.FetchResponse)
	if err != nil || !ok {
		return answer(resp, err, nil)
	}
	got := &f.Topics[0].Partitions[0]
	records := got.RecordBatches
	got.RecordBatches = nil
	found := entries(records, false)
	if first {
		found = found[:min(1, len(found))]
	}
	return []any{answer(f, nil, nil), found}
}

// turnedCases change a topic's format while it holds records of another.
func turnedCases() []Case {
	var cases []Case
	for _, turn := range []struct{ topic, to int }{{0, 1}, {0, 2}, {0, 0}, {1, 2}, {1, 1}, {0, 2}} {
		cases = append(cases, Case{Key: kmsg.IncrementalAlterConfigs, Name: fmt.Sprintf("turned from format v%d to v%d", turn.topic, turn.to), Min: 1, Max: 1, Do: func(b *Broker, v int16) any {
			r := kmsg.NewPtrIncrementalAlterConfigsRequest()
			r.Version = v
			q := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: b.formatTopic("turned", turn.topic)}
			q.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "message.format.version", Op: kmsg.IncrementalAlterConfigOpSet, Value: &formats[turn.to]}}
			r.Resources = append(r.Resources, q)
			out := b.tree(r)
			b.awaitFormat(b.formatTopic("turned", turn.topic), turn.to)
			return out
		}})
		for magic := byte(0); magic <= 2; magic++ {
			cases = append(cases, toFormat(fmt.Sprintf("turned to v%d, format v%d", turn.to, magic), "turned", turn.topic, 2, 2, func() []byte {
				return messages(magic, compress.None, "turned", fmt.Sprint(turn.to, magic))
			}))
		}
		for _, offset := range []int64{0, 18, 22, 26} {
			c := fetchFormat("turned", turn.topic, offset, 1<<20)
			c.Name = fmt.Sprintf("turned to v%d: %s", turn.to, c.Name)
			if turn.to < 2 {
				c.Deliberate = "Kafka sends what was written before a format was set back as it is; Gregor converts it for clients that know no newer one"
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// awaitFormat waits until a broker stores the records of a topic's second partition in the format, twice: a change of settings takes
// effect a moment after it was answered, for one log after the other.
func (b *Broker) awaitFormat(topic string, format int) {
	deadline := time.Now().Add(answerTimeout)
	for seen := 0; time.Now().Before(deadline); {
		r := produce(b, 2, 1, "", messages(0, compress.None, "waiting"))
		r.Topics[0].Topic, r.Topics[0].Partitions[0].Partition = topic, 1
		resp, err := b.Ask(r)
		p, ok := resp.(*kmsg.ProduceResponse)
		if err != nil || !ok || p.Topics[0].Partitions[0].ErrorCode != 0 {
			return
		}
		end := p.Topics[0].Partitions[0].BaseOffset
		f := fetch(b, 4, "", fetchPart(1, end))
		f.Topics[0].Topic = topic
		got, err := b.Ask(f)
		if err != nil {
			return
		}
		records := got.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
		if len(records) > 16 && int(records[16]) == format {
			if seen++; seen == 2 {
				return
			}
		}
	}
}

// logEntries is a topic's segments as entries. stamped leaves times out; with old, it tells whether there is a file of leader epochs.
func (b *Broker) logEntries(topic string, stamped, old bool) any {
	out := map[string]any{}
	files, err := filepath.Glob(filepath.Join(b.LogDir, topic+"-0", "*"))
	if err != nil {
		return err.Error()
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			return err.Error()
		}
		if name := filepath.Base(f); strings.HasSuffix(name, ".log") && len(content) > 0 { // Gregor makes the files with the first record
			out[name] = entries(content, stamped)
		} else if old && name == "leader-epoch-checkpoint" {
			out[name] = "there is one"
		}
	}
	return out
}

// entries describes the batches and messages of a set: plain ones by their bytes, compressed ones by their head and what they hold, because
// compressors differ.
func entries(set []byte, stamped bool) []string {
	var out []string
	for len(set) >= 17 {
		n := 12 + int(int32(binary.BigEndian.Uint32(set[8:])))
		if n < 26 || n > len(set) {
			break
		}
		e, codec := set[:n], compress.Codec(set[17]&7)
		at, lz4 := 18+8*int(set[16])+8, codec
		if set[16] == 2 {
			codec, at = compress.Codec(set[22]&7), 61
			lz4 = codec
		} else if set[16] == 0 && codec == compress.LZ4 {
			lz4 = compress.LZ4V0
		}
		set = set[n:]
		if stamped {
			out = append(out, stampedEntry(e))
			continue
		}
		if codec == compress.None || at > n {
			out = append(out, hex.EncodeToString(e))
			continue
		}
		inner, err := compress.Decompress(nil, lz4, e[at:], 1<<20)
		head := slices.Clone(e[:at])
		copy(head[8:12], "size")
		if e[16] == 2 {
			copy(head[17:21], "crc.")
		} else {
			copy(head[12:16], "crc.")
			copy(head[at-4:], "size")
		}
		out = append(out, fmt.Sprintf("%s: %v holds %s %v", hex.EncodeToString(head), lz4, hex.EncodeToString(inner), err))
	}
	if len(set) > 0 {
		out = append(out, "cut: "+hex.EncodeToString(set))
	}
	return out
}

// stampedEntry is an entry without what the broker's clock decides.
func stampedEntry(e []byte) string {
	if e[16] == 2 {
		return strings.Join(strings.Fields(fmt.Sprint(stampless(e))), " ")
	}
	return fmt.Sprintf("offset %d format %d attributes %#x", binary.BigEndian.Uint64(e), e[16], e[17])
}
