package cluster

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Load is several idempotent producers with acks=all, and readers, on the partitions of a topic. It knows what was acknowledged, and
// what was read.
type Load struct {
	client     []kgo.Opt // of every client
	topic      string
	partitions int32
	cancel     context.CancelFunc
	stop       chan struct{}
	wg         sync.WaitGroup
	readers    sync.WaitGroup
	clients    []*kgo.Client

	Acked atomic.Int64
	Read  atomic.Int64

	mu       sync.Mutex
	sent     map[[2]int32]int64 // by producer and partition
	acked    map[[2]int32]int64
	lastAck  []time.Time
	stalls   []time.Duration // the longest time between two acknowledgements of each partition since Stalls was called
	seen     [][]uint64      // hashes of what was read, by partition and offset
	problems []string
}

// LoadOptions says how much load there is.
type LoadOptions struct {
	Producers, Readers int
	// PerSecond is how many records each producer sends.
	PerSecond int
	// Codecs are the compressions of the producers in turn; nil are all but gzip.
	Codecs []kgo.CompressionCodec
}

// StartLoad begins to produce and to read.
func (c *Cluster) StartLoad(ctx context.Context, topic string, partitions int32, o LoadOptions) (*Load, error) {
	return StartLoad(ctx, append(ClientOptions(), c.Seeds()), topic, partitions, o)
}

// StartLoad begins to produce and to read, with clients that have these options.
func StartLoad(ctx context.Context, client []kgo.Opt, topic string, partitions int32, o LoadOptions) (*Load, error) {
	l := &Load{client: client, topic: topic, partitions: partitions, stop: make(chan struct{}), sent: map[[2]int32]int64{}, acked: map[[2]int32]int64{},
		lastAck: make([]time.Time, partitions), stalls: make([]time.Duration, partitions), seen: make([][]uint64, partitions)}
	for p := range l.lastAck {
		l.lastAck[p] = time.Now()
	}
	ctx, l.cancel = context.WithCancel(ctx)
	codecs := o.Codecs
	if codecs == nil {
		codecs = []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.SnappyCompression(), kgo.ZstdCompression()}
	}
	for i := range o.Producers {
		cl, err := kgo.NewClient(append(slices.Clone(client), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchCompression(codecs[i%len(codecs)]), kgo.StopProducerOnDataLossDetected(), kgo.MaxBufferedRecords(20_000),
			kgo.ProducerLinger(time.Millisecond), kgo.DefaultProduceTopic(topic), kgo.ClientID("producer"))...)
		if err != nil {
			return nil, err
		}
		l.clients = append(l.clients, cl)
		if _, _, err := cl.ProducerID(ctx); err != nil { // while all is well; the client holds a mutex meanwhile
			return nil, fmt.Errorf("producer id: %w", err)
		}
		l.wg.Go(func() { l.produce(ctx, cl, int32(i), o.PerSecond) })
	}
	for range o.Readers {
		cl, err := l.reader()
		if err != nil {
			return nil, err
		}
		l.clients = append(l.clients, cl)
		l.readers.Go(func() { l.read(ctx, cl) })
	}
	return l, nil
}

func (l *Load) reader() (*kgo.Client, error) {
	return kgo.NewClient(append(slices.Clone(l.client), kgo.ConsumeTopics(l.topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(250*time.Millisecond), kgo.ClientID("reader"), kgo.KeepRetryableFetchErrors())...)
}

func (l *Load) problem(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.problems) < 30 {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

func (l *Load) produce(ctx context.Context, cl *kgo.Client, id int32, perSecond int) {
	const every = 10 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	n := make([]int64, l.partitions)
	pad := strings.Repeat("torture ", 64)
	budget := 0.0
	for turn := 0; ; {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		budget = min(budget+float64(perSecond)*every.Seconds(), float64(perSecond))
		for ; budget >= 1; budget-- {
			p := int32(turn) % l.partitions
			turn++
			seq := n[p]
			n[p]++
			value := fmt.Sprintf("%d %d %d %s", id, p, seq, pad[:(turn*37)%len(pad)])
			l.mu.Lock()
			l.sent[[2]int32{id, p}] = n[p]
			l.mu.Unlock()
			cl.Produce(ctx, &kgo.Record{Partition: p, Value: []byte(value)}, func(_ *kgo.Record, err error) { l.answered(ctx, id, p, seq, err) })
		}
	}
}

func (l *Load) answered(ctx context.Context, id, p int32, seq int64, err error) {
	if err != nil {
		if ctx.Err() == nil {
			l.problem("record %d of producer %d to partition %d failed: %v", seq, id, p, err)
		}
		return
	}
	l.Acked.Add(1)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [2]int32{id, p}
	if seq != l.acked[key] {
		l.problems = append(l.problems, fmt.Sprintf("producer %d, partition %d: record %d acknowledged after %d", id, p, seq, l.acked[key]-1))
	}
	l.acked[key] = seq + 1
	l.stalls[p] = max(l.stalls[p], now.Sub(l.lastAck[p]))
	l.lastAck[p] = now
}

// Stalls returns, by partition, the longest time without an acknowledgement since it was called last, the present wait included.
func (l *Load) Stalls() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(l.stalls)
	for p := range out {
		out[p] = max(out[p], time.Since(l.lastAck[p]))
		l.stalls[p] = 0
	}
	return out
}

// read reads everything, and checks that offsets have no gaps and that nobody reads something else at an offset than another did.
func (l *Load) read(ctx context.Context, cl *kgo.Client) {
	next, said := make([]int64, l.partitions), make([]bool, l.partitions)
	for {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil || fs.IsClientClosed() {
			return
		}
		fs.EachError(func(topic string, p int32, err error) {
			var lost *kgo.ErrDataLoss
			if p >= 0 && !said[p] && (errors.As(err, &lost) || errors.Is(err, kerr.OffsetOutOfRange)) {
				said[p] = true
				l.problem("reading partition %d at %d: %v", p, next[p], err)
			}
		})
		fs.EachRecord(func(r *kgo.Record) {
			l.Read.Add(1)
			if r.Offset != next[r.Partition] {
				l.problem("partition %d: offset %d was read after %d", r.Partition, r.Offset, next[r.Partition]-1)
			}
			next[r.Partition] = r.Offset + 1
			h := fnv.New64a()
			_, _ = h.Write(r.Value)
			sum := h.Sum64()
			l.mu.Lock()
			seen := l.seen[r.Partition]
			switch {
			case r.Offset < int64(len(seen)):
				if seen[r.Offset] != sum {
					l.problems = append(l.problems, fmt.Sprintf("partition %d: at offset %d another record was read before", r.Partition, r.Offset))
				}
			case r.Offset == int64(len(seen)):
				l.seen[r.Partition] = append(seen, sum)
			}
			l.mu.Unlock()
		})
	}
}

// Topics implements Workload.
func (l *Load) Topics() []string { return []string{l.topic} }

// Progress implements Workload.
func (l *Load) Progress() string {
	return fmt.Sprintf("%d acknowledged, %d read", l.Acked.Load(), l.Read.Load())
}

// Finish ends producing, waits until everything is acknowledged, reads the whole topic, and says what is wrong.
func (l *Load) Finish(ctx context.Context) (records int64, problems []string) {
	close(l.stop)
	l.wg.Wait()
	for _, cl := range l.clients {
		if err := cl.Flush(ctx); err != nil {
			l.problem("not everything is acknowledged in time: %v", err)
		}
	}
	l.cancel()
	l.readers.Wait()
	defer func() {
		for _, cl := range l.clients {
			cl.Close()
		}
	}()
	if n, err := l.verify(ctx); err != nil {
		l.problem("reading all: %v", err)
	} else {
		records = n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return records, l.problems
}

// verify reads everything: each producer's records of a partition must be there once, in order, without gap.
func (l *Load) verify(ctx context.Context) (int64, error) {
	cl, err := l.reader()
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	l.mu.Lock()
	want := int64(0)
	for _, n := range l.sent {
		want += n
	}
	l.mu.Unlock()
	got, offsets := map[[2]int32]int64{}, make([]int64, l.partitions)
	total := int64(0)
	quiet := 0
	for total < want || quiet == 0 { // one more look for what should not be there
		poll, cancel := context.WithTimeout(ctx, 3*time.Second)
		fs := cl.PollFetches(poll)
		cancel()
		if err := ctx.Err(); err != nil {
			return total, fmt.Errorf("%d of %d records: %w", total, want, err)
		}
		if fs.NumRecords() == 0 {
			if quiet++; quiet > 10 {
				return total, fmt.Errorf("%d of %d records are there", total, want)
			}
			continue
		}
		fs.EachRecord(func(r *kgo.Record) {
			total++
			if r.Offset != offsets[r.Partition] {
				l.problem("partition %d: offset %d after %d", r.Partition, r.Offset, offsets[r.Partition]-1)
			}
			offsets[r.Partition] = r.Offset + 1
			f := strings.SplitN(string(r.Value), " ", 4)
			id, _ := strconv.Atoi(f[0])
			p, _ := strconv.Atoi(f[1])
			seq, _ := strconv.ParseInt(f[2], 10, 64)
			key := [2]int32{int32(id), r.Partition}
			if int32(p) != r.Partition || seq != got[key] {
				l.problem("partition %d offset %d: record %d of producer %d, expected %d", r.Partition, r.Offset, seq, id, got[key])
			}
			got[key] = seq + 1
			h := fnv.New64a()
			_, _ = h.Write(r.Value)
			l.mu.Lock()
			if seen := l.seen[r.Partition]; r.Offset < int64(len(seen)) && seen[r.Offset] != h.Sum64() {
				l.problems = append(l.problems, fmt.Sprintf("partition %d: at offset %d another record was read before", r.Partition, r.Offset))
			}
			l.mu.Unlock()
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, n := range l.sent {
		if got[key] != n || l.acked[key] != n {
			l.problems = append(l.problems, fmt.Sprintf("producer %d, partition %d: %d sent, %d acknowledged, %d there", key[0], key[1], n, l.acked[key], got[key]))
		}
	}
	return total, nil
}
