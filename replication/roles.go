package replication

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gregor/storage"
)

// LeaderAndIsr is a controller's decision about many partitions.
type LeaderAndIsr struct {
	ControllerID    int32
	ControllerEpoch int32
	Partitions      []PartitionState
}

// PartitionState is one partition's part of it. Err is filled in: nil if the broker follows the decision.
type PartitionState struct {
	storage.TopicPartition
	State
	Err error
}

// ErrStaleLeaderEpoch is the answer to a decision that is not newer than the present one (Kafka answers STALE_CONTROLLER_EPOCH).
var ErrStaleLeaderEpoch = errors.New("the leader epoch is not newer than the partition's")

// errPresentEpoch is the stale decision that is no news: a new controller repeats what its predecessor decided.
var errPresentEpoch = fmt.Errorf("%w: it is the present one", ErrStaleLeaderEpoch)

// createWorkers make directories for new partitions side by side: mkdir waits for the file system's journal.
const createWorkers = 8

// BecomeLeaderOrFollower follows a controller's decision. The error is ErrStaleControllerEpoch; what concerns single partitions is
// in their Err.
func (m *Manager) BecomeLeaderOrFollower(req *LeaderAndIsr) error {
	m.state.Lock()
	defer m.state.Unlock()
	if err := m.checkControllerEpoch(req.ControllerEpoch); err != nil {
		return err
	}
	begun := time.Now()
	m.announceNew(req.Partitions)
	m.stopFollowing(req.Partitions)
	workers := min(createWorkers, 1+len(req.Partitions)/32)
	parts := make([]*Partition, len(req.Partitions))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(req.Partitions); i += workers {
				st := &req.Partitions[i]
				parts[i], st.Err = m.become(st)
			}
		})
	}
	wg.Wait()
	var leaders, followers []*Partition
	present := 0
	for i, p := range parts {
		st := &req.Partitions[i]
		switch {
		case errors.Is(st.Err, errPresentEpoch):
			present++
		case st.Err != nil:
			m.opt.Log.Warnf("LeaderAndIsr of controller %d epoch %d for partition %v leader epoch %d: %v", req.ControllerID,
				req.ControllerEpoch, st.TopicPartition, st.LeaderEpoch, st.Err)
		case st.Leader == m.opt.BrokerID:
			leaders = append(leaders, p)
		default:
			followers = append(followers, p)
		}
	}
	if present > 0 {
		m.opt.Log.Infof("LeaderAndIsr of controller %d epoch %d: %d of %d partitions have the leader epoch that it gives already and stay as they are",
			req.ControllerID, req.ControllerEpoch, present, len(parts))
	}
	m.follow(followers)
	m.logRoles(req, leaders, followers, time.Since(begun))
	if m.opt.OnLeadershipChange != nil && len(leaders)+len(followers) > 0 {
		m.opt.OnLeadershipChange(leaders, followers)
	}
	return nil
}

// announceNew tells which topics of the decision have partitions without a log, so that their settings are there when it is made.
func (m *Manager) announceNew(parts []PartitionState) {
	if m.opt.NewLogs == nil {
		return
	}
	var topics []string
	last := ""
	for i := range parts {
		tp := parts[i].TopicPartition
		if tp.Topic == last && len(topics) > 0 || !contains(parts[i].Replicas, m.opt.BrokerID) {
			continue
		}
		if _, ok := m.opt.Logs.Get(tp); !ok {
			last = tp.Topic
			topics = append(topics, last)
		}
	}
	if len(topics) > 0 {
		slices.Sort(topics)
		m.opt.NewLogs(slices.Compact(topics))
	}
}

// become changes one partition's role. Requests are serialised, so nobody else changes roles meanwhile.
func (m *Manager) become(st *PartitionState) (*Partition, error) {
	if !contains(st.Replicas, m.opt.BrokerID) {
		return nil, fmt.Errorf("%w: broker %d is not among its replicas %v", ErrUnknownPartition, m.opt.BrokerID, st.Replicas)
	}
	p := m.getOrAdd(st.TopicPartition)
	p.mu.RLock()
	offline, log, epoch := p.mu.offline, p.mu.log, p.mu.LeaderEpoch
	p.mu.RUnlock()
	if offline {
		return p, ErrOffline
	}
	if st.LeaderEpoch == epoch {
		return p, errPresentEpoch
	}
	if st.LeaderEpoch < epoch {
		return p, fmt.Errorf("%w: %d, present is %d", ErrStaleLeaderEpoch, st.LeaderEpoch, epoch)
	}
	if log == nil {
		var err error
		if log, err = m.openLog(st); err != nil {
			p.mu.Lock()
			p.mu.offline = true
			p.mu.Unlock()
			return p, fmt.Errorf("%w: %w", ErrOffline, err)
		}
	}
	leading := st.Leader == m.opt.BrokerID
	p.mu.Lock()
	p.become(st.State, leading, log, m.opt.now())
	p.mu.Unlock()
	m.resumeMove(p)
	if !leading {
		p.failWaiters(ErrNotLeader)
	}
	p.notify(nil)
	return p, nil
}

func (m *Manager) openLog(st *PartitionState) (*storage.Log, error) {
	if log, ok := m.opt.Logs.Get(st.TopicPartition); ok {
		return log, nil
	}
	return m.opt.Logs.GetOrCreate(st.TopicPartition, m.opt.TopicConfig(st.Topic), st.IsNew)
}

// Leader epochs with a meaning in StopReplica.
const (
	// EpochDuringDelete stops a replica whatever its epoch: the topic is being deleted.
	EpochDuringDelete int32 = -2
)

// StopState is one partition of a StopReplica request.
type StopState struct {
	storage.TopicPartition
	LeaderEpoch int32 // NoEpoch before version 3
	Delete      bool
	Err         error // filled in
}

// StopReplicas ends this broker's role in partitions, and deletes their logs where told.
func (m *Manager) StopReplicas(controllerEpoch int32, parts []StopState) error {
	m.state.Lock()
	defer m.state.Unlock()
	if err := m.checkControllerEpoch(controllerEpoch); err != nil {
		return err
	}
	deleted := false
	for i := range parts {
		m.fetchers.remove(parts[i].TopicPartition)
		parts[i].Err = m.stop(&parts[i])
		deleted = deleted || parts[i].Delete
	}
	m.fetchers.retire()
	if deleted { // before the controller is told, and a topic of the same name may be made
		if err := m.opt.Logs.SyncRemovals(); err != nil {
			for i := range parts {
				if parts[i].Delete && parts[i].Err == nil {
					parts[i].Err = m.readFailed(nil, err)
				}
			}
		}
	}
	return nil
}

// Resign ends this broker's leadership of partitions that other brokers have replicas of: it is about to stop, and no controller will tell
// it any more who leads. Whoever waits for replicas is told to go to the new leader.
func (m *Manager) Resign() {
	m.state.Lock()
	defer m.state.Unlock()
	m.Partitions(func(p *Partition) bool {
		p.mu.Lock()
		ends := p.mu.leading && len(p.mu.Replicas) > 1
		if ends {
			p.leadNoMore()
		}
		p.mu.Unlock()
		if ends {
			p.failWaiters(ErrNotLeader)
			p.notify(nil)
		}
		return true
	})
}

// leadNoMore, with mu held, ends a leadership.
func (p *Partition) leadNoMore() {
	p.mu.leading, p.mu.alone, p.mu.solo, p.mu.isr = false, false, false, nil
}

func (m *Manager) stop(s *StopState) error {
	m.mu.RLock()
	p := m.mu.topics[s.Topic][s.Partition]
	m.mu.RUnlock()
	if p != nil {
		p.mu.RLock()
		offline, epoch := p.mu.offline, p.mu.LeaderEpoch
		p.mu.RUnlock()
		if offline {
			return ErrOffline
		}
		if s.LeaderEpoch != NoEpoch && s.LeaderEpoch != EpochDuringDelete && s.LeaderEpoch <= epoch {
			return fmt.Errorf("%w: %d, present is %d", ErrFencedLeaderEpoch, s.LeaderEpoch, epoch)
		}
		if s.Delete {
			m.remove(s.TopicPartition)
		}
		p.mu.Lock()
		p.leadNoMore()
		p.mu.deleted = s.Delete
		p.mu.Unlock()
		p.failWaiters(ErrNotLeader)
		p.notify(nil)
		if m.opt.OnStop != nil {
			m.opt.OnStop(s.TopicPartition)
		}
	}
	if !s.Delete {
		return nil
	}
	if p != nil {
		if err := m.endMove(p); err != nil {
			return m.readFailed(p, err)
		}
	}
	if _, ok := m.opt.Logs.Get(s.TopicPartition); !ok {
		return nil
	}
	if err := m.opt.Logs.Delete(s.TopicPartition); err != nil {
		return m.readFailed(p, err)
	}
	return nil
}
