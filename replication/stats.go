package replication

import (
	"sync"
	"sync/atomic"
)

// TopicCounters count what clients do with one topic's partitions here.
type TopicCounters struct {
	MessagesIn, BytesIn, BytesOut, BytesRejected atomic.Int64
	// ReplicationBytesOut is what followers fetched, ReplicationBytesIn what this broker fetched from leaders.
	ReplicationBytesIn, ReplicationBytesOut atomic.Int64
	ProduceRequests, FetchRequests          atomic.Int64
	// ProduceConversions are records that were encoded anew before they were appended, FetchConversions before they were sent.
	ProduceConversions, FetchConversions atomic.Int64
	// FailedProduce and FailedFetch are failures that are nobody's request's fault.
	FailedProduce, FailedFetch atomic.Int64
}

func (c *TopicCounters) addTo(sum *TopicCounters) {
	sum.MessagesIn.Add(c.MessagesIn.Load())
	sum.BytesIn.Add(c.BytesIn.Load())
	sum.BytesOut.Add(c.BytesOut.Load())
	sum.BytesRejected.Add(c.BytesRejected.Load())
	sum.ReplicationBytesIn.Add(c.ReplicationBytesIn.Load())
	sum.ReplicationBytesOut.Add(c.ReplicationBytesOut.Load())
	sum.ProduceRequests.Add(c.ProduceRequests.Load())
	sum.FetchRequests.Add(c.FetchRequests.Load())
	sum.ProduceConversions.Add(c.ProduceConversions.Load())
	sum.FetchConversions.Add(c.FetchConversions.Load())
	sum.FailedProduce.Add(c.FailedProduce.Load())
	sum.FailedFetch.Add(c.FailedFetch.Load())
}

// Counters hold what is counted of each topic. A topic that nobody uses has none. The zero value is ready.
type Counters struct {
	// Other counts what concerns no partition that is here, and what was counted of topics that are gone.
	Other TopicCounters
	// ISRExpands and ISRShrinks were proposed; FailedISRUpdates refused.
	ISRExpands, ISRShrinks, FailedISRUpdates atomic.Int64
	// Batches that were refused, by reason.
	InvalidCRC, InvalidMagic, InvalidSequence, NoKey atomic.Int64

	mu     sync.RWMutex
	topics map[string]*TopicCounters
}

func (c *Counters) of(topic string) *TopicCounters {
	c.mu.RLock()
	t := c.topics[topic]
	c.mu.RUnlock()
	if t != nil {
		return t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t = c.topics[topic]; t == nil {
		if c.topics == nil {
			c.topics = map[string]*TopicCounters{}
		}
		t = &TopicCounters{}
		c.topics[topic] = t
	}
	return t
}

// drop forgets a topic whose last partition left; the sum of all topics must not fall.
func (c *Counters) drop(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.topics[topic]; t != nil {
		t.addTo(&c.Other)
		delete(c.topics, topic)
	}
}

// Sum adds up all topics, those that are gone included.
func (c *Counters) Sum() *TopicCounters {
	sum := &TopicCounters{}
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.Other.addTo(sum)
	for _, t := range c.topics {
		t.addTo(sum)
	}
	return sum
}

// Topics is a copy of the list of topics that somebody has used.
func (c *Counters) Topics() map[string]*TopicCounters {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make(map[string]*TopicCounters, len(c.topics))
	for name, t := range c.topics {
		out[name] = t
	}
	return out
}

// Counters is Options.Counters, nil when nothing is counted.
func (m *Manager) Counters() *Counters { return m.opt.Counters }

// Counters are those of the partition's topic, nil when nothing is counted. They come into being here, with the topic's first use.
func (p *Partition) Counters() *TopicCounters {
	if c := p.counters.Load(); c != nil || p.m.opt.Counters == nil {
		return c
	}
	c := p.m.opt.Counters.of(p.tp.Topic)
	p.counters.Store(c)
	return c
}

// Gauges is what metrics say of a partition. Those about replicas are zero on a broker that does not lead it.
type Gauges struct {
	Offline, Leading, Reassigning, HasLog  bool
	ISR, Replicas, MinISR                  int
	UnderReplicated, UnderMinISR, AtMinISR bool
	LastStableLag                          int64
	LogStart, LogEnd, LogSize, LogSegments int64
}

// Gauges looks at the partition; withLog also at its log.
func (p *Partition) Gauges(withLog bool) Gauges {
	p.mu.RLock()
	g := Gauges{Offline: p.mu.offline, Leading: p.mu.leading}
	log := p.mu.log
	if g.Leading {
		// Replicas that are being added do not count yet.
		g.ISR, g.Replicas = len(p.mu.ISR), len(p.mu.Replicas)-len(p.mu.AddingReplicas)
		g.Reassigning = len(p.mu.AddingReplicas)+len(p.mu.RemovingReplicas) > 0
	}
	p.mu.RUnlock()
	if g.Leading {
		g.MinISR = p.m.opt.minISR(p.tp.Topic)
		g.UnderReplicated = g.ISR < g.Replicas
		g.UnderMinISR, g.AtMinISR = g.ISR < g.MinISR, g.ISR == g.MinISR
	}
	if log != nil && withLog {
		g.HasLog = true
		g.LogStart, g.LogEnd, g.LogSize, g.LogSegments = log.LogStartOffset(), log.LogEndOffset(), log.Size(), max(int64(log.Segments()), 1)
		g.LastStableLag = max(log.HighWatermark()-log.LastStableOffset(), 0)
	}
	return g
}
