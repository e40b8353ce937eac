package handlers

import (
	"context"
	"math"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/replication"
	"gregor/storage"
)

// Replica ids with a meaning in ListOffsets and Fetch.
const (
	consumerReplica  int32 = -1
	debuggingReplica int32 = -2
)

// ListOffsets serves ListOffsets (versions 0 to 5).
type ListOffsets struct {
	Replicas *replication.Manager
	Log      logrus.FieldLogger
}

// APIs returns the row.
func (h *ListOffsets) APIs() []server.API {
	return []server.API{{Key: kmsg.ListOffsets, MinVersion: 0, MaxVersion: 5, Handle: h.handle}}
}

func (h *ListOffsets) handle(_ context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.ListOffsetsRequest)
	resp := kmsg.NewPtrListOffsetsResponse()
	seen := map[storage.TopicPartition]int{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			seen[storage.TopicPartition{Topic: t.Topic, Partition: p.Partition}]++
		}
	}
	for _, t := range req.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for i := range t.Partitions {
			q := &t.Partitions[i]
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Timestamp, rp.Offset, rp.LeaderEpoch = q.Partition, -1, -1, -1
			var err error
			switch {
			case r.Version == 0:
				rp.OldStyleOffsets, err = h.before(req, t.Topic, q)
			case seen[storage.TopicPartition{Topic: t.Topic, Partition: q.Partition}] > 1:
				err = kerr.InvalidRequest
			default:
				err = h.find(req, t.Topic, q, &rp)
			}
			rp.ErrorCode = errorCode(err)
			switch rp.ErrorCode {
			case kerr.OffsetNotAvailable.Code:
				if r.Version < 5 {
					rp.ErrorCode = kerr.LeaderNotAvailable.Code
				}
			case kerr.UnknownServerError.Code:
				h.Log.Errorf("Looking for an offset of %s-%d at time %d failed: %v", t.Topic, q.Partition, q.Timestamp, err)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

func (h *ListOffsets) find(req *kmsg.ListOffsetsRequest, topic string, q *kmsg.ListOffsetsRequestTopicPartition,
	rp *kmsg.ListOffsetsResponseTopicPartition) error {
	p, err := h.Replicas.Lookup(topic, q.Partition)
	if err != nil {
		return err
	}
	iso := replication.ReadUncommitted
	if req.IsolationLevel == 1 {
		iso = replication.ReadCommitted
	}
	epoch := replication.NoEpoch
	if req.Version >= 4 {
		epoch = q.CurrentLeaderEpoch
	}
	found, ok, err := p.OffsetByTimestamp(q.Timestamp, iso, req.ReplicaID == consumerReplica, epoch, req.ReplicaID != debuggingReplica)
	if err != nil || !ok {
		return err
	}
	rp.Timestamp, rp.Offset, rp.LeaderEpoch = found.Timestamp, found.Offset, found.LeaderEpoch
	return nil
}

func (h *ListOffsets) before(req *kmsg.ListOffsetsRequest, topic string, q *kmsg.ListOffsetsRequestTopicPartition) ([]int64, error) {
	p, err := h.Replicas.Lookup(topic, q.Partition)
	if err != nil {
		return nil, err
	}
	return p.OffsetsBefore(q.Timestamp, int(min(max(q.MaxNumOffsets, 0), math.MaxInt16)), req.ReplicaID == consumerReplica,
		req.ReplicaID != debuggingReplica)
}
