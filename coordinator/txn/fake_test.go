package txn

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/goleak"

	"gregor/coordinator/led"
	"gregor/coordinator/txn/fsm"
)

// No test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errNotLeader = errors.New("not the leader")

// cluster is brokers that write markers, as a coordinator sees them.
type cluster struct {
	mu      sync.Mutex
	leaders map[fsm.TP]int32
	gone    map[fsm.TP]bool
	addrs   map[int32]string
	written []Marker
	refuse  []int16 // codes of the next markers that this broker writes
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

func newCluster() *cluster {
	return &cluster{leaders: map[fsm.TP]int32{}, gone: map[fsm.TP]bool{}, addrs: map[int32]string{}}
}

// lead makes a broker the leader of partitions.
func (c *cluster) lead(broker int32, parts ...fsm.TP) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tp := range parts {
		c.leaders[tp] = broker
	}
}

func (c *cluster) brokers() Brokers {
	return Brokers{
		ID: 1,
		Leader: func(tp fsm.TP) (int32, bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			b, ok := c.leaders[tp]
			return b, ok
		},
		Gone: func(_ context.Context, tp fsm.TP) (bool, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.gone[tp], nil
		},
		Endpoint: func(broker int32) (string, bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			a, ok := c.addrs[broker]
			return a, ok
		},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) { return c.dial(ctx, network, addr) },
		Write: func(markers []Marker, done func([][]int16)) {
			codes := make([][]int16, len(markers))
			c.mu.Lock()
			for i, m := range markers {
				codes[i] = make([]int16, len(m.Parts))
				if len(c.refuse) > 0 {
					for j := range codes[i] {
						codes[i][j] = c.refuse[0]
					}
					c.refuse = c.refuse[1:]
					continue
				}
				c.written = append(c.written, m)
			}
			c.mu.Unlock()
			done(codes)
		},
	}
}

// ends are the markers of a partition: commit or abort.
func (c *cluster) ends(tp fsm.TP) (list []bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.written {
		if slices.Contains(m.Parts, tp) {
			list = append(list, m.Commit)
		}
	}
	return list
}

func quiet() logrus.FieldLogger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

func testOptions(c *cluster) Options {
	var mu sync.Mutex
	next := int64(99)
	return Options{
		Txns: fsm.Config{MaxTimeout: 900_000, Expiration: 7 * 24 * 3600 * 1000}, Partitions: func() int32 { return 1 }, LoadBuffer: 5 << 20,
		AbortInterval: 10 * time.Second, ExpireInterval: time.Hour, RequestTimeout: 30 * time.Second, Log: quiet(), Brokers: c.brokers(),
		NewProducerID: func(context.Context) (int64, error) {
			mu.Lock()
			defer mu.Unlock()
			next++
			return next, nil
		},
		ErrorCode: func(err error) int16 {
			if errors.Is(err, errNotLeader) {
				return kerr.NotLeaderForPartition.Code
			}
			return kerr.UnknownServerError.Code
		},
	}
}

// lead starts a coordinator on the log in a leader epoch, and returns it when it has loaded.
func lead(t testing.TB, opt Options, epoch int32, log led.Log) *Coordinator {
	c := New(opt)
	c.Lead(0, epoch, log)
	c.shards.Wait()
	t.Cleanup(c.Close)
	return c
}

func tp(topic string, p int32) fsm.TP { return fsm.TP{Topic: topic, Partition: p} }

func begin(t testing.TB, c *Coordinator, id string) fsm.Producer {
	t.Helper()
	res := noProducer(-99)
	c.Init(context.Background(), id, 30_000, nil, func(r InitResult) { res = r })
	if res.Code != 0 {
		t.Fatalf("a producer of %s: %v", id, kerr.ErrorForCode(res.Code))
	}
	return res.Producer
}

// add and end return the code, -99 while there is no answer.
func add(c *Coordinator, id string, p fsm.Producer, parts ...fsm.TP) int16 {
	code := int16(-99)
	c.AddPartitions(id, p, parts, func(got int16) { code = got })
	return code
}

func end(c *Coordinator, id string, p fsm.Producer, commit bool) int16 {
	code := int16(-99)
	c.End(id, p, commit, func(got int16) { code = got })
	return code
}
