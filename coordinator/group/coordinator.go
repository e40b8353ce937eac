package group

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/group/fsm"
	"gregor/wire/compress"
)

// Log is a led partition of __consumer_offsets.
type Log interface {
	// Append adds a batch as the partition's leader, and returns the offsets of its first and last record.
	Append(batch []byte, acks int16, now time.Time) (first, last int64, err error)
	// WhenCommitted calls done once: when all before offset is committed, or when that will not be known here any more. It may call it
	// at once, and then returns nil; otherwise a function that takes the wait back, false if it is too late for that.
	WhenCommitted(offset int64, done func(error)) (cancel func() bool)
	// Bounds are the first offset and the end.
	Bounds() (start, end int64, err error)
	// Read fills buf, grown if need be, with batches from the one that holds offset on; the last may be cut.
	Read(offset int64, buf []byte) ([]byte, error)
}

// Options configures a Coordinator.
type Options struct {
	Groups fsm.Config
	// Partitions is the number of partitions of __consumer_offsets.
	Partitions func() int32
	// OffsetValue and GroupValue are the versions of the records to write.
	OffsetValue, GroupValue int16
	// Codec is offsets.topic.compression.codec.
	Codec compress.Codec
	// Acks is offsets.commit.required.acks; CommitTimeout is offsets.commit.timeout.ms.
	Acks          int16
	CommitTimeout time.Duration
	// LoadBuffer is offsets.load.buffer.size.
	LoadBuffer int
	// CheckInterval is offsets.retention.check.interval.ms.
	CheckInterval time.Duration
	// ErrorCode maps the errors of a Log to Kafka's codes.
	ErrorCode func(error) int16
	Log       logrus.FieldLogger
}

// Coordinator serves the groups of the partitions that this broker leads.
type Coordinator struct {
	opt    Options
	timers timers
	slots  chan struct{} // one for each partition that may be loaded at a time

	ctx  context.Context // of the loaders
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu struct {
		sync.RWMutex
		shards map[int32]*shard
		closed bool
	}
}

// New makes a coordinator that leads nothing yet.
func New(opt Options) *Coordinator {
	c := &Coordinator{opt: opt, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.timers.wake = make(chan struct{}, 1)
	c.mu.shards = map[int32]*shard{}
	return c
}

// Run fires timers and expires offsets until ctx ends; then nothing is served any more.
func (c *Coordinator) Run(ctx context.Context) error {
	c.wg.Go(func() { c.expireOften(ctx) })
	c.fireTimers(ctx)
	c.Close()
	return nil
}

// Close ends the service: requests that wait are answered, and no partition is loaded any more.
func (c *Coordinator) Close() {
	c.mu.Lock()
	c.mu.closed = true
	shards := c.mu.shards
	c.mu.shards = map[int32]*shard{}
	c.mu.Unlock()
	c.stop()
	for _, s := range shards {
		s.unload()
	}
	c.wg.Wait()
}

// Lead is called when this broker has become the leader of a partition: its groups are read, and served from then on.
func (c *Coordinator) Lead(partition int32, log Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed || c.mu.shards[partition] != nil {
		return
	}
	s := &shard{c: c, id: partition, log: log}
	c.mu.shards[partition] = s
	c.wg.Go(s.load)
}

// Resign is called when it no longer is: who waits is sent away.
func (c *Coordinator) Resign(partition int32) {
	c.mu.Lock()
	s := c.mu.shards[partition]
	delete(c.mu.shards, partition)
	c.mu.Unlock()
	if s != nil {
		s.unload()
	}
}

// PartitionFor is the partition that keeps a group.
func (c *Coordinator) PartitionFor(group string) int32 {
	n := c.opt.Partitions()
	if n <= 0 {
		return 0
	}
	return javaAbs(javaHash(group)) % n
}

// javaHash is String.hashCode.
func javaHash(s string) int32 {
	h := int32(0)
	for _, r := range s {
		if r >= 0x10000 {
			hi, lo := utf16.EncodeRune(r)
			h = (h*31+hi)*31 + lo
			continue
		}
		h = h*31 + r
	}
	return h
}

// javaAbs is Kafka's Utils.abs: the smallest number becomes 0.
func javaAbs(h int32) int32 {
	switch {
	case h == -1<<31:
		return 0
	case h < 0:
		return -h
	}
	return h
}

// find returns the shard of a group that this broker serves.
func (c *Coordinator) find(group string, emptyAllowed bool) (*shard, int16) {
	if group == "" && !emptyAllowed {
		return nil, kerr.InvalidGroupID.Code
	}
	partition := c.PartitionFor(group)
	c.mu.RLock()
	s, closed := c.mu.shards[partition], c.mu.closed
	c.mu.RUnlock()
	switch {
	case closed:
		return nil, kerr.CoordinatorNotAvailable.Code
	case s == nil:
		return nil, kerr.NotCoordinator.Code
	}
	return s, 0
}

// all lists the shards in order.
func (c *Coordinator) all() (shards []*shard, closed bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, s := range c.mu.shards {
		shards = append(shards, s)
	}
	slices.SortFunc(shards, func(a, b *shard) int { return int(a.id - b.id) })
	return shards, c.mu.closed
}

func nowMillis() int64 { return time.Now().UnixMilli() }

// expireOften removes what has expired.
func (c *Coordinator) expireOften(ctx context.Context) {
	t := time.NewTicker(c.opt.CheckInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		shards, _ := c.all()
		for _, s := range shards {
			s.expire(ctx)
		}
	}
}

// TopicDeleted removes the offsets of partitions that are no more.
func (c *Coordinator) TopicDeleted(tps []fsm.TP) {
	shards, _ := c.all()
	for _, s := range shards {
		for _, g := range s.list() {
			s.event(g, func(now int64, out *fsm.Out) { g.TopicDeleted(now, tps, out) })
		}
	}
}
