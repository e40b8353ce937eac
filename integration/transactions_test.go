package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// eachKind runs a test against the broker under test; with FULL=1, unless one was asked for, against both.
func eachKind(t *testing.T, limit time.Duration, f func(t *testing.T, ctx context.Context, kind peer.Kind)) {
	t.Helper()
	kind, ctx := interop(t, limit)
	if !full() || os.Getenv("INTEROP_BROKER") != "" {
		f(t, ctx, kind)
		return
	}
	for _, kind := range []peer.Kind{peer.Kafka, peer.Gregor} {
		t.Run(string(kind), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			f(t, ctx, kind)
		})
	}
}

// copied is the input of the copiers.
const copied, copiedPartitions, copiedRecords = "input", 3, 240

func txnBroker(t *testing.T, ctx context.Context, o peer.Options) *peer.Broker {
	t.Helper()
	o.ID = 1
	if o.Config == nil {
		o.Config = map[string]string{}
	}
	o.Config["transaction.state.log.num.partitions"], o.Config["offsets.topic.num.partitions"] = "5", "5"
	return startBroker(t, ctx, o)
}

// createTopics makes topics of copiedPartitions partitions, in segments of a few batches each.
func createTopics(t *testing.T, ctx context.Context, addr string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := clients.CreateTopic(ctx, addr, name, copiedPartitions, map[string]string{"segment.bytes": "2000"}); err != nil {
			t.Fatal(err)
		}
	}
}

// fillInput writes records to be copied, the value of each names its partition and its place in it.
func fillInput(t *testing.T, ctx context.Context, addr string, records int) {
	t.Helper()
	if err := clients.CreateTopic(ctx, addr, copied, copiedPartitions, nil); err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(copied), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var rs []*kgo.Record
	for i := range records {
		rs = append(rs, &kgo.Record{Partition: int32(i % copiedPartitions), Key: []byte("k"), Value: fmt.Appendf(nil, "%d-%d", i%copiedPartitions, i/copiedPartitions)})
	}
	if err := c.ProduceSync(ctx, rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// isCopy compares what a read_committed consumer sees of two topics, and returns how many more records one that sees everything does.
func isCopy(t *testing.T, ctx context.Context, addr, topic string) (hidden int) {
	t.Helper()
	for p := range int32(copiedPartitions) {
		settled(t, ctx, addr, topic, p)
		want, err := clients.Values(ctx, addr, copied, p, true)
		if err != nil {
			t.Fatal(err)
		}
		got, err := clients.Values(ctx, addr, topic, p, true)
		if err != nil {
			t.Error(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s-%d holds %d committed records, %v, want %d, %v", topic, p, len(got), clipped(got), len(want), clipped(want))
		}
		everything, err := clients.Values(ctx, addr, topic, p, false)
		if err != nil {
			t.Error(err)
		}
		hidden += len(everything) - len(got)
	}
	return hidden
}

func clipped(values []string) []string { return values[:min(len(values), 40)] }

// TestCopiesOfEveryClient: each client copies a topic by consume, transform, produce; every third transaction is aborted first.
func TestCopiesOfEveryClient(t *testing.T) {
	eachKind(t, 5*time.Minute, func(t *testing.T, ctx context.Context, kind peer.Kind) {
		b := txnBroker(t, ctx, peer.Options{Kind: kind})
		fillInput(t, ctx, b.Addr, copiedRecords)
		var all sync.WaitGroup
		for _, c := range tools(t).Copiers() {
			to := "copy-by-" + c.Name
			createTopics(t, ctx, b.Addr, to)
			all.Go(func() {
				began := time.Now()
				err := c.Copy(ctx, clients.CopyJob{Addr: b.Addr, From: copied, To: to, Group: "group-of-" + c.Name, Transactional: "id-of-" + c.Name,
					Total: copiedRecords, Size: 20, AbortEvery: 3})
				if err != nil {
					t.Error(err)
				}
				t.Logf("%s: %.1f s", c.Name, time.Since(began).Seconds())
			})
		}
		all.Wait()
		for _, c := range tools(t).Copiers() {
			if hidden := isCopy(t, ctx, b.Addr, "copy-by-"+c.Name); hidden == 0 {
				t.Errorf("%s aborted no transaction that had records", c.Name)
			}
			offsets, err := admin(t, b.Addr).FetchOffsets(ctx, "group-of-"+c.Name)
			if err != nil {
				t.Fatal(err)
			}
			for p := range int32(copiedPartitions) {
				if o := offsets[copied][p]; o.At != copiedRecords/copiedPartitions {
					t.Errorf("%s committed offset %d of partition %d, want %d", c.Name, o.At, p, copiedRecords/copiedPartitions)
				}
			}
		}
	})
}

// TestCopiersKilled: of each client two copiers work in one group; one after the other is killed in the middle, and the copy is exact all the same.
func TestCopiersKilled(t *testing.T) {
	eachKind(t, 15*time.Minute, func(t *testing.T, ctx context.Context, kind peer.Kind) {
		b := txnBroker(t, ctx, peer.Options{Kind: kind})
		records := 1200
		if full() {
			records = 6000
		}
		fillInput(t, ctx, b.Addr, records)
		for _, c := range tools(t).Copiers() {
			if !full() && c.Name != "franz-go" {
				continue
			}
			t.Run(c.Name, func(t *testing.T) {
				to := "copy-by-" + c.Name
				createTopics(t, ctx, b.Addr, to)
				job := clients.CopyJob{Addr: b.Addr, From: copied, To: to, Group: "group-of-" + c.Name, Size: 5}
				// The input is copied at the pace of the slower of kills and transactions of five records.
				copiers := newKilled(ctx, t, c, job)
				defer copiers.close()
				waitFor(t, ctx, "the copy", func() bool {
					n := 0
					for p := range int32(copiedPartitions) {
						values, err := clients.Values(ctx, b.Addr, to, p, true)
						if err != nil {
							return false
						}
						n += len(values)
					}
					if n > records {
						t.Errorf("%d records are copied of %d", n, records)
					}
					copiers.progress(n, records)
					return n >= records
				})
				copiers.close()
				isCopy(t, ctx, b.Addr, to)
				t.Logf("%d copiers were killed", copiers.kills)
			})
		}
	})
}

// killed are two copiers of one group.
type killed struct {
	ctx   context.Context
	t     *testing.T
	by    clients.Copier
	job   clients.CopyJob
	stops [2]context.CancelFunc
	ended [2]chan struct{}
	kills int
}

func newKilled(ctx context.Context, t *testing.T, by clients.Copier, job clients.CopyJob) *killed {
	k := &killed{ctx: ctx, t: t, by: by, job: job}
	for i := range k.stops {
		k.start(i)
	}
	return k
}

func (k *killed) start(i int) {
	ctx, stop := context.WithCancel(k.ctx)
	job, done := k.job, make(chan struct{})
	job.Transactional = fmt.Sprintf("id-%d-of-%s", i, k.by.Name)
	k.stops[i], k.ended[i] = stop, done
	go func() {
		defer close(done)
		if err := k.by.Copy(ctx, job); err != nil && ctx.Err() == nil {
			k.t.Error(err)
		}
	}()
}

// progress kills a copier at a quarter and another one at half of the way, and starts them anew.
func (k *killed) progress(n, of int) {
	for ; k.kills < 2 && n >= (k.kills+1)*of/4; k.kills++ {
		i := k.kills % 2
		k.stops[i]()
		<-k.ended[i]
		k.start(i)
	}
}

func (k *killed) close() {
	for i := range k.stops {
		k.stops[i]()
		<-k.ended[i]
	}
}

// TestMessageCopier: Apache's own TransactionalMessageCopier with random aborts on an assigned partition, and as a member of a group.
func TestMessageCopier(t *testing.T) {
	eachKind(t, 5*time.Minute, func(t *testing.T, ctx context.Context, kind peer.Kind) {
		b := txnBroker(t, ctx, peer.Options{Kind: kind})
		fillInput(t, ctx, b.Addr, copiedRecords)
		createTopics(t, ctx, b.Addr, "assigned", "grouped")
		tl := tools(t)
		var all sync.WaitGroup
		for p := range copiedPartitions {
			all.Go(func() {
				err := tl.MessageCopier(ctx, clients.CopyJob{Addr: b.Addr, From: copied, To: "assigned", Group: "assigned", Transactional: fmt.Sprint("assigned-", p), Size: 7}, p, false, true)
				if err != nil {
					t.Error(err)
				}
			})
			if !full() && p == 0 {
				break
			}
		}
		all.Go(func() {
			err := tl.MessageCopier(ctx, clients.CopyJob{Addr: b.Addr, From: copied, To: "grouped", Group: "grouped", Transactional: "grouped", Size: 20, Total: copiedRecords}, 0, true, false)
			if err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		isCopy(t, ctx, b.Addr, "grouped")
		if full() {
			isCopy(t, ctx, b.Addr, "assigned")
			return
		}
		got, err := clients.Values(ctx, b.Addr, "assigned", 0, true)
		want, err2 := clients.Values(ctx, b.Addr, copied, 0, true)
		if err := errors.Join(err, err2); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d of %d records are copied: %v %v", len(got), len(want), got, err)
		}
	})
}

// TestProducerPerfTransactions: the performance tools with --transactional-id, Apache's class and Gregor's script.
func TestProducerPerfTransactions(t *testing.T) {
	eachKind(t, 3*time.Minute, func(t *testing.T, ctx context.Context, kind peer.Kind) {
		b := txnBroker(t, ctx, peer.Options{Kind: kind})
		const records = 3000
		for _, gregor := range []bool{false, true} {
			topic := fmt.Sprintf("gregor-%v", gregor)
			if err := clients.CreateTopic(ctx, b.Addr, topic, copiedPartitions, nil); err != nil {
				t.Fatal(err)
			}
			if err := tools(t).ProducerPerf(ctx, gregor, b.Addr, topic, "perf", records); err != nil {
				t.Fatal(err)
			}
			n := 0
			for p := range int32(copiedPartitions) {
				values, err := clients.Values(ctx, b.Addr, topic, p, true)
				if err != nil {
					t.Fatal(err)
				}
				n += len(values)
			}
			if n != records {
				t.Errorf("%s: %d records of %d are committed", topic, n, records)
			}
		}
	})
}

// TestFencing: of two producers with one transactional id the older is fenced, and what it wrote in its transaction is aborted.
func TestFencing(t *testing.T) {
	eachKind(t, 3*time.Minute, func(t *testing.T, ctx context.Context, kind peer.Kind) {
		b := txnBroker(t, ctx, peer.Options{Kind: kind})
		for _, set := range []string{"kafka-2.7.2", "clients-4"} {
			topic := "fenced-" + set
			if err := clients.CreateTopic(ctx, b.Addr, topic, 1, nil); err != nil {
				t.Fatal(err)
			}
			if err := tools(t).Fence(ctx, set, b.Addr, topic, "one-"+set); err != nil {
				t.Error(err)
			}
			onlySecond(t, ctx, b.Addr, topic)
		}
		if err := clients.CreateTopic(ctx, b.Addr, "fenced-franz-go", 1, nil); err != nil {
			t.Fatal(err)
		}
		open := func() *kgo.Client {
			c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.TransactionalID("one-franz-go"), kgo.DefaultProduceTopic("fenced-franz-go"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			if err := c.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			return c
		}
		first := open()
		if err := first.ProduceSync(ctx, kgo.StringRecord("first")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		second := open()
		if err := second.ProduceSync(ctx, kgo.StringRecord("second")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := first.ProduceSync(ctx, kgo.StringRecord("zombie")).FirstErr(); !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
			t.Errorf("the older producer writes: %v", err)
		}
		if err := first.EndTransaction(ctx, kgo.TryCommit); err == nil {
			t.Error("the older producer commits")
		}
		if err := second.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Error(err)
		}
		onlySecond(t, ctx, b.Addr, "fenced-franz-go")
	})
}

// onlySecond waits until the markers are written: the last stable offset is the end then.
func onlySecond(t *testing.T, ctx context.Context, addr, topic string) {
	t.Helper()
	settled(t, ctx, addr, topic, 0)
	got, err := clients.Values(ctx, addr, topic, 0, true)
	if err != nil || !slices.Equal(got, []string{"second"}) {
		t.Errorf("%s holds %q, %v", topic, got, err)
	}
	if got, err = clients.Values(ctx, addr, topic, 0, false); err != nil || !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("%s holds %q for a reader of everything, %v", topic, got, err)
	}
}

// settled waits until no transaction is open on a partition.
func settled(t *testing.T, ctx context.Context, addr, topic string, partition int32) {
	t.Helper()
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	waitFor(t, ctx, "the markers on "+topic, func() bool {
		end, err := clients.End(ctx, c, topic, partition, false)
		stable, err2 := clients.End(ctx, c, topic, partition, true)
		return err == nil && err2 == nil && end == stable
	})
}

// TestIsolationOfEveryConsumer: of a partition with committed, aborted and open transactions side by side each client reads what was
// committed up to the first that is open, or everything.
func TestIsolationOfEveryConsumer(t *testing.T) {
	eachKind(t, 4*time.Minute, func(t *testing.T, ctx context.Context, kind peer.Kind) {
		b := txnBroker(t, ctx, peer.Options{Kind: kind})
		const topic = "mixed"
		if err := clients.CreateTopic(ctx, b.Addr, topic, 1, map[string]string{"segment.bytes": "500"}); err != nil {
			t.Fatal(err)
		}
		committed, everything, open := mixTransactions(t, ctx, b.Addr, topic)
		defer open.Close()
		compare := func(round string) {
			t.Helper()
			for _, c := range tools(t).Consumers() {
				for isolation, want := range map[string][]string{"read_committed": committed, "read_uncommitted": everything} {
					var got []string
					began := time.Now()
					err := c.Consume(ctx, clients.Job{Addr: b.Addr, Topic: topic, Isolation: isolation, Records: len(want)},
						func(_, value []byte) { got = append(got, string(value)) })
					if err != nil || !slices.Equal(got, want) {
						t.Errorf("%s: %s by %s: %d records %v, %v\nwant %d %v", round, isolation, c.Name, len(got), clipped(got), err, len(want), clipped(want))
					}
					t.Logf("%s, %s by %s: %.1f s", round, isolation, c.Name, time.Since(began).Seconds())
				}
			}
		}
		compare("one open")
		if err := open.End(ctx, true); err != nil {
			t.Fatal(err)
		}
		settled(t, ctx, b.Addr, topic, 0)
		if !full() {
			return
		}
		committed = nil
		for _, v := range everything {
			if !strings.HasPrefix(v, "aborted") {
				committed = append(committed, v)
			}
		}
		compare("none open")
	})
}

// mixTransactions returns the values that the two kinds of reader see, and the transaction that is open.
func mixTransactions(t *testing.T, ctx context.Context, addr, topic string) (committed, everything []string, open *clients.Txn) {
	t.Helper()
	ids := map[string]*clients.Txn{}
	for _, id := range []string{"a", "b", "open"} {
		p, err := clients.DialTxn(ctx, addr, id, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = p
	}
	plain, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	stable := true
	write := func(id, value string) {
		t.Helper()
		if id == "" {
			if err := plain.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
				t.Fatal(err)
			}
		} else if err := errors.Join(ids[id].Add(ctx, topic, 0), ids[id].Produce(ctx, topic, []int32{0}, 1, []byte(value))); err != nil {
			t.Fatal(err)
		}
		everything = append(everything, value)
		stable = stable && id != "open"
		if stable && !strings.HasPrefix(value, "aborted") {
			committed = append(committed, value)
		}
	}
	end := func(id string, commit bool) {
		t.Helper()
		if err := ids[id].End(ctx, commit); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		write("", fmt.Sprint("plain-", i))
		write("a", fmt.Sprint("committed-", i))
		write("b", fmt.Sprint("aborted-", i))
		write("", fmt.Sprint("between-", i))
		write("b", fmt.Sprint("aborted-again-", i))
		end("b", false)
		write("a", fmt.Sprint("committed-again-", i))
		end("a", true)
	}
	// An aborted transaction that begins before the open one and ends after it is left out, and what follows it is not stable.
	write("b", "aborted-around")
	write("open", "open")
	end("b", false)
	write("", "after")
	write("a", "committed-after")
	end("a", true)
	ids["a"].Close()
	ids["b"].Close()
	return committed, everything, ids["open"]
}
