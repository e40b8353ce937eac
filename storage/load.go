package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"gregor/storage/leaderepoch"
	"gregor/storage/producerstate"
	"gregor/storage/txnindex"
	"gregor/wire/record"
)

// onDisk is what the checkpoints of a directory say about a log.
type onDisk struct {
	recovery, start, hw int64
	cleaned             int64 // 0: the cleaner never was there
}

// logFiles is what a partition's directory holds, by base offset.
type logFiles struct {
	logs           []segmentFile // ascending
	index          map[int64]bool
	timeIndex      map[int64]bool
	txnIndex       map[int64]bool
	snapshots      int
	newestSnapshot int64
	epochs         bool
}

type segmentFile struct {
	base  int64
	size  int64
	mtime time.Time
}

// loadLog opens the log in a partition's directory. After a clean shutdown only the end of the last segment is read; otherwise what
// lies past the recovery point is checked, and cut off where it stops making sense.
func (m *Manager) loadLog(d *logDir, tp TopicPartition, name string, cfg *Config, cp onDisk, clean bool) (*Log, error) {
	l := m.newLog(d, tp, cfg)
	if name != tp.String() {
		l.name.Store(&name)
	}
	files, err := l.listFiles()
	if err != nil {
		return nil, err
	}
	l.start.Store(cp.start)
	l.recWritten = cp.recovery
	if cp.cleaned > 0 {
		l.cleaned.Store(cp.cleaned)
	}
	l.snapshotted = files.newestSnapshot
	switch {
	case files.epochs && !l.KeepsEpochs():
		if err := l.dropEpochsLocked(); err != nil { // nobody else knows the log yet
			return nil, err
		}
	case files.epochs:
		if err := l.epochs.Load(m.fs, l.path()); err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				return nil, err
			}
			m.log.Warnf("%v: %s is unreadable and is rebuilt from the batches past the recovery point: %v", tp, leaderepoch.FileName, err)
			l.epochs.Clear()
			clean, cp.recovery = false, 0
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.loadSegments(files, clean, cp.recovery); err != nil {
		return nil, err
	}
	l.hw.Store(max(min(cp.hw, l.leo.Load()), l.start.Load()))
	l.updateUnstableLocked()
	for _, s := range l.segments() {
		s.dropFiles() // nobody reads or writes the log yet
	}
	return l, nil
}

// listFiles reads the directory, removes what an interrupted deletion or cleaning left, and completes interrupted swaps.
func (l *Log) listFiles() (*logFiles, error) {
	vfs, dir := l.m.fs, l.path()
	entries, err := vfs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	lf := &logFiles{}
	if len(entries) == 0 {
		return lf, nil
	}
	var swaps []int64
	var txnSwaps map[int64]bool // not rebuilt: what it says of aborted transactions stands nowhere else
	minCleaned := int64(math.MaxInt64)
	var cleaned []string
	for _, e := range entries {
		n := e.Name()
		base, rest, ok := parseOffsetName(n)
		switch {
		case n == leaderepoch.FileName:
			lf.epochs = true
		case !ok || e.IsDir():
		case strings.HasSuffix(rest, suffixDeleted):
			if err := remove(vfs, dir+"/"+n); err != nil {
				return nil, err
			}
		case strings.HasSuffix(rest, suffixCleaned):
			minCleaned = min(minCleaned, base)
			cleaned = append(cleaned, n)
		case strings.HasSuffix(rest, suffixSwap):
			if rest == suffixLog+suffixSwap {
				swaps = append(swaps, base)
			} else if rest == suffixTxnIndex+suffixSwap {
				txnSwaps = note(txnSwaps, base)
			} else if err := remove(vfs, dir+"/"+n); err != nil { // rebuilt from the log
				return nil, err
			}
		case rest == suffixLog:
			st, err := e.Info()
			if err != nil {
				return nil, err
			}
			lf.logs = append(lf.logs, segmentFile{base, st.Size(), st.ModTime()})
		case rest == suffixIndex:
			lf.index = note(lf.index, base)
		case rest == suffixTimeIndex:
			lf.timeIndex = note(lf.timeIndex, base)
		case rest == suffixTxnIndex:
			lf.txnIndex = note(lf.txnIndex, base)
		case rest == suffixSnapshot:
			lf.snapshots++
			lf.newestSnapshot = max(lf.newestSnapshot, base)
		}
	}
	for _, n := range cleaned {
		if err := remove(vfs, dir+"/"+n); err != nil {
			return nil, err
		}
	}
	if err := l.completeSwaps(lf, swaps, txnSwaps, minCleaned); err != nil {
		return nil, err
	}
	return lf, l.removeOrphans(lf)
}

func note(m map[int64]bool, base int64) map[int64]bool {
	if m == nil {
		m = make(map[int64]bool, 1)
	}
	m[base] = true
	return m
}

func remove(fs interface{ Remove(string) error }, name string) error {
	if err := fs.Remove(name); err != nil && !isNotExist(err) {
		return err
	}
	return nil
}

// completeSwaps puts segments that the cleaner had finished in the place of those they were made from. A .swap file at or past the
// first .cleaned one belongs to a split that was not finished; it goes.
func (l *Log) completeSwaps(lf *logFiles, swaps []int64, txnSwaps map[int64]bool, minCleaned int64) error {
	fs, dir := l.m.fs, l.path()
	for base := range txnSwaps {
		if base >= minCleaned || !slices.Contains(swaps, base) {
			if err := remove(fs, dir+"/"+offsetName(base)+suffixTxnIndex+suffixSwap); err != nil {
				return err
			}
			delete(txnSwaps, base)
		}
	}
	for _, base := range swaps {
		name := dir + "/" + offsetName(base) + suffixLog
		if base >= minCleaned {
			if err := remove(fs, name+suffixSwap); err != nil {
				return err
			}
			continue
		}
		st, err := fs.Stat(name + suffixSwap)
		if err != nil {
			return err
		}
		end, err := l.swapEnd(name+suffixSwap, base, st.Size())
		if err != nil {
			return err
		}
		l.m.log.Infof("%v: completing the interrupted swap of the segment at offset %d", l.tp, base)
		// The new segment replaces those that begin inside of it, and one that begins before it but reaches into it.
		keep := lf.logs[:0]
		replaces := false
		for i, s := range lf.logs {
			replaces = replaces || s.base == base
			next := int64(math.MaxInt64)
			if i+1 < len(lf.logs) {
				next = lf.logs[i+1].base
			}
			if s.base != base && (s.base >= end || s.base < base || next <= base) {
				keep = append(keep, s)
				continue
			}
			for _, suffix := range segmentSuffixes {
				if err := remove(fs, dir+"/"+offsetName(s.base)+suffix); err != nil {
					return err
				}
			}
		}
		lf.logs = keep
		for _, suffix := range []string{suffixIndex, suffixTimeIndex} {
			if err := remove(fs, dir+"/"+offsetName(base)+suffix); err != nil {
				return err
			}
		}
		delete(lf.index, base)
		delete(lf.timeIndex, base)
		// Without a .txnindex.swap, and with the old segment gone, a .txnindex is the new one, which comes in before the log.
		txn := dir + "/" + offsetName(base) + suffixTxnIndex
		switch {
		case txnSwaps[base]:
			if err := fs.Rename(txn+suffixSwap, txn); err != nil {
				return err
			}
			lf.txnIndex = note(lf.txnIndex, base)
		case replaces:
			delete(lf.txnIndex, base)
			if err := remove(fs, txn); err != nil {
				return err
			}
		}
		if err := fs.Rename(name+suffixSwap, name); err != nil {
			return err
		}
		lf.logs = append(lf.logs, segmentFile{base, st.Size(), st.ModTime()})
		sort.Slice(lf.logs, func(i, j int) bool { return lf.logs[i].base < lf.logs[j].base })
	}
	return nil
}

// swapEnd is the offset after the last batch of a .swap file.
func (l *Log) swapEnd(name string, base, size int64) (int64, error) {
	f, err := l.m.fs.OpenFile(name, flagRead, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	end, pos := base, int64(0)
	var b [record.HeaderSize]byte
	for pos < size {
		n := min(int64(len(b)), size-pos)
		if err := readFull(f, b[:n], pos); err != nil {
			return 0, err
		}
		h, err := record.ParseHeader(b[:n])
		if err != nil || pos+int64(h.Size()) > size {
			break
		}
		end = h.NextOffset()
		pos += int64(h.Size())
	}
	return end, nil
}

// removeOrphans removes index files that belong to no segment.
func (l *Log) removeOrphans(lf *logFiles) error {
	has := func(base int64) bool {
		i := sort.Search(len(lf.logs), func(i int) bool { return lf.logs[i].base >= base })
		return i < len(lf.logs) && lf.logs[i].base == base
	}
	for _, k := range []struct {
		m      map[int64]bool
		suffix string
	}{{lf.index, suffixIndex}, {lf.timeIndex, suffixTimeIndex}, {lf.txnIndex, suffixTxnIndex}} {
		for base := range k.m {
			if has(base) {
				continue
			}
			l.m.log.Warnf("%v: removing %s%s, which belongs to no segment", l.tp, offsetName(base), k.suffix)
			if err := remove(l.m.fs, l.path()+"/"+offsetName(base)+k.suffix); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadSegments builds the segment list, recovers what needs it, and finds the log's end.
func (l *Log) loadSegments(files *logFiles, clean bool, recovery int64) error {
	cfg := l.cfg.Load()
	segs := make([]*segment, 0, len(files.logs))
	for _, f := range files.logs {
		if f.size > math.MaxInt32 {
			return fmt.Errorf("%v: segment %s%s of %d bytes is larger than any segment can be", l.tp, offsetName(f.base), suffixLog, f.size)
		}
		s := newSegment(l, f.base, cfg, l.m.nowMs())
		s.size.Store(int32(f.size))
		s.dirSynced = clean
		s.hasTxnIndex.Store(files.txnIndex[f.base])
		segs = append(segs, s)
	}
	if len(segs) == 0 {
		l.leo.Store(l.start.Load())
		l.recovery.Store(l.start.Load())
		l.producers.SetMapEnd(l.start.Load())
		return nil
	}
	l.setSegments(segs)
	l.recovery.Store(recovery)

	r := recoverer{l: l, files: files}
	if clean {
		if err := r.open(recovery); err != nil {
			return err
		}
	} else if err := r.recover(recovery); err != nil {
		return err
	}
	return l.settle(files, clean)
}

// settle brings everything that follows from the segments in line with them.
func (l *Log) settle(files *logFiles, clean bool) error {
	leo := l.leo.Load()
	if start := l.start.Load(); leo < start {
		l.m.log.Warnf("%v: the log ends at offset %d, before the log start offset %d: deleting all segments", l.tp, leo, start)
		if err := l.removeSegmentsLocked(l.segments(), "the log start offset lies past them"); err != nil {
			return err
		}
		l.setSegments(nil)
		l.leo.Store(start)
		leo = start
		if err := l.addSegmentLocked(newSegment(l, start, l.cfg.Load(), l.m.nowMs())); err != nil {
			return err
		}
	}
	l.recovery.Store(min(l.recovery.Load(), leo))
	l.start.Store(max(l.start.Load(), l.segments()[0].base))
	// The file may keep what is dropped here: the next start drops it again.
	l.epochs.TruncateFromEnd(leo)
	l.epochs.TruncateFromStart(l.start.Load())
	return nil
}

// recoverer opens the segments of one log.
type recoverer struct {
	l     *Log
	files *logFiles
}

// open takes the segments as a clean shutdown left them.
func (r *recoverer) open(recovery int64) error {
	l := r.l
	segs := l.segments()
	active := segs[len(segs)-1]
	if err := r.makeMissing(segs[:len(segs)-1]); err != nil {
		return err
	}
	if !r.files.index[active.base] {
		if active.size.Load() > 0 {
			l.m.log.Warnf("%v: segment %d has no offset index: rebuilding it", l.tp, active.base)
			l.recovery.Store(min(recovery, active.base))
			return r.recover(active.base)
		}
		active.setEmpty()
	} else if !r.files.timeIndex[active.base] {
		active.tidx.restart(0)
	}
	next, err := active.nextOffset()
	if err != nil {
		var bad *badIndexError
		if !isRecordError(err) && !errors.As(err, &bad) {
			return err
		}
		l.m.log.Warnf("%v: segment %d is damaged although the shutdown was clean (%v): recovering it", l.tp, active.base, err)
		l.recovery.Store(min(recovery, active.base))
		return r.recover(active.base)
	}
	l.leo.Store(next)
	l.recovery.Store(next)
	return r.openProducers(next)
}

// makeMissing rebuilds the indexes of sealed segments that lack one.
func (r *recoverer) makeMissing(segs []*segment) error {
	for _, s := range segs {
		if r.files.index[s.base] && r.files.timeIndex[s.base] {
			continue
		}
		if r.files.index[s.base] {
			if done, err := s.makeTimeless(); err != nil || done {
				if err != nil {
					return err
				}
				continue
			}
		}
		r.l.m.log.Warnf("%v: segment %d lacks an index: rebuilding it", r.l.tp, s.base)
		s.setEmpty()
		if err := s.reindex(); err != nil {
			return err
		}
		if err := s.finishRecovered(); err != nil {
			return err
		}
	}
	return nil
}

// emptySnapshotSize is the size of a producer snapshot without producers.
var emptySnapshotSize = int64(len(producerstate.EncodeSnapshot(nil, nil)))

// openProducers loads the producer state of a log that needs no recovery.
func (r *recoverer) openProducers(leo int64) error {
	l := r.l
	if r.files.snapshots == 0 {
		// Written by a broker that knew no producers, or copied without them: there is nothing to load, and scanning the whole log
		// for it would be in vain.
		l.producers.SetMapEnd(leo)
		return nil
	}
	if r.files.newestSnapshot == leo {
		// Nearly always: nobody produces with an id, and the newest snapshot, written when the log was closed, says so by its size.
		st, err := l.m.fs.Stat(l.path() + "/" + producerstate.SnapshotName(leo))
		if err != nil {
			return err
		}
		if st.Size() == emptySnapshotSize {
			l.producers.SetMapEnd(leo)
			return nil
		}
	}
	if err := l.reloadProducersLocked(leo, false); err != nil {
		return err
	}
	return l.backfillProducers(leo)
}

// backfillBytes bounds how far back from a snapshot the log is searched for the batches that it does not tell.
const backfillBytes = 512 << 10

// backfillProducers completes the windows of producers of which a snapshot only remembers the last batch, so that a retry of an
// earlier one is still recognised after a restart.
func (l *Log) backfillProducers(upTo int64) error {
	f := l.producers.NewBackfill()
	if f == nil {
		return nil
	}
	s := l.active()
	if s == nil || s.size.Load() == 0 {
		return nil
	}
	size := s.size.Load()
	pos := int32(0)
	if size > backfillBytes {
		if err := s.loadIndexes(); err != nil {
			return err
		}
		e, err := s.oidx.floor(offsetIndex, byPosition, int64(size-backfillBytes), s.openOffsetIndex)
		if err != nil {
			return err
		}
		if e.slot >= 0 {
			pos = int32(e.b)
		}
	}
	sc := s.scan(pos, size)
	defer sc.close()
	for sc.next() && sc.h.LastOffset() < upTo {
		f.Add(&sc.h)
	}
	f.Done()
	return sc.err
}

// recover checks everything from the recovery point on.
func (r *recoverer) recover(recovery int64) error {
	l := r.l
	segs := l.segments()
	first := max(floorSegment(segs, recovery), 0)
	if err := r.makeMissing(segs[:first]); err != nil {
		return err
	}
	for i := first; i < len(segs); i++ {
		s := segs[i]
		last := i == len(segs)-1
		cut, err := r.segment(s, recovery, i == first)
		if err != nil {
			return err
		}
		if cut > 0 || !last && r.lost(s, segs[i+1], recovery) {
			l.m.log.Warnf("%v: segment %d is damaged from offset %d on: %d bytes are cut off, and %d later segments deleted",
				l.tp, s.base, l.leo.Load(), cut, len(segs)-1-i)
			if err := l.removeSegmentsLocked(segs[i+1:], "they follow a damaged one"); err != nil {
				return err
			}
			l.setSegments(segs[: i+1 : i+1])
			break
		}
		if last {
			break
		}
		if err := s.finishRecovered(); err != nil {
			return err
		}
		l.producers.SetMapEnd(segs[i+1].base)
		if err := l.producers.TakeSnapshot(l.m.fs, l.path()); err != nil {
			return err
		}
	}
	if leo := l.leo.Load(); l.producers.MapEnd() > leo {
		// Less is left than was flushed: the disk lost it.
		if err := l.reloadProducersLocked(leo, false); err != nil {
			return err
		}
	} else {
		l.producers.SetMapEnd(leo)
	}
	return l.backfillProducers(l.leo.Load())
}

// lost reports whether what follows s, a segment past the recovery point, is not to be trusted although nothing in s is damaged. After a power
// cut a later segment's name may be on disk while the data before it never got there: a file is empty, or ends too early. A gap in
// the offsets alone proves that only where compaction makes none.
func (r *recoverer) lost(s, next *segment, recovery int64) bool {
	switch leo := r.l.leo.Load(); {
	case leo > next.base:
		return true // next was truncated away, and what was written in its place is here: the power cut brought it back
	case leo == next.base:
		return false
	}
	return s.size.Load() == 0 || next.size.Load() == 0 || recovery > 0 && !r.l.cfg.Load().Compact
}

// finishRecovered writes the indexes of a recovered segment that will take no appends.
func (s *segment) finishRecovered() error {
	if err := s.addTimeEntry(); err != nil {
		return err
	}
	if err := s.writeIndexes(); err != nil {
		return err
	}
	s.seal()
	return nil
}

// segment checks one segment from the recovery point (or its start) on, rebuilding the indexes from there, and returns how many bytes
// at its end had to be cut off.
func (r *recoverer) segment(s *segment, recovery int64, first bool) (cut int32, err error) {
	l := r.l
	pos, next := int32(0), s.base
	if recovery > s.base && r.files.index[s.base] && r.files.timeIndex[s.base] {
		if pos, next, err = s.trustedPrefix(recovery); err != nil {
			return 0, err
		}
	}
	known := recovery // below it, producers and aborted transactions need not be taken from the batches again
	if pos == 0 {
		s.setEmpty()
		known = s.base
	}
	if s.hasTxnIndex.Load() {
		if err := txnindex.TruncateTo(l.m.fs, s.path(suffixTxnIndex), known); err != nil {
			return 0, err
		}
	}
	if first {
		if err := r.producersUpTo(known); err != nil {
			return 0, err
		}
	}
	w := walker{s: s, pos: pos, lastIndexed: pos, next: next, prevLast: next - 1}
	err = w.run()
	if err != nil && !isRecordError(err) {
		return 0, err
	}
	size := s.size.Load()
	cut = size - w.pos
	s.sinceIndex = w.pos - w.lastIndexed
	if cut > 0 {
		l.m.log.Warnf("%v: %s%s: invalid data at byte %d: %v", l.tp, offsetName(s.base), suffixLog, w.pos, err)
		f, err := s.openLog()
		if err != nil {
			return 0, err
		}
		err = f.f.Truncate(int64(w.pos))
		f.Release()
		if err != nil {
			return 0, err
		}
		s.size.Store(w.pos)
	}
	l.leo.Store(w.next)
	return cut, nil
}

// producersUpTo loads the producer state at the offset from which recovery reads on.
func (r *recoverer) producersUpTo(offset int64) error {
	l := r.l
	if r.files.snapshots == 0 && offset <= max(l.start.Load(), l.segments()[0].base) {
		l.producers.SetMapEnd(offset)
		return nil
	}
	l.leo.Store(offset)
	return l.reloadProducersLocked(offset, false)
}

// trustedPrefix returns the position of the last indexed batch that lies wholly below the recovery point, whose index entries and
// bytes were synced before the recovery point passed them. It returns 0 if the index does not fit the log.
func (s *segment) trustedPrefix(recovery int64) (pos int32, next int64, err error) {
	if err := s.loadIndexes(); err != nil {
		var bad *badIndexError
		if errors.As(err, &bad) {
			return 0, s.base, nil
		}
		return 0, 0, err
	}
	e, err := s.oidx.floor(offsetIndex, byOffset, recovery-1-s.base, s.openOffsetIndex)
	if err != nil || e.slot < 0 {
		return 0, s.base, err
	}
	te, err := s.tidx.floor(timeIndex, byOffset, e.a, s.openTimeIndex)
	if err != nil {
		return 0, s.base, err
	}
	if e.b >= int64(s.size.Load()) {
		return 0, s.base, nil
	}
	h, err := s.headerAt(int32(e.b))
	if err != nil && !isRecordError(err) {
		return 0, s.base, err
	}
	if err != nil || !s.entryFits(e, &h) {
		return 0, s.base, nil
	}
	s.oidx.restart(e.slot + 1)
	s.tidx.restart(te.slot + 1)
	ts, off := NoTimestamp, s.base
	if te.slot >= 0 {
		ts, off = te.a, s.base+te.b
	}
	s.lastIndexedTs = ts
	s.maxTsOffset.Store(off)
	s.maxTs.Store(ts)
	return int32(e.b), h.BaseOffset, nil
}

// walkBuffers hold the pieces in which recovery reads a segment.
var walkBuffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// walker reads a segment's batches whole, checks them, and rebuilds what derives from them.
type walker struct {
	s           *segment
	pos         int32 // bytes that are good
	lastIndexed int32
	next        int64 // offset after the last good batch
	prevLast    int64
}

// run stops at the end or at the first batch that is not good, for which it returns an error that satisfies isRecordError.
func (w *walker) run() error {
	s := w.s
	size := s.size.Load()
	if w.pos >= size {
		return nil
	}
	f, err := s.openLog()
	if err != nil {
		return err
	}
	defer f.Release()
	bp := walkBuffers.Get().(*[]byte)
	defer walkBuffers.Put(bp)
	buf := *bp
	for w.pos < size {
		n := min(int(size-w.pos), len(buf))
		if err := readFull(f, buf[:n], int64(w.pos)); err != nil {
			return err
		}
		rest := buf[:n]
		for len(rest) > 0 {
			b, after, err := record.Next(rest)
			if errors.Is(err, record.ErrShort) {
				break
			}
			if err != nil {
				return err
			}
			if err := w.batch(b); err != nil {
				return err
			}
			rest = after
		}
		if len(rest) < n {
			continue // the buffer held at least one batch: read on behind it
		}
		if n == int(size-w.pos) {
			return &record.CorruptError{Reason: fmt.Sprintf("the last batch needs more than the %d bytes that are left", n)}
		}
		h, err := record.ParseHeader(rest)
		if err != nil {
			return err
		}
		if int64(h.Size()) > int64(size-w.pos) {
			return &record.CorruptError{Reason: fmt.Sprintf("a batch of %d bytes does not fit into the %d that are left", h.Size(), size-w.pos)}
		}
		buf = make([]byte, h.Size()) // only as large as the file is
	}
	return nil
}

// batch takes in one whole batch.
func (w *walker) batch(b []byte) error {
	s, l := w.s, w.s.log
	h, err := record.ParseHeader(b)
	if err != nil {
		return err
	}
	if h.Magic >= 2 {
		if !record.Batch(b).ValidCRC() {
			return &record.CorruptError{Reason: fmt.Sprintf("the stored crc of the batch at offset %d is wrong", h.BaseOffset)}
		}
	} else if !record.ValidLegacyCRC(b) {
		return &record.CorruptError{Reason: fmt.Sprintf("the stored crc of the message at offset %d is wrong", h.BaseOffset)}
	}
	last := h.LastOffset()
	if last <= w.prevLast || h.BaseOffset < s.base && h.Magic >= 2 || last < h.BaseOffset {
		return &record.CorruptError{Reason: fmt.Sprintf("offset %d does not follow %d", last, w.prevLast)}
	}
	if h.MaxTimestamp > s.maxTs.Load() {
		s.maxTsOffset.Store(last)
		s.maxTs.Store(h.MaxTimestamp)
	}
	if w.pos-w.lastIndexed > s.interval && s.fits(last) {
		if err := s.addIndexEntry(last, w.pos); err != nil {
			return err
		}
		w.lastIndexed = w.pos
	}
	if h.Magic >= 2 {
		if e, ok := l.epochs.Latest(); h.LeaderEpoch >= 0 && l.KeepsEpochs() && (!ok || h.LeaderEpoch > e.Epoch) {
			l.epochs.Assign(h.LeaderEpoch, h.BaseOffset)
			l.epochsDirty = true
		}
		if h.HasProducerID() && l.producers.MapEnd() <= h.BaseOffset {
			if err := w.producer(record.Batch(b)); err != nil {
				return err
			}
		}
	}
	w.pos += int32(len(b))
	w.prevLast, w.next = last, last+1
	return nil
}

// producer follows a batch in the producer state and in the transaction index, which recovery rebuilds.
func (w *walker) producer(b record.Batch) error {
	l := w.s.log
	p, err := l.producers.Check(b, producerstate.FromReplication)
	if err != nil {
		var inv *record.InvalidRecordError
		if errors.As(err, &inv) {
			return &record.CorruptError{Reason: err.Error()}
		}
		l.m.log.Warnf("%v: producer state of the batch at offset %d is not taken in: %v", l.tp, b.BaseOffset(), err)
		return nil
	}
	txn, completed := l.producers.Apply(&p)
	if !completed {
		return nil
	}
	if txn.Aborted {
		err := txnindex.Append(l.m.fs, w.s.path(suffixTxnIndex), txnindex.Aborted{
			ProducerID: txn.ProducerID, FirstOffset: txn.FirstOffset, LastOffset: txn.LastOffset,
			LastStableOffset: l.producers.LastStableOffset(txn),
		})
		if err != nil {
			return err
		}
		w.s.hasTxnIndex.Store(true)
	}
	l.producers.Complete(txn)
	return nil
}
