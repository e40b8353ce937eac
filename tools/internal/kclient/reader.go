package kclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Reader is a client that reads all partitions of one topic, which are assigned to it directly: no group is joined.
type Reader struct {
	Client     *kgo.Client
	Topic      string
	Partitions []int32
}

var isolation = map[string]kgo.IsolationLevel{"read_uncommitted": kgo.ReadUncommitted(), "read_committed": kgo.ReadCommitted()}

// NewReader makes a client of Kafka's consumer properties.
func (c Config) NewReader(topic string) (*Reader, error) {
	invalid := func(key, v, of string) error {
		return ConfigError("Invalid value " + v + " for configuration " + key + ": String must be one of: " + of)
	}
	var start kgo.Offset
	switch reset := c.prop("auto.offset.reset", "latest"); reset {
	case "earliest":
		start = kgo.NewOffset().AtStart()
	case "latest", "none":
		start = kgo.NewOffset().AtEnd()
	default:
		return nil, invalid("auto.offset.reset", reset, "latest, earliest, none")
	}
	level, ok := isolation[c.prop("isolation.level", "read_uncommitted")]
	if !ok {
		return nil, invalid("isolation.level", c.Props["isolation.level"], "read_committed, read_uncommitted")
	}
	for class := range strings.SplitSeq(c.prop("interceptor.classes", ""), ",") {
		if class = strings.TrimSpace(class); class != "" {
			return nil, classMissing("interceptor.classes", class)
		}
	}
	opts, err := c.Options()
	if err != nil {
		return nil, &CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to construct kafka consumer", Cause: err}
	}
	var bad error
	num := func(key string, def, least int64) int64 {
		n, err := c.Int(key, def)
		if err != nil && bad == nil {
			bad = err
		}
		return min(max(n, least), 1<<30)
	}
	fetchMax := num("fetch.max.bytes", 50<<20, 1)
	opts = append(opts, kgo.ConsumeResetOffset(start), kgo.FetchIsolationLevel(level),
		kgo.FetchMinBytes(int32(num("fetch.min.bytes", 1, 0))),
		kgo.FetchMaxWait(time.Duration(num("fetch.max.wait.ms", 500, 0))*time.Millisecond),
		kgo.FetchMaxBytes(int32(fetchMax)),
		kgo.FetchMaxPartitionBytes(int32(min(num("max.partition.fetch.bytes", 1<<20, 1), fetchMax))),
		kgo.BrokerMaxReadBytes(int32(max(fetchMax*2, 100<<20))))
	if bad != nil {
		return nil, bad
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, &CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to construct kafka consumer", Cause: err}
	}
	return &Reader{Client: client, Topic: topic}, nil
}

// Assign finds the topic's partitions and begins to read them; it waits for a topic that is not there yet, and for brokers.
func (r *Reader) Assign(ctx context.Context) error {
	for {
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = true
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &r.Topic
		req.Topics = append(req.Topics, t)
		answer, err := Request(ctx, r.Client, req)
		if err != nil {
			return Wrap(err, "find the partitions of "+r.Topic)
		}
		resp, ok := answer.(*kmsg.MetadataResponse)
		if ok && len(resp.Topics) == 1 {
			switch resp.Topics[0].ErrorCode {
			case 0:
				r.begin(&resp.Topics[0])
				return nil
			case kerr.InvalidTopicException.Code:
				return &APIError{Class: errorsPackage + "InvalidTopicException", Message: "Invalid topics: [" + r.Topic + "]"}
			case kerr.TopicAuthorizationFailed.Code:
				return &APIError{Class: errorsPackage + "TopicAuthorizationException", Message: "Not authorized to access topics: [" + r.Topic + "]"}
			}
		}
		timer := time.NewTimer(reconnectPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (r *Reader) begin(t *kmsg.MetadataResponseTopic) {
	at := map[int32]kgo.Offset{}
	for i := range t.Partitions {
		id := t.Partitions[i].Partition
		at[id] = r.Client.OptValue(kgo.ConsumeResetOffset).(kgo.Offset) // the option's own type
		r.Partitions = append(r.Partitions, id)
	}
	slices.Sort(r.Partitions)
	r.Client.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.Topic: at})
}

// pollRecords is Java's max.poll.records.
const pollRecords = 500

// Poll waits for records until ctx ends; then there are none, and no error.
func (r *Reader) Poll(ctx context.Context) (kgo.Fetches, error) {
	for {
		fetches := r.Client.PollRecords(ctx, pollRecords)
		for _, e := range fetches.Errors() {
			var k *kerr.Error
			switch {
			case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, context.Canceled):
			case errors.As(e.Err, &k) && k.Retriable:
			case errors.As(e.Err, &k):
				return nil, Error(k.Code, nil)
			case kgo.IsRetryableBrokerErr(e.Err):
			default:
				return nil, Wrap(e.Err, fmt.Sprintf("read %s-%d", e.Topic, e.Partition))
			}
		}
		if fetches.NumRecords() > 0 || ctx.Err() != nil {
			return fetches, nil
		}
	}
}
