package clusterstatus

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire"
)

func partition(n, leader int32, replicas, isr []int32) kmsg.MetadataResponseTopicPartition {
	return kmsg.MetadataResponseTopicPartition{Partition: n, Leader: leader, Replicas: replicas, ISR: isr}
}

// cluster is one of brokers 0 and 1, where broker 2 is away.
func cluster(parts ...kmsg.MetadataResponseTopicPartition) *findings {
	return &findings{
		metadata: &kmsg.MetadataResponse{ControllerID: 1, Brokers: []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "b", Port: 9}, {NodeID: 0, Host: "a", Port: 9}},
			Topics: []kmsg.MetadataResponseTopic{{Topic: kmsg.StringPtr("t"), Partitions: parts}}},
		minISR: map[string]int{"t": 2},
	}
}

func kinds(s *Status) string {
	var out []string
	for _, p := range s.Problems {
		if p.Do == "" {
			out = append(out, "NOTHING TO DO ABOUT")
		}
		out = append(out, p.Kind)
	}
	return strings.Join(out, "; ")
}

func TestWhatIsWrongIsTold(t *testing.T) {
	both, all := []int32{0, 1}, []int32{0, 1, 2}
	for name, c := range map[string]struct {
		f    *findings
		want string
		do   string
	}{
		"all is well":                 {cluster(partition(0, 0, both, both)), "", ""},
		"a broker is away":            {cluster(partition(0, 0, all, both)), "brokers; under-replicated", "start broker 2"},
		"one replica is left":         {cluster(partition(0, 0, both, []int32{0})), "below min.insync.replicas", "broker 1 is there and not in sync"},
		"no leader":                   {cluster(partition(0, -1, []int32{2}, []int32{2})), "brokers; offline", "start broker 2, which has all records"},
		"no leader, though it is up":  {cluster(partition(0, -1, []int32{1}, []int32{1})), "offline", "broker 1 is there and its replica is not"},
		"fewer replicas than minimum": {cluster(partition(0, 0, []int32{0}, []int32{0})), "below min.insync.replicas", "lower min.insync.replicas"},
	} {
		s := c.f.judge()
		if got := kinds(s); got != c.want || s.Healthy != (c.want == "") {
			t.Errorf("%s: %s, healthy %t; want %s", name, got, s.Healthy, c.want)
		}
		if text := s.text(time.Now()); !strings.Contains(text, c.do) {
			t.Errorf("%s: does not say %q:\n%s", name, c.do, text)
		}
	}
}

func TestWhatAMoveAddsIsNotMissing(t *testing.T) {
	f := cluster(partition(0, 0, []int32{1, 0}, []int32{0}))
	f.minISR["t"] = 1
	f.moves = &kmsg.ListPartitionReassignmentsResponse{Topics: []kmsg.ListPartitionReassignmentsResponseTopic{{Topic: "t",
		Partitions: []kmsg.ListPartitionReassignmentsResponseTopicPartition{{Partition: 0, Replicas: []int32{1, 0}, AddingReplicas: []int32{1}, RemovingReplicas: []int32{0}}}}}}
	s := f.judge()
	if text := s.text(time.Now()); !s.Healthy || !strings.Contains(text, "BEING REASSIGNED: 1 partition: t-0 to 1 from 0") {
		t.Error(text)
	}
}

func TestDirectoriesAndControllersAreLookedAt(t *testing.T) {
	f := cluster(partition(0, 0, []int32{0, 1}, []int32{0, 1}))
	f.metadata.ControllerID = -1
	f.dirs = map[int32]*kmsg.DescribeLogDirsResponse{0: {Dirs: []kmsg.DescribeLogDirsResponseDir{{Dir: "/d", ErrorCode: kerr.KafkaStorageError.Code}}}}
	if got := kinds(f.judge()); got != "controller; log directory" {
		t.Error(got)
	}
}

// A broker tells how full a directory is, wherever it runs.
func TestFullDirectoriesAreToldOfAnyBroker(t *testing.T) {
	f := cluster(partition(0, 0, []int32{0, 1}, []int32{0, 1}))
	full := kmsg.DescribeLogDirsResponseDir{Dir: "/full"}
	wire.SetSpace(&full, 3<<20, 1<<30)
	refusing := kmsg.DescribeLogDirsResponseDir{Dir: "/refusing"}
	wire.SetSpace(&refusing, 300<<20, 1<<30)
	f.dirs = map[int32]*kmsg.DescribeLogDirsResponse{0: {Dirs: []kmsg.DescribeLogDirsResponseDir{full, {Dir: "/fine"}}}, 1: {Dirs: []kmsg.DescribeLogDirsResponseDir{refusing}}}
	f.settings = map[int32]map[string]string{1: {minFree: "1000000000"}}
	s := f.judge()
	text := s.text(time.Now())
	for _, want := range []string{"/full of broker 0 is full to 99 %, 3072 KiB are free", "/refusing of broker 1 has 300 MiB free, less than " + minFree + "=1000000000: records are refused", "retention.bytes"} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	if got := kinds(s); got != "log directory; log directory" {
		t.Error(got)
	}
}

// What cannot be reached from here is not wrong.
func TestAZooKeeperOutOfReachIsANote(t *testing.T) {
	f := cluster(partition(0, 0, []int32{0, 1}, []int32{0, 1}))
	if zk := f.zookeeper(expired(t), "127.0.0.1:1", false); zk != nil {
		t.Fatal("it answers")
	}
	s := f.judge()
	if text := s.text(time.Now()); !s.Healthy || !strings.Contains(text, "127.0.0.1:1, as the brokers name it, is not within reach") {
		t.Error(text)
	}
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestManyPartitionsFitOnAScreen(t *testing.T) {
	var parts []kmsg.MetadataResponseTopicPartition
	for i := range int32(1000) {
		parts = append(parts, partition(i, 0, []int32{0, 1, 2}, []int32{0, 1}))
	}
	s := cluster(parts...).judge()
	if text := s.text(time.Now()); strings.Count(text, "\n") > 24 || !strings.Contains(text, "and 992 more") {
		t.Error(text)
	}
}
