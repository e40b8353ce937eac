package leaderepoch

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"

	"gregor/internal/vfs"
	"gregor/storage/checkpoint"
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
	entries atomic.Pointer[[]Entry] // nil while empty; the list itself never changes
}

// Load reads the file in dir; a missing or empty one leaves the cache empty.
func (c *Cache) Load(fsys vfs.FS, dir string) error {
	pairs, err := checkpoint.ReadPairs(fsys, filepath.Join(dir, FileName))
	if err != nil {
		return err
	}
	c.entries.Store(nil)
	for _, p := range pairs {
		if p.Epoch < 0 || p.Offset < 0 {
			return fmt.Errorf("%s: impossible entry (epoch %d, offset %d)", filepath.Join(dir, FileName), p.Epoch, p.Offset)
		}
		c.Assign(p.Epoch, p.Offset)
	}
	return nil
}

// Assign notes that epoch begins at startOffset, removing entries that contradict it, and reports whether anything changed: then
// Flush. The common case (the latest epoch) is one comparison. Negative arguments (a batch without an epoch) change nothing.
func (c *Cache) Assign(epoch int32, startOffset int64) (changed bool) {
	list := c.Entries()
	if n := len(list); n > 0 && list[n-1].Epoch == epoch && startOffset >= list[n-1].StartOffset {
		return false
	}
	if epoch < 0 || startOffset < 0 {
		return false
	}
	keep := len(list)
	for keep > 0 && (list[keep-1].Epoch >= epoch || list[keep-1].StartOffset >= startOffset) {
		keep--
	}
	c.store(append(slices.Clone(list[:keep]), Entry{epoch, startOffset}))
	return true
}

func (c *Cache) store(list []Entry) {
	if len(list) == 0 {
		c.entries.Store(nil)
		return
	}
	c.entries.Store(&list)
}

// Flush writes the file into dir.
func (c *Cache) Flush(fsys vfs.FS, dir string) error {
	list := c.Entries()
	pairs := make([]checkpoint.Pair, len(list))
	for i, e := range list {
		pairs[i] = checkpoint.Pair{Epoch: e.Epoch, Offset: e.StartOffset}
	}
	return checkpoint.WritePairs(fsys, filepath.Join(dir, FileName), pairs)
}

// Latest is the newest entry, ok false if there is none; Earliest the oldest.
func (c *Cache) Latest() (e Entry, ok bool) {
	if list := c.Entries(); len(list) > 0 {
		return list[len(list)-1], true
	}
	return e, false
}

func (c *Cache) Earliest() (e Entry, ok bool) {
	if list := c.Entries(); len(list) > 0 {
		return list[0], true
	}
	return e, false
}

// EndOffsetFor answers OffsetForLeaderEpoch: the largest known epoch at most the requested one, and the offset at which it ends
// (exclusive), which is logEnd for the latest. (Undefined, Undefined) if it cannot be known. An epoch older than all known ones
// ended, as far as the log can tell, where the first known one began.
func (c *Cache) EndOffsetFor(epoch int32, logEnd int64) (int32, int64) {
	list := c.Entries()
	if epoch == Undefined || len(list) == 0 {
		return Undefined, Undefined
	}
	if list[len(list)-1].Epoch == epoch {
		return epoch, logEnd
	}
	i, found := slices.BinarySearchFunc(list, epoch, func(e Entry, epoch int32) int { return cmp.Compare(e.Epoch, epoch) })
	if found {
		i++
	}
	// list[i] is the first epoch above the requested one, list[i-1] the last one not above it.
	switch i {
	case len(list):
		return Undefined, Undefined
	case 0:
		return epoch, list[0].StartOffset
	}
	return list[i-1].Epoch, list[i].StartOffset
}

// EpochFor is the epoch of the record at offset, Undefined if it lies before the first entry.
func (c *Cache) EpochFor(offset int64) int32 {
	list := c.Entries()
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].StartOffset <= offset {
			return list[i].Epoch
		}
	}
	return Undefined
}

// TruncateFromEnd removes epochs that start at or after endOffset; changed: Flush.
func (c *Cache) TruncateFromEnd(endOffset int64) (changed bool) {
	list := c.Entries()
	keep := len(list)
	for endOffset >= 0 && keep > 0 && list[keep-1].StartOffset >= endOffset {
		keep--
	}
	if keep == len(list) {
		return false
	}
	c.store(slices.Clone(list[:keep]))
	return true
}

// TruncateFromStart removes epochs that ended before startOffset and lets the one that holds it begin there; changed: Flush.
func (c *Cache) TruncateFromStart(startOffset int64) (changed bool) {
	list := c.Entries()
	drop := 0
	for drop < len(list) && list[drop].StartOffset <= startOffset {
		drop++
	}
	if drop == 0 || drop == 1 && list[0].StartOffset == startOffset {
		return false
	}
	out := slices.Clone(list[drop-1:])
	out[0].StartOffset = startOffset
	c.store(out)
	return true
}

// Clear empties the cache; Flush to empty the file too.
func (c *Cache) Clear() (changed bool) {
	changed = c.entries.Load() != nil
	c.entries.Store(nil)
	return changed
}

// Entries is the present list, ascending; do not change it.
func (c *Cache) Entries() []Entry {
	if p := c.entries.Load(); p != nil {
		return *p
	}
	return nil
}
