package broker

import (
	"context"
	"errors"

	"gregor/broker/handlers"
	"gregor/coordinator/txn"
	"gregor/coordinator/txn/fsm"
	"gregor/internal/logging"
	"gregor/internal/topicrules"
	"gregor/zkmeta"
)

// partitionsOf returns how many partitions a coordinator's topic has. That is read here, since names belong to partitions by it before the
// controller has told of the topic; without the topic it is what it will be created with.
func (b *Broker) partitionsOf(ctx context.Context, topic string, configured int32) (func() int32, error) {
	info, err := b.zk.Topic(ctx, topic)
	switch {
	case err == nil:
		configured = int32(len(info.Partitions))
	case !errors.Is(err, zkmeta.ErrUnknownTopic):
		return nil, err
	}
	return func() int32 {
		if n := b.cache.PartitionCount(topic); n > 0 {
			return int32(n)
		}
		return configured
	}, nil
}

// openTxns makes the transaction coordinator.
func (b *Broker) openTxns(ctx context.Context) error {
	partitions, err := b.partitionsOf(ctx, topicrules.TransactionTopic, b.cfg.Internal.TransactionPartitions)
	if err != nil {
		return err
	}
	tc, log := b.cfg.Transactions, logging.Named(b.log, "kafka.coordinator.transaction.TransactionCoordinator")
	opt := txn.Options{
		Txns:       fsm.Config{MaxTimeout: b.cfg.TransactionMaxMillis, Expiration: b.cfg.ProducerIDExpiration.Milliseconds()},
		Partitions: partitions, LoadBuffer: tc.LoadBuffer, AbortInterval: tc.AbortInterval, ExpireInterval: tc.ExpireInterval,
		RequestTimeout: b.cfg.RequestTimeout, ErrorCode: handlers.ErrorCode, Log: log,
		NewProducerID: func(ctx context.Context) (int64, error) { return b.producerIDs.Take(ctx) },
		Brokers: txn.Brokers{
			ID: b.cfg.ID, Dial: b.opt.Dial, Leader: b.leaderOf, Gone: b.partitionGone,
			Endpoint: func(id int32) (string, bool) { return b.endpoint(id, b.cfg.InterBrokerListener) },
			Write:    func(markers []txn.Marker, done func([][]int16)) { b.markers.Write(markers, done) },
		},
	}
	b.txns = txn.New(opt)
	return nil
}

// leaderOf is the broker that leads a partition, if it is alive.
func (b *Broker) leaderOf(tp fsm.TP) (broker int32, ok bool) {
	p, known := b.cache.Partition(tp.Topic, tp.Partition)
	if !known || p.Leader < 0 {
		return -1, false
	}
	_, alive := b.cache.Broker(p.Leader)
	return p.Leader, alive
}

// partitionGone says whether a partition does not exist any more. What the controller has not told yet may exist.
func (b *Broker) partitionGone(ctx context.Context, tp fsm.TP) (bool, error) {
	info, err := b.zk.Topic(ctx, tp.Topic)
	if errors.Is(err, zkmeta.ErrUnknownTopic) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, has := info.Partitions[tp.Partition]
	return !has, nil
}
