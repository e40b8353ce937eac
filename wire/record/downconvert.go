package record

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"gregor/wire/compress"
)

// DownConverter turns batches into messages of format v0 or v1, for readers that know no other. It keeps buffers from one batch to the
// next; it is not safe for concurrent use.
type DownConverter struct {
	it  Iter
	set setBuilder
}

// Close gives the buffers back.
func (c *DownConverter) Close() { c.it.Close() }

// Append appends to dst what one whole batch or message is in format magic, which is 0 or 1: itself if its format is no newer, nothing if
// it is a control batch or has no records. Of what is not compressed the records before first are left out; what is compressed stays one
// message with all its records. records is how many were converted. It fails with an *UnsupportedCompressionError for zstd, and with a
// *CorruptError for a batch that does not match its CRC: its records would get a good one.
func (c *DownConverter) Append(dst, batch []byte, magic int8, first int64) (out []byte, records int, err error) {
	h, err := ParseHeader(batch)
	if err != nil {
		return dst, 0, err
	}
	switch {
	case h.IsControl():
		return dst, 0, nil
	case h.Codec() == compress.Zstd:
		return dst, 0, &UnsupportedCompressionError{fmt.Sprintf("the batch at offset %d is compressed by zstd, which message format v%d does not know", h.BaseOffset, magic)}
	case h.Magic <= magic:
		return append(dst, batch...), 0, nil
	}
	if h.Magic >= 2 && !Batch(batch).ValidCRC() || h.Magic < 2 && !ValidLegacyCRC(batch) {
		return dst, 0, &CorruptError{fmt.Sprintf("stored crc %d of the batch at offset %d does not match", h.CRC, h.BaseOffset)}
	}
	c.it.Reset(batch, easyRewritten)
	if errors.Is(c.it.Err(), compress.ErrTooLarge) {
		hugeRewrite.Lock()
		defer hugeRewrite.Unlock()
		defer debug.FreeOSMemory()
		defer c.it.Close()
		c.it.resetHuge(batch)
	}
	if h.Codec() != compress.None {
		first = math.MinInt64
	}
	if out, err = c.records(dst, &h, magic, first); err != nil {
		return dst, 0, err
	}
	return out, int(c.set.count), nil
}

// records encodes the iterator's records from first on.
func (c *DownConverter) records(dst []byte, h *Header, magic int8, first int64) ([]byte, error) {
	c.set.count = 0
	begun := false
	for c.it.Next() {
		r := &c.it.Record
		if r.Offset < first {
			continue
		}
		if !begun {
			begun = true
			if err := c.set.begin(dst, magic, h.Codec(), h.TimestampType(), h.MaxTimestamp, r.Offset); err != nil {
				return nil, err
			}
		}
		// A time before 1970 has no place in the old formats.
		if err := c.set.add(r.Offset, max(r.Timestamp, NoTimestamp), r.Key, r.Value); err != nil {
			return nil, err
		}
	}
	if err := c.it.Err(); err != nil || !begun {
		return dst, err
	}
	return c.set.end()
}
