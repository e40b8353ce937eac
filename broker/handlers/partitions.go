package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/internal/topicrules"
	"gregor/zkmeta"
)

func (a *Admin) createPartitions(ctx context.Context, _ *server.Request, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	count := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		count[req.Topics[i].Topic]++
	}
	controller := a.IsController()
	growing := make(map[int]int) // index in the response -> number of partitions to come
	answered := make(map[string]bool, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		if answered[t.Topic] {
			continue
		}
		answered[t.Topic] = true
		var f *fault
		switch {
		case !controller:
			f = failure(kerr.NotController, "")
		case count[t.Topic] > 1:
			f = failure(kerr.InvalidRequest, "Duplicate topic in request.")
		default:
			f = a.growTopic(ctx, t, req.ValidateOnly)
		}
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic = t.Topic
		out.ErrorCode, out.ErrorMessage = f.get()
		if f == nil && !req.ValidateOnly {
			growing[len(resp.Topics)] = int(t.Count)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if len(growing) == 0 {
		return resp
	}
	ready := func(i int) bool { return a.Metadata.AllLed(resp.Topics[i].Topic, growing[i]) }
	all := func() bool {
		for i := range growing {
			if !ready(i) {
				return false
			}
		}
		return true
	}
	if req.TimeoutMillis > 0 && a.await(ctx, req.TimeoutMillis, all) {
		return resp
	}
	for i := range growing {
		if req.TimeoutMillis <= 0 || !ready(i) {
			resp.Topics[i].ErrorCode = kerr.RequestTimedOut.Code
		}
	}
	return resp
}

// growTopic validates the new partitions of a topic and, unless that is all, writes them to ZooKeeper.
func (a *Admin) growTopic(ctx context.Context, t *kmsg.CreatePartitionsRequestTopic, validateOnly bool) *fault {
	marked, err := a.ZK.TopicMarkedForDeletion(ctx, t.Topic)
	if err != nil {
		return a.unexpected("looking at topic", t.Topic, err)
	}
	if marked {
		return failure(kerr.InvalidTopicException, "The topic is queued for deletion.")
	}
	info, err := a.ZK.Topic(ctx, t.Topic)
	if errors.Is(err, zkmeta.ErrUnknownTopic) {
		return failure(kerr.UnknownTopicOrPartition, "The topic '"+t.Topic+"' does not exist.")
	}
	if err != nil {
		return a.unexpected("reading topic", t.Topic, err)
	}
	full := make(map[int32][]int32, len(info.Partitions))
	for p, r := range info.Partitions {
		if len(r.Adding)+len(r.Removing) > 0 {
			return failure(kerr.ReassignmentInProgress, "A partition reassignment is in progress for the topic '"+t.Topic+"'.")
		}
		full[p] = r.Replicas
	}
	added, f := a.newPartitions(t, full)
	if f != nil || validateOnly {
		return f
	}
	for p, r := range added {
		full[p] = r
	}
	if err := a.ZK.AddPartitions(ctx, t.Topic, full); errors.Is(err, zkmeta.ErrTooLarge) {
		return tooManyPartitions(t.Topic, len(full), err)
	} else if err != nil {
		return a.unexpected("adding partitions to topic", t.Topic, err)
	}
	return nil
}

func (a *Admin) newPartitions(t *kmsg.CreatePartitionsRequestTopic, existing map[int32][]int32) (map[int32][]int32, *fault) {
	have := int32(len(existing))
	more := t.Count - have
	switch {
	case have == 0:
		return nil, failure(kerr.UnknownTopicOrPartition, "The topic '"+t.Topic+"' does not exist.")
	case more < 0:
		return nil, failure(kerr.InvalidPartitions, fmt.Sprintf("Topic currently has %d partitions, which is higher than the requested %d.", have, t.Count))
	case more == 0:
		return nil, failure(kerr.InvalidPartitions, fmt.Sprintf("Topic already has %d partitions.", have))
	case len(existing[0]) == 0:
		a.Log.Errorf("Unexpected existing replica assignment for topic '%s', partition id 0 is missing. Assignment: %v", t.Topic, existing)
		return nil, failure(kerr.UnknownServerError, "")
	}
	brokers := a.brokersForPlacement(false)
	rf := len(existing[0])
	if t.Assignment == nil {
		start := slices.IndexFunc(brokers, func(b topicrules.Broker) bool { return b.ID >= existing[0][0] })
		return a.assign(brokers, int(more), rf, have, max(0, start))
	}
	manual := make([][]int32, len(t.Assignment))
	var unknown []string
	for i := range t.Assignment {
		manual[i] = t.Assignment[i].Replicas
		for _, id := range manual[i] {
			s := strconv.Itoa(int(id))
			if !slices.ContainsFunc(brokers, func(b topicrules.Broker) bool { return b.ID == id }) && !slices.Contains(unknown, s) {
				unknown = append(unknown, s)
			}
		}
	}
	if len(unknown) > 0 {
		return nil, failure(kerr.InvalidReplicaAssignment, "Unknown broker(s) in replica assignment: "+strings.Join(unknown, ", ")+".")
	}
	if len(manual) != int(more) {
		return nil, failure(kerr.InvalidReplicaAssignment, fmt.Sprintf("Increasing the number of partitions by %d but %d assignments provided.", more, len(manual)))
	}
	if err := topicrules.CheckNewReplicas(manual, have, rf); err != nil {
		return nil, failure(kerr.InvalidReplicaAssignment, err.Error())
	}
	added := make(map[int32][]int32, len(manual))
	for i, r := range manual {
		added[have+int32(i)] = r
	}
	return added, nil
}
