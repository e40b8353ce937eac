package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"gregor/integration/peer"
)

func rows() []row {
	return []row{
		{name: "start", measure: measureStart, once: true},
		{name: "idle", measure: measureIdle, once: true},
		{name: "produce-100", measure: produceRow(produceLoad{partitions: 1, valueSize: 100, batchSize: 900_000, conns: 1, inFlight: 5}, perRecord)},
		{name: "produce-1k", measure: produceRow(produceLoad{partitions: 1, valueSize: 1000, batchSize: 900_000, conns: 1, inFlight: 5}, perGB)},
		{name: "produce-floor", measure: measureFloor},
		{name: "produce-16k", measure: produceRow(produceLoad{partitions: 16, valueSize: 100, batchSize: 16_384, conns: 1, inFlight: 5}, perRecord)},
		{name: "fetch", measure: measureFetch},
		{name: "latency", measure: measureLatency},
		{name: "latency-floor", measure: measureLatencyFloor},
		{name: "topics", measure: measureTopics},
		{name: "txn-small", measure: txnRow(txnLoad{ids: 64, valueSize: 100, records: 1, backoff: 20 * time.Millisecond}, perTransaction)},
		{name: "txn-100ms", measure: txnRow(txnLoad{ids: 8, valueSize: 1000, records: 100, lasts: 100 * time.Millisecond, backoff: time.Millisecond},
			func(c txnCounts, cpu time.Duration) []figure { return perGB(c.rate, cpu) })},
		{name: "txn-latency", measure: txnRow(txnLoad{ids: 8, valueSize: 100, records: 1, gap: 80 * time.Millisecond, backoff: time.Millisecond}, commitLatency)},
		{name: "txn-open", measure: measureOpenTxns, once: true},
		{name: "offset-commit", measure: measureOffsetCommits},
		{name: "rebalance-eager", measure: rebalanceRow(false)},
		{name: "rebalance-cooperative", measure: rebalanceRow(true)},
		{name: "after-load", measure: measureAfterLoad, once: true},
	}
}

const third = 1.0 / 3

func perRecord(r rate, cpu time.Duration) []figure {
	return []figure{
		{"CPU a record", float64(cpu.Nanoseconds()) / float64(r.records), "ns", third, 0},
		{"records/s", r.perSecond(), "", 0, 0},
		{"CPU a GB", cpu.Seconds() / (float64(r.bytes) / 1e9), "s", 0, 0},
	}
}

func perGB(r rate, cpu time.Duration) []figure {
	return []figure{
		{"CPU a GB", cpu.Seconds() / (float64(r.bytes) / 1e9), "s", third, 0},
		{"MB/s", r.mbPerSecond(), "MB", 0, 0},
		{"records/s", r.perSecond(), "", 0, 0},
	}
}

func produceRow(l produceLoad, figures func(rate, time.Duration) []figure) func(context.Context, *session) ([]figure, error) {
	return func(ctx context.Context, s *session) ([]figure, error) {
		l := l
		l.franz = s.franz
		l.topics = s.names(1)
		if err := s.createRolling(ctx, l.topics, l.partitions); err != nil {
			return nil, err
		}
		r, err := l.run(ctx, s.broker.Addr, s.warm, s.seconds, s.begin, s.end)
		if err != nil {
			return nil, err
		}
		return figures(r, s.cpu), deleteTopics(ctx, s.broker.Addr, l.topics)
	}
}

// measureStart stops the broker and starts it on its empty directories, five times.
func measureStart(ctx context.Context, s *session) ([]figure, error) {
	times := []float64{s.broker.Started.Seconds() * 1000}
	n := 5
	if s.broker.Kind == peer.Kafka {
		n = 2
	}
	for len(times) < n {
		stop, cancel := context.WithTimeout(ctx, time.Minute)
		err := s.broker.Stop(stop)
		cancel()
		if err != nil {
			return nil, err
		}
		b, err := s.broker.Restart(ctx)
		if err != nil {
			return nil, err
		}
		s.broker, s.up = b, time.Now()
		times = append(times, b.Started.Seconds()*1000)
	}
	slices.Sort(times)
	return []figure{
		{"first answer, median", times[len(times)/2], "ms", 0, 100},
		{"first answer, worst", times[len(times)-1], "ms", 0, 0},
	}, nil
}

func measureIdle(ctx context.Context, s *session) ([]figure, error) {
	if err := wait(ctx, 5*time.Second); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	if err := wait(ctx, 5*time.Second); err != nil {
		return nil, err
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	u, err := s.broker.Usage()
	return []figure{
		{"RSS", float64(u.RSS) / (1 << 20), "MB", 0, 31},
		{"CPU of a core", s.cpu.Seconds() / 5 * 100, "%", 0, 0},
	}, err
}

func measureAfterLoad(_ context.Context, s *session) ([]figure, error) {
	u, err := s.broker.Usage()
	return []figure{
		{"RSS", float64(u.RSS) / (1 << 20), "MB", 0.1, 0},
		{"peak RSS", float64(u.PeakRSS) / (1 << 20), "MB", 0, 0},
	}, err
}

// measureFetch reads 1 KB records that lie in the page cache, and beside it, in the same minute, the same bytes by a bare sendfile loop.
func measureFetch(ctx context.Context, s *session) ([]figure, error) {
	l := produceLoad{topics: s.names(1), partitions: 1, valueSize: 1000, batchSize: 100_000, conns: 1, inFlight: 5}
	// What is read has to stay.
	if err := s.createWith(ctx, l.topics, 1, map[string]string{"retention.bytes": "-1"}); err != nil {
		return nil, err
	}
	nothing := func() error { return nil }
	filled, err := l.run(ctx, s.broker.Addr, 0, 2*time.Second, nothing, nothing)
	if err != nil {
		return nil, err
	}
	bare, err := startBareSendfile(ctx, filepath.Join(s.broker.LogDir(), l.topics[0]+"-0"))
	if err != nil {
		return nil, err
	}
	defer bare.close()
	f, err := dialFetcher(ctx, s.broker.Addr, l.topics[0])
	if err != nil {
		return nil, err
	}
	defer f.c.Close()
	loop := &fetchLoop{fetcher: f, end: filled.records}
	// They take turns of a quarter of a second.
	if err := errors.Join(slice(ctx, s.warm/2, loop.step), slice(ctx, s.warm/2, bare.step)); err != nil {
		return nil, err
	}
	var cpu, bareCPU, took time.Duration
	loop.bytes, bare.bytes = 0, 0
	for began := time.Now(); time.Since(began) < 2*s.seconds; {
		sliceBegan := time.Now()
		if err := s.begin(); err != nil {
			return nil, err
		}
		if err := slice(ctx, 250*time.Millisecond, loop.step); err != nil {
			return nil, err
		}
		if err := s.end(); err != nil {
			return nil, err
		}
		took += time.Since(sliceBegan)
		cpu += s.cpu
		used, err := bare.measure(ctx, 250*time.Millisecond)
		if err != nil {
			return nil, err
		}
		bareCPU += used
	}
	cost, floor := cpu.Seconds()/(float64(loop.bytes)/1e9), bareCPU.Seconds()/(float64(bare.bytes)/1e9)
	return []figure{
		{"CPU a GB", cost, "s", 0, 0},
		{"of a bare sendfile loop", cost / floor, "x", 0, 1.1},
		{"the bare loop's CPU a GB", floor, "s", 0, 0},
		{"MB/s", rate{bytes: loop.bytes, took: took}.mbPerSecond(), "MB", 0, 0},
	}, deleteTopics(ctx, s.broker.Addr, l.topics)
}

// latencyRate is the records a second of the latency rows.
const latencyRate = 5000

func measureLatency(ctx context.Context, s *session) ([]figure, error) {
	names := s.names(1)
	if err := s.create(ctx, names, 1); err != nil {
		return nil, err
	}
	d := 3 * s.seconds
	got, err := latencyLoad{names[0], latencyRate, 100}.run(ctx, s.broker.Addr, max(5*time.Second, s.warm), d, s.begin, s.end)
	if err != nil {
		return nil, err
	}
	if len(s.others) > 0 {
		return latencyFigures(got, s.cpu, d, 0.25, 0.2, third), nil
	}
	return latencyFigures(got, s.cpu, d, third, 0.2, third), nil
}

// latencyFigures takes the goals for p99, p99.9 and CPU.
func latencyFigures(got latencies, cpu, d time.Duration, p99, p999, cpuGoal float64) []figure {
	ms := func(q float64) float64 { return float64(got.at(q).Microseconds()) / 1000 }
	return []figure{
		{"p50", ms(0.5), "ms", 0, 0},
		{"p99", ms(0.99), "ms", p99, 0},
		{"p99.9", ms(0.999), "ms", p999, 0},
		{"worst", ms(1), "ms", 0, 0},
		{"CPU a record", float64(cpu.Microseconds()) / (latencyRate * d.Seconds()), "us", cpuGoal, 0},
	}
}

// measureTopics writes 16 KB batches to 64 topics, then to 2,048, with the same number of requests in flight.
func measureTopics(ctx context.Context, s *session) ([]figure, error) {
	var figures []figure
	var rates []float64
	for _, n := range []int{64, 2048} {
		l := produceLoad{topics: s.names(n), partitions: 1, valueSize: 100, batchSize: 16_384, conns: 4, inFlight: 5, rounds: 2}
		if err := s.createRolling(ctx, l.topics, 1); err != nil {
			return figures, err
		}
		r, err := l.run(ctx, s.broker.Addr, s.warm, s.seconds, s.begin, s.end)
		if err != nil {
			return figures, fmt.Errorf("%d topics: %w", n, err)
		}
		rates = append(rates, r.perSecond())
		figures = append(figures,
			figure{fmt.Sprintf("records/s, %d topics", n), r.perSecond(), "", 0, 0},
			figure{fmt.Sprintf("CPU a record, %d topics", n), float64(s.cpu.Nanoseconds()) / float64(r.records), "ns", 0, 0})
		if err := deleteTopics(ctx, s.broker.Addr, l.topics); err != nil {
			return figures, err
		}
	}
	if rates[0] == 0 {
		return figures, errors.New("nothing was acknowledged")
	}
	return append(figures, figure{"fall of the rate", 100 * (1 - rates[1]/rates[0]), "%", 0, 10}), nil
}
