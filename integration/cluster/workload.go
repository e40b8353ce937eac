package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Workload is something that goes on while brokers suffer faults.
type Workload interface {
	// Topics are those whose replicas have the same bytes at the end.
	Topics() []string
	// Stalls are the longest times without progress since it was called last, one for each of what it consists of.
	Stalls() []time.Duration
	// Progress is for people.
	Progress() string
	// Finish ends it and says what is wrong with what it leaves.
	Finish(ctx context.Context) (records int64, problems []string)
}

var _ = []Workload{(*Load)(nil), (*Bank)(nil), (*Copies)(nil), (*Groups)(nil)}

// ledger notes what goes on and what is wrong.
type ledger struct {
	mu       sync.Mutex
	lastTime []time.Time
	stalls   []time.Duration
	problems []string
}

func newLedger(parts int) *ledger {
	l := &ledger{lastTime: make([]time.Time, parts), stalls: make([]time.Duration, parts)}
	for i := range l.lastTime {
		l.lastTime[i] = time.Now()
	}
	return l
}

func (l *ledger) problem(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problemLocked(format, args...)
}

func (l *ledger) problemLocked(format string, args ...any) {
	if len(l.problems) < 30 {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

func (l *ledger) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.problems)
}

// advanced notes that a part has made progress.
func (l *ledger) advanced(part int) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalls[part] = max(l.stalls[part], now.Sub(l.lastTime[part]))
	l.lastTime[part] = now
}

// Stalls implements Workload.
func (l *ledger) Stalls() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(l.stalls)
	for i := range out {
		out[i] = max(out[i], time.Since(l.lastTime[i]))
		l.stalls[i] = 0
	}
	return out
}

// network is that of one client: it can stand still, or die, without the client's knowing.
type network struct {
	mu    sync.Mutex
	conns []net.Conn
	dead  bool
	gate  chan struct{} // closed while traffic passes
}

func newNetwork() *network {
	n := &network{gate: make(chan struct{})}
	close(n.gate)
	return n
}

func (n *network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		c.Close()
		return nil, errors.New("this client has no network any more")
	}
	n.conns = append(n.conns, c)
	return &networkConn{Conn: c, n: n}, nil
}

// freeze holds everything back for so long, as a client that is not scheduled does.
func (n *network) freeze(ctx context.Context, d time.Duration) {
	n.mu.Lock()
	n.gate = make(chan struct{})
	gate := n.gate
	n.mu.Unlock()
	pause(ctx, d)
	close(gate)
}

// kill ends all connections; there will be no others.
func (n *network) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	for _, c := range n.conns {
		c.Close()
	}
}

func (n *network) pass() {
	n.mu.Lock()
	gate := n.gate
	n.mu.Unlock()
	<-gate
}

type networkConn struct {
	net.Conn
	n *network
}

func (c *networkConn) Read(b []byte) (int, error) {
	got, err := c.Conn.Read(b)
	c.n.pass()
	return got, err
}

func (c *networkConn) Write(b []byte) (int, error) {
	c.n.pass()
	return c.Conn.Write(b)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// feeder writes numbers to the partitions of a topic, from 0 on in each, so many a second.
type feeder struct {
	*ledger
	cl         *kgo.Client
	topic      string
	partitions int32
	stop       chan struct{}
	wg         sync.WaitGroup
	sent       []atomic.Int64 // by partition
}

func (c *Cluster) feed(ctx context.Context, l *ledger, topic string, partitions int32, perSecond int) (*feeder, error) {
	cl, err := kgo.NewClient(append(ClientOptions(), c.Seeds(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic),
		kgo.StopProducerOnDataLossDetected(), kgo.ProducerLinger(time.Millisecond), kgo.ClientID("feeder"))...)
	if err != nil {
		return nil, err
	}
	f := &feeder{ledger: l, cl: cl, topic: topic, partitions: partitions, stop: make(chan struct{}), sent: make([]atomic.Int64, partitions)}
	f.wg.Go(func() { f.run(ctx, perSecond) })
	return f, nil
}

func (f *feeder) run(ctx context.Context, perSecond int) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for turn := int32(0); ; turn++ {
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
		p := turn % f.partitions
		n := f.sent[p].Add(1) - 1
		f.cl.Produce(ctx, &kgo.Record{Partition: p, Value: strconv.AppendInt(nil, n, 10)}, func(_ *kgo.Record, err error) {
			if err != nil && ctx.Err() == nil {
				f.problem("record %d to %s-%d failed: %v", n, f.topic, p, err)
			}
		})
	}
}

// finish ends the writing and returns how much there is.
func (f *feeder) finish(ctx context.Context) (all int64) {
	close(f.stop)
	f.wg.Wait()
	if err := f.cl.Flush(ctx); err != nil {
		f.problem("not everything is written to %s in time: %v", f.topic, err)
	}
	f.cl.Close()
	for p := range f.sent {
		all += f.sent[p].Load()
	}
	return all
}
