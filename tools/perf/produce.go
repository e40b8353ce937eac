package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// produceLoad writes batches as fast as they are acknowledged.
type produceLoad struct {
	topics     []string
	partitions int32
	valueSize  int
	batchSize  int
	conns      int
	inFlight   int // per connection
	franz      bool
	// rounds is how often each partition is written before the warm-up counts as over, if that takes longer.
	rounds int
}

// rate is how much was acknowledged in a time.
type rate struct {
	records, bytes int64
	took           time.Duration
}

func (r rate) perSecond() float64   { return float64(r.records) / r.took.Seconds() }
func (r rate) mbPerSecond() float64 { return float64(r.bytes) / 1e6 / r.took.Seconds() }

// run produces for warm, then calls begin, produces for d, and calls end; both while the load goes on.
func (l produceLoad) run(ctx context.Context, addr string, warm, d time.Duration, begin, end func() error) (rate, error) {
	if l.franz {
		return l.runFranz(ctx, addr, warm, d, begin, end)
	}
	batch, n, err := plainBatch(l.valueSize, l.batchSize, time.Now().UnixMilli())
	if err != nil {
		return rate{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		acked atomic.Int64 // batches
		all   sync.WaitGroup
	)
	for i := range l.conns {
		p, err := dialPipe(ctx, addr, l.inFlight)
		if err != nil {
			return rate{}, err
		}
		defer p.c.Close()
		all.Go(func() { l.sendAll(ctx, cancel, p, i, batch) })
		all.Go(func() {
			for ctx.Err() == nil {
				if err := p.receive(); err != nil {
					cancel(err)
					return
				}
				acked.Add(1)
			}
		})
	}
	for acked.Load() < int64(l.rounds*len(l.topics)*int(l.partitions)) {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return rate{}, err
		}
	}
	r, err := measure(ctx, warm, d, begin, end, func() (int64, int64) {
		a := acked.Load()
		return a * int64(n), a * int64(len(batch))
	})
	cancel(nil)
	return r, err
}

func (l produceLoad) sendAll(ctx context.Context, fail context.CancelCauseFunc, p *pipe, conn int, batch []byte) {
	head := make([]byte, 0, 256)
	var err error
	// Connections share the partitions out, and each goes round its own.
	total := len(l.topics) * int(l.partitions)
	for i := conn % total; ; i += l.conns {
		if l.conns > total || i >= total {
			i = conn % total
		}
		head, err = p.send(ctx, head, l.topics[i/int(l.partitions)], int32(i)%l.partitions, batch)
		if err != nil {
			fail(err)
			p.c.Close()
			return
		}
	}
}

// measure waits for warm, then for d, and returns what count grew by in between.
func measure(ctx context.Context, warm, d time.Duration, begin, end func() error, count func() (records, bytes int64)) (rate, error) {
	if err := wait(ctx, warm); err != nil {
		return rate{}, err
	}
	if err := begin(); err != nil {
		return rate{}, err
	}
	began := time.Now()
	records, bytes := count()
	if err := wait(ctx, d); err != nil {
		return rate{}, err
	}
	took := time.Since(began)
	records2, bytes2 := count()
	return rate{records2 - records, bytes2 - bytes, took}, end()
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l produceLoad) runFranz(ctx context.Context, addr string, warm, d time.Duration, begin, end func() error) (rate, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(int32(max(l.batchSize, 1000))), kgo.MaxBufferedRecords(200_000),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		return rate{}, err
	}
	defer c.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	value := make([]byte, l.valueSize)
	var acked atomic.Int64
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			cancel(fmt.Errorf("franz-go: %w", err))
			return
		}
		acked.Add(1)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			c.Produce(ctx, &kgo.Record{Topic: l.topics[i%len(l.topics)], Value: value}, done)
		}
	})
	r, err := measure(ctx, warm, d, begin, end, func() (int64, int64) {
		a := acked.Load()
		return a, a * int64(l.valueSize)
	})
	cancel(nil)
	sending.Wait()
	return r, err
}
