package gregortest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/gregortest"
)

// BenchmarkTransactions is small transactions over ten partitions, one after the other, of one producer; the client's work is in it.
func BenchmarkTransactions(b *testing.B) {
	const partitions = 10
	ctx := context.Background()
	broker := gregortest.Start(b, gregortest.Topic("t", partitions))
	c, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.TransactionalID("bench"), kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for i := range b.N {
		if err := c.BeginTransaction(); err != nil {
			b.Fatal(err)
		}
		for p := range int32(partitions) {
			c.Produce(ctx, &kgo.Record{Partition: p, Value: []byte(fmt.Sprint(i))}, func(_ *kgo.Record, err error) {
				if err != nil {
					b.Error(err)
				}
			})
		}
		if err := c.Flush(ctx); err != nil {
			b.Fatal(err)
		}
		if err := c.EndTransaction(ctx, kgo.TryCommit); err != nil {
			b.Fatal(err)
		}
	}
}
