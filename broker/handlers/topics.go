package handlers

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/config"
	"gregor/broker/server"
	"gregor/internal/topicrules"
	"gregor/zkmeta"
)

// lister lists the topics that there are.
type lister func() ([]string, error)

// createTopicsAtOnce is how many topics of a request are on their way to ZooKeeper at a time.
const createTopicsAtOnce = 64

func (a *Admin) createTopics(ctx context.Context, _ *server.Request, req *kmsg.CreateTopicsRequest) kmsg.Response {
	resp := kmsg.NewPtrCreateTopicsResponse()
	resp.Topics = make([]kmsg.CreateTopicsResponseTopic, len(req.Topics))
	count := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor, t.Configs = req.Topics[i].Topic, -1, -1, []kmsg.CreateTopicsResponseTopicConfig{}
		resp.Topics[i] = t
		count[t.Topic]++
	}
	var todo []int // indexes of what may be created
	controller := a.IsController()
	created := make(map[int]int) // index in the request -> number of partitions
	for i := range req.Topics {
		out := &resp.Topics[i]
		var f *fault
		switch {
		case !controller:
			out.ErrorCode, out.ErrorMessage = kerr.NotController.Code, new(string) // empty and not null, as Apache Kafka's
			continue
		case count[out.Topic] > 1:
			f = failure(kerr.InvalidRequest, "Found multiple entries for this topic.")
		default:
			todo = append(todo, i)
			continue
		}
		out.ErrorCode, out.ErrorMessage = f.get()
	}
	for i, n := range a.createEach(ctx, req, resp, todo) {
		if resp.Topics[i].ErrorCode == 0 && !req.ValidateOnly {
			created[i] = n
		}
	}
	if len(created) == 0 {
		return resp
	}
	ready := func(i int) bool { return a.Metadata.AllLed(req.Topics[i].Topic, created[i]) }
	all := func() bool {
		for i := range created {
			if !ready(i) {
				return false
			}
		}
		return true
	}
	// With no time to wait, Kafka says that time ran out even where the topic is there already.
	if req.TimeoutMillis > 0 && a.await(ctx, req.TimeoutMillis, all) {
		return resp
	}
	for i := range created {
		if req.TimeoutMillis <= 0 || !ready(i) {
			out := &resp.Topics[i]
			out.ErrorCode, out.ErrorMessage = kerr.RequestTimedOut.Code, nil
			out.NumPartitions, out.ReplicationFactor, out.Configs = -1, -1, []kmsg.CreateTopicsResponseTopicConfig{}
		}
	}
	return resp
}

// createEach makes the topics of the request with these indexes, side by side, so that the writes share ZooKeeper's round trips and its
// syncs, and with one look at the topics there are. Names that collide with one another go in order. It returns the number of partitions
// of each.
func (a *Admin) createEach(ctx context.Context, req *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse, todo []int) map[int]int {
	partitions := make([]int, len(req.Topics))
	one := func(i int, existing lister) {
		var f *fault
		partitions[i], f = a.createTopic(ctx, &req.Topics[i], req.ValidateOnly, existing, &resp.Topics[i])
		resp.Topics[i].ErrorCode, resp.Topics[i].ErrorMessage = f.get()
	}
	alike := make(map[string]int, len(todo))
	for _, i := range todo {
		alike[topicrules.MetricName(req.Topics[i].Topic)]++
	}
	var alone, together []int
	for _, i := range todo {
		if alike[topicrules.MetricName(req.Topics[i].Topic)] > 1 {
			alone = append(alone, i)
		} else {
			together = append(together, i)
		}
	}
	existing := sync.OnceValues(func() ([]string, error) { return a.ZK.Topics(ctx) })
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(createTopicsAtOnce, len(together)) {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(together); n = int(next.Add(1)) - 1 {
				one(together[n], existing)
			}
		})
	}
	wg.Wait()
	for _, i := range alone {
		one(i, func() ([]string, error) { return a.ZK.Topics(ctx) })
	}
	out := make(map[int]int, len(todo))
	for _, i := range todo {
		out[i] = partitions[i]
	}
	return out
}

// createTopic validates one topic and, unless that is all, writes it to ZooKeeper. It returns the number of its partitions.
func (a *Admin) createTopic(ctx context.Context, t *kmsg.CreateTopicsRequestTopic, validateOnly bool, existing lister, out *kmsg.CreateTopicsResponseTopic) (int, *fault) {
	if a.Metadata.Contains(t.Topic) {
		return 0, topicExists(t.Topic)
	}
	settings, f := topicSettings(t.Configs)
	if f != nil {
		return 0, f
	}
	assignment, f := a.wantedAssignment(t)
	if f == nil {
		f = a.validateNew(ctx, t.Topic, assignment, settings, existing)
	}
	if f == nil && !validateOnly {
		f = a.writeTopic(ctx, t.Topic, assignment, settings)
	}
	if f != nil {
		a.Log.Infof("Error processing create topic request for topic %s: %v: %s", t.Topic, kerr.ErrorForCode(f.code), f.message)
		return 0, f
	}
	out.NumPartitions, out.ReplicationFactor = int32(len(assignment)), int16(len(assignment[0]))
	for _, e := range a.Config().DescribeTopic(settings) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source, c.IsSensitive, c.ReadOnly = e.Name, e.Value, int8(e.Source), e.Sensitive, e.ReadOnly
		out.Configs = append(out.Configs, c)
	}
	return len(assignment), nil
}

func topicSettings(configs []kmsg.CreateTopicsRequestTopicConfig) (map[string]string, *fault) {
	settings := make(map[string]string, len(configs))
	var nulls []string
	for _, c := range configs {
		if c.Value == nil {
			nulls = append(nulls, c.Name)
			continue
		}
		settings[c.Name] = *c.Value
	}
	if len(nulls) > 0 {
		return nil, failure(kerr.InvalidRequest, "Null value not supported for topic configs : "+strings.Join(nulls, ","))
	}
	return settings, nil
}

// wantedAssignment is the one that the request gives, or one of ours. -1 stands for the broker's defaults.
func (a *Admin) wantedAssignment(t *kmsg.CreateTopicsRequestTopic) (map[int32][]int32, *fault) {
	if len(t.ReplicaAssignment) > 0 {
		if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
			return nil, failure(kerr.InvalidRequest, "Both numPartitions or replicationFactor and replicasAssignments were set. "+
				"Both cannot be used at the same time.")
		}
		assignment := make(map[int32][]int32, len(t.ReplicaAssignment))
		for _, p := range t.ReplicaAssignment {
			assignment[p.Partition] = p.Replicas
		}
		if len(assignment) > maxPartitionsPerTopic {
			_, f := a.assign(nil, len(assignment), 1, 0, 0)
			return nil, f
		}
		return assignment, nil
	}
	d := a.Config().Topics
	partitions, rf := t.NumPartitions, t.ReplicationFactor
	if partitions == -1 {
		partitions = d.Partitions
	}
	if rf == -1 {
		rf = d.ReplicationFactor
	}
	return a.assign(a.brokersForPlacement(false), int(partitions), int(rf), 0, topicrules.Random)
}

// validateNew checks the name, the assignment and the settings of a topic that is to be made, in Kafka's order.
func (a *Admin) validateNew(ctx context.Context, name string, assignment map[int32][]int32, settings map[string]string, existing lister) *fault {
	if err := topicrules.ValidateName(name); err != nil {
		return failure(kerr.InvalidTopicException, err.Error())
	}
	exists, err := a.ZK.TopicExists(ctx, name)
	if err != nil {
		return a.unexpected("looking for topic", name, err)
	}
	if exists {
		return topicExists(name)
	}
	if topicrules.MayCollide(name) {
		all, err := existing()
		if err != nil {
			return a.unexpected("listing the topics that may collide with", name, err)
		}
		var colliding []string
		for _, other := range all {
			if other == name {
				return topicExists(name)
			}
			if topicrules.Collide(name, other) {
				colliding = append(colliding, other)
			}
		}
		if len(colliding) > 0 {
			return failure(kerr.InvalidTopicException, "Topic '"+name+"' collides with existing topics: "+strings.Join(colliding, ", "))
		}
	}
	if err := topicrules.CheckReplicas(assignment); err != nil {
		return failure(kerr.InvalidReplicaAssignment, err.Error())
	}
	if err := config.ValidateTopic(settings); err != nil {
		return failure(kerr.InvalidConfig, err.Error())
	}
	return nil
}

func (a *Admin) deleteTopics(ctx context.Context, r *server.Request, req *kmsg.DeleteTopicsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteTopicsResponse()
	resp.Topics = make([]kmsg.DeleteTopicsResponseTopic, len(req.TopicNames))
	controller := a.IsController()
	codes := make(map[string]int16, len(req.TopicNames))
	var deleting []string
	for i, name := range req.TopicNames {
		resp.Topics[i] = kmsg.NewDeleteTopicsResponseTopic()
		resp.Topics[i].Topic = &req.TopicNames[i]
		if _, done := codes[name]; done {
			continue
		}
		codes[name] = a.deleteTopic(ctx, name, r.Version, controller)
		if codes[name] == 0 {
			deleting = append(deleting, name)
		}
	}
	gone := func() bool {
		for _, name := range deleting {
			if a.Metadata.Contains(name) {
				return false
			}
		}
		return true
	}
	if len(deleting) > 0 && (req.TimeoutMillis <= 0 || !a.await(ctx, req.TimeoutMillis, gone)) {
		for _, name := range deleting {
			if req.TimeoutMillis <= 0 || a.Metadata.Contains(name) {
				codes[name] = kerr.RequestTimedOut.Code
			}
		}
	}
	for i, name := range req.TopicNames {
		resp.Topics[i].ErrorCode = codes[name]
	}
	return resp
}

// deleteTopic asks the controller to delete a topic. 0 means that it is to be waited for.
func (a *Admin) deleteTopic(ctx context.Context, name string, version int16, controller bool) int16 {
	switch {
	case !controller:
		return kerr.NotController.Code
	case !a.Config().DeleteTopicEnable && version < 3:
		return kerr.InvalidRequest.Code
	case !a.Config().DeleteTopicEnable:
		return kerr.TopicDeletionDisabled.Code
	case !a.Metadata.Contains(name):
		return kerr.UnknownTopicOrPartition.Code
	}
	err := a.ZK.DeleteTopic(ctx, name)
	switch {
	case err == nil, errors.Is(err, zkmeta.ErrTopicMarkedForDeletion):
		return 0
	case errors.Is(err, zkmeta.ErrUnknownTopic):
		return kerr.UnknownTopicOrPartition.Code
	}
	return a.unexpected("deleting topic", name, err).code
}
