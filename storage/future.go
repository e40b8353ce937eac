package storage

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// maxDirName is how long a directory's name may be.
const maxDirName = 255

// ErrNameTooLong says that a topic's name leaves no room for what a directory's name says besides.
var ErrNameTooLong = errors.New("the topic name is too long for a directory on its way into another log directory")

func futureDirName(tp TopicPartition, unique string) string {
	return tp.Topic + "-" + strconv.FormatInt(int64(tp.Partition), 10) + "." + unique + dirSuffixFuture
}

func uniqueName() string {
	var unique [16]byte
	rand.Read(unique[:])
	return hex.EncodeToString(unique[:])
}

// usableDir is the configured directory of that very name; ErrUnknownDir, or a *DirOfflineError, if it cannot take logs.
func (m *Manager) usableDir(path string) (*logDir, error) {
	for _, d := range m.dirs {
		if d.path == path {
			if e := d.offline.Load(); e != nil {
				return nil, e
			}
			return d, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", path, ErrUnknownDir)
}

// CheckMove says whether a replica may be moved into a directory: the name fits, and the directory is there and online.
func (m *Manager) CheckMove(tp TopicPartition, dir string) error {
	if len(futureDirName(tp, hex.EncodeToString(make([]byte, 16)))) > maxDirName {
		return fmt.Errorf("%v: %w", tp, ErrNameTooLong)
	}
	_, err := m.usableDir(dir)
	return err
}

// Prefer remembers where the log of a partition that is not here yet is to be created. It is forgotten when the broker stops.
func (m *Manager) Prefer(tp TopicPartition, dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range []*Log{m.logs[tp], m.futures[tp]} {
		if l != nil && l.dir.path == dir {
			return
		}
	}
	if m.preferred == nil {
		m.preferred = map[TopicPartition]string{}
	}
	m.preferred[tp] = dir
}

// dirFor is the directory in which a new log is made: the preferred one if it is online, else the emptiest.
func (m *Manager) dirFor(tp TopicPartition) *logDir {
	m.mu.RLock()
	path, ok := m.preferred[tp]
	m.mu.RUnlock()
	if ok {
		if d, err := m.usableDir(path); err == nil {
			return d
		}
	}
	return m.emptiestDir()
}

// Future returns the log that is to replace a partition's log, in another directory.
func (m *Manager) Future(tp TopicPartition) (*Log, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	l, ok := m.futures[tp]
	return l, ok
}

// CreateFuture makes an empty log that is to replace the partition's log, in another directory. While a directory is offline it refuses,
// because there may be one already.
func (m *Manager) CreateFuture(tp TopicPartition, dir string) (*Log, error) {
	m.createMu.Lock()
	defer m.createMu.Unlock()
	if m.closing.Load() {
		return nil, ErrClosed
	}
	for _, d := range m.dirs {
		if e := d.offline.Load(); e != nil {
			return nil, &DirOfflineError{Dir: d.path, Op: fmt.Sprintf("moving %v, which may be on its way there", tp), Err: e.Err}
		}
	}
	d, err := m.usableDir(dir)
	if err != nil {
		return nil, err
	}
	if l, ok := m.Future(tp); ok {
		return l, nil
	}
	tp, shared := m.topic(tp, nil)
	l := m.newLog(d, tp, shared)
	name := futureDirName(tp, uniqueName())
	l.name.Store(&name)
	l.madeDir = true
	if err := m.fs.Mkdir(l.path(), 0o755); err != nil {
		return nil, d.fail(fmt.Sprintf("creating the directory of %v", tp), err)
	}
	m.mu.Lock()
	m.futures[tp] = l
	delete(m.preferred, tp)
	m.mu.Unlock()
	d.logs.Add(1)
	m.log.Infof("Created log for partition %v in %s", tp, l.path())
	return l, nil
}

// DeleteFuture gives up a move: the future log's files are removed after file.delete.delay.ms.
func (m *Manager) DeleteFuture(tp TopicPartition) error {
	m.createMu.Lock()
	defer m.createMu.Unlock()
	m.mu.Lock()
	l := m.futures[tp]
	delete(m.futures, tp)
	m.mu.Unlock()
	if l == nil {
		return nil
	}
	l.dir.logs.Add(-1)
	return l.retire()
}

// ReplaceWithFuture puts the future log in the place of the partition's log, whose files are removed after file.delete.delay.ms. The caller
// sees to it that they hold the same and that nobody uses either meanwhile.
func (m *Manager) ReplaceWithFuture(tp TopicPartition) (*Log, error) {
	m.createMu.Lock()
	defer m.createMu.Unlock()
	m.mu.RLock()
	from, to := m.logs[tp], m.futures[tp]
	m.mu.RUnlock()
	if from == nil || to == nil {
		return nil, fmt.Errorf("moving %v: %w", tp, ErrDeleted)
	}
	if err := m.forget(to.dir, tp); err != nil {
		return nil, err
	}
	to.SetHighWatermark(from.HighWatermark())
	if err := to.becomeCurrent(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	delete(m.futures, tp)
	m.logs[tp] = to
	if from.dir.removed == nil {
		from.dir.removed = make(map[TopicPartition]struct{})
	}
	from.dir.removed[from.tp] = struct{}{}
	m.mu.Unlock()
	from.dir.logs.Add(-1)
	from.dir.changed.Store(true)
	to.dir.changed.Store(true)
	to.dir.startsDirty.Store(true)
	m.log.Infof("The current replica of %v in %s is replaced with the future replica in %s", tp, from.dir.path, to.path())
	if err := from.retire(); err != nil {
		m.log.Errorf("The replica of %v that was moved away from %s stays there until it is removed by hand: %v", tp, from.dir.path, err)
	}
	return to, nil
}

// becomeCurrent gives the log's directory the name of a current one.
func (l *Log) becomeCurrent() error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.m.fs.Rename(l.path(), l.dir.path+"/"+l.tp.String()); err != nil {
		return l.ioError("renaming the future log", err)
	}
	l.name.Store(nil)
	return nil
}
