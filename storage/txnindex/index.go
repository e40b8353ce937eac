package txnindex

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"gregor/internal/vfs"
)

// Suffix ends the file's name; EntrySize is the size of one entry.
const (
	Suffix    = ".txnindex"
	EntrySize = 34
)

// maxIndexFile is what a file may hold before it is taken for garbage: 7 million aborted transactions in one segment.
const maxIndexFile = 256 << 20

// Aborted is one aborted transaction.
type Aborted struct {
	ProducerID       int64
	FirstOffset      int64 // of its first record
	LastOffset       int64 // of its marker
	LastStableOffset int64 // the LSO just after the marker was written
}

// AppendEntry encodes a (version 0) onto dst.
func AppendEntry(dst []byte, a Aborted) []byte {
	be := binary.BigEndian
	dst = be.AppendUint16(dst, 0)
	dst = be.AppendUint64(dst, uint64(a.ProducerID))
	dst = be.AppendUint64(dst, uint64(a.FirstOffset))
	dst = be.AppendUint64(dst, uint64(a.LastOffset))
	return be.AppendUint64(dst, uint64(a.LastStableOffset))
}

// DecodeEntry decodes the first EntrySize bytes of b.
func DecodeEntry(b []byte) (Aborted, error) {
	if len(b) < EntrySize {
		return Aborted{}, fmt.Errorf("aborted transaction of %d bytes, needs %d", len(b), EntrySize)
	}
	be := binary.BigEndian
	if v := int16(be.Uint16(b)); v != 0 {
		return Aborted{}, fmt.Errorf("aborted transaction of version %d, known is 0", v)
	}
	return Aborted{
		ProducerID:       int64(be.Uint64(b[2:])),
		FirstOffset:      int64(be.Uint64(b[10:])),
		LastOffset:       int64(be.Uint64(b[18:])),
		LastStableOffset: int64(be.Uint64(b[26:])),
	}, nil
}

// Append adds an entry at the end of the file, creating it if needed. It opens, syncs nothing and closes: aborts are rare, and
// recovery rebuilds the index from the log.
func Append(fsys vfs.FS, name string, a Aborted) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	err = appendTo(f, a)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("appending to transaction index %s: %w", name, err)
	}
	return nil
}

func appendTo(f vfs.File, a Aborted) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	size -= size % EntrySize // an entry cut short by a crash is overwritten
	if size > 0 {
		var b [EntrySize]byte
		if _, err := f.ReadAt(b[:], size-EntrySize); err != nil {
			return err
		}
		last, err := DecodeEntry(b[:])
		if err != nil {
			return err
		}
		if a.LastOffset <= last.LastOffset {
			return fmt.Errorf("last offset %d does not follow %d", a.LastOffset, last.LastOffset)
		}
	}
	_, err = f.WriteAt(AppendEntry(make([]byte, 0, EntrySize), a), size)
	return err
}

// ReadAll reads every whole entry; a missing file has none.
func ReadAll(fsys vfs.FS, name string) ([]Aborted, error) {
	b, err := vfs.ReadFile(fsys, name, maxIndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := make([]Aborted, 0, len(b)/EntrySize)
	for ; len(b) >= EntrySize; b = b[EntrySize:] {
		a, err := DecodeEntry(b)
		if err != nil {
			return nil, fmt.Errorf("transaction index %s: %w", name, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// Collect appends to dst the transactions that a reader of [fetchOffset, upTo) must know. complete means that later segments
// cannot add any.
func Collect(dst []Aborted, fsys vfs.FS, name string, fetchOffset, upTo int64) (out []Aborted, complete bool, err error) {
	all, err := ReadAll(fsys, name)
	if err != nil {
		return dst, false, err
	}
	for _, a := range all {
		if a.LastOffset >= fetchOffset && a.FirstOffset < upTo {
			dst = append(dst, a)
		}
		if a.LastStableOffset >= upTo {
			return dst, true, nil
		}
	}
	return dst, false, nil
}

// TruncateTo removes the entries whose marker is at or after offset.
func TruncateTo(fsys vfs.FS, name string, offset int64) error {
	all, err := ReadAll(fsys, name)
	if err != nil {
		return err
	}
	keep := 0
	for keep < len(all) && all[keep].LastOffset < offset {
		keep++
	}
	if keep == len(all) {
		return nil
	}
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(int64(keep) * EntrySize)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// SanityCheck fails if an entry is unreadable or ends before the segment's base offset: rebuild the index then.
func SanityCheck(fsys vfs.FS, name string, baseOffset int64) error {
	all, err := ReadAll(fsys, name)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.LastOffset < baseOffset {
			return fmt.Errorf("transaction index %s: last offset %d lies before the segment's base offset %d", name, a.LastOffset, baseOffset)
		}
	}
	return nil
}
