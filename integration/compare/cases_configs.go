package compare

import (
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ownValues are broker settings that differ because the two brokers are two.
var ownValues = []string{"value of listeners", "value of advertised.listeners", "value of log.dirs", "value of log.dir", "value of zookeeper.connect", "value of port",
	"value of host.name", "value of ssl.protocol", "value of ssl.enabled.protocols"}

func resourceName(b *Broker, v int16, name string) string {
	switch {
	case name == "BROKER":
		return strconv.Itoa(int(b.ID))
	case strings.HasPrefix(name, "@"):
		return b.topic(name[1:], v)
	}
	return name
}

func configCases() []Case {
	prepare := Case{Key: kmsg.CreateTopics, Name: "prepared for settings", Min: 4, Max: 4, Build: func(b *Broker, v int16) kmsg.Request {
		var ts []newTopic
		for i := range int16(4) {
			ts = append(ts, newTopic{name: b.topic("cfg", i), partitions: 1, rf: 1, config: map[string]*string{"cleanup.policy": ptr("compact")}})
		}
		return create(v, 20_000, false, ts...)
	}}
	cases := append([]Case{prepare}, describeCases()...)
	cases = append(cases, alterCases()...)
	cases = append(cases, incrementalCases()...)
	cases = append(cases, brokerCases()...)
	cases = append(cases, describeCases()[0])
	return append(cases, logDirCases()...)
}

func describeCases() []Case {
	d := func(name string, kind kmsg.ConfigResourceType, resource string, keys ...string) Case {
		return Case{Key: kmsg.DescribeConfigs, Name: name, Mask: ownValues, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrDescribeConfigsRequest()
			r.Version, r.IncludeSynonyms, r.IncludeDocumentation = v, true, v >= 3
			r.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: resourceName(b, v, resource), ConfigNames: keys}}
			return r
		}}
	}
	const topic, broker, logger = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger
	return []Case{
		d("topic", topic, "@cfg"),
		d("topic, two keys and an unknown one", topic, "@cfg", "retention.ms", "cleanup.policy", "no.such.key"),
		d("unknown topic", topic, "@never-there"),
		d("invalid topic", topic, "a b"),
		d("empty topic", topic, ""),
		d("broker", broker, "BROKER"),
		d("broker, some keys", broker, "BROKER", "log.retention.ms", "log.retention.hours", "log.roll.ms", "log.flush.interval.ms", "ssl.keystore.password", "num.io.threads"),
		d("all brokers", broker, ""),
		d("another broker", broker, "4711"),
		d("no broker id", broker, "abc"),
		d("another broker's loggers", logger, "4711"),
		d("no broker's loggers", logger, ""),
		d("unknown type", 77, "x"),
	}
}

// better marks requests on which Kafka's code fails on the way to an answer that it means to give.
func better(c Case) Case {
	c.Deliberate = "Kafka fails by an oversight (UNKNOWN_SERVER_ERROR, or the connection closes); Gregor names the mistake"
	return c
}

func alterCases() []Case {
	type set map[string]*string
	a := func(name string, validate bool, kind kmsg.ConfigResourceType, resource string, s set) Case {
		return Case{Key: kmsg.AlterConfigs, Name: name, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrAlterConfigsRequest()
			r.Version, r.ValidateOnly = v, validate
			q := kmsg.AlterConfigsRequestResource{ResourceType: kind, ResourceName: resourceName(b, v, resource)}
			for k, val := range s {
				q.Configs = append(q.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: k, Value: val})
			}
			r.Resources = append(r.Resources, q)
			return r
		}}
	}
	noValue := better(a("no value", false, kmsg.ConfigResourceTypeTopic, "@cfg", set{"retention.ms": nil}))
	const topic, broker = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
	return []Case{
		a("one key", false, topic, "@cfg", set{"retention.ms": ptr("12345")}),
		a("validate only", true, topic, "@cfg", set{"retention.ms": ptr("1")}),
		noValue,
		a("unknown key", false, topic, "@cfg", set{"no.such.key": ptr("1")}),
		a("bad value", false, topic, "@cfg", set{"retention.ms": ptr("abc")}),
		a("out of range", false, topic, "@cfg", set{"segment.bytes": ptr("1")}),
		a("in conflict", false, topic, "@cfg", set{"min.compaction.lag.ms": ptr("9"), "max.compaction.lag.ms": ptr("5")}),
		a("unknown topic", false, topic, "@never-there", set{"retention.ms": ptr("1")}),
		a("invalid topic", false, topic, "a b", set{"retention.ms": ptr("1")}),
		a("read-only key of the broker", false, broker, "BROKER", set{"broker.id": ptr("5")}),
		a("another broker", false, broker, "4711", set{"broker.id": ptr("5")}),
		a("no broker id", false, broker, "abc", set{"broker.id": ptr("5")}),
		a("loggers", false, kmsg.ConfigResourceTypeBrokerLogger, "BROKER", set{"kafka": ptr("INFO")}),
		a("unknown type", false, 77, "x", set{}),
	}
}

func incrementalCases() []Case {
	type op struct {
		name  string
		op    kmsg.IncrementalAlterConfigOp
		value *string
	}
	const set, del, app, sub = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	i := func(name string, validate bool, kind kmsg.ConfigResourceType, resource string, ops ...op) Case {
		return Case{Key: kmsg.IncrementalAlterConfigs, Name: name, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrIncrementalAlterConfigsRequest()
			r.Version, r.ValidateOnly = v, validate
			q := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: resourceName(b, v, resource)}
			for _, o := range ops {
				q.Configs = append(q.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: o.name, Op: o.op, Value: o.value})
			}
			r.Resources = append(r.Resources, q)
			return r
		}}
	}
	const topic, broker, logger = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger
	return []Case{
		i("set and delete", false, topic, "@cfg", op{"max.message.bytes", set, ptr("5000")}, op{"retention.ms", del, nil}),
		i("append to a list", false, topic, "@cfg", op{"cleanup.policy", app, ptr("compact")}),
		i("append to an empty list", false, topic, "@cfg", op{"leader.replication.throttled.replicas", app, ptr("0:1,0:2")}),
		i("subtract from a list", false, topic, "@cfg", op{"leader.replication.throttled.replicas", sub, ptr("0:1")}),
		i("append to no list", false, topic, "@cfg", op{"retention.ms", app, ptr("1")}),
		i("subtract from no list", false, topic, "@cfg", op{"retention.ms", sub, ptr("1")}),
		better(i("append to an unknown key", false, topic, "@cfg", op{"no.such.key", app, ptr("1")})),
		i("set an unknown key", false, topic, "@cfg", op{"no.such.key", set, ptr("1")}),
		i("delete an unknown key", false, topic, "@cfg", op{"no.such.key", del, nil}),
		i("bad value", false, topic, "@cfg", op{"retention.ms", set, ptr("abc")}),
		i("no value", false, topic, "@cfg", op{"retention.ms", set, nil}, op{"cleanup.policy", app, nil}),
		i("the same key twice", false, topic, "@cfg", op{"retention.ms", set, ptr("1")}, op{"retention.ms", set, ptr("2")}),
		better(i("unknown operation", false, topic, "@cfg", op{"retention.ms", 9, ptr("1")})),
		i("validate only", true, topic, "@cfg", op{"retention.ms", set, ptr("1")}),
		i("unknown topic", false, topic, "@never-there", op{"retention.ms", set, ptr("1")}),
		i("invalid topic", false, topic, "a b", op{"retention.ms", set, ptr("1")}),
		i("read-only key of the broker", false, broker, "BROKER", op{"broker.id", set, ptr("5")}),
		i("another broker", false, broker, "4711", op{"broker.id", set, ptr("5")}),
		i("unknown logger", false, logger, "BROKER", op{"no.such.logger", set, ptr("INFO")}),
		i("no broker's logger", false, logger, "abc", op{"no.such.logger", set, ptr("INFO")}),
		i("unknown type", false, 77, "x", op{"a", set, ptr("b")}),
	}
}

func logDirCases() []Case {
	d := func(name string, topics func(b *Broker) []kmsg.DescribeLogDirsRequestTopic) Case {
		return Case{Key: kmsg.DescribeLogDirs, Name: name, OwnTopics: true, Build: func(b *Broker, v int16) kmsg.Request {
			r := kmsg.NewPtrDescribeLogDirsRequest()
			r.Version, r.Topics = v, topics(b)
			return r
		}}
	}
	return []Case{
		d("all", func(*Broker) []kmsg.DescribeLogDirsRequestTopic { return nil }),
		d("one and an unknown one", func(b *Broker) []kmsg.DescribeLogDirsRequestTopic {
			return []kmsg.DescribeLogDirsRequestTopic{{Topic: b.topic("cfg", 0), Partitions: []int32{0, 7}}, {Topic: "never-there", Partitions: []int32{0}}}
		}),
	}
}
