package storage

import (
	"context"
	"io/fs"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"gregor/internal/vfs"
	"gregor/storage/checkpoint"
)

// Close stops the background work, flushes and closes every log and marks the shutdown as clean. When ctx ends first, it stops where
// it is: the next start recovers.
func (m *Manager) Close(ctx context.Context) error {
	if m.closing.Swap(true) {
		return nil
	}
	close(m.stop)
	m.running.Wait()
	m.createMu.Lock()
	defer m.createMu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range m.dirs {
		if d.online() {
			g.Go(func() error { return m.closeDir(ctx, d) })
		}
	}
	err := g.Wait()
	for _, d := range m.dirs {
		d.unlock()
	}
	return err
}

// closeThreads is how many logs of a directory are closed at a time: they mostly wait for the disk, which likes many syncs at once.
func (m *Manager) closeThreads() int {
	return max(m.opt.RecoveryThreadsPerDir, 16*runtime.GOMAXPROCS(0))
}

func (m *Manager) closeDir(ctx context.Context, d *logDir) error {
	// What is held back for the checkpoints serves for everything that is written now.
	d.checkpointMu.Lock()
	err := d.dropReserve()
	d.checkpointMu.Unlock()
	if err != nil {
		return d.fail("removing "+reserveFile, err)
	}
	logs := append(m.logsIn(d, m.logs), m.logsIn(d, m.futures)...)
	busy := make([]*Log, 0, len(logs))
	for _, l := range logs {
		if l.idle() {
			l.closed.CompareAndSwap(nil, &closedErr)
		} else {
			busy = append(busy, l)
		}
	}
	if d.sync != nil && len(busy) >= closeTogetherFrom {
		err = m.closeTogether(ctx, d, busy)
	} else {
		err = m.eachOf(ctx, busy, (*Log).close)
	}
	for _, l := range logs {
		for _, s := range l.segments() {
			s.dropFiles()
		}
	}
	if err != nil {
		return err
	}
	if err := m.checkpointDir(d); err != nil {
		return err
	}
	if err := checkpoint.WriteCleanShutdown(m.fs, d.path); err != nil {
		return d.fail("marking the shutdown as clean", err)
	}
	return nil
}

var closedErr error = ErrClosed

// idle reports whether closing the log has nothing to write.
func (l *Log) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leo.Load() != l.recovery.Load() || l.epochsDirty {
		return false
	}
	s := l.active()
	if s == nil {
		return true
	}
	return s.recent.Load() == nil && s.oidx.tail.Load() == nil && s.tidx.tail.Load() == nil && !s.oidx.trim && !s.tidx.trim &&
		l.snapshotted >= l.leo.Load()
}

// finish writes what only memory knows, without making it durable. done is false if the log was deleted or is offline.
func (l *Log) finish() (done bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usable() != nil {
		return false, nil
	}
	if s := l.active(); s != nil {
		if err = s.finish(); err == nil && l.leo.Load() > l.start.Load() {
			err = l.producers.TakeSnapshot(l.m.fs, l.path())
		}
	}
	if err != nil {
		return false, l.ioError("closing the log", err)
	}
	return true, nil
}

// close writes what only memory knows and makes the log durable.
func (l *Log) close() error {
	if done, err := l.finish(); !done {
		return err
	}
	if err := l.Flush(); err != nil {
		return err
	}
	l.flushMu.Lock()
	err := l.flushEpochs(l.m.fs)
	l.flushMu.Unlock()
	if err != nil {
		return l.ioError("writing the leader epochs", err)
	}
	l.closed.CompareAndSwap(nil, &closedErr)
	return nil
}

// eachOf runs f on the logs, several at a time.
func (m *Manager) eachOf(ctx context.Context, logs []*Log, f func(*Log) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(m.closeThreads())
	for _, l := range logs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f(l)
		})
	}
	return g.Wait()
}

// closeTogetherFrom is the number of logs from which on a sync of the whole file system is cheaper than several of each log.
const closeTogetherFrom = 32

// closeTogether closes many logs with two syncs of the file system: one for what the logs hold, after which files may be replaced by
// their successors, and one for the replacing.
func (m *Manager) closeTogether(ctx context.Context, d *logDir, logs []*Log) error {
	late := &lateRenames{FS: m.fs}
	err := m.eachOf(ctx, logs, func(l *Log) error {
		done, err := l.finish()
		if !done {
			return err
		}
		l.flushMu.Lock()
		defer l.flushMu.Unlock()
		if err := l.flushEpochs(late); err != nil {
			return l.ioError("writing the leader epochs", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := d.sync.SyncAll(); err != nil {
		return d.fail("syncing it", err)
	}
	if err := late.carryOut(); err != nil {
		return d.fail("replacing a file", err)
	}
	if err := d.sync.SyncAll(); err != nil {
		return d.fail("syncing it", err)
	}
	for _, l := range logs {
		l.mu.Lock()
		if l.usable() == nil {
			l.recovery.Store(l.leo.Load())
			l.closed.CompareAndSwap(nil, &closedErr)
		}
		l.mu.Unlock()
	}
	return nil
}

// lateRenames is a file system that syncs nothing and remembers renames until carryOut: its user syncs everything at once before.
type lateRenames struct {
	vfs.FS
	mu      sync.Mutex
	renames [][2]string
}

func (r *lateRenames) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := r.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return unsynced{f}, nil
}

type unsynced struct{ vfs.File }

func (unsynced) Sync() error { return nil }

func (r *lateRenames) SyncDir(string) error { return nil }

func (r *lateRenames) Rename(oldname, newname string) error {
	r.mu.Lock()
	r.renames = append(r.renames, [2]string{oldname, newname})
	r.mu.Unlock()
	return nil
}

func (r *lateRenames) carryOut() error {
	for _, n := range r.renames {
		if err := r.FS.Rename(n[0], n[1]); err != nil {
			return err
		}
	}
	return nil
}
