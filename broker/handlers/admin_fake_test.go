package handlers

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/config"
	"gregor/broker/metadata"
	"gregor/storage"
	"gregor/zkmeta"
)

// fakeCluster stands in for ZooKeeper and the controller: what is written is announced to the metadata at once, from a goroutine of its own
// as a controller's request would be.
type fakeCluster struct {
	cache *metadata.Cache
	done  sync.WaitGroup

	mu     sync.Mutex
	topics map[string]zkmeta.TopicInfo
	config map[string]map[string]string
	free   int64 // of 1000 bytes
	marked map[string]bool
	frozen bool // the controller does nothing
	notify func(entityPath string)
}

func newCluster(cache *metadata.Cache) *fakeCluster {
	f := &fakeCluster{cache: cache, topics: map[string]zkmeta.TopicInfo{}, config: map[string]map[string]string{}, marked: map[string]bool{}}
	cache.Apply(f.update())
	return f
}

func (f *fakeCluster) update() *kmsg.UpdateMetadataRequest {
	r := kmsg.NewPtrUpdateMetadataRequest()
	r.Version, r.ControllerID = 6, 1
	b := kmsg.NewUpdateMetadataRequestLiveBroker()
	b.ID = 1
	b.Endpoints = []kmsg.UpdateMetadataRequestLiveBrokerEndpoint{{ListenerName: "PLAINTEXT", Host: "127.0.0.1", Port: 26093}}
	r.LiveBrokers = []kmsg.UpdateMetadataRequestLiveBroker{b}
	return r
}

// announce sends a topic to the metadata; leader -2 takes it out.
func (f *fakeCluster) announce(t zkmeta.TopicInfo, gone bool) {
	if f.frozen {
		return
	}
	r := f.update()
	s := kmsg.NewUpdateMetadataRequestTopicState()
	s.Topic = t.Name
	for p, replicas := range t.Partitions {
		if !slices.Contains(replicas.Replicas, 1) {
			continue // no leader can be placed, and Kafka's controller does not announce such a partition
		}
		ps := kmsg.UpdateMetadataRequestTopicPartition{Partition: p, Leader: 1, Replicas: replicas.Replicas, ISR: replicas.Replicas}
		if gone {
			ps.Leader = -2
		}
		s.PartitionStates = append(s.PartitionStates, ps)
	}
	r.TopicStates = append(r.TopicStates, s)
	f.done.Go(func() { f.cache.Apply(r) })
}

func (f *fakeCluster) Topics(context.Context) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.topics)), nil
}

func (f *fakeCluster) TopicExists(_ context.Context, name string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.topics[name]
	return ok, nil
}

func (f *fakeCluster) Topic(_ context.Context, name string) (zkmeta.TopicInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.topics[name]
	if !ok {
		return t, zkmeta.ErrUnknownTopic
	}
	t.Partitions = maps.Clone(t.Partitions)
	return t, nil
}

func (f *fakeCluster) TopicMarkedForDeletion(_ context.Context, name string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.marked[name], nil
}

func (f *fakeCluster) CreateTopic(_ context.Context, name string, assignment map[int32][]int32, settings map[string]string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.topics[name]; ok {
		return zkmeta.ErrTopicExists
	}
	t := zkmeta.TopicInfo{Name: name, Partitions: map[int32]zkmeta.Replicas{}}
	for p, r := range assignment {
		t.Partitions[p] = zkmeta.Replicas{Replicas: r}
	}
	f.topics[name], f.config[name] = t, settings
	f.announce(t, false)
	return nil
}

func (f *fakeCluster) DeleteTopic(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.topics[name]
	if !ok {
		return zkmeta.ErrUnknownTopic
	}
	if f.frozen {
		if f.marked[name] {
			return zkmeta.ErrTopicMarkedForDeletion
		}
		f.marked[name] = true
		return nil
	}
	delete(f.topics, name)
	f.announce(t, true)
	return nil
}

func (f *fakeCluster) AddPartitions(_ context.Context, name string, full map[int32][]int32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[name]
	for p, r := range full {
		t.Partitions[p] = zkmeta.Replicas{Replicas: r}
	}
	f.announce(t, false)
	return nil
}

func (f *fakeCluster) TopicConfig(_ context.Context, topic string) (map[string]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := maps.Clone(f.config[topic])
	if m == nil {
		m = map[string]string{}
	}
	return m, nil
}

func (f *fakeCluster) SetTopicConfig(_ context.Context, topic string, settings map[string]string) error {
	f.mu.Lock()
	f.config[topic] = settings
	notify := f.notify
	f.mu.Unlock()
	if notify != nil {
		notify("topics/" + topic)
	}
	return nil
}

func (f *fakeCluster) EntityConfig(ctx context.Context, entityType, name string) (map[string]string, error) {
	return f.TopicConfig(ctx, entityType+"/"+name)
}

func (f *fakeCluster) SetEntityConfig(_ context.Context, entityType, name string, settings map[string]string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config[entityType+"/"+name] = settings
	return nil
}

// Dirs and DirLogSizes: one directory with what the topics have.
func (f *fakeCluster) Dirs() []storage.DirStatus {
	return []storage.DirStatus{{Path: "/data", Online: true}}
}

func (f *fakeCluster) DirSpace(string) (free, total int64, err error) { return f.free, 1000, nil }

func (f *fakeCluster) DirLogSizes(string) ([]storage.LogSize, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []storage.LogSize
	for name, t := range f.topics {
		for p, r := range t.Partitions {
			if slices.Contains(r.Replicas, 1) {
				out = append(out, storage.LogSize{Partition: storage.TopicPartition{Topic: name, Partition: p}})
			}
		}
	}
	return out, nil
}

// fakeAdmin is an Admin of broker 1, the only broker and the controller.
func fakeAdmin(t testing.TB, settings ...string) (*Admin, *fakeCluster) {
	t.Helper()
	props := map[string]string{"zookeeper.connect": "127.0.0.1:2181", "broker.id": "1", "offsets.topic.replication.factor": "1"}
	for i := 0; i+1 < len(settings); i += 2 {
		props[settings[i]] = settings[i+1]
	}
	cfg, err := config.New(props)
	if err != nil {
		t.Fatal(err)
	}
	cache := metadata.New("cluster")
	f := newCluster(cache)
	log, _ := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	a := NewAdmin(AdminOptions{Config: func() *config.Broker { return cfg }, Metadata: cache, ZK: f, IsController: func() bool { return true }, Dirs: f, Log: log,
		Moves:  moves{},
		Hosted: func(tp storage.TopicPartition) (end, hw int64, ok bool) { return 0, 0, tp.Partition < 2 }})
	t.Cleanup(f.done.Wait)
	return a, f
}
