package dumplog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"gregor/internal/vfs"
	"gregor/tools/internal/kclient"
	"gregor/wire/record"
)

// minEntry is the size that the smallest record of the oldest format claims.
const minEntry = 14

// magicAt is where every format has its number.
const magicAt = record.LogOverhead + 4

// scanner walks the batches of a log file, or of a part of it, as Kafka's FileLogInputStream does: it ends where a whole batch no
// longer fits.
type scanner struct {
	file  vfs.File
	name  string
	pos   int64 // of the next batch
	end   int64
	at    int64         // of the current batch
	bytes []byte        // the current batch or legacy entry
	head  record.Header // of it
	buf   []byte
}

func (d *dumper) open(name string) (vfs.File, int64, error) {
	f, err := d.fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// next loads the next batch; false at the end.
func (s *scanner) next() (bool, error) {
	var head [record.PrefixSize]byte
	if s.pos >= s.end-record.PrefixSize {
		return false, nil
	}
	if err := s.read(head[:], s.pos); err != nil {
		return false, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head[8:])))
	if size < minEntry {
		return false, &kclient.APIError{Class: "org.apache.kafka.common.errors.CorruptRecordException",
			Message: fmt.Sprintf("Found record size %d smaller than minimum record overhead (%d) in file %s.", size, minEntry, s.name)}
	}
	if s.pos > s.end-record.LogOverhead-size {
		return false, nil
	}
	total := int(size) + record.LogOverhead
	if cap(s.buf) < total {
		s.buf = make([]byte, total, total+total/4)
	}
	s.bytes = s.buf[:total]
	if err := s.read(s.bytes, s.pos); err != nil {
		return false, err
	}
	if err := s.parse(); err != nil {
		return false, err
	}
	s.at = s.pos
	s.pos += int64(total)
	return true, nil
}

// parse reads the header. Like Kafka it takes a magic that nobody knows yet for 2, and reads a whole header of a batch that claims to be
// smaller: what stands in a damaged file is to be seen.
func (s *scanner) parse() error {
	b, magic := s.bytes, int8(s.bytes[magicAt])
	if magic < 0 {
		// A record of the oldest format as far as its offset goes.
		s.head = record.Header{BaseOffset: int64(binary.BigEndian.Uint64(b)), Length: int32(len(b) - record.LogOverhead), Magic: magic}
		return nil
	}
	if magic > 2 {
		b[magicAt] = 2 // no checksum covers it
	}
	if magic >= 2 && len(b) < record.HeaderSize {
		var head [record.HeaderSize]byte
		if err := s.read(head[:], s.pos); err != nil {
			return err
		}
		head[magicAt] = 2
		binary.BigEndian.PutUint32(head[8:], uint32(max(len(b), record.HeaderSize)-record.LogOverhead))
		b = head[:]
	}
	var err error
	if s.head, err = record.ParseHeader(b); err != nil {
		return fmt.Errorf("batch at position %d of %s: %w", s.pos, s.name, err)
	}
	s.head.Magic = magic
	return nil
}

func (s *scanner) read(b []byte, at int64) error {
	if n, err := s.file.ReadAt(b, at); n < len(b) {
		if errors.Is(err, io.EOF) || err == nil {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %d bytes at %d of %s: %w", len(b), at, s.name, err)
	}
	return nil
}

func (s *scanner) valid() bool {
	if s.head.Magic >= 2 {
		return record.Batch(s.bytes).ValidCRC()
	}
	return record.ValidLegacyCRC(s.bytes)
}
