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

// once returns topics that name each partition once, as Kafka's maps do: the last mention counts, and a topic without partitions does not.
func once[T, P any](topics []T, of func(*T) (string, *[]P), number func(*P) int32) []T {
	type place struct{ topic, partition int }
	names, places := make(map[string]int, len(topics)), map[fsm.TP]place{}
	var out []T
	for i := range topics {
		name, parts := of(&topics[i])
		if len(topics) == 1 && len(*parts) == 1 {
			return topics // as most are
		}
		from := *parts
		for j := range from {
			tp := fsm.TP{Topic: name, Partition: number(&from[j])}
			if at, twice := places[tp]; twice {
				_, parts := of(&out[at.topic])
				(*parts)[at.partition] = from[j]
				continue
			}
			at, has := names[name]
			if !has {
				at = len(out)
				names[name] = at
				out = append(out, topics[i])
				_, parts := of(&out[at])
				*parts = make([]P, 0, len(from))
			}
			_, parts := of(&out[at])
			places[tp] = place{at, len(*parts)}
			*parts = append(*parts, from[j])
		}
	}
	return out
}

// placedCommit is a commit and where its answer goes.
type placedCommit struct{ topic, partition int }

func (h *Groups) fetchOffsets(ctx context.Context, r *server.Request, req *kmsg.OffsetFetchRequest) kmsg.Response {
	all := r.Version >= 2 && req.Topics == nil
	req.Topics = once(req.Topics, func(t *kmsg.OffsetFetchRequestTopic) (string, *[]int32) { return t.Topic, &t.Partitions }, func(p *int32) int32 { return *p })
	if r.Version == 0 {
		return h.fetchOffsets0(ctx, req)
	}
	resp := kmsg.NewPtrOffsetFetchResponse()
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
	req.Topics = once(req.Topics, func(t *kmsg.OffsetDeleteRequestTopic) (string, *[]kmsg.OffsetDeleteRequestTopicPartition) {
		return t.Topic, &t.Partitions
	},
		func(p *kmsg.OffsetDeleteRequestTopicPartition) int32 { return p.Partition })
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
