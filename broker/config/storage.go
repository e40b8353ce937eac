package config

import (
	"strings"

	"gregor/storage"
	"gregor/wire/compress"
)

// Storage converts the settings in effect into those of a log.
func (t *Topic) Storage() storage.Config {
	compacted, deleted := t.Policy()
	c := storage.Config{
		SegmentBytes:             int32(t.Long("segment.bytes")),
		SegmentMs:                t.Long("segment.ms"),
		SegmentJitterMs:          t.Long("segment.jitter.ms"),
		SegmentIndexBytes:        int32(t.Long("segment.index.bytes")),
		IndexIntervalBytes:       int32(t.Long("index.interval.bytes")),
		Delete:                   deleted,
		Compact:                  compacted,
		RetentionMs:              t.Long("retention.ms"),
		RetentionBytes:           t.Long("retention.bytes"),
		FlushMessages:            t.Long("flush.messages"),
		FlushMs:                  t.Long("flush.ms"),
		FileDeleteDelayMs:        t.Long("file.delete.delay.ms"),
		Preallocate:              t.Bool("preallocate"),
		DownConvert:              t.Bool("message.downconversion.enable"),
		MaxMessageBytes:          int32(t.Long("max.message.bytes")),
		LogAppendTime:            t.Get("message.timestamp.type") == "LogAppendTime",
		TimestampDifferenceMaxMs: t.Long("message.timestamp.difference.max.ms"),
		DeleteRetentionMs:        t.Long("delete.retention.ms"),
		MinCompactionLagMs:       t.Long("min.compaction.lag.ms"),
		MaxCompactionLagMs:       t.Long("max.compaction.lag.ms"),
		MinCleanableDirtyRatio:   t.Double("min.cleanable.dirty.ratio"),
	}
	if v, err := ParseVersion(t.Get("message.format.version")); err == nil {
		c.Magic = v.RecordVersion()
	}
	switch strings.ToLower(t.Get("compression.type")) {
	case "uncompressed":
		c.Compression = int8(compress.None)
	case "gzip":
		c.Compression = int8(compress.Gzip)
	case "snappy":
		c.Compression = int8(compress.Snappy)
	case "lz4":
		c.Compression = int8(compress.LZ4)
	case "zstd":
		c.Compression = int8(compress.Zstd)
	default:
		c.Compression = storage.CompressionProducer
	}
	return c
}

// Cleaner converts the settings in effect into those of the log cleaner.
func (b *Broker) Cleaner() storage.CleanerConfig {
	c := storage.CleanerConfig{
		Threads:           int(b.long("log.cleaner.threads")),
		DedupeBufferBytes: b.long("log.cleaner.dedupe.buffer.size"),
		IOBufferBytes:     int(b.long("log.cleaner.io.buffer.size")),
		LoadFactor:        b.double("log.cleaner.io.buffer.load.factor"),
		MaxBytesPerSecond: b.double("log.cleaner.io.max.bytes.per.second"),
		Backoff:           b.ms("log.cleaner.backoff.ms"),
	}
	if !b.bool("log.cleaner.enable") {
		c.Threads = 0
	}
	return c
}
