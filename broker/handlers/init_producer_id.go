package handlers

import (
	"context"
	"sync"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
)

// ProducerIDs hands out blocks of producer ids that no other broker gets, both ends included: zkmeta claims them in
// /latest_producer_id_block.
type ProducerIDs interface {
	ProducerIDBlock(ctx context.Context, brokerID int32) (first, last int64, err error)
}

// InitProducerID serves InitProducerId (versions 0 to 4) for idempotent producers. Those with a transactional id get
// COORDINATOR_NOT_AVAILABLE until there is a transaction coordinator.
type InitProducerID struct {
	IDs      ProducerIDs
	BrokerID int32
	Log      logrus.FieldLogger

	mu         sync.Mutex
	next, last int64
	have       bool
}

// APIs returns the row.
func (h *InitProducerID) APIs() []server.API {
	return []server.API{{Key: kmsg.InitProducerID, MinVersion: 0, MaxVersion: 4, Handle: h.handle}}
}

func (h *InitProducerID) handle(ctx context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
	req := msg.(*kmsg.InitProducerIDRequest)
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		// Both or none: a producer that asks for a new epoch names its id too.
		resp.ErrorCode = kerr.InvalidRequest.Code
	case req.TransactionalID != nil && *req.TransactionalID == "":
		resp.ErrorCode = kerr.InvalidRequest.Code
	case req.TransactionalID != nil:
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
	default:
		id, err := h.take(ctx)
		if err != nil {
			h.Log.Errorf("No producer id for %s: %v", r.RemoteAddr, err)
			resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code // retried by every client
			break
		}
		resp.ProducerID, resp.ProducerEpoch = id, 0
	}
	return resp, nil
}

// Prefetch takes a block of ids when the broker starts, as Apache Kafka does: while ZooKeeper is away, new producers still get theirs.
func (h *InitProducerID) Prefetch(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.fill(ctx); err != nil && ctx.Err() == nil {
		h.Log.Warnf("No producer ids yet, the first producer that asks for one tries again: %v", err)
	}
}

// fill, with mu held, sees to it that there is an id.
func (h *InitProducerID) fill(ctx context.Context) error {
	if h.have && h.next <= h.last {
		return nil
	}
	first, last, err := h.IDs.ProducerIDBlock(ctx, h.BrokerID)
	if err != nil {
		return err
	}
	h.next, h.last, h.have = first, last, true
	return nil
}

func (h *InitProducerID) take(ctx context.Context) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.fill(ctx); err != nil {
		return 0, err
	}
	h.next++
	return h.next - 1, nil
}
