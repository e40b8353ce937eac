package record

import (
	"encoding/binary"
	"fmt"

	"gregor/wire/compress"
)

// KeyValue is one header of a record to build.
type KeyValue struct {
	Key   string
	Value []byte // nil for null
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

	buf          []byte // header space and uncompressed records
	count        int32
	firstTS      int64
	maxTimestamp int64
}

// NewBuilder is a builder for an uncompressed batch without a producer id and leader epoch.
func NewBuilder() *Builder {
	return &Builder{LeaderEpoch: NoLeaderEpoch, ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch, BaseSequence: NoSequence}
}

// Reset makes a builder as NewBuilder does, in the memory of the batch that was built before: that is not good any more.
func (b *Builder) Reset() {
	*b = Builder{LeaderEpoch: NoLeaderEpoch, ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch, BaseSequence: NoSequence, buf: b.buf[:0]}
}

// Cap is how much memory a builder that is reset keeps.
func (b *Builder) Cap() int { return cap(b.buf) }

func (b *Builder) grow(n int) {
	if cap(b.buf) < HeaderSize {
		b.buf = make([]byte, HeaderSize, HeaderSize+n+n/32+64)
	}
	b.buf = b.buf[:HeaderSize] // the header is written over it
}

// begin notes a record's timestamp and appends what precedes its key: length, attributes and deltas. rest is the size of what
// follows.
func (b *Builder) begin(ts int64, rest int) {
	if b.count == 0 {
		b.grow(rest)
		b.firstTS, b.maxTimestamp = ts, NoTimestamp
	}
	if ts > b.maxTimestamp {
		b.maxTimestamp = ts
	}
	delta := ts - b.firstTS
	size := 1 + varintSize(delta) + varintSize(int64(b.count)) + rest
	b.buf = appendVarint(b.buf, int64(size))
	b.buf = append(b.buf, 0)
	b.buf = appendVarint(b.buf, delta)
	b.buf = appendVarint(b.buf, int64(b.count))
	b.count++
}

// Append adds a record at the next offset. A nil key or value is null.
func (b *Builder) Append(timestamp int64, key, value []byte, headers ...KeyValue) {
	rest := bytesSize(key) + bytesSize(value) + varintSize(int64(len(headers)))
	for _, h := range headers {
		rest += varintSize(int64(len(h.Key))) + len(h.Key) + bytesSize(h.Value)
	}
	b.begin(timestamp, rest)
	b.buf = appendBytes(b.buf, key)
	b.buf = appendBytes(b.buf, value)
	b.buf = appendVarint(b.buf, int64(len(headers)))
	for _, h := range headers {
		b.buf = appendVarint(b.buf, int64(len(h.Key)))
		b.buf = append(b.buf, h.Key...)
		b.buf = appendBytes(b.buf, h.Value)
	}
}

// appendRaw adds a record from the parsed body of another one.
func (b *Builder) appendRaw(ts int64, rec []byte, f *fields) {
	key, value := f.key(rec), f.value(rec)
	headers := rec[f.headersPos:]
	b.begin(ts, bytesSize(key)+bytesSize(value)+varintSize(int64(f.headers))+len(headers))
	b.buf = appendBytes(b.buf, key)
	b.buf = appendBytes(b.buf, value)
	b.buf = appendVarint(b.buf, int64(f.headers))
	b.buf = append(b.buf, headers...)
}

// Build returns the encoded batch, nil if nothing was appended.
func (b *Builder) Build() (Batch, error) {
	if b.count == 0 {
		return nil, nil
	}
	out := b.buf
	if b.Codec != compress.None {
		var err error
		out, err = compress.Compress(make([]byte, HeaderSize, HeaderSize+len(b.buf)/2+1024), b.Codec, b.buf[HeaderSize:])
		if err != nil {
			return nil, fmt.Errorf("compressing a batch by %s: %w", b.Codec, err)
		}
	}
	b.header(out)
	return out, nil
}

func (b *Builder) header(out Batch) {
	attrs := uint16(b.Codec)
	maxTS := b.maxTimestamp
	if b.TimestampType == LogAppendTime {
		attrs |= AttrLogAppendTime
		maxTS = b.LogAppendTime
	}
	if b.Transactional {
		attrs |= AttrTransactional
	}
	if b.Control {
		attrs |= AttrControl
	}
	be := binary.BigEndian
	be.PutUint64(out, uint64(b.BaseOffset))
	be.PutUint32(out[posLength:], uint32(len(out)-LogOverhead))
	be.PutUint32(out[posLeaderEpoch:], uint32(b.LeaderEpoch))
	out[posMagic] = 2
	be.PutUint16(out[posAttributes:], attrs)
	be.PutUint32(out[posLastOffsetDelta:], uint32(b.count-1))
	be.PutUint64(out[posBaseTimestamp:], uint64(b.firstTS))
	be.PutUint64(out[posMaxTimestamp:], uint64(maxTS))
	be.PutUint64(out[posProducerID:], uint64(b.ProducerID))
	be.PutUint16(out[posProducerEpoch:], uint16(b.ProducerEpoch))
	be.PutUint32(out[posBaseSequence:], uint32(b.BaseSequence))
	be.PutUint32(out[posCount:], uint32(b.count))
	be.PutUint32(out[posCRC:], out.ComputeCRC())
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1
	}
	return append(appendVarint(dst, int64(len(b))), b...)
}
