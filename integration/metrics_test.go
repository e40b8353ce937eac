package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
)

// TestMetricsAgreeWithKafkas puts the same load on Apache Kafka and on Gregor and compares counters and gauges that must agree, Kafka's
// as its MBeans say over JMX, Gregor's as Prometheus sees them.
func TestMetricsAgreeWithKafkas(t *testing.T) {
	if os.Getenv("GREGOR_INTEROP") != "1" {
		t.Skip("GREGOR_INTEROP=1 compares with Apache Kafka")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	zk, err := peer.StartGregorZooKeeper(ctx, dir+"/zk")
	if err != nil {
		t.Fatal(err)
	}
	defer zk.Close()
	ports := [2]int{}
	for i := range ports {
		if ports[i], err = peer.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	jmx := "-Dcom.sun.management.jmxremote.port=" + strconv.Itoa(ports[0]) + " -Dcom.sun.management.jmxremote.rmi.port=" + strconv.Itoa(ports[0]) +
		" -Dcom.sun.management.jmxremote.authenticate=false -Dcom.sun.management.jmxremote.ssl=false -Djava.rmi.server.hostname=127.0.0.1"
	kafka, err := peer.StartBroker(ctx, peer.Options{Kind: peer.Kafka, Dir: dir + "/kafka", ID: 1, ZooKeeper: zk.Addr + "/kafka",
		Env: []string{"JAVA_TOOL_OPTIONS=" + jmx}})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	gregor, err := peer.StartBroker(ctx, peer.Options{Kind: peer.Gregor, Dir: dir + "/gregor", ID: 1, ZooKeeper: zk.Addr + "/gregor",
		Env: []string{"JMX_PORT=" + strconv.Itoa(ports[1])}})
	if err != nil {
		t.Fatal(err)
	}
	defer gregor.Close()
	for _, b := range []*peer.Broker{kafka, gregor} {
		load(t, ctx, b.Addr)
	}
	want, got := overJMX(t, ctx, ports[0]), overHTTP(t, ctx, ports[1])
	for _, name := range []string{
		"kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec:Count", "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,topic=load:Count",
		"kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec:Count", "kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec,topic=load:Count",
		"kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec,topic=load:Count",
		"kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec,topic=load:Count",
		"kafka.network:type=RequestMetrics,name=RequestsPerSec,request=Produce,version=8:Count",
		"kafka.network:type=RequestMetrics,name=ErrorsPerSec,request=Produce,error=NONE:Count",
		"kafka.network:type=RequestMetrics,name=TotalTimeMs,request=Produce:Count",
		"kafka.network:type=RequestMetrics,name=ErrorsPerSec,request=CreateTopics,error=TOPIC_ALREADY_EXISTS:Count",
		"kafka.network:type=RequestMetrics,name=RequestsPerSec,request=FetchConsumer,version=11:Count",
		"kafka.controller:type=KafkaController,name=ActiveControllerCount:Value", "kafka.controller:type=KafkaController,name=GlobalTopicCount:Value",
		"kafka.controller:type=KafkaController,name=GlobalPartitionCount:Value", "kafka.controller:type=KafkaController,name=OfflinePartitionsCount:Value",
		"kafka.controller:type=ControllerStats,name=UncleanLeaderElectionsPerSec:Count",
		"kafka.server:type=ReplicaManager,name=PartitionCount:Value", "kafka.server:type=ReplicaManager,name=LeaderCount:Value",
		"kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions:Value", "kafka.server:type=ReplicaManager,name=AtMinIsrPartitionCount:Value",
		"kafka.server:type=KafkaServer,name=BrokerState:Value", "kafka.log:type=LogManager,name=OfflineLogDirectoryCount:Value",
		"kafka.log:type=Log,name=LogEndOffset,topic=load,partition=1:Value", "kafka.log:type=Log,name=Size,topic=load,partition=0:Value",
		"kafka.log:type=Log,name=NumLogSegments,topic=load,partition=0:Value", "kafka.cluster:type=Partition,name=ReplicasCount,topic=load,partition=0:Value",
		"kafka.cluster:type=Partition,name=InSyncReplicasCount,topic=load,partition=0:Value",
		"kafka.server:type=SessionExpireListener,name=ZooKeeperSyncConnectsPerSec:Count",
	} {
		series := exported(name)
		w, there := want[name]
		g, here := got[series]
		if !there || !here || w != g {
			t.Errorf("%s is %v (%v) in Apache Kafka, %s is %v (%v) here", name, w, there, series, g, here)
		}
	}
	missing := 0
	for name := range want { // what has happened there has a series here, unless docs/metrics.md says why not
		if strings.Contains(name, "request=Produce") || strings.Contains(name, "kafka.cluster") || strings.Contains(name, "type=Log,") {
			if s := exported(name); s != "" && !strings.Contains(name, "Percentile") && !strings.Contains(name, "MessageConversions") && !strings.Contains(name, "TemporaryMemory") && !strings.Contains(name, "ThrottleTime") {
				if _, ok := got[s]; !ok {
					missing++
					t.Errorf("%s has no series %s here", name, s)
				}
			}
		}
	}
	t.Logf("%d values over JMX, %d series here, %d missing", len(want), len(got), missing)
}

var attribute = regexp.MustCompile(`^(kafka\.\w+):type=([^,:]+),name=([^,:]+)((?:,[^:]*)?):(Count|Value)$`)

// exported is the series that the exporter's rules make of an attribute, with labels in the order of their names; "" if they drop it.
func exported(name string) string {
	m := attribute.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	base, perSec := strings.CutSuffix(m[3], "PerSec")
	series := strings.ToLower(strings.ReplaceAll(m[1], ".", "_") + "_" + m[2] + "_" + strings.ReplaceAll(base, "-", "_"))
	switch {
	case perSec:
		series += "_total"
	case m[5] == "Count":
		series += "_count"
	}
	var labels []string
	for l := range strings.SplitSeq(strings.TrimPrefix(m[4], ","), ",") {
		if k, v, ok := strings.Cut(l, "="); ok {
			labels = append(labels, k+`="`+v+`"`)
		}
	}
	return seriesKey(series, labels)
}

func seriesKey(name string, labels []string) string {
	for i := range labels { // few: insertion is enough
		for j := i; j > 0 && labels[j] < labels[j-1]; j-- {
			labels[j], labels[j-1] = labels[j-1], labels[j]
		}
	}
	return name + "{" + strings.Join(labels, ",") + "}"
}

// overJMX reads every attribute of every MBean with Apache Kafka's own tool.
func overJMX(t *testing.T, ctx context.Context, port int) map[string]float64 {
	t.Helper()
	cp, err := peer.Classpath("kafka-2.7.2")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", cp, "kafka.tools.JmxTool", "--one-time", "true", "--report-format", "properties",
		"--jmx-url", fmt.Sprintf("service:jmx:rmi:///jndi/rmi://127.0.0.1:%d/jmxrmi", port))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("JmxTool:", err)
	}
	values := map[string]float64{}
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		at := strings.LastIndexByte(sc.Text(), '=')
		if at < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(sc.Text()[at+1:], 64); err == nil {
			values[sc.Text()[:at]] = v
		}
	}
	return values
}

func overHTTP(t *testing.T, ctx context.Context, port int) map[string]float64 {
	t.Helper()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			continue
		}
		name, rest, _ := strings.Cut(line[:at], "{")
		var labels []string
		if rest = strings.TrimSuffix(rest, "}"); rest != "" {
			labels = strings.Split(rest, ",")
		}
		values[seriesKey(name, labels)] = v
	}
	return values
}

// load does the same to either broker: two topics made, one twice, twenty batches produced, and fetched once without waiting.
func load(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = 20_000
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "load", NumPartitions: 2, ReplicationFactor: 1}, {Topic: "idle", NumPartitions: 3, ReplicationFactor: 1}}
	for range 2 {
		if _, err := create.RequestWith(ctx, cl); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		r := &kgo.Record{Topic: "load", Partition: int32(i % 2), Value: bytes.Repeat([]byte{'v'}, 100*i), Timestamp: time.UnixMilli(1_600_000_000_000)}
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := peer.Dial(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for p := range int32(2) {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxBytes, req.MinBytes, req.MaxWaitMillis = 11, 10<<20, 1, 1000
		req.SessionEpoch, req.ReplicaID = -1, -1
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.PartitionMaxBytes, part.CurrentLeaderEpoch = p, 10<<20, -1
		req.Topics = []kmsg.FetchRequestTopic{{Topic: "load", Partitions: []kmsg.FetchRequestTopicPartition{part}}}
		if _, err := conn.Request(ctx, req); err != nil {
			t.Fatal(err)
		}
	}
}
