package gregortest

import (
	"maps"
	"strings"
)

// Option changes what Start and New make.
type Option func(*options)

type options struct {
	config map[string]string
	topics []topic
	dir    string
}

type topic struct {
	name       string
	partitions int32
	config     map[string]string
}

// defaults are a broker's for tests: free ports, one copy of everything, no waiting for others.
func defaults() map[string]string {
	return map[string]string{
		"broker.id": "0", "listeners": "PLAINTEXT://127.0.0.1:0", "zookeeper.connect": "127.0.0.1:0", "gregor.log.level": "warn",
		"offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "1", "group.initial.rebalance.delay.ms": "0",
		"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1", "transaction.state.log.num.partitions": "1",
		"gregor.transactions.admin.enable": "true",
	}
}

// Config sets a key of Kafka's server.properties, such as "auto.create.topics.enable". Keys of addresses and directories that Start sets
// itself may be overridden too.
func Config(key, value string) Option {
	return func(o *options) { o.config[key] = value }
}

// Topic creates a topic with so many partitions before Start returns. Settings are "key=value", such as "retention.ms=1000".
func Topic(name string, partitions int, settings ...string) Option {
	t := topic{name: name, partitions: int32(partitions), config: map[string]string{}}
	for _, s := range settings {
		k, v, _ := strings.Cut(s, "=")
		t.config[k] = v
	}
	return func(o *options) { o.topics = append(o.topics, t) }
}

// Dir keeps the broker's logs and its ZooKeeper's data under dir, so that a later broker finds them, instead of in memory.
func Dir(dir string) Option {
	return func(o *options) { o.dir = dir }
}

// Verbose logs what the broker has to tell at level info too; without it only warnings and errors reach the test's log.
func Verbose() Option {
	return func(o *options) { o.config["gregor.log.level"] = "info" }
}

func collect(opts []Option) *options {
	o := &options{config: defaults()}
	for _, opt := range opts {
		opt(o)
	}
	root := o.dir
	place := map[string]string{"gregor.zookeeper.data.dir": root + "/zookeeper"}
	if o.config["log.dirs"] == "" && o.config["log.dir"] == "" {
		place["log.dirs"] = root + "/kafka-logs"
	}
	maps.Copy(place, o.config)
	o.config = place
	return o
}
