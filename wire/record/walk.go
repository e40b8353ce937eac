package record

import (
	"fmt"
	"math"

	"gregor/wire/compress"
)

// walk checks the records of one batch in order and sums up what validation needs of them. It works on whole records wherever
// they lie: run takes as many as are complete, so that decompressed data can be checked while it streams through a small buffer.
type walk struct {
	count      int32 // records declared
	seen       int32 // records read
	baseOffset int64
	baseTS     int64

	// what each record is held to
	needKey     bool
	checkTS     bool
	rejectBatch bool // every record is in error: the batch says LogAppendTime
	stream      bool // the bytes come from a decompressor

	maxTimestamp   int64
	indexOfMax     int32
	outOfOrder     bool // an offset delta is not its record's index
	opt            ValidateOptions
	timestampError bool
	errs           []RecordError
}

func newWalk(b Batch, opt *ValidateOptions) walk {
	w := newRules(opt)
	w.count = b.Count()
	w.baseOffset = b.BaseOffset()
	w.baseTS = b.BaseTimestamp()
	w.rejectBatch = b.TimestampType() == LogAppendTime
	return w
}

// newRules is a walk that knows what records are held to, and no batch.
func newRules(opt *ValidateOptions) walk {
	return walk{
		needKey:      opt.Compacted,
		checkTS:      opt.TimestampType == CreateTime && opt.MaxTimestampDiff < math.MaxInt64,
		maxTimestamp: NoTimestamp,
		indexOfMax:   -1,
		opt:          *opt, // a copy: a pointer would move every caller's options to the heap
	}
}

// batch walks over all records of a batch.
func (w *walk) batch(b Batch) (err error) {
	if codec := b.Codec(); codec == compress.None {
		_, err = w.run(b[HeaderSize:], true)
	} else {
		w.stream = true
		err = w.decompress(codec, b[HeaderSize:])
	}
	if err == nil {
		err = w.result()
	}
	return err
}

// errPremature and errRemaining are the messages Apache Kafka has for them.
const (
	errPremature = "Incorrect declared batch size, premature EOF reached"
	errRemaining = "Incorrect declared batch size, records still remaining in file"
)

// run reads records from b until the declared count is reached or, unless final, b holds no further whole record. It returns how
// much of b it used. final means that nothing follows b.
func (w *walk) run(b []byte, final bool) (int, error) {
	var (
		p          = 0
		seen       = w.seen
		maxTS      = w.maxTimestamp
		indexOfMax = w.indexOfMax
		baseTS     = w.baseTS
		special    = w.needKey || w.checkTS || w.rejectBatch
		outOfOrder = false
	)
	for seen < w.count {
		// Length. One or two bytes for records up to 8 KB.
		start := p
		var size int
		if p+1 < len(b) {
			c := b[p]
			if c < 0x80 {
				size = int(c>>1) ^ -int(c&1)
				p++
			} else if d := b[p+1]; d < 0x80 {
				v := int(c&0x7f) | int(d)<<7
				size = v>>1 ^ -(v & 1)
				p += 2
			} else {
				goto slowSize
			}
			goto haveSize
		}
	slowSize:
		{
			v, np := readVarint(b, p)
			if np < 0 {
				if np == shortVarint && !final {
					p = start
					break
				}
				w.seen = seen
				return p, w.sizeError(np)
			}
			size, p = int(v), np
		}
	haveSize:
		if size < 0 || size > len(b)-p {
			if size >= 0 && !final {
				p = start
				break
			}
			w.seen = seen
			return p, w.truncated(size, len(b)-p)
		}
		rec := b[p : p+size : p+size]
		p += size

		// Attributes, timestamp delta, offset delta, key length: nearly always within these bounds, so checked once.
		var (
			q       int
			tsDelta int64
			delta   int32
			keyLen  int
		)
		if len(rec) < 12 {
			goto slow
		}
		q = 1
		if c := rec[1]; c < 0x80 {
			tsDelta = int64(c>>1) ^ -int64(c&1)
			q = 2
		} else if d := rec[2]; d < 0x80 {
			v := int64(c&0x7f) | int64(d)<<7
			tsDelta = v>>1 ^ -(v & 1)
			q = 3
		} else if e := rec[3]; e < 0x80 {
			v := int64(c&0x7f) | int64(d&0x7f)<<7 | int64(e)<<14
			tsDelta = v>>1 ^ -(v & 1)
			q = 4
		} else {
			goto slow
		}
		if c := rec[q]; c < 0x80 {
			delta = int32(c>>1) ^ -int32(c&1)
			q++
		} else if d := rec[q+1]; d < 0x80 {
			v := int32(c&0x7f) | int32(d)<<7
			delta = v>>1 ^ -(v & 1)
			q += 2
		} else if e := rec[q+2]; e < 0x80 {
			v := int32(c&0x7f) | int32(d&0x7f)<<7 | int32(e)<<14
			delta = v>>1 ^ -(v & 1)
			q += 3
		} else {
			goto slow
		}
		if c := rec[q]; c < 0x80 {
			keyLen = int(c>>1) ^ -int(c&1)
			q++
		} else if d := rec[q+1]; d < 0x80 {
			v := int(c&0x7f) | int(d)<<7
			keyLen = v>>1 ^ -(v & 1)
			q += 2
		} else {
			goto slow
		}
		if keyLen > 0 {
			if keyLen > len(rec)-q {
				goto slow
			}
			q += keyLen
		}
		// Value length, and a header count of zero as the last byte.
		{
			if len(rec)-q < 3 {
				goto slow
			}
			var valueLen int
			if c := rec[q]; c < 0x80 {
				valueLen = int(c>>1) ^ -int(c&1)
				q++
			} else if d := rec[q+1]; d < 0x80 {
				v := int(c&0x7f) | int(d)<<7
				valueLen = v>>1 ^ -(v & 1)
				q += 2
			} else {
				goto slow
			}
			if valueLen < 0 {
				valueLen = 0
			}
			if valueLen != len(rec)-q-1 || rec[len(rec)-1] != 0 {
				goto slow
			}
		}
		goto checked
	slow:
		{
			var f fields
			if err := f.parse(rec); err != nil {
				w.seen = seen
				return p, &InvalidRecordError{Message: err.Error()}
			}
			tsDelta, delta, keyLen = f.tsDelta, f.offsetDelta, int(f.keyLen)
		}
	checked:
		if special {
			w.special(seen, baseTS+tsDelta, delta, keyLen >= 0)
		}
		if ts := baseTS + tsDelta; ts > maxTS {
			maxTS, indexOfMax = ts, seen
		}
		outOfOrder = outOfOrder || int64(delta)+w.baseOffset != int64(seen)
		seen++
	}
	w.seen, w.maxTimestamp, w.indexOfMax = seen, maxTS, indexOfMax
	w.outOfOrder = w.outOfOrder || outOfOrder
	if final && seen == w.count && p < len(b) && w.count > 0 {
		return p, &InvalidRecordError{Message: errRemaining}
	}
	return p, nil
}

// sizeError is Apache Kafka's failure for a length prefix that is cut off (it notices the end) or too long (it does not).
func (w *walk) sizeError(np int) error {
	if np == shortVarint {
		return &InvalidRecordError{Message: errPremature}
	}
	return &UndecodableError{Reason: "length of a record", Err: errVarintLong}
}

// truncated is its failure for a record that claims more bytes than are left: noticed for the last record declared, because bytes
// remain; a null record, and with it an unexpected exception, for any other. Of decompressed data it is always noticed.
func (w *walk) truncated(size, left int) error {
	switch {
	case size < 0:
		return &InvalidRecordError{Message: fmt.Sprintf("Invalid record size: expected to read %d bytes in record payload", size)}
	case w.stream:
		return &InvalidRecordError{Message: errPremature}
	case w.seen+1 == w.count && left > 0:
		return &InvalidRecordError{Message: errRemaining}
	}
	return &UndecodableError{Reason: fmt.Sprintf("record %d claims %d bytes, %d are left", w.seen, size, left)}
}

// special holds one record to what the topic's settings and the batch's attributes ask for.
func (w *walk) special(index int32, ts int64, delta int32, hasKey bool) {
	switch {
	case w.needKey && !hasKey:
		w.fail(index, fmt.Sprintf("Compacted topic cannot accept message without key in topic partition %s-%d.", w.opt.Topic, w.opt.Partition))
	case w.checkTS && ts != NoTimestamp && absDiff(ts, w.opt.Now) > w.opt.MaxTimestampDiff:
		w.timestampError = true
		w.fail(index, fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]",
			ts, w.baseOffset+int64(delta), w.opt.Now-w.opt.MaxTimestampDiff, w.opt.Now+w.opt.MaxTimestampDiff))
	case w.rejectBatch:
		w.timestampError = true
		w.fail(index, fmt.Sprintf("Invalid timestamp type in message with offset %d. Producer should not set timestamp type to LogAppendTime.",
			w.baseOffset+int64(delta)))
	}
}

// maxRecordErrors bounds the list that a batch of a million tiny wrong records would make; the answer is the same error.
const maxRecordErrors = 1000

func (w *walk) fail(index int32, msg string) {
	if len(w.errs) < maxRecordErrors {
		w.errs = append(w.errs, RecordError{Index: index, Message: msg})
	}
}

// result is the error of the records as a whole.
func (w *walk) result() error {
	switch {
	case len(w.errs) == 0:
		return nil
	case w.timestampError:
		return &InvalidTimestampError{Message: "One or more records have been rejected due to invalid timestamp", Records: w.errs}
	}
	return &InvalidRecordError{Message: "One or more records have been rejected", Records: w.errs}
}

// absDiff is |a-b| with the wrap-around of two's complement: the distance between the extremes is negative, as in Java.
func absDiff(a, b int64) int64 {
	if d := a - b; d >= 0 {
		return d
	}
	return b - a
}
