package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gregor/internal/vfs"
)

// floorLog is the log of cluster-floor: segments as the brokers of the rows have them, and nothing but their bytes. A segment that was
// rolled is synced behind the writer's back, and the oldest goes once the others are enough. One goroutine appends.
type floorLog struct {
	dir       string
	segment   int64 // the most bytes of one
	retention int64 // the least bytes that stay

	active   *floorSegment
	next     int   // number of the next segment
	reserved int64 // up to where the disk holds room for the active one
	rolled   chan struct{}

	mu struct {
		sync.Mutex
		segments []*floorSegment // the last is the active one
		err      error           // of a sync or a deletion; the next roll returns it
	}
}

// floorSegment is closed by the last one who uses it.
type floorSegment struct {
	f      vfs.File
	fd     int
	size   atomic.Int64
	uses   atomic.Int32
	synced bool // or about to be; under the log's lock
}

// As the rows' brokers have them, and as storage takes room: a segment that has grown to floorReserveFrom takes it in steps.
const (
	floorSegmentSize = 256 << 20
	floorRetention   = 512 << 20
	floorCheck       = 500 * time.Millisecond
	floorReserveFrom = 4 << 20
	floorReserveStep = 32 << 20
)

func newFloorLog(dir string) *floorLog {
	return &floorLog{dir: dir, segment: floorSegmentSize, retention: floorRetention, rolled: make(chan struct{}, 1)}
}

// append writes b behind what is there and returns the segment and where b begins in it. The segment stays open until the next append.
func (l *floorLog) append(b []byte) (*floorSegment, int64, error) {
	if l.active == nil || l.active.size.Load()+int64(len(b)) > l.segment {
		if err := l.roll(); err != nil {
			return nil, 0, err
		}
	}
	s := l.active
	pos := s.size.Load()
	if pos >= floorReserveFrom && pos+int64(len(b)) > l.reserved {
		if step := min(floorReserveStep, l.segment-pos); vfs.Reserve(s.f, pos, step) {
			l.reserved = pos + step
		}
	}
	if _, err := s.f.WriteAt(b, pos); err != nil {
		return nil, 0, err
	}
	s.size.Store(pos + int64(len(b)))
	return s, pos, nil
}

// roll begins a segment. The former one gives back the room that it took ahead and is left to keep.
func (l *floorLog) roll() error {
	if s := l.active; s != nil && l.reserved > s.size.Load() {
		if err := s.f.Truncate(s.size.Load()); err != nil {
			return err
		}
	}
	f, err := vfs.OS.OpenFile(filepath.Join(l.dir, fmt.Sprintf("%06d.log", l.next)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	fd, _ := f.Fd()
	s := &floorSegment{f: f, fd: int(fd)}
	s.uses.Store(1)
	l.active, l.reserved = s, 0
	l.next++
	l.mu.Lock()
	l.mu.segments = append(l.mu.segments, s)
	err = l.mu.err
	l.mu.Unlock()
	select {
	case l.rolled <- struct{}{}:
	default:
	}
	return err
}

// keep syncs and deletes until stop is closed.
func (l *floorLog) keep(stop <-chan struct{}) {
	var both sync.WaitGroup
	both.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-l.rolled:
			}
			for l.syncOne() {
			}
		}
	})
	both.Go(func() {
		t := time.NewTicker(floorCheck)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
			}
			for l.deleteOne() {
			}
		}
	})
	both.Wait()
}

// syncOne syncs the oldest segment that waits for it; false: there is none.
func (l *floorLog) syncOne() bool {
	var s *floorSegment
	l.mu.Lock()
	for _, o := range l.mu.segments[:max(0, len(l.mu.segments)-1)] {
		if !o.synced {
			s = o
			s.synced = true
			s.uses.Add(1)
			break
		}
	}
	l.mu.Unlock()
	if s == nil {
		return false
	}
	err := s.f.Sync()
	if closed := s.done(); err == nil {
		err = closed
	}
	l.note(err)
	return true
}

// deleteOne deletes the oldest segment if enough stays; false: it does not.
func (l *floorLog) deleteOne() bool {
	l.mu.Lock()
	var sum int64
	for _, s := range l.mu.segments {
		sum += s.size.Load()
	}
	var s *floorSegment
	if len(l.mu.segments) > 1 && sum-l.mu.segments[0].size.Load() >= l.retention {
		s = l.mu.segments[0]
		l.mu.segments = l.mu.segments[1:]
	}
	l.mu.Unlock()
	if s == nil {
		return false
	}
	err := os.Remove(s.f.Name())
	if closed := s.done(); err == nil {
		err = closed
	}
	l.note(err)
	return true
}

// done gives up one use.
func (s *floorSegment) done() error {
	if s.uses.Add(-1) > 0 {
		return nil
	}
	return s.f.Close()
}

func (l *floorLog) note(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.err == nil {
		l.mu.err = err
	}
}
