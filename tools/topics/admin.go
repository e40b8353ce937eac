package topics

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/kclient"
)

// admin reaches the cluster through its brokers.
type admin struct {
	client  *kgo.Client
	out     *bufio.Writer
	timeout time.Duration
}

// requestTimeoutMillis is how long a broker may take to carry out a request; Java's admin client gives it what is left of its own.
const requestTimeoutMillis = 30000

func newAdmin(c *command, out *bufio.Writer, stderr io.Writer) (service, error) {
	cfg := kclient.Config{Servers: c.bootstrap, Props: c.clientProps, ClientID: "adminclient-1",
		Name: "AdminClient clientId=adminclient-1", Warn: stderr}
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	opts, err := cfg.Options()
	if err != nil {
		return nil, &kclient.CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to create new KafkaAdminClient", Cause: err}
	}
	timeout, err := cfg.Timeout()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, kgo.RetryTimeout(timeout))...)
	if err != nil {
		return nil, kclient.Wrap(err, "make an admin client")
	}
	return &admin{client: client, out: out, timeout: timeout}, nil
}

func (a *admin) close() { a.client.Close() }

// ask sends one request within the command's time.
func ask[R kmsg.Response](ctx context.Context, a *admin, req kmsg.Request, call string) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var none R
	resp, err := kclient.Request(ctx, a.client, req)
	if err != nil {
		return none, kclient.Wrap(err, call)
	}
	r, ok := resp.(R)
	if !ok {
		return none, kclient.Wrap(fmt.Errorf("unexpected response %T", resp), call)
	}
	return r, nil
}

func (a *admin) create(ctx context.Context, c *command, cfg []setting) error {
	if c.replication != -1 && (c.replication > math.MaxInt16 || c.replication < 1) || c.has("replication-factor") && c.replication == -1 {
		return kclient.IllegalArgument("The replication factor must be between 1 and 32767 inclusive")
	}
	if c.has("partitions") && c.partitions < 1 {
		return kclient.IllegalArgument("The partitions must be greater than 0")
	}
	if c.topic == "" {
		return kafkaError("InvalidTopicException", "The given topic name '' cannot be represented in a request.")
	}
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = c.topic, c.partitions, int16(c.replication)
	for i, replicas := range c.assignment {
		ra := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		ra.Partition, ra.Replicas = int32(i), replicas
		t.ReplicaAssignment = append(t.ReplicaAssignment, ra)
	}
	for _, s := range cfg {
		tc := kmsg.NewCreateTopicsRequestTopicConfig()
		tc.Name, tc.Value = s.name, &s.value
		t.Configs = append(t.Configs, tc)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = requestTimeoutMillis
	req.Topics = append(req.Topics, t)
	resp, err := ask[*kmsg.CreateTopicsResponse](ctx, a, req, "createTopics")
	if err != nil {
		return err
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		if rt.ErrorCode == kerr.TopicAlreadyExists.Code && c.has("if-not-exists") {
			return nil
		}
		if err := kclient.Error(rt.ErrorCode, rt.ErrorMessage); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.out, "Created topic %s.\n", c.topic)
	return nil
}

func (a *admin) metadata(ctx context.Context, topics []string) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(t)
		req.Topics = append(req.Topics, rt)
	}
	call := "describeTopics"
	if topics == nil {
		call = "listTopics"
	}
	return ask[*kmsg.MetadataResponse](ctx, a, req, call)
}

// topics are the names that the command is about, sorted.
func (a *admin) topics(ctx context.Context, c *command) ([]string, error) {
	resp, err := a.metadata(ctx, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic != nil && !(t.IsInternal && c.has("exclude-internal")) {
			names = append(names, *t.Topic)
		}
	}
	slices.Sort(names)
	return c.filter(names)
}

func (a *admin) list(ctx context.Context, c *command) error {
	names, err := a.topics(ctx, c)
	if err == nil {
		printNames(a.out, names)
	}
	return err
}

func (a *admin) existing(ctx context.Context, c *command) ([]string, error) {
	names, err := a.topics(ctx, c)
	if err != nil {
		return nil, err
	}
	return names, c.mustExist(names)
}

func (a *admin) alter(ctx context.Context, c *command, _ []setting) error {
	names, err := a.existing(ctx, c)
	if err != nil || len(names) == 0 {
		return err
	}
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = requestTimeoutMillis
	have := map[string]int{}
	if c.assignment != nil {
		md, err := a.metadata(ctx, names)
		if err != nil {
			return err
		}
		for i := range md.Topics {
			have[*md.Topics[i].Topic] = len(md.Topics[i].Partitions)
		}
	}
	for _, name := range names {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = name, c.partitions
		if c.assignment != nil {
			for _, replicas := range c.assignment[min(have[name], len(c.assignment)):] {
				ta := kmsg.NewCreatePartitionsRequestTopicAssignment()
				ta.Replicas = replicas
				t.Assignment = append(t.Assignment, ta)
			}
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := ask[*kmsg.CreatePartitionsResponse](ctx, a, req, "createPartitions")
	if err != nil {
		return err
	}
	for i := range resp.Topics {
		if err := kclient.Error(resp.Topics[i].ErrorCode, resp.Topics[i].ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

func (a *admin) remove(ctx context.Context, c *command) error {
	names, err := a.existing(ctx, c)
	if err != nil || len(names) == 0 {
		return err
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = requestTimeoutMillis
	req.TopicNames = names
	for _, name := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := ask[*kmsg.DeleteTopicsResponse](ctx, a, req, "deleteTopics")
	if err != nil {
		return err
	}
	for i := range resp.Topics {
		if err := kclient.Error(resp.Topics[i].ErrorCode, resp.Topics[i].ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

func (a *admin) describe(ctx context.Context, c *command) error {
	names, err := a.existing(ctx, c)
	if err != nil || len(names) == 0 {
		return err
	}
	configs, err := a.configs(ctx, names)
	if err != nil {
		return err
	}
	md, err := a.metadata(ctx, names)
	if err != nil {
		return err
	}
	live := map[int32]bool{}
	for _, b := range md.Brokers {
		live[b.NodeID] = true
	}
	byName := make(map[string]*kmsg.MetadataResponseTopic, len(md.Topics))
	for i := range md.Topics {
		t := &md.Topics[i]
		if err := kclient.Error(t.ErrorCode, nil); err != nil {
			return err
		}
		byName[*t.Topic] = t
	}
	moves, err := a.reassignments(ctx, md)
	if err != nil {
		return err
	}
	r := newReport(c, live)
	for _, name := range kclient.HashOrder(names, len(names)) {
		if t := byName[name]; t != nil {
			a.describeTopic(r, name, t, configs[name], moves)
		}
	}
	return nil
}

type topicConfig struct {
	shown  []setting // what is not a default
	minISR int
}

func (a *admin) describeTopic(r *report, name string, t *kmsg.MetadataResponseTopic, cfg topicConfig, moves map[string]map[int32]*kmsg.ListPartitionReassignmentsResponseTopicPartition) {
	parts := make([]partition, 0, len(t.Partitions))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		d := partition{id: p.Partition, leader: p.Leader, replicas: p.Replicas, isr: p.ISR}
		if m := moves[name][p.Partition]; m != nil {
			d.moving, d.adding, d.removing = true, m.AddingReplicas, m.RemovingReplicas
		}
		parts = append(parts, d)
	}
	slices.SortFunc(parts, func(x, y partition) int { return cmp.Compare(x.id, y.id) })
	if r.all && len(parts) > 0 && (!r.overrides || len(cfg.shown) > 0) {
		printTopic(a.out, name, len(parts), parts[0].replicationFactor(), cfg.shown, false)
	}
	if r.overrides {
		return
	}
	for i := range parts {
		if r.shows(&parts[i], cfg.minISR) {
			printPartition(a.out, name, &parts[i], false)
		}
	}
}

func (a *admin) configs(ctx context.Context, names []string) (map[string]topicConfig, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		res := kmsg.NewDescribeConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, name
		req.Resources = append(req.Resources, res)
	}
	resp, err := ask[*kmsg.DescribeConfigsResponse](ctx, a, req, "describeConfigs")
	if err != nil {
		return nil, err
	}
	out := make(map[string]topicConfig, len(names))
	for i := range resp.Resources {
		r := &resp.Resources[i]
		if err := kclient.Error(r.ErrorCode, r.ErrorMessage); err != nil {
			return nil, err
		}
		// All entries go through the hash order, for its table grows with them; then the defaults are left out.
		var all []setting
		shown := map[string]bool{}
		cfg := topicConfig{minISR: -1}
		for j := range r.Configs {
			e := &r.Configs[j]
			s := setting{e.Name, "null"}
			if e.Value != nil {
				s.value = *e.Value
			}
			all = append(all, s)
			isDefault := e.Source == kmsg.ConfigSourceDefaultConfig
			if resp.Version == 0 {
				isDefault = e.IsDefault
			}
			shown[e.Name] = !isDefault
			if e.Name == "min.insync.replicas" {
				if n, err := strconv.Atoi(s.value); err == nil {
					cfg.minISR = n
				}
			}
		}
		for _, s := range inJavaOrder(all) {
			if shown[s.name] {
				cfg.shown = append(cfg.shown, s)
			}
		}
		out[r.ResourceName] = cfg
	}
	return out, nil
}

// reassignments asks for running moves; a broker too old to know them, or one that forbids the question, has none to show.
func (a *admin) reassignments(ctx context.Context, md *kmsg.MetadataResponse) (map[string]map[int32]*kmsg.ListPartitionReassignmentsResponseTopicPartition, error) {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.TimeoutMillis = requestTimeoutMillis
	for i := range md.Topics {
		t := kmsg.NewListPartitionReassignmentsRequestTopic()
		t.Topic = *md.Topics[i].Topic
		for j := range md.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, md.Topics[i].Partitions[j].Partition)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := ask[*kmsg.ListPartitionReassignmentsResponse](ctx, a, req, "listPartitionReassignments")
	if err == nil {
		err = kclient.Error(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		var api *kclient.APIError
		if errors.As(err, &api) && (api.Code == -1 || api.Code == kerr.UnsupportedVersion.Code || api.Code == kerr.ClusterAuthorizationFailed.Code) {
			return nil, nil
		}
		return nil, err
	}
	out := map[string]map[int32]*kmsg.ListPartitionReassignmentsResponseTopicPartition{}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		out[t.Topic] = map[int32]*kmsg.ListPartitionReassignmentsResponseTopicPartition{}
		for j := range t.Partitions {
			out[t.Topic][t.Partitions[j].Partition] = &t.Partitions[j]
		}
	}
	return out, nil
}
