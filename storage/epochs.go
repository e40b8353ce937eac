package storage

import (
	"gregor/internal/vfs"
	"gregor/storage/leaderepoch"
)

// KeepsEpochs reports whether the log remembers leader epochs. Message formats v0 and v1 have no place for them: a log of these is
// truncated by the high watermark.
func (l *Log) KeepsEpochs() bool { return l.cfg.Load().Magic >= 2 }

// setConfig takes over other settings. Leader epochs end with message format v2: what is appended from then on does not carry them.
func (l *Log) setConfig(cfg *Config) {
	was := l.cfg.Swap(cfg)
	if was.Magic == cfg.Magic {
		return
	}
	if cfg.Magic < was.Magic {
		l.m.log.Warnf("%v: the message format has been set back from v%d to v%d", l.tp, was.Magic, cfg.Magic)
	}
	if cfg.Magic >= 2 {
		return
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usable() != nil || l.KeepsEpochs() {
		return
	}
	if err := l.dropEpochsLocked(); err != nil {
		_ = l.ioError("removing the leader epochs", err) // which takes the directory offline
	}
}

// dropEpochsLocked forgets the leader epochs, and removes their file.
func (l *Log) dropEpochsLocked() error {
	if l.epochs.Clear() {
		l.m.log.Warnf("%v: the leader epochs are removed, as message format v%d knows none", l.tp, l.cfg.Load().Magic)
	}
	l.epochsDirty, l.epochsPending = false, false
	return remove(l.m.fs, l.path()+"/"+leaderepoch.FileName)
}

// assignEpochLocked notes that a batch of an epoch begins at offset. The file follows with the next flush: recovery finds in the
// batches past the recovery point what it lacks.
func (l *Log) assignEpochLocked(epoch int32, offset int64) {
	if epoch < 0 || !l.KeepsEpochs() {
		return
	}
	if l.epochs.Assign(epoch, offset) || l.epochsPending {
		l.epochsDirty, l.epochsPending = true, false
	}
}

// AssignEpoch notes that a leader epoch starts at offset, before anything is written in it. Until then it stays in memory: an epoch
// without a record is dropped at every start anyway (by Kafka too), and an empty partition stays an empty directory.
func (l *Log) AssignEpoch(epoch int32, start int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if epoch >= 0 && l.KeepsEpochs() && l.epochs.Assign(epoch, start) {
		l.epochsPending = true
	}
	return nil
}

// LatestEpoch returns the last leader epoch the log knows.
func (l *Log) LatestEpoch() (int32, bool) {
	e, ok := l.epochs.Latest()
	return e.Epoch, ok
}

// EarliestEpoch returns the epoch of the log start offset, for a search for the earliest offset.
func (l *Log) EarliestEpoch() (int32, bool) {
	e, ok := l.epochs.Earliest()
	return e.Epoch, ok && e.StartOffset <= l.start.Load()
}

// EndOffsetForEpoch returns the largest epoch not above epoch, and where it ended (exclusive); ok is false if the log cannot tell.
func (l *Log) EndOffsetForEpoch(epoch int32) (found int32, end int64, ok bool) {
	found, end = l.epochs.EndOffsetFor(epoch, l.leo.Load())
	return found, end, end != leaderepoch.Undefined
}

// flushEpochs writes the epochs' file if a record depends on what it lacks. Under flushMu.
func (l *Log) flushEpochs(fs vfs.FS) error {
	l.mu.Lock()
	dirty := l.epochsDirty
	l.epochsDirty = false
	l.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := l.epochs.Flush(fs, l.path()); err != nil {
		return err
	}
	return fs.SyncDir(l.path())
}
