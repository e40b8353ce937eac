package metadata

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// View is one consistent picture of the cluster as a client on one listener is to see it, in one version of Metadata.
type View struct {
	brokers  []*Broker
	listener string
	version  int16
	// reachable are the ids of the brokers that have the listener, sorted.
	reachable []int32
}

// Answer describes topics to a client: the named ones that are known, in their order, or all by name if names is nil. What it returns is
// shared with others and not to be changed below the topics themselves. missing are the names that are not known.
func (c *Cache) Answer(names []string, listener string, version int16) (v *View, topics []kmsg.MetadataResponseTopic, missing []string, controller int32) {
	all := names == nil
	if all {
		names = c.Topics()
	}
	found := make([]*topic, 0, len(names))
	c.mu.RLock()
	for _, n := range names {
		if t := c.mu.topics[n]; t != nil {
			found = append(found, t)
		} else if !all {
			missing = append(missing, n)
		}
	}
	v = &View{brokers: c.mu.brokers, listener: listener, version: version}
	controller = c.mu.controller
	c.mu.RUnlock()

	for _, b := range v.brokers {
		if _, ok := b.Endpoint(listener); ok {
			v.reachable = append(v.reachable, b.ID)
		}
	}
	topics = make([]kmsg.MetadataResponseTopic, 0, len(found)+len(missing))
	for _, t := range found {
		m := kmsg.NewMetadataResponseTopic()
		m.Topic, m.IsInternal, m.Partitions = &t.name, isInternal(t.name), v.partitions(t)
		topics = append(topics, m)
	}
	return v, topics, missing, controller
}

// Brokers lists the brokers that the client can reach.
func (v *View) Brokers() []kmsg.MetadataResponseBroker {
	out := make([]kmsg.MetadataResponseBroker, 0, len(v.reachable))
	for _, b := range v.brokers {
		if e, ok := b.Endpoint(v.listener); ok {
			m := kmsg.NewMetadataResponseBroker()
			m.NodeID, m.Host, m.Port, m.Rack = b.ID, e.Host, e.Port, b.Rack
			out = append(out, m)
		}
	}
	return out
}

// partitions is the precomputed answer when every leader can be reached, which is nearly always.
func (v *View) partitions(t *topic) []kmsg.MetadataResponseTopicPartition {
	usual := v.version > 0
	for _, l := range t.leaders {
		usual = usual && v.canReach(l)
	}
	if usual {
		return t.answer
	}
	out := slices.Clone(t.answer)
	for i := range out {
		v.patch(&out[i])
	}
	return out
}

func (v *View) canReach(id int32) bool {
	_, ok := slices.BinarySearch(v.reachable, id)
	return ok
}

// patch applies the rules about brokers that cannot be reached: version 0 leaves them out of replicas and ISR and says
// REPLICA_NOT_AVAILABLE; a leader that is alive without the listener is LISTENER_NOT_FOUND from version 6, before that, and when it is not
// alive, LEADER_NOT_AVAILABLE.
func (v *View) patch(p *kmsg.MetadataResponseTopicPartition) {
	short := false
	if v.version == 0 {
		replicas, isr := v.filter(p.Replicas), v.filter(p.ISR)
		short = len(replicas) < len(p.Replicas) || len(isr) < len(p.ISR)
		p.Replicas, p.ISR = replicas, isr
	}
	if v.canReach(p.Leader) {
		if short {
			p.ErrorCode = kerr.ReplicaNotAvailable.Code
		}
		return
	}
	p.ErrorCode = kerr.LeaderNotAvailable.Code
	if _, alive := find(v.brokers, p.Leader); alive && v.version >= 6 {
		p.ErrorCode = kerr.ListenerNotFound.Code
	}
	p.Leader = NoLeader
}

func (v *View) filter(ids []int32) []int32 {
	out := make([]int32, 0, len(ids))
	for _, id := range ids {
		if v.canReach(id) {
			out = append(out, id)
		}
	}
	return out
}
