package transactions

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/kclient"
)

// transaction is a transactional id as its coordinator has it.
type transaction struct {
	id          string
	coordinator int32
	producer    int64
	epoch       int16
	state       string
	timeout     int32
	start       int64 // -1: none is open
	partitions  []kclient.TopicPartition
}

// producer is a producer as a partition knows it.
type producer struct {
	kclient.TopicPartition
	id                      int64
	epoch, coordinatorEpoch int32
	lastSequence            int32
	lastTimestamp           int64
	start                   int64 // of its open transaction; -1: none
}

// errNoTransaction is a transactional id that its coordinator does not know.
var errNoTransaction = errors.New("no such transactional id")

// cluster answers the questions of the commands.
type cluster interface {
	// transactions lists those of all coordinators, or only those of some producers.
	transactions(ctx context.Context, producers []int64) ([]transaction, error)
	describe(ctx context.Context, id string) (transaction, error)
	// partitions lists those of a topic, or of all; with a broker only those that it has replicas of.
	partitions(ctx context.Context, topic string, broker int32) ([]kclient.TopicPartition, error)
	producers(ctx context.Context, tps []kclient.TopicPartition, broker int32) ([]producer, error)
	abort(ctx context.Context, p producer) error
}

// brokers are a real cluster.
type brokers struct{ admin *kclient.Admin }

func (b *brokers) transactions(ctx context.Context, producers []int64) ([]transaction, error) {
	all, err := b.admin.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	var out []transaction
	for i := range all.Brokers {
		id := all.Brokers[i].NodeID
		req := kmsg.NewPtrListTransactionsRequest()
		req.ProducerIDFilters = producers
		resp, err := kclient.AskBroker[*kmsg.ListTransactionsResponse](ctx, b.admin, id, req, "listTransactions")
		if err == nil {
			err = kclient.Error(resp.ErrorCode, nil)
		}
		if err != nil {
			return nil, err
		}
		for _, t := range resp.TransactionStates {
			if producers == nil || slices.Contains(producers, t.ProducerID) {
				out = append(out, transaction{id: t.TransactionalID, coordinator: id, producer: t.ProducerID, state: t.TransactionState})
			}
		}
	}
	return out, nil
}

func (b *brokers) describe(ctx context.Context, id string) (t transaction, err error) {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id}
	resp, at, err := b.admin.AskTransactions(ctx, id, req)
	if err != nil {
		return t, err
	}
	if len(resp.TransactionStates) != 1 {
		return t, errNoTransaction
	}
	s := &resp.TransactionStates[0]
	if s.ErrorCode == kerr.TransactionalIDNotFound.Code {
		return t, errors.Join(errNoTransaction, kclient.Error(s.ErrorCode, nil))
	}
	t = transaction{id: id, coordinator: at, producer: s.ProducerID, epoch: s.ProducerEpoch, state: s.State, timeout: s.TimeoutMillis, start: s.StartTimestamp}
	for i := range s.Topics {
		for _, p := range s.Topics[i].Partitions {
			t.partitions = append(t.partitions, kclient.TopicPartition{Topic: s.Topics[i].Topic, Partition: p})
		}
	}
	return t, kclient.Error(s.ErrorCode, nil)
}

func (b *brokers) partitions(ctx context.Context, topic string, broker int32) ([]kclient.TopicPartition, error) {
	req := kmsg.NewPtrMetadataRequest()
	if topic != "" {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		req.Topics = append(req.Topics, t)
	}
	resp, err := kclient.Ask[*kmsg.MetadataResponse](ctx, b.admin, req, "describeTopics")
	if err != nil {
		return nil, failed(err, "Failed to list topics")
	}
	var tps []kclient.TopicPartition
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if err := kclient.Error(t.ErrorCode, nil); err != nil {
			return nil, failed(err, "Failed to describe %d topics", len(resp.Topics))
		}
		if t.Topic == nil || topic == "" && t.IsInternal {
			continue
		}
		for j := range t.Partitions {
			if p := &t.Partitions[j]; broker == noBroker || slices.Contains(p.Replicas, broker) {
				tps = append(tps, kclient.TopicPartition{Topic: *t.Topic, Partition: p.Partition})
			}
		}
	}
	return tps, nil
}

func (b *brokers) producers(ctx context.Context, tps []kclient.TopicPartition, broker int32) ([]producer, error) {
	byBroker := map[int32][]kclient.TopicPartition{broker: tps}
	if broker == noBroker {
		var err error
		if byBroker, err = b.admin.Leaders(ctx, tps); err != nil {
			return nil, err
		}
	}
	var out []producer
	for id, tps := range byBroker {
		resp, err := kclient.AskBroker[*kmsg.DescribeProducersResponse](ctx, b.admin, id, producersRequest(tps), "describeProducers")
		if err != nil {
			return nil, err
		}
		for i := range resp.Topics {
			for _, p := range resp.Topics[i].Partitions {
				if err := kclient.Error(p.ErrorCode, p.ErrorMessage); err != nil {
					return nil, err
				}
				for _, a := range p.ActiveProducers {
					out = append(out, producer{kclient.TopicPartition{Topic: resp.Topics[i].Topic, Partition: p.Partition}, a.ProducerID, a.ProducerEpoch,
						a.CoordinatorEpoch, a.LastSequence, a.LastTimestamp, a.CurrentTxnStartOffset})
				}
			}
		}
	}
	return out, nil
}

func producersRequest(tps []kclient.TopicPartition) *kmsg.DescribeProducersRequest {
	req := kmsg.NewPtrDescribeProducersRequest()
	at := map[string]int{}
	for _, tp := range tps {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			t := kmsg.NewDescribeProducersRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, tp.Partition)
	}
	return req
}

func (b *brokers) abort(ctx context.Context, p producer) error {
	leaders, err := b.admin.Leaders(ctx, []kclient.TopicPartition{p.TopicPartition})
	if err != nil {
		return err
	}
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch = p.id, int16(p.epoch), p.coordinatorEpoch
	t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
	t.Topic, t.Partitions = p.Topic, []int32{p.Partition}
	m.Topics = append(m.Topics, t)
	req.Markers = append(req.Markers, m)
	for leader := range leaders {
		resp, err := kclient.AskBroker[*kmsg.WriteTxnMarkersResponse](ctx, b.admin, leader, req, "abortTransaction")
		if err != nil {
			return err
		}
		for i := range resp.Markers {
			for j := range resp.Markers[i].Topics {
				for _, p := range resp.Markers[i].Topics[j].Partitions {
					if err := kclient.Error(p.ErrorCode, nil); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}
