package replication

import (
	"context"
	"sync"
	"time"

	"gregor/storage"
	"gregor/wire/peer"
)

// Fetching is how a broker follows others.
type Fetching struct {
	Dial peer.DialFunc
	// Endpoint is where another broker's replicas are fetched from; false while it is not known.
	Endpoint func(broker int32) (addr string, ok bool)
	// Threads is num.replica.fetchers: connections to each broker that leads (1).
	Threads int
	// MaxWait, MinBytes, MaxBytes and PartitionBytes are replica.fetch.wait.max.ms (500 ms), replica.fetch.min.bytes (1),
	// replica.fetch.response.max.bytes (10 MB) and replica.fetch.max.bytes (1 MB).
	MaxWait                            time.Duration
	MinBytes, MaxBytes, PartitionBytes int32
	// Backoff is replica.fetch.backoff.ms (1 s), Timeout replica.socket.timeout.ms (30 s).
	Backoff, Timeout time.Duration
	// Versions of the requests that inter.broker.protocol.version stands for; with Fetch 0 those of 2.7.
	Versions FetchVersions
}

// FetchVersions are the versions of a follower's requests.
type FetchVersions struct {
	Fetch, ListOffsets, OffsetForLeaderEpoch int16
	// Epochs: truncation goes by leader epochs (from 0.11.0-IV2 on), not by the high watermark.
	Epochs bool
}

func (f *Fetching) setDefaults() {
	f.Threads = max(f.Threads, 1)
	f.MaxWait = orDefault(f.MaxWait, 500*time.Millisecond)
	f.MinBytes = orDefault(f.MinBytes, 1)
	f.MaxBytes = orDefault(f.MaxBytes, 10<<20)
	f.PartitionBytes = orDefault(f.PartitionBytes, 1<<20)
	f.Backoff = orDefault(f.Backoff, time.Second)
	f.Timeout = orDefault(f.Timeout, 30*time.Second)
	if f.Versions.Fetch == 0 {
		f.Versions = FetchVersions{Fetch: 12, ListOffsets: 5, OffsetForLeaderEpoch: 3, Epochs: true}
	}
}

func orDefault[T int32 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// fetchers are the connections to the brokers whose partitions are followed. Each has a goroutine, while it has a partition.
type fetchers struct {
	m      *Manager
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	all    map[fetcherID]*fetcher
	where  map[storage.TopicPartition]*fetcher
}

// fetcherID is a leader and the number of a connection to it.
type fetcherID struct {
	broker int32
	number int
}

func newFetchers(m *Manager) *fetchers {
	fs := &fetchers{m: m, all: map[fetcherID]*fetcher{}, where: map[storage.TopicPartition]*fetcher{}}
	fs.ctx, fs.cancel = context.WithCancel(context.Background())
	return fs
}

// close stops following, and waits for appends under way.
func (fs *fetchers) close() {
	fs.mu.Lock()
	fs.closed = true
	fs.mu.Unlock()
	fs.cancel()
	fs.wg.Wait()
}

// followed is a partition that a fetcher follows, in one leader epoch. Only the fetcher's goroutine uses what is not said to be constant.
type followed struct {
	p     *Partition // constant
	epoch int32      // constant: the leader epoch

	removed bool // guarded by the fetcher's mutex
	pos     position
	ready   bool // pos is known
	// asks: the leader is asked about the last epoch before the first fetch.
	asks      bool
	inSession bool
	named     int64 // the number of the request that brought it into the session
	lost      bool  // in the fetcher's list of those whose offset the leader does not have
	caughtUp  bool  // the last answer had all that was replicated: not throttled
	refusals  int   // answers in a row that the leader does not lead it (yet)
	changed   bool  // in the fetcher's list of what the next request must name
	until     time.Time
}

// add begins to follow a partition, with a fetcher of its leader.
func (fs *fetchers) add(list []*Partition) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed || fs.m.opt.Fetching.Dial == nil {
		return
	}
	woken := map[*fetcher]bool{}
	for _, p := range list {
		p.mu.RLock()
		leader, epoch := p.mu.Leader, p.mu.LeaderEpoch
		p.mu.RUnlock()
		if leader < 0 {
			continue
		}
		f := fs.fetcher(fetcherID{leader, int(threadOf(p.tp) % uint32(fs.m.opt.Fetching.Threads))})
		f.add(&followed{p: p, epoch: epoch})
		fs.where[p.tp] = f
		woken[f] = true
	}
	for f := range woken {
		f.wakeUp()
	}
}

// threadOf spreads partitions over the connections to a broker.
func threadOf(tp storage.TopicPartition) uint32 {
	h := uint32(2166136261)
	for i := range len(tp.Topic) {
		h = (h ^ uint32(tp.Topic[i])) * 16777619
	}
	return h + uint32(tp.Partition)
}

func (fs *fetchers) fetcher(id fetcherID) *fetcher {
	f := fs.all[id]
	if f == nil {
		f = newFetcher(fs, id)
		fs.all[id] = f
		fs.wg.Go(f.run)
	}
	return f
}

// remove ends following a partition. An append under way may still happen: the partition's epoch fences it.
func (fs *fetchers) remove(tp storage.TopicPartition) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.where[tp]; f != nil {
		delete(fs.where, tp)
		f.remove(tp)
	}
}

// retire ends the fetchers that have nothing to follow.
func (fs *fetchers) retire() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for id, f := range fs.all {
		if f.empty() {
			f.cancel()
			delete(fs.all, id)
		}
	}
}

// stopFollowing ends following partitions whose role a decision may change.
func (m *Manager) stopFollowing(parts []PartitionState) {
	for i := range parts {
		m.mu.RLock()
		p := m.mu.topics[parts[i].Topic][parts[i].Partition]
		m.mu.RUnlock()
		if p != nil && parts[i].LeaderEpoch > p.LeaderEpoch() {
			m.fetchers.remove(parts[i].TopicPartition)
		}
	}
}

// follow begins to fetch partitions that have become followers.
func (m *Manager) follow(list []*Partition) {
	m.fetchers.add(list)
	m.fetchers.retire()
}

// Following is the number of partitions being fetched from other brokers, and of connections that do it.
func (m *Manager) Following() (partitions, connections int) {
	m.fetchers.mu.Lock()
	defer m.fetchers.mu.Unlock()
	return len(m.fetchers.where), len(m.fetchers.all)
}
