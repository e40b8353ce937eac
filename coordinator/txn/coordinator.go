package txn

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/led"
	"gregor/coordinator/txn/fsm"
	"gregor/wire/peer"
)

// Options configures a Coordinator.
type Options struct {
	Txns fsm.Config
	// Partitions is the number of partitions of __transaction_state.
	Partitions func() int32
	// LoadBuffer is transaction.state.log.load.buffer.size.
	LoadBuffer int
	// AbortInterval and ExpireInterval are transaction.abort.timed.out.transaction.cleanup.interval.ms and
	// transaction.remove.expired.transaction.cleanup.interval.ms.
	AbortInterval, ExpireInterval time.Duration
	// RequestTimeout is request.timeout.ms, for markers and tombstones.
	RequestTimeout time.Duration
	// ErrorCode maps the errors of a Log to Kafka's codes.
	ErrorCode func(error) int16
	// NewProducerID returns a producer id that no other has been given.
	NewProducerID func(ctx context.Context) (int64, error)
	Brokers       Brokers
	Log           logrus.FieldLogger
}

// Brokers is the cluster as the sender of markers sees it.
type Brokers struct {
	// ID is this broker's.
	ID int32
	// Leader is who leads a partition and is alive; false if there is none.
	Leader func(tp fsm.TP) (broker int32, ok bool)
	// Gone says whether a partition without a leader does not exist any more. It may wait.
	Gone func(ctx context.Context, tp fsm.TP) (bool, error)
	// Endpoint is where another broker is reached, false if it is not alive.
	Endpoint func(broker int32) (addr string, ok bool)
	Dial     peer.DialFunc
	// Write writes markers to partitions that this broker leads. done is called once, now or later, with a code for each partition of each.
	Write func(markers []Marker, done func(codes [][]int16))
}

// Marker is the end of a producer's transaction in some partitions.
type Marker struct {
	Producer         int64
	Epoch            int16
	Commit           bool
	CoordinatorEpoch int32
	Parts            []fsm.TP
}

// Coordinator serves the transactional ids of the partitions that this broker leads.
type Coordinator struct {
	opt     Options
	timers  *led.Timers
	shards  *led.Set[*shard]
	senders senders
	askers  askers

	lost, retries atomic.Int64 // see Stats
}

// New makes a coordinator that leads nothing yet.
func New(opt Options) *Coordinator {
	c := &Coordinator{opt: opt, timers: led.NewTimers(), shards: led.NewSet[*shard]()}
	c.senders.queues, c.askers.brokers = map[int32]*queue{}, map[int32]*asker{}
	return c
}

// Run fires timers, aborts what has timed out and forgets what has expired until ctx ends; then nothing is served any more.
func (c *Coordinator) Run(ctx context.Context) error {
	c.shards.Go(func() { c.sweep(ctx, c.opt.AbortInterval, (*shard).abort) })
	c.shards.Go(func() { c.sweep(ctx, c.opt.ExpireInterval, (*shard).expire) })
	c.timers.Run(ctx)
	c.Close()
	return nil
}

// Close ends the service: no partition is loaded and no marker sent any more.
func (c *Coordinator) Close() { c.shards.Close() }

// sweep goes over all shards again and again.
func (c *Coordinator) sweep(ctx context.Context, interval time.Duration, f func(*shard)) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		shards, _ := c.shards.All()
		for _, s := range shards {
			f(s)
		}
	}
}

// Lead is called when this broker has become the leader of a partition in a leader epoch: its ids are read, and served from then on.
func (c *Coordinator) Lead(partition, epoch int32, log led.Log) {
	c.shards.Lead(partition, func() *shard { return &shard{c: c, id: partition, epoch: epoch, log: log} })
}

// Resign is called when it no longer is.
func (c *Coordinator) Resign(partition int32) { c.shards.Resign(partition) }

// PartitionFor is the partition that keeps a transactional id.
func (c *Coordinator) PartitionFor(id string) int32 { return led.PartitionFor(id, c.opt.Partitions()) }

// enter locks the shard of an id if this broker serves it; otherwise it returns why not.
func (c *Coordinator) enter(id string) (*shard, int16) {
	s, ok, closed := c.shards.Find(c.PartitionFor(id))
	switch {
	case closed:
		return nil, kerr.CoordinatorNotAvailable.Code
	case !ok:
		return nil, kerr.NotCoordinator.Code
	}
	return s, s.mu.Enter()
}

// Stats are the gauges of the coordinator: transactions that wait for a leader to send a marker to, and completions that could not be
// recorded yet.
func (c *Coordinator) Stats() (unknownDestination, logAppendRetry int64) {
	return c.lost.Load(), c.retries.Load()
}

func nowMillis() int64 { return time.Now().UnixMilli() }
