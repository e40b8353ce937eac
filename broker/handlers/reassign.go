package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/controller/core"
)

// byTopic calls add for each partition of an answer with the index of its topic's entry, which open makes when it is new.
func byTopic(parts []core.PartitionAnswer, open func(topic string) int, add func(i int, p *core.PartitionAnswer)) {
	at := map[string]int{}
	for j := range parts {
		p := &parts[j]
		i, ok := at[p.TP.Topic]
		if !ok {
			i = open(p.TP.Topic)
			at[p.TP.Topic] = i
		}
		add(i, p)
	}
}

// text is the message of a partition's error: what the controller says, else the code's own; nil without an error.
func text(p *core.PartitionAnswer) *string {
	if p.Code == 0 {
		return nil
	}
	if p.Text != "" {
		return &p.Text
	}
	words := ""
	switch p.Code { // as Kafka's controller words them; commands print them
	case kerr.UnknownTopicOrPartition.Code:
		words = "The partition does not exist."
	case kerr.PreferredLeaderNotAvailable.Code:
		words = "Failed to elect leader for partition " + p.TP.String() + " under strategy PreferredReplicaPartitionLeaderElectionStrategy"
	case kerr.EligibleLeadersNotAvailable.Code:
		words = "Failed to elect leader for partition " + p.TP.String() + " under strategy OfflinePartitionLeaderElectionStrategy(true)"
	default:
		return errorText(p.Code)
	}
	return &words
}

func errorText(code int16) *string {
	if e := kerr.TypedErrorForCode(code); e != nil {
		return &e.Description
	}
	return nil
}

func (h *Cluster) alterReassignments(ctx context.Context, _ *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.AlterPartitionAssignmentsRequest)
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	var targets []core.Target
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			targets = append(targets, core.Target{TP: core.TP{Topic: t.Topic, Partition: p.Partition}, Replicas: p.Replicas})
		}
	}
	a, err := h.Controller.Reassign(ctx, lastOfEach(targets))
	if err != nil {
		return nil, err
	}
	if resp.ErrorCode = a.Code; a.Code != 0 {
		resp.ErrorMessage = errorText(a.Code)
	}
	byTopic(a.Partitions, func(topic string) int {
		t := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		t.Topic = topic
		resp.Topics = append(resp.Topics, t)
		return len(resp.Topics) - 1
	}, func(i int, p *core.PartitionAnswer) {
		rp := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.ErrorMessage = p.TP.Partition, p.Code, text(p)
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, rp)
	})
	return resp, nil
}

// lastOfEach: of several targets of one partition the last counts.
func lastOfEach(targets []core.Target) []core.Target {
	at := map[core.TP]int{}
	out := targets[:0]
	for _, t := range targets {
		if i, ok := at[t.TP]; ok {
			out[i] = t
			continue
		}
		at[t.TP] = len(out)
		out = append(out, t)
	}
	return out
}

// named lists the partitions that a request names in n topics; nil when it means all.
func named(all bool, n int, topic func(i int) (string, []int32)) []core.TP {
	if all {
		return nil
	}
	tps := []core.TP{}
	for i := range n {
		name, partitions := topic(i)
		for _, p := range partitions {
			tps = append(tps, core.TP{Topic: name, Partition: p})
		}
	}
	return tps
}

func (h *Cluster) listReassignments(ctx context.Context, _ *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.ListPartitionReassignmentsRequest)
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	tps := named(req.Topics == nil, len(req.Topics), func(i int) (string, []int32) { return req.Topics[i].Topic, req.Topics[i].Partitions })
	a, err := h.Controller.Moves(ctx, tps)
	if err != nil {
		return nil, err
	}
	if resp.ErrorCode = a.Code; a.Code != 0 {
		resp.ErrorMessage = errorText(a.Code)
	}
	byTopic(a.Partitions, func(topic string) int {
		t := kmsg.NewListPartitionReassignmentsResponseTopic()
		t.Topic = topic
		resp.Topics = append(resp.Topics, t)
		return len(resp.Topics) - 1
	}, func(i int, p *core.PartitionAnswer) {
		rp := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		rp.Partition = p.TP.Partition
		rp.Replicas, rp.AddingReplicas, rp.RemovingReplicas = p.Assignment.Replicas, p.Assignment.Adding, p.Assignment.Removing
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, rp)
	})
	return resp, nil
}

func (h *Cluster) electLeaders(ctx context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.ElectLeadersRequest)
	resp := kmsg.NewPtrElectLeadersResponse()
	tps := named(req.Topics == nil, len(req.Topics), func(i int) (string, []int32) { return req.Topics[i].Topic, req.Topics[i].Partitions })
	a, err := h.Controller.Elect(ctx, tps, r.Version >= 1 && req.ElectionType == 1)
	if err != nil {
		return nil, err
	}
	if a.Code != 0 { // Kafka says it of each partition
		for _, tp := range tps {
			a.Partitions = append(a.Partitions, core.PartitionAnswer{TP: tp, Code: a.Code})
		}
	}
	byTopic(a.Partitions, func(topic string) int {
		t := kmsg.NewElectLeadersResponseTopic()
		t.Topic = topic
		resp.Topics = append(resp.Topics, t)
		return len(resp.Topics) - 1
	}, func(i int, p *core.PartitionAnswer) {
		rp := kmsg.NewElectLeadersResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.ErrorMessage = p.TP.Partition, p.Code, text(p)
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, rp)
	})
	return resp, nil
}
