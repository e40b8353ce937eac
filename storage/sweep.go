package storage

import (
	"errors"
	"io/fs"
	"math"
	"sync"
	"time"

	"gregor/storage/producerstate"
)

var errExist = fs.ErrExist

// producerExpiryInterval is how often silent producers are looked for, as in Kafka.
const producerExpiryInterval = 10 * time.Minute

// start begins the background work: one goroutine for each kind.
func (m *Manager) start() {
	m.running.Go(func() {
		m.flusher.run(m.stop, func(l *Log, err error) { m.log.Errorf("%v: flushing rolled segments: %v", l.tp, err) })
	})
	m.running.Go(func() { m.deleter.run(m) })
	m.cleaner.start(m, m.opt.Cleaner)
	m.running.Go(func() {
		<-m.stop
		m.cleaner.close()
	})
	m.running.Go(func() {
		for {
			select {
			case <-m.stop:
				return
			case <-m.failures.wake:
				m.handleFailures()
			}
		}
	})
	m.every(m.opt.RetentionInterval, m.sweepRetention)
	m.every(m.opt.FlushInterval, m.sweepFlush)
	m.every(m.opt.RecoveryPointInterval, func(time.Time) { m.eachDir(m.checkpointRecoveryPoints) })
	m.every(m.opt.StartOffsetInterval, func(time.Time) {
		m.eachDir(func(d *logDir) error {
			if !d.startsDirty.Load() {
				return nil
			}
			return m.checkpointStarts(d)
		})
	})
	m.every(producerExpiryInterval, m.sweepProducers)
	m.everyFrom(m.opt.DirCheckInterval, m.opt.DirCheckInterval, func(time.Time) { m.checkDirs() })
}

// every runs f each interval; there is no such sweep if the interval is nothing, or longer than anything runs.
func (m *Manager) every(interval time.Duration, f func(now time.Time)) {
	m.everyFrom(m.opt.InitialDelay, interval, f)
}

func (m *Manager) everyFrom(first, interval time.Duration, f func(now time.Time)) {
	if interval <= 0 || interval > 100*365*24*time.Hour {
		return
	}
	m.running.Go(func() {
		t := time.NewTimer(first)
		defer t.Stop()
		for {
			select {
			case <-m.stop:
				return
			case <-t.C:
			}
			f(time.Now())
			t.Reset(interval)
		}
	})
}

// eachDir runs f on the live directories. A directory that fails reports itself.
func (m *Manager) eachDir(f func(*logDir) error) {
	for _, d := range m.dirs {
		if d.online() {
			if err := f(d); err != nil {
				m.log.Errorf("log directory %s: %v", d.path, err)
			}
		}
	}
}

func (m *Manager) stopped() bool {
	select {
	case <-m.stop:
		return true
	default:
		return false
	}
}

func (m *Manager) sweepRetention(now time.Time) { m.CleanUp(now) }

// CleanUp applies retention to all logs, as the sweep does.
func (m *Manager) CleanUp(now time.Time) {
	for _, l := range m.snapshot() {
		if m.stopped() {
			return
		}
		if _, err := l.CleanUp(now); err != nil && !quiet(err) {
			m.log.Errorf("%v: retention: %v", l.tp, err)
		}
	}
}

func (m *Manager) sweepFlush(now time.Time) {
	nowMs := now.UnixMilli()
	for _, l := range m.snapshot() {
		cfg := l.cfg.Load()
		if cfg.FlushMs == math.MaxInt64 || l.leo.Load() == l.recovery.Load() {
			continue
		}
		l.mu.Lock()
		due := nowMs-l.lastFlush >= cfg.FlushMs
		l.mu.Unlock()
		if !due {
			continue
		}
		if err := l.Flush(); err != nil && !quiet(err) {
			m.log.Errorf("%v: flush: %v", l.tp, err)
		}
		if m.stopped() {
			return
		}
	}
}

func (m *Manager) sweepProducers(now time.Time) {
	for _, l := range m.snapshot() {
		l.mu.Lock()
		if l.producers.Len() > 0 {
			l.producers.RemoveExpired(now, m.opt.ProducerIDExpiration)
		}
		l.mu.Unlock()
	}
}

// quiet tells errors that are reported elsewhere or mean nothing to a sweep.
func quiet(err error) bool {
	var off *DirOfflineError
	return errors.As(err, &off) || errors.Is(err, ErrDeleted) || errors.Is(err, ErrClosed)
}

// snapshotForRecovery takes a producer snapshot if the recovery point has moved inside of the active segment (flush.messages,
// flush.ms), so that recovery need not read what lies between the segment's start and the recovery point.
func (l *Log) snapshotForRecovery() error {
	l.mu.Lock()
	s := l.active()
	if s == nil || l.usable() != nil || l.recovery.Load() <= max(l.midSnapshot, l.snapshotted, s.base) {
		l.mu.Unlock()
		return nil
	}
	at := l.leo.Load()
	before := l.midSnapshot
	err := l.producers.TakeSnapshot(l.m.fs, l.path())
	if err == nil {
		l.midSnapshot = at
	}
	base := s.base
	l.mu.Unlock()
	if err != nil {
		return l.ioError("writing a producer snapshot", err)
	}
	if err := l.flushTo(at); err != nil {
		return err
	}
	if before > base {
		if err := remove(l.m.fs, l.path()+"/"+producerstate.SnapshotName(before)); err != nil {
			return l.ioError("removing a producer snapshot", err)
		}
	}
	return nil
}

// removeOldSnapshots removes producer snapshots that recovery cannot need: it keeps those of the last two segments and from the
// segment before the recovery point on.
func (l *Log) removeOldSnapshots() error {
	segs := l.segments()
	if len(segs) < 2 {
		return nil
	}
	keep := segs[len(segs)-2].base
	recovery := l.recovery.Load()
	if i := floorSegment(segs, recovery-1); i >= 0 {
		recovery = segs[i].base
	}
	keep = min(keep, recovery)
	l.mu.Lock()
	due := keep > l.snapsCleaned
	l.snapsCleaned = max(keep, l.snapsCleaned)
	l.mu.Unlock()
	if p := l.closed.Load(); !due || p != nil && *p == ErrDeleted {
		return nil
	}
	if err := producerstate.DeleteSnapshotsBefore(l.m.fs, l.path(), keep); err != nil && !isNotExist(err) {
		return l.ioError("removing producer snapshots", err)
	}
	return nil
}

// retire renames the log's directory for deletion and has it removed later.
func (l *Log) retire() error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	name := deleteDirName(l.tp, uniqueName())
	if err := l.m.fs.Rename(l.path(), l.dir.path+"/"+name); err != nil {
		return l.ioError("renaming the log for deletion", err)
	}
	l.name.Store(&name)
	l.dir.unsynced.Store(true)
	err := ErrDeleted
	l.closed.Store(&err)
	for _, s := range l.segments() {
		s.dropFiles()
	}
	l.m.deleter.addDir(l.dir, l.path(), time.Duration(l.m.defaults.Load().FileDeleteDelayMs)*time.Millisecond)
	l.m.log.Infof("Log for partition %v is renamed to %s and is scheduled for deletion", l.tp, l.path())
	return nil
}

// deleter removes files some time after they were scheduled, so that readers that hold a segment can finish.
type deleter struct {
	mu    sync.Mutex
	queue []deletion // unordered: there are few at a time
	wake  chan struct{}
}

type deletion struct {
	due  time.Time
	dir  *logDir
	path string     // a partition's directory, or
	log  *Log       // a log's
	segs []*segment // segments
}

func (q *deleter) add(d deletion) {
	q.mu.Lock()
	q.queue = append(q.queue, d)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *deleter) addDir(d *logDir, path string, delay time.Duration) {
	q.add(deletion{due: time.Now().Add(delay), dir: d, path: path})
}

func (q *deleter) addSegments(l *Log, segs []*segment, delay time.Duration) {
	q.add(deletion{due: time.Now().Add(delay), dir: l.dir, log: l, segs: segs})
}

// takeDue removes what is due from the queue; next is how long the rest may wait, negative if there is nothing.
func (q *deleter) takeDue(now time.Time) (due []deletion, next time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next = -1
	keep := q.queue[:0]
	for _, d := range q.queue {
		wait := d.due.Sub(now)
		if wait <= 0 {
			due = append(due, d)
			continue
		}
		if next < 0 || wait < next {
			next = wait
		}
		keep = append(keep, d)
	}
	clear(q.queue[len(keep):])
	q.queue = keep
	return due, next
}

func (q *deleter) run(m *Manager) {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		due, next := q.takeDue(time.Now())
		for _, d := range due {
			if m.stopped() {
				return
			}
			m.carryOut(d)
		}
		if next >= 0 {
			t.Reset(next)
		} else {
			t.Stop()
		}
		select {
		case <-m.stop:
			return
		case <-q.wake:
		case <-t.C:
		}
	}
}

func (m *Manager) carryOut(d deletion) {
	if !d.dir.online() {
		return
	}
	if d.log != nil {
		if err := d.log.deleteFiles(d.segs); err != nil && !quiet(err) {
			m.log.Errorf("%v: %v", d.log.tp, err)
		}
		return
	}
	if err := m.fs.RemoveAll(d.path); err != nil {
		d.dir.fail("deleting "+d.path, err)
		return
	}
	m.log.Infof("Deleted log in %s.", d.path)
}
