package broker

import (
	"context"
	"time"

	"gregor/broker/config"
	"gregor/broker/handlers"
	"gregor/coordinator/group"
	"gregor/coordinator/group/fsm"
	"gregor/internal/logging"
	"gregor/internal/topicrules"
	"gregor/replication"
	"gregor/storage"
	"gregor/wire/compress"
)

// openGroups makes the group coordinator.
func (b *Broker) openGroups(ctx context.Context) error {
	partitions, err := b.partitionsOf(ctx, topicrules.OffsetsTopic, b.cfg.Internal.OffsetsPartitions)
	if err != nil {
		return err
	}
	versions, gc := b.cfg.InterBrokerVersion.InterBroker(), b.cfg.Groups
	b.groups = group.New(group.Options{
		Groups: groupRules(gc), Partitions: partitions,
		OffsetValue: versions.OffsetValue, GroupValue: versions.GroupValue, Codec: compress.Codec(gc.Codec), Acks: gc.Acks,
		CommitTimeout: gc.CommitTimeout, LoadBuffer: gc.LoadBuffer, CheckInterval: gc.RetentionCheck, ErrorCode: handlers.ErrorCode,
		Log: logging.Named(b.log, "kafka.coordinator.group.GroupCoordinator"),
	})
	return nil
}

func groupRules(c config.Groups) fsm.Config {
	return fsm.Config{
		MinSession: int32(c.MinSession.Milliseconds()), MaxSession: int32(c.MaxSession.Milliseconds()), InitialDelay: c.InitialDelay.Milliseconds(),
		MaxSize: c.MaxSize, MaxMetadata: c.MaxMetadata, Retention: c.Retention.Milliseconds(),
	}
}

// rolesChanged tells the coordinators which partitions of their topics this broker leads.
func (b *Broker) rolesChanged(leaders, followers []*replication.Partition) {
	for _, p := range followers {
		b.roleEnded(p.TopicPartition())
	}
	for _, p := range leaders {
		switch tp := p.TopicPartition(); tp.Topic {
		case topicrules.OffsetsTopic:
			b.groups.Lead(tp.Partition, &coordinatorLog{p})
		case topicrules.TransactionTopic:
			b.txns.Lead(tp.Partition, p.LeaderEpoch(), &coordinatorLog{p})
		}
	}
}

func (b *Broker) roleEnded(tp storage.TopicPartition) {
	switch tp.Topic {
	case topicrules.OffsetsTopic:
		b.groups.Resign(tp.Partition)
	case topicrules.TransactionTopic:
		b.txns.Resign(tp.Partition)
	}
}

// partitionsDeleted is told of partitions that are no more: what groups committed for them goes too.
func (b *Broker) partitionsDeleted(tps []storage.TopicPartition) {
	list := make([]fsm.TP, len(tps))
	for i, tp := range tps {
		list[i] = fsm.TP{Topic: tp.Topic, Partition: tp.Partition}
	}
	b.groups.TopicDeleted(list)
}

// coordinatorLog is a partition that a coordinator keeps its state in.
type coordinatorLog struct {
	p *replication.Partition
}

func (l *coordinatorLog) Append(batch []byte, acks int16, now time.Time) (first, last int64, err error) {
	info, err := l.p.Append(batch, acks, storage.FromCoordinator, now, nil)
	return info.FirstOffset, info.LastOffset, err
}

func (l *coordinatorLog) Committed(offset int64) (bool, error) { return l.p.Replicated(offset) }

func (l *coordinatorLog) WhenCommitted(offset int64, done func(error)) (cancel func() bool) {
	return l.p.WhenReplicated(offset, done)
}

func (l *coordinatorLog) Bounds() (start, end int64, err error) {
	log := l.p.Log()
	if log == nil {
		return 0, 0, replication.ErrNotLeader
	}
	return log.LogStartOffset(), log.LogEndOffset(), nil
}

func (l *coordinatorLog) Read(offset int64, buf []byte) ([]byte, error) {
	log := l.p.Log()
	if log == nil {
		return nil, replication.ErrNotLeader
	}
	slice, err := log.Read(offset, max(cap(buf), 64<<10), true, log.LogEndOffset())
	if err != nil {
		return nil, err
	}
	defer slice.Release()
	if n := slice.Size(); n > cap(buf) {
		buf = make([]byte, n)
	} else {
		buf = buf[:n]
	}
	if len(buf) == 0 {
		return buf, nil
	}
	if _, err := slice.File.ReadAt(buf, slice.Offset); err != nil {
		return nil, err
	}
	return buf, nil
}
