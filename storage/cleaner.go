package storage

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"gregor/storage/checkpoint"
	"gregor/storage/offsetmap"
)

// CleanerConfig sets up the log cleaner, which compacts logs with cleanup.policy=compact.
type CleanerConfig struct {
	Threads           int     // log.cleaner.threads; 0: no cleaner (log.cleaner.enable=false)
	DedupeBufferBytes int64   // log.cleaner.dedupe.buffer.size, of all threads
	IOBufferBytes     int     // log.cleaner.io.buffer.size, of all threads
	LoadFactor        float64 // log.cleaner.io.buffer.load.factor
	MaxBytesPerSecond float64 // log.cleaner.io.max.bytes.per.second
	Backoff           time.Duration
}

// DefaultCleanerConfig returns Kafka's defaults.
func DefaultCleanerConfig() CleanerConfig {
	return CleanerConfig{Threads: 1, DedupeBufferBytes: 128 << 20, IOBufferBytes: 512 << 10, LoadFactor: 0.9,
		MaxBytesPerSecond: math.MaxFloat64, Backoff: 15 * time.Second}
}

const (
	minIOBuffer     = 4 << 10 // a smaller one would only be grown for every batch
	maxThreadBuffer = math.MaxInt32
)

func (c *CleanerConfig) newWasher(throttle func(int), stopped func() error, nowMs func() int64) *washer {
	threads := max(c.Threads, 1)
	return &washer{
		maxSlots:   max(int(min(c.DedupeBufferBytes/int64(threads), maxThreadBuffer)/offsetmap.BytesPerEntry), 8),
		loadFactor: min(max(c.LoadFactor, 0.01), 0.99),
		ioSize:     max(c.IOBufferBytes/threads/2, minIOBuffer),
		throttle:   throttle, stopped: stopped, nowMs: nowMs,
	}
}

// cleaner runs the threads that clean, and what they count.
type cleaner struct {
	m        *Manager
	throttle throttle

	configMu sync.Mutex // one start or stop at a time
	cfg      CleanerConfig
	stop     chan struct{}
	threads  sync.WaitGroup

	mu struct {
		sync.Mutex
		last []cleanStats // of each thread's last cleaning
	}
	lastRun    atomic.Int64 // ms, when logs were looked at last
	dirtyShare atomic.Uint64
}

// errCleanerStopped ends a cleaning because its thread ends.
var errCleanerStopped = errors.New("the cleaner was stopped")

func (c *cleaner) start(m *Manager, cfg CleanerConfig) {
	c.m = m
	c.lastRun.Store(m.nowMs())
	c.configMu.Lock()
	defer c.configMu.Unlock()
	c.run(cfg)
}

// run starts the threads.
func (c *cleaner) run(cfg CleanerConfig) {
	c.cfg = cfg
	c.throttle.limit(cfg.MaxBytesPerSecond)
	c.mu.Lock()
	c.mu.last = make([]cleanStats, cfg.Threads)
	c.mu.Unlock()
	stop := make(chan struct{})
	c.stop = stop
	for i := range cfg.Threads {
		c.threads.Go(func() { c.thread(i, cfg, stop) })
	}
}

// halt stops the threads; a cleaning under way is given up.
func (c *cleaner) halt() {
	if c.stop != nil {
		close(c.stop)
		c.stop = nil
	}
	c.threads.Wait()
}

// UpdateCleaner goes on with other settings.
func (m *Manager) UpdateCleaner(cfg CleanerConfig) {
	c := &m.cleaner
	c.configMu.Lock()
	defer c.configMu.Unlock()
	if cfg == c.cfg || m.closing.Load() {
		return
	}
	c.halt()
	c.run(cfg)
}

func (c *cleaner) close() {
	c.configMu.Lock()
	defer c.configMu.Unlock()
	c.halt()
}

func (c *cleaner) thread(id int, cfg CleanerConfig, stop chan struct{}) {
	w := cfg.newWasher(func(n int) { c.throttle.wait(n, stop) }, func() error {
		select {
		case <-stop:
			return errCleanerStopped
		default:
			return nil
		}
	}, c.m.nowMs)
	defer w.filter.Close()
	t := time.NewTimer(cfg.Backoff)
	defer t.Stop()
	for {
		for w.stopped() == nil && c.cleanOne(id, w) {
		}
		w.offsets.Release()
		t.Reset(cfg.Backoff)
		select {
		case <-stop:
			return
		case <-t.C:
		}
	}
}

// cleanOne cleans the log that needs it most; it returns false if none was cleaned.
func (c *cleaner) cleanOne(id int, w *washer) bool {
	job, pre := c.filthiest(time.Now())
	if job.log == nil {
		return false
	}
	defer job.log.cleaning.Store(false)
	err := c.clean(job, w)
	if err == nil {
		s := w.stats
		s.cleanableLogs, s.delayedLogs, s.maxDelayMs = pre.cleanableLogs, pre.delayedLogs, pre.maxDelayMs
		c.mu.Lock()
		if id < len(c.mu.last) {
			c.mu.last[id] = s
		}
		c.mu.Unlock()
	}
	return err == nil
}

// filthiest takes the log with the largest dirty share among those that are due.
func (c *cleaner) filthiest(now time.Time) (best cleanable, pre cleanStats) {
	m := c.m
	c.lastRun.Store(now.UnixMilli())
	for {
		best, pre = cleanable{}, cleanStats{}
		share := 0.0
		for _, l := range m.compacted() {
			if l.cleaning.Load() || l.uncleanable.Load() || l.usable() != nil {
				continue
			}
			w, err := l.cleanable(now)
			if err != nil {
				c.failed(l, err)
				continue
			}
			share = max(share, w.ratio())
			if w.late > 0 {
				pre.delayedLogs++
				pre.maxDelayMs = max(pre.maxDelayMs, w.late)
			}
			if !w.due() {
				continue
			}
			pre.cleanableLogs++
			if best.log == nil || w.ratio() > best.ratio() {
				best = w
			}
		}
		c.dirtyShare.Store(math.Float64bits(share))
		if best.log == nil || best.log.cleaning.CompareAndSwap(false, true) {
			return best, pre
		}
	}
}

// compacted lists the logs whose policy is to be compacted.
func (m *Manager) compacted() []*Log {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []*Log
	for _, l := range m.logs {
		if l.cfg.Load().Compact {
			out = append(out, l)
		}
	}
	return out
}

// clean cleans one log and remembers how far it came. Its errors are dealt with; the caller learns that there was one.
func (c *cleaner) clean(job cleanable, w *washer) error {
	l := job.log
	end, err := w.clean(job)
	if err == nil {
		err = l.cleanedUpTo(end, w.truncations)
	}
	if err != nil {
		c.failed(l, err)
		return err
	}
	s := &w.stats
	const mb = 1 << 20
	l.m.opt.CleanerLog.Infof("%v: cleaned offsets %d to %d: %.1f MB with %d records became %.1f MB with %d in %v, of which the offset map of %.1f MB took %v (%.1f%% of the buffer)",
		l.tp, job.dirty, end, float64(s.readBytes)/mb, s.readRecords, float64(s.writtenBytes)/mb, s.keptRecords, s.ended.Sub(s.began).Round(time.Millisecond),
		float64(s.mapBytes)/mb, s.mapped.Sub(s.began).Round(time.Millisecond), 100*s.bufferUse)
	if s.withoutKey > 0 {
		l.m.opt.CleanerLog.Warnf("%v: %d records without a key were removed: a compacted topic keeps only records with keys", l.tp, s.withoutKey)
	}
	return nil
}

// cleanedUpTo remembers how far a cleaning came.
func (l *Log) cleanedUpTo(end int64, truncations uint32) error {
	l.flushMu.Lock()
	if l.truncations.Load() != truncations {
		l.flushMu.Unlock()
		return errCleaningAborted
	}
	l.cleaned.Store(end)
	l.flushMu.Unlock()
	l.dir.checkpointMu.Lock()
	defer l.dir.checkpointMu.Unlock()
	return l.m.checkpointCleanerLocked(l.dir)
}

// failed decides what an error means: a cleaning that was given up is tried again, a disk that fails takes its directory offline, and
// whatever else goes wrong sets the one log aside.
func (c *cleaner) failed(l *Log, err error) {
	switch {
	case errors.Is(err, errCleaningAborted), errors.Is(err, errCleanerStopped), quiet(err), l.usable() != nil:
		return
	case isNoSpace(err):
		l.m.opt.CleanerLog.Warnf("%v: the cleaner found no room for the cleaned segments in %s; it will try again: %v", l.tp, l.dir.path, err)
	case isRecordError(err) || !isIOError(err):
		l.uncleanable.Store(true)
		l.m.opt.CleanerLog.Warnf("%v: unexpected error while cleaning; the partition is uncleanable until the broker is restarted: %v", l.tp, err)
	case isNotExist(err):
		return // truncated or deleted meanwhile
	default:
		_ = l.ioError("cleaning", err) // reported by the directory
	}
}

// checkpointCleanerLocked writes cleaner-offset-checkpoint.
func (m *Manager) checkpointCleanerLocked(d *logDir) error {
	d.hasCleaner = true
	d.cleanerDirty.Store(false)
	return m.writeCheckpoint(d, checkpoint.CleanerFile, func(l *Log) (int64, bool) {
		at := l.cleaned.Load()
		return at, at >= 0
	})
}

// CleanerStats is what the cleaner tells of itself, by Kafka's measures.
type CleanerStats struct {
	RecopyPercent       int // bytes written per bytes read, of the threads' last cleanings
	MaxBufferPercent    int
	MaxCleanSeconds     int
	MaxDelaySeconds     int
	MaxDirtyPercent     int
	SinceLastRun        time.Duration
	Bytes               int64 // read and written since the start
	UncleanableLogs     map[string]int
	UncleanableDirBytes map[string]int64
}

// CleanerStats describes the cleaner.
func (m *Manager) CleanerStats() CleanerStats {
	c := &m.cleaner
	st := CleanerStats{
		MaxDirtyPercent: int(100 * math.Float64frombits(c.dirtyShare.Load())),
		SinceLastRun:    time.Duration(m.nowMs()-c.lastRun.Load()) * time.Millisecond, Bytes: c.throttle.total.Load(),
		UncleanableLogs: make(map[string]int), UncleanableDirBytes: make(map[string]int64),
	}
	var read, written int64
	c.mu.Lock()
	for i := range c.mu.last {
		s := &c.mu.last[i]
		read += s.readBytes
		written += s.writtenBytes
		st.MaxBufferPercent = max(st.MaxBufferPercent, int(100*s.bufferUse))
		st.MaxCleanSeconds = max(st.MaxCleanSeconds, int(s.ended.Sub(s.began).Seconds()))
		st.MaxDelaySeconds = max(st.MaxDelaySeconds, int(s.maxDelayMs/1000))
	}
	c.mu.Unlock()
	st.RecopyPercent = int(100 * written / max(read, 1))
	for _, d := range m.dirs {
		st.UncleanableLogs[d.path] = 0
		st.UncleanableDirBytes[d.path] = 0
	}
	for _, l := range m.compacted() {
		if !l.uncleanable.Load() {
			continue
		}
		st.UncleanableLogs[l.dir.path]++
		if w, err := l.cleanable(time.Now()); err == nil {
			st.UncleanableDirBytes[l.dir.path] += w.dirtyBytes
		}
	}
	return st
}

// throttle keeps what all threads read and write below a rate.
type throttle struct {
	total atomic.Int64
	mu    sync.Mutex
	rate  float64
	free  time.Time // when the next byte may pass
}

// throttleSlack is how far ahead of the rate the threads may be before they wait.
const throttleSlack = 300 * time.Millisecond

func (t *throttle) limit(bytesPerSecond float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rate, t.free = bytesPerSecond, time.Time{}
}

// wait takes n bytes into account and waits until they conform to the rate.
func (t *throttle) wait(n int, stop <-chan struct{}) {
	t.total.Add(int64(n))
	t.mu.Lock()
	if t.rate >= math.MaxInt64 || t.rate <= 0 {
		t.mu.Unlock()
		return
	}
	now := time.Now()
	if t.free.Before(now) {
		t.free = now
	}
	t.free = t.free.Add(time.Duration(float64(n) / t.rate * float64(time.Second)))
	pause := t.free.Sub(now) - throttleSlack
	t.mu.Unlock()
	if pause <= 0 {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-stop:
	case <-timer.C:
	}
}
