package handlers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/replication"
	"gregor/storage"
	"gregor/wire/record"
)

const (
	// convertPiece is how much of a log is converted at a time; a batch is converted whole.
	convertPiece = 128 << 10
	// keptPiece is the most that stays with what goes back to a pool.
	keptPiece = 1 << 20
	// smallestFetch is what is sent when nothing is left to convert: the head of a message that is cut, which clients skip.
	smallestFetch = record.LogOverhead
)

// converting bounds how many pieces are converted at a time, and with that the memory it takes: nobody waits for a peer meanwhile.
var converting = make(chan struct{}, runtime.GOMAXPROCS(0))

// converter is what converts; it is somebody's only while a piece is made.
type converter struct {
	record.DownConverter
	raw []byte // as it is in the file
}

var converters = sync.Pool{New: func() any { return new(converter) }}

// bytes is how many bytes of records the partition is answered with.
func (f *fetchPart) bytes() int {
	if f.converted != nil {
		return f.converted.length
	}
	return f.res.Slice.Length
}

// convert turns what was read for a client that knows older message formats only into these: v0 before version 2, else v1.
func (op *fetchOp) convert(parts []*fetchPart) {
	magic := int8(1)
	if op.r.Version < 2 {
		magic = 0
	}
	for _, f := range parts {
		if f.code != 0 || f.res.Slice.Length == 0 {
			continue
		}
		if err := op.convertPart(f, magic); err != nil {
			f.refuse(errorCode(err))
			if f.code == kerr.UnknownServerError.Code {
				op.h.Log.Errorf("Converting %s-%d from offset %d to message format v%d failed: %v", f.topic, f.partition, f.offset, magic, err)
			}
		}
	}
}

func (op *fetchOp) convertPart(f *fetchPart, magic int8) error {
	newer, err := f.res.Slice.HasNewer(magic, f.res.Magic > magic)
	if err != nil || !newer {
		return err
	}
	if op.replica < 0 && !f.res.DownConvert {
		return kerr.UnsupportedVersion
	}
	f.converted, err = newConversion(&f.res, magic, f.offset, op.h.Log, f.p.Counters())
	return err
}

// conversion makes a partition's records in an older format while they are sent. The length of the answer is that of what was read, or of
// its first batch's conversion if that is longer; what does not fit is cut, and what is left over is filled, as Apache Kafka does it.
type conversion struct {
	file     *storage.OpenFile
	pos, end int64 // of what is to be converted
	magic    int8
	first    int64 // offset from which on records are wanted
	length   int
	log      logrus.FieldLogger
	counters *replication.TopicCounters // may be nil

	piece []byte // converted
	ahead bool   // piece has not been sent
}

var conversions = sync.Pool{New: func() any { return new(conversion) }}

// newConversion takes over the slice's file and converts the first batch that has records.
func newConversion(res *replication.ReadResult, magic int8, first int64, log logrus.FieldLogger, counters *replication.TopicCounters) (*conversion, error) {
	s := &res.Slice
	c := conversions.Get().(*conversion)
	c.file, c.pos, c.end, c.magic, c.first, c.log = s.File, s.Offset, s.Offset+int64(s.Length), magic, first, log
	c.length, c.ahead, c.counters = s.Length, false, counters
	s.File = nil
	if err := c.convert(1); err != nil {
		c.Release()
		return nil, err
	}
	c.length = max(c.length, len(c.piece))
	if c.ahead = len(c.piece) > 0; !c.ahead {
		c.length = smallestFetch
	}
	return c, nil
}

// convert fills piece from batches of about size bytes, one at least; from more if they have no records. At the end piece is empty.
func (c *conversion) convert(size int) error {
	converting <- struct{}{}
	by := converters.Get().(*converter)
	defer func() {
		by.Close()
		if cap(by.raw) > keptPiece {
			by.raw = nil
		}
		converters.Put(by)
		<-converting
	}()
	c.piece = c.piece[:0]
	for len(c.piece) == 0 && c.pos < c.end {
		batches, err := c.read(by, size)
		if err != nil {
			return err
		}
		if len(batches) == 0 {
			c.pos = c.end // the last batch is cut
			return nil
		}
		for rest := batches; len(rest) > 0; {
			b, next, err := record.Next(rest)
			if err != nil {
				return err
			}
			var n int
			if c.piece, n, err = by.Append(c.piece, b, c.magic, c.first); err != nil {
				if len(c.piece) > 0 {
					return nil // the next piece begins with it
				}
				return err
			}
			if c.counters != nil {
				c.counters.FetchConversions.Add(int64(n))
			}
			c.pos += int64(len(b))
			rest = next
		}
	}
	return nil
}

// read reads whole batches of about size bytes, one at least; none if the one at pos is cut.
func (c *conversion) read(by *converter, size int) ([]byte, error) {
	left := c.end - c.pos
	if left < record.PrefixSize {
		return nil, nil
	}
	var head [record.LogOverhead]byte
	if err := c.readAt(head[:]); err != nil {
		return nil, err
	}
	first := int64(int32(binary.BigEndian.Uint32(head[8:]))) + record.LogOverhead
	if first < record.PrefixSize {
		return nil, &record.CorruptError{Reason: fmt.Sprintf("batch of %d bytes", first)}
	}
	if first > left {
		return nil, nil
	}
	n := int(min(left, max(first, int64(size))))
	if cap(by.raw) < n {
		by.raw = make([]byte, n)
	}
	raw := by.raw[:n]
	if err := c.readAt(raw); err != nil {
		return nil, err
	}
	whole := 0
	for rest := raw; ; {
		b, next, err := record.Next(rest)
		if err != nil {
			if errors.Is(err, record.ErrShort) || whole > 0 {
				return raw[:whole], nil
			}
			return nil, err
		}
		whole += len(b)
		rest = next
	}
}

func (c *conversion) readAt(b []byte) error {
	if n, err := c.file.ReadAt(b, c.pos); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("reading %d bytes at %d to convert them: %w", len(b), c.pos, err)
	}
	return nil
}

// Next returns the next piece to send.
func (c *conversion) Next(left int) ([]byte, error) {
	if !c.ahead {
		if err := c.convert(convertPiece); err != nil {
			// The client gets what was converted, and the error when it fetches from there.
			c.log.Debugf("Converting to message format v%d ends at position %d: %v", c.magic, c.pos, err)
			c.piece, c.pos = c.piece[:0], c.end
		}
	}
	c.ahead = false
	if len(c.piece) == 0 {
		c.fill(left)
	}
	return c.piece[:min(len(c.piece), left)], nil
}

// fill makes a piece of a message that claims one byte more than is left, so that clients take it for one that is cut.
func (c *conversion) fill(left int) {
	n := max(smallestFetch, min(left+1, convertPiece))
	if cap(c.piece) < n {
		c.piece = make([]byte, n)
	}
	c.piece = c.piece[:n]
	clear(c.piece)
	minusOne := int64(-1)
	binary.BigEndian.PutUint64(c.piece, uint64(minusOne))
	binary.BigEndian.PutUint32(c.piece[8:], uint32(max(left+1, record.HeaderSize)))
}

// Release gives back the file and the buffer.
func (c *conversion) Release() {
	c.file.Release()
	if cap(c.piece) > keptPiece {
		c.piece = nil
	}
	c.file, c.log, c.counters = nil, nil, nil
	conversions.Put(c)
}
