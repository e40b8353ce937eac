package integration

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// TestUpgradeFromOldKafka: a real broker of 0.8.2.2 or 0.10.2.2 wrote the logs; Gregor goes on with its directory and its ZooKeeper, first
// in the old format and then in today's, and Apache Kafka 2.7.2 goes on with what Gregor leaves.
func TestUpgradeFromOldKafka(t *testing.T) {
	_, ctx := interop(t, 20*time.Minute)
	if !full() {
		t.Skip("run with FULL=1; the golden directories have such logs")
	}
	tr := sourceTree(t).Part(400).Text()
	for kind, c := range map[peer.Kind]struct{ format, producer string }{
		peer.Kafka08:  {"0.8.2", "java-kafka-0.8.2.2"},
		peer.Kafka010: {"0.10.2", "java-clients-0.10"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			if _, err := peer.Jars(string(kind)); err != nil {
				t.Skipf("the broker is not here: scripts/dev/interop-setup.sh golden: %v", err)
			}
			u := upgrade{ctx: ctx, tree: tr, dir: t.TempDir(), zooKeeper: startZooKeeper(t, ctx).Addr, format: c.format}
			old := find(t, tools(t).OldProducers(), func(p clients.Producer) string { return p.Name }, c.producer)
			u.turn(t, kind, nil, old)
			u.turn(t, peer.Gregor, map[string]string{"log.message.format.version": c.format}, old)
			u.turn(t, peer.Gregor, nil, producer(t, "java-2.7.2"))
			u.turn(t, peer.Kafka, nil, producer(t, "java-2.7.2"))
			u.turn(t, peer.Gregor, nil, producer(t, "java-2.7.2"))
		})
	}
}

// upgrade is a data directory that goes from one broker to the next.
type upgrade struct {
	ctx                    context.Context
	tree                   *clients.Tree
	dir, zooKeeper, format string
	topics                 []clients.Job
}

// turn starts a broker, reads every topic that is there, and writes one more.
func (u *upgrade) turn(t *testing.T, kind peer.Kind, config map[string]string, p clients.Producer) {
	t.Helper()
	all := map[string]string{"log.segment.bytes": "65536", "log.index.interval.bytes": "512", "auto.create.topics.enable": "true", "num.partitions": "3",
		"log.retention.hours": "100000"}
	for k, v := range config {
		all[k] = v
	}
	b, err := peer.StartWhenFree(u.ctx, peer.Options{Kind: kind, Dir: u.dir, ID: 1, ZooKeeper: u.zooKeeper + "/upgraded", Config: all})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range u.topics {
		j := u.topics[i]
		j.Addr, j.ZooKeeper = b.Addr, b.ZooKeeper
		awaitTopic(t, u.ctx, b, j.Topic)
		consume(t, u.ctx, consumer(t, "kcat"), j, u.tree)
		consume(t, u.ctx, find(t, tools(t).OldConsumers(), func(c clients.Consumer) string { return c.Name }, "simple-0.8.2.2"), j, u.tree)
	}
	codec := clients.OldCodecs[(3+len(u.topics))%len(clients.OldCodecs)]
	j := clients.Job{Addr: b.Addr, Topic: string(kind) + "-" + string(rune('a'+len(u.topics))), Codec: codec}
	if len(u.topics) > 0 { // the broker of old makes its topic when it is asked for it
		if err := clients.CreateTopic(u.ctx, b.Addr, j.Topic, 3, nil); err != nil {
			t.Fatal(err)
		}
	}
	produce(t, u.ctx, p, j, u.tree)
	u.topics = append(u.topics, j)
	stop(t, b)
}

// awaitTopic waits until a broker that has just started knows the topic's three partitions.
func awaitTopic(t *testing.T, ctx context.Context, b *peer.Broker, topic string) {
	t.Helper()
	for {
		ends, err := clients.EndOffsets(ctx, b.Addr, topic)
		if err == nil && len(ends) == 3 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s does not come up with %s: %v, %v\n%s", b.Kind, topic, ends, err, b.Tail())
		}
	}
}

// TestOldFormatsReplicate: Gregor and Apache Kafka follow each other in every message format, and hold the same bytes.
func TestOldFormatsReplicate(t *testing.T) {
	_, ctx := interop(t, 10*time.Minute)
	if !full() {
		t.Skip("run with FULL=1")
	}
	tr := sourceTree(t).Part(400).Text()
	zk := startZooKeeper(t, ctx).Addr
	brokers := map[peer.Kind]*peer.Broker{}
	for id, kind := range []peer.Kind{peer.Kafka, peer.Gregor} {
		brokers[kind] = startBroker(t, ctx, peer.Options{Kind: kind, ID: id, ZooKeeper: zk, Config: map[string]string{"log.segment.bytes": "65536"}})
	}
	addr := brokers[peer.Kafka].Addr
	formats := []string{"0.9.0", "0.10.2", "2.7"}
	producers := tools(t).OldProducers()
	for fi, format := range formats {
		topic := "replicated-" + format
		createReplicated(t, ctx, addr, topic, format)
		for pi, name := range []string{"java-kafka-0.8.2.2", "java-clients-0.10", "java-clients-1.1"} {
			p := find(t, producers, func(p clients.Producer) string { return p.Name }, name)
			produce(t, ctx, p, clients.Job{Addr: addr, Topic: topic, Codec: clients.OldCodecs[(fi+pi)%4]}, tr)
		}
	}
	for _, b := range brokers {
		stop(t, b)
	}
	for _, format := range formats {
		for _, partition := range []string{"-0", "-1"} {
			a, b := logBytes(t, brokers[peer.Kafka], "replicated-"+format+partition), logBytes(t, brokers[peer.Gregor], "replicated-"+format+partition)
			if len(a) == 0 || !bytes.Equal(a, b) {
				t.Errorf("%s%s: Apache Kafka has %d bytes, Gregor %d, or they differ", format, partition, len(a), len(b))
			}
			t.Logf("%s%s: %d bytes", format, partition, len(a))
		}
	}
}

// createReplicated makes a topic whose first partition one broker leads, and whose second the other.
func createReplicated(t *testing.T, ctx context.Context, addr, topic, format string) {
	t.Helper()
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 4, 30_000
	k := kmsg.NewCreateTopicsRequestTopic()
	k.Topic, k.NumPartitions, k.ReplicationFactor = topic, -1, -1
	k.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{0, 1}}, {Partition: 1, Replicas: []int32{1, 0}}}
	k.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "message.format.version", Value: &format}}
	req.Topics = append(req.Topics, k)
	resp, err := c.Request(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// logBytes is a partition's segments, one behind the other.
func logBytes(t *testing.T, b *peer.Broker, partition string) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(b.LogDir(), partition, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, n := range names {
		content, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content...)
	}
	return all
}
