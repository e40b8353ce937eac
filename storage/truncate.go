package storage

import (
	"fmt"
	"time"

	"gregor/storage/txnindex"
	"gregor/wire/record"
)

// TruncateTo removes every batch that holds, or lies past, offset, and makes the lower recovery point durable.
func (l *Log) TruncateTo(offset int64) error {
	truncated, err := l.truncateTo(offset)
	if err != nil || !truncated {
		return err
	}
	return l.m.checkpointRecoveryPoints(l.dir)
}

// truncateTo is TruncateTo without the checkpoint, which whoever truncates many logs writes once.
func (l *Log) truncateTo(offset int64) (bool, error) {
	if offset < 0 {
		return false, fmt.Errorf("cannot truncate %v to the negative offset %d", l.tp, offset)
	}
	l.flushMu.Lock() // a flush under way must not look at the files
	defer l.flushMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return false, err
	}
	if leo := l.leo.Load(); offset >= leo {
		// An epoch may have been assigned at the log's end by a leader that never wrote in it.
		if l.epochs.TruncateFromEnd(leo) && !l.epochsPending {
			l.epochsDirty = true
		}
		l.epochsPending = false
		return false, nil
	}
	segs := l.segments()
	i := floorSegment(segs, offset)
	if i < 0 {
		return true, l.startAtLocked(offset)
	}
	l.m.log.Infof("%v: truncating to offset %d", l.tp, offset)
	if err := l.removeSegmentsLocked(segs[i+1:], "truncation"); err != nil {
		return false, err
	}
	cut, err := l.truncatedSegment(segs[i], offset)
	if err != nil {
		return false, l.ioError("truncation", err)
	}
	old := segs[i]
	// Segments that a power cut brought back would stand beside what is written in their place: the next flush syncs the directory.
	cut.dirSynced = cut.dirSynced && i == len(segs)-1
	l.setSegments(append(segs[:i:i], cut))
	old.dropFiles()
	if l.epochs.TruncateFromEnd(offset) {
		l.epochsDirty, l.epochsPending = false, false
		if err := l.epochs.Flush(l.m.fs, l.path()); err != nil {
			return false, l.ioError("writing the leader epochs", err)
		}
	}
	return true, l.completeTruncationLocked(min(l.start.Load(), offset), offset)
}

// truncatedSegment returns a segment over the same files that ends before the batch that holds offset. Under flushMu and mu.
func (l *Log) truncatedSegment(old *segment, offset int64) (*segment, error) {
	if old.recent.Load() == nil {
		if err := old.prepareAppend(); err != nil {
			return nil, err
		}
	}
	pos, _, _, err := old.find(offset, old.size.Load())
	if err != nil && !isRecordError(err) {
		return nil, err
	}
	if err := old.writeIndexes(); err != nil {
		return nil, err
	}
	oe, err := old.oidx.floor(offsetIndex, byOffset, offset-1-old.base, old.openOffsetIndex)
	if err != nil {
		return nil, err
	}
	te, err := old.tidx.floor(timeIndex, byOffset, offset-1-old.base, old.openTimeIndex)
	if err != nil {
		return nil, err
	}
	f, err := old.openLog()
	if err != nil {
		return nil, err
	}
	err = f.f.Truncate(int64(pos))
	f.Release()
	if err != nil {
		return nil, err
	}
	if old.hasTxnIndex.Load() {
		if err := txnindex.TruncateTo(l.m.fs, old.path(suffixTxnIndex), offset); err != nil {
			return nil, err
		}
	}
	s := newSegment(l, old.base, l.cfg.Load(), l.m.nowMs())
	s.created, s.jitter, s.interval = old.created, old.jitter, old.interval
	s.oidx.max, s.tidx.max = old.oidx.max, old.tidx.max
	s.firstTs = old.firstTs
	s.dirSynced = old.dirSynced
	s.hasTxnIndex.Store(old.hasTxnIndex.Load())
	s.suffix.Store(old.suffix.Load())
	s.size.Store(pos)
	if pos == 0 {
		s.created = l.m.nowMs()
		s.setEmpty()
		return s, nil
	}
	s.oidx.restart(oe.slot + 1)
	s.tidx.restart(te.slot + 1)
	return s, s.loadLargestTimestamp(te)
}

// loadLargestTimestamp finds the largest timestamp from the last time index entry and the batches after it.
func (s *segment) loadLargestTimestamp(last indexEntry) error {
	ts, off := NoTimestamp, s.base
	if last.slot >= 0 {
		ts, off = last.a, s.base+last.b
	}
	s.lastIndexedTs = ts
	pos := int32(0)
	e, err := s.oidx.floor(offsetIndex, byOffset, off-s.base, s.openOffsetIndex)
	if err != nil {
		return err
	}
	if e.slot >= 0 {
		pos = int32(e.b)
	}
	sc := s.scan(pos, s.size.Load())
	defer sc.close()
	for sc.next() {
		if sc.h.MaxTimestamp > ts {
			ts, off = sc.h.MaxTimestamp, sc.h.LastOffset()
		}
	}
	s.maxTsOffset.Store(off)
	s.maxTs.Store(ts)
	return sc.err
}

// TruncateFullyAndStartAt empties the log and lets it start at offset.
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("cannot start %v at the negative offset %d", l.tp, offset)
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	err := l.usable()
	if err == nil {
		err = l.startAtLocked(offset)
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.m.checkpointRecoveryPoints(l.dir)
}

func (l *Log) startAtLocked(offset int64) error {
	l.m.log.Infof("%v: emptying the log; it starts at offset %d", l.tp, offset)
	if err := l.removeSegmentsLocked(l.segments(), "truncation"); err != nil {
		return err
	}
	l.setSegments(nil)
	if l.epochs.Clear() {
		l.epochsDirty, l.epochsPending = false, false
		if err := l.epochs.Flush(l.m.fs, l.path()); err != nil {
			return l.ioError("writing the leader epochs", err)
		}
	}
	if err := l.producers.TruncateFullyAndStartAt(l.m.fs, l.path(), offset); err != nil {
		return l.ioError("removing producer snapshots", err)
	}
	if offset > 0 {
		// The empty segment's name is what remembers the offset over a restart.
		if err := l.addSegmentLocked(newSegment(l, offset, l.cfg.Load(), l.m.nowMs())); err != nil {
			return err
		}
	}
	return l.completeTruncationLocked(offset, offset)
}

func (l *Log) completeTruncationLocked(start, end int64) error {
	l.truncations.Add(1)
	if l.cleaned.Load() > end {
		l.cleaned.Store(end)
		l.dir.cleanerDirty.Store(true)
	}
	l.leo.Store(end)
	l.start.Store(start)
	l.recovery.Store(min(l.recovery.Load(), end))
	if err := l.reloadProducersLocked(end, true); err != nil {
		return l.ioError("reading back producer state", err)
	}
	if l.hw.Load() > end {
		l.hw.Store(end)
	}
	l.updateUnstableLocked()
	return nil
}

// reloadProducersLocked brings the producer state to the log's end at offset end: from the newest snapshot, then from the batches
// after it. With truncating it does no more than drop snapshots if there is no state.
func (l *Log) reloadProducersLocked(end int64, truncating bool) error {
	p := &l.producers
	nothing := truncating && p.Empty() && p.MapEnd() >= end
	err := p.TruncateAndReload(l.m.fs, l.path(), l.start.Load(), end, time.UnixMilli(l.m.nowMs()), l.m.opt.ProducerIDExpiration)
	if err != nil {
		return err
	}
	if end > p.MapEnd() && !nothing && l.KeepsEpochs() { // the old message formats know no producers
		if err := l.loadProducersLocked(p.MapEnd(), end); err != nil {
			return err
		}
	}
	p.SetMapEnd(end)
	return nil
}

// loadProducersLocked feeds the batches of [from, end) to the producer state.
func (l *Log) loadProducersLocked(from, end int64) error {
	segs := l.segments()
	for i := max(floorSegment(segs, from), 0); i < len(segs); i++ {
		s := segs[i]
		size := s.size.Load()
		pos, _, ok, err := s.find(from, size)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		sc := s.scan(pos, size)
		for sc.next() {
			if sc.h.BaseOffset >= end {
				break
			}
			if sc.h.HasProducerID() {
				if err := l.loadProducerBatch(s, &sc); err != nil {
					sc.close()
					return err
				}
			}
		}
		sc.close()
		if sc.err != nil {
			return sc.err
		}
	}
	return nil
}

// loadProducerBatch feeds one batch; only control batches are read whole.
func (l *Log) loadProducerBatch(s *segment, sc *scanner) error {
	if !sc.h.IsControl() {
		return l.producers.Load(record.Batch(sc.raw()))
	}
	bp := batchBuffers.Get().(*[]byte)
	defer batchBuffers.Put(bp)
	b, err := s.readBatch(sc.f, sc.pos, &sc.h, bp)
	if err != nil {
		return err
	}
	return l.producers.Load(record.Batch(b))
}
