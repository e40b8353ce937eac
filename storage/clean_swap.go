package storage

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"gregor/storage/txnindex"
	"gregor/wire/record"
)

// errCleaningAborted says that the log changed, or goes away, and that its cleaning was given up.
var errCleaningAborted = errors.New("the cleaning was aborted")

// cleanedSegment is a segment that the cleaner writes. Nobody else knows it before it is swapped in.
type cleanedSegment struct {
	*segment
	f       *OpenFile
	buf     []byte // of batches that are not written yet
	aborted []byte // entries of the transaction index
}

// newCleaned makes the files of a segment with the suffix .cleaned.
func (l *Log) newCleaned(base int64, nowMs int64) (*cleanedSegment, error) {
	s := newSegment(l, base, l.cfg.Load(), nowMs)
	s.suffix.Store(suffixStateCleaned)
	if err := s.create(); err != nil {
		return nil, err
	}
	f, err := s.openLog()
	if err != nil {
		return nil, err
	}
	return &cleanedSegment{segment: s, f: f}, nil
}

// end is the position after the last batch.
func (s *cleanedSegment) end() int64 { return int64(s.size.Load()) + int64(len(s.buf)) }

// added takes in a batch of n bytes that has just been appended to buf.
func (s *cleanedSegment) added(n int) error {
	pos := int32(s.end() - int64(n))
	h, err := record.ParseHeader(s.buf[len(s.buf)-n:])
	if err != nil {
		return err
	}
	if h.MaxTimestamp > s.maxTs.Load() {
		s.maxTsOffset.Store(h.LastOffset())
		s.maxTs.Store(h.MaxTimestamp)
	}
	if s.sinceIndex > s.interval && s.fits(h.LastOffset()) {
		if err := s.addIndexEntry(h.LastOffset(), pos); err != nil {
			return err
		}
		s.sinceIndex = 0
	}
	s.sinceIndex += int32(n)
	return nil
}

func (s *cleanedSegment) write() error {
	if len(s.buf) == 0 {
		return nil
	}
	if err := s.f.writeAt(s.buf, int64(s.size.Load())); err != nil {
		return err
	}
	s.size.Add(int32(len(s.buf)))
	s.buf = s.buf[:0]
	return nil
}

// complete makes the segment durable, with the time at which the newest of those that it replaces was written: tombstones' age counts
// from it.
func (s *cleanedSegment) complete(withTxnIndex bool, mtime time.Time) error {
	fs := s.log.m.fs
	if err := s.write(); err != nil {
		return err
	}
	if err := s.segment.finish(); err != nil {
		return err
	}
	if withTxnIndex {
		if err := s.writeTxnIndex(); err != nil {
			return err
		}
	}
	if err := fs.Chtimes(s.path(suffixLog), mtime); err != nil {
		return err
	}
	if err := s.f.f.Sync(); err != nil {
		return err
	}
	if err := s.oidx.sync(s.makeOffsetIndex); err != nil {
		return err
	}
	if err := s.tidx.sync(s.makeTimeIndex); err != nil {
		return err
	}
	s.seal()
	return nil
}

func (s *cleanedSegment) writeTxnIndex() error {
	f, err := s.log.m.fs.OpenFile(s.path(suffixTxnIndex), flagCreate, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(s.aborted, 0); err == nil {
		if err = f.Truncate(int64(len(s.aborted))); err == nil {
			err = f.Sync()
		}
	}
	s.hasTxnIndex.Store(true)
	return errors.Join(err, f.Close())
}

func (s *cleanedSegment) abort(a *txnindex.Aborted) {
	if e := txnindex.AppendEntry(nil, *a); !bytes.HasSuffix(s.aborted, e) {
		s.aborted = append(s.aborted, e...)
	}
}

// discard removes the files of a segment that is not swapped in.
func (s *cleanedSegment) discard() error {
	var first error
	for _, suffix := range segmentSuffixes {
		if err := remove(s.log.m.fs, s.path(suffix)); err != nil && first == nil {
			first = err
		}
	}
	s.release()
	s.dropFiles()
	return first
}

func (s *cleanedSegment) release() {
	if s.f != nil {
		s.f.Release()
		s.f = nil
	}
}

// pin holds the files of a segment open, so that readers need not know their names.
func (s *segment) pin() (unpin func(), err error) {
	var held []*OpenFile
	unpin = func() {
		for _, f := range held {
			f.Release()
		}
	}
	for _, open := range []func() (*OpenFile, error){s.openLog, s.makeOffsetIndex, s.makeTimeIndex} {
		f, err := open()
		if err != nil {
			unpin()
			return nil, err
		}
		held = append(held, f)
	}
	return unpin, nil
}

// renameTo gives the segment's files the names of another state, in the given order of suffixes.
func (s *segment) renameTo(state uint32, suffixes []string) error {
	was := make([]string, len(suffixes))
	for i, suffix := range suffixes {
		was[i] = s.path(suffix)
	}
	s.suffix.Store(state)
	for i, suffix := range suffixes {
		if suffix == suffixTxnIndex && !s.hasTxnIndex.Load() {
			continue
		}
		if err := s.log.m.fs.Rename(was[i], s.path(suffix)); err != nil {
			return err
		}
	}
	return nil
}

// replaceSegments puts cleaned segments in the place of those they were made from. At every step a crash leaves either all the old
// segments, or .swap files of all the new ones, which the next start completes: first every file is renamed to .swap, the last segment
// first and the log before its indexes; only then the old ones go; the new ones' logs get their names last. Appends and reads go on:
// the lock is held for renames, never for a sync.
func (l *Log) replaceSegments(group []*segment, fresh []*cleanedSegment, truncations uint32) error {
	l.flushMu.Lock() // no truncation, flush or deletion of the log meanwhile
	defer l.flushMu.Unlock()
	at := -1
	find := func() bool {
		segs := l.segments()
		at = slices.Index(segs, group[0])
		return l.usable() == nil && l.truncations.Load() == truncations && at >= 0 && at+len(group) < len(segs) &&
			slices.Equal(segs[at:at+len(group)], group)
	}
	if !find() {
		return errCleaningAborted
	}
	for _, s := range slices.Backward(fresh) {
		if err := s.renameTo(suffixStateSwap, segmentSuffixes[:]); err != nil {
			return err
		}
		unpin, err := s.pin()
		if err != nil {
			return err
		}
		defer unpin()
	}
	if err := l.m.fs.SyncDir(l.path()); err != nil {
		return err
	}
	l.mu.Lock()
	if !find() {
		l.mu.Unlock()
		return errCleaningAborted
	}
	segs := l.segments()
	list := make([]*segment, 0, len(segs)+len(fresh)-len(group))
	list = append(list, segs[:at]...)
	for _, s := range fresh {
		list = append(list, s.segment)
	}
	l.setSegments(append(list, segs[at+len(group):]...))
	err := l.scheduleDeletionLocked(group)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if err := l.m.fs.SyncDir(l.path()); err != nil {
		return err
	}
	return l.nameSwapped(fresh)
}

// nameSwapped gives segments that were swapped in their own names, unless retention was faster.
func (l *Log) nameSwapped(fresh []*cleanedSegment) error {
	last := []string{suffixTxnIndex, suffixTimeIndex, suffixIndex, suffixLog}
	l.mu.Lock()
	for _, s := range fresh {
		if s.suffix.Load() != suffixStateSwap {
			continue
		}
		if err := s.renameTo(suffixStateNone, last); err != nil {
			l.mu.Unlock()
			return err
		}
		s.dirSynced = true
	}
	l.mu.Unlock()
	return l.m.fs.SyncDir(l.path())
}
