package record

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"gregor/wire/compress"
)

// Layout of a v2 batch. The first 17 bytes are in the same places in every format.
const (
	LogOverhead = 12 // base offset and length, in front of what the length counts
	PrefixSize  = 17 // enough to know offset, length and magic of any format
	HeaderSize  = 61 // a whole v2 header

	posLength          = 8
	posLeaderEpoch     = 12
	posMagic           = 16
	posCRC             = 17
	posAttributes      = 21
	posLastOffsetDelta = 23
	posBaseTimestamp   = 27
	posMaxTimestamp    = 35
	posProducerID      = 43
	posProducerEpoch   = 51
	posBaseSequence    = 53
	posCount           = 57
)

// Bits of the attributes of a v2 batch (the low three are the codec, the fourth also exists in v1).
const (
	AttrCodecMask     = 0x07
	AttrLogAppendTime = 0x08
	AttrTransactional = 0x10
	AttrControl       = 0x20
	attrKnown         = 0x3f
)

// Values that mean "none" in the fields of a batch.
const (
	NoTimestamp     int64 = -1
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
	NoLeaderEpoch   int32 = -1
)

// TimestampType says who set a batch's timestamps.
type TimestampType uint8

const (
	CreateTime TimestampType = iota
	LogAppendTime
)

func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is the bytes of exactly one whole v2 batch, at least HeaderSize long. Get one from Next, Header.Batch or a Builder.
type Batch []byte

func (b Batch) BaseOffset() int64      { return int64(binary.BigEndian.Uint64(b)) }
func (b Batch) LeaderEpoch() int32     { return int32(binary.BigEndian.Uint32(b[posLeaderEpoch:])) }
func (b Batch) Magic() int8            { return int8(b[posMagic]) }
func (b Batch) CRC() uint32            { return binary.BigEndian.Uint32(b[posCRC:]) }
func (b Batch) Attributes() int16      { return int16(binary.BigEndian.Uint16(b[posAttributes:])) }
func (b Batch) Codec() compress.Codec  { return compress.Codec(b[posAttributes+1] & AttrCodecMask) }
func (b Batch) IsTransactional() bool  { return b[posAttributes+1]&AttrTransactional != 0 }
func (b Batch) IsControl() bool        { return b[posAttributes+1]&AttrControl != 0 }
func (b Batch) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(b[posLastOffsetDelta:])) }
func (b Batch) BaseTimestamp() int64   { return int64(binary.BigEndian.Uint64(b[posBaseTimestamp:])) }
func (b Batch) MaxTimestamp() int64    { return int64(binary.BigEndian.Uint64(b[posMaxTimestamp:])) }
func (b Batch) ProducerID() int64      { return int64(binary.BigEndian.Uint64(b[posProducerID:])) }
func (b Batch) ProducerEpoch() int16   { return int16(binary.BigEndian.Uint16(b[posProducerEpoch:])) }
func (b Batch) BaseSequence() int32    { return int32(binary.BigEndian.Uint32(b[posBaseSequence:])) }
func (b Batch) Count() int32           { return int32(binary.BigEndian.Uint32(b[posCount:])) }

// Length is the size of the whole batch in bytes, the 12 in front included.
func (b Batch) Length() int { return LogOverhead + int(int32(binary.BigEndian.Uint32(b[posLength:]))) }

// LastOffset is the offset of the last record (inclusive); NextOffset is the one after it.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// HasProducerID reports whether an idempotent or transactional producer wrote the batch.
func (b Batch) HasProducerID() bool { return b.ProducerID() > NoProducerID }

// LastSequence is the sequence number of the last record, or NoSequence. Sequences wrap from MaxInt32 to 0.
func (b Batch) LastSequence() int32 {
	if b.BaseSequence() == NoSequence {
		return NoSequence
	}
	return IncrementSequence(b.BaseSequence(), b.LastOffsetDelta())
}

func (b Batch) TimestampType() TimestampType {
	if b[posAttributes+1]&AttrLogAppendTime != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// SetBaseOffset and SetLeaderEpoch patch fields that the CRC does not cover.
func (b Batch) SetBaseOffset(o int64)  { binary.BigEndian.PutUint64(b, uint64(o)) }
func (b Batch) SetLeaderEpoch(e int32) { binary.BigEndian.PutUint32(b[posLeaderEpoch:], uint32(e)) }

// ComputeCRC is the CRC-32C that the batch's bytes from the attributes on have; ValidCRC compares it with the stored one.
func (b Batch) ComputeCRC() uint32 { return crc32.Checksum(b[posAttributes:], castagnoli) }
func (b Batch) ValidCRC() bool     { return b.ComputeCRC() == b.CRC() }

// IncrementSequence adds delta to a sequence number, wrapping from MaxInt32 to 0.
func IncrementSequence(seq, delta int32) int32 {
	if seq > math.MaxInt32-delta {
		return delta - (math.MaxInt32 - seq) - 1
	}
	return seq + delta
}

// DecrementSequence undoes IncrementSequence.
func DecrementSequence(seq, delta int32) int32 {
	if seq < delta {
		return math.MaxInt32 - (delta - seq) + 1
	}
	return seq - delta
}
