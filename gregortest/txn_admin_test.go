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

	"gregor/gregortest"
	"gregor/wire/record"
)

func ask[R kmsg.Response](ctx context.Context, t *testing.T, c *kgo.Client, req kmsg.Request) R {
	t.Helper()
	resp, err := c.SeedBrokers()[0].RetriableRequest(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(R)
}

// hang appends a transactional batch without telling a coordinator, as a late retry of a producer would; it returns the code.
func hang(ctx context.Context, t *testing.T, c *kgo.Client, id, topic string, producer int64, epoch int16, seq int32) int16 {
	t.Helper()
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = producer, epoch, seq, true
	b.Append(time.Now().UnixMilli(), nil, []byte("late"))
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = &id, -1, 5000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch}}}}
	return ask[*kmsg.ProduceResponse](ctx, t, c, req).Topics[0].Partitions[0].ErrorCode
}

func TestARecordThatComesAfterItsTransactionIsRefused(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := gregortest.Start(t, gregortest.Topic("t", 1))
	c := txnClient(t, b, "writer")
	transact(ctx, t, c, "t", true, "a")
	id, epoch, err := c.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if code := hang(ctx, t, c, "writer", "t", id, epoch, 1); code != kerr.InvalidTxnState.Code {
		t.Errorf("a late batch: %v", kerr.ErrorForCode(code))
	}
	if code := hang(ctx, t, c, "nobody", "t", 424242, 0, 0); code != kerr.InvalidTxnState.Code {
		t.Errorf("a batch of an unknown producer: %v", kerr.ErrorForCode(code))
	}
	transact(ctx, t, c, "t", true, "b") // its producer can go on
	if got := values(ctx, t, b, "t", kgo.ReadCommitted(), 2); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("committed are %v", got)
	}
}

// What KIP-664 is for: a transaction that nobody ends is found, and ended by an administrator.
func TestAHangingTransactionIsFoundAndAborted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := gregortest.Start(t, gregortest.Topic("t", 1), gregortest.Config("gregor.transactions.verify", "false"))
	c := txnClient(t, b, "writer")
	admin := kadm.NewClient(c)
	transact(ctx, t, c, "t", true, "a")
	id, epoch, err := c.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if code := hang(ctx, t, c, "writer", "t", id, epoch, 1); code != 0 {
		t.Fatalf("a late batch: %v", kerr.ErrorForCode(code))
	}
	stable := func() int64 {
		o, err := admin.ListCommittedOffsets(ctx, "t")
		at, _ := o.Lookup("t", 0)
		if err != nil || at.Err != nil {
			t.Fatal(err, at.Err)
		}
		return at.Offset
	}
	was := stable()
	if list, err := admin.ListTransactions(ctx, nil, nil); err != nil || list["writer"].State != "CompleteCommit" || list["writer"].ProducerID != id {
		t.Errorf("transactions %v, %v", list, err)
	}
	d, err := admin.DescribeTransactions(ctx, "writer", "nobody")
	if w, n := d["writer"], d["nobody"]; err != nil || w.State != "CompleteCommit" || !errors.Is(n.Err, kerr.TransactionalIDNotFound) {
		t.Errorf("described %+v, %v", d, err)
	}
	set := kadm.TopicsSet{}
	set.Add("t", 0)
	producers, err := admin.DescribeProducers(ctx, set)
	if err != nil {
		t.Fatal(err)
	}
	strange := kmsg.NewPtrDescribeProducersRequest()
	strange.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "never-there", Partitions: []int32{0}}}
	if code := ask[*kmsg.DescribeProducersResponse](ctx, t, c, strange).Topics[0].Partitions[0].ErrorCode; code != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("producers of a topic that is not there: %v", kerr.ErrorForCode(code))
	}
	p := producers["t"].Partitions[0].ActiveProducers.Sorted()
	if len(p) != 1 || p[0].ProducerID != id || p[0].CurrentTxnStartOffset != was {
		t.Fatalf("producers %+v", p)
	}
	marker := kadm.TxnMarkers{ProducerID: id, ProducerEpoch: epoch, CoordinatorEpoch: p[0].CoordinatorEpoch, Topics: kadm.TopicsSet{"t": {0: {}}}}
	res, err := admin.WriteTxnMarkers(ctx, marker)
	if err != nil || res[id].Topics["t"].Partitions[0].Err != nil {
		t.Fatalf("aborting: %+v, %v", res, err)
	}
	if now := stable(); now != was+2 {
		t.Errorf("the last stable offset was %d and is %d", was, now)
	}
}

func TestTheRequestsOfKIP664AreThereIfTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	for _, on := range []string{"true", "false"} {
		b := gregortest.Start(t, gregortest.Config("gregor.transactions.admin.enable", on))
		c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		brokers, err := kadm.NewClient(c).ApiVersions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, v := range brokers {
			v.EachKeySorted(func(k, _, _ int16) {
				if k == 61 || k == 65 || k == 66 {
					found++
				}
			})
		}
		if want := map[string]int{"true": 3, "false": 0}[on]; found != want {
			t.Errorf("with %s there are %d, want %d", on, found, want)
		}
	}
}
