package storage

import (
	"math"
	"math/rand/v2"
)

// CompressionProducer keeps the codec that the producer chose (compression.type=producer).
const CompressionProducer int8 = -1

// Config holds the effective settings of a log. It is never changed in place: an update swaps the whole struct.
type Config struct {
	SegmentBytes       int32 // segment.bytes
	SegmentMs          int64 // segment.ms
	SegmentJitterMs    int64 // segment.jitter.ms
	SegmentIndexBytes  int32 // segment.index.bytes: limit of either index of a segment
	IndexIntervalBytes int32 // index.interval.bytes

	Delete         bool  // cleanup.policy contains delete
	Compact        bool  // cleanup.policy contains compact
	RetentionMs    int64 // retention.ms, -1: for ever
	RetentionBytes int64 // retention.bytes, -1: any size

	FlushMessages     int64 // flush.messages
	FlushMs           int64 // flush.ms
	FileDeleteDelayMs int64 // file.delete.delay.ms
	Preallocate       bool  // preallocate: accepted, without effect (Kafka trims what it preallocates)

	Magic       int8 // message.format.version: the message format in which clients' records are stored, 0 to 2
	DownConvert bool // message.downconversion.enable: for readers that know older formats only

	MaxMessageBytes          int32 // max.message.bytes
	LogAppendTime            bool  // message.timestamp.type=LogAppendTime
	TimestampDifferenceMaxMs int64 // message.timestamp.difference.max.ms
	Compression              int8  // compression.type: a codec's number, 0 for uncompressed, or CompressionProducer

	DeleteRetentionMs      int64   // delete.retention.ms
	MinCompactionLagMs     int64   // min.compaction.lag.ms
	MaxCompactionLagMs     int64   // max.compaction.lag.ms
	MinCleanableDirtyRatio float64 // min.cleanable.dirty.ratio
}

// DefaultConfig returns Kafka's defaults.
func DefaultConfig() Config {
	return Config{
		SegmentBytes:             1 << 30,
		SegmentMs:                7 * 24 * 3600 * 1000,
		SegmentIndexBytes:        10 << 20,
		IndexIntervalBytes:       4096,
		Delete:                   true,
		RetentionMs:              7 * 24 * 3600 * 1000,
		RetentionBytes:           -1,
		FlushMessages:            math.MaxInt64,
		FlushMs:                  math.MaxInt64,
		FileDeleteDelayMs:        60_000,
		Magic:                    2,
		DownConvert:              true,
		MaxMessageBytes:          1048588,
		TimestampDifferenceMaxMs: math.MaxInt64,
		Compression:              CompressionProducer,
		DeleteRetentionMs:        24 * 3600 * 1000,
		MaxCompactionLagMs:       math.MaxInt64,
		MinCleanableDirtyRatio:   0.5,
	}
}

// jitter draws a segment's roll jitter, as each new segment has its own.
func (c *Config) jitter() int64 {
	if c.SegmentJitterMs == 0 {
		return 0
	}
	return int64(rand.Int32()) % min(c.SegmentJitterMs, c.SegmentMs)
}
