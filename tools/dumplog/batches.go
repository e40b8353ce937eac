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
	var err error
	if s.head, err = record.ParseHeader(s.bytes); err != nil {
		return false, fmt.Errorf("batch at position %d of %s: %w", s.pos, s.name, err)
	}
	s.at = s.pos
	s.pos += int64(total)
	return true, nil
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
