package storage

import (
	"time"
)

// DeleteRecords raises the log start offset to upTo; it may not pass the high watermark. Whole segments below it go with the next
// retention sweep, as in Kafka.
func (l *Log) DeleteRecords(upTo int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if hw := l.hw.Load(); upTo > hw {
		return &OffsetOutOfRangeError{Partition: l.tp, Offset: upTo, LogStart: l.start.Load(), LogEnd: l.leo.Load(), HighWater: hw, DeleteOnly: true}
	}
	return l.raiseStartLocked(upTo, "records were deleted")
}

// raiseStartLocked moves the log start offset, never back.
func (l *Log) raiseStartLocked(start int64, why string) error {
	if start <= l.start.Load() {
		return nil
	}
	l.start.Store(start)
	if l.hw.Load() < start {
		l.hw.Store(start)
	}
	if l.recovery.Load() < start {
		l.recovery.Store(start)
	}
	l.m.log.Infof("%v: the log starts at offset %d now: %s", l.tp, start, why)
	if l.epochs.TruncateFromStart(start) {
		l.epochsDirty = true
	}
	if err := l.producers.TruncateHead(l.m.fs, l.path(), start); err != nil {
		return l.ioError("removing producer snapshots", err)
	}
	l.updateUnstableLocked()
	l.dir.startsDirty.Store(true)
	return nil
}

// CleanUp removes the segments that retention no longer wants. It returns how many.
func (l *Log) CleanUp(now time.Time) (int, error) {
	cfg := l.cfg.Load()
	segs := l.segments()
	if len(segs) == 0 {
		return 0, nil
	}
	n := 0
	if cfg.Delete {
		k, err := l.cleanByTime(cfg, now)
		n += k
		if err != nil {
			return n, err
		}
		k, err = l.cleanBySize(cfg, now)
		n += k
		if err != nil {
			return n, err
		}
	}
	k, err := l.deleteOldest(now, "they lie before the log start offset", func(s, next *segment) (bool, error) {
		return next != nil && next.base <= l.start.Load(), nil
	})
	return n + k, err
}

func (l *Log) cleanByTime(cfg *Config, now time.Time) (int, error) {
	if cfg.RetentionMs < 0 {
		return 0, nil
	}
	nowMs := now.UnixMilli()
	return l.deleteOldest(now, "they are older than retention.ms", func(s, _ *segment) (bool, error) {
		ts, err := s.retentionTimestamp()
		return err == nil && nowMs-ts > cfg.RetentionMs, err
	})
}

func (l *Log) cleanBySize(cfg *Config, now time.Time) (int, error) {
	size := l.Size()
	if cfg.RetentionBytes < 0 || size < cfg.RetentionBytes {
		return 0, nil
	}
	excess := size - cfg.RetentionBytes
	return l.deleteOldest(now, "the log is larger than retention.bytes", func(s, _ *segment) (bool, error) {
		if excess < int64(s.size.Load()) {
			return false, nil
		}
		excess -= int64(s.size.Load())
		return true, nil
	})
}

// deleteOldest removes segments from the oldest on while want says so, none that reaches past the high watermark, and not an active
// one that is empty. It decides outside of the lock: what it looks at in sealed segments does not change, and the active segment is
// looked at again.
func (l *Log) deleteOldest(now time.Time, why string, want func(s, next *segment) (bool, error)) (int, error) {
	segs := l.segments()
	n := 0
	for n < len(segs) {
		s := segs[n]
		var next *segment
		upper := l.leo.Load()
		if n+1 < len(segs) {
			next = segs[n+1]
			upper = next.base
		} else if s.size.Load() == 0 {
			break
		}
		if l.hw.Load() < upper {
			break
		}
		ok, err := want(s, next)
		if err != nil {
			if isNotExist(err) {
				break // truncated or deleted meanwhile
			}
			return 0, l.readError(err)
		}
		if !ok {
			break
		}
		n++
	}
	if n == 0 {
		return 0, nil
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return 0, err
	}
	cur := l.segments()
	if len(cur) < n {
		return 0, nil
	}
	for i := range n {
		if cur[i] != segs[i] {
			return 0, nil // truncated meanwhile: the next sweep decides anew
		}
	}
	if n == len(cur) {
		if l.hw.Load() < l.leo.Load() {
			n-- // appended to since
			if n == 0 {
				return 0, nil
			}
		} else if _, err := l.rollLocked(0, l.cfg.Load(), now.UnixMilli()); err != nil {
			return 0, err
		}
		cur = l.segments()
	}
	l.m.log.Infof("%v: deleting %d segments from offset %d on: %s", l.tp, n, cur[0].base, why)
	gone := cur[:n]
	l.setSegments(cur[n:len(cur):len(cur)])
	if err := l.raiseStartLocked(cur[n].base, "segments were deleted"); err != nil {
		return 0, err
	}
	return n, l.scheduleDeletionLocked(gone)
}

// removeSegmentsLocked schedules segments for deletion; the caller publishes the list without them.
func (l *Log) removeSegmentsLocked(segs []*segment, why string) error {
	if len(segs) == 0 {
		return nil
	}
	l.m.log.Infof("%v: deleting %d segments from offset %d on: %s", l.tp, len(segs), segs[0].base, why)
	return l.scheduleDeletionLocked(segs)
}

// scheduleDeletionLocked renames the segments' files to .deleted, so that a new segment may take their names, and has them removed
// after file.delete.delay.ms.
func (l *Log) scheduleDeletionLocked(segs []*segment) error {
	fs := l.m.fs
	for _, s := range segs {
		for _, suffix := range segmentSuffixes {
			if suffix == suffixTxnIndex && !s.hasTxnIndex.Load() {
				continue
			}
			name := l.path() + "/" + offsetName(s.base) + suffix + suffixDeleted
			if err := fs.Rename(s.path(suffix), name); err != nil && !isNotExist(err) {
				return l.ioError("renaming a segment for deletion", err)
			}
		}
		s.suffix.Store(suffixStateDeleted)
	}
	l.m.deleter.addSegments(l, segs, time.Duration(l.cfg.Load().FileDeleteDelayMs)*time.Millisecond)
	return nil
}

// deleteFiles removes the files of segments that were scheduled for deletion.
func (l *Log) deleteFiles(segs []*segment) error {
	for _, s := range segs {
		for _, suffix := range segmentSuffixes {
			if suffix == suffixTxnIndex && !s.hasTxnIndex.Load() {
				continue
			}
			if err := l.m.fs.Remove(s.path(suffix)); err != nil && !isNotExist(err) {
				return l.ioError("deleting a segment", err)
			}
		}
		s.dropFiles()
	}
	return nil
}
