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
	// Err says that the wish was refused, so that what stood before stands: ErrISRRefused.
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

// isrRefusedPause is how long a leader waits after a refusal before it asks for a larger ISR again.
const isrRefusedPause = time.Second

// expand asks that a follower join.
func (p *Partition) expand(replica int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.isr == nil || p.mu.log == nil || p.m.opt.ISR == nil {
		return
	}
	if p.m.opt.now().Before(p.mu.isrRetry) {
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
		lags, moved := p.lagging(now)
		if moved {
			p.notify(nil)
		}
		p.mu.RLock()
		joinable := p.joinable()
		p.mu.RUnlock()
		if joinable {
			p.notifyFollowers()
		}
		if lags {
			p.shrink(now)
		}
		return true
	})
}

// lagging is a cheap look whether shrink has something to do. It flushes what only the remaining replicas will hold, if they are fewer
// than min.insync.replicas, and lets the high watermark go on that waited for a follower which does not count any more.
func (p *Partition) lagging(now time.Time) (lags, moved bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.mu.isr == nil || p.mu.log == nil {
		return false, false
	}
	log := p.mu.log
	end := log.LogEndOffset()
	if log.HighWatermark() < end {
		moved = p.advance(now)
	}
	p.hw.Lock()
	next, _ := p.mu.isr.Shrinks(end, now, p.m.opt.MaxLag)
	p.hw.Unlock()
	if next == nil {
		return false, moved
	}
	if len(next) < p.m.opt.minISR(p.tp.Topic) {
		if err := log.Flush(); err != nil {
			p.m.opt.Log.Errorf("[Partition %v broker=%d] Flushing before the ISR shrinks failed: %v", p.tp, p.m.opt.BrokerID, err)
		}
	}
	return true, moved
}

// shrink asks that followers leave which have not held the whole log for too long.
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

// joinable, with mu held at least shared, says whether a follower that is not in sync holds enough to be. It asks for it by its fetches; but one
// that waits for something new, and whose wish came while another change was under way, has nothing more to say: it must be made to.
func (p *Partition) joinable() bool {
	if p.mu.isr == nil || p.mu.log == nil {
		return false
	}
	p.hw.Lock()
	defer p.hw.Unlock()
	return p.mu.isr.Joinable(p.mu.log.HighWatermark())
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
		// It certainly did not come to pass; a decision of the controller is on its way, or another wish may be granted later.
		p.mu.isr.Withdraw()
		p.isrChanged()
		p.mu.isrRetry = p.m.opt.now().Add(isrRefusedPause)
		log.Warnf("[Partition %v broker=%d] Changing the ISR to %s: %v", p.tp, p.m.opt.BrokerID, commas(c.ISR), a.Err)
	case a.LeaderEpoch != c.LeaderEpoch:
		log.Infof("[Partition %v broker=%d] The ISR of leader epoch %d is not this leader's, whose epoch is %d", p.tp, p.m.opt.BrokerID, a.LeaderEpoch, c.LeaderEpoch)
	case a.Version == p.mu.ZKVersion: // nothing was written
		p.mu.isr.Withdraw()
		p.isrChanged()
	case !p.mu.isr.Commit(a.ISR, a.Version):
		log.Infof("[Partition %v broker=%d] Ignoring an ISR of version %d, which is not newer than %d", p.tp, p.m.opt.BrokerID, a.Version, p.mu.ZKVersion)
	default:
		p.isrChanged()
		log.Infof("[Partition %v broker=%d] ISR updated to %s and version updated to [%d]", p.tp, p.m.opt.BrokerID, commas(p.mu.ISR), p.mu.ZKVersion)
		moved = p.advance(p.m.opt.now())
	}
	joinable := p.joinable()
	p.mu.Unlock()
	switch {
	case moved:
		p.notify(nil)
	case joinable && a.Err != nil:
		time.AfterFunc(isrRefusedPause, p.notifyFollowers)
	case joinable:
		p.notifyFollowers()
	}
}
