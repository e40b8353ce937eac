package record

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"gregor/wire/compress"
)

var rewriteBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Batches that unpack to more than easyRewritten are rewritten one at a time, and what that took is given back before the next: a
// megabyte of gzip is a gigabyte of zeros, and many clients may send some.
const easyRewritten = 8 << 20

var hugeRewrite sync.Mutex

// unpackHuge unpacks into memory of the right size, found by unpacking into nothing first.
func unpackHuge(codec compress.Codec, packed []byte) ([]byte, error) {
	r, err := compress.NewReader(codec, packed)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, maxRewritten+1))
	r.Close()
	if err != nil {
		return nil, err
	}
	if n > maxRewritten {
		return nil, compress.ErrTooLarge
	}
	return compress.Decompress(make([]byte, 0, n+1), codec, packed, maxRewritten)
}

// rewrite builds a new batch of the same, already checked records: compressed by target, offsets in sequence from 0, timestamps
// relative to the first record's, attributes cleared. It is the slow path of topics with a compression.type of their own, and of
// old clients that number the records of a compressed batch wrongly.
func rewrite(b Batch, target compress.Codec, opt *ValidateOptions) (Batch, error) {
	raw := []byte(b[HeaderSize:])
	if codec := b.Codec(); codec != compress.None {
		pooled := rewriteBuffers.Get().(*[]byte)
		defer rewriteBuffers.Put(pooled)
		packed := raw
		var err error
		raw, err = compress.Decompress((*pooled)[:0], codec, packed, easyRewritten)
		if cap(raw) <= easyRewritten {
			*pooled = raw
		}
		if errors.Is(err, compress.ErrTooLarge) {
			hugeRewrite.Lock()
			defer hugeRewrite.Unlock()
			defer debug.FreeOSMemory()
			raw, err = unpackHuge(codec, packed)
		}
		if err != nil {
			return nil, &UndecodableError{Reason: codec.String(), Err: err}
		}
	}
	nb := Builder{
		LeaderEpoch:   NoLeaderEpoch,
		Codec:         target,
		TimestampType: CreateTime,
		ProducerID:    b.ProducerID(),
		ProducerEpoch: b.ProducerEpoch(),
		BaseSequence:  b.BaseSequence(),
		Transactional: b.IsTransactional(),
	}
	nb.grow(len(raw))
	baseTS := b.BaseTimestamp()
	for p, i := 0, int32(0); i < b.Count(); i++ {
		size, q := readVarint(raw, p)
		if q < 0 || size < 0 || int(size) > len(raw)-q {
			return nil, &UndecodableError{Reason: "record changed while it was rewritten"}
		}
		rec := raw[q : q+int(size)]
		var f fields
		if err := f.parse(rec); err != nil {
			return nil, &InvalidRecordError{Message: err.Error()}
		}
		ts := baseTS + f.tsDelta
		if ts < 0 && ts != NoTimestamp {
			return nil, &UndecodableError{Reason: fmt.Sprintf("invalid negative timestamp %d of record %d", ts, i)}
		}
		nb.appendRaw(ts, rec, &f)
		p = q + int(size)
	}
	out, err := nb.Build()
	if err != nil {
		return nil, err
	}
	if opt.MaxBatchBytes > 0 && len(out) > opt.MaxBatchBytes {
		return nil, &RecordTooLargeError{Size: len(out), Max: opt.MaxBatchBytes}
	}
	return out, nil
}
