package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/coordinator/group/fsm"
	"gregor/internal/topicrules"
)

const offsetsTopic = topicrules.OffsetsTopic

func (h *Groups) exists(topic string, partition int32) bool {
	_, ok := h.Metadata.Partition(topic, partition)
	return ok
}

// placedCommit is a commit and where its answer goes.
type placedCommit struct{ topic, partition int }

func (h *Groups) fetchOffsets(ctx context.Context, r *server.Request, req *kmsg.OffsetFetchRequest) kmsg.Response {
	if r.Version == 0 {
		return h.fetchOffsets0(ctx, req)
	}
	resp := kmsg.NewPtrOffsetFetchResponse()
	all := r.Version >= 2 && req.Topics == nil
	var tps []fsm.TP
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			tps = append(tps, fsm.TP{Topic: req.Topics[i].Topic, Partition: p})
		}
	}
	fetched, code := h.Coordinator.Fetch(req.Group, tps, all, r.Version >= 7 && req.RequireStable)
	if code != 0 {
		if r.Version >= 2 {
			resp.ErrorCode = code
			return resp
		}
		for _, tp := range tps {
			addFetched(resp, tp, nil, code)
		}
		return resp
	}
	for i := range fetched {
		addFetched(resp, fetched[i].TP, fetched[i].Offset, fetched[i].Code)
	}
	return resp
}

// addFetched adds a partition to the answer; those of a topic follow each other.
func addFetched(resp *kmsg.OffsetFetchResponse, tp fsm.TP, o *fsm.Offset, code int16) {
	if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != tp.Topic {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = tp.Topic
		resp.Topics = append(resp.Topics, t)
	}
	p := kmsg.NewOffsetFetchResponseTopicPartition()
	metadata := ""
	p.Partition, p.Offset, p.LeaderEpoch, p.ErrorCode = tp.Partition, -1, -1, code
	if o != nil {
		p.Offset, p.LeaderEpoch, metadata = o.Offset, o.LeaderEpoch, o.Metadata
	}
	p.Metadata = &metadata
	t := &resp.Topics[len(resp.Topics)-1]
	t.Partitions = append(t.Partitions, p)
}

func (h *Groups) fetchOffsets0(ctx context.Context, req *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetFetchResponse()
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			tp, code := fsm.TP{Topic: t.Topic, Partition: p}, kerr.UnknownTopicOrPartition.Code
			if !h.exists(t.Topic, p) {
				addFetched(resp, tp, nil, code)
				continue
			}
			offset, ok, err := h.Offsets0.ConsumerOffset(ctx, req.Group, t.Topic, p)
			switch {
			case err != nil:
				h.Log.Errorf("Reading the offset of group %s for %s-%d from ZooKeeper failed: %v", req.Group, t.Topic, p, err)
				addFetched(resp, tp, nil, kerr.UnknownServerError.Code)
			case !ok:
				addFetched(resp, tp, nil, code)
			default:
				addFetched(resp, tp, &fsm.Offset{Offset: offset, LeaderEpoch: -1}, 0)
			}
		}
	}
	return resp
}

func (h *Groups) deleteOffsets(_ context.Context, r *server.Request) error {
	req, err := decode(r, kmsg.NewPtrOffsetDeleteRequest())
	if err != nil {
		return err
	}
	resp := kmsg.NewPtrOffsetDeleteResponse()
	var parts []fsm.Commit
	var places []placedCommit
	for i, t := range req.Topics {
		rt := kmsg.NewOffsetDeleteResponseTopic()
		rt.Topic = t.Topic
		for j, p := range t.Partitions {
			rp := kmsg.NewOffsetDeleteResponseTopicPartition()
			rp.Partition = p.Partition
			if h.exists(t.Topic, p.Partition) {
				parts = append(parts, fsm.Commit{TP: fsm.TP{Topic: t.Topic, Partition: p.Partition}})
				places = append(places, placedCommit{i, j})
			} else {
				rp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	h.Coordinator.DeleteOffsets(req.Group, parts, func(code int16) {
		if code != 0 {
			resp.ErrorCode, resp.Topics = code, nil
		}
		for i, at := range places {
			if code == 0 {
				resp.Topics[at.topic].Partitions[at.partition].ErrorCode = parts[i].Code
			}
		}
		r.CompleteMessage(resp)
	})
	return nil
}
