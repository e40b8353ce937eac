package producerperf

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/cli"
)

const (
	// window is how often a line is printed.
	window = 5 * time.Second
	// sampled is how many latencies are kept at most.
	sampled = 500000
	mega    = 1024 * 1024
)

// sums are the figures of a span of time.
type sums struct {
	count, bytes, latency, worst int64
}

func (s *sums) add(latency, bytes int64) {
	s.count++
	s.bytes += bytes
	s.latency += latency
	s.worst = max(s.worst, latency)
}

// stats counts answers.
type stats struct {
	mu        sync.Mutex
	out       *bufio.Writer
	start     time.Time
	windowed  time.Time
	all, win  sums
	sampling  int64
	latencies []int64
}

func newStats(records int64, out *bufio.Writer) *stats {
	now := time.Now()
	return &stats{out: out, start: now, windowed: now, sampling: records / min(records, sampled), latencies: make([]int64, 0, min(records, sampled)+1)}
}

// record counts the answer to record i, which was sent at that time.
func (s *stats) record(i int64, sent time.Time, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	latency := now.UnixMilli() - sent.UnixMilli()
	s.all.add(latency, int64(bytes))
	s.win.add(latency, int64(bytes))
	if i%s.sampling == 0 {
		s.latencies = append(s.latencies, latency)
	}
	if elapsed := now.Sub(s.windowed); elapsed >= window {
		recs, mb := s.win.rates(elapsed)
		fmt.Fprintf(s.out, "%d records sent, %.1f records/sec (%.2f MB/sec), %.1f ms avg latency, %.1f ms max latency.\n",
			s.win.count, recs, mb, s.win.average(), float64(s.win.worst))
		s.out.Flush() //nolint:errcheck // a closed standard output does not stop the test
		s.windowed, s.win = now, sums{}
	}
}

// rates are records and megabytes a second. A run shorter than Kafka's clock can tell counts as a millisecond.
func (s *sums) rates(elapsed time.Duration) (records, megabytes float64) {
	ms := float64(max(elapsed.Milliseconds(), 1))
	return 1000 * float64(s.count) / ms, 1000 * float64(s.bytes) / ms / mega
}

func (s *sums) average() float64 { return float64(s.latency) / float64(max(s.count, 1)) }

func (s *stats) total() {
	s.mu.Lock()
	defer s.mu.Unlock()
	recs, mb := s.all.rates(time.Since(s.start))
	slices.Sort(s.latencies)
	p := func(part float64) int64 {
		if len(s.latencies) == 0 {
			return 0
		}
		return s.latencies[int(part*float64(len(s.latencies)))]
	}
	fmt.Fprintf(s.out, "%d records sent, %f records/sec (%.2f MB/sec), %.2f ms avg latency, %.2f ms max latency, %d ms 50th, %d ms 95th, %d ms 99th, %d ms 99.9th.\n",
		s.all.count, recs, mb, s.all.average(), float64(s.all.worst), p(0.5), p(0.95), p(0.99), p(0.999))
}

// counters are what --print-metrics shows: what kgo tells of its connections and batches.
type counters struct {
	client                  string
	mu                      sync.Mutex
	connects                float64
	in, out                 float64
	batches, records, bytes float64
	raw                     float64
}

// OnBrokerConnect counts connections.
func (c *counters) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.connects++
	}
}

// OnBrokerWrite counts bytes sent.
func (c *counters) OnBrokerWrite(_ kgo.BrokerMetadata, _ int16, n int, _, _ time.Duration, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out += float64(n)
}

// OnBrokerRead counts bytes received.
func (c *counters) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, n int, _, _ time.Duration, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in += float64(n)
}

// OnProduceBatchWritten counts batches.
func (c *counters) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches++
	c.records += float64(m.NumRecords)
	c.bytes += float64(m.CompressedBytes)
	c.raw += float64(m.UncompressedBytes)
}

// print writes the counters under the names that Java's client has for them, sorted.
func (c *counters) print(out io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	batches, raw := max(c.batches, 1), max(c.raw, 1)
	values := map[string]float64{"batch-size-avg": c.bytes / batches, "batch-total": c.batches, "compression-rate-avg": c.bytes / raw,
		"connection-creation-total": c.connects, "incoming-byte-total": c.in, "outgoing-byte-total": c.out, "record-send-total": c.records}
	tags := ":{client-id=" + c.client + "}"
	version, _, _ := strings.Cut(cli.Version, " ")
	lines := map[string]string{"app-info:version" + tags: version}
	for name, v := range values {
		lines["producer-metrics:"+name+tags] = fmt.Sprintf("%.3f", v)
	}
	names, width := make([]string, 0, len(lines)), 0
	for n := range lines {
		names = append(names, n)
		width = max(width, len(n))
	}
	slices.Sort(names)
	fmt.Fprintf(out, "\n%-*s   %s\n", width, "Metric Name", "Value")
	for _, n := range names {
		fmt.Fprintf(out, "%-*s : %s\n", width, n, lines[n])
	}
}
