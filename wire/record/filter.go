package record

import (
	"encoding/binary"
	"fmt"
	"slices"

	"gregor/wire/compress"
)

// Filter takes records out of batches, as the log cleaner does. It keeps its buffers from one batch to the next; it is not safe for
// concurrent use.
type Filter struct {
	it   Iter
	all  []Record
	keep []bool
	kept []Record
	buf  []byte
	set  setBuilder
}

// Close gives the buffers back.
func (f *Filter) Close() {
	f.it.Close()
	f.all, f.keep, f.kept, f.buf = nil, nil, nil, nil
}

// Batch appends to dst what is left of one whole batch, or legacy entry, when only the records that choose marks in keep are left. A batch of which
// everything stays is copied as it is, unless it is a message that holds others of another format (KAFKA-4298), which is put right; one of
// which nothing stays adds nothing. What is rewritten keeps its place: base offset, last
// offset and base sequence are the old ones, and so is the codec. limit bounds what it may decompress. The CRC is the caller's to check.
func (f *Filter) Batch(dst, batch []byte, limit int, choose func(records []Record, keep []bool)) (out []byte, kept, total int, err error) {
	f.all, f.kept = f.all[:0], f.kept[:0]
	f.it.Reset(batch, limit)
	for f.it.Next() {
		f.all = append(f.all, f.it.Record)
	}
	if err := f.it.Err(); err != nil {
		return dst, 0, len(f.all), err
	}
	total = len(f.all)
	f.keep = slices.Grow(f.keep[:0], total)[:total]
	clear(f.keep)
	choose(f.all, f.keep)
	for i, yes := range f.keep {
		if yes {
			f.kept = append(f.kept, f.all[i])
		}
	}
	switch kept = len(f.kept); {
	case kept == 0:
		return dst, 0, total, nil
	case kept == total && !f.it.mixed:
		return append(dst, batch...), kept, total, nil
	case f.it.header.Magic < 2:
		out, err = f.legacy(dst)
	default:
		out, err = f.rewrite(dst, batch)
	}
	return out, kept, total, err
}

// rewrite encodes the kept records in the place of b. Timestamps count from the first kept record, as Kafka's builder has them.
func (f *Filter) rewrite(dst []byte, b Batch) ([]byte, error) {
	base, baseTS, maxTS := b.BaseOffset(), f.kept[0].Timestamp, NoTimestamp
	raw := f.buf[:0]
	for i := range f.kept {
		r := &f.kept[i]
		maxTS = max(maxTS, r.Timestamp)
		ts, off := r.Timestamp-baseTS, r.Offset-base
		size := 1 + varintSize(ts) + varintSize(off) + bytesSize(r.Key) + bytesSize(r.Value) + varintSize(int64(r.Headers.n)) + len(r.Headers.raw)
		raw = appendVarint(raw, int64(size))
		raw = append(raw, 0)
		raw = appendVarint(raw, ts)
		raw = appendVarint(raw, off)
		raw = appendBytes(raw, r.Key)
		raw = appendBytes(raw, r.Value)
		raw = appendVarint(raw, int64(r.Headers.n))
		raw = append(raw, r.Headers.raw...)
	}
	f.buf = raw
	if b.TimestampType() == LogAppendTime {
		maxTS = b.MaxTimestamp()
	}
	at := len(dst)
	dst = append(dst, b[:HeaderSize]...)
	if codec := b.Codec(); codec == compress.None {
		dst = append(dst, raw...)
	} else {
		var err error
		if dst, err = compress.Compress(dst, codec, raw); err != nil {
			return dst[:at], fmt.Errorf("compressing a batch by %s: %w", codec, err)
		}
	}
	out := Batch(dst[at:])
	be := binary.BigEndian
	be.PutUint32(out[posLength:], uint32(len(out)-LogOverhead))
	be.PutUint64(out[posBaseTimestamp:], uint64(baseTS))
	be.PutUint64(out[posMaxTimestamp:], uint64(maxTS))
	be.PutUint32(out[posCount:], uint32(len(f.kept)))
	be.PutUint32(out[posCRC:], out.ComputeCRC())
	return dst, nil
}

// legacy encodes the kept messages of a compressed entry. Those of format v1 count from the first one, and the entry has the last
// one's offset; those of v0 have their offsets.
func (f *Filter) legacy(dst []byte) ([]byte, error) {
	h := &f.it.header
	at := len(dst)
	if err := f.set.begin(dst, h.Magic, h.Codec(), h.TimestampType(), h.MaxTimestamp, f.kept[0].Offset); err != nil {
		return dst, err
	}
	for i := range f.kept {
		r := &f.kept[i]
		if err := f.set.add(r.Offset, r.Timestamp, r.Key, r.Value); err != nil {
			return dst[:at], err
		}
	}
	return f.set.end()
}

// AppendEmpty appends what a producer's last batch is when all its records are gone: a header that remembers offsets, sequence,
// timestamp and what kind of batch it was.
func AppendEmpty(dst []byte, b Batch) []byte {
	at := len(dst)
	dst = append(dst, b[:HeaderSize]...)
	out := Batch(dst[at:])
	be := binary.BigEndian
	be.PutUint32(out[posLength:], HeaderSize-LogOverhead)
	be.PutUint16(out[posAttributes:], uint16(b.Attributes())&(AttrLogAppendTime|AttrTransactional|AttrControl))
	noTimestamp := NoTimestamp
	be.PutUint64(out[posBaseTimestamp:], uint64(noTimestamp))
	be.PutUint32(out[posCount:], 0)
	be.PutUint32(out[posCRC:], out.ComputeCRC())
	return dst
}
