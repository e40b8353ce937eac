package group

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led"
	"gregor/wire/compress"
)

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
	timers *led.Timers
	shards *led.Set[*shard]
}

// New makes a coordinator that leads nothing yet.
func New(opt Options) *Coordinator {
	return &Coordinator{opt: opt, timers: led.NewTimers(), shards: led.NewSet[*shard]()}
}

// Run fires timers and expires offsets until ctx ends; then nothing is served any more.
func (c *Coordinator) Run(ctx context.Context) error {
	c.shards.Go(func() { c.expireOften(ctx) })
	c.timers.Run(ctx)
	c.Close()
	return nil
}

// Close ends the service: requests that wait are answered, and no partition is loaded any more.
func (c *Coordinator) Close() { c.shards.Close() }

// Lead is called when this broker has become the leader of a partition: its groups are read, and served from then on.
func (c *Coordinator) Lead(partition int32, log led.Log) {
	c.shards.Lead(partition, func() *shard { return &shard{c: c, id: partition, log: log} })
}

// Resign is called when it no longer is: who waits is sent away.
func (c *Coordinator) Resign(partition int32) { c.shards.Resign(partition) }

// PartitionFor is the partition that keeps a group.
func (c *Coordinator) PartitionFor(group string) int32 {
	return led.PartitionFor(group, c.opt.Partitions())
}

// find returns the shard of a group that this broker serves.
func (c *Coordinator) find(group string, emptyAllowed bool) (*shard, int16) {
	if group == "" && !emptyAllowed {
		return nil, kerr.InvalidGroupID.Code
	}
	s, ok, closed := c.shards.Find(c.PartitionFor(group))
	switch {
	case closed:
		return nil, kerr.CoordinatorNotAvailable.Code
	case !ok:
		return nil, kerr.NotCoordinator.Code
	}
	return s, 0
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
		shards, _ := c.shards.All()
		for _, s := range shards {
			s.expire(ctx)
		}
	}
}

// TopicDeleted removes the offsets of partitions that are no more.
func (c *Coordinator) TopicDeleted(tps []fsm.TP) {
	shards, _ := c.shards.All()
	for _, s := range shards {
		for _, g := range s.list() {
			s.event(g, func(now int64, out *fsm.Out) { g.TopicDeleted(now, tps, out) })
		}
	}
}
