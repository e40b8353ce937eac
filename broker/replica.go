package broker

// Replica is how a partition stands on one broker.
type Replica struct {
	Leader, LeaderEpoch int32
	Leading             bool
	ISR                 []int32 // as this broker knows it
	// LogStart <= LSO <= HW <= LogEnd.
	LogStart, LSO, HW, LogEnd int64
}

// Replica looks at a partition. It is for whoever watches a cluster from outside; the offsets are of one moment only while nothing goes on.
func (b *Broker) Replica(topic string, partition int32) (Replica, bool) {
	p, err := b.replicas.Lookup(topic, partition)
	if err != nil {
		return Replica{}, false
	}
	s, leading := p.Snapshot()
	l := p.Log()
	if l == nil {
		return Replica{}, false
	}
	return Replica{
		Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, Leading: leading, ISR: s.ISR,
		LogStart: l.LogStartOffset(), LSO: l.LastStableOffset(), HW: l.HighWatermark(), LogEnd: l.LogEndOffset(),
	}, true
}
