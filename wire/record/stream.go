package record

import (
	"errors"
	"io"
	"sync"

	"gregor/wire/compress"
)

// streamBuffer is the window through which decompressed records are checked.
const streamBuffer = 64 << 10

var streamBuffers = sync.Pool{New: func() any { b := make([]byte, streamBuffer); return &b }}

// decompress runs the walk over compressed records without ever holding more than a window of them.
func (w *walk) decompress(codec compress.Codec, src []byte) error {
	r, err := compress.NewReader(codec, src)
	if err != nil {
		return &UndecodableError{Reason: codec.String(), Err: err}
	}
	defer r.Close()
	pooled := streamBuffers.Get().(*[]byte)
	defer streamBuffers.Put(pooled)
	s := stream{r: r, codec: codec, buf: *pooled}
	for {
		if err := s.fill(); err != nil {
			return err
		}
		n, err := w.run(s.buf[s.r0:s.r1], s.eof)
		if err != nil {
			return err
		}
		s.r0 += n
		if w.seen == w.count {
			return s.end(w)
		}
		if n == 0 && s.r1-s.r0 == len(s.buf) {
			if err := w.bigRecord(&s); err != nil {
				return err
			}
		}
	}
}

// stream is a window over decompressed bytes.
type stream struct {
	r      *compress.Reader
	codec  compress.Codec
	buf    []byte
	r0, r1 int // unread part
	total  int64
	eof    bool
}

// fill makes the window as full as it can be.
func (s *stream) fill() error {
	if s.r0 > 0 {
		copy(s.buf, s.buf[s.r0:s.r1])
		s.r1 -= s.r0
		s.r0 = 0
	}
	for !s.eof && s.r1 < len(s.buf) {
		n, err := s.r.Read(s.buf[s.r1:])
		s.r1 += n
		s.total += int64(n)
		switch {
		case err == io.EOF:
			s.eof = true
		case errors.Is(err, io.ErrUnexpectedEOF) && s.codec == compress.Gzip:
			return &InvalidRecordError{Message: errPremature} // Java's gzip stream says end of file, its others an error of their own
		case err != nil:
			return &UndecodableError{Reason: s.codec.String(), Err: err}
		case s.total > maxDecompressed:
			return &UndecodableError{Reason: s.codec.String(), Err: compress.ErrTooLarge}
		}
	}
	return nil
}

// end checks that nothing follows the last record. The reference asks for one more byte only, so corruption behind it passes.
func (s *stream) end(w *walk) error {
	if w.count == 0 {
		return nil
	}
	if s.r0 == s.r1 && !s.eof {
		if err := s.fill(); err != nil {
			return err
		}
	}
	if s.r0 < s.r1 {
		return &InvalidRecordError{Message: errRemaining}
	}
	return nil
}

// bigRecord reads one record that is larger than the window, field by field.
func (w *walk) bigRecord(s *stream) error {
	v := bigReader{s: s, left: 5}
	size := int64(v.varint())
	if v.err != nil {
		return v.err
	}
	if size < 0 {
		return w.truncated(int(size), 0)
	}
	v.left = size
	v.skip(1)
	tsDelta := v.varlong()
	delta := v.varint()
	keyLen := v.varint()
	v.skip(int64(keyLen))
	v.skip(int64(v.varint()))
	headers := v.varint()
	if v.err == nil && headers < 0 {
		return &InvalidRecordError{Message: "Found invalid number of record headers"}
	}
	for i := int32(0); i < headers && v.err == nil; i++ {
		n := v.varint()
		if v.err == nil && n < 0 {
			return &InvalidRecordError{Message: "Invalid negative header key size"}
		}
		v.skip(int64(n))
		v.skip(int64(v.varint()))
	}
	if v.err != nil {
		return v.err
	}
	if v.left != 0 {
		return &InvalidRecordError{Message: "Invalid record size: there are still bytes remaining"}
	}
	ts := w.baseTS + tsDelta
	if w.needKey || w.checkTS || w.rejectBatch {
		w.special(w.seen, ts, delta, keyLen >= 0)
	}
	if ts > w.maxTimestamp {
		w.maxTimestamp, w.indexOfMax = ts, w.seen
	}
	w.outOfOrder = w.outOfOrder || int64(delta)+w.baseOffset != int64(w.seen)
	w.seen++
	return nil
}

// bigReader reads numbers and skips bytes of one record; the first error sticks.
type bigReader struct {
	s    *stream
	left int64 // bytes of the record not yet read
	err  error
}

func (v *bigReader) number(read func(b []byte) (int64, int)) int64 {
	if v.err != nil {
		return 0
	}
	if v.s.r1-v.s.r0 < 10 {
		if v.err = v.s.fill(); v.err != nil {
			return 0
		}
	}
	b := v.s.buf[v.s.r0:v.s.r1]
	if int64(len(b)) > v.left {
		b = b[:v.left]
	}
	n, p := read(b)
	if p < 0 {
		v.err = &InvalidRecordError{Message: structureError(p).Error()}
		return 0
	}
	v.s.r0 += p
	v.left -= int64(p)
	return n
}

func (v *bigReader) varint() int32 {
	return int32(v.number(func(b []byte) (int64, int) { n, p := readVarint(b, 0); return int64(n), p }))
}

func (v *bigReader) varlong() int64 {
	return v.number(func(b []byte) (int64, int) { return readVarlong(b, 0) })
}

func (v *bigReader) skip(n int64) {
	if v.err != nil || n <= 0 {
		return
	}
	if n > v.left {
		v.err = &InvalidRecordError{Message: errRecordShort.Error()}
		return
	}
	v.left -= n
	for {
		have := int64(v.s.r1 - v.s.r0)
		if n <= have {
			v.s.r0 += int(n)
			return
		}
		n -= have
		v.s.r0 = v.s.r1
		if v.s.eof {
			v.err = &InvalidRecordError{Message: errPremature}
			return
		}
		if v.err = v.s.fill(); v.err != nil {
			return
		}
	}
}
