package record

import "gregor/wire/compress"

// KeyValue is one header of a record to build.
type KeyValue struct {
	Key   string
	Value []byte
}

// Builder encodes a v2 batch as Apache Kafka's MemoryRecordsBuilder does. Set the exported fields first, Append, then Build.
type Builder struct {
	BaseOffset    int64
	LeaderEpoch   int32
	Codec         compress.Codec
	TimestampType TimestampType
	LogAppendTime int64
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool
}

// NewBuilder is a builder for an uncompressed batch without a producer id and leader epoch.
func NewBuilder() *Builder {
	return &Builder{LeaderEpoch: NoLeaderEpoch, ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch, BaseSequence: NoSequence}
}

// Append adds a record at the next offset. A nil key or value is null.
func (b *Builder) Append(timestamp int64, key, value []byte, headers ...KeyValue) {}

// Build returns the encoded batch, nil if nothing was appended.
func (b *Builder) Build() (Batch, error) { return nil, nil }
