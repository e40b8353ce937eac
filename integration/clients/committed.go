package clients

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
	"gregor/wire/record"
)

// End is the offset up to which a reader is served: the high watermark, or the last stable offset if it is to see only what was committed.
func End(ctx context.Context, c *peer.Conn, topic string, partition int32, committed bool) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 5, -1
	if committed {
		req.IsolationLevel = 1
	}
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = partition, -1, -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	resp, err := c.Request(ctx, req)
	if err != nil {
		return 0, err
	}
	r := resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	return r.Offset, kerr.ErrorForCode(r.ErrorCode)
}

// Values reads a partition by bare fetches from its beginning to its present end, and returns the values of the records that a consumer hands
// out. With committed it leaves out what the list of aborted transactions of each answer says, as consumers do.
func Values(ctx context.Context, addr, topic string, partition int32, committed bool) ([]string, error) {
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	end, err := End(ctx, c, topic, partition, committed)
	if err != nil {
		return nil, fmt.Errorf("end of %s-%d: %w", topic, partition, err)
	}
	var values []string
	for at := int64(0); at < end; {
		p, err := fetchOnce(ctx, c, topic, partition, at, committed)
		if err != nil {
			return values, fmt.Errorf("fetching %s-%d at %d: %w", topic, partition, at, err)
		}
		next, got, err := visible(p, at, committed)
		if err != nil {
			return values, fmt.Errorf("%s-%d at %d: %w", topic, partition, at, err)
		}
		if next == at {
			return values, fmt.Errorf("%s-%d: nothing at %d of %d", topic, partition, at, end)
		}
		at, values = next, append(values, got...)
	}
	return values, nil
}

func fetchOnce(ctx context.Context, c *peer.Conn, topic string, partition int32, at int64, committed bool) (*kmsg.FetchResponseTopicPartition, error) {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, -1, 1000, 1, 1<<20, -1
	if committed {
		req.IsolationLevel = 1
	}
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, p.PartitionMaxBytes = partition, -1, at, 1<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	resp, err := c.Request(ctx, req)
	if err != nil {
		return nil, err
	}
	r := resp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return nil, err
	}
	rp := &r.Topics[0].Partitions[0]
	return rp, kerr.ErrorForCode(rp.ErrorCode)
}

// visible takes an answer apart, from offset at on: the offset behind it, and the values that a consumer hands out.
func visible(p *kmsg.FetchResponseTopicPartition, at int64, committed bool) (next int64, values []string, err error) {
	aborted := slices.Clone(p.AbortedTransactions)
	slices.SortFunc(aborted, func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return cmp.Compare(a.FirstOffset, b.FirstOffset)
	})
	now := map[int64]bool{} // producers in the middle of an aborted transaction
	next = at
	for rest := p.RecordBatches; len(rest) > 0; {
		var first []byte
		if first, rest, err = record.Next(rest); errors.Is(err, record.ErrShort) {
			return next, values, nil
		} else if err != nil {
			return next, values, err
		}
		b := record.Batch(first)
		for len(aborted) > 0 && aborted[0].FirstOffset <= b.LastOffset() {
			now[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		next = max(next, b.NextOffset())
		if b.IsControl() {
			m, ok, err := record.ParseEndTxnMarker(b)
			if err != nil {
				return next, values, err
			}
			if ok && m.Type == record.ControlAbort {
				delete(now, b.ProducerID())
			}
			continue
		}
		if committed && b.IsTransactional() && now[b.ProducerID()] {
			continue
		}
		it := record.NewIter(b, 1<<24)
		for it.Next() {
			if it.Record.Offset >= at {
				values = append(values, string(it.Record.Value))
			}
		}
		err = it.Err()
		it.Close()
		if err != nil {
			return next, values, err
		}
	}
	return next, values, nil
}
