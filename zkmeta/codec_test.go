package zkmeta

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"gregor/internal/jvm"
)

// What Apache Kafka 2.7.2 wrote, read and written again, is the same bytes.
func TestZnodesAreWrittenAsKafkaWritesThem(t *testing.T) {
	recode := map[string]func(data []byte) ([]byte, error){
		"broker": func(d []byte) ([]byte, error) {
			b, err := DecodeBroker(1, d)
			return EncodeBroker(b), err
		},
		"topic": func(d []byte) ([]byte, error) {
			v, err := DecodeTopic("t", d)
			v.raw = nil
			return EncodeTopic(v), err
		},
		"topic of a newer version": func(d []byte) ([]byte, error) {
			v, err := DecodeTopic("t", d)
			return EncodeTopic(v), err
		},
		"state": func(d []byte) ([]byte, error) {
			v, err := DecodePartitionState(d)
			return EncodePartitionState(v), err
		},
		"cluster": func(d []byte) ([]byte, error) {
			v, err := decodeClusterID(d)
			return encodeClusterID(v), err
		},
		"config": func(d []byte) ([]byte, error) {
			v, err := DecodeConfig(d)
			return EncodeConfig(v, nil), err
		},
		"change": func(d []byte) ([]byte, error) {
			v, err := DecodeConfigChange(d)
			return EncodeConfigChange(v), err
		},
		"feature": func(d []byte) ([]byte, error) {
			v, err := DecodeFeatures(d)
			return EncodeFeatures(v), err
		},
		"block": func(d []byte) ([]byte, error) {
			end, err := decodeBlockEnd(d)
			return encodeBlock(2, end-999, end), err
		},
		"isr change": func(d []byte) ([]byte, error) {
			v, err := DecodeIsrChange(d)
			return EncodeIsrChange(v), err
		},
		"log dir": func(d []byte) ([]byte, error) {
			v, err := DecodeLogDirEvent(d)
			return EncodeLogDirEvent(v), err
		},
		"reassignment": func(d []byte) ([]byte, error) {
			v, err := DecodeReassignment(d)
			return EncodeReassignment(v), err
		},
		"preferred election": func(d []byte) ([]byte, error) {
			v, err := DecodePreferredElection(d)
			return EncodePreferredElection(v), err
		},
	}
	for _, c := range []struct{ kind, data string }{
		{"broker", `{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://127.0.0.1:25091"],"rack":"r1","jmx_port":-1,"port":25091,"host":"127.0.0.1","version":5,"timestamp":"1795324287195"}`},
		{"broker", `{"listener_security_protocol_map":{"IN":"SSL"},"endpoints":["IN://[::1]:9093"],"jmx_port":9999,"port":-1,"host":null,"version":4,"timestamp":"1795324287195"}`},
		{"topic", `{"version":2,"partitions":{"0":[1,2],"1":[2,1]},"adding_replicas":{},"removing_replicas":{}}`},
		{"topic", `{"version":2,"partitions":{"0":[1,2,3]},"adding_replicas":{"0":[3]},"removing_replicas":{"0":[1]}}`},
		{"topic of a newer version", `{"version":3,"partitions":{"0":[1]},"adding_replicas":{},"removing_replicas":{},"topic_id":"x\u00e9_y"}`},
		{"state", `{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1,2]}`},
		{"state", `{"controller_epoch":12,"leader":-1,"version":1,"leader_epoch":3,"isr":[]}`},
		{"cluster", `{"version":"1","id":"_5bQm-_SSLmlmjk2K45Hog"}`},
		{"config", `{"version":1,"config":{"compression.type":"producer","cleanup.policy":"compact","segment.bytes":"104857600"}}`},
		{"config", `{"version":1,"config":{"producer_byte_rate":"1024","consumer_byte_rate":"2048"}}`},
		{"config", `{"version":1,"config":{}}`},
		{"change", `{"version":2,"entity_path":"users/alice/clients/c1"}`},
		{"feature", `{"features":{},"version":1,"status":1}`},
		{"block", `{"version":1,"broker":2,"block_start":"1000","block_end":"1999"}`},
		{"isr change", `{"version":1,"partitions":[{"topic":"t","partition":0},{"topic":"u","partition":3}]}`},
		{"log dir", `{"version":1,"broker":3,"event":1}`},
		{"reassignment", `{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2]}]}`},
		{"preferred election", `{"version":1,"partitions":[{"topic":"t","partition":0}]}`},
	} {
		got, err := recode[c.kind]([]byte(c.data))
		if err != nil || string(got) != c.data {
			t.Errorf("%s:\n got %s (%v)\nwant %s", c.kind, got, err, c.data)
		}
	}
}

// The orders are those of Scala 2.13.3 and Java 17.
func TestMembersStandInTheOrderOfTheHashMapsOfTheJVM(t *testing.T) {
	for n, want := range map[int]string{
		11: "0,1,2,3,4,5,6,7,8,9,10",
		12: "11,0,1,2,3,4,5,6,7,8,9,10",
		30: "22,23,24,25,26,27,28,29,10,11,12,13,14,15,16,17,18,19,0,1,2,3,4,5,6,7,8,9,20,21",
	} {
		var keys []string
		for i := range n {
			keys = append(keys, strconv.Itoa(i))
		}
		jvm.ScalaOrder(keys, jvm.StringHash)
		// With 11 keys in 16 buckets, 10 follows 9; with 12 in 32, 11 comes first.
		if got := strings.Join(keys, ","); got != want {
			t.Errorf("%d partitions:\n got %s\nwant %s", n, got, want)
		}
	}
	props := strings.Split("cleanup.policy compression.type delete.retention.ms file.delete.delay.ms flush.messages flush.ms "+
		"index.interval.bytes max.message.bytes min.insync.replicas retention.bytes retention.ms segment.bytes", " ")
	jvm.PropertiesOrder(props)
	want := "compression.type file.delete.delay.ms max.message.bytes min.insync.replicas index.interval.bytes delete.retention.ms " +
		"retention.bytes cleanup.policy flush.ms retention.ms segment.bytes flush.messages"
	if got := strings.Join(props, " "); got != want {
		t.Errorf("properties:\n got %s\nwant %s", got, want)
	}
}

func TestOldAndForeignZnodesAreRead(t *testing.T) {
	b, err := DecodeBroker(3, []byte(`{"version":1,"host":"h","port":9092,"jmx_port":-1,"timestamp":"1"}`))
	if err != nil || b.Endpoints[0] != (Endpoint{"PLAINTEXT", "PLAINTEXT", "h", 9092}) {
		t.Errorf("version 1 broker: %+v, %v", b, err)
	}
	tp, err := DecodeTopic("t", []byte(`{"version":1,"partitions":{"0":[1]}}`))
	if err != nil || !reflect.DeepEqual(tp.Partitions[0].Replicas, []int32{1}) {
		t.Errorf("version 1 topic: %+v, %v", tp, err)
	}
	if s, err := DecodePartitionState([]byte(` {"leader":2, "isr":[2,1],"leader_epoch":7,"controller_epoch":4,"x":0}`)); err != nil ||
		!reflect.DeepEqual(s, PartitionState{Leader: 2, LeaderEpoch: 7, ISR: []int32{2, 1}, ControllerEpoch: 4}) {
		t.Errorf("state with foreign fields: %+v, %v", s, err)
	}
	if id, err := DecodeController([]byte("7")); err != nil || id != 7 {
		t.Errorf("bare controller id: %d, %v", id, err)
	}
	if p, err := DecodeConfigChange([]byte(`{"version":1,"entity_type":"topics","entity_name":"t"}`)); err != nil || p != "topics/t" {
		t.Errorf("version 1 change: %q, %v", p, err)
	}
	if m, err := DecodeConfig([]byte(`{"version":1,"config":{"retention.ms":1000}}`)); err != nil || m["retention.ms"] != "1000" {
		t.Errorf("config with a bare number: %v, %v", m, err)
	}
}

func TestAccessControlListsAreThoseOfKafka(t *testing.T) {
	for path, want := range map[string]int{"/consumers": 1, "/brokers/ids/1": 2, "/config/topics/t": 2, "/config/users/u": 1, "/config/brokers": 1} {
		if got := defaultACL(true, path); len(got) != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if got := defaultACL(false, "/config/users/u"); got[0].Scheme != "world" || got[0].Perms != 31 {
		t.Errorf("without zookeeper.set.acl: %v", got)
	}
}
