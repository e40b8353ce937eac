package record

import (
	"fmt"
	"sync"

	"gregor/wire/compress"
)

// Record is one record; its slices alias the batch, or the iterator's decompression buffer until Close.
type Record struct {
	Offset    int64
	Timestamp int64
	Sequence  int32  // NoSequence without a producer id
	Key       []byte // nil for a null key
	Value     []byte // nil for a null value
	Headers   RawHeaders
	Size      int // bytes of the encoded record, its length prefix included
}

// RawHeaders are a record's headers, undecoded but checked.
type RawHeaders struct {
	n   int32
	raw []byte
}

// Len is the number of headers.
func (h RawHeaders) Len() int { return int(h.n) }

// Next splits off the first header; call it only while Len is not 0.
func (h *RawHeaders) Next() (key string, value []byte) {
	n, pos, p := field(h.raw, 0)
	key = string(h.raw[pos : pos+int(n)])
	n, pos, p = field(h.raw, p)
	value = span(h.raw, pos, n)
	h.raw = h.raw[p:]
	h.n--
	return key, value
}

// Iter walks the records of one batch or legacy entry of any format without allocating per record. Use:
//
//	it := record.NewIter(b, limit); defer it.Close(); for it.Next() { it.Record }; it.Err()
type Iter struct {
	Record Record

	err    error
	rest   []byte // undecoded
	left   int32  // v2: records still declared
	header Header
	useMax bool  // LogAppendTime: every record has the header's max timestamp
	shift  int64 // legacy: what to add to an inner offset
	inner  bool  // legacy: rest is what a compressed message held
	mixed  bool  // legacy: a message within a compressed one has another format than that
	huge   bool  // whatever it unpacks to was found to be too much for a pooled buffer
	pooled *[]byte
}

var iterBuffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooledBuffer keeps one huge batch from pinning its buffer for ever.
const maxPooledBuffer = 4 << 20

// NewIter starts at the first record of one whole batch or legacy entry; limit bounds what it may decompress. The CRC is the
// caller's to check.
func NewIter(batch []byte, limit int) *Iter {
	it := &Iter{}
	it.Reset(batch, limit)
	return it
}

// Reset starts anew on another batch, keeping the decompression buffer.
func (it *Iter) Reset(batch []byte, limit int) {
	*it = Iter{pooled: it.pooled}
	it.start(batch, limit)
}

// resetHuge is Reset for a batch that unpacks to more than a pooled buffer should hold; the caller has hugeRewrite.
func (it *Iter) resetHuge(batch []byte) {
	*it = Iter{pooled: it.pooled, huge: true}
	it.start(batch, maxRewritten)
}

func (it *Iter) start(batch []byte, limit int) {
	it.header, it.err = ParseHeader(batch)
	if it.err != nil {
		return
	}
	if it.header.Size() > len(batch) {
		it.err = ErrShort
		return
	}
	batch = batch[:it.header.Size()]
	it.useMax = it.header.TimestampType() == LogAppendTime
	if it.header.Magic < 2 {
		it.startLegacy(batch, limit)
		return
	}
	it.left = it.header.Count
	if it.left < 0 {
		it.err = &InvalidRecordError{Message: fmt.Sprintf("Found invalid record count %d in magic v2 batch", it.left)}
		return
	}
	if it.left == 0 {
		return
	}
	it.rest = batch[HeaderSize:]
	if codec := it.header.Codec(); codec != compress.None {
		it.rest, it.err = it.decompress(codec, it.rest, limit)
	}
}

func (it *Iter) decompress(codec compress.Codec, src []byte, limit int) ([]byte, error) {
	if !codec.Valid() && codec != compress.LZ4V0 {
		return nil, &UndecodableError{Reason: fmt.Sprintf("unknown compression type id %d", codec)}
	}
	if it.huge {
		out, err := unpackHuge(codec, src)
		if err != nil {
			return nil, &UndecodableError{Reason: codec.String(), Err: err}
		}
		return out, nil
	}
	if it.pooled == nil {
		it.pooled = iterBuffers.Get().(*[]byte)
	}
	out, err := compress.Decompress((*it.pooled)[:0], codec, src, limit)
	if cap(out) > cap(*it.pooled) {
		*it.pooled = out
	}
	if err != nil {
		return nil, &UndecodableError{Reason: codec.String(), Err: err}
	}
	return out, nil
}

// Next moves to the next record and reports whether there is one.
func (it *Iter) Next() bool {
	switch {
	case it.err != nil:
		return false
	case it.header.Magic < 2:
		return it.nextLegacy()
	case it.left == 0:
		return false
	}
	size, p := readVarint(it.rest, 0)
	if p < 0 || size < 0 || int(size) > len(it.rest)-p {
		return it.fail(errPremature)
	}
	rec := it.rest[p : p+int(size)]
	var f fields
	if err := f.parse(rec); err != nil {
		return it.fail(err.Error())
	}
	it.rest = it.rest[p+int(size):]
	if it.left--; it.left == 0 && len(it.rest) > 0 {
		return it.fail(errRemaining)
	}
	r := &it.Record
	r.Offset = it.header.BaseOffset + int64(f.offsetDelta)
	r.Timestamp = it.header.BaseTimestamp + f.tsDelta
	if it.useMax {
		r.Timestamp = it.header.MaxTimestamp
	}
	r.Sequence = NoSequence
	if it.header.BaseSequence >= 0 {
		r.Sequence = IncrementSequence(it.header.BaseSequence, f.offsetDelta)
	}
	r.Key, r.Value = f.key(rec), f.value(rec)
	r.Headers = RawHeaders{n: f.headers, raw: rec[f.headersPos:]}
	r.Size = p + int(size)
	return true
}

func (it *Iter) fail(msg string) bool {
	it.err = &InvalidRecordError{Message: msg}
	return false
}

// Err is why Next stopped early, nil at a regular end.
func (it *Iter) Err() error { return it.err }

// Close gives the decompression buffer back; the records' slices end with it.
func (it *Iter) Close() {
	if it.pooled != nil {
		if cap(*it.pooled) <= maxPooledBuffer {
			iterBuffers.Put(it.pooled)
		}
		it.pooled = nil
	}
	it.rest = nil
}
