package storage

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
)

// An index entry is Kafka's: of an .index 4 bytes relative offset (of a batch's last record) and 4 bytes file position (of the
// batch's start); of a .timeindex 8 bytes timestamp and 4 bytes relative offset. Both ascend in both fields.
const (
	offsetEntrySize = 8
	timeEntrySize   = 12

	// tailBlock is how many entries of an active segment's index are kept in memory before they are written out. A block covers
	// at least 2 MB of log at the default index interval, and bounds what a partition that is written to costs.
	tailBlock = 512
	tailFirst = 8 // a fresh tail's capacity; it doubles up to tailBlock
)

type indexKind uint8

const (
	offsetIndex indexKind = iota
	timeIndex
)

func (k indexKind) entrySize() int {
	if k == timeIndex {
		return timeEntrySize
	}
	return offsetEntrySize
}

// An indexField names what a search compares.
type indexField uint8

const (
	byOffset    indexField = iota // relative offset, either index
	byPosition                    // .index
	byTimestamp                   // .timeindex
)

func entryField(kind indexKind, f indexField, e []byte) int64 {
	switch {
	case f == byTimestamp:
		return int64(binary.BigEndian.Uint64(e))
	case f == byPosition:
		return int64(int32(binary.BigEndian.Uint32(e[4:])))
	case kind == timeIndex:
		return int64(int32(binary.BigEndian.Uint32(e[8:])))
	}
	return int64(int32(binary.BigEndian.Uint32(e)))
}

// entriesUnknown marks an index whose file nobody has looked at yet.
const entriesUnknown = math.MinInt32

// index is one index of a segment. Its entries are the file's first ones followed by the tail's. Appends and whatever else changes it
// happen under the log's lock; searches take no lock: they load the tail once, and what a tail has published never changes.
type index struct {
	file       cachedFile
	tail       atomic.Pointer[indexTail]
	entries    atomic.Int32  // all of them, when there is no tail; entriesUnknown until loaded
	lastOffset atomic.Int32  // relative offset of the last entry of an .index that was loaded or sealed: a hint for searches
	written    int32         // entries that are in the file; under the log's lock
	max        int32         // the limit that segment.index.bytes sets
	version    atomic.Uint32 // counts changes of the file
	synced     uint32        // the version that is durable; under the log's flushMu
	owned      bool          // written and trim hold; under the log's lock
	trim       bool          // the file may be longer than written says: cut it before the next write; under the log's lock
}

// indexTail is the end of an active segment's index.
type indexTail struct {
	first int32 // slot of the first entry
	n     atomic.Int32
	data  []byte                    // capacity for more than n; only the part below n is published
	prev  atomic.Pointer[indexTail] // the block before, written already, kept for readers just behind the end
}

// count is the number of entries, which must be loaded.
func (ix *index) count() int32 {
	if t := ix.tail.Load(); t != nil {
		return t.first + t.n.Load()
	}
	return ix.entries.Load()
}

// append adds an entry. Only block boundaries and doublings of a young tail allocate. It returns whether the tail is full and should
// be written with flushTail. Under the log's lock.
func (ix *index) append(kind indexKind, a, b int64) (full bool) {
	size := kind.entrySize()
	t := ix.tail.Load()
	if t == nil {
		t = &indexTail{first: ix.entries.Load(), data: make([]byte, tailFirst*size)}
		ix.tail.Store(t)
	}
	n := int(t.n.Load())
	if n*size == len(t.data) {
		next := &indexTail{first: t.first}
		if n < tailBlock {
			next.prev.Store(t.prev.Load())
			next.data = make([]byte, 2*len(t.data))
			copy(next.data, t.data)
			next.n.Store(int32(n))
		} else {
			t.prev.Store(nil) // who holds t finds the older entries in the file
			next.prev.Store(t)
			next.first, next.data = t.first+int32(n), make([]byte, tailBlock*size)
			n = 0
		}
		t = next
		putEntry(kind, t.data[n*size:], a, b)
		t.n.Store(int32(n + 1))
		ix.tail.Store(t)
		return false
	}
	putEntry(kind, t.data[n*size:], a, b)
	t.n.Store(int32(n + 1))
	return n+1 == tailBlock
}

func putEntry(kind indexKind, e []byte, a, b int64) {
	if kind == timeIndex {
		binary.BigEndian.PutUint64(e, uint64(a))
		binary.BigEndian.PutUint32(e[8:], uint32(b))
		return
	}
	binary.BigEndian.PutUint32(e, uint32(a))
	binary.BigEndian.PutUint32(e[4:], uint32(b))
}

// writeTail writes the entries that are only in memory. Under the log's lock.
func (ix *index) writeTail(kind indexKind, open func() (*OpenFile, error)) error {
	t := ix.tail.Load()
	if t == nil && !ix.trim {
		return nil
	}
	size := int32(kind.entrySize())
	count := ix.count()
	if count == ix.written && !ix.trim {
		return nil
	}
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Release()
	if ix.trim {
		if err := f.f.Truncate(int64(ix.written) * int64(size)); err != nil {
			return err
		}
		ix.trim = false
	}
	if count > ix.written {
		from := (ix.written - t.first) * size
		if _, err := f.f.WriteAt(t.data[from:(count-t.first)*size], int64(ix.written)*int64(size)); err != nil {
			return err
		}
		ix.written = count
	}
	ix.version.Add(1)
	return nil
}

// seal forgets the tail, which must have been written: the segment takes no more appends. Under the log's lock.
func (ix *index) seal() {
	if t := ix.tail.Load(); t != nil {
		if n := int(t.n.Load()); n > 0 {
			ix.lastOffset.Store(int32(binary.BigEndian.Uint32(t.data[(n-1)*offsetEntrySize:]))) // of a .timeindex it is not used
		}
		ix.entries.Store(t.first + t.n.Load())
		ix.tail.Store(nil)
	}
}

// restart makes the index hold its first n entries, all of them in the file, and nothing else. Under the log's lock, before the
// segment is published.
func (ix *index) restart(n int32) {
	ix.tail.Store(nil)
	ix.entries.Store(n)
	ix.written = n
	ix.trim = true
	ix.owned = true
}

// indexEntry is a decoded entry: offset and position, or timestamp and offset (relative).
type indexEntry struct {
	slot int32 // -1: there is none
	a, b int64
}

func decodeEntry(kind indexKind, slot int32, e []byte) indexEntry {
	if kind == timeIndex {
		return indexEntry{slot, entryField(kind, byTimestamp, e), entryField(kind, byOffset, e)}
	}
	return indexEntry{slot, entryField(kind, byOffset, e), entryField(kind, byPosition, e)}
}

// searchBuffers hold the piece of an index file, or of a log file, that a search looks at.
var searchBuffers = sync.Pool{New: func() any { return new([4096]byte) }}

// floor finds the last entry whose field is at most target. Entries must be loaded.
func (ix *index) floor(kind indexKind, field indexField, target int64, open func() (*OpenFile, error)) (indexEntry, error) {
	size := kind.entrySize()
	n := ix.entries.Load()
	if t := ix.tail.Load(); t != nil {
		if e, ok := t.floor(kind, field, target); ok {
			return e, nil
		}
		n = t.first
		if p := t.prev.Load(); p != nil {
			if e, ok := p.floor(kind, field, target); ok {
				return e, nil
			}
			n = p.first
		}
	}
	if n <= 0 {
		return indexEntry{slot: -1}, nil
	}
	f, err := open()
	if err != nil {
		return indexEntry{slot: -1}, err
	}
	defer f.Release()
	bp := searchBuffers.Get().(*[4096]byte)
	defer searchBuffers.Put(bp)

	lo, hi := int32(0), n // the answer lies in [lo-1, hi)
	block := int32(len(bp) / size)
	if last := ix.lastOffset.Load(); kind == offsetIndex && field == byOffset && hi > block && last > 0 {
		// Entries lie about evenly: one look where the target should be usually finds it, or else narrows the search.
		from := int32(min(target, int64(last))*int64(n)/int64(last)) - block/2
		from = min(max(from, 0), n-block)
		b := bp[:int(block)*size]
		if err := readFull(f, b, int64(from)*int64(size)); err != nil {
			return indexEntry{slot: -1}, err
		}
		switch i := floorIn(kind, field, target, b); {
		case i < 0:
			hi = from
		case i == int(block)-1 && from+block < n:
			lo = from + block - 1
		default:
			return decodeEntry(kind, from+int32(i), b[i*size:]), nil
		}
	}
	for hi-lo > block {
		mid := lo + (hi-lo)/2
		e := bp[:size]
		if err := readFull(f, e, int64(mid)*int64(size)); err != nil {
			return indexEntry{slot: -1}, err
		}
		if entryField(kind, field, e) <= target {
			lo = mid
		} else {
			hi = mid
		}
	}
	b := bp[:int(hi-lo)*size]
	if err := readFull(f, b, int64(lo)*int64(size)); err != nil {
		return indexEntry{slot: -1}, err
	}
	if i := floorIn(kind, field, target, b); i >= 0 {
		return decodeEntry(kind, lo+int32(i), b[i*size:]), nil
	}
	return indexEntry{slot: lo - 1}, nil // only with lo == 0: otherwise entry lo was seen to be at most target
}

// floor searches the published part of a tail; ok is false if the answer lies before it.
func (t *indexTail) floor(kind indexKind, field indexField, target int64) (indexEntry, bool) {
	size := kind.entrySize()
	b := t.data[:int(t.n.Load())*size]
	i := floorIn(kind, field, target, b)
	if i < 0 {
		return indexEntry{slot: -1}, false
	}
	return decodeEntry(kind, t.first+int32(i), b[i*size:]), true
}

func floorIn(kind indexKind, field indexField, target int64, b []byte) int {
	size := kind.entrySize()
	lo, hi := 0, len(b)/size
	for lo < hi {
		mid := (lo + hi) / 2
		if entryField(kind, field, b[mid*size:]) <= target {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// entry returns the entry of a slot.
func (ix *index) entry(kind indexKind, slot int32, open func() (*OpenFile, error)) (indexEntry, error) {
	size := kind.entrySize()
	for t := ix.tail.Load(); t != nil; t = t.prev.Load() {
		if slot >= t.first {
			if slot >= t.first+t.n.Load() {
				return indexEntry{slot: -1}, nil
			}
			return decodeEntry(kind, slot, t.data[int(slot-t.first)*size:]), nil
		}
	}
	f, err := open()
	if err != nil {
		return indexEntry{slot: -1}, err
	}
	defer f.Release()
	bp := searchBuffers.Get().(*[4096]byte)
	defer searchBuffers.Put(bp)
	if err := readFull(f, bp[:size], int64(slot)*int64(size)); err != nil {
		return indexEntry{slot: -1}, err
	}
	return decodeEntry(kind, slot, bp[:size]), nil
}

// last returns the last entry, slot -1 if there is none.
func (ix *index) last(kind indexKind, open func() (*OpenFile, error)) (indexEntry, error) {
	n := ix.count()
	if n <= 0 {
		return indexEntry{slot: -1}, nil
	}
	return ix.entry(kind, n-1, open)
}

// readFull reads exactly len(p) bytes; fewer are an io.ErrUnexpectedEOF.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// countEntries finds how many entries an index file holds: all that fit its length, less the zeros that Kafka preallocates (10 MB
// by default) and leaves there when it dies. Entries ascend, so the zeros are found by halving.
func countEntries(kind indexKind, f *OpenFile) (n int32, excess bool, err error) {
	length, err := f.f.Size()
	if err != nil {
		return 0, false, err
	}
	size := int64(kind.entrySize())
	total := length / size
	excess = length%size != 0
	if total == 0 {
		return 0, excess, nil
	}
	if total > math.MaxInt32/size {
		total = math.MaxInt32 / size
	}
	var e [timeEntrySize]byte
	bp := searchBuffers.Get().(*[4096]byte)
	defer searchBuffers.Put(bp)
	zero := func(slot int64) (bool, error) {
		b := bp[:size]
		if err := readFull(f, b, slot*size); err != nil {
			return false, err
		}
		return string(b) == string(e[:size]), nil
	}
	// A first entry of zeros is possible only in an .index, as the batch at offset 0 and position 0; Kafka never writes it, since
	// index.interval.bytes must come before it.
	z, err := zero(total - 1)
	if err != nil || !z {
		return int32(total), excess, err
	}
	if kind == timeIndex && total == 1 {
		return 1, excess, nil // the timestamp 0 at the first offset, not preallocation
	}
	lo, hi := int64(0), total-1 // entries below lo are not zero, hi is
	for lo < hi {
		mid := (lo + hi) / 2
		z, err := zero(mid)
		if err != nil {
			return 0, excess, err
		}
		if z {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return int32(lo), true, nil
}

func isNotExist(err error) bool { return errors.Is(err, os.ErrNotExist) }
