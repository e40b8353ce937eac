package leaderepoch

import (
	"sync/atomic"

	"gregor/internal/vfs"
)

// FileName is the checkpoint's name inside a log's directory.
const FileName = "leader-epoch-checkpoint"

// Undefined is the epoch and the end offset of "not known".
const Undefined = -1

// Entry says that an epoch began at an offset.
type Entry struct {
	Epoch       int32
	StartOffset int64
}

// Cache is the list of one log. The zero value is empty and ready.
type Cache struct {
	entries atomic.Pointer[[]Entry]
}

// Load reads the file in dir; a missing or empty one leaves the cache empty.
func (c *Cache) Load(fsys vfs.FS, dir string) error { return nil }

// Assign notes that epoch begins at startOffset, removing entries that contradict it, and reports whether anything changed: then
// Flush. The common case (the latest epoch) is one comparison.
func (c *Cache) Assign(epoch int32, startOffset int64) (changed bool) { return false }

// Flush writes the file into dir.
func (c *Cache) Flush(fsys vfs.FS, dir string) error { return nil }

// Latest is the newest epoch, ok false if there is none; Earliest the oldest entry.
func (c *Cache) Latest() (Entry, bool)   { return Entry{}, false }
func (c *Cache) Earliest() (Entry, bool) { return Entry{}, false }

// EndOffsetFor answers OffsetForLeaderEpoch: the largest known epoch at most the requested one, and the offset at which it ends
// (exclusive), which is logEnd for the latest. (Undefined, Undefined) if it cannot be known.
func (c *Cache) EndOffsetFor(epoch int32, logEnd int64) (int32, int64) { return Undefined, Undefined }

// EpochFor is the epoch of the record at offset, Undefined if it lies before the first entry.
func (c *Cache) EpochFor(offset int64) int32 { return Undefined }

// TruncateFromEnd removes epochs that start at or after endOffset; changed: Flush.
func (c *Cache) TruncateFromEnd(endOffset int64) (changed bool) { return false }

// TruncateFromStart removes epochs that ended before startOffset and lets the one that holds it begin there; changed: Flush.
func (c *Cache) TruncateFromStart(startOffset int64) (changed bool) { return false }

// Clear empties the cache; Flush to empty the file too.
func (c *Cache) Clear() (changed bool) { return false }

// Entries is the present list, ascending; do not change it.
func (c *Cache) Entries() []Entry { return nil }
