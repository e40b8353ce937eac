package compare

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fieldCases take one sound request of each type and version that clients send, and put into each of its fields, one at a time, what does
// not belong there: null, empty, double, unknown, negative and huge values.
func fieldCases() []Case {
	prepare := Case{Key: kmsg.CreateTopics, Name: "prepared for fields", Min: 5, Max: 5, Build: func(b *Broker, v int16) kmsg.Request {
		return create(v, 30_000, false, newTopic{name: b.topic("x", 0), partitions: 2, rf: 1})
	}}
	fill := Case{Key: kmsg.Produce, Name: "records for fetches, fields", Min: 7, Max: 7, Build: func(b *Broker, v int16) kmsg.Request {
		r := produce(b, v, 1, "x", plain("one", "two").encode())
		r.Topics[0].Topic = b.topic("x", 0)
		return r
	}}
	cases := []Case{prepare, fill}
	example := &Broker{ID: 1, Topic: "cmp"}
	for _, s := range sound {
		for v := s.min; v <= newest[s.key]; v++ {
			base := s.build(example, v)
			for _, m := range mutations(reflect.ValueOf(base).Elem(), "") {
				changed := s.build(example, v)
				m.apply(reflect.ValueOf(changed).Elem())
				if bytes.Equal(base.AppendTo(nil), changed.AppendTo(nil)) || tooMuch(s.key, m.name) {
					continue // a field that this version does not have
				}
				cases = append(cases, Case{Key: s.key, Name: "field " + m.name, Min: v, Only: true, Deliberate: s.deliberate(m.name), Mask: s.mask,
					Build: func(b *Broker, v int16) kmsg.Request {
						r := s.build(b, v)
						m.apply(reflect.ValueOf(r).Elem())
						return r
					}})
			}
		}
	}
	return cases
}

// tooMuch are requests that Apache Kafka takes for so much work that it does not come back, or for so long a wait; one without an answer; one
// that it does not answer; and what asks for all topics, on which other cases have left the brokers with different records.
func tooMuch(key kmsg.Key, name string) bool {
	if name == "Topics = null" && (key == kmsg.Metadata || key == kmsg.DescribeLogDirs) {
		return true
	}
	return key == kmsg.AlterConfigs && name == "Resources = twice" || strings.Contains(name, "NumPartitions = 2147483647") || strings.Contains(name, "Count = 2147483647") ||
		strings.Contains(name, "MaxWaitMillis = 2147483647") || name == "Acks = 0"
}

// soundRequest makes a request that both brokers take.
type soundRequest struct {
	key   kmsg.Key
	min   int16
	mask  []string
	build func(b *Broker, v int16) kmsg.Request
}

// deliberate is why a field's value is taken otherwise than by Apache Kafka.
func (s *soundRequest) deliberate(name string) string {
	switch {
	case strings.HasSuffix(name, "Partitions = twice") && (s.key == kmsg.Fetch || s.key == kmsg.Produce || s.key == kmsg.DeleteRecords || s.key == kmsg.OffsetForLeaderEpoch),
		strings.HasSuffix(name, "Topics = twice") && (s.key == kmsg.Fetch || s.key == kmsg.Produce || s.key == kmsg.DeleteRecords || s.key == kmsg.OffsetForLeaderEpoch):
		return "a partition named twice is served and answered twice; Kafka keeps the last mention only"
	case strings.HasPrefix(name, "IsolationLevel"), s.key == kmsg.Fetch && strings.Contains(name, "MaxBytes = -"):
		return "Kafka answers UNKNOWN_SERVER_ERROR; Gregor takes a negative limit for 0 and an unknown isolation level for read_uncommitted"
	case strings.Contains(name, "MaxNumOffsets = -"):
		return "Kafka answers UNKNOWN_SERVER_ERROR; Gregor takes a negative limit for 0"
	case strings.HasSuffix(name, ".Value = null"), strings.Contains(name, ".Op = "):
		return "Kafka fails by an oversight (UNKNOWN_SERVER_ERROR, or the connection closes); Gregor names the mistake"
	}
	return ""
}

var sound = []soundRequest{
	{key: kmsg.Metadata, build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrMetadataRequest()
		r.Version, r.Topics = v, []kmsg.MetadataRequestTopic{{Topic: ptr(b.topic("x", 0))}}
		return r
	}},
	{key: kmsg.CreateTopics, build: func(b *Broker, v int16) kmsg.Request {
		return create(v, 5000, false, newTopic{name: b.topic("x", 0), partitions: 1, rf: 1, config: map[string]*string{"retention.ms": ptr("5")}})
	}},
	{key: kmsg.DeleteTopics, build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrDeleteTopicsRequest()
		r.Version, r.TimeoutMillis, r.TopicNames = v, 5000, []string{"never-there"}
		return r
	}},
	{key: kmsg.CreatePartitions, build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrCreatePartitionsRequest()
		r.Version, r.TimeoutMillis, r.ValidateOnly = v, 5000, true
		r.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: b.topic("x", 0), Count: 3, Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: []int32{1}}}}}
		return r
	}},
	{key: kmsg.DescribeConfigs, mask: ownValues, build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrDescribeConfigsRequest()
		r.Version = v
		r.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: b.topic("x", 0), ConfigNames: []string{"retention.ms"}}}
		return r
	}},
	{key: kmsg.AlterConfigs, build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrAlterConfigsRequest()
		r.Version, r.ValidateOnly = v, true
		r.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: b.topic("x", 0),
			Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: ptr("7")}}}}
		return r
	}},
	{key: kmsg.IncrementalAlterConfigs, build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r.Version, r.ValidateOnly = v, true
		r.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: b.topic("x", 0),
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: ptr("7")}}}}
		return r
	}},
	{key: kmsg.DescribeLogDirs, build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrDescribeLogDirsRequest()
		r.Version, r.Topics = v, []kmsg.DescribeLogDirsRequestTopic{{Topic: b.topic("x", 0), Partitions: []int32{1}}}
		return r
	}},
	{key: kmsg.ListOffsets, build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrListOffsetsRequest()
		r.Version, r.ReplicaID = v, -1
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp, p.MaxNumOffsets = -1, 3
		r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: b.topic("x", 0), Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		return r
	}},
	{key: kmsg.OffsetForLeaderEpoch, build: func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrOffsetForLeaderEpochRequest()
		r.Version, r.ReplicaID = v, -1
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: b.topic("x", 0), Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
		return r
	}},
	{key: kmsg.DeleteRecords, build: func(b *Broker, v int16) kmsg.Request { return deleteRecords(b, v, b.topic("x", 0), 0, 0) }},
	{key: kmsg.InitProducerID, mask: []string{"ProducerID"}, build: func(_ *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.Version, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = v, 60_000, -1, -1
		return r
	}},
	{key: kmsg.Produce, min: 3, mask: []string{"BaseOffset"}, build: func(b *Broker, v int16) kmsg.Request {
		r := produce(b, v, 1, "x", plain("x").encode())
		r.Topics[0].Topic, r.Topics[0].Partitions[0].Partition = b.topic("x", 0), 1
		return r
	}},
	{key: kmsg.Fetch, min: 4, mask: []string{"SessionID"}, build: func(b *Broker, v int16) kmsg.Request {
		return fetch(b, v, "x", fetchPart(0, 0))
	}},
}

// mutation puts one value into one field of a message.
type mutation struct {
	name  string
	apply func(message reflect.Value)
}

// mutations walks a message and lists what may be done to it.
func mutations(v reflect.Value, path string) (out []mutation) {
	set := func(what string, f func(v reflect.Value)) {
		out = append(out, mutation{strings.TrimPrefix(path, ".") + " = " + what, f})
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if name == "Version" || name == "UnknownTags" || !v.Field(i).CanSet() {
				continue
			}
			for _, m := range mutations(v.Field(i), path+"."+name) {
				out = append(out, mutation{m.name, func(v reflect.Value) { m.apply(v.Field(i)) }})
			}
		}
	case reflect.Slice:
		if !v.IsNil() {
			set("null", func(v reflect.Value) { v.SetZero() })
		}
		set("empty", func(v reflect.Value) { v.Set(reflect.MakeSlice(v.Type(), 0, 0)) })
		if v.Len() == 0 || v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		set("twice", func(v reflect.Value) { v.Set(reflect.Append(v, v.Index(0))) })
		for _, m := range mutations(v.Index(0), path+"[0]") {
			out = append(out, mutation{m.name, func(v reflect.Value) { m.apply(v.Index(0)) }})
		}
	case reflect.Pointer:
		if v.Type().Elem().Kind() != reflect.String || v.IsNil() {
			break
		}
		set("null", func(v reflect.Value) { v.SetZero() })
		for _, m := range mutations(v.Elem(), path) {
			out = append(out, mutation{m.name, func(v reflect.Value) { m.apply(v.Elem()) }})
		}
	case reflect.String:
		for _, s := range []string{"", "never-there", "a b", "ä", strings.Repeat("y", 300), "-1"} {
			set(fmt.Sprintf("%.12q", s), func(v reflect.Value) { v.SetString(s) })
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits := v.Type().Bits()
		for _, n := range []int64{-2, -1, 0, 99, math.MaxInt64 >> (64 - bits), math.MinInt64 >> (64 - bits)} {
			set(fmt.Sprint(n), func(v reflect.Value) { v.SetInt(n) })
		}
	case reflect.Bool:
		set("the other", func(v reflect.Value) { v.SetBool(!v.Bool()) })
	default:
	}
	return out
}
