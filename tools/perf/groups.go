package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// offsetCommit is a commit of a group without members: offset for each of so many partitions of a topic.
func offsetCommit(group, topic string, partitions int, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 7, group, -1
	t := kmsg.OffsetCommitRequestTopic{Topic: topic}
	for p := range partitions {
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.LeaderEpoch = int32(p), offset, -1
		t.Partitions = append(t.Partitions, rp)
	}
	req.Topics = []kmsg.OffsetCommitRequestTopic{t}
	return req
}

func commitError(resp *kmsg.OffsetCommitResponse) error {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("committing %s-%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// measureOffsetCommits commits the offsets of ten partitions again and again, as 32 groups with a connection each.
func measureOffsetCommits(ctx context.Context, s *session) ([]figure, error) {
	const groups, partitions = 32, 10
	names := s.names(1)
	if err := s.create(ctx, names, partitions); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var commits atomic.Int64
	var all sync.WaitGroup
	for i := range groups {
		group := fmt.Sprintf("%s-group-%d", names[0], i)
		at, err := clients.FindCoordinator(ctx, s.broker.Addr, clients.OfGroups, group)
		if err != nil {
			return nil, err
		}
		c, err := peer.Dial(ctx, at)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		req := offsetCommit(group, names[0], partitions, 1234)
		err = clients.Patient(ctx, 10*time.Millisecond, func() error {
			resp, err := c.Request(ctx, req)
			if err != nil {
				return err
			}
			return commitError(resp.(*kmsg.OffsetCommitResponse))
		})
		if err != nil {
			return nil, err
		}
		all.Go(func() {
			if err := sameAgain(ctx, c, c.Frame(req), &commits); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	r, err := measure(ctx, s.warm, s.seconds, s.begin, s.end, func() (int64, int64) { n := commits.Load(); return n, 0 })
	cancel(nil)
	all.Wait()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil || r.records == 0 {
		return nil, errors.Join(err, fmt.Errorf("%d commits", r.records))
	}
	return []figure{
		{"CPU a commit", float64(s.cpu.Nanoseconds()) / 1000 / float64(r.records), "us", third, 0},
		{"commits/s of 10 offsets", r.perSecond(), "", 0, 0},
	}, deleteTopics(context.WithoutCancel(ctx), s.broker.Addr, names)
}

// sameAgain sends the same frame as soon as it is answered; each answer must be that to the first, which is looked at.
func sameAgain(ctx context.Context, c *peer.Conn, frame []byte, count *atomic.Int64) error {
	first, err := c.RoundTrip(ctx, frame)
	if err != nil {
		return err
	}
	var resp kmsg.OffsetCommitResponse
	resp.SetVersion(7)
	if err := resp.ReadFrom(first); err != nil {
		return err
	}
	if err := commitError(&resp); err != nil {
		return err
	}
	for ctx.Err() == nil {
		body, err := c.RoundTrip(ctx, frame)
		if err != nil {
			return err
		}
		if !bytes.Equal(body, first) {
			return errors.New("a commit was answered otherwise than the one before")
		}
		count.Add(1)
	}
	return nil
}

// committedOffsets is how many offsets the row about failing over commits, by how many groups.
const committedOffsets, committingGroups = 1_000_000, 10_000

// measureOffsetsFailover commits a million offsets in one partition of __consumer_offsets, kills its leader, and asks for one of them.
func measureOffsetsFailover(ctx context.Context, s *session) ([]figure, error) {
	const partitions, atOnce = committedOffsets / committingGroups, 32
	names := s.names(1)
	if err := s.create(ctx, names, partitions); err != nil {
		return nil, err
	}
	group := func(i int) string { return fmt.Sprintf("%s-group-%d", names[0], i) }
	at, err := clients.FindCoordinator(ctx, s.broker.Addr, clients.OfGroups, group(0))
	if err != nil {
		return nil, err
	}
	err = share(ctx, atOnce, func(i int, c *txnConns) error {
		return clients.Patient(ctx, 10*time.Millisecond, func() error {
			resp, err := c.coordinator.Request(ctx, offsetCommit(group(i), names[0], partitions, int64(i)))
			if err != nil {
				return err
			}
			return commitError(resp.(*kmsg.OffsetCommitResponse))
		})
	}, committingGroups, s.broker.Addr, at)
	if err != nil {
		return nil, err
	}
	const asked = committingGroups - 1
	figures, err := s.failCoordinator(ctx, "__consumer_offsets", func(ctx context.Context, c *peer.Conn) error {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version, req.Group = 5, group(asked)
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: names[0], Partitions: []int32{partitions - 1}}}
		resp, err := c.Request(ctx, req)
		if err != nil {
			return err
		}
		r := resp.(*kmsg.OffsetFetchResponse)
		if r.ErrorCode != 0 {
			return kerr.ErrorForCode(r.ErrorCode)
		}
		if p := r.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.Offset != asked {
			return fmt.Errorf("offset %d of group %d: %w", p.Offset, asked, kerr.ErrorForCode(p.ErrorCode))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return figures, deleteTopics(ctx, s.broker.Addr, names)
}
