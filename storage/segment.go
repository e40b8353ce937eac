package storage

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"gregor/internal/vfs"
	"gregor/wire/record"
)

// tsUnknown marks a timestamp that has not been read from disk yet.
const tsUnknown int64 = math.MinInt64

// segment is one .log file with its indexes. Of a sealed segment nothing changes but the files' suffix; the active one grows under the
// log's lock. A truncated segment is replaced by a new struct over the same files, so that readers never see a size shrink.
type segment struct {
	base int64
	log  *Log

	file        cachedFile
	size        atomic.Int32 // bytes that readers may see
	suffix      atomic.Uint32
	oidx        index
	tidx        index
	damaged     atomic.Bool                // an index is to be rebuilt
	hasTxnIndex atomic.Bool                // there is a .txnindex file
	dirSynced   bool                       // the directory entries are durable; under the log's flushMu
	recent      atomic.Pointer[recentEnds] // nil until the first append since the segment was opened

	// The largest timestamp and the last offset of the batch that has it; tsUnknown until loaded from the time index.
	maxTs       atomic.Int64
	maxTsOffset atomic.Int64

	// What follows is guarded by the log's lock.
	firstTs       int64 // max timestamp of the first batch, from which the age counts; tsUnknown until read
	lastIndexedTs int64 // of the last time index entry; tsUnknown until read
	created       int64
	jitter        int64
	sinceIndex    int32 // bytes since the last index entry
	interval      int32 // index.interval.bytes when the segment was opened
	emptied       bool  // the log file may be longer than size: cut it before the next write
	reserved      int32 // up to where the disk holds room for the log file, if that is past its end
	unreserved    bool  // no further room is taken ahead
}

// A segment that has grown to reserveFrom is being written fast, or for long: from there on it takes its room on the disk in steps of
// reserveStep. The file system spends up to a third of a write on finding room for it. What is left is given back by finish.
const (
	reserveFrom = 4 << 20
	reserveStep = 32 << 20
)

const (
	suffixStateNone uint32 = iota
	suffixStateDeleted
	suffixStateCleaned // the cleaner writes it
	suffixStateSwap    // in the list already, not yet under its own name
)

// recentEnds remembers where the last appended batches ended, so that those who read at the end (consumers, followers, and the high
// watermark between them) are answered from memory. Written under the log's lock, read without.
type recentEnds struct {
	next uint32
	ends [16]struct{ offset, pos atomic.Int64 }
}

func (r *recentEnds) add(offset int64, pos int32) {
	e := &r.ends[r.next%uint32(len(r.ends))]
	r.next++
	e.offset.Store(-1)
	e.pos.Store(int64(pos))
	e.offset.Store(offset)
}

// find returns where the batch that starts after offset-1 begins. An offset is stored once, so that reading it twice proves the
// position between the reads.
func (r *recentEnds) find(offset int64) (pos, end int32, ok bool) {
	for i := range r.ends {
		e := &r.ends[i]
		if e.offset.Load() != offset {
			continue
		}
		p := e.pos.Load()
		if e.offset.Load() != offset {
			return 0, 0, false
		}
		n := &r.ends[(i+1)%len(r.ends)]
		if no := n.offset.Load(); no > offset {
			np := n.pos.Load()
			if n.offset.Load() == no {
				return int32(p), int32(np), true
			}
		}
		return int32(p), -1, true
	}
	return 0, 0, false
}

// newSegment describes a segment whose files may or may not exist. nowMs is its creation for logs without timestamps.
func newSegment(l *Log, base int64, cfg *Config, nowMs int64) *segment {
	s := &segment{base: base, log: l, created: nowMs, jitter: cfg.jitter(), interval: cfg.IndexIntervalBytes,
		firstTs: tsUnknown, lastIndexedTs: tsUnknown}
	s.oidx.max = cfg.SegmentIndexBytes / offsetEntrySize
	s.tidx.max = cfg.SegmentIndexBytes / timeEntrySize
	s.oidx.entries.Store(entriesUnknown)
	s.tidx.entries.Store(entriesUnknown)
	s.maxTs.Store(tsUnknown)
	return s
}

// setEmpty says that the segment holds nothing and that its index files, if there are any, are to be overwritten.
func (s *segment) setEmpty() {
	s.oidx.restart(0)
	s.tidx.restart(0)
	s.maxTs.Store(NoTimestamp)
	s.maxTsOffset.Store(s.base)
	s.lastIndexedTs = NoTimestamp
	s.firstTs = tsUnknown
}

// create makes the segment's files, empty.
func (s *segment) create() error {
	fs := s.log.m.fs
	f, err := s.log.m.files.open(&s.file, func() string { return s.path(suffixLog) }, flagCreate|os.O_TRUNC)
	if err != nil {
		return err
	}
	f.Release()
	for _, suffix := range [...]string{suffixIndex, suffixTimeIndex} {
		f, err := fs.OpenFile(s.path(suffix), flagCreate|os.O_TRUNC, 0o644)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	s.setEmpty()
	s.oidx.trim, s.tidx.trim = false, false // just made
	return nil
}

// path is the present name of one of the segment's files.
func (s *segment) path(kind string) string {
	name := s.log.path() + "/" + offsetName(s.base) + kind
	switch s.suffix.Load() {
	case suffixStateDeleted:
		name += suffixDeleted
	case suffixStateCleaned:
		name += suffixCleaned
	case suffixStateSwap:
		name += suffixSwap
	}
	return name
}

func (s *segment) openLog() (*OpenFile, error) {
	if o := s.file.hot(); o != nil {
		return o, nil
	}
	return s.openSlow(&s.file, suffixLog, flagRead)
}

func (s *segment) openOffsetIndex() (*OpenFile, error) {
	if o := s.oidx.file.hot(); o != nil {
		return o, nil
	}
	return s.openSlow(&s.oidx.file, suffixIndex, flagRead)
}

func (s *segment) openTimeIndex() (*OpenFile, error) {
	if o := s.tidx.file.hot(); o != nil {
		return o, nil
	}
	return s.openSlow(&s.tidx.file, suffixTimeIndex, flagRead)
}

// makeOffsetIndex and makeTimeIndex open for writing: the file may have to be made (it was missing, or its segment was never written).
// Those who only look must not make one: the segment may just have been deleted.
func (s *segment) makeOffsetIndex() (*OpenFile, error) { return s.makeFile(&s.oidx.file, suffixIndex) }

func (s *segment) makeTimeIndex() (*OpenFile, error) {
	return s.makeFile(&s.tidx.file, suffixTimeIndex)
}

func (s *segment) makeFile(c *cachedFile, kind string) (*OpenFile, error) {
	if o := c.hot(); o != nil {
		return o, nil
	}
	return s.openSlow(c, kind, flagCreate)
}

func (s *segment) openSlow(c *cachedFile, kind string, flag int) (*OpenFile, error) {
	path := func() string { return s.path(kind) }
	o, err := s.log.m.files.open(c, path, flag)
	if err != nil && isNotExist(err) {
		// The file may just have been renamed to .deleted, or its directory for deletion: look again under the new name.
		o, err = s.log.m.files.open(c, path, flagRead)
	}
	return o, err
}

// dropFiles closes what the segment holds open, once nobody uses it.
func (s *segment) dropFiles() {
	fc := s.log.m.files
	fc.drop(&s.file)
	fc.drop(&s.oidx.file)
	fc.drop(&s.tidx.file)
}

// loadIndexes finds out how many entries the index files hold. It may run concurrently with itself.
func (s *segment) loadIndexes() error {
	if err := s.loadOffsetIndex(); err != nil || s.tidx.entries.Load() != entriesUnknown {
		return err
	}
	return loadEntries(&s.tidx, timeIndex, s.size.Load(), s.openTimeIndex)
}

func (s *segment) loadOffsetIndex() error {
	if s.oidx.entries.Load() != entriesUnknown {
		return nil
	}
	return loadEntries(&s.oidx, offsetIndex, s.size.Load(), s.openOffsetIndex)
}

func loadEntries(ix *index, kind indexKind, size int32, open func() (*OpenFile, error)) error {
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Release()
	n, _, err := countEntries(kind, f)
	if err != nil {
		return err
	}
	if n > 0 {
		last, err := checkLastEntry(kind, f, n, size)
		if err != nil {
			return err
		}
		ix.lastOffset.Store(last)
	}
	ix.entries.CompareAndSwap(entriesUnknown, n)
	return nil
}

// badIndexError says that an index file does not fit its segment and must be rebuilt.
type badIndexError struct {
	name   string
	reason string
}

func (e *badIndexError) Error() string { return "index file " + e.name + " is damaged: " + e.reason }

// checkLastEntry returns the relative offset of the last entry.
func checkLastEntry(kind indexKind, f *OpenFile, n, size int32) (int32, error) {
	bp := searchBuffers.Get().(*[4096]byte)
	defer searchBuffers.Put(bp)
	b := bp[:kind.entrySize()]
	if err := readFull(f, b, int64(n-1)*int64(len(b))); err != nil {
		return 0, err
	}
	last := entryField(kind, byOffset, b)
	if last < 0 {
		return 0, &badIndexError{f.f.Name(), "the last entry's offset lies before the segment's"}
	}
	if kind == offsetIndex {
		if pos := entryField(kind, byPosition, b); pos < 0 || pos >= int64(size) {
			return 0, &badIndexError{f.f.Name(), "the last entry points past the segment's end"}
		}
	}
	return int32(last), nil
}

// prepareAppend readies a segment that was loaded from disk for its first append. Under the log's lock.
func (s *segment) prepareAppend() error {
	if err := s.loadIndexes(); err != nil {
		if err = s.mend(err); err != nil {
			return err
		}
		s.setEmpty()
		if err := s.reindex(); err != nil {
			return err
		}
	}
	for _, ix := range [...]*index{&s.oidx, &s.tidx} {
		if !ix.owned {
			ix.restart(ix.entries.Load())
		}
	}
	if _, err := s.largestTimestamp(); err != nil {
		return err
	}
	if s.lastIndexedTs == tsUnknown {
		e, err := s.tidx.last(timeIndex, s.openTimeIndex)
		if err != nil {
			return err
		}
		s.lastIndexedTs = NoTimestamp
		if e.slot >= 0 {
			s.lastIndexedTs = e.a
		}
	}
	r := new(recentEnds)
	if s.size.Load() == 0 {
		r.add(s.base, 0)
	}
	s.recent.Store(r)
	return nil
}

// largestTimestamp is the largest timestamp in the segment, NoTimestamp if it has none (or a message format without).
func (s *segment) largestTimestamp() (int64, error) {
	if ts := s.maxTs.Load(); ts != tsUnknown {
		return ts, nil
	}
	if err := s.loadIndexes(); err != nil {
		if err = s.mend(err); err != nil {
			return 0, err
		}
		return s.scanTimestamps()
	}
	e, err := s.tidx.last(timeIndex, s.openTimeIndex)
	if err != nil {
		return 0, err
	}
	ts, off := NoTimestamp, s.base
	if e.slot >= 0 {
		ts, off = e.a, s.base+e.b
	}
	if s.maxTs.CompareAndSwap(tsUnknown, ts) {
		s.maxTsOffset.Store(off)
	}
	return s.maxTs.Load(), nil
}

// fits reports whether offset can be told relative to the segment's base in 31 bits.
func (s *segment) fits(offset int64) bool {
	return offset >= s.base && offset-s.base <= math.MaxInt32
}

// shouldRoll decides whether a set of batches goes into a new segment. Under the log's lock, after prepareAppend.
func (s *segment) shouldRoll(cfg *Config, n int, lastOffset, maxTs, nowMs int64) (bool, error) {
	size := s.size.Load()
	if int(size) > int(cfg.SegmentBytes)-n || !s.fits(lastOffset) ||
		s.oidx.count() >= s.oidx.max || s.tidx.count() >= s.tidx.max-1 {
		return true, nil
	}
	if size == 0 {
		return false, nil
	}
	if s.firstTs == tsUnknown {
		h, err := s.headerAt(0)
		if err != nil && !isRecordError(err) {
			return false, err
		}
		s.firstTs = NoTimestamp
		if err == nil {
			s.firstTs = h.MaxTimestamp
		}
	}
	waited := nowMs - s.created
	if s.firstTs >= 0 {
		waited = maxTs - s.firstTs
	}
	return waited > cfg.SegmentMs-s.jitter, nil
}

// errNotAppended says that the disk is full, and that the segment is as it was before.
var errNotAppended = errors.New("nothing was appended")

// append writes b, one or more whole batches, at the segment's end. nextOffset is what follows them. Under the log's lock, after
// prepareAppend; the caller publishes the log end offset afterwards.
func (s *segment) append(b []byte, lastOffset, maxTs, offsetOfMaxTs int64) error {
	pos := s.size.Load()
	if pos == 0 {
		s.firstTs = maxTs
	}
	f, err := s.openLog()
	if err != nil {
		return err
	}
	if s.emptied {
		if err := f.f.Truncate(int64(pos)); err != nil {
			f.Release()
			return err
		}
		s.emptied = false
	}
	s.reserve(f, pos, int32(len(b)))
	err = f.writeAt(b, int64(pos))
	if isNoSpace(err) && f.f.Truncate(int64(pos)) == nil {
		s.reserved = 0
		err = fmt.Errorf("%w: %w", errNotAppended, err)
	}
	f.Release()
	if err != nil {
		return err
	}
	if maxTs > s.maxTs.Load() {
		s.maxTsOffset.Store(offsetOfMaxTs)
		s.maxTs.Store(maxTs)
	}
	if s.sinceIndex > s.interval {
		if err := s.addIndexEntry(lastOffset, pos); err != nil {
			return err
		}
		s.sinceIndex = 0
	}
	s.sinceIndex += int32(len(b))
	s.size.Store(pos + int32(len(b)))
	return nil
}

// reserve takes room on the disk for n bytes at pos and what comes after them, within the segment's limit. Under the log's lock.
func (s *segment) reserve(f *OpenFile, pos, n int32) {
	if pos < reserveFrom || pos+n <= s.reserved || s.unreserved {
		return
	}
	step := min(reserveStep, s.log.cfg.Load().SegmentBytes-pos)
	if s.unreserved = step < n || !vfs.Reserve(f.f, int64(pos), int64(step)); !s.unreserved {
		s.reserved = pos + step
	}
}

// unreserve gives the room back that was not used. Under the log's lock.
func (s *segment) unreserve() error {
	size := s.size.Load()
	if s.reserved <= size {
		return nil
	}
	f, err := s.openLog()
	if err != nil {
		return err
	}
	defer f.Release()
	s.reserved = 0
	return f.f.Truncate(int64(size))
}

// addIndexEntry notes that the batch that ends with lastOffset begins at pos, and the largest timestamp so far.
func (s *segment) addIndexEntry(lastOffset int64, pos int32) error {
	if s.oidx.append(offsetIndex, lastOffset-s.base, int64(pos)) {
		if err := s.oidx.writeTail(offsetIndex, s.makeOffsetIndex); err != nil {
			return err
		}
	}
	return s.addTimeEntry()
}

// addTimeEntry notes the largest timestamp so far unless the time index has it already.
func (s *segment) addTimeEntry() error {
	ts := s.maxTs.Load()
	if ts <= s.lastIndexedTs {
		return nil
	}
	s.lastIndexedTs = ts
	if s.tidx.append(timeIndex, ts, s.maxTsOffset.Load()-s.base) {
		return s.tidx.writeTail(timeIndex, s.makeTimeIndex)
	}
	return nil
}

// writeIndexes brings both index files up to date. Under the log's lock.
func (s *segment) writeIndexes() error {
	if err := s.oidx.writeTail(offsetIndex, s.makeOffsetIndex); err != nil {
		return err
	}
	return s.tidx.writeTail(timeIndex, s.makeTimeIndex)
}

// finish adds the last time index entry, writes the indexes and gives back what was reserved, as happens when a segment is rolled or
// closed. Under the log's lock.
func (s *segment) finish() error {
	if s.recent.Load() == nil && s.tidx.tail.Load() == nil && s.oidx.tail.Load() == nil && !s.oidx.trim && !s.tidx.trim {
		return nil // not appended to since it was opened
	}
	if s.lastIndexedTs != tsUnknown && s.maxTs.Load() != tsUnknown {
		if err := s.addTimeEntry(); err != nil {
			return err
		}
	}
	if err := s.unreserve(); err != nil {
		return err
	}
	return s.writeIndexes()
}

// seal ends the life of an active segment, after finish.
func (s *segment) seal() {
	s.oidx.seal()
	s.tidx.seal()
	s.recent.Store(nil)
}

// headerAt reads the header of the batch at pos. Errors of the bytes (not of the disk) satisfy isRecordError.
func (s *segment) headerAt(pos int32) (record.Header, error) {
	sc := s.scan(pos, s.size.Load())
	defer sc.close()
	if !sc.next() {
		if sc.err == nil {
			return record.Header{}, record.ErrShort
		}
		return record.Header{}, sc.err
	}
	return sc.h, nil
}

// isRecordError tells bytes that make no batch, or no records, from a disk that fails.
func isRecordError(err error) bool {
	var (
		corrupt     *record.CorruptError
		invalid     *record.InvalidRecordError
		undecodable *record.UndecodableError
		unsupported *record.UnsupportedCompressionError
	)
	return errors.Is(err, record.ErrShort) || errors.As(err, &corrupt) || errors.As(err, &invalid) ||
		errors.As(err, &undecodable) || errors.As(err, &unsupported)
}

// find returns the position and size of the first batch whose last offset is at least offset; ok is false if there is none below
// limit. size is 0 where it is not known because nothing follows.
func (s *segment) find(offset int64, limit int32) (pos, size int32, ok bool, err error) {
	known := false
	if r := s.recent.Load(); r != nil {
		var end int32
		if pos, end, known = r.find(offset); known {
			if pos >= limit {
				return limit, 0, false, nil
			}
			if end >= 0 && end <= limit {
				return pos, end - pos, true, nil
			}
		}
	}
	if !known && offset > s.base {
		if pos, err = s.indexed(offset); err != nil {
			return 0, 0, false, err
		}
	}
	sc := s.scan(pos, limit)
	defer sc.close()
	for sc.next() {
		if sc.h.LastOffset() >= offset {
			return sc.pos, int32(sc.h.Size()), true, nil
		}
	}
	return limit, 0, false, sc.err
}

// indexed is a position at or before the batch that holds offset. With a damaged index it is the segment's start, and the index is
// rebuilt in the background.
func (s *segment) indexed(offset int64) (int32, error) {
	if s.oidx.tail.Load() == nil && s.oidx.entries.Load() == entriesUnknown {
		if err := s.loadOffsetIndex(); err != nil {
			return 0, s.mend(err)
		}
	}
	e, err := s.oidx.floor(offsetIndex, byOffset, offset-s.base, s.openOffsetIndex)
	if err != nil || e.slot < 0 {
		return 0, err
	}
	if pos := int32(e.b); pos >= 0 && pos < s.size.Load() {
		return pos, nil
	}
	return 0, nil
}

// mend takes the error of a damaged index away and has the index rebuilt; other errors stay.
func (s *segment) mend(err error) error {
	var bad *badIndexError
	if !errors.As(err, &bad) {
		return err
	}
	if !s.damaged.Swap(true) {
		s.log.m.log.Warnf("%v: %v; rebuilding it", s.log.tp, err)
		s.log.m.flusher.add(s.log)
	}
	return nil
}

// repair rebuilds the indexes of a sealed segment whose files are damaged. Readers meanwhile search from the start of the segment.
func (l *Log) repair(s *segment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil || s == l.active() {
		return err // of the active segment, the next append or start sees to it
	}
	s.setEmpty()
	if err := s.reindex(); err != nil {
		return l.ioError("rebuilding an index", err)
	}
	if err := s.finishRecovered(); err != nil {
		return l.ioError("rebuilding an index", err)
	}
	return nil
}

// reindex adds the index entries that appends would have made. Under the log's lock, after setEmpty.
func (s *segment) reindex() error {
	sc := s.scan(0, s.size.Load())
	defer sc.close()
	lastIndexed := int32(0)
	for sc.next() {
		if sc.h.MaxTimestamp > s.maxTs.Load() {
			s.maxTsOffset.Store(sc.h.LastOffset())
			s.maxTs.Store(sc.h.MaxTimestamp)
		}
		if sc.pos-lastIndexed > s.interval && s.fits(sc.h.LastOffset()) {
			if err := s.addIndexEntry(sc.h.LastOffset(), sc.pos); err != nil {
				return err
			}
			lastIndexed = sc.pos
		}
	}
	if sc.err != nil && !isRecordError(sc.err) {
		return sc.err
	}
	return nil
}

// scanTimestamps finds the largest timestamp without an index.
func (s *segment) scanTimestamps() (int64, error) {
	ts := NoTimestamp
	sc := s.scan(0, s.size.Load())
	defer sc.close()
	for sc.next() {
		ts = max(ts, sc.h.MaxTimestamp)
	}
	if sc.err != nil && !isRecordError(sc.err) {
		return 0, sc.err
	}
	return ts, nil
}

// scanner walks the headers of a segment's batches with few reads.
type scanner struct {
	s     *segment
	f     *OpenFile
	buf   *[4096]byte
	at    int32 // file position of buf[0]
	n     int   // bytes in buf
	nextP int32
	limit int32

	pos int32 // of the present batch
	h   record.Header
	err error // of the disk, or a *record.CorruptError; a batch that is cut short by limit merely ends the scan
}

// scan starts a walk over the headers in [from, limit). Batches that reach past limit are not shown.
func (s *segment) scan(from, limit int32) scanner {
	sc := scanner{s: s, nextP: from, limit: limit}
	if from >= limit {
		return sc
	}
	sc.f, sc.err = s.openLog()
	sc.buf = searchBuffers.Get().(*[4096]byte)
	return sc
}

func (sc *scanner) close() {
	if sc.buf != nil {
		searchBuffers.Put(sc.buf)
		sc.buf = nil
	}
	if sc.f != nil {
		sc.f.Release()
		sc.f = nil
	}
}

// raw is the present batch's header as it lies in the file; it is valid until next.
func (sc *scanner) raw() []byte {
	o := int(sc.pos - sc.at)
	return sc.buf[o:min(o+record.HeaderSize, sc.n)]
}

func (sc *scanner) next() bool {
	if sc.err != nil || sc.nextP >= sc.limit || sc.f == nil {
		return false
	}
	for {
		if o := int(sc.nextP - sc.at); o >= 0 && o < sc.n {
			h, err := record.ParseHeader(sc.buf[o:sc.n])
			if err == nil {
				if int64(sc.nextP)+int64(h.Size()) > int64(sc.limit) {
					return false
				}
				sc.pos, sc.h = sc.nextP, h
				sc.nextP += int32(h.Size())
				return true
			}
			if !errors.Is(err, record.ErrShort) {
				sc.err = err
				return false
			}
			if sc.at+int32(sc.n) >= sc.limit || (o == 0 && sc.n >= record.HeaderSize) {
				return false
			}
		}
		want := min(int(sc.limit-sc.nextP), len(sc.buf))
		if err := readFull(sc.f, sc.buf[:want], int64(sc.nextP)); err != nil {
			sc.err = err
			return false
		}
		sc.at, sc.n = sc.nextP, want
	}
}

// batchBuffers hold whole batches during recovery and searches by time.
var batchBuffers = sync.Pool{New: func() any { return new([]byte) }}

// readBatch reads the batch that h describes into *bp, growing it.
func (s *segment) readBatch(f *OpenFile, pos int32, h *record.Header, bp *[]byte) ([]byte, error) {
	n := h.Size()
	if cap(*bp) < n {
		*bp = make([]byte, n)
	}
	b := (*bp)[:n]
	return b, readFull(f, b, int64(pos))
}

// entryFits reports whether an offset index entry can belong to the batch at its position. The entry's offset is that of the last
// record appended with the batch: several batches may have been appended at once (old formats, followers).
func (s *segment) entryFits(e indexEntry, h *record.Header) bool {
	return h.LastOffset() <= s.base+e.a && h.LastOffset() >= s.base
}

// nextOffset is what the segment's last batch is followed by, found from the last index entry on.
func (s *segment) nextOffset() (int64, error) {
	size := s.size.Load()
	if size == 0 {
		return s.base, nil
	}
	if err := s.loadOffsetIndex(); err != nil {
		return 0, err
	}
	e, err := s.oidx.last(offsetIndex, s.openOffsetIndex)
	if err != nil {
		return 0, err
	}
	from := int32(0)
	if e.slot >= 0 {
		from = int32(e.b)
	}
	next := s.base
	sc := s.scan(from, size)
	defer sc.close()
	for sc.next() {
		if next == s.base && e.slot >= 0 && !s.entryFits(e, &sc.h) {
			return 0, &badIndexError{s.path(suffixIndex), "the last entry does not point to a batch"}
		}
		next = sc.h.NextOffset()
	}
	if sc.err == nil && sc.nextP != size {
		return 0, &record.CorruptError{Reason: "the last batch is cut short"}
	}
	return next, sc.err
}
