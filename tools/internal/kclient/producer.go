package kclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Producer is a client that writes to one topic, made of Kafka's producer properties and with the defaults of Java's.
type Producer struct {
	Client     *kgo.Client
	Topic      string
	MaxBlock   time.Duration
	MaxRequest int
	Acks       string
	found      bool
	delivery   time.Duration
}

// serializedOverhead is what Java's estimate adds to key and value: the batch header and a record's largest header.
const serializedOverhead = 61 + 21 + 6

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// partitioners are Kafka's own classes.
var partitioners = map[string]kgo.Partitioner{
	"org.apache.kafka.clients.producer.internals.DefaultPartitioner": kgo.StickyKeyPartitioner(nil),
	"org.apache.kafka.clients.producer.UniformStickyPartitioner":     kgo.StickyPartitioner(),
	"org.apache.kafka.clients.producer.RoundRobinPartitioner":        kgo.RoundRobinPartitioner(),
}

// NewProducer makes a client for a topic. A batch has room for a record of the size that is named even where batch.size has not.
func (c Config) NewProducer(topic string, largest int, extra ...kgo.Opt) (*Producer, error) {
	opts, err := c.Options()
	if err != nil {
		return nil, &CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to construct kafka producer", Cause: err}
	}
	p := &Producer{Topic: topic}
	more, err := p.options(c, largest)
	if err != nil {
		return nil, err
	}
	if p.Client, err = kgo.NewClient(slices.Concat(opts, more, extra)...); err != nil {
		return nil, &CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to construct kafka producer", Cause: err}
	}
	return p, nil
}

func (c Config) prop(key, def string) string {
	if v, ok := c.Props[key]; ok {
		return strings.TrimSpace(v)
	}
	return def
}

func (p *Producer) options(c Config, largest int) ([]kgo.Opt, error) {
	var bad error
	num := func(key string, def int64) int64 {
		n, err := c.Int(key, def)
		if err != nil && bad == nil {
			bad = err
		}
		return n
	}
	millis := func(key string, def int64) time.Duration { return time.Duration(num(key, def)) * time.Millisecond }
	name := c.prop("compression.type", "none")
	codec, ok := codecs[name]
	if !ok {
		return nil, &CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to construct kafka producer",
			Cause: IllegalArgument("Unknown compression name: " + name)}
	}
	partitioner, err := c.partitioner()
	if err != nil {
		return nil, err
	}
	p.MaxBlock = millis("max.block.ms", 60000)
	p.MaxRequest = int(min(num("max.request.size", 1<<20), 1<<30))
	p.delivery = max(millis("delivery.timeout.ms", 120000), time.Second)
	batch := max(int(num("batch.size", 16<<10)), min(largest+serializedOverhead, p.MaxRequest), leastBatch)
	opts := []kgo.Opt{
		kgo.ProducerBatchCompression(codec),
		kgo.RecordPartitioner(partitioner),
		kgo.DefaultProduceTopic(p.Topic),
		kgo.AllowAutoTopicCreation(),
		kgo.MaxBufferedRecords(1 << 20),
		kgo.UnknownTopicRetries(-1),
		kgo.ProducerLinger(min(millis("linger.ms", 0), time.Minute)),
		kgo.ProducerBatchMaxBytes(int32(min(batch, 1<<30))),
		kgo.MaxBufferedBytes(int(max(num("buffer.memory", 32<<20), int64(p.MaxRequest)))),
		kgo.ProduceRequestTimeout(max(millis("request.timeout.ms", 30000), 100*time.Millisecond)),
		kgo.RecordDeliveryTimeout(p.delivery),
	}
	if _, given := c.Props["retries"]; given {
		opts = append(opts, kgo.RecordRetries(int(num("retries", 3))))
	}
	inflight := num("max.in.flight.requests.per.connection", 5)
	if bad == nil && inflight < 1 {
		bad = ConfigError(fmt.Sprintf("Invalid value %d for configuration max.in.flight.requests.per.connection: Value must be at least 1", inflight))
	}
	if bad != nil {
		return nil, bad
	}
	more, err := p.acks(c, int(inflight))
	return append(opts, more...), err
}

// leastBatch is the smallest bound that kgo takes.
const leastBatch = 512

func (c Config) partitioner() (kgo.Partitioner, error) {
	class := c.prop("partitioner.class", "org.apache.kafka.clients.producer.internals.DefaultPartitioner")
	p, ok := partitioners[class]
	if !ok {
		return nil, classMissing("partitioner.class", class)
	}
	for class := range strings.SplitSeq(c.prop("interceptor.classes", ""), ",") {
		if class = strings.TrimSpace(class); class != "" {
			return nil, classMissing("interceptor.classes", class)
		}
	}
	return p, nil
}

// classMissing is what Java says of a class that is not on its class path: none but Kafka's own are part of these tools.
func classMissing(key, class string) error {
	return ConfigError(fmt.Sprintf("Invalid value %s for configuration %s: Class %s could not be found.", class, key, class))
}

func (p *Producer) acks(c Config, inflight int) ([]kgo.Opt, error) {
	p.Acks = c.prop("acks", "1")
	transactional := c.Props["transactional.id"]
	idempotent := strings.EqualFold(c.prop("enable.idempotence", "false"), "true") || transactional != ""
	if _, given := c.Props["acks"]; idempotent && !given {
		p.Acks = "all"
	}
	var opts []kgo.Opt
	switch p.Acks {
	case "all", "-1":
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
	default:
		return nil, ConfigError(fmt.Sprintf("Invalid value %s for configuration acks: String must be one of: all, -1, 0, 1", p.Acks))
	}
	switch {
	case !idempotent:
		return append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(inflight)), nil
	case p.Acks == "0" || p.Acks == "1":
		return nil, ConfigError("Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence.")
	case transactional != "":
		timeout, err := c.Millis("transaction.timeout.ms", time.Minute)
		return append(opts, kgo.TransactionalID(transactional), kgo.TransactionTimeout(timeout)), err
	}
	return opts, nil
}

// Ready tells whether a record can be sent: it is not too large, and the topic is there, which is waited for up to max.block.ms.
func (p *Producer) Ready(ctx context.Context, r *kgo.Record) error {
	if !p.found {
		if err := p.find(ctx); err != nil {
			return err
		}
		p.found = true
	}
	if size := len(r.Key) + len(r.Value) + serializedOverhead; size > p.MaxRequest {
		return &APIError{Class: errorsPackage + "RecordTooLargeException", Message: fmt.Sprintf(
			"The message is %d bytes when serialized which is larger than %d, which is the value of the max.request.size configuration.", size, p.MaxRequest)}
	}
	return nil
}

func (p *Producer) find(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.MaxBlock)
	defer cancel()
	for {
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = true
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &p.Topic
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, p.Client)
		if err == nil && len(resp.Topics) == 1 {
			switch resp.Topics[0].ErrorCode {
			case 0:
				return nil
			case kerr.InvalidTopicException.Code:
				return &APIError{Class: errorsPackage + "InvalidTopicException", Message: "Invalid topics: [" + p.Topic + "]"}
			case kerr.TopicAuthorizationFailed.Code:
				return &APIError{Class: errorsPackage + "TopicAuthorizationException", Message: "Not authorized to access topics: [" + p.Topic + "]"}
			}
		}
		timer := time.NewTimer(reconnectPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return &APIError{Class: errorsPackage + "TimeoutException",
				Message: fmt.Sprintf("Topic %s not present in metadata after %d ms.", p.Topic, p.MaxBlock.Milliseconds())}
		case <-timer.C:
		}
	}
}

// Explain gives kgo's errors the words of Java's.
func (p *Producer) Explain(r *kgo.Record, err error) error {
	if errors.Is(err, kgo.ErrRecordTimeout) {
		return &APIError{Class: errorsPackage + "TimeoutException", Message: "Expiring 1 record(s) for " + p.Topic + "-" +
			strconv.Itoa(int(r.Partition)) + ":" + strconv.FormatInt(p.delivery.Milliseconds(), 10) + " ms has passed since batch creation"}
	}
	return Wrap(err, "produce to "+p.Topic)
}

// Start begins to use a transactional id.
func (p *Producer) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.MaxBlock)
	defer cancel()
	_, _, err := p.Client.ProducerID(ctx)
	if ctx.Err() != nil {
		return &APIError{Class: errorsPackage + "TimeoutException",
			Message: fmt.Sprintf("Timeout expired after %dmilliseconds while awaiting InitProducerId", p.MaxBlock.Milliseconds())}
	}
	return Wrap(err, "init transactions")
}
