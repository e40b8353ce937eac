package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"gregor/internal/meter"
	"gregor/internal/vfs"
	"gregor/storage/checkpoint"
)

// Options configures a Manager. Zero intervals switch a sweep off.
type Options struct {
	FS       vfs.FS   // nil: vfs.OS
	Dirs     []string // log.dirs
	BrokerID int32    // -1: not known yet
	Defaults Config
	// TopicConfig returns the settings of a topic found on disk; nil means Defaults for all.
	TopicConfig func(topic string) Config

	RecoveryThreadsPerDir int // num.recovery.threads.per.data.dir: at least so many; all processors are used
	MaxOpenFiles          int // descriptors that logs may hold; 0: 10,000

	InitialDelay          time.Duration // before the first sweep of each kind; 0: Kafka's 30 s
	RetentionInterval     time.Duration // log.retention.check.interval.ms
	FlushInterval         time.Duration // log.flush.scheduler.interval.ms
	RecoveryPointInterval time.Duration // log.flush.offset.checkpoint.interval.ms
	StartOffsetInterval   time.Duration // log.flush.start.offset.checkpoint.interval.ms
	ProducerIDExpiration  time.Duration // transactional.id.expiration.ms; 0: 7 days

	Cleaner    CleanerConfig      // no threads: nothing is compacted
	CleanerLog logrus.FieldLogger // nil: Log

	DirCheckInterval time.Duration // between two looks at each directory: whether it is still there, and its free space
	MinFreeBytes     int64         // gregor.log.dir.min.free.bytes: below it clients' records are refused; 0: no floor

	Log logrus.FieldLogger
	// OnDirFailure is called once for each directory that fails after Open, from a goroutine of the Manager's own.
	OnDirFailure func(dir string, err error)
	// FlushTime times the flushes of segments; nil does not.
	FlushTime *meter.Timer
	// Progress is called while logs are loaded, from several goroutines.
	Progress func(done, total int)
}

// Manager owns the log directories and all logs in them.
type Manager struct {
	opt   Options
	fs    vfs.FS
	log   logrus.FieldLogger
	files *fileCache
	dirs  []*logDir

	flusher  flusher
	deleter  deleter
	cleaner  cleaner
	failures failures
	stop     chan struct{}
	unclean  atomic.Bool // see Unclean
	running  sync.WaitGroup
	closing  atomic.Bool
	defaults atomic.Pointer[Config] // Options.Defaults, until UpdateDefaults

	createMu sync.Mutex // one creation or deletion at a time; before mu

	mu      sync.RWMutex // guards what follows
	logs    map[TopicPartition]*Log
	futures map[TopicPartition]*Log // replicas on their way into another directory
	topics  map[string]*topicState
	// preferred is where logs are to be made that are not here yet.
	preferred map[TopicPartition]string
	meta      BrokerMetadata
	metaFrom  string // directory that meta was read from
}

// topicState shares a topic's name and settings among its partitions.
type topicState struct {
	name string
	cfg  *Config
}

// Open locks the directories and loads every log, in parallel. A directory that fails is offline; if none is left, or if directories
// contradict each other, Open fails.
func Open(ctx context.Context, o Options) (*Manager, error) {
	o.setDefaults()
	m := &Manager{
		opt: o, fs: o.FS, log: o.Log, files: newFileCache(o.FS, o.MaxOpenFiles),
		logs: make(map[TopicPartition]*Log), futures: make(map[TopicPartition]*Log), topics: make(map[string]*topicState),
		stop: make(chan struct{}), meta: BrokerMetadata{BrokerID: -1},
	}
	m.defaults.Store(&o.Defaults)
	m.flusher.wake = make(chan struct{}, 1)
	m.deleter.wake = make(chan struct{}, 1)
	m.failures.wake = make(chan struct{}, 1)
	if err := m.open(ctx); err != nil {
		for _, d := range m.dirs {
			d.unlock()
		}
		return nil, err
	}
	m.start()
	return m, nil
}

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.MaxOpenFiles <= 0 {
		o.MaxOpenFiles = 10_000
	}
	if o.InitialDelay <= 0 {
		o.InitialDelay = 30 * time.Second
	}
	if o.ProducerIDExpiration <= 0 {
		o.ProducerIDExpiration = 7 * 24 * time.Hour
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = l
	}
	if o.CleanerLog == nil {
		o.CleanerLog = o.Log
	}
}

func (m *Manager) nowMs() int64 { return time.Now().UnixMilli() }

func (m *Manager) open(ctx context.Context) error {
	seen := make(map[string]bool)
	for _, path := range m.opt.Dirs {
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		if seen[abs] {
			return fmt.Errorf("log directory %s is configured twice (log.dirs)", abs)
		}
		seen[abs] = true
		d := &logDir{m: m, path: abs}
		m.dirs = append(m.dirs, d)
		meta, found, err := m.openDir(d)
		if errors.Is(err, vfs.ErrLocked) {
			return fmt.Errorf("log directory %s is in use by another broker (its %s is held); stop that one, or configure another directory: %w", abs, lockFile, err)
		}
		if err == nil {
			if err := m.checkMeta(d, meta, found); err != nil {
				return err
			}
		} else {
			d.offline.Store(&DirOfflineError{Dir: abs, Op: "opening it", Err: err})
			m.log.Errorf("log directory %s is offline: %v", abs, err)
		}
	}
	if m.liveDirs() == 0 {
		return m.noDirs()
	}
	if err := m.loadAll(ctx); err != nil {
		return err
	}
	if m.liveDirs() == 0 {
		return m.noDirs()
	}
	m.failures.take() // of the directories that failed while they were loaded; Dirs tells of them
	return nil
}

func (m *Manager) noDirs() error {
	err := ErrNoDirs
	for _, d := range m.dirs {
		if e := d.offline.Load(); e != nil {
			err = fmt.Errorf("%w; %w", err, e)
		}
	}
	return err
}

// loadAll loads the logs of all directories.
func (m *Manager) loadAll(ctx context.Context) error {
	begin := time.Now()
	var done, total atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	var counted sync.WaitGroup
	for _, d := range m.dirs {
		if !d.online() {
			continue
		}
		counted.Add(1)
		g.Go(func() error { return m.loadDir(ctx, d, &done, &total, &counted) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	m.log.Infof("Loaded %d logs in %dms.", total.Load(), time.Since(begin).Milliseconds())
	return nil
}

func (m *Manager) loadDir(ctx context.Context, d *logDir, done, total *atomic.Int64, counted *sync.WaitGroup) error {
	var names []string
	clean, err := checkpoint.TakeCleanShutdown(m.fs, d.path)
	if err == nil {
		names, err = m.partitionDirs(d)
	}
	total.Add(int64(len(names)))
	counted.Done()
	counted.Wait() // so that Progress starts with the whole number
	if err != nil {
		d.fail("loading it", err)
		return nil
	}
	if clean {
		m.log.Infof("Skipping recovery for all logs in %s since clean shutdown file was found", d.path)
	} else if _, err := m.fs.Stat(filepath.Join(d.path, "meta.properties")); err == nil && len(names) == 0 {
		m.unclean.Store(true) // it was in use: its logs may have gone with a loss of power before their directories were synced
	} else if len(names) > 0 {
		m.unclean.Store(true)
		m.log.Infof("Attempting recovery for all logs in %s since no clean shutdown file was found", d.path)
	}
	points := m.readCheckpoints(d)

	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(m.opt.RecoveryThreadsPerDir, runtime.GOMAXPROCS(0)))
	for _, name := range names {
		if gctx.Err() != nil || !d.online() {
			break
		}
		g.Go(func() error {
			if err := m.loadOne(d, name, points, clean); err != nil {
				return err
			}
			n := done.Add(1)
			if m.opt.Progress != nil {
				m.opt.Progress(int(n), int(total.Load()))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	m.noteStale(d, points)
	if d.online() {
		if err := m.makeCleanerCheckpoint(d); err != nil {
			d.fail("creating "+checkpoint.CleanerFile, err)
		}
	}
	return ctx.Err()
}

// noteStale remembers the partitions that only the checkpoints still know: they were deleted before the checkpoints were written again.
func (m *Manager) noteStale(d *logDir, points map[TopicPartition]onDisk) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for tp := range points {
		if l := m.logs[tp]; l == nil || l.dir != d {
			if d.removed == nil {
				d.removed = make(map[TopicPartition]struct{})
			}
			d.removed[tp] = struct{}{}
		}
	}
}

// partitionDirs lists the subdirectories.
func (m *Manager) partitionDirs(d *logDir) ([]string, error) {
	entries, err := m.fs.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if e.Name() == "lost+found" {
			m.log.Warnf("%s: ignoring lost+found; a log directory is better not the root of a file system", d.path)
			continue
		}
		names = append(names, e.Name())
	}
	return names, nil
}

// loadOne loads one log. An I/O error takes the directory offline and is no error here.
func (m *Manager) loadOne(d *logDir, name string, points map[TopicPartition]onDisk, clean bool) error {
	tp, kind, err := parseDirName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	if kind == dirDeleted {
		m.deleter.addDir(d, d.path+"/"+name, time.Duration(m.defaults.Load().FileDeleteDelayMs)*time.Millisecond)
		return nil
	}
	tp, cfg := m.topic(tp, nil)
	l, err := m.loadLog(d, tp, name, cfg, points[tp], clean)
	if err != nil {
		d.fail(fmt.Sprintf("loading the log %s", name), err)
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	set := m.logs
	if kind == dirFuture {
		set = m.futures
	}
	if other := set[tp]; other != nil {
		return fmt.Errorf("partition %v is found in both %s and %s; a broker probably stopped while it was moving it: remove the directory of the one that is out of date", tp, other.path(), l.path())
	}
	set[tp] = l
	d.logs.Add(1)
	return nil
}

// topic returns the shared name and settings; cfg replaces the settings if it is not nil.
func (m *Manager) topic(tp TopicPartition, cfg *Config) (TopicPartition, *Config) {
	m.mu.RLock()
	t := m.topics[tp.Topic]
	m.mu.RUnlock()
	if t != nil && (cfg == nil || *t.cfg == *cfg) {
		return TopicPartition{t.name, tp.Partition}, t.cfg
	}
	if cfg == nil {
		c := *m.defaults.Load()
		if m.opt.TopicConfig != nil {
			c = m.opt.TopicConfig(tp.Topic)
		}
		cfg = &c
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t = m.topics[tp.Topic]; t == nil {
		t = &topicState{name: strings.Clone(tp.Topic)}
		m.topics[t.name] = t
	}
	t.cfg = cfg
	return TopicPartition{t.name, tp.Partition}, cfg
}

func (m *Manager) newLog(d *logDir, tp TopicPartition, cfg *Config) *Log {
	l := &Log{m: m, dir: d, tp: tp, lastFlush: m.nowMs(), hwWritten: -1}
	l.cleaned.Store(-1)
	l.cfg.Store(cfg)
	l.unstable.Store(noUnstable)
	return l
}

// Get returns the current log of a partition.
func (m *Manager) Get(tp TopicPartition) (*Log, bool) {
	m.mu.RLock()
	l, ok := m.logs[tp]
	m.mu.RUnlock()
	return l, ok
}

// All walks over the current logs, as they are when it begins.
func (m *Manager) All() iter.Seq2[TopicPartition, *Log] {
	return func(yield func(TopicPartition, *Log) bool) {
		for _, l := range m.snapshot() {
			if !yield(l.tp, l) {
				return
			}
		}
	}
}

func (m *Manager) snapshot() []*Log {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]*Log, 0, len(m.logs)+len(m.futures))
	for _, l := range m.logs {
		out = append(out, l)
	}
	for _, l := range m.futures {
		out = append(out, l)
	}
	return out
}

// GetOrCreate returns the log of a partition, creating it in the live directory with the fewest logs, and space if there is one. Unless isNew, it refuses to
// create one while a directory is offline, because the log may be there.
func (m *Manager) GetOrCreate(tp TopicPartition, cfg Config, isNew bool) (*Log, error) {
	if l, ok := m.Get(tp); ok {
		return l, nil
	}
	l, err := m.create(tp, cfg, isNew)
	if err == nil {
		m.log.Infof("Created log for partition %v in %s", tp, l.path())
	}
	return l, err
}

func (m *Manager) create(tp TopicPartition, cfg Config, isNew bool) (*Log, error) {
	m.createMu.Lock()
	defer m.createMu.Unlock()
	if l, ok := m.Get(tp); ok {
		return l, nil
	}
	if m.closing.Load() {
		return nil, ErrClosed
	}
	if !isNew {
		for _, d := range m.dirs {
			if e := d.offline.Load(); e != nil {
				return nil, &DirOfflineError{Dir: d.path, Op: fmt.Sprintf("creating %v, whose log may be there", tp), Err: e.Err}
			}
		}
	}
	tp, shared := m.topic(tp, &cfg)
	for {
		d := m.dirFor(tp)
		if d == nil {
			return nil, m.noDirs()
		}
		if err := m.forget(d, tp); err != nil {
			continue
		}
		l := m.newLog(d, tp, shared)
		l.madeDir = true
		if err := m.fs.Mkdir(l.path(), 0o755); err != nil && !errors.Is(err, errExist) {
			d.fail(fmt.Sprintf("creating the directory of %v", tp), err)
			continue
		}
		m.mu.Lock()
		m.logs[tp] = l
		delete(m.preferred, tp)
		m.mu.Unlock()
		d.logs.Add(1)
		d.changed.Store(true)
		return l, nil
	}
}

// forget sees to it that the checkpoints say nothing of a partition that was deleted and is now created anew: its offsets begin again.
func (m *Manager) forget(d *logDir, tp TopicPartition) error {
	m.mu.RLock()
	_, stale := d.removed[tp]
	m.mu.RUnlock()
	if !stale {
		return nil
	}
	return m.checkpointDir(d)
}

// checkpointDir writes all three checkpoints of a directory.
func (m *Manager) checkpointDir(d *logDir) error {
	if err := m.checkpointStarts(d); err != nil {
		return err
	}
	if err := m.checkpointHW(d, true); err != nil {
		return err
	}
	d.cleanerDirty.Store(d.hasCleanerLines()) // is written with the recovery points
	return m.checkpointRecoveryPoints(d)
}

func (m *Manager) emptiestDir() *logDir {
	var best *logDir
	for _, d := range m.dirs {
		if !d.online() {
			continue
		}
		if best == nil || best.full.Load() && !d.full.Load() || best.full.Load() == d.full.Load() && d.logs.Load() < best.logs.Load() {
			best = d
		}
	}
	return best
}

// Delete takes the log away at once and removes its files after file.delete.delay.ms. Deleting a log that is not there is an error
// only if it may lie in an offline directory.
func (m *Manager) Delete(tp TopicPartition) error {
	m.createMu.Lock()
	defer m.createMu.Unlock()
	m.mu.Lock()
	l := m.logs[tp]
	if l == nil {
		m.mu.Unlock()
		for _, d := range m.dirs {
			if e := d.offline.Load(); e != nil {
				return &DirOfflineError{Dir: d.path, Op: fmt.Sprintf("deleting %v, whose log may be there", tp), Err: e.Err}
			}
		}
		return nil
	}
	delete(m.logs, tp)
	if l.dir.removed == nil {
		l.dir.removed = make(map[TopicPartition]struct{})
	}
	l.dir.removed[l.tp] = struct{}{}
	m.mu.Unlock()
	l.dir.logs.Add(-1)
	l.dir.changed.Store(true)
	return l.retire()
}

// UpdateConfig swaps the settings of all logs of a topic.
func (m *Manager) UpdateConfig(topic string, cfg Config) {
	_, shared := m.topic(TopicPartition{Topic: topic}, &cfg)
	for _, l := range m.snapshot() {
		if l.tp.Topic == topic {
			l.setConfig(shared)
		}
	}
}

// UpdateDefaults swaps the settings that topics without their own have; effective tells each topic's.
func (m *Manager) UpdateDefaults(defaults Config, effective func(topic string) Config) {
	m.defaults.Store(&defaults)
	m.mu.RLock()
	names := make([]string, 0, len(m.topics))
	for n := range m.topics {
		names = append(names, n)
	}
	m.mu.RUnlock()
	shared := make(map[string]*Config, len(names))
	for _, n := range names {
		cfg := effective(n)
		_, shared[n] = m.topic(TopicPartition{Topic: n}, &cfg)
	}
	for _, l := range m.snapshot() {
		if cfg := shared[l.tp.Topic]; cfg != nil {
			l.setConfig(cfg)
		}
	}
}

// OpenFiles is the number of descriptors that logs hold.
func (m *Manager) OpenFiles() int { return m.files.count() }
