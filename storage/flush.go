package storage

import (
	"sync"
	"time"

	"gregor/internal/vfs"
)

// Flush makes everything appended so far durable and moves the recovery point there.
func (l *Log) Flush() error { return l.flushTo(l.leo.Load()) }

// flushTo makes everything below offset durable. Appends go on meanwhile: only index entries that are still in memory are written
// under the lock.
func (l *Log) flushTo(offset int64) error {
	if offset <= l.recovery.Load() {
		return nil
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	from := l.recovery.Load()
	if offset <= from {
		return nil
	}

	l.mu.Lock()
	if err := l.usable(); err != nil {
		l.mu.Unlock()
		return err
	}
	segs := l.segments()
	segs = segs[max(floorSegment(segs, from), 0):]
	truncations := l.truncations.Load()
	for _, s := range segs {
		if s.base >= offset {
			break
		}
		if err := s.writeIndexes(); err != nil {
			l.mu.Unlock()
			return l.ioError("writing an index", err)
		}
	}
	l.mu.Unlock()

	for i, s := range segs {
		if s.base >= offset && i > 0 {
			break
		}
		if err := s.sync(); err != nil {
			if isNotExist(err) {
				continue // deleted meanwhile
			}
			return l.ioError("flush", err)
		}
	}
	if err := l.flushEpochs(l.m.fs); err != nil {
		return l.ioError("writing the leader epochs", err)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if truncations == l.truncations.Load() && offset > l.recovery.Load() {
		l.recovery.Store(offset)
		l.lastFlush = l.m.nowMs()
	}
	return nil
}

// sync makes the segment's files durable, and their names the first time. Under flushMu.
func (s *segment) sync() error {
	defer s.log.m.opt.FlushTime.Since(time.Now())
	f, err := s.openLog()
	if err != nil {
		return err
	}
	err = f.f.Sync()
	f.Release()
	if err != nil {
		return err
	}
	if err := s.oidx.sync(s.openOffsetIndex); err != nil {
		return err
	}
	if err := s.tidx.sync(s.openTimeIndex); err != nil {
		return err
	}
	if err := syncIfThere(s.log.m.fs, s.path(suffixTxnIndex), s.hasTxnIndex.Load()); err != nil {
		return err
	}
	if s.dirSynced {
		return nil
	}
	l := s.log
	if err := l.m.fs.SyncDir(l.path()); err != nil {
		return err
	}
	if l.madeDir {
		if err := l.m.fs.SyncDir(l.dir.path); err != nil {
			return err
		}
		l.madeDir = false
	}
	s.dirSynced = true
	return nil
}

// sync makes the entries that were written durable. Under flushMu; a write that goes on meanwhile is synced with the next flush.
func (ix *index) sync(open func() (*OpenFile, error)) error {
	v := ix.version.Load()
	if v == ix.synced {
		return nil
	}
	f, err := open()
	if err != nil {
		return err
	}
	err = f.f.Sync()
	f.Release()
	if err == nil {
		ix.synced = v
	}
	return err
}

func syncIfThere(fs vfs.FS, name string, there bool) error {
	if !there {
		return nil
	}
	f, err := fs.OpenFile(name, flagRead, 0)
	if err != nil {
		if isNotExist(err) {
			return nil
		}
		return err
	}
	defer f.Close()
	return f.Sync()
}

// flusher syncs rolled segments behind the producers' back. Each log stands in its queue at most once, so that the queue is bounded by
// the number of logs.
type flusher struct {
	mu    sync.Mutex
	queue []*Log
	wake  chan struct{} // one buffered element
}

func (f *flusher) add(l *Log) {
	if l.queued.Swap(true) {
		return
	}
	f.mu.Lock()
	f.queue = append(f.queue, l)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *flusher) take() *Log {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		f.queue = nil
		return nil
	}
	l := f.queue[0]
	f.queue = f.queue[1:]
	return l
}

// run flushes until stop is closed. A log's sealed segments are flushed: what lies below the base of the active one.
func (f *flusher) run(stop <-chan struct{}, log func(*Log, error)) {
	for {
		select {
		case <-stop:
			return
		case <-f.wake:
		}
		for l := f.take(); l != nil; l = f.take() {
			select {
			case <-stop:
				return
			default:
			}
			l.queued.Store(false)
			for _, s := range l.segments() {
				if s.damaged.Load() {
					if err := l.repair(s); err != nil {
						log(l, err)
						break
					}
					s.damaged.Store(false)
				}
			}
			if s := l.active(); s != nil {
				if err := l.flushTo(min(s.base, l.leo.Load())); err != nil {
					log(l, err)
				}
			}
		}
	}
}
