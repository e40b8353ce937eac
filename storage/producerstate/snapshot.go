package producerstate

import (
	"errors"
	"fmt"

	"gregor/internal/vfs"
)

// SnapshotSuffix ends the names of snapshot files; before it stands the offset in 20 digits.
const SnapshotSuffix = ".snapshot"

// SnapshotName is the file name of the snapshot at offset.
func SnapshotName(offset int64) string { return fmt.Sprintf("%020d%s", offset, SnapshotSuffix) }

// SnapshotEntry is one producer in a snapshot file.
type SnapshotEntry struct {
	ProducerID       int64
	ProducerEpoch    int16
	LastSequence     int32
	LastOffset       int64
	OffsetDelta      int32
	Timestamp        int64
	CoordinatorEpoch int32
	TxnFirstOffset   int64 // -1 for none
}

// CorruptSnapshotError says why a snapshot file cannot be used; the state must then come from an older one or the log.
type CorruptSnapshotError struct{ Reason string }

func (e *CorruptSnapshotError) Error() string { return "corrupt producer snapshot: " + e.Reason }

// EncodeSnapshot and DecodeSnapshot convert between entries and the bytes of a .snapshot file (version 1).
func EncodeSnapshot(dst []byte, entries []SnapshotEntry) []byte { return dst }

func DecodeSnapshot(b []byte) ([]SnapshotEntry, error) {
	return nil, errors.New("producerstate: not there yet")
}

// WriteEmptySnapshot writes a snapshot without producers at offset, as Kafka does for every rolled segment.
func WriteEmptySnapshot(fsys vfs.FS, dir string, offset int64) error { return nil }

// ListSnapshots returns the offsets of the snapshot files in dir, ascending; a missing dir has none.
func ListSnapshots(fsys vfs.FS, dir string) ([]int64, error) { return nil, nil }

// DeleteSnapshotsBefore removes the snapshots below offset.
func DeleteSnapshotsBefore(fsys vfs.FS, dir string, offset int64) error { return nil }
