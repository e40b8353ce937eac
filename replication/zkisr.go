package replication

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/storage"
	"gregor/zkmeta"
)

// Pauses of ZKISR: notifications are gathered so that the controller is not woken for each (ReplicaManager.scala at 2.7.2).
const (
	isrQuiet   = 5 * time.Second  // after the last change
	isrLongest = 60 * time.Second // after the last notification
	isrSweep   = 2500 * time.Millisecond
	isrRetry   = time.Second
)

// ZKISR changes in-sync replicas by writing the partition's znode, on condition of its version, and tells the controller of it in
// /isr_change_notification: what brokers do below inter.broker.protocol.version 2.7-IV2. It is safe for concurrent use.
type ZKISR struct {
	ZK  *zkmeta.Client
	Log logrus.FieldLogger

	once  sync.Once
	wake  chan struct{}
	mu    sync.Mutex
	queue []proposal

	// Only Run uses these.
	changed              map[zkmeta.TopicPartition]bool
	lastChange, lastTold time.Time
}

func (z *ZKISR) init() { z.once.Do(func() { z.wake = make(chan struct{}, 1) }) }

// Propose queues a change.
func (z *ZKISR) Propose(c ISRChange, done func(ISRAnswer)) {
	z.init()
	z.mu.Lock()
	z.queue = append(z.queue, proposal{c, done})
	z.mu.Unlock()
	select {
	case z.wake <- struct{}{}:
	default:
	}
}

// Run writes changes until ctx ends.
func (z *ZKISR) Run(ctx context.Context) {
	z.init()
	z.changed = map[zkmeta.TopicPartition]bool{}
	t := time.NewTicker(isrSweep)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			z.tell(ctx, time.Now())
		case <-z.wake:
		}
		z.mu.Lock()
		batch := z.queue
		z.queue = nil
		z.mu.Unlock()
		for _, p := range batch {
			z.write(ctx, p)
		}
	}
}

// write changes one znode, however often that takes.
func (z *ZKISR) write(ctx context.Context, p proposal) {
	tp := zkmeta.TopicPartition{Topic: p.Topic, Partition: p.Partition}
	path := zkmeta.PathPartitionState(tp)
	for {
		st, err := z.ZK.Set(ctx, path, zkmeta.EncodePartitionState(zkmeta.PartitionState{Leader: p.Leader, LeaderEpoch: p.LeaderEpoch,
			ISR: p.ISR, ControllerEpoch: p.ControllerEpoch}), p.Version)
		if err == nil {
			z.changed[tp], z.lastChange = true, time.Now()
			p.done(ISRAnswer{Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, ISR: p.ISR, Version: st.Version})
			return
		}
		if errors.Is(err, zkmeta.ErrBadVersion) {
			var stands ISRAnswer
			if stands, err = ReadISR(ctx, z.ZK, p.TopicPartition); err == nil {
				z.changed[tp], z.lastChange = true, time.Now() // it may be this very change, whose answer was lost
				p.done(stands)
				return
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, zkmeta.ErrNoNode):
			p.done(ISRAnswer{Err: ErrISRRefused})
			return
		}
		z.Log.Warnf("Changing the ISR of %v in ZooKeeper is tried again: %v", p.TopicPartition, err)
		pause := time.NewTimer(isrRetry)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// tell makes a notification of what changed, when it has been quiet for a while.
func (z *ZKISR) tell(ctx context.Context, now time.Time) {
	if len(z.changed) == 0 || (now.Sub(z.lastChange) < isrQuiet && now.Sub(z.lastTold) < isrLongest) {
		return
	}
	list := make([]zkmeta.TopicPartition, 0, len(z.changed))
	for tp := range z.changed {
		list = append(list, tp)
	}
	if err := z.ZK.NotifyIsrChange(ctx, list); err != nil {
		if ctx.Err() == nil {
			z.Log.Warnf("Telling the controller of %d changed ISRs is tried again: %v", len(list), err)
		}
		return
	}
	clear(z.changed)
	z.lastTold = now
}

// ReadISR reads what stands in ZooKeeper about a partition.
func ReadISR(ctx context.Context, zk *zkmeta.Client, tp storage.TopicPartition) (ISRAnswer, error) {
	data, st, err := zk.Get(ctx, zkmeta.PathPartitionState(zkmeta.TopicPartition{Topic: tp.Topic, Partition: tp.Partition}))
	if err != nil {
		return ISRAnswer{}, err
	}
	s, err := zkmeta.DecodePartitionState(data)
	if err != nil {
		return ISRAnswer{}, err
	}
	return ISRAnswer{Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, ISR: s.ISR, Version: st.Version}, nil
}
