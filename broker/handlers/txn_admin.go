package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/coordinator/txn"
	"gregor/coordinator/txn/fsm"
	"gregor/replication"
)

// TransactionAdmin serves what finds hanging transactions (KIP-664): DescribeProducers, DescribeTransactions and ListTransactions, version 0
// of each. Kafka 2.7 has none of them. A hanging transaction is aborted with WriteTxnMarkers, as Kafka's own tool does.
type TransactionAdmin struct {
	Coordinator *txn.Coordinator
	Replicas    *replication.Manager
}

// APIs returns the rows.
func (h *TransactionAdmin) APIs() []server.API {
	return []server.API{
		{Key: kmsg.DescribeProducers, MaxVersion: 0, Handle: handle(h.producers)},
		{Key: kmsg.DescribeTransactions, MaxVersion: 0, Handle: handle(h.describe)},
		{Key: kmsg.ListTransactions, MaxVersion: 0, Handle: handle(h.list)},
	}
}

func (h *TransactionAdmin) producers(_ context.Context, _ *server.Request, req *kmsg.DescribeProducersRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeProducersResponse()
	for i := range req.Topics {
		t := kmsg.NewDescribeProducersResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, id := range req.Topics[i].Partitions {
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition = id
			h.producersOf(t.Topic, &p)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// producersOf answers for any replica, as Kafka does.
func (h *TransactionAdmin) producersOf(topic string, to *kmsg.DescribeProducersResponseTopicPartition) {
	p, err := h.Replicas.Lookup(topic, to.Partition)
	if err != nil {
		to.ErrorCode = errorCode(err)
		return
	}
	log := p.Log()
	if log == nil {
		to.ErrorCode = kerr.KafkaStorageError.Code
		return
	}
	for _, e := range log.Producers() {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch, a.LastSequence, a.LastTimestamp = e.ProducerID, int32(e.ProducerEpoch), e.LastSequence, e.Timestamp
		a.CoordinatorEpoch, a.CurrentTxnStartOffset = e.CoordinatorEpoch, e.TxnFirstOffset
		to.ActiveProducers = append(to.ActiveProducers, a)
	}
}

func (h *TransactionAdmin) describe(_ context.Context, _ *server.Request, req *kmsg.DescribeTransactionsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	for _, id := range req.TransactionalIDs {
		d := h.Coordinator.Describe(id)
		s := kmsg.NewDescribeTransactionsResponseTransactionState()
		s.ErrorCode, s.TransactionalID = d.Code, id
		if d.Code == 0 {
			s.State, s.TimeoutMillis, s.StartTimestamp, s.ProducerID, s.ProducerEpoch = d.State.String(), d.Timeout, d.Started, d.ID, d.Epoch
			s.Topics = topicsOf(d.Parts)
		}
		resp.TransactionStates = append(resp.TransactionStates, s)
	}
	return resp
}

func topicsOf(parts []fsm.TP) (list []kmsg.DescribeTransactionsResponseTransactionStateTopic) {
	at := map[string]int{}
	for _, tp := range parts {
		i, has := at[tp.Topic]
		if !has {
			i = len(list)
			at[tp.Topic] = i
			t := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
			t.Topic = tp.Topic
			list = append(list, t)
		}
		list[i].Partitions = append(list[i].Partitions, tp.Partition)
	}
	return list
}

func (h *TransactionAdmin) list(_ context.Context, _ *server.Request, req *kmsg.ListTransactionsRequest) kmsg.Response {
	resp := kmsg.NewPtrListTransactionsResponse()
	var states []fsm.State
	for _, name := range req.StateFilters {
		s, known := fsm.ParseState(name)
		if !known {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
			continue
		}
		states = append(states, s)
	}
	if len(req.StateFilters) > 0 && len(states) == 0 {
		return resp // nothing can be in a state that is not known
	}
	found, code := h.Coordinator.List(states, req.ProducerIDFilters)
	if resp.ErrorCode = code; code != 0 {
		return resp
	}
	for _, f := range found {
		s := kmsg.NewListTransactionsResponseTransactionState()
		s.TransactionalID, s.ProducerID, s.TransactionState = f.ID, f.Producer, f.State.String()
		resp.TransactionStates = append(resp.TransactionStates, s)
	}
	return resp
}
