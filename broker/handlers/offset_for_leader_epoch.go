package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/replication"
)

// OffsetForLeaderEpoch serves OffsetForLeaderEpoch (versions 0 to 3): where an epoch ended, so that replicas and consumers can tell
// whether they and the leader have the same records.
type OffsetForLeaderEpoch struct {
	Replicas *replication.Manager
}

// APIs returns the row.
func (h *OffsetForLeaderEpoch) APIs() []server.API {
	return []server.API{{Key: kmsg.OffsetForLeaderEpoch, MinVersion: 0, MaxVersion: 3, Handle: h.handle}}
}

func (h *OffsetForLeaderEpoch) handle(_ context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.OffsetForLeaderEpochRequest)
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for _, t := range req.Topics {
		if len(t.Partitions) == 0 {
			continue // Apache Kafka answers by partition
		}
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		for _, q := range t.Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.EndOffset = q.Partition, -1, -1
			p, err := h.Replicas.Lookup(t.Topic, q.Partition)
			if err == nil {
				current := replication.NoEpoch
				if r.Version >= 2 {
					current = q.CurrentLeaderEpoch
				}
				rp.LeaderEpoch, rp.EndOffset, err = p.EndOffsetForEpoch(current, q.LeaderEpoch, true)
			}
			rp.ErrorCode = errorCode(err)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}
