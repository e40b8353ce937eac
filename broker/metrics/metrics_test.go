package metrics

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/internal/vfs"
	"gregor/replication"
	"gregor/storage"
)

func quiet() *logrus.Logger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

// hosted is a replica manager with partitions that this broker leads alone.
func hosted(tb testing.TB, topics, partitions int, c *replication.Counters) *replication.Manager {
	tb.Helper()
	store, err := storage.Open(context.Background(), storage.Options{FS: vfs.NewMem(), Dirs: []string{"/logs"}, BrokerID: 0})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close(context.Background()) })
	m := replication.New(replication.Options{BrokerID: 0, Logs: store, TopicConfig: func(string) storage.Config { return storage.Config{} }, Counters: c, Log: quiet()})
	req := &replication.LeaderAndIsr{ControllerEpoch: 1}
	for t := range topics {
		for p := range partitions {
			st := replication.PartitionState{TopicPartition: storage.TopicPartition{Topic: "topic-" + strconv.Itoa(t), Partition: int32(p)}}
			st.State = replication.State{ControllerEpoch: 1, ISR: []int32{0}, Replicas: []int32{0, 1}, IsNew: true}
			req.Partitions = append(req.Partitions, st)
		}
	}
	if err := m.BecomeLeaderOrFollower(req); err != nil {
		tb.Fatal(err)
	}
	return m
}

func TestAPartitionIsShownByAllItsGauges(t *testing.T) {
	s := listening(t, "127.0.0.1:0")
	counts := NewCounts()
	s.Set(Sources{Counts: counts, Replicas: hosted(t, 1, 2, &counts.Topics)})
	got := fetch(t, s, "/metrics", http.StatusOK)
	for _, want := range []string{
		`kafka_cluster_partition_replicascount{topic="topic-0",partition="1"} 2`,
		`kafka_cluster_partition_insyncreplicascount{topic="topic-0",partition="0"} 1`,
		`kafka_cluster_partition_underreplicated{topic="topic-0",partition="0"} 1`,
		`kafka_cluster_partition_atminisr{topic="topic-0",partition="0"} 1`,
		`kafka_log_log_numlogsegments{topic="topic-0",partition="0"} 1`,
		`kafka_log_log_logendoffset{topic="topic-0",partition="1"} 0`,
		`kafka_server_replicamanager_underreplicatedpartitions 2`,
		`kafka_server_brokertopicmetrics_bytesin_total 0`,
		`# TYPE kafka_log_log_size gauge`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}

func TestATopicIsShownOnceItIsUsedAndItsCountsOutliveIt(t *testing.T) {
	s := listening(t, "127.0.0.1:0")
	counts := NewCounts()
	m := hosted(t, 2, 1, &counts.Topics)
	s.Set(Sources{Counts: counts, Replicas: m})
	p, err := m.Lookup("topic-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	p.Counters().BytesIn.Add(100)
	const all, one = "kafka_server_brokertopicmetrics_bytesin_total 100\n", `kafka_server_brokertopicmetrics_bytesin_total{topic="topic-1"} 100` + "\n"
	got := fetch(t, s, "/metrics", http.StatusOK)
	if !strings.Contains(got, all) || !strings.Contains(got, one) || strings.Contains(got, `bytesin_total{topic="topic-0"}`) {
		t.Errorf("want 100 bytes of all topics and of topic-1, and nothing of topic-0")
	}
	stop := []replication.StopState{{TopicPartition: p.TopicPartition(), LeaderEpoch: replication.EpochDuringDelete, Delete: true}}
	if err := m.StopReplicas(1, stop); err != nil || stop[0].Err != nil {
		t.Fatal(err, stop[0].Err)
	}
	got = fetch(t, s, "/metrics", http.StatusOK)
	if !strings.Contains(got, all) || strings.Contains(got, `{topic="topic-1"`) {
		t.Errorf("a deleted topic must go, and its bytes stay in the sum")
	}
}

func TestHealthAndReadiness(t *testing.T) {
	s := listening(t, "127.0.0.1:0")
	if got := fetch(t, s, "/healthz", http.StatusOK); !strings.Contains(got, "+ process") {
		t.Errorf("health of a broker that starts: %q", got)
	}
	if got := fetch(t, s, "/readyz", http.StatusServiceUnavailable); !strings.Contains(got, "- registered in ZooKeeper: not yet") {
		t.Errorf("readiness of a broker that starts: %q", got)
	}
	store, err := storage.Open(context.Background(), storage.Options{FS: vfs.NewMem(), Dirs: []string{"/a", "/b"}, BrokerID: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(context.Background())
	s.Set(Sources{Store: store, State: Running})
	store.FailDir("/a", io.ErrUnexpectedEOF)
	if got := fetch(t, s, "/healthz", http.StatusOK); !strings.Contains(got, "/a is offline") {
		t.Errorf("health with one of two directories: %q", got)
	}
	store.FailDir("/b", io.ErrUnexpectedEOF)
	if got := fetch(t, s, "/healthz", http.StatusServiceUnavailable); !strings.Contains(got, "- log directories") {
		t.Errorf("health with no directory: %q", got)
	}
}

func TestProfilesAreForTheOwnMachineOnly(t *testing.T) {
	fetch(t, listening(t, "127.0.0.1:0"), "/debug/pprof/cmdline", http.StatusOK)
	fetch(t, listening(t, ":0"), "/debug/pprof/cmdline", http.StatusNotFound)
}

func listening(t *testing.T, addr string) *Server {
	t.Helper()
	s, err := Listen(addr, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func fetch(t *testing.T, s *Server, path string, code int) string {
	t.Helper()
	_, port, _ := strings.Cut(s.Addr().String(), "]:")
	if port == "" {
		_, port, _ = strings.Cut(s.Addr().String(), ":")
	}
	resp, err := http.Get("http://127.0.0.1:" + port + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != code {
		t.Errorf("%s answers %s, want %d: %.200s", path, resp.Status, code, b)
	}
	return string(b)
}

// BenchmarkScrape100kPartitions shows what a scrape of 100,000 partitions, 10 series each, takes: time, and memory at its peak.
func BenchmarkScrape100kPartitions(b *testing.B) {
	counts := NewCounts()
	m := hosted(b, 1000, 100, &counts.Topics)
	s := &Server{log: quiet(), runtime: newRuntime()}
	s.cpu.start = time.Now()
	s.sources.Store(&Sources{Counts: counts, Replicas: m})
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	var n counted
	for b.Loop() {
		n = 0
		if err := s.write(context.Background(), &n); err != nil {
			b.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(n)/1e6, "MB/scrape")
	b.ReportMetric(float64(after.HeapSys-before.HeapSys)/1e6, "MB-heap-growth")
}

type counted int64

func (c *counted) Write(p []byte) (int, error) {
	*c += counted(len(p))
	return len(p), nil
}
