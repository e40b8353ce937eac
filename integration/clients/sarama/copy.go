package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

// copier copies what it consumes to another topic, in transactions that commit the offsets; each claim has a producer of its own.
type copier struct {
	bootstrap, to, group, id string
	total, size, abortEvery  int
	done                     atomic.Int64
	transactions             atomic.Int64
	stop                     context.CancelCauseFunc
}

func (c *copier) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (c *copier) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *copier) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	config := sarama.NewConfig()
	config.Version = sarama.V2_7_0_0
	config.Producer.Idempotent = true
	config.Producer.Return.Errors = false
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Transaction.ID = fmt.Sprintf("%s-%d", c.id, claim.Partition())
	config.Producer.Transaction.Timeout = 30 * time.Second
	config.Net.MaxOpenRequests = 1
	p, err := sarama.NewAsyncProducer([]string{c.bootstrap}, config)
	if err != nil {
		c.stop(err)
		return err
	}
	defer p.Close()
	for {
		batch := c.collect(s, claim)
		if len(batch) == 0 {
			return nil
		}
		if err := c.transact(p, batch); err != nil {
			c.stop(fmt.Errorf("partition %d: %w", claim.Partition(), err))
			return err
		}
		if n := c.done.Add(int64(len(batch))); c.total > 0 && n >= int64(c.total) {
			c.stop(nil)
			return nil
		}
	}
}

// collect waits for a message and takes what follows at once; nothing when the session is over.
func (c *copier) collect(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) []*sarama.ConsumerMessage {
	var batch []*sarama.ConsumerMessage
	var late <-chan time.Time
	for len(batch) < c.size {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			batch = append(batch, m)
			if late == nil {
				late = time.After(50 * time.Millisecond)
			}
		case <-late:
			return batch
		case <-s.Context().Done():
			return nil
		}
	}
	return batch
}

// transact copies a batch, after an aborted attempt if it is its turn.
func (c *copier) transact(p sarama.AsyncProducer, batch []*sarama.ConsumerMessage) error {
	for {
		abort := c.abortEvery > 0 && c.transactions.Add(1)%int64(c.abortEvery) == 0
		if err := p.BeginTxn(); err != nil {
			return err
		}
		for _, m := range batch {
			p.Input() <- &sarama.ProducerMessage{Topic: c.to, Partition: m.Partition, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value)}
		}
		if err := p.AddMessageToTxn(batch[len(batch)-1], c.group, nil); err != nil {
			return err
		}
		if !abort {
			return p.CommitTxn()
		}
		if err := p.AbortTxn(); err != nil {
			return err
		}
	}
}

func runCopy(args []string) error {
	c := &copier{bootstrap: args[0], to: args[2], group: args[3], id: args[4]}
	for i, n := range []*int{&c.total, &c.size, &c.abortEvery} {
		var err error
		if *n, err = strconv.Atoi(args[5+i]); err != nil {
			return err
		}
	}
	config := sarama.NewConfig()
	config.Version = sarama.V2_7_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	g, err := sarama.NewConsumerGroup([]string{c.bootstrap}, c.group, config)
	if err != nil {
		return err
	}
	defer g.Close()
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	c.stop = stop
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{args[1]}, c); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if cause := context.Cause(ctx); cause != context.Canceled {
		return cause
	}
	return nil
}
