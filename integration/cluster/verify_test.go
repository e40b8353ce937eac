package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire/record"
)

// TestLateRecordsAreRefusedByLeadersThatAreNotTheCoordinator: the leader of the partition asks the coordinator of the transactional id.
func TestLateRecordsAreRefusedByLeadersThatAreNotTheCoordinator(t *testing.T) {
	c, ctx := start(t, 3*time.Minute, Options{Kinds: threeGregors, Config: coordinated("1")})
	must(t, c.CreateTopic(ctx, "late", [][]int32{{2, 3, 1}}, nil))
	must(t, late(ctx, c, "first", new(int16)))
	c.coordinateAt(t, ctx, transactionState, 1)
	// Until the leader knows of the coordinator, and that has loaded and answers within a second, what comes is let in.
	n := 0
	eventually(t, ctx, "a late record refused", func() bool {
		n++
		code := int16(-1)
		if err := late(ctx, c, fmt.Sprint("late-", n), &code); err != nil {
			t.Logf("try %d: %v", n, err)
		}
		return code == kerr.InvalidTxnState.Code
	})
}

// late makes a transaction, and sends a record of it to broker 2 when it is over.
func late(ctx context.Context, c *Cluster, name string, code *int16) error {
	cl, err := kgo.NewClient(append(ClientOptions(), c.Seeds(), kgo.TransactionalID(name), kgo.DefaultProduceTopic("late"))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	if err := cl.ProduceSync(ctx, kgo.StringRecord("in time")).FirstErr(); err != nil {
		return err
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = id, epoch, 1, true
	b.Append(time.Now().UnixMilli(), nil, []byte("too late"))
	batch, err := b.Build()
	if err != nil {
		return err
	}
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = &name, -1, 5000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: "late", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch}}}}
	resp, err := cl.Broker(2).RetriableRequest(ctx, req)
	if err == nil {
		*code = resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
	}
	return err
}
