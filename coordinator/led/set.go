package led

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Shard is what a coordinator keeps of one partition.
type Shard interface {
	// Load reads the partition's log and begins to serve; waited is how long it had to wait for its turn. A shard that was unloaded meanwhile
	// serves nothing.
	Load(waited time.Duration)
	// Unload ends the service: who waits is sent away.
	Unload()
}

// Set is the shards of the partitions that this broker leads. It is safe for concurrent use.
type Set[S Shard] struct {
	slots chan struct{} // one for each partition that may be loaded at a time
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu     sync.RWMutex
	shards map[int32]S
	closed bool
}

// NewSet is a set of nothing.
func NewSet[S Shard]() *Set[S] {
	s := &Set[S]{slots: make(chan struct{}, runtime.GOMAXPROCS(0)), shards: map[int32]S{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Lead makes the shard of a partition that this broker has begun to lead, and loads it in a goroutine. Nothing happens if there is one.
func (s *Set[S]) Lead(partition int32, create func() S) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, has := s.shards[partition]; has || s.closed {
		return
	}
	shard := create()
	s.shards[partition] = shard
	s.wg.Go(func() {
		begun := time.Now()
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-s.ctx.Done():
			return
		}
		shard.Load(time.Since(begun))
	})
}

// Resign unloads the shard of a partition that this broker leads no more.
func (s *Set[S]) Resign(partition int32) {
	s.mu.Lock()
	shard, has := s.shards[partition]
	delete(s.shards, partition)
	s.mu.Unlock()
	if has {
		shard.Unload()
	}
}

// Find is the shard of a partition, if it is led; closed says that nothing is served any more.
func (s *Set[S]) Find(partition int32) (shard S, ok, closed bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	shard, ok = s.shards[partition]
	return shard, ok, s.closed
}

// All lists the shards by partition.
func (s *Set[S]) All() (shards []S, closed bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, id := range slices.Sorted(maps.Keys(s.shards)) {
		shards = append(shards, s.shards[id])
	}
	return shards, s.closed
}

// Go runs f in a goroutine that Close waits for; after Close it runs nothing.
func (s *Set[S]) Go(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.wg.Go(f)
	}
}

// Context ends when nothing is served any more.
func (s *Set[S]) Context() context.Context { return s.ctx }

// Wait returns when no partition is being loaded, and what Go began has ended.
func (s *Set[S]) Wait() { s.wg.Wait() }

// Close unloads every shard and takes no other.
func (s *Set[S]) Close() {
	s.mu.Lock()
	s.closed = true
	shards := s.shards
	s.shards = map[int32]S{}
	s.mu.Unlock()
	s.stop()
	for _, shard := range shards {
		shard.Unload()
	}
	s.wg.Wait()
}
