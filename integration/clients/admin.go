package clients

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
)

// CreateTopic makes a topic and waits until each partition has a leader.
func CreateTopic(ctx context.Context, addr, topic string, partitions int32, config map[string]string) error {
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 4, 30_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, 1
	for k, v := range config {
		kv := kmsg.NewCreateTopicsRequestTopicConfig()
		kv.Name, kv.Value = k, &v
		t.Configs = append(t.Configs, kv)
	}
	req.Topics = append(req.Topics, t)
	resp, err := c.Request(ctx, req)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode); err != nil {
		return fmt.Errorf("creating %s: %w", topic, err)
	}
	// CreateTopics has waited for the leaders; the first ListOffsets that knows them all shows it.
	for {
		ends, err := EndOffsets(ctx, addr, topic)
		if err == nil && len(ends) == int(partitions) {
			return nil
		}
		if ctx.Err() != nil || (err != nil && !kerr.IsRetriable(err)) {
			return fmt.Errorf("waiting for %s: %d partitions, %w", topic, len(ends), err)
		}
	}
}

// EndOffsets returns each partition's log end.
func EndOffsets(ctx context.Context, addr, topic string) (map[int32]int64, error) {
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 1
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &topic
	meta.Topics = append(meta.Topics, mt)
	resp, err := c.Request(ctx, meta)
	if err != nil {
		return nil, err
	}
	answer := resp.(*kmsg.MetadataResponse).Topics[0]
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return nil, err
	}
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version = 1
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = topic
	for _, p := range answer.Partitions {
		lp := kmsg.NewListOffsetsRequestTopicPartition()
		lp.Partition, lp.Timestamp = p.Partition, -1
		lt.Partitions = append(lt.Partitions, lp)
	}
	list.Topics = append(list.Topics, lt)
	if resp, err = c.Request(ctx, list); err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	for _, p := range resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return nil, fmt.Errorf("partition %d: %w", p.Partition, err)
		}
		ends[p.Partition] = p.Offset
	}
	return ends, nil
}
