package replication

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gregor/replication/isr"
	"gregor/storage"
)

// NoEpoch in a request means that its sender does not check the leader epoch.
const NoEpoch int32 = -1

// State is what the controller decided about a partition, as LeaderAndIsr carries it.
type State struct {
	ControllerEpoch  int32
	Leader           int32
	LeaderEpoch      int32
	ISR              []int32
	ZKVersion        int32
	Replicas         []int32
	AddingReplicas   []int32
	RemovingReplicas []int32
	IsNew            bool
}

// Partition is one replica hosted by this broker.
type Partition struct {
	m  *Manager
	tp storage.TopicPartition

	mu struct {
		sync.RWMutex
		State
		leading bool
		// alone: nobody but this leader has to have a record, so its log end is the high watermark.
		alone bool
		// solo: this leader is the only in-sync replica, so an append may move the high watermark.
		solo bool
		// epochStart is the log end when this broker became leader.
		epochStart int64
		log        *storage.Log // nil until the first LeaderAndIsr made it
		future     *storage.Log // is to replace log, from another directory
		offline    bool
		deleted    bool
		// isr is what this leader knows of the replicas, nil while it does not lead. What it knows of the followers is changed with mu
		// held shared and hw; the sets with mu held exclusively.
		isr *isr.State
		// isrRetry is when a larger ISR may be asked for again, after a refusal.
		isrRetry time.Time
	}

	// hw serialises changes of the high watermark, so that it never falls when appends and fetches of followers race.
	hw struct {
		sync.Mutex
		waiters []*ackWaiter
	}

	counters atomic.Pointer[TopicCounters] // nil until the topic is used

	watched atomic.Bool
	watch   struct {
		sync.Mutex
		list []*Watch
	}
}

func newPartition(m *Manager, tp storage.TopicPartition) *Partition {
	p := &Partition{m: m, tp: tp}
	p.mu.LeaderEpoch = NoEpoch
	p.mu.Leader = -1
	return p
}

// TopicPartition is the partition's name.
func (p *Partition) TopicPartition() storage.TopicPartition { return p.tp }

// Deleted is true once the partition was removed from this broker; look it up again then.
func (p *Partition) Deleted() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.mu.deleted
}

// LeaderEpoch is the present leader epoch, -1 before the first LeaderAndIsr.
func (p *Partition) LeaderEpoch() int32 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.mu.LeaderEpoch
}

// Snapshot is a copy of the partition's state, for admin requests and metrics.
func (p *Partition) Snapshot() (s State, leading bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.mu.State, p.mu.leading
}

// Log is the partition's log, nil while there is none or its directory is offline.
func (p *Partition) Log() *storage.Log {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.mu.offline {
		return nil
	}
	return p.mu.log
}

// usable, with mu held, returns the log for a request that carries an expected leader epoch (NoEpoch: none).
func (p *Partition) usable(epoch int32, leaderOnly bool) (*storage.Log, error) {
	switch {
	case p.mu.offline:
		return nil, ErrOffline
	case p.mu.deleted || p.mu.log == nil:
		return nil, ErrNotLeader
	case epoch != NoEpoch && epoch < p.mu.LeaderEpoch:
		return nil, ErrFencedLeaderEpoch
	case epoch != NoEpoch && epoch > p.mu.LeaderEpoch:
		return nil, ErrUnknownLeaderEpoch
	case leaderOnly && !p.mu.leading:
		return nil, ErrNotLeader
	}
	return p.mu.log, nil
}

// Append adds records to the log of the partition this broker leads. acks is the producer's: -1 demands min.insync.replicas.
// Records may be changed in place. The caller resumes those who waited for the records and are collected in woken; if it is nil they
// resume in goroutines of their own.
func (p *Partition) Append(records []byte, acks int16, origin storage.Origin, now time.Time, woken *Woken) (storage.AppendInfo, error) {
	return p.AppendInTxn(records, acks, origin, now, woken, storage.AnyTxn)
}

// AppendInTxn is Append for a batch that may open a transaction only if no other has ended since storage.Log.TxnOf returned ends.
func (p *Partition) AppendInTxn(records []byte, acks int16, origin storage.Origin, now time.Time, woken *Woken, ends int64) (storage.AppendInfo, error) {
	p.mu.RLock()
	log, err := p.usable(NoEpoch, true)
	if err != nil {
		p.mu.RUnlock()
		return storage.AppendInfo{}, err
	}
	if acks == -1 && len(p.mu.ISR) < p.m.opt.minISR(p.tp.Topic) {
		p.mu.RUnlock()
		return storage.AppendInfo{}, ErrNotEnoughReplicas
	}
	info, err := log.AppendInTxn(records, p.mu.LeaderEpoch, origin, now, ends)
	if err != nil {
		start := log.LogStartOffset()
		p.mu.RUnlock()
		info.LogStartOffset = start
		return info, p.m.appendFailed(p, err)
	}
	switch {
	case p.mu.alone:
		p.raise(log, log.LogEndOffset(), woken)
	case p.mu.solo:
		p.advance(now)
	}
	p.mu.RUnlock()
	p.notify(woken)
	return info, nil
}

// raise lifts the high watermark to at most hw and releases who waited for it. It returns whether it moved.
func (p *Partition) raise(log *storage.Log, hw int64, woken *Woken) bool {
	p.hw.Lock()
	defer p.hw.Unlock()
	return p.raiseLocked(log, hw, woken)
}

func (p *Partition) raiseLocked(log *storage.Log, hw int64, woken *Woken) bool {
	if hw <= log.HighWatermark() {
		return false
	}
	hw = log.SetHighWatermark(hw)
	if len(p.hw.waiters) > 0 {
		p.releaseWaiters(hw, woken)
	}
	return true
}

// advance, with mu held at least shared, computes the high watermark anew from what the replicas hold.
func (p *Partition) advance(now time.Time) bool {
	if p.mu.isr == nil || p.mu.log == nil {
		return false
	}
	p.hw.Lock()
	defer p.hw.Unlock()
	return p.raiseLocked(p.mu.log, p.mu.isr.HighWatermark(p.mu.log.LogEndOffset(), now, p.m.opt.MaxLag), nil)
}

// FollowerFetched notes that a follower fetches from offset on, which tells that it holds everything before. leaderEnd is where this
// log ended when the fetch was read. The caller resumes those who waited for it and are collected in woken; if it is nil they resume in
// goroutines of their own.
func (p *Partition) FollowerFetched(replica int32, offset, logStart, leaderEnd int64, now time.Time, woken *Woken) {
	p.mu.RLock()
	st, log := p.mu.isr, p.mu.log
	if st == nil || log == nil || p.mu.offline {
		p.mu.RUnlock()
		return
	}
	p.hw.Lock()
	known, ended, moved := st.Fetched(replica, offset, logStart, leaderEnd, now)
	if ended && p.raiseLocked(log, st.HighWatermark(log.LogEndOffset(), now, p.m.opt.MaxLag), woken) {
		moved = true
	}
	joins := known && st.Joins(replica, log.HighWatermark()) != nil
	p.hw.Unlock()
	p.mu.RUnlock()
	if joins {
		p.expand(replica)
	}
	if moved {
		p.notifyReaders(woken)
	}
}

// Nearest is the follower that a reader at offset had better read from: one that near says is close to it, while this leader is not; -1 if
// there is none.
func (p *Partition) Nearest(offset int64, near func(broker int32) bool) int32 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.mu.isr == nil || near(p.m.opt.BrokerID) {
		return -1
	}
	p.hw.Lock()
	defer p.hw.Unlock()
	return p.mu.isr.Nearest(offset, near)
}

// InSync says whether a replica is among those in sync.
func (p *Partition) InSync(id int32) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Contains(p.mu.ISR, id)
}

// IsFollower says whether another broker has a replica of the partition.
func (p *Partition) IsFollower(id int32) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return id != p.m.opt.BrokerID && slices.Contains(p.mu.Replicas, id)
}

// become takes over a decision of the controller, with mu held.
func (p *Partition) become(st State, leading bool, log *storage.Log, now time.Time) {
	former, kept := p.mu.isr, p.mu.leading && st.LeaderEpoch == p.mu.LeaderEpoch
	p.mu.State, p.mu.leading, p.mu.log = st, leading, log
	p.mu.isrRetry = time.Time{} // what was refused before this decision may be asked for at once
	p.mu.isr, p.mu.alone, p.mu.solo = nil, false, false
	if !leading {
		return
	}
	if !kept {
		p.mu.epochStart = log.LogEndOffset()
		former = nil
	}
	p.mu.isr = isr.Lead(p.m.opt.BrokerID, st.Replicas, st.ISR, st.ZKVersion, p.mu.epochStart, log.LogEndOffset(), now, former)
	p.isrChanged()
	p.advance(now)
}

// isrChanged, with mu held, brings what follows from the in-sync replicas up to date.
func (p *Partition) isrChanged() {
	p.mu.ISR, p.mu.ZKVersion = p.mu.isr.ISR()
	p.mu.alone = p.mu.isr.Alone()
	p.mu.solo = len(p.mu.ISR) == 1 && !p.mu.isr.Pending()
}
