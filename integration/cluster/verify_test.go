package cluster

import (
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
	cl, err := kgo.NewClient(append(ClientOptions(), c.Seeds(), kgo.TransactionalID("late"), kgo.DefaultProduceTopic("late"))...)
	must(t, err)
	defer cl.Close()
	must(t, cl.BeginTransaction())
	must(t, cl.ProduceSync(ctx, kgo.StringRecord("in time")).FirstErr())
	must(t, cl.EndTransaction(ctx, kgo.TryCommit))
	c.coordinateAt(t, ctx, transactionState, 1)
	id, epoch, err := cl.ProducerID(ctx)
	must(t, err)

	late := func(name string, id int64, epoch int16, sequence int32) (int16, error) {
		b := record.NewBuilder()
		b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = id, epoch, sequence, true
		b.Append(time.Now().UnixMilli(), nil, []byte("too late"))
		batch, err := b.Build()
		must(t, err)
		req := kmsg.NewPtrProduceRequest()
		req.TransactionID, req.Acks, req.TimeoutMillis = &name, -1, 5000
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: "late", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch}}}}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return 0, err
		}
		return resp.Topics[0].Partitions[0].ErrorCode, nil
	}
	// Until the leader knows of the coordinator, and that has loaded, what comes is let in.
	stranger := int64(1 << 40)
	eventually(t, ctx, "a stranger's record refused", func() bool {
		stranger++
		code, err := late(fmt.Sprint("stranger-", stranger), stranger, 0, 0)
		return err == nil && code == kerr.InvalidTxnState.Code
	})
	if code, err := late("late", id, epoch, 1); err != nil || code != kerr.InvalidTxnState.Code {
		t.Errorf("a late record: %v, %v", kerr.ErrorForCode(code), err)
	}
	must(t, cl.BeginTransaction())
	must(t, cl.ProduceSync(ctx, kgo.StringRecord("in time again")).FirstErr())
	must(t, cl.EndTransaction(ctx, kgo.TryCommit))
}
