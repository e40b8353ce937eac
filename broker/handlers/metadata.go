package handlers

import (
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/internal/topicrules"
)

// What anyone may do while there is no authorizer, as bits numbered by Kafka's AclOperation: everything that exists for the resource.
const (
	topicOperations   int32 = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations int32 = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

func (a *Admin) metadata(ctx context.Context, r *server.Request, req *kmsg.MetadataRequest) kmsg.Response {
	resp := kmsg.NewPtrMetadataResponse()
	// Version 0 has no null and means all topics by an empty list.
	all := req.Topics == nil || r.Version == 0 && len(req.Topics) == 0
	allowCreate := req.AllowAutoTopicCreation || r.Version < 4

	var names []string
	if !all {
		names = make([]string, 0, len(req.Topics))
		seen := make(map[string]bool, len(req.Topics))
		for i := range req.Topics {
			name := ""
			if t := req.Topics[i].Topic; t != nil {
				name = *t
			}
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	view, topics, missing, controller := a.Metadata.Answer(names, r.Listener, r.Version)
	for _, name := range missing {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic, t.IsInternal = &name, topicrules.IsInternal(name)
		t.ErrorCode = a.missingTopic(ctx, name, allowCreate)
		topics = append(topics, t)
	}
	resp.Topics, resp.Brokers, resp.ControllerID = topics, view.Brokers(), controller
	if id := a.Metadata.ClusterID(); id != "" {
		resp.ClusterID = &id
	}
	resp.AuthorizedOperations = math.MinInt32
	if r.Version >= 8 {
		if req.IncludeClusterAuthorizedOperations {
			resp.AuthorizedOperations = clusterOperations
		}
		for i := range topics {
			topics[i].AuthorizedOperations = math.MinInt32
			if req.IncludeTopicAuthorizedOperations {
				topics[i].AuthorizedOperations = topicOperations
			}
		}
	}
	return resp
}

// missingTopic answers for a topic that the metadata do not have, creating it where that is wanted.
func (a *Admin) missingTopic(ctx context.Context, name string, allowCreate bool) int16 {
	if topicrules.IsInternal(name) {
		code := a.CreateInternalTopic(ctx, name)
		if code == kerr.CoordinatorNotAvailable.Code {
			code = kerr.InvalidReplicationFactor.Code
		}
		return code
	}
	if c := a.Config(); allowCreate && c.Topics.AutoCreate {
		return a.autoCreate(ctx, name, int(c.Topics.Partitions), int(c.Topics.ReplicationFactor), nil)
	}
	return kerr.UnknownTopicOrPartition.Code
}
