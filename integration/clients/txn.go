package clients

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
	"gregor/wire/record"
)

// Txn is one transactional id by bare requests, one at a time: AddPartitionsToTxn and the like to its coordinator, Produce to the broker that
// leads all partitions of its topic. It waits for what passes by itself, and tells everything else.
type Txn struct {
	ID                  string
	Coordinator, Leader *peer.Conn
	ProducerID          int64
	Epoch               int16
	// Backoff is how long it waits when, for example, the markers of its last transaction are not written yet.
	Backoff time.Duration

	next map[topicPartition]int32 // sequence numbers
}

type topicPartition struct {
	topic     string
	partition int32
}

// Patient calls ask until it answers with something else than an error that passes by itself.
func Patient(ctx context.Context, backoff time.Duration, ask func() error) error {
	for {
		err := ask()
		if err == nil || !(kerr.IsRetriable(err) || errors.Is(err, kerr.ConcurrentTransactions)) {
			return err
		}
		pause := time.NewTimer(backoff)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// The kinds of coordinator in FindCoordinator.
const (
	OfGroups       = 0
	OfTransactions = 1
)

// FindCoordinator is the address of the coordinator of a group or transactional id.
func FindCoordinator(ctx context.Context, addr string, kind int8, key string) (found string, err error) {
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorType, req.CoordinatorKey = 1, kind, key
	err = Patient(ctx, 20*time.Millisecond, func() error {
		resp, err := c.Request(ctx, req)
		if err != nil {
			return err
		}
		r := resp.(*kmsg.FindCoordinatorResponse)
		found = fmt.Sprintf("%s:%d", r.Host, r.Port)
		return kerr.ErrorForCode(r.ErrorCode)
	})
	if err != nil {
		return "", fmt.Errorf("looking for the coordinator of %s: %w", key, err)
	}
	return found, nil
}

// InitProducerID asks once for the producer id of a transactional id.
func InitProducerID(ctx context.Context, c *peer.Conn, id string) (int64, int16, error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 1, &id, 600_000
	resp, err := c.Request(ctx, req)
	if err != nil {
		return 0, 0, err
	}
	r := resp.(*kmsg.InitProducerIDResponse)
	return r.ProducerID, r.ProducerEpoch, kerr.ErrorForCode(r.ErrorCode)
}

// DialTxn connects a transactional id and asks for its producer id; addr is the broker that leads its topics.
func DialTxn(ctx context.Context, addr, id string, backoff time.Duration) (*Txn, error) {
	p := &Txn{ID: id, Backoff: backoff}
	if err := p.Connect(ctx, addr); err != nil {
		return nil, err
	}
	if err := p.Init(ctx); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Connect connects it, anew if it was connected: to another broker that has the same directories, for example.
func (p *Txn) Connect(ctx context.Context, addr string) error {
	p.Close()
	at, err := FindCoordinator(ctx, addr, OfTransactions, p.ID)
	if err != nil {
		return err
	}
	if p.Coordinator, err = peer.Dial(ctx, at); err != nil {
		return err
	}
	p.Leader, err = peer.Dial(ctx, addr)
	return err
}

// Init asks for the producer id, and forgets the sequence numbers.
func (p *Txn) Init(ctx context.Context) error {
	p.next = nil
	err := Patient(ctx, p.Backoff, func() (err error) {
		p.ProducerID, p.Epoch, err = InitProducerID(ctx, p.Coordinator, p.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("producer id of %s: %w", p.ID, err)
	}
	return nil
}

// Close ends the connections.
func (p *Txn) Close() {
	if p.Coordinator != nil {
		p.Coordinator.Close()
	}
	if p.Leader != nil {
		p.Leader.Close()
	}
	p.Coordinator, p.Leader = nil, nil
}

// Add adds partitions to the transaction, the first of which begins it; that is refused until the markers of the last one are written.
func (p *Txn) Add(ctx context.Context, topic string, partitions ...int32) error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = 1, p.ID, p.ProducerID, p.Epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	err := Patient(ctx, p.Backoff, func() error {
		resp, err := p.Coordinator.Request(ctx, req)
		if err != nil {
			return err
		}
		for _, r := range resp.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions {
			if r.ErrorCode != 0 && r.ErrorCode != kerr.OperationNotAttempted.Code {
				return kerr.ErrorForCode(r.ErrorCode)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("adding partitions to the transaction of %s: %w", p.ID, err)
	}
	return nil
}

// Produce writes a batch of records with the same value to each partition in one request.
func (p *Txn) Produce(ctx context.Context, topic string, partitions []int32, records int, value []byte) error {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.TransactionID, req.Acks, req.TimeoutMillis = 8, &p.ID, -1, 30_000
	t := kmsg.ProduceRequestTopic{Topic: topic}
	if p.next == nil {
		p.next = map[topicPartition]int32{}
	}
	var batch record.Batch
	for _, n := range partitions {
		if seq := p.next[topicPartition{topic, n}]; batch == nil || batch.BaseSequence() != seq {
			var err error
			if batch, err = p.batch(seq, records, value); err != nil {
				return err
			}
		}
		t.Partitions = append(t.Partitions, kmsg.ProduceRequestTopicPartition{Partition: n, Records: batch})
	}
	req.Topics = []kmsg.ProduceRequestTopic{t}
	resp, err := p.Leader.Request(ctx, req)
	if err != nil {
		return err
	}
	for _, r := range resp.(*kmsg.ProduceResponse).Topics[0].Partitions {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return fmt.Errorf("producing to %s-%d as %s: %w", topic, r.Partition, p.ID, err)
		}
		key := topicPartition{topic, r.Partition}
		p.next[key] = record.IncrementSequence(p.next[key], int32(records))
	}
	return nil
}

func (p *Txn) batch(seq int32, records int, value []byte) (record.Batch, error) {
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = p.ProducerID, p.Epoch, seq, true
	now := time.Now().UnixMilli()
	for range records {
		b.Append(now, nil, value)
	}
	return b.Build()
}

// CommitOffset adds the group to the transaction and commits an offset of one partition in it, as a group without members does.
func (p *Txn) CommitOffset(ctx context.Context, group, topic string, partition int32, offset int64) error {
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.Version, add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = 1, p.ID, p.ProducerID, p.Epoch, group
	err := Patient(ctx, p.Backoff, func() error {
		resp, err := p.Coordinator.Request(ctx, add)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
	})
	if err != nil {
		return fmt.Errorf("adding group %s to the transaction of %s: %w", group, p.ID, err)
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.Version, commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch, commit.Group = 2, p.ID, p.ProducerID, p.Epoch, group
	tp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	tp.Partition, tp.Offset, tp.LeaderEpoch = partition, offset, -1
	commit.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{tp}}}
	at, err := FindCoordinator(ctx, p.Leader.RemoteAddr().String(), OfGroups, group)
	if err != nil {
		return err
	}
	c, err := peer.Dial(ctx, at)
	if err != nil {
		return err
	}
	defer c.Close()
	err = Patient(ctx, p.Backoff, func() error {
		resp, err := c.Request(ctx, commit)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
	})
	if err != nil {
		return fmt.Errorf("committing an offset of group %s in the transaction of %s: %w", group, p.ID, err)
	}
	return nil
}

// End commits or aborts.
func (p *Txn) End(ctx context.Context, commit bool) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = 1, p.ID, p.ProducerID, p.Epoch, commit
	err := Patient(ctx, p.Backoff, func() error {
		resp, err := p.Coordinator.Request(ctx, req)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.(*kmsg.EndTxnResponse).ErrorCode)
	})
	if err != nil {
		return fmt.Errorf("ending the transaction of %s: %w", p.ID, err)
	}
	return nil
}
