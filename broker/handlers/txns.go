package handlers

import (
	"context"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/metadata"
	"gregor/broker/server"
	"gregor/coordinator/group"
	groupfsm "gregor/coordinator/group/fsm"
	"gregor/coordinator/txn"
	"gregor/coordinator/txn/fsm"
)

// Transactions serves what transactional producers ask: AddPartitionsToTxn, AddOffsetsToTxn and EndTxn (versions 0 to 2) of the transaction
// coordinator, TxnOffsetCommit (0 to 3) of the group coordinator; and WriteTxnMarkers (0), which coordinators send. What is recorded is
// answered when it is replicated.
type Transactions struct {
	Coordinator *txn.Coordinator
	Groups      *group.Coordinator
	Metadata    *metadata.Cache
	Markers     *Markers
	Log         logrus.FieldLogger
}

// APIs returns the rows.
func (h *Transactions) APIs() []server.API {
	return []server.API{
		{Key: kmsg.AddPartitionsToTxn, MaxVersion: 2, Start: h.addPartitions},
		{Key: kmsg.AddOffsetsToTxn, MaxVersion: 2, Start: h.addOffsets},
		{Key: kmsg.EndTxn, MaxVersion: 2, Start: h.end},
		{Key: kmsg.WriteTxnMarkers, MaxVersion: 0, ClusterAction: true, Start: h.writeMarkers},
		{Key: kmsg.TxnOffsetCommit, MaxVersion: 3, Start: h.commitOffsets},
	}
}

func (h *Transactions) addPartitions(_ context.Context, r *server.Request) error {
	req, err := decode(r, kmsg.NewPtrAddPartitionsToTxnRequest())
	if err != nil {
		return err
	}
	var parts []fsm.TP
	codes := map[fsm.TP]int16{}
	refused := false
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			tp := fsm.TP{Topic: req.Topics[i].Topic, Partition: p}
			if _, twice := codes[tp]; twice {
				continue
			}
			code := int16(0)
			if isInternal(tp.Topic) {
				code = kerr.TopicAuthorizationFailed.Code
			} else if _, known := h.Metadata.Partition(tp.Topic, tp.Partition); !known {
				code = kerr.UnknownTopicOrPartition.Code
			}
			codes[tp] = code
			refused = refused || code != 0
			parts = append(parts, tp)
		}
	}
	answer := func(code func(tp fsm.TP) int16) {
		resp := kmsg.NewPtrAddPartitionsToTxnResponse()
		at := map[string]int{}
		for _, tp := range parts {
			i, has := at[tp.Topic]
			if !has {
				i = len(resp.Topics)
				at[tp.Topic] = i
				t := kmsg.NewAddPartitionsToTxnResponseTopic()
				t.Topic = tp.Topic
				resp.Topics = append(resp.Topics, t)
			}
			p := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
			p.Partition, p.ErrorCode = tp.Partition, fencedCode(code(tp), r.Version >= 2)
			resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, p)
		}
		r.CompleteMessage(resp)
	}
	if refused { // then none is added
		answer(func(tp fsm.TP) int16 {
			if code := codes[tp]; code != 0 {
				return code
			}
			return kerr.OperationNotAttempted.Code
		})
		return nil
	}
	h.Coordinator.AddPartitions(req.TransactionalID, fsm.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, parts, func(code int16) {
		answer(func(fsm.TP) int16 { return code })
	})
	return nil
}

func (h *Transactions) addOffsets(_ context.Context, r *server.Request) error {
	req, err := decode(r, kmsg.NewPtrAddOffsetsToTxnRequest())
	if err != nil {
		return err
	}
	parts := []fsm.TP{{Topic: offsetsTopic, Partition: h.Groups.PartitionFor(req.Group)}}
	h.Coordinator.AddPartitions(req.TransactionalID, fsm.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, parts, func(code int16) {
		resp := kmsg.NewPtrAddOffsetsToTxnResponse()
		resp.ErrorCode = fencedCode(code, r.Version >= 2)
		r.CompleteMessage(resp)
	})
	return nil
}

func (h *Transactions) end(_ context.Context, r *server.Request) error {
	req, err := decode(r, kmsg.NewPtrEndTxnRequest())
	if err != nil {
		return err
	}
	h.Coordinator.End(req.TransactionalID, fsm.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, req.Commit, func(code int16) {
		resp := kmsg.NewPtrEndTxnResponse()
		resp.ErrorCode = fencedCode(code, r.Version >= 2)
		r.CompleteMessage(resp)
	})
	return nil
}

func (h *Transactions) commitOffsets(_ context.Context, r *server.Request) error {
	req, err := decode(r, kmsg.NewPtrTxnOffsetCommitRequest())
	if err != nil {
		return err
	}
	req.Topics = once(req.Topics, func(t *kmsg.TxnOffsetCommitRequestTopic) (string, *[]kmsg.TxnOffsetCommitRequestTopicPartition) {
		return t.Topic, &t.Partitions
	},
		func(p *kmsg.TxnOffsetCommitRequestTopicPartition) int32 { return p.Partition })
	resp := kmsg.NewPtrTxnOffsetCommitResponse()
	resp.Topics = make([]kmsg.TxnOffsetCommitResponseTopic, len(req.Topics))
	now := r.ReceivedAt.UnixMilli()
	var commits []groupfsm.Commit
	var places []placedCommit
	for i := range req.Topics {
		t, rt := &req.Topics[i], &resp.Topics[i]
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.TxnOffsetCommitResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			p := &t.Partitions[j]
			rt.Partitions[j].Partition = p.Partition
			if _, known := h.Metadata.Partition(t.Topic, p.Partition); !known {
				rt.Partitions[j].ErrorCode = kerr.UnknownTopicOrPartition.Code
				continue
			}
			o := groupfsm.Offset{Offset: p.Offset, LeaderEpoch: -1, CommitTime: now, ExpireTime: -1}
			if r.Version >= 2 {
				o.LeaderEpoch = p.LeaderEpoch
			}
			if p.Metadata != nil {
				o.Metadata = *p.Metadata
			}
			commits = append(commits, groupfsm.Commit{TP: groupfsm.TP{Topic: t.Topic, Partition: p.Partition}, Offset: o})
			places = append(places, placedCommit{i, j})
		}
	}
	if len(commits) == 0 {
		r.CompleteMessage(resp)
		return nil
	}
	of := groupfsm.Txn{Producer: req.ProducerID, Epoch: req.ProducerEpoch}
	if req.ProducerID == -1 {
		of = groupfsm.NoTxn // as Kafka has it: then it is no transaction's
	}
	member, instance, generation := "", (*string)(nil), int32(-1)
	if r.Version >= 3 {
		member, instance, generation = req.MemberID, req.InstanceID, req.Generation
	}
	h.Groups.CommitTxn(req.Group, member, instance, generation, of, commits, func() {
		for i, at := range places {
			code := commits[i].Code
			if code == kerr.CoordinatorLoadInProgress.Code && r.Version < 2 {
				code = kerr.CoordinatorNotAvailable.Code // clients as old fail on the other
			}
			resp.Topics[at.topic].Partitions[at.partition].ErrorCode = code
		}
		r.CompleteMessage(resp)
	})
	return nil
}

func (h *Transactions) writeMarkers(_ context.Context, r *server.Request) error {
	req, err := decode(r, kmsg.NewPtrWriteTxnMarkersRequest())
	if err != nil {
		return err
	}
	markers := make([]txn.Marker, len(req.Markers))
	for i := range req.Markers {
		m := &req.Markers[i]
		markers[i] = txn.Marker{Producer: m.ProducerID, Epoch: m.ProducerEpoch, Commit: m.Committed, CoordinatorEpoch: m.CoordinatorEpoch}
		for j := range m.Topics {
			for _, p := range m.Topics[j].Partitions {
				markers[i].Parts = append(markers[i].Parts, fsm.TP{Topic: m.Topics[j].Topic, Partition: p})
			}
		}
	}
	h.Markers.Write(markers, func(codes [][]int16) { r.CompleteMessage(markersResponse(markers, codes)) })
	return nil
}

// markersResponse names each producer with partitions, and each of these, once.
func markersResponse(markers []txn.Marker, codes [][]int16) *kmsg.WriteTxnMarkersResponse {
	resp := kmsg.NewPtrWriteTxnMarkersResponse()
	type place struct{ marker, topic int }
	producers, topics := map[int64]int{}, map[int64]map[string]place{}
	seen := map[int64]map[fsm.TP]*int16{}
	for i := range markers {
		id := markers[i].Producer
		if len(markers[i].Parts) == 0 {
			continue
		}
		if _, has := producers[id]; !has {
			producers[id], topics[id], seen[id] = len(resp.Markers), map[string]place{}, map[fsm.TP]*int16{}
			m := kmsg.NewWriteTxnMarkersResponseMarker()
			m.ProducerID = id
			resp.Markers = append(resp.Markers, m)
		}
		m := &resp.Markers[producers[id]]
		for j, tp := range markers[i].Parts {
			if was := seen[id][tp]; was != nil {
				*was = codes[i][j]
				continue
			}
			at, has := topics[id][tp.Topic]
			if !has {
				at = place{topic: len(m.Topics)}
				topics[id][tp.Topic] = at
				t := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
				t.Topic = tp.Topic
				m.Topics = append(m.Topics, t)
			}
			p := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
			p.Partition, p.ErrorCode = tp.Partition, codes[i][j]
			t := &m.Topics[at.topic]
			t.Partitions = append(t.Partitions, p)
		}
	}
	return resp
}
