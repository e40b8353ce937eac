package main

import (
	"gregor/integration/peer"
	"gregor/internal/golden"
)

// set is a message set of format v0 or v1: n messages, or one compressed message that holds them.
func (s *source) set(magic int8, codec string, n, size int) batch {
	b := s.plain(codec, n, size)
	b.Magic = magic
	if n > 2 {
		b.Records[1].Key, b.Records[2].Value = nil, nil
		b.Records[1].Timestamp -= 5000
	}
	return b
}

var oldCodecs = []string{"gzip", "snappy", "lz4"}

// oldSets is many sets of one format.
func oldSets(magic int8, codecs ...string) func(*source) []step {
	return func(s *source) []step {
		return repeat(12, func(i int) []step {
			return on(0, s.set(magic, codecs[i%len(codecs)], 1+i%7, 150), s.set(magic, "none", 1+i%3, 200))
		})
	}
}

// oldFormatPlans are what 2.7.2 stores in topics of message formats v0 and v1, and of what clients send in them.
func oldFormatPlans() []plan {
	v0 := with(smallSegments, "message.format.version", "0.9.0")
	v1 := with(smallSegments, "message.format.version", "0.10.2")
	converted := func(s *source) []step {
		return repeat(14, func(i int) []step {
			return on(0, s.set(int8(i%2), "none", 1+i%5, 150), s.plain("none", 1+i%4, 200))
		})
	}
	return []plan{
		{
			Case:  golden.Case{Name: "sets-v0", Compare: golden.Bytes, Config: v0, About: "message format v0: sets of plain messages, over several segments"},
			steps: oldSets(0, "none"),
		},
		{
			Case: golden.Case{Name: "sets-v0-compressed", Compare: golden.Decoded, Config: map[string]string{"message.format.version": "0.9.0"},
				About: "message format v0: compressed messages, which the broker compresses anew to number what they hold"},
			steps: oldSets(0, oldCodecs...),
		},
		{
			Case: golden.Case{Name: "sets-v1", Compare: golden.Bytes, Config: v1,
				About: "message format v1: plain and compressed messages of every codec, over several segments"},
			steps: oldSets(1, append([]string{"none"}, oldCodecs...)...),
		},
		{
			Case: golden.Case{Name: "sets-v1-append-time", Compare: golden.Bytes, Config: with(v1, "message.timestamp.type", "LogAppendTime"),
				About: "message format v1 with LogAppendTime; feed each append its answered time"},
			steps: oldSets(1, append([]string{"none"}, oldCodecs...)...),
		},
		{
			Case: golden.Case{Name: "converted-v0", Compare: golden.Bytes, Config: v0,
				About: "sets of v0 and v1 and batches of v2, stored as v0"},
			steps: converted,
		},
		{
			Case: golden.Case{Name: "converted-v1", Compare: golden.Bytes, Config: v1,
				About: "sets of v0 and v1 and batches of v2, stored as v1"},
			steps: converted,
		},
		{
			Case: golden.Case{Name: "converted-v2", Compare: golden.Bytes, Config: smallSegments,
				About: "sets of v0 and v1 and batches of v2, stored as v2"},
			steps: converted,
		},
		{
			Case: golden.Case{Name: "sets-v1-unclean", Compare: golden.Bytes, Config: v1, Unclean: true,
				About: "message format v1, killed before anything was flushed: every index is rebuilt, message by message"},
			steps: oldSets(1, "none", "gzip", "lz4"),
		},
	}
}

// oldBrokerPlans are what brokers of old wrote, and what 2.7.2 makes of it.
func oldBrokerPlans() []plan {
	return []plan{
		{
			kind: peer.Kafka08,
			Case: golden.Case{Name: "broker-0.8", Compare: golden.Read, From: "0.8.2.2", Config: with(smallSegments, "message.format.version", "0.8.2"),
				About: "written by Apache Kafka 0.8.2.2: message format v0, no time index"},
			steps: oldSets(0, append([]string{"none"}, oldCodecs...)...),
		},
		{
			kind: peer.Kafka010,
			Case: golden.Case{Name: "broker-0.10", Compare: golden.Read, From: "0.10.2.2", Config: with(smallSegments, "message.format.version", "0.10.2"),
				About: "written by Apache Kafka 0.10.2.2: message format v1"},
			steps: oldSets(1, append([]string{"none"}, oldCodecs...)...),
		},
	}
}
