package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/storage"
)

// Logs is what replication needs of storage.Manager.
type Logs interface {
	Get(tp storage.TopicPartition) (*storage.Log, bool)
	GetOrCreate(tp storage.TopicPartition, cfg storage.Config, isNew bool) (*storage.Log, error)
	Delete(tp storage.TopicPartition) error
	// SyncRemovals makes deletions durable.
	SyncRemovals() error
	CheckpointHighWatermarks() error
}

// Options configures a Manager.
type Options struct {
	BrokerID int32
	Logs     Logs
	// TopicConfig returns a topic's effective settings when a log of it is created.
	TopicConfig func(topic string) storage.Config
	// NewLogs, if set, is told the topics that are about to get logs here, before TopicConfig is asked about them.
	NewLogs func(topics []string)
	// MinISR returns a topic's min.insync.replicas; 1 for all when nil.
	MinISR func(topic string) int
	// Known says whether some broker hosts the partition, which tells "not here" from "nowhere"; nil means nothing is known.
	Known func(topic string, partition int32) bool
	// Alive says whether a broker is up, for the low watermark of DeleteRecords; nil means that all are.
	Alive func(id int32) bool
	// MaxLag is replica.lag.time.max.ms (30 s): a follower that has not held the whole log for so long is not in sync.
	MaxLag time.Duration
	// ISR is asked to change the in-sync replicas; nil when no other broker can have a replica.
	ISR ISRChanger
	// Fetching is how this broker follows others.
	Fetching Fetching
	// FollowerThrottle bounds what throttled replicas fetch; nil is no bound.
	FollowerThrottle *Throttle
	// Moving is how replicas move between log directories.
	Moving Moving
	// CheckpointInterval is replica.high.watermark.checkpoint.interval.ms (5 s).
	CheckpointInterval time.Duration
	// OnLeadershipChange is called with the controller's requests serialised, after roles changed: coordinators load and unload by it.
	OnLeadershipChange func(leaders, followers []*Partition)
	// OnStop is called likewise for each partition whose role ended without another.
	OnStop func(tp storage.TopicPartition)
	// Counters counts what clients do with each topic; nil counts nothing.
	Counters *Counters
	Log      logrus.FieldLogger
}

func (o *Options) minISR(topic string) int {
	if o.MinISR == nil {
		return 1
	}
	return o.MinISR(topic)
}

func (o *Options) alive(id int32) bool { return o.Alive == nil || o.Alive(id) }

func (o *Options) now() time.Time { return time.Now() }

// Manager hosts this broker's partitions.
type Manager struct {
	opt      Options
	fetchers *fetchers
	movers   *movers

	// state serialises the controller's requests.
	state struct {
		turn
		controllerEpoch int32
	}

	mu struct {
		sync.RWMutex
		topics map[string]map[int32]*Partition
		count  int
	}
}

// turn is a mutex for who may wait long while holding it: LeaderAndIsr may ask ZooKeeper for settings. It is a channel, so that in a
// testing/synctest bubble, where a goroutine that waits for a Mutex counts as busy, time goes on meanwhile.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

// New makes a Manager without partitions: LeaderAndIsr brings them.
func New(opt Options) *Manager {
	if opt.CheckpointInterval <= 0 {
		opt.CheckpointInterval = 5 * time.Second
	}
	if opt.MaxLag <= 0 {
		opt.MaxLag = 30 * time.Second
	}
	opt.Fetching.setDefaults()
	m := &Manager{opt: opt}
	m.state.turn = make(turn, 1)
	m.fetchers, m.movers = newFetchers(m), newMovers(m)
	m.mu.topics = map[string]map[int32]*Partition{}
	return m
}

// Run sweeps the high-watermark checkpoints and the in-sync replicas until ctx ends; then it stops following, and writes the checkpoints
// once more.
func (m *Manager) Run(ctx context.Context) error {
	defer m.movers.close()
	defer m.fetchers.close()
	t := time.NewTicker(m.opt.CheckpointInterval)
	defer t.Stop()
	lag := time.NewTicker(m.opt.MaxLag / 2)
	defer lag.Stop()
	for {
		select {
		case <-lag.C:
			m.shrinkISRs()
		case <-t.C:
			if err := m.opt.Logs.CheckpointHighWatermarks(); err != nil {
				m.opt.Log.Errorf("Writing the high watermark checkpoints failed: %v", err)
			}
		case <-ctx.Done():
			m.fetchers.close()
			m.movers.close()
			return m.opt.Logs.CheckpointHighWatermarks()
		}
	}
}

// Lookup returns the partition if this broker hosts it, and otherwise ErrNotLeader or ErrUnknownPartition. topic is not kept.
func (m *Manager) Lookup(topic string, partition int32) (*Partition, error) {
	m.mu.RLock()
	p := m.mu.topics[topic][partition]
	m.mu.RUnlock()
	switch {
	case p != nil:
		return p, nil
	case m.opt.Known != nil && m.opt.Known(topic, partition):
		return nil, ErrNotLeader
	}
	return nil, ErrUnknownPartition
}

// Count is the number of hosted partitions.
func (m *Manager) Count() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.mu.count
}

// Partitions calls f for each hosted partition until it returns false.
func (m *Manager) Partitions(f func(*Partition) bool) {
	m.mu.RLock()
	all := make([]*Partition, 0, m.mu.count)
	for _, t := range m.mu.topics {
		for _, p := range t {
			all = append(all, p)
		}
	}
	m.mu.RUnlock()
	for _, p := range all {
		if !f(p) {
			return
		}
	}
}

func (m *Manager) getOrAdd(tp storage.TopicPartition) *Partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.mu.topics[tp.Topic]
	if t == nil {
		t = map[int32]*Partition{}
		m.mu.topics[tp.Topic] = t
	}
	p := t[tp.Partition]
	if p == nil {
		p = newPartition(m, tp)
		t[tp.Partition] = p
		m.mu.count++
	}
	return p
}

func (m *Manager) remove(tp storage.TopicPartition) *Partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.mu.topics[tp.Topic]
	p := t[tp.Partition]
	if p == nil {
		return nil
	}
	delete(t, tp.Partition)
	if len(t) == 0 {
		delete(m.mu.topics, tp.Topic)
		if m.opt.Counters != nil {
			m.opt.Counters.drop(tp.Topic)
		}
	}
	m.mu.count--
	return p
}

// UpdateControllerEpoch notes the epoch of a controller's request; ErrStaleControllerEpoch if a newer one was seen.
func (m *Manager) UpdateControllerEpoch(epoch int32) error {
	m.state.Lock()
	defer m.state.Unlock()
	return m.checkControllerEpoch(epoch)
}

func (m *Manager) checkControllerEpoch(epoch int32) error {
	if epoch < m.state.controllerEpoch {
		return fmt.Errorf("%w: %d, latest is %d", ErrStaleControllerEpoch, epoch, m.state.controllerEpoch)
	}
	m.state.controllerEpoch = epoch
	return nil
}

// DirFailed takes the partitions of a failed log directory offline: the storage's OnDirFailure calls it.
func (m *Manager) DirFailed(dir string) {
	m.Partitions(func(p *Partition) bool {
		p.mu.Lock()
		hit := p.mu.log != nil && p.mu.log.Dir() == dir && !p.mu.offline
		if hit {
			p.mu.offline = true
			p.mu.log = nil
		}
		if f := p.mu.future; f != nil && f.Dir() == dir {
			p.mu.future = nil
		}
		p.mu.Unlock()
		if hit {
			p.failWaiters(ErrOffline)
			p.notify(nil)
		}
		return true
	})
}

// appendFailed and readFailed turn storage's errors into the partition's.
func (m *Manager) appendFailed(p *Partition, err error) error { return m.readFailed(p, err) }

func (m *Manager) readFailed(p *Partition, err error) error {
	var off *storage.DirOfflineError
	switch {
	case errors.As(err, &off):
		return fmt.Errorf("%w: %w", ErrOffline, err)
	case errors.Is(err, storage.ErrDeleted), errors.Is(err, storage.ErrClosed):
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	return err
}

func contains(ids []int32, id int32) bool { return slices.Contains(ids, id) }
