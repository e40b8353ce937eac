package metadata

import (
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/internal/topicrules"
	"gregor/storage"
)

const (
	// NoLeader is the leader of a partition that has none, NoController the id when no controller is known.
	NoLeader     int32 = -1
	NoController int32 = -1
	// leaderDuringDelete in an update takes the partition out of the cache.
	leaderDuringDelete int32 = -2
)

// Endpoint is where a broker listens.
type Endpoint struct {
	Listener         string
	Host             string
	Port             int32
	SecurityProtocol int16
}

// Broker is a broker that is alive. It is immutable.
type Broker struct {
	ID        int32
	Rack      *string
	Endpoints []Endpoint
}

// Endpoint finds the broker's address on a listener.
func (b *Broker) Endpoint(listener string) (Endpoint, bool) {
	for _, e := range b.Endpoints {
		if e.Listener == listener {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Partition is what the controller said about a partition. Its slices are shared and not to be changed.
type Partition struct {
	ID              int32
	Leader          int32
	LeaderEpoch     int32
	ControllerEpoch int32
	ZKVersion       int32
	Replicas        []int32
	ISR             []int32
	Offline         []int32
}

// topic is immutable.
type topic struct {
	name       string
	partitions []Partition
	// leaders are the distinct leaders, leaderless the number of partitions without one.
	leaders    []int32
	leaderless int
	// answer is the partitions as Metadata v1+ answers them while all leaders can be reached over the client's listener.
	answer []kmsg.MetadataResponseTopicPartition
}

// Cache is the picture of the cluster.
type Cache struct {
	clusterID string

	mu struct {
		sync.RWMutex
		controller int32
		brokers    []*Broker // sorted by id
		topics     map[string]*topic
		// sorted is the names of the topics; nil after a topic came or went, until someone asks.
		sorted     []string
		partitions int
		changed    chan struct{}
		// interned holds replica lists, of which a cluster has few different ones.
		interned map[string][]int32
	}
}

// maxInterned bounds the table of replica lists; past it, it is begun anew.
const maxInterned = 100_000

// New makes the empty cache of a broker that was not told anything yet.
func New(clusterID string) *Cache {
	c := &Cache{clusterID: clusterID}
	c.mu.controller = NoController
	c.mu.topics = make(map[string]*topic)
	c.mu.changed = make(chan struct{})
	c.mu.interned = make(map[string][]int32)
	return c
}

// ClusterID is the id in /cluster/id.
func (c *Cache) ClusterID() string { return c.clusterID }

// Changed is closed by the next update. To wait for a state: take the channel, look, and wait only if it is not there yet.
func (c *Cache) Changed() <-chan struct{} {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.changed
}

// Apply takes over an UpdateMetadata request of version 0 to 6. Brokers are replaced whole, partitions one by one. It returns the
// partitions that were deleted. The caller has checked the epochs of broker and controller.
func (c *Cache) Apply(r *kmsg.UpdateMetadataRequest) (deleted []storage.TopicPartition) {
	brokers := liveBrokers(r)
	states := make(map[string][]kmsg.UpdateMetadataRequestTopicPartition)
	for _, p := range r.PartitionStates {
		states[p.Topic] = append(states[p.Topic], p)
	}
	for _, t := range r.TopicStates {
		states[t.Topic] = append(states[t.Topic], t.PartitionStates...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.controller = max(r.ControllerID, NoController)
	c.mu.brokers = brokers
	for name, changes := range states {
		deleted = append(deleted, c.updateTopic(name, changes)...)
	}
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
	return deleted
}

func liveBrokers(r *kmsg.UpdateMetadataRequest) []*Broker {
	out := make([]*Broker, 0, len(r.LiveBrokers))
	for i := range r.LiveBrokers {
		lb := &r.LiveBrokers[i]
		b := &Broker{ID: lb.ID, Rack: lb.Rack}
		if r.Version == 0 {
			b.Endpoints = []Endpoint{{Listener: "PLAINTEXT", Host: lb.Host, Port: lb.Port}}
		}
		for _, e := range lb.Endpoints {
			name := e.ListenerName
			if r.Version < 3 {
				name = protocolName(e.SecurityProtocol)
			}
			b.Endpoints = append(b.Endpoints, Endpoint{name, e.Host, e.Port, e.SecurityProtocol})
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b *Broker) int { return int(a.ID) - int(b.ID) })
	return out
}

func protocolName(id int16) string {
	names := []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}
	if id < 0 || int(id) >= len(names) {
		return ""
	}
	return names[id]
}

// updateTopic replaces one topic by a copy with the changes. mu is held.
func (c *Cache) updateTopic(name string, changes []kmsg.UpdateMetadataRequestTopicPartition) (deleted []storage.TopicPartition) {
	old := c.mu.topics[name]
	next := &topic{name: name}
	if old != nil {
		next.partitions = append(make([]Partition, 0, len(old.partitions)+len(changes)), old.partitions...)
	}
	known := len(next.partitions) // this much is sorted; what is appended is sorted in later
	for i := range changes {
		s := &changes[i]
		at, found := slices.BinarySearchFunc(next.partitions[:known], s.Partition, func(p Partition, id int32) int { return int(p.ID) - int(id) })
		if s.Leader == leaderDuringDelete {
			deleted = append(deleted, storage.TopicPartition{Topic: name, Partition: s.Partition})
			if found {
				next.partitions[at].Leader = leaderDuringDelete
			}
			continue
		}
		p := Partition{ID: s.Partition, Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, ControllerEpoch: s.ControllerEpoch, ZKVersion: s.ZKVersion,
			Replicas: c.intern(s.Replicas), ISR: c.intern(s.ISR), Offline: c.intern(s.OfflineReplicas)}
		if found {
			next.partitions[at] = p
		} else {
			next.partitions = append(next.partitions, p)
		}
	}
	next.finish()
	c.mu.partitions += len(next.partitions)
	if old != nil {
		c.mu.partitions -= len(old.partitions)
	}
	if len(next.partitions) == 0 {
		delete(c.mu.topics, name)
		if old != nil {
			c.mu.sorted = nil
		}
		return deleted
	}
	c.mu.topics[name] = next
	if old == nil {
		c.mu.sorted = nil
	}
	return deleted
}

// finish sorts the partitions, drops deleted ones and doubles (the later wins), and computes what is derived.
func (t *topic) finish() {
	slices.SortStableFunc(t.partitions, func(a, b Partition) int { return int(a.ID) - int(b.ID) })
	kept := t.partitions[:0]
	for _, p := range t.partitions {
		if n := len(kept); n > 0 && kept[n-1].ID == p.ID {
			kept[n-1] = p
			continue
		}
		kept = append(kept, p)
	}
	t.partitions = slices.DeleteFunc(kept, func(p Partition) bool { return p.Leader == leaderDuringDelete })
	t.answer = make([]kmsg.MetadataResponseTopicPartition, len(t.partitions))
	for i := range t.partitions {
		p := &t.partitions[i]
		t.answer[i] = kmsg.MetadataResponseTopicPartition{Partition: p.ID, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Replicas: p.Replicas,
			ISR: p.ISR, OfflineReplicas: p.Offline}
		if p.Leader < 0 {
			t.leaderless++
		}
		if !slices.Contains(t.leaders, p.Leader) {
			t.leaders = append(t.leaders, p.Leader)
		}
	}
}

// intern returns a list of the cache's own with the same ids. mu is held.
func (c *Cache) intern(ids []int32) []int32 {
	if len(ids) == 0 {
		return nil
	}
	var buf [64]byte
	key := buf[:0]
	for _, id := range ids {
		key = append(key, byte(id), byte(id>>8), byte(id>>16), byte(id>>24))
	}
	if have, ok := c.mu.interned[string(key)]; ok {
		return have
	}
	if len(c.mu.interned) >= maxInterned {
		clear(c.mu.interned)
	}
	own := slices.Clone(ids)
	c.mu.interned[string(key)] = own
	return own
}

// ControllerID is the id of the controller that sent the last update, or NoController.
func (c *Cache) ControllerID() int32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.controller
}

// Contains tells whether the topic is known.
func (c *Cache) Contains(name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.topics[name] != nil
}

// Topics lists the known topics by name. The list is shared and not to be changed.
func (c *Cache) Topics() []string {
	c.mu.RLock()
	sorted, n := c.mu.sorted, len(c.mu.topics)
	c.mu.RUnlock()
	if sorted != nil || n == 0 {
		return sorted
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.sorted == nil {
		c.mu.sorted = slices.Sorted(maps.Keys(c.mu.topics))
	}
	return c.mu.sorted
}

// NumTopics and NumPartitions count what the cache holds.
func (c *Cache) NumTopics() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.mu.topics)
}

func (c *Cache) NumPartitions() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.partitions
}

// PartitionCount is the number of partitions of a topic, 0 if it is not known.
func (c *Cache) PartitionCount(name string) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if t := c.mu.topics[name]; t != nil {
		return len(t.partitions)
	}
	return 0
}

// AllLed tells whether the topic has at least n partitions and each of them a leader.
func (c *Cache) AllLed(name string, n int) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t := c.mu.topics[name]
	return t != nil && len(t.partitions) >= n && t.leaderless == 0
}

// Topic is one topic as it was when it was looked up; the zero value has no partitions.
type Topic struct{ t *topic }

// Topic looks up a topic. The name is not kept.
func (c *Cache) Topic(name string) (Topic, bool) {
	c.mu.RLock()
	t := c.mu.topics[name]
	c.mu.RUnlock()
	return Topic{t}, t != nil
}

// Name is the topic's name, in memory of its own.
func (t Topic) Name() string { return t.t.name }

// Has says whether a partition of the topic is known.
func (t Topic) Has(id int32) bool {
	if t.t == nil {
		return false
	}
	_, ok := t.t.partition(id)
	return ok
}

// Partition returns what is known of a partition.
func (c *Cache) Partition(name string, id int32) (Partition, bool) {
	c.mu.RLock()
	t := c.mu.topics[name]
	c.mu.RUnlock()
	if t == nil {
		return Partition{}, false
	}
	i, ok := t.partition(id)
	if !ok {
		return Partition{}, false
	}
	return t.partitions[i], true
}

// partition finds the place of a partition: almost always that of its number.
func (t *topic) partition(id int32) (int, bool) {
	if i := int(id); i >= 0 && i < len(t.partitions) && t.partitions[i].ID == id {
		return i, true
	}
	return slices.BinarySearchFunc(t.partitions, id, func(p Partition, id int32) int { return int(p.ID) - int(id) })
}

// Brokers lists the brokers that are alive, by id.
func (c *Cache) Brokers() []*Broker {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.brokers
}

// Broker returns a broker that is alive.
func (c *Cache) Broker(id int32) (*Broker, bool) {
	return find(c.Brokers(), id)
}

func find(brokers []*Broker, id int32) (*Broker, bool) {
	i, ok := slices.BinarySearchFunc(brokers, id, func(b *Broker, id int32) int { return int(b.ID) - int(id) })
	if !ok {
		return nil, false
	}
	return brokers[i], true
}

// LeaderEndpoint finds the address of a partition's leader on a listener. known is false if the partition is; ok is false if the leader
// cannot be reached.
func (c *Cache) LeaderEndpoint(name string, id int32, listener string) (leader int32, e Endpoint, known, ok bool) {
	p, known := c.Partition(name, id)
	if !known {
		return NoLeader, Endpoint{}, false, false
	}
	b, alive := c.Broker(p.Leader)
	if !alive {
		return NoLeader, Endpoint{}, true, false
	}
	e, ok = b.Endpoint(listener)
	return p.Leader, e, true, ok
}

func isInternal(name string) bool { return topicrules.IsInternal(name) }
