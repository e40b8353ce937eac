package gregortest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/gregortest"
)

// txnClient is a transactional producer that is closed with the test.
func txnClient(t *testing.T, b *gregortest.Broker, id string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr()), kgo.TransactionalID(id), kgo.TransactionTimeout(30 * time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// transact writes values to partitions 0, 1, ... of a topic in one transaction.
func transact(ctx context.Context, t *testing.T, c *kgo.Client, topic string, commit bool, values ...string) {
	t.Helper()
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		r := &kgo.Record{Topic: topic, Partition: int32(i), Value: []byte(v)}
		if err := c.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		t.Fatal(err)
	}
}

// values reads a topic to its end, in order of partitions and offsets, as an isolation level shows it.
func values(ctx context.Context, t *testing.T, b *gregortest.Broker, topic string, iso kgo.IsolationLevel, want int) []string {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(iso))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []*kgo.Record
	for len(got) < want {
		fs := c.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatalf("%d of %d records of %s: %v", len(got), want, topic, err)
		}
		got = append(got, fs.Records()...)
	}
	slices.SortFunc(got, func(a, b *kgo.Record) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	out := make([]string, len(got))
	for i, r := range got {
		out[i] = string(r.Value)
	}
	return out
}

func TestATransactionIsSeenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := gregortest.Start(t, gregortest.Topic("t", 3))
	c := txnClient(t, b, "writer")
	transact(ctx, t, c, "t", true, "a0", "a1", "a2")
	transact(ctx, t, c, "t", false, "b0", "b1", "b2")
	transact(ctx, t, c, "t", true, "c0", "c1", "c2")
	want := []string{"a0", "c0", "a1", "c1", "a2", "c2"}
	if got := values(ctx, t, b, "t", kgo.ReadCommitted(), len(want)); !slices.Equal(got, want) {
		t.Errorf("committed are %v, want %v", got, want)
	}
	all := []string{"a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"}
	if got := values(ctx, t, b, "t", kgo.ReadUncommitted(), len(all)); !slices.Equal(got, all) {
		t.Errorf("written are %v, want %v", got, all)
	}
}

func TestANewProducerFencesTheOldOne(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := gregortest.Start(t, gregortest.Topic("t", 1))
	old := txnClient(t, b, "writer")
	transact(ctx, t, old, "t", true, "first")
	if err := old.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := old.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("left open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	transact(ctx, t, txnClient(t, b, "writer"), "t", true, "second")
	err := old.EndTransaction(ctx, kgo.TryCommit)
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("the fenced producer's commit: %v", err)
	}
	if got := values(ctx, t, b, "t", kgo.ReadCommitted(), 2); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("committed are %v", got)
	}
}

// A consumer's offsets in a transaction count with its output, or not at all.
func TestConsumeTransformProduce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := gregortest.Start(t, gregortest.Topic("in", 1), gregortest.Topic("out", 1))
	plain, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	const n = 30
	for i := range n {
		if err := plain.ProduceSync(ctx, &kgo.Record{Topic: "in", Value: []byte(fmt.Sprint(i))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(b.Addr()), kgo.TransactionalID("copier"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("in"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	aborts := 0
	for copied := 0; copied < n; {
		fs := s.PollRecords(ctx, 10)
		if err := fs.Err0(); err != nil {
			t.Fatal(err)
		}
		if err := s.Begin(); err != nil {
			t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) { s.Produce(ctx, &kgo.Record{Topic: "out", Value: r.Value}, nil) })
		try := kgo.TryCommit
		if aborts < 2 { // some work is thrown away, and done again
			aborts++
			try = kgo.TryAbort
		}
		committed, err := s.End(ctx, try)
		if err != nil {
			t.Fatal(err)
		}
		if committed {
			copied += fs.NumRecords()
		}
	}
	got := values(ctx, t, b, "out", kgo.ReadCommitted(), n)
	for i := range n {
		if got[i] != fmt.Sprint(i) {
			t.Fatalf("the copy is %v", got)
		}
	}
	offsets, err := kadm.NewClient(plain).FetchOffsets(ctx, "g")
	if o, _ := offsets.Lookup("in", 0); err != nil || o.At != n {
		t.Errorf("the group is at %d, %v", o.At, err)
	}
}
