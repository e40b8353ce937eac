package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// View is the cluster as one broker's metadata shows it.
type View struct {
	Controller int32
	Brokers    []int32
	Partitions []Partition
}

// Partition is one of a View.
type Partition struct {
	Topic         string
	ID            int32
	Leader, Epoch int32
	Replicas, ISR []int32
}

func (p Partition) String() string {
	return fmt.Sprintf("%s-%d leader %d epoch %d isr %v of %v", p.Topic, p.ID, p.Leader, p.Epoch, p.ISR, p.Replicas)
}

// View asks a broker, any if id is 0.
func (c *Cluster) View(ctx context.Context, id int32, topics ...string) (*View, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	var resp kmsg.Response
	var err error
	if id > 0 {
		resp, err = c.Client.Broker(int(id)).Request(ctx, req)
	} else {
		resp, err = c.Client.Request(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	m := resp.(*kmsg.MetadataResponse)
	v := &View{Controller: m.ControllerID}
	for _, b := range m.Brokers {
		v.Brokers = append(v.Brokers, b.NodeID)
	}
	for _, t := range m.Topics {
		if t.ErrorCode != 0 {
			return nil, fmt.Errorf("%s: %w", *t.Topic, kerr.ErrorForCode(t.ErrorCode))
		}
		for _, p := range t.Partitions {
			v.Partitions = append(v.Partitions, Partition{*t.Topic, p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR})
		}
	}
	slices.SortFunc(v.Partitions, func(a, b Partition) int {
		if a.Topic != b.Topic {
			return slices.Compare([]byte(a.Topic), []byte(b.Topic))
		}
		return int(a.ID - b.ID)
	})
	return v, nil
}

// Wait polls until ok returns nil of what a broker shows; ctx bounds it.
func (c *Cluster) Wait(ctx context.Context, what string, ok func(*View) error, topics ...string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for last := error(nil); ; {
		v, err := c.View(ctx, 0, topics...)
		if err == nil {
			err = ok(v)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: not in time: %w", what, last)
		}
	}
}

// InSync says that every partition is led and all of its replicas are in sync.
func InSync(v *View) error {
	for _, p := range v.Partitions {
		if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
			return errors.New(p.String())
		}
	}
	return nil
}

// CreateTopic makes a topic with replicas as given, one list a partition.
func (c *Cluster) CreateTopic(ctx context.Context, topic string, replicas [][]int32, config map[string]string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 15_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, -1, -1
	for i, r := range replicas {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), r
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	for k, v := range config {
		kv := kmsg.NewCreateTopicsRequestTopicConfig()
		kv.Name, kv.Value = k, kmsg.StringPtr(v)
		t.Configs = append(t.Configs, kv)
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.Client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return fmt.Errorf("create %s: %w", topic, err)
	}
	return c.Wait(ctx, "topic "+topic+" in sync", InSync, topic)
}

// Spread is an assignment of partitions to all brokers, each n replicas, the leaders in turn.
func (c *Cluster) Spread(partitions, n int) [][]int32 {
	out := make([][]int32, partitions)
	for p := range out {
		for i := range n {
			out[p] = append(out[p], int32(c.Nodes[(p+i)%len(c.Nodes)].ID))
		}
	}
	return out
}

// Reassign moves a partition by AlterPartitionReassignments; nil cancels.
func (c *Cluster) Reassign(ctx context.Context, topic string, partition int32, replicas []int32) error {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis = 10_000
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic = topic
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition, p.Replicas = partition, replicas
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.Client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
				if rp.ErrorMessage != nil {
					return fmt.Errorf("%w (%s)", err, *rp.ErrorMessage)
				}
				return err
			}
		}
	}
	return nil
}

// ElectPreferred asks for the preferred leaders of all partitions.
func (c *Cluster) ElectPreferred(ctx context.Context) error {
	req := kmsg.NewPtrElectLeadersRequest()
	req.TimeoutMillis = 10_000
	resp, err := req.RequestWith(ctx, c.Client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}
