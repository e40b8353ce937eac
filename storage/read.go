package storage

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"gregor/storage/txnindex"
	"gregor/wire/record"
)

// maxDecompressed bounds what a search by time may unpack from one batch.
const maxDecompressed = 256 << 20

// Read returns batches from the one that holds offset on: at most maxBytes, except that with minOne the first batch is returned
// whole even if it is larger; nothing at or past upTo (exclusive). At the end of what may be read the slice is empty. The first batch
// may begin before offset, and the last may be cut, as consumers expect.
func (l *Log) Read(offset int64, maxBytes int, minOne bool, upTo int64) (Slice, error) {
	sl, err := l.read(offset, maxBytes, minOne, upTo)
	for i := 0; i < 3 && changedUnderUs(err); i++ {
		sl, err = l.read(offset, maxBytes, minOne, upTo)
	}
	if err != nil {
		return Slice{}, l.readError(err)
	}
	return sl, nil
}

func (l *Log) read(offset int64, maxBytes int, minOne bool, upTo int64) (Slice, error) {
	leo := l.leo.Load()
	segs := l.segments()
	if start := l.start.Load(); offset < start || offset > leo {
		if err := l.usable(); err != nil {
			return Slice{}, err
		}
		return Slice{}, &OffsetOutOfRangeError{Partition: l.tp, Offset: offset, LogStart: start, LogEnd: leo}
	}
	if err := l.usable(); err != nil {
		return Slice{}, err
	}
	upTo = min(upTo, leo)
	i := floorSegment(segs, offset)
	if i < 0 {
		if len(segs) == 0 {
			return Slice{Start: OffsetMetadata{Offset: offset, SegmentBase: offset}}, nil
		}
		// The list without the deleted segments is published before the log start that follows from it.
		return Slice{}, &OffsetOutOfRangeError{Partition: l.tp, Offset: offset, LogStart: max(l.start.Load(), segs[0].base), LogEnd: leo}
	}
	for ; i < len(segs); i++ {
		s := segs[i]
		bound := upTo
		if offset > upTo {
			bound = offset // nothing to read; the position of offset itself is asked for
		}
		limit, err := s.limit(bound, i+1 < len(segs))
		if err != nil {
			return Slice{}, err
		}
		if offset >= upTo {
			return Slice{Start: OffsetMetadata{Offset: offset, SegmentBase: s.base, Position: limit}}, nil
		}
		pos, size, ok, err := s.find(offset, limit)
		if err != nil {
			return Slice{}, err
		}
		if !ok {
			continue // only gaps are left in this segment
		}
		sl := Slice{Offset: int64(pos), Start: OffsetMetadata{Offset: offset, SegmentBase: s.base, Position: pos}, segs: segs[i:]}
		n := max(maxBytes, 0)
		if n < int(size) {
			if minOne {
				n = int(size)
			} else {
				sl.FirstIncomplete = true
			}
		}
		sl.Length = min(n, int(limit-pos))
		if sl.Length == 0 {
			return sl, nil
		}
		if sl.File, err = s.openLog(); err != nil {
			return Slice{}, err
		}
		return sl, nil
	}
	return Slice{Start: OffsetMetadata{Offset: offset, SegmentBase: segs[len(segs)-1].base, Position: segs[len(segs)-1].size.Load()}}, nil
}

// changedUnderUs tells errors that a reader meets when segments are deleted or truncated between its look at the list and its look at
// the files. A second look at the list shows what became of them.
func changedUnderUs(err error) bool {
	return err != nil && (isNotExist(err) || errors.Is(err, io.ErrUnexpectedEOF))
}

// readError takes the directory offline for an error of the disk. A damaged batch, or a file that ends too early, is only this
// reader's error.
func (l *Log) readError(err error) error {
	var out *OffsetOutOfRangeError
	if isRecordError(err) || errors.As(err, &out) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &record.CorruptError{Reason: fmt.Sprintf("a file of %v ends before its contents do", l.tp)}
	}
	return l.ioError("read", err)
}

// limit is the position up to which the segment may be read when offsets from upTo on must not be seen.
func (s *segment) limit(upTo int64, sealed bool) (int32, error) {
	// The size is loaded after the log end offset that bounds upTo, so it covers upTo; it may cover more by now.
	if upTo <= s.base {
		return 0, nil
	}
	size := s.size.Load()
	if r := s.recent.Load(); r != nil {
		if pos, _, ok := r.find(upTo); ok {
			return pos, nil
		}
	} else if s.log.leo.Load() == upTo && s.recent.Load() == nil {
		return size, nil // nothing was appended since the segment was opened, or it is sealed at its end
	}
	if sealed && upTo >= s.log.nextBase(s) {
		return size, nil
	}
	pos, _, ok, err := s.find(upTo, size)
	if err != nil {
		return 0, err
	}
	if !ok {
		return size, nil
	}
	return pos, nil
}

// nextBase is the base offset of the segment after s, math.MaxInt64 if s is the last.
func (l *Log) nextBase(s *segment) int64 {
	segs := l.segments()
	if i := floorSegment(segs, s.base) + 1; i < len(segs) {
		return segs[i].base
	}
	return math.MaxInt64
}

// Locate finds where an offset lies: the batch that holds it, or the log's end.
func (l *Log) Locate(offset int64) (OffsetMetadata, error) {
	sl, err := l.Read(offset, 0, false, l.leo.Load())
	return sl.Start, err
}

// AbortedTxns lists the aborted transactions that overlap a slice that was read up to the last stable offset. Call it before Release.
func (l *Log) AbortedTxns(sl *Slice) ([]AbortedTxn, error) {
	if len(sl.segs) == 0 || sl.Length == 0 {
		return nil, nil
	}
	s := sl.segs[0]
	upper, err := s.offsetPast(sl.Offset + int64(sl.Length))
	if err != nil && !changedUnderUs(err) {
		return nil, l.readError(err)
	}
	segs := sl.segs // as they were when the slice was read: the cleaner may have replaced them, with what aborted transactions left
	i := 0
	if upper < 0 {
		if upper = l.leo.Load(); i+1 < len(segs) {
			upper = segs[i+1].base
		}
	}
	found, err := l.collectAborted(segs[i:], sl.Start.Offset, upper)
	if err != nil {
		return nil, l.readError(err)
	}
	out := make([]AbortedTxn, len(found))
	for i, a := range found {
		out[i] = AbortedTxn{a.ProducerID, a.FirstOffset}
	}
	return out, nil
}

// collectAborted lists the aborted transactions that a reader of [from, upTo) must know, from the indexes of segs.
func (l *Log) collectAborted(segs []*segment, from, upTo int64) ([]txnindex.Aborted, error) {
	var found []txnindex.Aborted
	for _, s := range segs {
		if !s.hasTxnIndex.Load() {
			continue
		}
		n := len(found)
		name := s.path(suffixTxnIndex)
		var complete bool
		var err error
		found, complete, err = txnindex.Collect(found, l.m.fs, name, from, upTo)
		if _, gone := l.m.fs.Stat(name); isNotExist(gone) || s.path(suffixTxnIndex) != name {
			// It was being renamed. That happens under the lock, and afterwards the new name is known.
			l.mu.Lock()
			found, complete, err = txnindex.Collect(found[:n], l.m.fs, s.path(suffixTxnIndex), from, upTo)
			l.mu.Unlock()
		}
		if err != nil || complete {
			return found, err
		}
	}
	return found, nil
}

// offsetPast is an offset that surely lies past the byte position, -1 if the index knows none in this segment.
func (s *segment) offsetPast(position int64) (int64, error) {
	if s.oidx.count() <= 0 { // also of an index that is damaged or not loaded
		return -1, nil
	}
	e, err := s.oidx.floor(offsetIndex, byPosition, position-1, s.openOffsetIndex)
	if err != nil || e.slot+1 >= s.oidx.count() {
		return -1, err
	}
	e, err = s.oidx.entry(offsetIndex, e.slot+1, s.openOffsetIndex)
	if err != nil || e.slot < 0 {
		return -1, err
	}
	return s.base + e.a, nil
}

// OffsetByTimestamp finds the first record, from the log start on, with a timestamp of at least ts; found is false if there is none.
func (l *Log) OffsetByTimestamp(ts int64) (at TimestampOffset, found bool, err error) {
	if err := l.usable(); err != nil {
		return at, false, err
	}
	at, found, err = l.searchTimestamp(ts)
	for i := 0; i < 3 && changedUnderUs(err); i++ {
		at, found, err = l.searchTimestamp(ts)
	}
	if err != nil {
		return at, false, l.readError(err)
	}
	return at, found, nil
}

func (l *Log) searchTimestamp(ts int64) (at TimestampOffset, found bool, err error) {
	for _, s := range l.segments() {
		largest, err := s.retentionTimestamp()
		if err != nil {
			return at, false, err
		}
		if largest < ts {
			continue
		}
		// Nothing is found in a segment whose file is that young, but whose records have no timestamps or are gone.
		if at, found, err = s.searchTimestamp(ts, l.start.Load()); err != nil || found {
			return at, found, err
		}
	}
	return at, false, nil
}

// retentionTimestamp is the largest timestamp of the segment or, if its records have none, when its file was last written.
func (s *segment) retentionTimestamp() (int64, error) {
	ts, err := s.largestTimestamp()
	if err != nil || ts >= 0 {
		return ts, err
	}
	st, err := s.log.m.fs.Stat(s.path(suffixLog))
	if err != nil {
		return 0, err
	}
	return st.ModTime().UnixMilli(), nil
}

// searchTimestamp looks through the batches from where the indexes say that ts may first appear.
func (s *segment) searchTimestamp(ts, start int64) (at TimestampOffset, found bool, err error) {
	from := s.base
	if err := s.loadIndexes(); err == nil {
		e, err := s.tidx.floor(timeIndex, byTimestamp, ts, s.openTimeIndex)
		if err != nil {
			return at, false, err
		}
		if e.slot >= 0 {
			from += e.b
		}
	} else if err = s.mend(err); err != nil {
		return at, false, err
	}
	pos, err := s.indexed(max(from, start))
	if err != nil {
		return at, false, err
	}
	sc := s.scan(pos, s.size.Load())
	defer sc.close()
	for sc.next() {
		if sc.h.MaxTimestamp < ts || sc.h.LastOffset() < start {
			continue
		}
		at, found, err := s.searchBatch(&sc, ts, start)
		if err != nil || found {
			return at, found, err
		}
	}
	return at, false, sc.err
}

func (s *segment) searchBatch(sc *scanner, ts, start int64) (at TimestampOffset, found bool, err error) {
	bp := batchBuffers.Get().(*[]byte)
	defer batchBuffers.Put(bp)
	b, err := s.readBatch(sc.f, sc.pos, &sc.h, bp)
	if err != nil {
		return at, false, err
	}
	it := record.NewIter(b, maxDecompressed)
	defer it.Close()
	for it.Next() {
		if r := &it.Record; r.Timestamp >= ts && r.Offset >= start {
			return TimestampOffset{r.Timestamp, r.Offset, sc.h.LeaderEpoch}, true, nil
		}
	}
	return at, false, it.Err()
}

// OffsetsBefore answers ListOffsets version 0: at most limit segment starts whose segments were last written at or before ts,
// newest first. ts may be -1 (latest: the log end comes first) or -2 (earliest).
func (l *Log) OffsetsBefore(ts int64, limit int, now time.Time) ([]int64, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	type point struct{ offset, ms int64 }
	var points []point
	segs := l.segments()
	start := l.start.Load()
	for _, s := range segs {
		st, err := l.m.fs.Stat(s.path(suffixLog))
		if isNotExist(err) {
			continue // deleted just now
		}
		if err != nil {
			return nil, l.readError(err)
		}
		points = append(points, point{max(s.base, start), st.ModTime().UnixMilli()})
	}
	if len(segs) == 0 {
		points = append(points, point{start, now.UnixMilli()})
	} else if segs[len(segs)-1].size.Load() > 0 {
		points = append(points, point{l.leo.Load(), now.UnixMilli()})
	}
	i := len(points) - 1
	switch ts {
	case -1:
	case -2:
		i = 0
	default:
		for i >= 0 && points[i].ms > ts {
			i--
		}
	}
	var out []int64
	for ; i >= 0 && len(out) < limit; i-- {
		out = append(out, points[i].offset)
	}
	return out, nil
}
