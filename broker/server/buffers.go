package server

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	// chunkSize is what a connection reads at once: several small requests share one chunk without being copied.
	chunkSize = 64 << 10
	// stashSize is the least a connection that stopped in the middle of a frame holds.
	stashSize = 1 << 10
	// directSize is the largest body that gets its whole buffer at once, after chunkSize of it has arrived; larger ones grow.
	directSize = 2 << 20

	minClass = 10 // 1 KB
	maxClass = 24 // 16 MB; larger buffers are left to the garbage collector
)

// buffer is memory that requests alias; it goes back to its pool when the last user releases it.
type buffer struct {
	b     []byte
	refs  atomic.Int32
	class int8
	// charged is what the buffer takes of the budget that all connections share.
	charged int64
	budget  *budget
}

var bufferPools [maxClass + 1]sync.Pool

// newBuffer returns a buffer of at least n bytes with one reference. Its content is arbitrary.
func newBuffer(n int) *buffer {
	class := max(bits.Len(uint(n-1)), minClass)
	if class > maxClass {
		b := &buffer{b: make([]byte, n), class: -1}
		b.refs.Store(1)
		return b
	}
	b, ok := bufferPools[class].Get().(*buffer)
	if !ok {
		b = &buffer{b: make([]byte, 1<<class), class: int8(class)}
	}
	b.refs.Store(1)
	return b
}

func (b *buffer) retain() { b.refs.Add(1) }

// shared is false when the caller holds the only reference.
func (b *buffer) shared() bool { return b.refs.Load() > 1 }

func (b *buffer) release() {
	if b.refs.Add(-1) != 0 {
		return
	}
	if b.charged > 0 {
		b.budget.give(b.charged)
		b.charged, b.budget = 0, nil
	}
	if b.class >= 0 {
		bufferPools[b.class].Put(b)
	}
}

// budget bounds the bytes of large request bodies that all connections hold together. As Apache Kafka's memory pool it lets a body
// begin as long as anything is left, so one body may exceed it; a body that has begun is never stopped, so none waits for another.
type budget struct {
	mu    sync.Mutex
	cond  sync.Cond
	limit int64
	used  int64
	stop  bool
}

func newBudget(limit int64) *budget {
	b := &budget{limit: limit}
	b.cond.L = &b.mu
	return b
}

// begin waits until a new body may begin and takes n bytes for it; false means that the server stops.
func (b *budget) begin(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.used >= b.limit && !b.stop {
		b.cond.Wait()
	}
	b.used += n
	return !b.stop
}

func (b *budget) more(n int64) {
	b.mu.Lock()
	b.used += n
	b.mu.Unlock()
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	b.used -= n
	b.mu.Unlock()
	b.cond.Broadcast()
}

func (b *budget) close() {
	b.mu.Lock()
	b.stop = true
	b.mu.Unlock()
	b.cond.Broadcast()
}
