package consoleproducer

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

const lineReaderClass = "kafka.tools.ConsoleProducer$LineMessageReader"

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "topic", Kind: cli.String, Arg: "topic", Doc: "REQUIRED: the topic to write to."},
		cli.Opt{Name: "broker-list", Kind: cli.String, Arg: "broker-list", Doc: "Deprecated: the same as --bootstrap-server, which wins."},
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "server to connect to", Unless: "broker-list", Doc: "REQUIRED unless --broker-list is given: brokers to ask, as host:port,host:port."},
		cli.Opt{Name: "sync", Doc: "Send one record at a time and wait for it."},
		cli.Opt{Name: "compression-codec", Kind: cli.String, Optional: true, Arg: "compression-codec", Doc: "none, gzip, snappy, lz4 or zstd; gzip when nothing follows."},
		cli.Opt{Name: "batch-size", Kind: cli.Int, Arg: "size", Default: "200", Doc: "Accepted for old scripts; batches are bounded by bytes."},
		cli.Opt{Name: "message-send-max-retries", Kind: cli.Int, Default: "3", Doc: "How often a batch is sent again before it is given up."},
		cli.Opt{Name: "retry-backoff-ms", Kind: cli.Int, Default: "100", Doc: "Pause before a batch is sent again."},
		cli.Opt{Name: "timeout", Kind: cli.Int, Arg: "timeout_ms", Default: "1000", Doc: "How long a record may wait for its batch to fill."},
		cli.Opt{Name: "request-required-acks", Kind: cli.String, Arg: "request required acks", Default: "1", Doc: "Who has to have a batch before it counts as written: 0, 1 or all."},
		cli.Opt{Name: "request-timeout-ms", Kind: cli.Int, Arg: "request timeout ms", Default: "1500", Doc: "How long a broker may wait for its followers."},
		cli.Opt{Name: "metadata-expiry-ms", Kind: cli.Long, Arg: "metadata expiration interval", Default: "300000", Doc: "How old knowledge of leaders may get."},
		cli.Opt{Name: "max-block-ms", Kind: cli.Long, Arg: "max block on send", Default: "60000", Doc: "How long a send may wait for the topic to be known."},
		cli.Opt{Name: "max-memory-bytes", Kind: cli.Long, Arg: "total memory in bytes", Default: "33554432", Doc: "How much may wait to be sent."},
		cli.Opt{Name: "max-partition-memory-bytes", Kind: cli.Long, Arg: "memory in bytes per partition", Default: "16384", Doc: "Accepted for old scripts; a batch may always fill one request."},
		cli.Opt{Name: "line-reader", Kind: cli.String, Arg: "reader_class", Default: lineReaderClass, Doc: "What reads records from standard input; there is one."},
		cli.Opt{Name: "socket-buffer-size", Kind: cli.Int, Arg: "size", Default: "102400", Doc: "Accepted for old scripts; the system chooses."},
		cli.Opt{Name: "property", Kind: cli.String, Arg: "prop", Doc: "A key=value for the line reader:\n\tparse.key=true|false\n\tkey.separator=<key.separator>\n\tignore.error=true|false"},
		cli.Opt{Name: "producer-property", Kind: cli.String, Arg: "producer_prop", Doc: "A key=value for the producer; wins over --producer.config."},
		cli.Opt{Name: "producer.config", Kind: cli.String, Arg: "config file", Doc: "Properties file for the producer."},
	)...)
}

// settings are what the command line asks for.
type settings struct {
	topic      string
	sync       bool
	parseKey   bool
	separator  []byte
	ignoreErr  bool
	maxBlock   time.Duration
	maxRequest int32
	cfg        kclient.Config
	kgo        []kgo.Opt
}

func parse(o *cli.Options) (*settings, error) {
	if err := o.Require("topic"); err != nil {
		return nil, err
	}
	if err := o.Check("topic", "broker-list", "bootstrap-server", "compression-codec", "line-reader", "producer.config", "timeout",
		"request-required-acks", "request-timeout-ms", "message-send-max-retries", "retry-backoff-ms", "max-block-ms", "max-memory-bytes"); err != nil {
		return nil, err
	}
	s := &settings{topic: o.String("topic"), sync: o.Has("sync"), separator: []byte("\t")}
	servers := o.String("broker-list")
	if o.Has("bootstrap-server") {
		servers = o.String("bootstrap-server")
	}
	for hp := range strings.SplitSeq(servers, ",") {
		if !kclient.ValidHostPort(hp) {
			return nil, &cli.UsageError{Message: "Please provide valid host:port like host1:9091,host2:9092\n "}
		}
	}
	reader := cli.KeyValues(o.Values("property"))
	s.parseKey = isTrue(reader["parse.key"])
	s.ignoreErr = isTrue(reader["ignore.error"])
	if v, ok := reader["key.separator"]; ok {
		s.separator = []byte(v)
	}
	p := map[string]string{}
	if o.Has("producer.config") {
		var err error
		if p, err = props.Load(o.String("producer.config")); err != nil {
			return nil, err
		}
	}
	maps.Copy(p, cli.KeyValues(o.Values("producer-property")))
	p["compression.type"] = "none"
	if o.Has("compression-codec") {
		if p["compression.type"] = o.String("compression-codec"); p["compression.type"] == "" {
			p["compression.type"] = "gzip"
		}
	}
	for _, m := range merged {
		if _, ok := p[m.key]; !ok || o.Has(m.flag) {
			p[m.key] = o.String(m.flag)
		}
	}
	s.cfg = kclient.Config{Servers: servers, Props: p, ClientID: "console-producer"}
	if v := p["client.id"]; v != "" {
		s.cfg.ClientID = v
	}
	s.cfg.Name = "Producer clientId=" + s.cfg.ClientID
	if c := o.String("line-reader"); c != lineReaderClass {
		return nil, &kclient.APIError{Class: "java.lang.ClassNotFoundException", Message: c}
	}
	return s, s.producer(o)
}

// merged are the flags that set a producer property unless that is given and the flag is not. `retries` is left out: its default
// of 3 is Java's count of sent batches, not of failed connections, so only a given number counts.
var merged = []struct{ key, flag string }{
	{"linger.ms", "timeout"},
	{"acks", "request-required-acks"},
	{"request.timeout.ms", "request-timeout-ms"},
	{"retry.backoff.ms", "retry-backoff-ms"},
	{"buffer.memory", "max-memory-bytes"},
	{"metadata.max.age.ms", "metadata-expiry-ms"},
	{"max.block.ms", "max-block-ms"},
}

func isTrue(s string) bool { return strings.EqualFold(strings.TrimSpace(s), "true") }

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// producer turns the properties into kgo's options.
func (s *settings) producer(o *cli.Options) error {
	p := s.cfg.Props
	codec, ok := codecs[p["compression.type"]]
	if !ok {
		return &kclient.APIError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to construct kafka producer\n" +
			"Caused by: java.lang.IllegalArgumentException: Unknown compression name: " + p["compression.type"]}
	}
	if o.Has("message-send-max-retries") {
		p["retries"] = o.String("message-send-max-retries")
	}
	var bad error
	num := func(key string, def int64) int64 {
		n, err := s.cfg.Int(key, def)
		if err != nil && bad == nil {
			bad = err
		}
		return n
	}
	millis := func(key string, def int64) time.Duration { return time.Duration(num(key, def)) * time.Millisecond }
	s.maxBlock = millis("max.block.ms", 60000)
	s.maxRequest = int32(min(num("max.request.size", 1<<20), 1<<30))
	linger := millis("linger.ms", 0)
	if s.sync {
		linger = 0 // nothing else could join the batch
	}
	s.kgo = append(s.kgo,
		kgo.ProducerBatchCompression(codec),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.DefaultProduceTopic(s.topic),
		kgo.AllowAutoTopicCreation(),
		kgo.MaxBufferedRecords(1<<20),
		kgo.UnknownTopicRetries(-1),
		kgo.ProducerLinger(min(linger, time.Minute)),
		kgo.MaxBufferedBytes(int(max(num("buffer.memory", 32<<20), int64(s.maxRequest)))),
		kgo.ProduceRequestTimeout(max(millis("request.timeout.ms", 30000), 100*time.Millisecond)),
		kgo.RecordDeliveryTimeout(max(millis("delivery.timeout.ms", 120000), time.Second)))
	if _, given := p["retries"]; given {
		s.kgo = append(s.kgo, kgo.RecordRetries(int(num("retries", 3))))
	}
	if bad != nil {
		return bad
	}
	return s.acks()
}

func (s *settings) acks() error {
	p := s.cfg.Props
	idempotent := isTrue(p["enable.idempotence"])
	switch a := strings.TrimSpace(p["acks"]); a {
	case "all", "-1":
		s.kgo = append(s.kgo, kgo.RequiredAcks(kgo.AllISRAcks()))
	case "0":
		s.kgo = append(s.kgo, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		s.kgo = append(s.kgo, kgo.RequiredAcks(kgo.LeaderAck()))
	default:
		return kclient.ConfigError(fmt.Sprintf("Invalid value %s for configuration acks: String must be one of: all, -1, 0, 1", a))
	}
	if idempotent {
		if a := p["acks"]; a != "all" && a != "-1" {
			return kclient.ConfigError("Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence.")
		}
		return nil
	}
	inflight := 5
	if v, ok := p["max.in.flight.requests.per.connection"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return kclient.ConfigError("Invalid value " + v + " for configuration max.in.flight.requests.per.connection: Value must be at least 1")
		}
		inflight = n
	}
	s.kgo = append(s.kgo, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(inflight))
	return nil
}
