package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/IBM/sarama"
)

// member joins a group, prints the values of n records, commits after them and leaves.
type member struct {
	left atomic.Int64
	stop context.CancelFunc
}

func (m *member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for {
		select {
		case msg, ok := <-c.Messages():
			if !ok {
				return nil
			}
			left := m.left.Add(-1)
			if left < 0 {
				return nil
			}
			fmt.Fprintln(os.Stdout, string(msg.Value))
			s.MarkMessage(msg, "")
			if left == 0 {
				m.stop()
				return nil
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

func runMember(bootstrap, topic, group string, n int64) error {
	config := sarama.NewConfig()
	config.Version = sarama.V2_7_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	g, err := sarama.NewConsumerGroup([]string{bootstrap}, group, config)
	if err != nil {
		return err
	}
	defer g.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	m := &member{stop: stop}
	m.left.Store(n)
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{topic}, m); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
