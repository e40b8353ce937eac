package txnindex

import (
	"errors"

	"gregor/internal/vfs"
)

// Suffix ends the file's name; EntrySize is the size of one entry.
const (
	Suffix    = ".txnindex"
	EntrySize = 34
)

// Aborted is one aborted transaction.
type Aborted struct {
	ProducerID       int64
	FirstOffset      int64 // of its first record
	LastOffset       int64 // of its marker
	LastStableOffset int64 // the LSO just after the marker was written
}

// AppendEntry encodes a onto dst; DecodeEntry decodes the first EntrySize bytes of b.
func AppendEntry(dst []byte, a Aborted) []byte { return dst }
func DecodeEntry(b []byte) (Aborted, error)    { return Aborted{}, errors.New("txnindex: not there yet") }

// Append adds an entry at the end of the file, creating it if needed. Opens and closes it: aborts are rare.
func Append(fsys vfs.FS, name string, a Aborted) error { return nil }

// ReadAll reads every whole entry; a missing file has none.
func ReadAll(fsys vfs.FS, name string) ([]Aborted, error) { return nil, nil }

// Collect appends to dst the transactions that a reader of [fetchOffset, upTo) must know. complete means that later segments
// cannot add any.
func Collect(dst []Aborted, fsys vfs.FS, name string, fetchOffset, upTo int64) (out []Aborted, complete bool, err error) {
	return dst, false, nil
}

// TruncateTo removes the entries whose marker is at or after offset.
func TruncateTo(fsys vfs.FS, name string, offset int64) error { return nil }

// SanityCheck fails if an entry is unreadable or ends before the segment's base offset: rebuild the index then.
func SanityCheck(fsys vfs.FS, name string, baseOffset int64) error { return nil }
