package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gregor/internal/vfs"
	"gregor/storage/checkpoint"
)

// logDir is one of log.dirs.
type logDir struct {
	m    *Manager
	path string

	offline     atomic.Pointer[DirOfflineError] // nil while online
	lock        io.Closer
	sync        vfs.AllSync  // nil where there is none
	opened      fs.FileInfo  // the directory itself, as it was when it was locked
	logs        atomic.Int32 // current and future logs in it
	startsDirty atomic.Bool  // a log start offset moved since the checkpoint
	changed     atomic.Bool  // logs came or went since the high watermark checkpoint
	unsynced    atomic.Bool  // logs went, and a power cut may bring them back

	checkpointMu sync.Mutex                  // one writer of checkpoints at a time
	removed      map[TopicPartition]struct{} // deleted, but perhaps still in the checkpoints; under Manager.mu
	hasCleaner   bool                        // cleaner-offset-checkpoint has lines; under checkpointMu
	cleanerDirty atomic.Bool                 // a log was truncated below what the cleaner's checkpoint says
	reserved     int64                       // size of the reserve file; under checkpointMu

	spaceMu  sync.Mutex
	full     atomic.Bool  // less than the floor is free
	headroom atomic.Int64 // bytes that may be appended before the free space is asked for again
}

// unlock closes what is open of the directory itself.
func (d *logDir) unlock() {
	if d.lock != nil {
		d.lock.Close()
	}
	if d.sync != nil {
		_ = d.sync.Close()
	}
}

func (d *logDir) file(name string) string { return d.path + "/" + name }

// fail takes the directory offline because op met err, and returns what the caller should. Running out of descriptors is not the
// disk's fault.
func (d *logDir) fail(op string, err error) error {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return fmt.Errorf("%s in %s: %w (raise the limit of open files, or lower the broker's)", op, d.path, err)
	}
	e := &DirOfflineError{Dir: d.path, Op: op, Err: err}
	if !d.offline.CompareAndSwap(nil, e) {
		return d.offline.Load()
	}
	d.m.failures.add(d)
	return e
}

// online reports whether the directory may be used.
func (d *logDir) online() bool { return d.offline.Load() == nil }

// failures hands failed directories to the goroutine that takes their logs away and tells the broker.
type failures struct {
	mu    sync.Mutex
	queue []*logDir
	wake  chan struct{}
}

func (f *failures) add(d *logDir) {
	f.mu.Lock()
	f.queue = append(f.queue, d)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *failures) take() []*logDir {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.queue
	f.queue = nil
	return q
}

// handleFailures closes the logs of failed directories and reports them.
func (m *Manager) handleFailures() {
	for _, d := range m.failures.take() {
		e := d.offline.Load()
		m.log.Errorf("stopping the logs in %s: %v", d.path, e)
		var gone []*Log
		m.mu.Lock()
		for _, set := range []map[TopicPartition]*Log{m.logs, m.futures} {
			for tp, l := range set {
				if l.dir == d {
					delete(set, tp)
					gone = append(gone, l)
				}
			}
		}
		m.mu.Unlock()
		var err error = e
		for _, l := range gone {
			l.closed.CompareAndSwap(nil, &err)
			for _, s := range l.segments() {
				s.dropFiles()
			}
		}
		d.logs.Store(0)
		d.unlock()
		if m.opt.OnDirFailure != nil {
			m.opt.OnDirFailure(d.path, e)
		}
	}
}

// FailDir takes a directory offline as if it had failed.
func (m *Manager) FailDir(dir string, err error) {
	if d := m.dirNamed(dir); d != nil {
		d.fail("reported", err)
	}
}

func (m *Manager) dirNamed(path string) *logDir {
	for _, d := range m.dirs {
		if d.path == path || d.path == filepath.Clean(path) {
			return d
		}
	}
	return nil
}

// openDir makes, locks and reads a log directory; meta is what its meta.properties says.
func (m *Manager) openDir(d *logDir) (meta checkpoint.Meta, found bool, err error) {
	fs := m.fs
	if _, err := fs.Stat(d.path); err != nil {
		if !isNotExist(err) {
			return meta, false, err
		}
		m.log.Infof("Log directory %s not found, creating it.", d.path)
		if err := vfs.MakeDirs(fs, d.path); err != nil {
			return meta, false, err
		}
	}
	if d.lock, err = fs.Lock(d.file(lockFile)); err != nil {
		return meta, false, err
	}
	if s, ok := fs.(vfs.Syncer); ok {
		if d.sync, err = s.OpenSync(d.path); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return meta, false, err
		}
	}
	if d.opened, err = fs.Stat(d.path); err != nil {
		return meta, false, err
	}
	return checkpoint.ReadMeta(fs, d.file(checkpoint.MetaFile))
}

// checkMeta finds out who the directories belong to.
func (m *Manager) checkMeta(d *logDir, meta checkpoint.Meta, found bool) error {
	if !found {
		return nil
	}
	if m.meta.BrokerID >= 0 && m.metaFrom != "" && (meta.BrokerID != m.meta.BrokerID || meta.ClusterID != m.meta.ClusterID) {
		return &MetadataError{fmt.Sprintf("%s and %s contradict each other: broker.id %d and %d, cluster.id %q and %q. Move the directories of the other broker out of log.dirs, or remove a wrong %s",
			m.metaFrom, d.path, m.meta.BrokerID, meta.BrokerID, m.meta.ClusterID, meta.ClusterID, checkpoint.MetaFile)}
	}
	if m.opt.BrokerID >= 0 && meta.BrokerID != m.opt.BrokerID {
		return &MetadataError{fmt.Sprintf("configured broker.id %d does not match the broker.id %d stored in %s. If the data was moved here, set the configured id to it; to make a new broker, remove the data in log.dirs",
			m.opt.BrokerID, meta.BrokerID, d.file(checkpoint.MetaFile))}
	}
	m.meta = BrokerMetadata{BrokerID: meta.BrokerID, ClusterID: meta.ClusterID}
	m.metaFrom = d.path
	return nil
}

// BrokerMetadata returns what meta.properties said when the directories were opened; BrokerID -1 if there was none.
func (m *Manager) BrokerMetadata() BrokerMetadata {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.meta
}

// WriteBrokerMetadata writes meta.properties into each live directory where it differs.
func (m *Manager) WriteBrokerMetadata(md BrokerMetadata) error {
	want := checkpoint.Meta{BrokerID: md.BrokerID, ClusterID: md.ClusterID}
	for _, d := range m.dirs {
		if !d.online() {
			continue
		}
		name := d.file(checkpoint.MetaFile)
		have, found, err := checkpoint.ReadMeta(m.fs, name)
		if err == nil && found && have == want {
			continue
		}
		if err := checkpoint.WriteMeta(m.fs, name, want, time.Now()); err != nil {
			d.fail("writing "+checkpoint.MetaFile, err)
		}
	}
	m.mu.Lock()
	m.meta = md
	m.mu.Unlock()
	if m.liveDirs() == 0 {
		return ErrNoDirs
	}
	return nil
}

func (m *Manager) liveDirs() int {
	n := 0
	for _, d := range m.dirs {
		if d.online() {
			n++
		}
	}
	return n
}

// Dirs describes the configured directories, in their order.
func (m *Manager) Dirs() []DirStatus {
	out := make([]DirStatus, len(m.dirs))
	for i, d := range m.dirs {
		out[i] = DirStatus{Path: d.path, Online: true, Full: d.full.Load(), Logs: int(d.logs.Load())}
		if e := d.offline.Load(); e != nil {
			out[i].Online, out[i].Err = false, e
		}
	}
	return out
}

// SyncRemovals makes durable that logs were deleted: a power cut must not bring one back that may be in the way of another of its name.
func (m *Manager) SyncRemovals() error {
	var errs []error
	for _, d := range m.dirs {
		if d.offline.Load() == nil && d.unsynced.Swap(false) {
			if err := m.fs.SyncDir(d.path); err != nil {
				errs = append(errs, d.fail("making the deletion of logs durable", err))
			}
		}
	}
	return errors.Join(errs...)
}

// Unclean says whether a directory was opened that had been in use and that nobody had closed cleanly.
func (m *Manager) Unclean() bool { return m.unclean.Load() }

// DirSpace is how many bytes are free, and how many there are, where a directory lies.
func (m *Manager) DirSpace(dir string) (free, total int64, err error) {
	d := m.dirNamed(dir)
	if d == nil {
		return 0, 0, fmt.Errorf("%s: %w", dir, ErrUnknownDir)
	}
	return m.fs.Free(d.path)
}

// DirLogSizes lists the logs of a directory.
func (m *Manager) DirLogSizes(dir string) ([]LogSize, error) {
	d := m.dirNamed(dir)
	if d == nil {
		return nil, fmt.Errorf("%s: %w", dir, ErrUnknownDir)
	}
	if e := d.offline.Load(); e != nil {
		return nil, e
	}
	var out []LogSize
	for _, l := range m.logsIn(d, m.logs) {
		out = append(out, LogSize{Partition: l.tp, Size: l.Size(), EndOffset: l.LogEndOffset()})
	}
	for _, l := range m.logsIn(d, m.futures) {
		out = append(out, LogSize{Partition: l.tp, Size: l.Size(), EndOffset: l.LogEndOffset(), Future: true})
	}
	return out, nil
}

// logsIn lists the logs of set that lie in d.
func (m *Manager) logsIn(d *logDir, set map[TopicPartition]*Log) []*Log {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]*Log, 0, d.logs.Load())
	for _, l := range set {
		if l.dir == d {
			out = append(out, l)
		}
	}
	return out
}

// readCheckpoints reads the offset checkpoints of a directory. One that is unreadable is as good as none, as in Kafka: everything is
// recovered, or begins at its first segment.
func (m *Manager) readCheckpoints(d *logDir) map[TopicPartition]onDisk {
	out := make(map[TopicPartition]onDisk)
	for _, c := range []struct {
		name string
		set  func(*onDisk, int64)
	}{
		{checkpoint.RecoveryPointFile, func(o *onDisk, v int64) { o.recovery = v }},
		{checkpoint.LogStartFile, func(o *onDisk, v int64) { o.start = v }},
		{checkpoint.HighWatermarkFile, func(o *onDisk, v int64) { o.hw = v }},
		{checkpoint.CleanerFile, func(o *onDisk, v int64) { o.cleaned = v }},
	} {
		offsets, err := checkpoint.ReadOffsets(m.fs, d.file(c.name))
		if err != nil {
			m.log.Warnf("%s is unreadable and is ignored: %v", d.file(c.name), err)
			continue
		}
		d.hasCleaner = d.hasCleaner || c.name == checkpoint.CleanerFile && len(offsets) > 0
		for _, o := range offsets {
			tp := TopicPartition{o.Topic, o.Partition}
			v := out[tp]
			c.set(&v, max(o.Offset, 0))
			out[tp] = v
		}
	}
	return out
}

// writeCheckpoint writes one offset checkpoint of a directory with what offset says of each log.
func (m *Manager) writeCheckpoint(d *logDir, name string, offset func(*Log) (int64, bool)) error {
	if e := d.offline.Load(); e != nil {
		return e
	}
	logs := m.logsIn(d, m.logs)
	lines := make([]checkpoint.Offset, 0, len(logs))
	for _, l := range logs {
		if off, ok := offset(l); ok {
			lines = append(lines, checkpoint.Offset{Topic: l.tp.Topic, Partition: l.tp.Partition, Offset: off})
		}
	}
	if err := d.writeOffsets(name, lines); err != nil {
		return d.fail("writing "+name, err)
	}
	return nil
}

// checkpointRecoveryPoints writes recovery-point-offset-checkpoint, after which older producer snapshots may go.
func (m *Manager) checkpointRecoveryPoints(d *logDir) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	return m.checkpointRecoveryPointsLocked(d)
}

func (m *Manager) checkpointRecoveryPointsLocked(d *logDir) error {
	for _, l := range m.logsIn(d, m.logs) {
		if err := l.snapshotForRecovery(); err != nil && !quiet(err) {
			return err
		}
	}
	m.mu.Lock()
	d.removed = nil
	m.mu.Unlock()
	if err := m.writeCheckpoint(d, checkpoint.RecoveryPointFile, func(l *Log) (int64, bool) {
		l.recWritten = l.recovery.Load()
		return l.recWritten, true
	}); err != nil {
		return err
	}
	if d.cleanerDirty.Load() {
		if err := m.checkpointCleanerLocked(d); err != nil {
			return err
		}
	}
	for _, l := range m.logsIn(d, m.logs) {
		if err := l.removeOldSnapshots(); err != nil {
			return err
		}
	}
	return nil
}

// checkpointStarts writes log-start-offset-checkpoint: only what the first segment's name does not say.
func (m *Manager) checkpointStarts(d *logDir) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	d.startsDirty.Store(false)
	return m.writeCheckpoint(d, checkpoint.LogStartFile, func(l *Log) (int64, bool) {
		start := l.start.Load()
		segs := l.segments()
		return start, len(segs) > 0 && start > segs[0].base
	})
}

// CheckpointHighWatermarks writes the high watermark of every log into replication-offset-checkpoint, in the directories where one
// changed. Open reads them back.
func (m *Manager) CheckpointHighWatermarks() error {
	var first error
	for _, d := range m.dirs {
		if !d.online() {
			continue
		}
		if err := m.checkpointHW(d, false); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (m *Manager) checkpointHW(d *logDir, always bool) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	changed := d.changed.Swap(false) || always
	for _, l := range m.logsIn(d, m.logs) {
		if hw := l.hw.Load(); hw != l.hwWritten {
			l.hwWritten = hw
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return m.writeCheckpoint(d, checkpoint.HighWatermarkFile, func(l *Log) (int64, bool) { return l.hwWritten, true })
}

// hasCleanerLines reports whether cleaner-offset-checkpoint says anything.
func (d *logDir) hasCleanerLines() bool {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	return d.hasCleaner
}

// makeCleanerCheckpoint leaves the empty file that Kafka's cleaner leaves.
func (m *Manager) makeCleanerCheckpoint(d *logDir) error {
	name := d.file(checkpoint.CleanerFile)
	if _, err := m.fs.Stat(name); err == nil {
		return nil
	}
	f, err := m.fs.OpenFile(name, flagCreate, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
