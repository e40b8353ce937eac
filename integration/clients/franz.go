package clients

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

var franzCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(),
	"zstd": kgo.ZstdCompression(),
}

// franzProduce always is idempotent: that is franz-go's default.
func franzProduce(ctx context.Context, j Job, records Records) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(j.Addr), kgo.DefaultProduceTopic(j.Topic), kgo.ProducerBatchCompression(franzCodecs[j.Codec]))
	if err != nil {
		return err
	}
	defer c.Close()
	var (
		once   sync.Once
		failed error
	)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for k, v := range records {
		if ctx.Err() != nil {
			break
		}
		c.Produce(ctx, &kgo.Record{Key: k, Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err; cancel(err) })
			}
		})
	}
	err = c.Flush(ctx)
	once.Do(func() {})
	return errors.Join(failed, err)
}

func franzConsume(ctx context.Context, j Job, add func(key, value []byte)) error {
	ends, err := EndOffsets(ctx, j.Addr, j.Topic)
	if err != nil {
		return err
	}
	start := map[int32]kgo.Offset{}
	left := map[int32]int64{}
	for p, end := range ends {
		if end > 0 {
			start[p] = kgo.NewOffset().At(0)
			left[p] = end
		}
	}
	if len(left) == 0 {
		return nil
	}
	opts := []kgo.Opt{kgo.SeedBrokers(j.Addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{j.Topic: start})}
	switch j.Isolation {
	case "read_committed":
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	case "read_uncommitted":
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadUncommitted()))
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer c.Close()
	if j.Isolation != "" {
		return franzRead(ctx, c, j.Records, add)
	}
	for len(left) > 0 {
		fetches := c.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("partition %d: %w", errs[0].Partition, errs[0].Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			add(r.Key, r.Value)
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
		})
	}
	return nil
}

// franzRead reads so many records: offsets do not tell where the end is when markers lie between records.
func franzRead(ctx context.Context, c *kgo.Client, records int, add func(key, value []byte)) error {
	for records > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			add(r.Key, r.Value)
			records--
		})
	}
	return nil
}
