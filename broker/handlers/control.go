package handlers

import (
	"context"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/replication"
	"gregor/storage"
)

// MetadataSink takes over what the controller says about the cluster.
type MetadataSink interface {
	Apply(*kmsg.UpdateMetadataRequest) (deleted []storage.TopicPartition)
}

// Control serves what the controller sends: LeaderAndIsr (0 to 4), StopReplica (0 to 3) and UpdateMetadata (0 to 6).
type Control struct {
	Replicas *replication.Manager
	Metadata MetadataSink
	// BrokerEpoch is the czxid of this broker's registration: requests meant for an earlier registration are refused.
	BrokerEpoch func() int64
	// Deleted, if set, is told the partitions that are no more.
	Deleted func([]storage.TopicPartition)
	Log     logrus.FieldLogger
}

// APIs returns the rows.
func (h *Control) APIs() []server.API {
	return []server.API{
		{Key: kmsg.LeaderAndISR, MinVersion: 0, MaxVersion: 4, ClusterAction: true, Handle: h.leaderAndISR},
		{Key: kmsg.StopReplica, MinVersion: 0, MaxVersion: 3, ClusterAction: true, Handle: h.stopReplica},
		{Key: kmsg.UpdateMetadata, MinVersion: 0, MaxVersion: 6, ClusterAction: true, Handle: h.updateMetadata},
	}
}

func (h *Control) stale(name string, epoch int64) bool {
	if epoch == -1 || h.BrokerEpoch == nil {
		return false
	}
	current := h.BrokerEpoch()
	if epoch < current {
		h.Log.Infof("Ignoring a %s request with broker epoch %d, which is older than the present one, %d", name, epoch, current)
		return true
	}
	return false
}

func (h *Control) leaderAndISR(_ context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.LeaderAndISRRequest)
	in := &replication.LeaderAndIsr{ControllerID: req.ControllerID, ControllerEpoch: req.ControllerEpoch}
	add := func(topic string, s *kmsg.LeaderAndISRRequestTopicPartition) {
		in.Partitions = append(in.Partitions, replication.PartitionState{
			TopicPartition: storage.TopicPartition{Topic: topic, Partition: s.Partition},
			State: replication.State{ControllerEpoch: s.ControllerEpoch, Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, ISR: s.ISR,
				ZKVersion: s.ZKVersion, Replicas: s.Replicas, AddingReplicas: s.AddingReplicas, RemovingReplicas: s.RemovingReplicas,
				IsNew: s.IsNew},
		})
	}
	for i := range req.PartitionStates {
		add(req.PartitionStates[i].Topic, &req.PartitionStates[i])
	}
	for i := range req.TopicStates {
		for j := range req.TopicStates[i].PartitionStates {
			add(req.TopicStates[i].Topic, &req.TopicStates[i].PartitionStates[j])
		}
	}
	resp := kmsg.NewPtrLeaderAndISRResponse()
	if h.stale("LeaderAndIsr", req.BrokerEpoch) && r.Version >= 2 {
		resp.ErrorCode = kerr.StaleBrokerEpoch.Code
	} else if err := h.Replicas.BecomeLeaderOrFollower(in); err != nil {
		h.Log.Warnf("Ignoring the LeaderAndIsr request of controller %d: %v", req.ControllerID, err)
		resp.ErrorCode = errorCode(err)
	}
	resp.Partitions = make([]kmsg.LeaderAndISRResponseTopicPartition, len(in.Partitions))
	for i := range in.Partitions {
		rp := &resp.Partitions[i]
		rp.Default()
		rp.Topic, rp.Partition = in.Partitions[i].Topic, in.Partitions[i].Partition
		if rp.ErrorCode = resp.ErrorCode; rp.ErrorCode == 0 {
			rp.ErrorCode = errorCode(in.Partitions[i].Err)
		}
	}
	return resp, nil
}

func (h *Control) stopReplica(_ context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.StopReplicaRequest)
	resp := kmsg.NewPtrStopReplicaResponse()
	if r.Version >= 1 && h.stale("StopReplica", req.BrokerEpoch) {
		resp.ErrorCode = kerr.StaleBrokerEpoch.Code
		return resp, nil
	}
	var parts []replication.StopState
	for _, t := range req.Topics {
		switch {
		case r.Version == 0:
			parts = append(parts, stopState(t.Topic, t.Partition, replication.NoEpoch, req.DeletePartitions))
		case r.Version < 3:
			for _, p := range t.Partitions {
				parts = append(parts, stopState(t.Topic, p, replication.NoEpoch, req.DeletePartitions))
			}
		default:
			for _, p := range t.PartitionStates {
				parts = append(parts, stopState(t.Topic, p.Partition, p.LeaderEpoch, p.Delete))
			}
		}
	}
	if err := h.Replicas.StopReplicas(req.ControllerEpoch, parts); err != nil {
		h.Log.Warnf("Ignoring the StopReplica request of controller %d: %v", req.ControllerID, err)
		resp.ErrorCode = errorCode(err)
		return resp, nil
	}
	for i := range parts {
		rp := kmsg.NewStopReplicaResponsePartition()
		rp.Topic, rp.Partition, rp.ErrorCode = parts[i].Topic, parts[i].Partition, errorCode(parts[i].Err)
		if parts[i].Err != nil {
			h.Log.Warnf("StopReplica of controller %d for partition %v: %v", req.ControllerID, parts[i].TopicPartition, parts[i].Err)
		}
		resp.Partitions = append(resp.Partitions, rp)
	}
	return resp, nil
}

func stopState(topic string, partition, epoch int32, del bool) replication.StopState {
	return replication.StopState{TopicPartition: storage.TopicPartition{Topic: topic, Partition: partition}, LeaderEpoch: epoch, Delete: del}
}

func (h *Control) updateMetadata(_ context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.UpdateMetadataRequest)
	resp := kmsg.NewPtrUpdateMetadataResponse()
	if r.Version >= 5 && h.stale("UpdateMetadata", req.BrokerEpoch) {
		resp.ErrorCode = kerr.StaleBrokerEpoch.Code
		return resp, nil
	}
	if err := h.Replicas.UpdateControllerEpoch(req.ControllerEpoch); err != nil {
		h.Log.Warnf("Ignoring the UpdateMetadata request of controller %d: %v", req.ControllerID, err)
		resp.ErrorCode = errorCode(err)
		return resp, nil
	}
	if deleted := h.Metadata.Apply(req); len(deleted) > 0 && h.Deleted != nil {
		h.Deleted(deleted)
	}
	return resp, nil
}
