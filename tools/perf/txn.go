package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// txnPartitions is how many partitions each transaction of the rows writes to.
const txnPartitions = 10

// txnLoad runs transactions over the same partitions on several transactional ids at once.
type txnLoad struct {
	ids       int
	valueSize int
	records   int // to each partition in one request
	// lasts: requests are sent until so much time has passed; 0: one.
	lasts time.Duration
	// gap is the time from one beginning to the next of an id; 0: at once.
	gap time.Duration
	// backoff of a transaction that begins before the markers of the one before are written. Apache's producer waits 20 ms.
	backoff time.Duration
}

// txnCounts is what was done in the measured part.
type txnCounts struct {
	rate
	transactions int64
	// answered are the times from EndTxn to its answer, completed those to the answer of the AddPartitionsToTxn that follows, which says that
	// all markers are written.
	answered, completed latencies
}

// run lets the ids work for warm, then for d, between begin and end.
func (l txnLoad) run(ctx context.Context, addr, topic string, warm, d time.Duration, begin, end func() error) (txnCounts, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var partitions []int32
	for p := range int32(txnPartitions) {
		partitions = append(partitions, p)
	}
	w := txnWorkers{load: l, topic: topic, partitions: partitions}
	var all sync.WaitGroup
	for i := range l.ids {
		p, err := clients.DialTxn(ctx, addr, fmt.Sprintf("%s-%d", topic, i), l.backoff)
		if err != nil {
			return txnCounts{}, err
		}
		defer p.Close()
		all.Go(func() {
			// Paced ids do not begin at the same time.
			if err := wait(ctx, l.gap*time.Duration(i)/time.Duration(l.ids)); err != nil {
				return
			}
			if err := w.work(ctx, p); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	var before, after int64
	r, err := measure(ctx, warm, d,
		func() error { w.measuring.Store(true); before = w.transactions.Load(); return begin() },
		func() error { w.measuring.Store(false); after = w.transactions.Load(); return end() },
		func() (int64, int64) { return w.records.Load(), w.bytes.Load() })
	cancel(nil)
	all.Wait()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	slices.Sort(w.answered)
	slices.Sort(w.completed)
	if err == nil && after == before {
		err = errors.New("no transaction was committed")
	}
	return txnCounts{r, after - before, w.answered, w.completed}, err
}

type txnWorkers struct {
	load                         txnLoad
	topic                        string
	partitions                   []int32
	transactions, records, bytes atomic.Int64
	measuring                    atomic.Bool

	mu                  sync.Mutex
	answered, completed latencies
}

func (w *txnWorkers) work(ctx context.Context, p *clients.Txn) error {
	value := make([]byte, w.load.valueSize)
	var last time.Time // when the last EndTxn was sent
	for ctx.Err() == nil {
		if err := p.Add(ctx, w.topic, w.partitions...); err != nil {
			return err
		}
		began := time.Now()
		if !last.IsZero() {
			w.note(&w.completed, began.Sub(last))
		}
		for once := true; once || time.Since(began) < w.load.lasts; once = false {
			if err := p.Produce(ctx, w.topic, w.partitions, w.load.records, value); err != nil {
				return err
			}
			n := int64(w.load.records * len(w.partitions))
			w.records.Add(n)
			w.bytes.Add(n * int64(len(value)))
		}
		last = time.Now()
		if err := p.End(ctx, true); err != nil {
			return err
		}
		w.note(&w.answered, time.Since(last))
		w.transactions.Add(1)
		if w.load.gap == 0 {
			continue
		}
		// What follows shows when the markers are written; the next transaction is due later.
		if err := p.Add(ctx, w.topic, w.partitions...); err != nil {
			return err
		}
		w.note(&w.completed, time.Since(last))
		if err := wait(ctx, w.load.gap-time.Since(began)); err != nil {
			return nil
		}
		last = time.Time{}
	}
	return nil
}

func (w *txnWorkers) note(to *latencies, d time.Duration) {
	if !w.measuring.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	*to = append(*to, d)
}

func txnRow(l txnLoad, figures func(txnCounts, time.Duration) []figure) func(context.Context, *session) ([]figure, error) {
	return func(ctx context.Context, s *session) ([]figure, error) {
		names := s.names(1)
		if err := s.createRolling(ctx, names, txnPartitions); err != nil {
			return nil, err
		}
		c, err := l.run(ctx, s.broker.Addr, names[0], s.warm, s.seconds, s.begin, s.end)
		if err != nil {
			return nil, err
		}
		return figures(c, s.cpu), deleteTopics(ctx, s.broker.Addr, names)
	}
}

func perTransaction(c txnCounts, cpu time.Duration) []figure {
	return []figure{
		{"CPU a transaction", float64(cpu.Microseconds()) / float64(c.transactions), "us", third, 0},
		{"transactions/s", float64(c.transactions) / c.took.Seconds(), "", 0, 0},
	}
}

func commitLatency(c txnCounts, cpu time.Duration) []figure {
	ms := func(l latencies, q float64) float64 { return float64(l.at(q).Microseconds()) / 1000 }
	return []figure{
		{"EndTxn answered, p50", ms(c.answered, 0.5), "ms", 0, 0},
		{"EndTxn answered, p99", ms(c.answered, 0.99), "ms", third, 0},
		{"markers written, p50", ms(c.completed, 0.5), "ms", 0, 0},
		{"markers written, p99", ms(c.completed, 0.99), "ms", third, 0},
		{"CPU a transaction", float64(cpu.Microseconds()) / float64(c.transactions), "us", 0, 0},
		{"transactions/s", float64(c.transactions) / c.took.Seconds(), "", 0, 0},
	}
}

// openIDs is how many transactional ids the row about their memory leaves open.
const openIDs = 10_000

// measureOpenTxns begins a transaction on each of many transactional ids, writes a record in each, and looks what that costs in memory.
func measureOpenTxns(ctx context.Context, s *session) ([]figure, error) {
	const partitions, atOnce = 100, 16
	names := s.names(1)
	if err := s.create(ctx, names, partitions); err != nil {
		return nil, err
	}
	// The first id creates the coordinator's topic, which is not to be counted.
	first, err := clients.DialTxn(ctx, s.broker.Addr, names[0], time.Millisecond)
	if err != nil {
		return nil, err
	}
	coordinator := first.Coordinator.RemoteAddr().String()
	first.Close()
	if err := wait(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	before, err := s.broker.Usage()
	if err != nil {
		return nil, err
	}
	open := make([]clients.Txn, openIDs)
	err = share(ctx, atOnce, func(i int, c *txnConns) error {
		p := &open[i]
		*p = clients.Txn{ID: fmt.Sprintf("%s-open-%d", names[0], i), Coordinator: c.coordinator, Leader: c.leader, Backoff: time.Millisecond}
		at := []int32{int32(i % partitions)}
		if err := p.Init(ctx); err != nil {
			return err
		}
		if err := p.Add(ctx, names[0], at...); err != nil {
			return err
		}
		return p.Produce(ctx, names[0], at, 1, []byte("open"))
	}, openIDs, s.broker.Addr, coordinator)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, 5*time.Second); err != nil {
		return nil, err
	}
	after, err := s.broker.Usage()
	if err != nil {
		return nil, err
	}
	err = share(ctx, atOnce, func(i int, c *txnConns) error {
		open[i].Coordinator = c.coordinator
		return open[i].End(ctx, false)
	}, openIDs, s.broker.Addr, coordinator)
	return []figure{
		{"RSS for 10,000 open ids", float64(after.RSS-before.RSS) / (1 << 20), "MB", 0, 50},
		{"RSS with them", float64(after.RSS) / (1 << 20), "MB", 0, 0},
	}, errors.Join(err, deleteTopics(ctx, s.broker.Addr, names))
}

// txnConns are the connections that many transactional ids share.
type txnConns struct{ coordinator, leader *peer.Conn }

// share calls do with each number below n, so many at once, each with connections that nobody else uses meanwhile.
func share(ctx context.Context, atOnce int, do func(i int, c *txnConns) error, n int, leader, coordinator string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			c, err := dialConns(ctx, leader, coordinator)
			for err == nil && ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					break
				}
				err = do(i, c)
			}
			if c != nil {
				c.coordinator.Close()
				c.leader.Close()
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func dialConns(ctx context.Context, leader, coordinator string) (*txnConns, error) {
	l, err := peer.Dial(ctx, leader)
	if err != nil {
		return nil, err
	}
	c, err := peer.Dial(ctx, coordinator)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &txnConns{coordinator: c, leader: l}, nil
}
