package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/clients"
	"gregor/integration/peer"
	"gregor/wire/record"
)

// trouble is interop for what only Gregor is asked: the limits here are tighter than Apache Kafka's.
func trouble(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	kind, ctx := interop(t, limit)
	if kind != peer.Gregor {
		t.Skip("about Gregor alone")
	}
	return ctx
}

// troubled starts a broker with a topic "t" of one partition.
func troubled(t *testing.T, ctx context.Context, o peer.Options) *peer.Broker {
	t.Helper()
	o.Kind = peer.Gregor
	b := startBroker(t, ctx, o)
	createTopic(t, ctx, b, "t", 1, nil)
	return b
}

func createTopic(t *testing.T, ctx context.Context, b *peer.Broker, topic string, partitions int32, config map[string]string) {
	t.Helper()
	if err := clients.CreateTopic(ctx, b.Addr, topic, partitions, config); err != nil {
		t.Fatalf("creating topic %s: %v", topic, err)
	}
}

func dialBroker(t *testing.T, ctx context.Context, b *peer.Broker) *peer.Conn {
	t.Helper()
	c, err := peer.Dial(ctx, b.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends one request and fails the test unless it is answered.
func ask[R kmsg.Response](t *testing.T, ctx context.Context, c *peer.Conn, req kmsg.Request) R {
	t.Helper()
	resp, err := c.Request(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(R)
}

func produceTo(topic string, partition int32, version, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, acks, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, records
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// produceCode appends records to t-0 and returns the partition's error code.
func produceCode(t *testing.T, ctx context.Context, c *peer.Conn, topic string, records []byte) (int16, int64) {
	t.Helper()
	p := ask[*kmsg.ProduceResponse](t, ctx, c, produceTo(topic, 0, 8, 1, records)).Topics[0].Partitions[0]
	return p.ErrorCode, p.BaseOffset
}

// batch is one v2 batch of the values.
func batch(t *testing.T, b *record.Builder, values ...[]byte) record.Batch {
	t.Helper()
	now := time.Now().UnixMilli()
	for _, v := range values {
		b.Append(now, nil, v)
	}
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// brokerLog is what the broker has printed since.
type brokerLog struct {
	b    *peer.Broker
	from int
}

func logFrom(b *peer.Broker) brokerLog {
	all, _ := os.ReadFile(b.Log)
	return brokerLog{b, len(all)}
}

// lines returns the new lines that contain all of the words.
func (l brokerLog) lines(words ...string) []string {
	all, _ := os.ReadFile(l.b.Log)
	var out []string
next:
	for _, line := range strings.Split(string(all[min(l.from, len(all)):]), "\n") {
		if line == "" {
			continue
		}
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		out = append(out, line)
	}
	return out
}

// wait returns the first new line that contains all of the words.
func (l brokerLog) wait(t *testing.T, ctx context.Context, words ...string) string {
	t.Helper()
	found := ""
	eventually(t, ctx, 30*time.Second, fmt.Sprintf("a log line with %q", words), func() error {
		if lines := l.lines(words...); len(lines) > 0 {
			found = lines[0]
			return nil
		}
		return errors.New("not there")
	})
	return found
}

// eventually repeats f until it succeeds.
func eventually(t *testing.T, ctx context.Context, limit time.Duration, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// rss is the broker's resident memory now.
func rss(t *testing.T, b *peer.Broker) int64 {
	t.Helper()
	u, err := b.Usage()
	if err != nil {
		t.Fatal(err)
	}
	return u.RSS
}

// peakOf runs f and returns how far the broker's resident memory rose above what it was before.
func peakOf(t *testing.T, b *peer.Broker, f func()) (rise int64) {
	t.Helper()
	// 5 resets the high-water mark (man 5 proc).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", b.PID()), []byte("5"), 0); err != nil {
		t.Skip("cannot reset the high-water mark of resident memory:", err)
	}
	before := rss(t, b)
	f()
	u, err := b.Usage()
	if err != nil {
		t.Fatal(err)
	}
	return u.PeakRSS - before
}

func mb(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }

// bystander is a client that writes a record and reads it back, all the time, over connections of its own.
type bystander struct {
	stop func() (rounds int, worst time.Duration, err error)
}

func (by bystander) unharmed(t *testing.T, worst time.Duration) {
	t.Helper()
	rounds, took, err := by.stop()
	if err != nil {
		t.Errorf("a client that did nothing wrong: %v", err)
	}
	if took > worst {
		t.Errorf("a client that did nothing wrong waited %v", took)
	}
	t.Logf("meanwhile another client: %d rounds of write and read, the slowest %v", rounds, took.Round(time.Millisecond))
}

func startBystander(t *testing.T, ctx context.Context, b *peer.Broker, topic string) bystander {
	t.Helper()
	createTopic(t, ctx, b, topic, 1, nil)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
	if err != nil {
		t.Fatal(err)
	}
	// The first round is not counted: it fetches metadata and a producer id.
	if err := cl.ProduceSync(ctx, kgo.StringRecord("first")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	run, cancel := context.WithCancel(ctx)
	var (
		wg     sync.WaitGroup
		rounds int
		worst  time.Duration
		failed error
	)
	wg.Go(func() {
		for i := 0; run.Err() == nil && failed == nil; i++ {
			began := time.Now()
			value := fmt.Sprint(i)
			one, cancelOne := context.WithTimeout(ctx, 30*time.Second)
			failed = cl.ProduceSync(one, kgo.StringRecord(value)).FirstErr()
			for seen := false; failed == nil && !seen; {
				fs := cl.PollFetches(one)
				failed = fs.Err()
				fs.EachRecord(func(r *kgo.Record) { seen = seen || string(r.Value) == value })
			}
			cancelOne()
			worst = max(worst, time.Since(began))
			rounds++
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait(); cl.Close() })
	return bystander{func() (int, time.Duration, error) { cancel(); wg.Wait(); return rounds, worst, failed }}
}

// closedAfter sends raw bytes and returns when the broker has closed the connection; what it answered before is returned.
func closedAfter(t *testing.T, c *peer.Conn, raw []byte) []byte {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// The broker may close while the rest is still being sent.
	_, _ = c.Write(raw)
	got, err := io.ReadAll(c)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		t.Fatal("the connection is still open")
	}
	return got
}

func kafkaError(code int16) string {
	if err := kerr.ErrorForCode(code); err != nil {
		return err.Error()
	}
	return "no error"
}

// fileOf finds the one file of a pattern below the broker's first log directory.
func fileOf(t *testing.T, b *peer.Broker, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(b.LogDir(), pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("no file %s in %s (%v)", pattern, b.LogDir(), err)
	}
	return found[len(found)-1]
}

// values reads a partition from its start to its end.
func values(t *testing.T, ctx context.Context, b *peer.Broker, topic string) (out [][]byte) {
	t.Helper()
	var ends map[int32]int64
	eventually(t, ctx, 20*time.Second, "the end of "+topic, func() (err error) {
		ends, err = clients.EndOffsets(ctx, b.Addr, topic)
		return err
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for next := int64(0); next < ends[0]; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			out = append(out, r.Value)
			next = r.Offset + 1
		})
	}
	return out
}
