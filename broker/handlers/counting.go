package handlers

import (
	"errors"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/storage/producerstate"
	"gregor/wire/record"
)

// Waiting counts requests that wait for others, as Kafka's purgatories do. Its zero value is ready; a nil one counts nothing.
type Waiting struct {
	// Fetches and Produces wait now, for FetchWatches and ProduceWatches partitions.
	Fetches, Produces            atomic.Int64
	FetchWatches, ProduceWatches atomic.Int64
	// Those whose time was over.
	ConsumerFetchesExpired, FollowerFetchesExpired, ProducesExpired atomic.Int64
}

func (w *Waiting) produces(partitions, by int) {
	if w != nil {
		w.Produces.Add(int64(by))
		w.ProduceWatches.Add(int64(by * partitions))
	}
}

func (w *Waiting) produceExpired() {
	if w != nil {
		w.ProducesExpired.Add(1)
	}
}

// waits counts a fetch that begins to wait for so many partitions.
func (op *fetchOp) waits(partitions int) {
	if w := op.h.Waiting; w != nil {
		op.watches = partitions
		w.Fetches.Add(1)
		w.FetchWatches.Add(int64(partitions))
	}
}

// resumed counts a fetch that is answered, if it waited.
func (op *fetchOp) resumed() {
	w := op.h.Waiting
	if w == nil || !op.waited {
		return
	}
	for _, f := range op.list {
		f.countRead()
	}
	w.Fetches.Add(-1)
	w.FetchWatches.Add(-int64(op.watches))
	switch {
	case !op.isExpired():
	case op.replica >= 0:
		w.FollowerFetchesExpired.Add(1)
	default:
		w.ConsumerFetchesExpired.Add(1)
	}
}

// countRead counts the read of one partition of a fetch: when the request comes, and when one that waited is answered.
func (f *fetchPart) countRead() {
	if f.p == nil {
		return
	}
	if c := f.p.Counters(); c != nil {
		c.FetchRequests.Add(1)
	}
}

func (f *fetchPart) countFailed() {
	if c := f.p.Counters(); c != nil {
		c.FailedFetch.Add(1)
	}
}

// countAnswer counts what a fetch is answered with.
func (op *fetchOp) countAnswer(parts []*fetchPart) {
	fine := 1 // the answer's own code
	for _, f := range parts {
		if f.code == 0 {
			fine++
		} else {
			op.r.CountErrors(f.code, 1)
		}
		n := int64(f.bytes())
		if f.p == nil || n == 0 {
			continue
		}
		if c := f.p.Counters(); c != nil {
			if op.replica >= 0 {
				c.ReplicationBytesOut.Add(n)
			} else {
				c.BytesOut.Add(n)
			}
		}
	}
	op.r.CountErrors(0, fine)
}

// count counts an append that went well (err nil) or did not.
func (part *producePart) count(err error) {
	c := part.p.Counters()
	if c == nil {
		return
	}
	c.ProduceRequests.Add(1)
	if err == nil {
		c.MessagesIn.Add(part.info.LastOffset - part.info.FirstOffset + 1)
		c.BytesIn.Add(int64(len(part.records)))
		if n := part.info.Converted; n > 0 {
			c.ProduceConversions.Add(int64(n))
		}
		return
	}
	switch part.code {
	case kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code, kerr.RecordListTooLarge.Code, kerr.CorruptMessage.Code,
		kerr.KafkaStorageError.Code:
	case kerr.MessageTooLarge.Code:
		c.BytesRejected.Add(int64(len(part.records)))
	default:
		c.FailedProduce.Add(1)
	}
}

// countFailed counts an append that was refused, and why.
func (op *produceOp) countFailed(part *producePart, err error) {
	all := op.h.Replicas.Counters()
	if all == nil {
		return
	}
	if part.p == nil {
		all.Other.ProduceRequests.Add(1)
		return
	}
	part.count(err)
	var inv *record.InvalidRecordError
	switch {
	case is[*record.CorruptError](err):
		all.InvalidCRC.Add(1)
	case is[*producerstate.OutOfOrderSequenceError](err):
		all.InvalidSequence.Add(1)
	case errors.As(err, &inv) && len(inv.Records) > 0:
		all.NoKey.Add(int64(len(inv.Records)))
	case inv != nil:
		all.InvalidMagic.Add(1)
	}
}

// countAnswer counts the codes that a produce request is answered with.
func (op *produceOp) countAnswer() {
	fine := 0
	for i := range op.parts {
		if op.parts[i].code == 0 {
			fine++
		} else {
			op.r.CountErrors(op.parts[i].code, 1)
		}
	}
	op.r.CountErrors(0, fine)
}

// ErrorsOf calls add with the error codes of a response that was built with kmsg: those that Kafka counts.
func ErrorsOf(resp kmsg.Response, add func(code int16)) {
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		for i := range r.Topics {
			add(r.Topics[i].ErrorCode)
		}
	case *kmsg.ListOffsetsResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				add(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.OffsetForLeaderEpochResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				add(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.DeleteRecordsResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				add(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.LeaderAndISRResponse: // an error of the whole stands for each of its partitions
		for i := range r.Partitions {
			add(r.Partitions[i].ErrorCode)
		}
	case *kmsg.StopReplicaResponse:
		for i := range r.Partitions {
			add(r.Partitions[i].ErrorCode)
		}
	default:
		errorsOfAdmin(resp, add)
	}
}

func errorsOfAdmin(resp kmsg.Response, add func(code int16)) {
	switch r := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for i := range r.Topics {
			add(r.Topics[i].ErrorCode)
		}
	case *kmsg.DeleteTopicsResponse:
		for i := range r.Topics {
			add(r.Topics[i].ErrorCode)
		}
	case *kmsg.CreatePartitionsResponse:
		for i := range r.Topics {
			add(r.Topics[i].ErrorCode)
		}
	case *kmsg.DescribeConfigsResponse:
		for i := range r.Resources {
			add(r.Resources[i].ErrorCode)
		}
	case *kmsg.AlterConfigsResponse:
		for i := range r.Resources {
			add(r.Resources[i].ErrorCode)
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for i := range r.Resources {
			add(r.Resources[i].ErrorCode)
		}
	case *kmsg.DescribeLogDirsResponse:
		for i := range r.Dirs {
			add(r.Dirs[i].ErrorCode)
		}
	case *kmsg.ApiVersionsResponse:
		add(r.ErrorCode)
	case *kmsg.InitProducerIDResponse:
		add(r.ErrorCode)
	case *kmsg.UpdateMetadataResponse:
		add(r.ErrorCode)
	default:
		errorsOfGroups(resp, add)
	}
}

func errorsOfGroups(resp kmsg.Response, add func(code int16)) {
	switch r := resp.(type) {
	case *kmsg.FindCoordinatorResponse:
		add(r.ErrorCode)
	case *kmsg.JoinGroupResponse:
		add(r.ErrorCode)
	case *kmsg.SyncGroupResponse:
		add(r.ErrorCode)
	case *kmsg.HeartbeatResponse:
		add(r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		add(r.ErrorCode)
		for i := range r.Members {
			add(r.Members[i].ErrorCode)
		}
	case *kmsg.OffsetCommitResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				add(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.OffsetFetchResponse:
		add(r.ErrorCode)
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				add(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.OffsetDeleteResponse:
		add(r.ErrorCode)
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				add(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.ListGroupsResponse:
		add(r.ErrorCode)
	case *kmsg.DescribeGroupsResponse:
		for i := range r.Groups {
			add(r.Groups[i].ErrorCode)
		}
	case *kmsg.DeleteGroupsResponse:
		for i := range r.Groups {
			add(r.Groups[i].ErrorCode)
		}
	default:
		errorsOfTransactions(resp, add)
	}
}

func errorsOfTransactions(resp kmsg.Response, add func(code int16)) {
	switch r := resp.(type) {
	case *kmsg.AddPartitionsToTxnResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				add(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.AddOffsetsToTxnResponse:
		add(r.ErrorCode)
	case *kmsg.EndTxnResponse:
		add(r.ErrorCode)
	case *kmsg.WriteTxnMarkersResponse:
		for i := range r.Markers {
			for j := range r.Markers[i].Topics {
				for _, p := range r.Markers[i].Topics[j].Partitions {
					add(p.ErrorCode)
				}
			}
		}
	case *kmsg.TxnOffsetCommitResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				add(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.DescribeTransactionsResponse:
		for i := range r.TransactionStates {
			add(r.TransactionStates[i].ErrorCode)
		}
	case *kmsg.ListTransactionsResponse:
		add(r.ErrorCode)
	case *kmsg.DescribeProducersResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				add(r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	}
}
