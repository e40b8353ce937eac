package checkpoint

import (
	"time"

	"gregor/internal/vfs"
)

// Names of the files in a log directory.
const (
	RecoveryPointFile = "recovery-point-offset-checkpoint"
	LogStartFile      = "log-start-offset-checkpoint"
	HighWatermarkFile = "replication-offset-checkpoint"
	CleanerFile       = "cleaner-offset-checkpoint"
	MetaFile          = "meta.properties"
	CleanShutdownFile = ".kafka_cleanshutdown"
)

// Offset is one line of an offset checkpoint.
type Offset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Pair is one line of a leader-epoch checkpoint.
type Pair struct {
	Epoch  int32
	Offset int64
}

// WriteAtomic replaces the file by data: temporary file beside it (".tmp"), sync, rename, directory sync.
func WriteAtomic(fsys vfs.FS, name string, data []byte) error { return nil }

// ReadOffsets reads an offset checkpoint; a missing or empty file has no lines.
func ReadOffsets(fsys vfs.FS, name string) ([]Offset, error) { return nil, nil }

// WriteOffsets replaces an offset checkpoint; the lines stand in the order given.
func WriteOffsets(fsys vfs.FS, name string, offsets []Offset) error { return nil }

// ReadPairs and WritePairs are the same for leader-epoch-checkpoint.
func ReadPairs(fsys vfs.FS, name string) ([]Pair, error)      { return nil, nil }
func WritePairs(fsys vfs.FS, name string, pairs []Pair) error { return nil }

// Meta is the content of meta.properties.
type Meta struct {
	BrokerID  int32
	ClusterID string // "" if the file has none
}

// ReadMeta reads meta.properties; found is false if there is none. A leftover temporary file is removed.
func ReadMeta(fsys vfs.FS, name string) (meta Meta, found bool, err error) { return meta, false, nil }

// WriteMeta replaces meta.properties.
func WriteMeta(fsys vfs.FS, name string, meta Meta, now time.Time) error { return nil }

// WriteCleanShutdown marks dir as cleanly closed; TakeCleanShutdown reports the mark and removes it (before any log is loaded).
func WriteCleanShutdown(fsys vfs.FS, dir string) error        { return nil }
func TakeCleanShutdown(fsys vfs.FS, dir string) (bool, error) { return false, nil }
