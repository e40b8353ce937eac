package handlers

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/replication"
)

// DeleteRecords serves DeleteRecords (versions 0 to 2). It answers when every live replica's log starts at the offset or the time is
// over; alone in sync, a leader answers at once.
type DeleteRecords struct {
	Replicas *replication.Manager
	Log      logrus.FieldLogger
}

// APIs returns the row.
func (h *DeleteRecords) APIs() []server.API {
	return []server.API{{Key: kmsg.DeleteRecords, MinVersion: 0, MaxVersion: 2, Handle: h.handle}}
}

// deletion is one partition whose replicas have yet to follow.
type deletion struct {
	p      *replication.Partition
	target int64
	out    *kmsg.DeleteRecordsResponseTopicPartition
	watch  replication.Watch
}

func (h *DeleteRecords) handle(ctx context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.DeleteRecordsRequest)
	resp := kmsg.NewPtrDeleteRecordsResponse()
	var waiting []*deletion
	for _, t := range req.Topics {
		if len(t.Partitions) == 0 {
			continue // Apache Kafka answers by partition
		}
		rt := kmsg.NewDeleteRecordsResponseTopic()
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(t.Partitions))
		for i, q := range t.Partitions {
			rp := &rt.Partitions[i]
			rp.Default()
			rp.Partition, rp.LowWatermark = q.Partition, -1
			if d := h.one(t.Topic, q.Offset, rp); d != nil {
				waiting = append(waiting, d)
			}
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if len(waiting) > 0 {
		awaitDeletions(ctx, waiting, time.Duration(req.TimeoutMillis)*time.Millisecond)
	}
	return resp, nil
}

// one deletes in one partition and returns what is to be waited for, if anything.
func (h *DeleteRecords) one(topic string, offset int64, rp *kmsg.DeleteRecordsResponseTopicPartition) *deletion {
	p, err := h.Replicas.Lookup(topic, rp.Partition)
	if isInternal(topic) && !errors.Is(err, replication.ErrUnknownPartition) {
		rp.ErrorCode = kerr.InvalidTopicException.Code
		return nil
	}
	var low, target int64
	if err == nil {
		low, target, err = p.DeleteRecords(offset)
	}
	if err != nil {
		rp.ErrorCode = errorCode(err)
		if rp.ErrorCode == kerr.UnknownServerError.Code {
			h.Log.Errorf("Deleting records of %s-%d up to %d failed: %v", topic, rp.Partition, offset, err)
		}
		return nil
	}
	rp.LowWatermark = low
	if low >= target {
		return nil
	}
	return &deletion{p: p, target: target, out: rp}
}

// awaitDeletions waits until no low watermark is behind, and marks those that still are when the time is over.
func awaitDeletions(ctx context.Context, waiting []*deletion, timeout time.Duration) {
	var set replication.WatchSet
	for _, d := range waiting {
		d.watch.Set = &set
		d.watch.Attach(d.p)
		defer d.watch.Detach()
	}
	timer := time.NewTimer(max(timeout, 0))
	defer timer.Stop()
	moved := make(signal, 1)
	for {
		set.Take(nil)
		behind := 0
		for _, d := range waiting {
			if !d.settled() {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		if !set.Park(moved) {
			continue
		}
		select {
		case <-moved:
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		if !set.Unpark() {
			<-moved
		}
		for _, d := range waiting {
			if !d.settled() {
				d.out.ErrorCode = kerr.RequestTimedOut.Code
			}
		}
		return
	}
}

// signal is a waiter that only says so.
type signal chan struct{}

// Resume sends; at most one resumption is under way, for which the channel has room.
func (s signal) Resume() { s <- struct{}{} }

// settled looks at the replicas again; an error settles it too.
func (d *deletion) settled() bool {
	if d.out.ErrorCode != 0 {
		return true
	}
	low, err := d.p.LowWatermark()
	if err != nil {
		d.out.ErrorCode, d.out.LowWatermark = errorCode(err), -1
		return true
	}
	d.out.LowWatermark = low
	return low >= d.target
}
