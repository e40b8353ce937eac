package handlers

import (
	"context"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/controller/core"
)

// ClusterController is what brokers ask of the controller; *controller.Controller has it. Its answers carry the codes of the protocol, of
// which NOT_CONTROLLER is one.
type ClusterController interface {
	AlterIsr(ctx context.Context, broker int32, epoch int64, changes []core.IsrChange) (core.Answer, error)
	ControlledShutdown(ctx context.Context, broker int32, epoch int64) (core.Answer, error)
	Reassign(ctx context.Context, targets []core.Target) (core.Answer, error)
	Moves(ctx context.Context, partitions []core.TP) (core.Answer, error)
	Elect(ctx context.Context, partitions []core.TP, unclean bool) (core.Answer, error)
}

// Cluster serves what brokers and operators ask the controller: ControlledShutdown (0 to 3), AlterIsr (0), ElectLeaders (0 to 2),
// AlterPartitionReassignments (0) and ListPartitionReassignments (0).
type Cluster struct {
	Controller ClusterController
	Log        logrus.FieldLogger
}

// APIs returns the rows.
func (h *Cluster) APIs() []server.API {
	return []server.API{
		{Key: kmsg.ControlledShutdown, MinVersion: 0, MaxVersion: 3, ClusterAction: true, Handle: h.controlledShutdown},
		{Key: kmsg.AlterPartition, MinVersion: 0, MaxVersion: 0, ClusterAction: true, Handle: h.alterIsr},
		{Key: kmsg.ElectLeaders, MinVersion: 0, MaxVersion: 2, Handle: h.electLeaders},
		{Key: kmsg.AlterPartitionAssignments, MinVersion: 0, MaxVersion: 0, Handle: h.alterReassignments},
		{Key: kmsg.ListPartitionReassignments, MinVersion: 0, MaxVersion: 0, Handle: h.listReassignments},
	}
}

func (h *Cluster) controlledShutdown(ctx context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.ControlledShutdownRequest)
	resp := kmsg.NewPtrControlledShutdownResponse()
	epoch := req.BrokerEpoch
	if r.Version < 2 {
		epoch = -1
	}
	a, err := h.Controller.ControlledShutdown(ctx, req.BrokerID, epoch)
	if err != nil {
		return nil, err
	}
	resp.ErrorCode = a.Code
	for _, p := range a.Partitions {
		rp := kmsg.NewControlledShutdownResponsePartitionsRemaining()
		rp.Topic, rp.Partition = p.TP.Topic, p.TP.Partition
		resp.PartitionsRemaining = append(resp.PartitionsRemaining, rp)
	}
	return resp, nil
}

func (h *Cluster) alterIsr(ctx context.Context, _ *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.AlterPartitionRequest)
	resp := kmsg.NewPtrAlterPartitionResponse()
	var changes []core.IsrChange
	seen := map[core.TP]bool{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			c := core.IsrChange{TP: core.TP{Topic: t.Topic, Partition: p.Partition}, LeaderEpoch: p.LeaderEpoch, ISR: p.NewISR, Version: p.PartitionEpoch}
			if !seen[c.TP] {
				seen[c.TP] = true
				changes = append(changes, c)
			}
		}
	}
	a, err := h.Controller.AlterIsr(ctx, req.BrokerID, req.BrokerEpoch, changes)
	if err != nil {
		return nil, err
	}
	resp.ErrorCode = a.Code
	byTopic(a.Partitions, func(topic string) int {
		t := kmsg.NewAlterPartitionResponseTopic()
		t.Topic = topic
		resp.Topics = append(resp.Topics, t)
		return len(resp.Topics) - 1
	}, func(i int, p *core.PartitionAnswer) {
		rp := kmsg.NewAlterPartitionResponseTopicPartition()
		rp.Partition, rp.ErrorCode = p.TP.Partition, p.Code
		if p.Code == 0 {
			rp.LeaderID, rp.LeaderEpoch, rp.ISR, rp.PartitionEpoch = p.Leadership.Leader, p.Leadership.LeaderEpoch, p.Leadership.ISR, p.Leadership.Version
		}
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, rp)
	})
	if a.Code != 0 {
		h.Log.Infof("AlterIsr of broker %d is refused: %v", req.BrokerID, kerr.ErrorForCode(a.Code))
	}
	return resp, nil
}
