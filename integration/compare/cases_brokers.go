package compare

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// settings are what a case writes for one broker or, with all, for all brokers, in the place of what stands there.
type settings struct {
	name string
	all  bool
	set  map[string]string
	// also are further keys whose values are compared afterwards.
	also []string
	// garbled: Kafka's answer is what an exception of Java happens to say.
	garbled bool
}

// brokerSettings are dynamic settings one after the other; each is answered alike and leads to the same values, synonyms and sources.
var brokerSettings = []settings{
	{name: "threads doubled", set: map[string]string{"num.io.threads": "16", "num.network.threads": "6", "background.threads": "5", "num.replica.fetchers": "2", "num.recovery.threads.per.data.dir": "2"}},
	{name: "threads doubled again", set: map[string]string{"num.io.threads": "32"}},
	{name: "threads more than doubled", set: map[string]string{"num.io.threads": "65"}},
	{name: "threads less than halved", set: map[string]string{"num.network.threads": "1", "num.io.threads": "15"}},
	{name: "no fetchers", set: map[string]string{"num.replica.fetchers": "0"}},
	{name: "no threads", set: map[string]string{"num.io.threads": "0"}},
	{name: "threads that are no number", set: map[string]string{"num.io.threads": "x"}},
	{name: "nothing", set: map[string]string{}, also: []string{"num.io.threads"}},
	{name: "defaults of topics", set: map[string]string{"log.retention.ms": "7200000", "log.segment.bytes": "1048576", "log.cleanup.policy": "compact,delete",
		"compression.type": "gzip", "message.max.bytes": "500000", "min.insync.replicas": "2", "unclean.leader.election.enable": "true",
		"log.message.timestamp.type": "LogAppendTime", "log.flush.interval.ms": "5000", "log.preallocate": "true"}, also: []string{"log.retention.hours", "log.retention.minutes"}},
	{name: "defaults of topics of all brokers", all: true, set: map[string]string{"log.retention.ms": "3600000", "log.roll.ms": "60000", "log.roll.jitter.ms": "10"}, also: []string{"log.roll.hours"}},
	{name: "no own defaults of topics", set: map[string]string{}, also: []string{"log.retention.ms", "compression.type"}},
	{name: "no defaults of topics", all: true, set: map[string]string{}, also: []string{"log.retention.ms", "log.roll.ms"}},
	{name: "no retention", set: map[string]string{"log.retention.ms": "0"}},
	{name: "endless retention", set: map[string]string{"log.retention.ms": "-5"}},
	{name: "no rolling", set: map[string]string{"log.roll.ms": "0"}},
	{name: "negative jitter", set: map[string]string{"log.roll.jitter.ms": "-1"}},
	{name: "retention in hours, which is read-only", set: map[string]string{"log.retention.hours": "1"}},
	{name: "small segments", set: map[string]string{"log.segment.bytes": "13"}},
	{name: "an unknown policy", set: map[string]string{"log.cleanup.policy": "burn"}},
	{name: "an unknown codec", set: map[string]string{"compression.type": "zip"}},
	{name: "an unknown timestamp type", set: map[string]string{"log.message.timestamp.type": "x"}},
	{name: "no boolean", set: map[string]string{"unclean.leader.election.enable": "maybe"}},
	{name: "format of messages, which is read-only", set: map[string]string{"log.message.format.version": "2.7"}},
	{name: "read-only keys", set: map[string]string{"broker.id": "3", "zookeeper.connect": "x"}},
	{name: "read-only keys of all brokers", all: true, set: map[string]string{"broker.id": "3"}},
	{name: "listeners of all brokers", all: true, set: map[string]string{"listeners": "PLAINTEXT://:1"}},
	{name: "a listener's key of all brokers", all: true, set: map[string]string{"listener.name.plaintext.ssl.keystore.type": "JKS"}},
	{name: "security without a listener", set: map[string]string{"ssl.keystore.location": "/x"}},
	{name: "a password without a secret", set: map[string]string{"listener.name.plaintext.ssl.keystore.password": "x"}},
	{name: "a password of all brokers", all: true, set: map[string]string{"listener.name.plaintext.ssl.keystore.password": "x"}},
	{name: "keys of one's own", set: map[string]string{"my.own.key": "v", "log.retention.bytes": "99"}},
	{name: "keys of one's own for all", all: true, set: map[string]string{"my.own.key": "w"}},
	{name: "no keys of one's own", set: map[string]string{}, also: []string{"my.own.key"}},
	{name: "no keys of one's own for all", all: true, set: map[string]string{}},
	{name: "replication throttles", set: map[string]string{"leader.replication.throttled.rate": "1000", "follower.replication.throttled.rate": "2000", "replica.alter.log.dirs.io.max.bytes.per.second": "3000"}},
	{name: "negative replication throttle", set: map[string]string{"leader.replication.throttled.rate": "-1"}},
	{name: "limits of connections", set: map[string]string{"max.connections": "100", "max.connections.per.ip": "50", "max.connections.per.ip.overrides": "127.0.0.1:60", "max.connection.creation.rate": "1000",
		"listener.name.plaintext.max.connections": "70"}},
	{name: "limits of connections of all brokers", all: true, set: map[string]string{"max.connections": "200", "listener.name.plaintext.max.connection.creation.rate": "500"}},
	{name: "no limits of connections of all brokers", all: true, set: map[string]string{}, also: []string{"max.connections"}},
	{name: "no connections", set: map[string]string{"max.connections": "0"}},
	{name: "no connections of a listener", set: map[string]string{"listener.name.plaintext.max.connections": "0"}},
	{name: "no new connections", set: map[string]string{"max.connection.creation.rate": "0"}},
	{name: "no connections of an address", set: map[string]string{"max.connections.per.ip": "0"}},
	{name: "overrides that are none", set: map[string]string{"max.connections.per.ip.overrides": "127.0.0.1"}, garbled: true},
	{name: "overrides without a number", set: map[string]string{"max.connections.per.ip.overrides": "127.0.0.1:x"}, garbled: true},
	{name: "overrides of no host", set: map[string]string{"max.connections.per.ip.overrides": "a b:3"}},
	{name: "cleaner", set: map[string]string{"log.cleaner.threads": "2", "log.cleaner.backoff.ms": "1000", "log.cleaner.io.max.bytes.per.second": "1000000", "log.cleaner.dedupe.buffer.size": "67108864"}},
	{name: "cleaner threads more than doubled", set: map[string]string{"log.cleaner.threads": "5"}},
	{name: "cleaner threads without memory", set: map[string]string{"log.cleaner.dedupe.buffer.size": "1000"}},
	{name: "a reporter of metrics that is not there", set: map[string]string{"metric.reporters": "no.Such"}},
	{name: "a listener without the brokers'", set: map[string]string{"listeners": "OTHER://127.0.0.1:0", "listener.security.protocol.map": "OTHER:PLAINTEXT,PLAINTEXT:PLAINTEXT"}},
	{name: "listeners that are none", set: map[string]string{"listeners": "nonsense"}},
	{name: "an advertised listener that is none", set: map[string]string{"advertised.listeners": "OTHER://127.0.0.1:9", "listener.security.protocol.map": "OTHER:PLAINTEXT,PLAINTEXT:PLAINTEXT"}},
	{name: "an advertised address that is none", set: map[string]string{"advertised.listeners": "PLAINTEXT://0.0.0.0:9"}},
	{name: "nothing at the end", set: map[string]string{}, also: []string{"max.connections", "log.cleaner.threads"}},
}

func brokerCases() []Case {
	var cases []Case
	for _, s := range brokerSettings {
		why := ""
		if s.garbled {
			why = "Kafka passes on what an exception of Java says; Gregor says what is wrong"
		}
		cases = append(cases,
			Case{Key: kmsg.AlterConfigs, Name: "broker, checked only: " + s.name, Deliberate: why, Build: func(b *Broker, v int16) kmsg.Request { return s.request(b, v, true) }},
			Case{Key: kmsg.AlterConfigs, Name: "broker: " + s.name, Min: 1, Max: 1, Deliberate: why, Do: s.alter})
	}
	return append(cases, loggerCases()...)
}

func (s settings) resource(b *Broker) string {
	if s.all {
		return ""
	}
	return strconv.Itoa(int(b.ID))
}

func (s settings) request(b *Broker, v int16, validateOnly bool) kmsg.Request {
	r := kmsg.NewPtrAlterConfigsRequest()
	r.Version, r.ValidateOnly = v, validateOnly
	q := kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: s.resource(b)}
	for _, k := range slices.Sorted(maps.Keys(s.set)) {
		v := s.set[k]
		q.Configs = append(q.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: k, Value: &v})
	}
	r.Resources = append(r.Resources, q)
	return r
}

func describe(kind kmsg.ConfigResourceType, name string, keys []string) *kmsg.DescribeConfigsRequest {
	d := kmsg.NewPtrDescribeConfigsRequest()
	d.Version, d.IncludeSynonyms = 3, true
	d.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: keys}}
	return d
}

// alter writes the settings, waits until the broker has taken them over, and describes it and a topic.
func (s settings) alter(b *Broker, v int16) any {
	resp, err := b.Ask(s.request(b, v, false))
	out := map[string]any{"altered": answer(resp, err, nil)}
	if r, ok := resp.(*kmsg.AlterConfigsResponse); err == nil && ok && r.Resources[0].ErrorCode == 0 {
		out["in effect"] = s.await(b)
	}
	keys := append(slices.Sorted(maps.Keys(s.set)), s.also...)
	if len(keys) > 0 {
		out["broker"] = b.tree(describe(kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(b.ID)), keys), ownValues...)
	}
	out["all brokers"] = b.tree(describe(kmsg.ConfigResourceTypeBroker, "", nil))
	out["topic"] = b.tree(describe(kmsg.ConfigResourceTypeTopic, b.topic("cfg", 0), nil))
	return out
}

func (s settings) await(b *Broker) bool {
	source := kmsg.ConfigSourceDynamicBrokerConfig
	if s.all {
		source = kmsg.ConfigSourceDynamicDefaultBrokerConfig
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 250 {
		resp, err := b.Ask(describe(kmsg.ConfigResourceTypeBroker, s.resource(b), nil))
		if err != nil {
			return false
		}
		now := map[string]string{}
		for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
			for _, c := range r.Configs {
				if want, ok := s.set[c.Name]; c.Source == source {
					now[c.Name] = want
					if c.Value != nil && (!ok || !s.all) {
						now[c.Name] = *c.Value
					}
				}
			}
		}
		if fmt.Sprint(slices.Sorted(maps.Keys(now))) == fmt.Sprint(slices.Sorted(maps.Keys(s.set))) {
			return true
		}
		<-tick.C
	}
	return false
}

func loggerCases() []Case {
	type op struct {
		name  string
		op    kmsg.IncrementalAlterConfigOp
		value *string
	}
	const set, del, app, sub = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	i := func(name string, kind kmsg.ConfigResourceType, validate bool, ops ...op) Case {
		return Case{Key: kmsg.IncrementalAlterConfigs, Name: name, Do: func(b *Broker, v int16) any {
			r := kmsg.NewPtrIncrementalAlterConfigsRequest()
			r.Version, r.ValidateOnly = v, validate
			q := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: strconv.Itoa(int(b.ID))}
			var keys []string
			for _, o := range ops {
				q.Configs = append(q.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: o.name, Op: o.op, Value: o.value})
				keys = append(keys, o.name)
			}
			r.Resources = append(r.Resources, q)
			out := map[string]any{"altered": b.tree(r)}
			if kind == kmsg.ConfigResourceTypeBrokerLogger {
				out["loggers"] = b.tree(describe(kind, q.ResourceName, append(keys, "root", "kafka.server.KafkaApis")))
			}
			return out
		}}
	}
	const logger, broker = kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeBroker
	return []Case{
		i("a logger's level", logger, false, op{"kafka.server.KafkaApis", set, ptr("DEBUG")}, op{"kafka.log.LogManager", set, ptr("ERROR")}),
		i("a logger's level, checked only", logger, true, op{"kafka.server.KafkaApis", set, ptr("TRACE")}),
		i("a level in small letters", logger, false, op{"kafka.server.KafkaApis", set, ptr("debug")}),
		i("a level that is none", logger, false, op{"kafka.server.KafkaApis", set, ptr("OFF")}),
		i("no such logger", logger, false, op{"kafka.server.KafkaApis", set, ptr("WARN")}, op{"no.such", set, ptr("INFO")}),
		i("append to a level", logger, false, op{"kafka.server.KafkaApis", app, ptr("INFO")}),
		i("subtract from a level", logger, false, op{"no.such", sub, ptr("INFO")}),
		i("a level inherited again", logger, false, op{"kafka.server.KafkaApis", del, nil}, op{"kafka.log.LogManager", del, nil}),
		i("the root level", logger, false, op{"root", set, ptr("WARN")}),
		i("the root level back", logger, false, op{"root", set, ptr("INFO")}),
		i("no root level", logger, false, op{"root", del, nil}),
		i("broker, checked only: append", broker, true, op{"log.cleanup.policy", app, ptr("compact")}),
		i("broker, checked only: append to no list", broker, true, op{"log.retention.ms", app, ptr("1")}),
		i("broker, checked only: subtract from no list", broker, true, op{"log.retention.ms", sub, ptr("1")}),
		i("broker, checked only: delete what is not set", broker, true, op{"log.retention.ms", del, nil}),
		i("broker, checked only: a bad value", broker, true, op{"num.io.threads", set, ptr("1")}),
		i("broker, checked only: no value", broker, true, op{"num.io.threads", set, nil}),
		i("broker, checked only: one key twice", broker, true, op{"num.io.threads", set, ptr("8")}, op{"num.io.threads", set, ptr("9")}),
	}
}
