package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// manyIDs is how many transactional ids the row about failing over makes.
const manyIDs = 100_000

// measureTxnFailover makes many transactional ids, all of one partition of __transaction_state, kills its leader, and asks for one of them.
func measureTxnFailover(ctx context.Context, s *session) ([]figure, error) {
	const atOnce = 64
	name := s.names(1)[0]
	id := func(i int) string { return fmt.Sprintf("%s-%d", name, i) }
	at, err := clients.FindCoordinator(ctx, s.broker.Addr, clients.OfTransactions, id(0))
	if err != nil {
		return nil, err
	}
	pids := make([]int64, manyIDs)
	err = share(ctx, atOnce, func(i int, c *txnConns) error {
		return clients.Patient(ctx, time.Millisecond, func() (err error) {
			pids[i], _, err = clients.InitProducerID(ctx, c.coordinator, id(i))
			return err
		})
	}, manyIDs, s.broker.Addr, at)
	if err != nil {
		return nil, err
	}
	// Each try is for another id, since a try that is not answered may have raised its epoch all the same.
	next := manyIDs
	return s.failCoordinator(ctx, "__transaction_state", func(ctx context.Context, c *peer.Conn) error {
		next--
		pid, epoch, err := clients.InitProducerID(ctx, c, id(next))
		if err == nil && (pid != pids[next] || epoch != 1) {
			err = fmt.Errorf("%s has producer id %d, epoch %d: it was %d, epoch 0", id(next), pid, epoch, pids[next])
		}
		return err
	})
}

// failCoordinator kills the broker that leads the only partition of an internal topic, calls ask until the next leader has loaded it, and
// starts the broker again. ask returns nil or what the broker answered.
func (s *session) failCoordinator(ctx context.Context, topic string, ask func(context.Context, *peer.Conn) error) ([]figure, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	old, err := leaderOf(ctx, s.broker.Addr, topic, -1)
	if err != nil {
		return nil, err
	}
	brokers := s.brokers()
	witness := brokers[(int(old)+1)%len(brokers)].Addr
	began := time.Now()
	brokers[old].Kill()
	leader, err := leaderOf(ctx, witness, topic, old)
	if err != nil {
		return nil, err
	}
	ledAfter := time.Since(began)
	c, err := peer.Dial(ctx, brokers[leader].Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := clients.Patient(ctx, 5*time.Millisecond, func() error { return ask(ctx, c) }); err != nil {
		return nil, fmt.Errorf("asking the new coordinator: %w", err)
	}
	answered := time.Since(began)
	b, err := brokers[old].Restart(ctx)
	if err != nil {
		return nil, err
	}
	if old == 0 {
		s.broker = b
	} else {
		s.others[old-1] = b
	}
	if err := led(ctx, witness, topic, 1, -1, len(brokers)); err != nil {
		return nil, err
	}
	return []figure{
		{"led again", ledAfter.Seconds(), "s", 0, 0},
		{"answered after that", (answered - ledAfter).Seconds(), "s", 0, 2},
		{"past the session timeout", (answered - sessionTimeout).Seconds(), "s", 0, 2},
	}, nil
}

// leaderOf waits until a broker says that another one than the broker that is gone leads partition 0 of a topic.
func leaderOf(ctx context.Context, addr, topic string, gone int32) (int32, error) {
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for {
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 7
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(topic)}}
		resp, err := c.Request(ctx, req)
		if err != nil {
			return 0, err
		}
		t := resp.(*kmsg.MetadataResponse).Topics[0]
		if len(t.Partitions) > 1 {
			return 0, fmt.Errorf("%s has %d partitions: the row wants one", topic, len(t.Partitions))
		}
		if len(t.Partitions) == 1 && t.Partitions[0].Leader >= 0 && t.Partitions[0].Leader != gone {
			return t.Partitions[0].Leader, nil
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return 0, fmt.Errorf("waiting for a leader of %s: %w (%w)", topic, err, kerr.ErrorForCode(t.ErrorCode))
		}
	}
}
