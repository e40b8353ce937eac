package kclient

import (
	"context"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Timestamps of ListOffsets that mean a place.
const (
	Latest   int64 = -1
	Earliest int64 = -2
)

// Topic describes a topic's partitions: their leaders by partition, in order.
type Topic struct {
	Name       string
	Partitions []int32
	Leaders    map[int32]int32 // -1: none
}

// DescribeTopic asks for a topic's partitions. It does not create the topic.
func (a *Admin) DescribeTopic(ctx context.Context, name string) (*Topic, error) {
	topics, err := a.describeTopics(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	return topics[name].Topic, topics[name].err
}

type described struct {
	*Topic
	err error
}

func (a *Admin) describeTopics(ctx context.Context, names []string) (map[string]described, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	out := map[string]described{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
		out[name] = described{err: Error(kerr.UnknownTopicOrPartition.Code, nil)}
	}
	resp, err := Ask[*kmsg.MetadataResponse](ctx, a, req, "describeTopics")
	if err != nil {
		return nil, err
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic == nil {
			continue
		}
		if t.ErrorCode != 0 {
			out[*t.Topic] = described{err: Error(t.ErrorCode, nil)}
			continue
		}
		d := &Topic{Name: *t.Topic, Leaders: map[int32]int32{}}
		for j := range t.Partitions {
			d.Partitions = append(d.Partitions, t.Partitions[j].Partition)
			d.Leaders[t.Partitions[j].Partition] = t.Partitions[j].Leader
		}
		slices.Sort(d.Partitions)
		out[*t.Topic] = described{Topic: d}
	}
	return out, nil
}

// stale tells that the leaders of partitions are to be looked for again.
func stale(code int16) bool {
	switch code {
	case kerr.UnknownTopicOrPartition.Code, kerr.LeaderNotAvailable.Code, kerr.NotLeaderForPartition.Code, kerr.ReplicaNotAvailable.Code,
		kerr.KafkaStorageError.Code, kerr.FencedLeaderEpoch.Code, kerr.UnknownLeaderEpoch.Code, kerr.ListenerNotFound.Code, kerr.PreferredLeaderNotAvailable.Code:
		return true
	}
	return false
}

// ListOffsets asks the leaders for the offset of each partition at a time (or Earliest or Latest): -1 if no record is that young.
// Leaders that have changed are asked again; a topic that is not there is waited for, as Java's client does.
func (a *Admin) ListOffsets(ctx context.Context, tps []TopicPartition, timestamp int64) (map[TopicPartition]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	out := map[TopicPartition]int64{}
	for left := tps; len(left) > 0; {
		byLeader, err := a.Leaders(ctx, left)
		if err != nil {
			return nil, err
		}
		if left, err = a.listOffsets(ctx, byLeader, timestamp, out); err != nil {
			return nil, err
		}
		if len(left) > 0 {
			if err := pause(ctx); err != nil {
				return nil, Wrap(err, "metadata")
			}
		}
	}
	return out, nil
}

// Leaders groups partitions by the broker to ask. A topic that is not there is waited for, no longer than default.api.timeout.ms.
func (a *Admin) Leaders(ctx context.Context, tps []TopicPartition) (map[int32][]TopicPartition, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var names []string
	for _, tp := range tps {
		if !slices.Contains(names, tp.Topic) {
			names = append(names, tp.Topic)
		}
	}
	for {
		topics, err := a.describeTopics(ctx, names)
		if err != nil {
			return nil, err
		}
		out, again := map[int32][]TopicPartition{}, false
		for _, tp := range tps {
			d := topics[tp.Topic]
			if api, ok := d.err.(*APIError); ok { //nolint:errorlint // describeTopics made it
				if !stale(api.Code) {
					return nil, d.err
				}
				again = true
				continue
			}
			leader, there := d.Leaders[tp.Partition]
			if !there || leader < 0 {
				return nil, Error(kerr.LeaderNotAvailable.Code, nil)
			}
			out[leader] = append(out[leader], tp)
		}
		if !again {
			return out, nil
		}
		if err := pause(ctx); err != nil {
			return nil, Wrap(err, "metadata")
		}
	}
}

// listOffsets asks all leaders side by side, and returns the partitions that are to be asked for again.
func (a *Admin) listOffsets(ctx context.Context, byLeader map[int32][]TopicPartition, timestamp int64, out map[TopicPartition]int64) ([]TopicPartition, error) {
	var mu sync.Mutex
	var again []TopicPartition
	var failed error
	var wg sync.WaitGroup
	for leader, tps := range byLeader {
		wg.Go(func() {
			resp, err := AskBroker[*kmsg.ListOffsetsResponse](ctx, a, leader, listOffsetsRequest(tps, timestamp), "listOffsets on broker")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			for i := range resp.Topics {
				for _, p := range resp.Topics[i].Partitions {
					tp := TopicPartition{resp.Topics[i].Topic, p.Partition}
					switch {
					case stale(p.ErrorCode):
						again = append(again, tp)
					case p.ErrorCode != 0:
						failed = Error(p.ErrorCode, nil)
					default:
						out[tp] = p.Offset
					}
				}
			}
		})
	}
	wg.Wait()
	return again, failed
}

func listOffsetsRequest(tps []TopicPartition, timestamp int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	at := map[string]int{}
	for _, tp := range tps {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = tp.Partition, timestamp, -1
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	return req
}

// ListTopics lists the topics that are not internal, in the order of a java.util.HashMap.
func (a *Admin) ListTopics(ctx context.Context) ([]string, error) {
	req := kmsg.NewPtrMetadataRequest()
	resp, err := Ask[*kmsg.MetadataResponse](ctx, a, req, "listTopics")
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.Topic != nil && !t.IsInternal {
			names = append(names, *t.Topic)
		}
	}
	slices.Sort(names)
	return HashOrder(names, 0), nil
}

// DeleteTopic deletes a topic.
func (a *Admin) DeleteTopic(ctx context.Context, name string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(a.timeout.Milliseconds())
	req.TopicNames = []string{name}
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	resp, err := Ask[*kmsg.DeleteTopicsResponse](ctx, a, req, "deleteTopics")
	if err != nil {
		return err
	}
	for i := range resp.Topics {
		if err := Error(resp.Topics[i].ErrorCode, resp.Topics[i].ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}
