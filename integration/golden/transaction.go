package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transaction runs one transaction on partition 0. The first transactional id of a new cluster gets producer id 0, epoch 0, which is
// what the batches were encoded with.
func (r *recorder) transaction(ctx context.Context, t transaction) error {
	if err := r.producer(ctx, t.id); err != nil {
		return err
	}
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.Version, add.TransactionalID = 1, t.id
	topic := kmsg.NewAddPartitionsToTxnRequestTopic()
	topic.Topic, topic.Partitions = r.Topic, []int32{0}
	add.Topics = append(add.Topics, topic)
	// CONCURRENT_TRANSACTIONS until the markers of the one before are written.
	err := r.retry(ctx, func() error {
		resp, err := r.conn.Request(ctx, add)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode)
	})
	if err != nil {
		return err
	}
	appends, err := r.produce(ctx, &t.id, t.parts)
	if err != nil {
		return err
	}
	for _, a := range appends {
		if err := kerr.ErrorForCode(a.ErrorCode); err != nil {
			return err
		}
	}
	if t.open {
		return nil
	}
	if err := r.end(ctx, t.id, t.commit); err != nil {
		return err
	}
	// Nothing else is to be appended before the marker.
	last := appends[len(appends)-1].BaseOffset + int64(len(t.parts[len(t.parts)-1].batch.Records))
	return r.retry(ctx, func() error {
		leo, err := r.logEnd(ctx)
		if err == nil && leo <= last {
			err = kerr.ConcurrentTransactions
		}
		return err
	})
}

// producer makes the transactional producer of the case.
func (r *recorder) producer(ctx context.Context, id string) error {
	if err := r.coordinator(ctx, id, 1); err != nil || r.inited {
		return err
	}
	init := kmsg.NewPtrInitProducerIDRequest()
	init.Version, init.TransactionalID, init.TransactionTimeoutMillis = 1, &id, 900_000
	err := r.retry(ctx, func() error {
		resp, err := r.conn.Request(ctx, init)
		if err != nil {
			return err
		}
		p := resp.(*kmsg.InitProducerIDResponse)
		if p.ErrorCode == 0 && (p.ProducerID != 0 || p.ProducerEpoch != 0) {
			return fmt.Errorf("producer id %d, epoch %d on a new cluster", p.ProducerID, p.ProducerEpoch)
		}
		return kerr.ErrorForCode(p.ErrorCode)
	})
	r.inited = err == nil
	return err
}

func (r *recorder) end(ctx context.Context, id string, commit bool) error {
	end := kmsg.NewPtrEndTxnRequest()
	end.Version, end.TransactionalID, end.Commit = 1, id, commit
	resp, err := r.conn.Request(ctx, end)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.(*kmsg.EndTxnResponse).ErrorCode)
}

// offsets commits an offset in a transaction.
func (r *recorder) offsets(ctx context.Context, o offsets) error {
	if err := r.producer(ctx, o.id); err != nil {
		return err
	}
	if err := r.coordinator(ctx, o.group, 0); err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.Version, add.TransactionalID, add.Group = 1, o.id, o.group
	err := r.retry(ctx, func() error {
		resp, err := r.conn.Request(ctx, add)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
	})
	if err != nil {
		return err
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.Group, req.Generation = 2, o.id, o.group, -1
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset, p.LeaderEpoch, p.Metadata = o.offset, 0, &o.metadata
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: r.Topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
	err = r.retry(ctx, func() error {
		resp, err := r.conn.Request(ctx, req)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
	})
	if err != nil || o.open {
		return err
	}
	return r.end(ctx, o.id, o.commit)
}

func (r *recorder) coordinator(ctx context.Context, key string, kind int8) error {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey, req.CoordinatorType = 1, key, kind
	return r.retry(ctx, func() error {
		resp, err := r.conn.Request(ctx, req)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.(*kmsg.FindCoordinatorResponse).ErrorCode)
	})
}

func (r *recorder) logEnd(ctx context.Context) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = r.Topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := r.conn.Request(ctx, req)
	if err != nil {
		return 0, err
	}
	a := resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	return a.Offset, kerr.ErrorForCode(a.ErrorCode)
}

// retry calls f until it returns nil or an error that is not retriable.
func (r *recorder) retry(ctx context.Context, f func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || !(kerr.IsRetriable(err) || errors.Is(err, kerr.ConcurrentTransactions)) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
