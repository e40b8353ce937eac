package replication

import (
	"errors"
	"strconv"
	"time"

	"gregor/storage"
)

// ISRChange is a leader's wish to change a partition's in-sync replicas.
type ISRChange struct {
	storage.TopicPartition
	Leader, LeaderEpoch, ControllerEpoch int32
	ISR                                  []int32
	// Version is that of the znode that the wish replaces.
	Version int32
}

// ISRAnswer is what stands in ZooKeeper after a wish was granted or refused.
type ISRAnswer struct {
	Leader, LeaderEpoch int32
	ISR                 []int32
	Version             int32
	// Err says that nothing is known of what stands: ErrISRRefused, when the leadership that asked is over.
	Err error
}

// ErrISRRefused says that a change of in-sync replicas was refused for good: the controller knows of a later leadership, or of a deletion.
var ErrISRRefused = errors.New("the change of in-sync replicas was refused")

// ISRChanger changes in-sync replicas where they stand: through the controller (AlterIsr, from inter.broker.protocol.version 2.7-IV2 on) or
// in ZooKeeper. Propose does not block; done is called once, from another goroutine, and not at all when the broker stops. It tries
// again by itself what may succeed later.
type ISRChanger interface {
	Propose(c ISRChange, done func(ISRAnswer))
}

// commas writes ids as Kafka's log does.
func commas(ids []int32) string {
	var b []byte
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return string(b)
}

// expand asks that a follower join.
func (p *Partition) expand(replica int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.isr == nil || p.mu.log == nil || p.m.opt.ISR == nil {
		return
	}
	if next := p.mu.isr.Joins(replica, p.mu.log.HighWatermark()); next != nil {
		p.m.opt.Log.Infof("[Partition %v broker=%d] Expanding ISR from %s to %s", p.tp, p.m.opt.BrokerID, commas(p.mu.ISR), commas(next))
		if c := p.m.opt.Counters; c != nil {
			c.ISRExpands.Add(1)
		}
		p.propose(next)
	}
}

// shrinkISRs asks that followers leave which lag.
func (m *Manager) shrinkISRs() {
	if m.opt.ISR == nil {
		return
	}
	now := m.opt.now()
	m.Partitions(func(p *Partition) bool {
		if p.lagging(now) {
			p.shrink(now)
		}
		return true
	})
}

// lagging is a cheap look whether shrink has something to do.
func (p *Partition) lagging(now time.Time) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.mu.isr == nil || p.mu.log == nil {
		return false
	}
	p.hw.Lock()
	defer p.hw.Unlock()
	isr, _ := p.mu.isr.Shrinks(p.mu.log.LogEndOffset(), now, p.m.opt.MaxLag)
	return isr != nil
}

// shrink asks that followers leave which have not held the whole log for too long. Records that fewer replicas than min.insync.replicas
// will hold are on disk first.
func (p *Partition) shrink(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.isr == nil || p.mu.log == nil {
		return
	}
	end := p.mu.log.LogEndOffset()
	next, lagging := p.mu.isr.Shrinks(end, now, p.m.opt.MaxLag)
	if next == nil {
		return
	}
	if len(next) < p.m.opt.minISR(p.tp.Topic) {
		if err := p.mu.log.Flush(); err != nil {
			p.m.opt.Log.Errorf("[Partition %v broker=%d] Flushing before the ISR shrinks failed: %v", p.tp, p.m.opt.BrokerID, err)
		}
	}
	for _, id := range lagging {
		at, caughtUp, _ := p.mu.isr.Follower(id)
		p.m.opt.Log.Infof("[Partition %v broker=%d] Shrinking ISR from %s to %s. Leader: (highWatermark: %d, endOffset: %d). Out of sync replica: (brokerId: %d, endOffset: %d, caught up last: %s).",
			p.tp, p.m.opt.BrokerID, commas(p.mu.ISR), commas(next), p.mu.log.HighWatermark(), end, id, at, caughtUp.Format(time.RFC3339))
	}
	if c := p.m.opt.Counters; c != nil {
		c.ISRShrinks.Add(1)
	}
	p.propose(next)
}

// propose, with mu held, asks for other in-sync replicas. Until the answer the high watermark waits for whoever is in either set.
func (p *Partition) propose(next []int32) {
	p.mu.isr.Propose(next)
	p.mu.alone, p.mu.solo = false, false
	c := ISRChange{TopicPartition: p.tp, Leader: p.m.opt.BrokerID, LeaderEpoch: p.mu.LeaderEpoch, ControllerEpoch: p.mu.ControllerEpoch,
		ISR: next, Version: p.mu.ZKVersion}
	p.m.opt.ISR.Propose(c, func(a ISRAnswer) { p.isrAnswered(c, a) })
}

// isrAnswered takes over what stands after a proposal.
func (p *Partition) isrAnswered(c ISRChange, a ISRAnswer) {
	log := p.m.opt.Log
	p.mu.Lock()
	if p.mu.isr == nil || p.mu.log == nil || p.mu.LeaderEpoch != c.LeaderEpoch {
		p.mu.Unlock()
		return // another leadership has begun, with an ISR of its own
	}
	moved := false
	switch {
	case a.Err != nil:
		if n := p.m.opt.Counters; n != nil {
			n.FailedISRUpdates.Add(1)
		}
		// The proposal stays: nobody leaves or joins until the controller says what holds, and the high watermark counts both sets.
		log.Warnf("[Partition %v broker=%d] Changing the ISR to %s: %v; waiting for the controller's decision", p.tp, p.m.opt.BrokerID, commas(c.ISR), a.Err)
	case a.LeaderEpoch != c.LeaderEpoch:
		log.Infof("[Partition %v broker=%d] The ISR of leader epoch %d is not this leader's, whose epoch is %d", p.tp, p.m.opt.BrokerID, a.LeaderEpoch, c.LeaderEpoch)
	case !p.mu.isr.Commit(a.ISR, a.Version):
		log.Infof("[Partition %v broker=%d] Ignoring an ISR of version %d, which is not newer than %d", p.tp, p.m.opt.BrokerID, a.Version, p.mu.ZKVersion)
	default:
		p.isrChanged()
		log.Infof("[Partition %v broker=%d] ISR updated to %s and version updated to [%d]", p.tp, p.m.opt.BrokerID, commas(p.mu.ISR), p.mu.ZKVersion)
		moved = p.advance(p.m.opt.now())
	}
	p.mu.Unlock()
	if moved {
		p.notify(nil)
	}
}
