package gregortest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"gregor/gregortest"
)

func open(ctx context.Context, t *testing.T, c *kgo.Client, value string) {
	t.Helper()
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// A reader of committed records that waits is woken by the marker, not by the end of its wait.
func TestACommitWakesAWaitingReader(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := gregortest.Start(t, gregortest.Topic("t", 1))
	c := txnClient(t, b, "writer")
	for i, version := range []int16{4, 11, 12} {
		versions := kversion.V2_7_0()
		versions.SetMaxKeyVersion(1, version)
		pinned, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.MaxVersions(versions))
		if err != nil {
			t.Fatal(err)
		}
		defer pinned.Close()
		open(ctx, t, c, "a")
		req := kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = -1, 50_000, 1, 1<<20, 1, -1
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes, p.FetchOffset, p.CurrentLeaderEpoch = 1<<20, int64(2*i), -1 // a record and a marker for each
		req.Topics = []kmsg.FetchRequestTopic{{Topic: "t", Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		type result struct {
			resp kmsg.Response
			err  error
			took time.Duration
		}
		answered, begun := make(chan result, 1), time.Now()
		go func() {
			resp, err := pinned.SeedBrokers()[0].Request(ctx, req)
			answered <- result{resp, err, time.Since(begun)}
		}()
		if err := c.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		r := <-answered
		if r.err != nil {
			t.Fatal(r.err)
		}
		part := r.resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if len(part.RecordBatches) == 0 || part.AbortedTransactions == nil || part.LastStableOffset != int64(2*i+2) || r.took > 40*time.Second {
			t.Errorf("version %d after %v: %d bytes, last stable offset %d, aborted %v", version, r.took, len(part.RecordBatches), part.LastStableOffset, part.AbortedTransactions)
		}
	}
}

// What is open when a broker stops is open when it is back: it holds readers up, its producer may end it, or its time does.
func TestTransactionsOutliveTheBroker(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	start := func() *gregortest.Broker {
		b, err := gregortest.New(ctx, nil, gregortest.Dir(dir), gregortest.Topic("t", 1, "retention.ms=-1"),
			gregortest.Config("transaction.abort.timed.out.transaction.cleanup.interval.ms", "100"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := start()
	c := txnClient(t, b, "stays")
	transact(ctx, t, c, "t", false, "aborted")
	transact(ctx, t, c, "t", true, "first")
	open(ctx, t, c, "left open")
	id, epoch, err := c.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	b = start()
	raw, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(raw)
	var s, e kadm.ListedOffset
	for there := false; !there; { // at first the broker has not been told of the topic
		stable, err := admin.ListCommittedOffsets(ctx, "t")
		end, err2 := admin.ListEndOffsets(ctx, "t")
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		var known bool
		s, known = stable.Lookup("t", 0)
		e, there = end.Lookup("t", 0)
		there = there && known
	}
	if s.Err != nil || e.Err != nil || s.Offset != e.Offset-1 {
		t.Errorf("after the restart the last stable offset is %d of %d, %v, %v", s.Offset, e.Offset, s.Err, e.Err)
	}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorType = "stays", 1
	if _, err := find.RequestWith(ctx, raw); err != nil {
		t.Fatal(err)
	}
	finish := kmsg.NewPtrEndTxnRequest()
	finish.TransactionalID, finish.ProducerID, finish.ProducerEpoch, finish.Commit = "stays", id, epoch, true
	for {
		resp, err := finish.RequestWith(ctx, raw)
		if err != nil {
			t.Fatal(err)
		}
		if code := kerr.ErrorForCode(resp.ErrorCode); errors.Is(code, kerr.ConcurrentTransactions) || errors.Is(code, kerr.CoordinatorLoadInProgress) {
			continue
		} else if code != nil {
			t.Fatalf("ending it: %v", code)
		}
		break
	}
	// Another is left to its time.
	short := txnClient(t, b, "short", kgo.TransactionTimeout(time.Second))
	open(ctx, t, short, "times out")
	raw.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	b = start()
	defer b.Close()
	last := txnClient(t, b, "last")
	transact(ctx, t, last, "t", true, "last")
	if got := values(ctx, t, b, "t", kgo.ReadCommitted(), 3); !slices.Equal(got, []string{"first", "left open", "last"}) {
		t.Errorf("committed are %v", got)
	}
}
