package controller

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/controller/core"
)

// encode makes the messages of a request, of the versions that inter.broker.protocol.version stands for. It is one message but for
// StopReplica below version 3, which cannot mix partitions to delete with others.
func encode(t *term, r core.Request) []kmsg.Request {
	switch {
	case r.LeaderAndIsr != nil:
		return []kmsg.Request{encodeLeaderAndIsr(t, r)}
	case r.UpdateMetadata != nil:
		return []kmsg.Request{encodeUpdateMetadata(t, r)}
	default:
		return encodeStopReplica(t, r)
	}
}

func encodeLeaderAndIsr(t *term, r core.Request) kmsg.Request {
	m := kmsg.NewPtrLeaderAndISRRequest()
	m.Version = t.c.opt.Config.LeaderAndIsr
	m.ControllerID, m.ControllerEpoch, m.BrokerEpoch = t.c.opt.BrokerID, t.epoch.Epoch, r.BrokerEpoch
	at := map[string]int{}
	for _, p := range r.LeaderAndIsr.Partitions {
		kp := kmsg.NewLeaderAndISRRequestTopicPartition()
		kp.Topic, kp.Partition = p.TP.Topic, p.TP.Partition
		kp.ControllerEpoch, kp.Leader, kp.LeaderEpoch = p.Leadership.ControllerEpoch, p.Leadership.Leader, p.Leadership.LeaderEpoch
		kp.ISR, kp.ZKVersion = p.Leadership.ISR, p.Leadership.Version
		kp.Replicas, kp.AddingReplicas, kp.RemovingReplicas = p.Assignment.Replicas, p.Assignment.Adding, p.Assignment.Removing
		kp.IsNew = p.New
		if m.Version < 2 {
			m.PartitionStates = append(m.PartitionStates, kp)
			continue
		}
		i, ok := at[kp.Topic]
		if !ok {
			i = len(m.TopicStates)
			at[kp.Topic] = i
			ts := kmsg.NewLeaderAndISRRequestTopicState()
			ts.Topic = kp.Topic
			m.TopicStates = append(m.TopicStates, ts)
		}
		m.TopicStates[i].PartitionStates = append(m.TopicStates[i].PartitionStates, kp)
	}
	for _, b := range r.LeaderAndIsr.Leaders {
		l := kmsg.NewLeaderAndISRRequestLiveLeader()
		l.BrokerID = b.ID
		host, port, err := endpointOf(b, t.c.opt.Config.InterBrokerListener)
		if err != nil {
			continue // a follower could not reach it either
		}
		l.Host, l.Port = host, port
		m.LiveLeaders = append(m.LiveLeaders, l)
	}
	return m
}

var protocolIDs = map[string]int16{"PLAINTEXT": 0, "SSL": 1, "SASL_PLAINTEXT": 2, "SASL_SSL": 3}

func encodeUpdateMetadata(t *term, r core.Request) kmsg.Request {
	m := kmsg.NewPtrUpdateMetadataRequest()
	m.Version = t.c.opt.Config.UpdateMetadata
	m.ControllerID, m.ControllerEpoch, m.BrokerEpoch = t.c.opt.BrokerID, t.epoch.Epoch, r.BrokerEpoch
	at := map[string]int{}
	for _, p := range r.UpdateMetadata.Partitions {
		kp := kmsg.NewUpdateMetadataRequestTopicPartition()
		kp.Topic, kp.Partition = p.TP.Topic, p.TP.Partition
		kp.ControllerEpoch, kp.Leader, kp.LeaderEpoch = p.Leadership.ControllerEpoch, p.Leadership.Leader, p.Leadership.LeaderEpoch
		kp.ISR, kp.ZKVersion = p.Leadership.ISR, p.Leadership.Version
		kp.Replicas, kp.OfflineReplicas = p.Replicas, p.Offline
		if m.Version < 5 {
			m.PartitionStates = append(m.PartitionStates, kp)
			continue
		}
		i, ok := at[kp.Topic]
		if !ok {
			i = len(m.TopicStates)
			at[kp.Topic] = i
			ts := kmsg.NewUpdateMetadataRequestTopicState()
			ts.Topic = kp.Topic
			m.TopicStates = append(m.TopicStates, ts)
		}
		m.TopicStates[i].PartitionStates = append(m.TopicStates[i].PartitionStates, kp)
	}
	for _, b := range r.UpdateMetadata.Brokers {
		kb := kmsg.NewUpdateMetadataRequestLiveBroker()
		kb.ID, kb.Rack = b.ID, b.Rack
		for _, e := range b.Endpoints {
			ke := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
			ke.Host, ke.Port, ke.ListenerName, ke.SecurityProtocol = e.Host, e.Port, e.Listener, protocolIDs[e.Protocol]
			kb.Endpoints = append(kb.Endpoints, ke)
			if e.Protocol == "PLAINTEXT" && kb.Host == "" {
				kb.Host, kb.Port = e.Host, e.Port // version 0 knows nothing else
			}
		}
		m.LiveBrokers = append(m.LiveBrokers, kb)
	}
	return m
}

func encodeStopReplica(t *term, r core.Request) []kmsg.Request {
	version := t.c.opt.Config.StopReplica
	groups := [][]core.StopPartition{r.StopReplica.Partitions}
	if version < 3 {
		groups = make([][]core.StopPartition, 2)
		for _, p := range r.StopReplica.Partitions {
			i := 0
			if p.Delete {
				i = 1
			}
			groups[i] = append(groups[i], p)
		}
	}
	var out []kmsg.Request
	for _, ps := range groups {
		if len(ps) == 0 {
			continue
		}
		m := kmsg.NewPtrStopReplicaRequest()
		m.Version = version
		m.ControllerID, m.ControllerEpoch, m.BrokerEpoch = t.c.opt.BrokerID, t.epoch.Epoch, r.BrokerEpoch
		m.DeletePartitions = ps[0].Delete
		at := map[string]int{}
		for _, p := range ps {
			i, ok := at[p.TP.Topic]
			if !ok || version < 1 {
				i = len(m.Topics)
				at[p.TP.Topic] = i
				kt := kmsg.NewStopReplicaRequestTopic()
				kt.Topic, kt.Partition = p.TP.Topic, p.TP.Partition
				m.Topics = append(m.Topics, kt)
			}
			kt := &m.Topics[i]
			kt.Partitions = append(kt.Partitions, p.TP.Partition)
			sp := kmsg.NewStopReplicaRequestTopicPartitionState()
			sp.Partition, sp.LeaderEpoch, sp.Delete = p.TP.Partition, p.LeaderEpoch, p.Delete
			kt.PartitionStates = append(kt.PartitionStates, sp)
		}
		out = append(out, m)
	}
	return out
}
