package replication

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gregor/storage"
)

// FutureLogs is what moving replicas between log directories needs of storage.Manager.
type FutureLogs interface {
	CheckMove(tp storage.TopicPartition, dir string) error
	Prefer(tp storage.TopicPartition, dir string)
	Future(tp storage.TopicPartition) (*storage.Log, bool)
	CreateFuture(tp storage.TopicPartition, dir string) (*storage.Log, error)
	DeleteFuture(tp storage.TopicPartition) error
	ReplaceWithFuture(tp storage.TopicPartition) (*storage.Log, error)
}

// Moving is how replicas move between log directories.
type Moving struct {
	Logs FutureLogs
	// Threads is num.replica.alter.log.dirs.threads: moves at a time.
	Threads int
	// Throttle bounds what is copied; nil is no bound.
	Throttle *Throttle
}

// Move is one wish of AlterReplicaLogDirs. Err is filled in: storage's errors, ErrUnknownPartition, or ErrNotLeader when the replica is
// not here yet and will be made in the directory.
type Move struct {
	storage.TopicPartition
	Dir string
	Err error
}

const (
	// moveChunk is how much is copied at a time.
	moveChunk = 1 << 20
	// moveAtOnce is the most that is copied while appends wait, when a move comes to its end.
	moveAtOnce = 4 * moveChunk
)

// movers are the replicas on their way.
type movers struct {
	m      *Manager
	ctx    context.Context
	cancel context.CancelFunc
	slots  chan struct{}

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func newMovers(m *Manager) *movers {
	mv := &movers{m: m, slots: make(chan struct{}, max(1, m.opt.Moving.Threads))}
	mv.ctx, mv.cancel = context.WithCancel(context.Background())
	return mv
}

func (mv *movers) close() {
	mv.mu.Lock()
	mv.closed = true
	mv.mu.Unlock()
	mv.cancel()
	mv.wg.Wait()
}

func (mv *movers) start(p *Partition, future *storage.Log) {
	mv.mu.Lock()
	defer mv.mu.Unlock()
	if !mv.closed {
		mv.wg.Go(func() { mv.run(p, future) })
	}
}

// AlterLogDirs begins to move replicas into other log directories, or back.
func (m *Manager) AlterLogDirs(moves []Move) {
	m.state.Lock()
	defer m.state.Unlock()
	for i := range moves {
		mv := &moves[i]
		if mv.Err = m.alterLogDir(mv.TopicPartition, mv.Dir); mv.Err != nil {
			m.opt.Log.Warnf("Unable to alter log dirs for %v: %v", mv.TopicPartition, mv.Err)
		}
	}
}

func (m *Manager) alterLogDir(tp storage.TopicPartition, dir string) error {
	logs := m.opt.Moving.Logs
	if err := logs.CheckMove(tp, dir); err != nil {
		return err
	}
	p, err := m.Lookup(tp.Topic, tp.Partition)
	if err != nil {
		logs.Prefer(tp, dir)
		return err
	}
	p.mu.Lock()
	log, future := p.mu.log, p.mu.future
	if p.mu.offline {
		p.mu.Unlock()
		return ErrOffline
	}
	changes := future != nil && future.Dir() != dir
	if changes {
		p.mu.future = nil // whoever copies sees it and ends
	}
	p.mu.Unlock()
	if changes {
		if err := logs.DeleteFuture(tp); err != nil {
			return m.readFailed(p, err)
		}
		future = nil
	}
	switch {
	case log == nil:
		logs.Prefer(tp, dir)
		return ErrNotLeader
	case log.Dir() == dir || future != nil:
		return nil // it is there, or on its way
	}
	if future, err = logs.CreateFuture(tp, dir); err != nil {
		return m.readFailed(p, err)
	}
	m.opt.Log.Infof("Moving the replica of %v from %s to %s", tp, log.Dir(), dir)
	m.moves(p, future)
	return nil
}

// moves makes future the log that is to replace p's, and begins to copy.
func (m *Manager) moves(p *Partition, future *storage.Log) {
	p.mu.Lock()
	p.mu.future = future
	p.mu.Unlock()
	m.movers.start(p, future)
}

// resumeMove goes on with a move that a stop of the broker interrupted.
func (m *Manager) resumeMove(p *Partition) {
	if m.opt.Moving.Logs == nil {
		return
	}
	future, ok := m.opt.Moving.Logs.Future(p.tp)
	p.mu.RLock()
	known := p.mu.future == future
	p.mu.RUnlock()
	if ok && !known {
		m.moves(p, future)
	}
}

// endMove gives a move up, because the replica is deleted.
func (m *Manager) endMove(p *Partition) error {
	if m.opt.Moving.Logs == nil {
		return nil
	}
	p.mu.Lock()
	p.mu.future = nil
	p.mu.Unlock()
	return m.opt.Moving.Logs.DeleteFuture(p.tp)
}

// run copies until the future log replaces the present one, or the move is given up.
func (mv *movers) run(p *Partition, future *storage.Log) {
	select {
	case mv.slots <- struct{}{}:
		defer func() { <-mv.slots }()
	case <-mv.ctx.Done():
		return
	}
	log := mv.m.opt.Log
	buf := make([]byte, 0, moveChunk)
	aligned := false
	for mv.ctx.Err() == nil {
		var done bool
		err := error(nil)
		if !aligned {
			err = p.alignFuture(future)
			aligned = err == nil
		}
		if err == nil {
			buf, done, err = mv.step(p, future, buf)
		}
		switch {
		case done, errors.Is(err, errMoveOver):
			return
		case errors.Is(err, ErrOffline), errors.Is(err, ErrNotLeader):
			log.Errorf("Moving the replica of %v to %s has ended: %v", p.tp, future.Dir(), err)
			return
		case err != nil:
			log.Errorf("Moving the replica of %v to %s, tried again in %v: %v", p.tp, future.Dir(), mv.m.opt.Fetching.Backoff, err)
			aligned = false
			mv.pause(mv.m.opt.Fetching.Backoff)
		}
	}
}

func (mv *movers) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-mv.ctx.Done():
	}
}

// step copies a piece, or ends the move when there is none left.
func (mv *movers) step(p *Partition, future *storage.Log, buf []byte) (_ []byte, done bool, err error) {
	throttle := mv.m.opt.Moving.Throttle
	if wait := throttle.Wait(time.Now()); wait > 0 {
		mv.pause(min(wait, time.Second)) // the rate may be raised meanwhile
		return buf, false, nil
	}
	p.mu.RLock()
	log, err := p.moving(future)
	n := 0
	if err == nil {
		buf, n, err = copyRecords(log, future, buf)
	}
	p.mu.RUnlock()
	if err != nil {
		return buf, false, mv.m.readFailed(p, err)
	}
	if n > 0 {
		if throttle != nil {
			throttle.Record(n, time.Now())
		}
		return buf, false, nil
	}
	// What replaces a log that is on disk must be there too.
	if err := future.Flush(); err != nil {
		return buf, false, mv.m.readFailed(p, err)
	}
	done, err = p.replaceWithFuture(future, buf)
	if done {
		p.notify(nil)
	}
	return buf, done, err
}

var errMoveOver = errors.New("the move was given up")

// moving, with mu held, returns the log that a move to future copies.
func (p *Partition) moving(future *storage.Log) (*storage.Log, error) {
	switch {
	case p.mu.deleted || p.mu.future != future:
		return nil, errMoveOver
	case p.mu.offline || p.mu.log == nil:
		return nil, ErrOffline
	}
	return p.mu.log, nil
}

// copyRecords copies what fits into buf from where future ends, and lets it follow the log's start. No bytes: it has all.
func copyRecords(log, future *storage.Log, buf []byte) ([]byte, int, error) {
	start := log.LogStartOffset()
	if future.LogEndOffset() < start {
		if err := future.TruncateFullyAndStartAt(start); err != nil {
			return buf, 0, err
		}
	}
	from, end, n := future.LogEndOffset(), log.LogEndOffset(), 0
	if from < end {
		s, err := log.Read(from, moveChunk, true, end)
		if err != nil {
			return buf, 0, err
		}
		n = s.Length
		if cap(buf) < n {
			buf = make([]byte, 0, n)
		}
		if n > 0 {
			_, err = s.File.ReadAt(buf[:n], s.Offset)
		}
		s.Release()
		if err == nil {
			_, err = future.AppendAsFollower(buf[:n])
		}
		if err == nil && future.LogEndOffset() == from {
			err = fmt.Errorf("%d bytes at offset %d hold no record", n, from)
		}
		if err != nil {
			return buf, 0, err
		}
	}
	future.SetHighWatermark(min(log.HighWatermark(), future.LogEndOffset()))
	if start > future.LogStartOffset() && start <= future.HighWatermark() {
		return buf, n, future.DeleteRecords(start)
	}
	return buf, n, nil
}

// alignFuture truncates the future log to what it has in common with the log: either may have lost its end in a crash.
func (p *Partition) alignFuture(future *storage.Log) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := p.moving(future)
	if err != nil {
		return err
	}
	for {
		to, again := min(future.LogEndOffset(), log.LogEndOffset()), false
		if latest, ok := future.LatestEpoch(); ok {
			epoch, end, known := log.EndOffsetForEpoch(latest)
			if !known {
				return future.TruncateFullyAndStartAt(log.LogStartOffset())
			}
			to, again = divergence(future, epoch, end, to)
		}
		if to < future.LogStartOffset() {
			return future.TruncateFullyAndStartAt(log.LogStartOffset())
		}
		if err := future.TruncateTo(to); err != nil || !again {
			return err
		}
	}
}

// truncateFuture, with mu held exclusively, lets a future log follow a truncation.
func (p *Partition) truncateFuture(offset int64) error {
	if f := p.mu.future; f != nil && f.LogEndOffset() > offset {
		if offset < f.LogStartOffset() {
			return f.TruncateFullyAndStartAt(offset)
		}
		return f.TruncateTo(offset)
	}
	return nil
}

// replaceWithFuture puts the future log in the log's place once it holds everything. Appends and reads wait meanwhile.
func (p *Partition) replaceWithFuture(future *storage.Log, buf []byte) (done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := p.moving(future)
	if err != nil {
		return false, err
	}
	for copied, n := 0, 0; future.LogEndOffset() != log.LogEndOffset(); copied += n {
		if copied >= moveAtOnce {
			return false, nil
		}
		if buf, n, err = copyRecords(log, future, buf); err != nil {
			return false, p.m.readFailed(p, err)
		}
	}
	if _, _, err = copyRecords(log, future, buf); err != nil { // the high watermark and the log start
		return false, p.m.readFailed(p, err)
	}
	current, err := p.m.opt.Moving.Logs.ReplaceWithFuture(p.tp)
	if err != nil {
		return false, p.m.readFailed(p, err)
	}
	p.mu.log, p.mu.future = current, nil
	return true, nil
}
