package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/controller"
	"gregor/integration/peer"
	"gregor/zkmeta"
)

// znodeDump lists path, data, ephemerality, version and ACL of every znode below the client's chroot, with what must differ between two
// clusters taken out.
func znodeDump(t *testing.T, zk *zkmeta.Client) []string {
	t.Helper()
	var root []string
	for _, top := range []string{zkmeta.PathAdmin, zkmeta.PathBrokers, zkmeta.PathCluster, zkmeta.PathConfig, zkmeta.PathConsumers, zkmeta.PathController,
		zkmeta.PathControllerEpoch, zkmeta.PathFeature, zkmeta.PathIsrChangeNotification, zkmeta.PathLogDirEventNotification, zkmeta.PathProducerIDBlock} {
		tree, err := zk.Subtree(t.Context(), top)
		if err != nil {
			t.Fatal(err)
		}
		root = append(root, tree...)
	}
	vary := regexp.MustCompile(`"timestamp":"\d+"|"id":"[^"]{22}"`)
	var out []string
	for _, p := range root {
		data, st, err := zk.Get(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		acl, err := zk.ACL(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s | %s | null %v | ephemeral %v | v%d | %v", p, vary.ReplaceAll(data, []byte("VARIES")), data == nil,
			st.EphemeralOwner != 0, st.Version, acl))
	}
	sort.Strings(out)
	return out
}

func dialZooKeeper(t *testing.T, connect string) *zkmeta.Client {
	t.Helper()
	zk, err := zkmeta.Dial(t.Context(), zkmeta.Options{Connect: connect})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(zk.Close)
	return zk
}

func runGregorController(t *testing.T, zk *zkmeta.Client, id int32) {
	t.Helper()
	c := controller.New(controller.Options{ZK: zk, BrokerID: id, Config: controller.Config{DeleteTopics: true, Listener: "PLAINTEXT"}, Log: logrus.New()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// waitZnodes waits until ok says so, which it is asked after each change of path's data or children.
func waitZnodes(t *testing.T, zk *zkmeta.Client, path string, ok func() bool) {
	t.Helper()
	changed := make(chan struct{}, 1000)
	defer zk.Subscribe(func(zkmeta.Event) { changed <- struct{}{} })()
	for {
		_, _, err := zk.GetW(t.Context(), path)
		if err != nil && !errors.Is(err, zkmeta.ErrNoNode) {
			t.Fatal(err)
		}
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatalf("not in time: %s", path)
		}
	}
}

func there(t *testing.T, zk *zkmeta.Client, path string) bool {
	t.Helper()
	ok, _, err := zk.Exists(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// The same cluster made by Apache Kafka 2.7.2 and by Gregor's zkmeta and controller has the same znodes, byte for byte.
func TestZnodesAreThoseOfApacheKafka(t *testing.T) {
	interop(t, 3*time.Minute)
	zkp, err := peer.StartZooKeeper(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(zkp.Close)
	kafka, err := peer.StartBroker(t.Context(), peer.Options{Kind: peer.Kafka, Dir: t.TempDir(), ID: 1, ZooKeeper: zkp.Addr + "/apache", Config: map[string]string{"broker.rack": "r\"1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(kafka.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	configs := map[string]string{"cleanup.policy": "compact", "compression.type": "gzip", "retention.ms": "1000", "segment.bytes": "1048576", "flush.ms": "99"}
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "many", 14, 1
	// In one order: settings that share a bucket of Java's map are written in the order in which they came.
	for _, k := range slices.Sorted(maps.Keys(configs)) {
		v := configs[k]
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	req.Topics = append(req.Topics, topic)
	if resp, err := req.RequestWith(t.Context(), cl); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatal(resp, err)
	}
	apache := dialZooKeeper(t, zkp.Addr+"/apache")
	last := zkmeta.PathPartitionState(zkmeta.TopicPartition{Topic: "many", Partition: 13})
	waitZnodes(t, apache, last, func() bool { return there(t, apache, last) })

	zk := dialZooKeeper(t, zkp.Addr+"/gregor")
	ctx := t.Context()
	if err := zk.EnsurePaths(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := zk.ClusterID(ctx); err != nil {
		t.Fatal(err)
	}
	info, err := apache.Broker(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zk.RegisterBroker(ctx, info); err != nil {
		t.Fatal(err)
	}
	if _, _, err := zk.ProducerIDBlock(ctx, 1); err != nil { // as Apache's does when it starts
		t.Fatal(err)
	}
	// Its requests go to the Apache broker, which refuses them: the znodes are what counts here.
	runGregorController(t, zk, 1)
	asg := map[int32][]int32{}
	for p := range int32(14) {
		asg[p] = []int32{1}
	}
	waitZnodes(t, zk, zkmeta.PathController, func() bool { return there(t, zk, zkmeta.PathController) })
	if err := zk.CreateTopic(ctx, "many", asg, configs); err != nil {
		t.Fatal(err)
	}
	waitZnodes(t, zk, last, func() bool { return there(t, zk, last) })

	want, got := znodeDump(t, apache), znodeDump(t, zk)
	if w, g := strings.Join(want, "\n"), strings.Join(got, "\n"); w != g {
		for _, l := range want {
			if !strings.Contains(g, l) {
				t.Errorf("Apache Kafka: %s", l)
			}
		}
		for _, l := range got {
			if !strings.Contains(w, l) {
				t.Errorf("Gregor:       %s", l)
			}
		}
	}
}

// An Apache Kafka broker in a cluster whose controller is Gregor's: it leads what it is given, serves it, and deletes it.
func TestAnApacheBrokerObeysGregorsController(t *testing.T) {
	interop(t, 3*time.Minute)
	zkp, err := peer.StartZooKeeper(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(zkp.Close)
	zk := dialZooKeeper(t, zkp.Addr+"/k")
	ctx := t.Context()
	if err := zk.EnsurePaths(ctx); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // stands for broker 1, which answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	n, _ := strconv.Atoi(port)
	_, err = zk.RegisterBroker(ctx, zkmeta.BrokerInfo{ID: 1, JmxPort: -1, Endpoints: []zkmeta.Endpoint{{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "127.0.0.1", Port: int32(n)}}})
	if err != nil {
		t.Fatal(err)
	}
	runGregorController(t, zk, 1)
	waitZnodes(t, zk, zkmeta.PathController, func() bool { return there(t, zk, zkmeta.PathController) })
	kafka, err := peer.StartBroker(ctx, peer.Options{Kind: peer.Kafka, Dir: t.TempDir(), ID: 2, ZooKeeper: zkp.Addr + "/k"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	if err := zk.CreateTopic(ctx, "t", map[int32][]int32{0: {2}, 1: {2}}, nil); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(kafka.Addr), kgo.ConsumeTopics("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(100))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for p := range int32(2) {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Partition: p, Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for seen := 0; seen < 2; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		seen += fs.NumRecords()
	}
	if err := zk.DeleteTopic(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	waitZnodes(t, zk, zkmeta.PathTopic("t"), func() bool { return !there(t, zk, zkmeta.PathTopic("t")) })
}
