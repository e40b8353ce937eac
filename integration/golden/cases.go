package main

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"gregor/internal/golden"
)

// plan is a case to be recorded.
type plan struct {
	golden.Case
	steps func(*source) []step
	// mangle damages the log directory of an unclean case after the kill.
	mangle func(logDir string) error
}

// step is one thing to do to the broker; exactly one field is set.
type step struct {
	produce       []part
	deleteRecords *golden.DeleteRecords
	restart       bool
	// transaction begins, adds partition 0, produces, and ends.
	transaction *transaction
	// offsets commits an offset of partition 0 for a group, in a transaction that ends unless it is left open.
	offsets *offsets
}

type part struct {
	partition int32
	batch     batch
}

type offsets struct {
	id, group    string
	offset       int64
	metadata     string
	commit, open bool
}

type transaction struct {
	id     string
	parts  []part
	commit bool
	open   bool // leave it open
}

// on is one produce request per batch, all to one partition.
func on(partition int32, batches ...batch) []step {
	var steps []step
	for _, b := range batches {
		steps = append(steps, step{produce: []part{{partition, b}}})
	}
	return steps
}

func restart() []step { return []step{{restart: true}} }

func deleteRecords(partition int32, offset int64) []step {
	return []step{{deleteRecords: &golden.DeleteRecords{Partition: partition, Offset: offset}}}
}

func join(lists ...[]step) []step {
	var all []step
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// repeat calls f n times.
func repeat(n int, f func(i int) []step) []step {
	var all []step
	for i := range n {
		all = append(all, f(i)...)
	}
	return all
}

// smallSegments makes several segments and several index entries of a few kilobytes.
var smallSegments = map[string]string{"segment.bytes": "4096", "index.interval.bytes": "512"}

func with(m map[string]string, more ...string) map[string]string {
	all := map[string]string{}
	for k, v := range m {
		all[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

func plans() []plan {
	var all []plan
	for _, codec := range codecs {
		all = append(all, plan{
			Case: golden.Case{
				Name: "codec-" + codec, Compare: golden.Bytes,
				About: "batches of 1 to 200 records compressed with " + codec + " by the producer; null and empty keys and values; headers",
			},
			steps: func(s *source) []step {
				return on(0, s.plain(codec, 1, 50), s.odd(codec), s.plain(codec, 200, 60), s.plain(codec, 20, 2000), s.plain(codec, 3, 10))
			},
		})
	}
	all = append(all, timePlans()...)
	all = append(all, segmentPlans()...)
	all = append(all, producerPlans()...)
	all = append(all, recompressionPlans()...)
	all = append(all, uncleanPlans()...)
	all = append(all, readPlans()...)
	for i := range all {
		c := &all[i].Case
		c.Topic = "golden"
		if c.Partitions == 0 {
			c.Partitions = 1
		}
	}
	return all
}

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

func timePlans() []plan {
	outOfOrder := func(s *source) []step {
		return repeat(40, func(i int) []step {
			if i%7 == 3 {
				s.now -= 5000
			}
			if i%10 == 9 {
				s.now += 20000
			}
			return on(0, s.plain("none", 1+i%4, 300))
		})
	}
	return []plan{
		{
			Case: golden.Case{
				Name: "time-create", Compare: golden.Bytes, Config: smallSegments,
				About: "CreateTime with timestamps that go back and forth: time index entries only where the largest grows",
			},
			steps: outOfOrder,
		},
		{
			Case: golden.Case{
				Name: "time-append", Compare: golden.Bytes, Config: with(smallSegments, "message.timestamp.type", "LogAppendTime"),
				About: "LogAppendTime, uncompressed and compressed; feed each append its answered time",
			},
			steps: func(s *source) []step {
				return join(outOfOrder(s), on(0, s.plain("gzip", 30, 50), s.plain("zstd", 30, 50), s.odd("lz4"), s.odd("none")))
			},
		},
		{
			Case: golden.Case{
				Name: "time-none", Compare: golden.Bytes, Config: smallSegments,
				About: "records without a timestamp (-1)",
			},
			steps: func(s *source) []step {
				return repeat(30, func(int) []step {
					b := s.plain("none", 2, 200)
					for i := range b.Records {
						b.Records[i].Timestamp = -1
					}
					return on(0, b)
				})
			},
		},
	}
}

func segmentPlans() []plan {
	many := func(n int) func(*source) []step {
		return func(s *source) []step {
			return repeat(n, func(i int) []step { return on(0, s.plain("none", 1+i%5, 250)) })
		}
	}
	return []plan{
		{
			Case: golden.Case{
				Name: "segments-size", Compare: golden.Bytes, Config: smallSegments, Partitions: 3,
				About: "rolled by segment.bytes; three partitions in one request",
			},
			steps: func(s *source) []step {
				return repeat(40, func(i int) []step {
					return []step{{produce: []part{{0, s.plain("none", 1+i%5, 250)}, {1, s.plain("snappy", 10, 100)}, {2, s.plain("none", 1, 20)}}}}
				})
			},
		},
		{
			Case: golden.Case{
				Name: "segments-age", Compare: golden.Bytes, Config: map[string]string{"segment.ms": "10000", "index.interval.bytes": "256"},
				About: "rolled by segment.ms, which goes by the records' timestamps",
			},
			steps: func(s *source) []step {
				s.step = 600
				return many(30)(s)
			},
		},
		{
			Case: golden.Case{
				Name: "segments-index-full", Compare: golden.Bytes, Config: map[string]string{"segment.index.bytes": "100", "index.interval.bytes": "64"},
				About: "rolled because an index of 100 bytes is full: 12 offset entries, 8 time entries",
			},
			steps: many(60),
		},
		{
			Case: golden.Case{
				Name: "segments-time-index-full", Compare: golden.Bytes,
				Config: map[string]string{"segment.index.bytes": "64", "index.interval.bytes": "0", "segment.bytes": "100000"},
				About:  "index.interval.bytes 0: an entry for each append but a segment's first",
			},
			steps: many(40),
		},
		{
			Case: golden.Case{
				Name: "restarts", Compare: golden.Bytes, Config: smallSegments,
				About: "clean restarts, each with a new leader epoch; an epoch without a record leaves no entry once the next begins",
			},
			steps: func(s *source) []step {
				return join(many(12)(s), restart(), many(5)(s), restart(), restart(), many(9)(s))
			},
		},
		{
			Case: golden.Case{
				Name: "deleted-records", Compare: golden.Bytes, Config: smallSegments, Partitions: 2,
				About: "DeleteRecords into the middle of a later segment, to a segment's middle, and to the end",
			},
			steps: func(s *source) []step {
				return join(many(30)(s), on(1, s.plain("none", 5, 100)), deleteRecords(0, 40), many(5)(s), deleteRecords(0, 52), deleteRecords(1, -1))
			},
		},
	}
}

func producerPlans() []plan {
	return []plan{
		{
			Case: golden.Case{
				Name: "idempotent", Compare: golden.Bytes,
				About: "three producers, retries answered with their first offset, a gap refused, a bumped epoch, sequences that wrap",
			},
			steps: func(s *source) []step {
				var a, b int32
				c := int32(math.MaxInt32 - 3)
				first := s.idempotent("none", 1001, 0, &a, 3)
				gap := int32(100)
				steps := join(
					on(0, first, s.idempotent("lz4", 1002, 0, &b, 10), s.idempotent("none", 1003, 4, &c, 3)),
					on(0, first), // a retry
					on(0, s.idempotent("none", 1001, 0, &a, 2), s.idempotent("none", 1001, 0, &a, 2), first),
					on(0, s.idempotent("none", 1001, 0, &gap, 1)),
					// The last sequence there is, then 0 within one batch.
					on(0, s.idempotent("none", 1003, 4, &c, 4)),
				)
				b, c = 0, 3
				return join(steps, on(0, s.idempotent("none", 1003, 4, &c, 7), s.idempotent("none", 1002, 1, &b, 3)),
					repeat(8, func(int) []step { return on(0, s.idempotent("none", 1001, 0, &a, 1)) }),
					on(0, first)) // a retry that is older than the five batches
			},
		},
		{
			Case: golden.Case{
				Name: "idempotent-segments", Compare: golden.Bytes, Config: smallSegments,
				About: "two producers over several segments: a snapshot at each roll",
			},
			steps: func(s *source) []step {
				var a, b int32
				return join(repeat(30, func(i int) []step {
					return on(0, s.idempotent("none", 7, 0, &a, 1+i%3), s.idempotent("gzip", 8, 2, &b, 4))
				}), restart(), on(0, s.idempotent("none", 7, 0, &a, 5)))
			},
		},
		{
			Case: golden.Case{
				Name: "idempotent-deleted-records", Compare: golden.Bytes, Config: smallSegments,
				About: "producers outlive the deletion of their records",
			},
			steps: func(s *source) []step {
				var a, b int32
				return join(on(0, s.idempotent("none", 7, 0, &a, 4)), repeat(30, func(i int) []step {
					return on(0, s.idempotent("none", 8, 0, &b, 4))
				}), deleteRecords(0, 100), restart(), on(0, s.idempotent("none", 7, 0, &a, 1)))
			},
		},
	}
}

func recompressionPlans() []plan {
	var all []plan
	for _, target := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		compare := golden.Decoded
		if target == "uncompressed" {
			compare = golden.Bytes
		}
		all = append(all, plan{
			Case: golden.Case{
				Name: "recompress-" + target, Compare: compare, Config: map[string]string{"compression.type": target},
				About: "batches of each codec into a topic with compression.type=" + target,
			},
			steps: func(s *source) []step {
				var sequence int32
				return join(repeat(len(codecs), func(i int) []step {
					return on(0, s.plain(codecs[i], 50, 80), s.odd(codecs[i]), s.idempotent(codecs[i], 9, 0, &sequence, 3))
				}))
			},
		})
	}
	return all
}

func uncleanPlans() []plan {
	steps := func(s *source) []step {
		var a, b int32
		return join(repeat(20, func(i int) []step {
			return on(0, s.idempotent("none", 7, 0, &a, 1+i%3), s.plain("lz4", 20, 40))
		}), restart(), repeat(20, func(i int) []step {
			return on(0, s.idempotent("none", 8, 0, &b, 4), s.plain("none", 2, 100))
		}))
	}
	return []plan{
		{
			Case: golden.Case{
				Name: "unclean", Compare: golden.Bytes, Config: smallSegments, Unclean: true,
				About: "killed: preallocated indexes, no snapshot of the end, a recovery point of the last clean stop",
			},
			steps: steps,
		},
		{
			Case: golden.Case{
				Name: "unclean-torn", Compare: golden.Read, Config: smallSegments, Unclean: true,
				About: "killed, then the last batch cut short and an index of an earlier, recovered segment removed",
			},
			steps: steps,
			mangle: func(logDir string) error {
				logs, err := filepath.Glob(filepath.Join(logDir, "golden-0", "*.log"))
				if err != nil {
					return err
				}
				if len(logs) < 3 {
					return errors.New("too few segments to damage")
				}
				last := logs[len(logs)-1]
				fi, err := os.Stat(last)
				if err != nil {
					return err
				}
				if err := os.Truncate(last, fi.Size()-30); err != nil {
					return err
				}
				index := logs[len(logs)-2]
				err = os.Remove(index[:len(index)-len(".log")] + ".index")
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			},
		},
	}
}

func readPlans() []plan {
	return []plan{
		{
			Case: golden.Case{
				Name: "transactions", Compare: golden.Read, Config: smallSegments,
				About: "committed, aborted and open transactions with their markers and .txnindex; plain records between",
			},
			steps: func(s *source) []step {
				var seq int32
				steps := repeat(12, func(i int) []step {
					b := s.idempotent("none", 0, 0, &seq, 3)
					b.Transactional = true
					return join([]step{{transaction: &transaction{id: "t", parts: []part{{0, b}}, commit: i%3 != 1}}}, on(0, s.plain("none", 1, 400)))
				})
				open := s.idempotent("none", 0, 0, &seq, 2)
				open.Transactional = true
				return join(steps, []step{{transaction: &transaction{id: "t", parts: []part{{0, open}}, open: true}}}, on(0, s.plain("none", 1, 400)))
			},
		},
		{
			Case: golden.Case{
				Name: "transactional-offsets", Compare: golden.Read,
				About: "offsets of two groups in committed, aborted and open transactions: __consumer_offsets and __transaction_state",
			},
			steps: func(s *source) []step {
				return join(on(0, s.plain("none", 3, 10)), []step{
					{offsets: &offsets{id: "t", group: "g", offset: 1, metadata: "said", commit: true}},
					{offsets: &offsets{id: "t", group: "g", offset: 2}},
					{offsets: &offsets{id: "t", group: "h", offset: 3, commit: true}},
					{offsets: &offsets{id: "t", group: "g", offset: 4, open: true}},
				})
			},
		},
		{
			Case: golden.Case{
				Name: "format-v1", Compare: golden.Read, Config: with(smallSegments, "message.format.version", "0.10.2"),
				About: "message format v1, plain and gzip",
			},
			steps: func(s *source) []step {
				return repeat(10, func(int) []step { return on(0, s.plain("none", 5, 100), s.plain("gzip", 20, 100)) })
			},
		},
		{
			Case: golden.Case{
				Name: "format-v0", Compare: golden.Read, Config: with(smallSegments, "message.format.version", "0.9.0"),
				About: "message format v0, plain and gzip",
			},
			steps: func(s *source) []step {
				return repeat(10, func(int) []step { return on(0, s.plain("none", 5, 100), s.plain("gzip", 20, 100)) })
			},
		},
	}
}
