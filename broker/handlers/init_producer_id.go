package handlers

import (
	"context"
	"sync"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/coordinator/txn"
	"gregor/coordinator/txn/fsm"
)

// ProducerIDs hands out blocks of producer ids that no other broker gets, both ends included: zkmeta claims them in
// /latest_producer_id_block.
type ProducerIDs interface {
	ProducerIDBlock(ctx context.Context, brokerID int32) (first, last int64, err error)
}

// InitProducerID serves InitProducerId (versions 0 to 4): for idempotent producers itself, for those with a transactional id through the
// transaction coordinator.
type InitProducerID struct {
	IDs         ProducerIDs
	BrokerID    int32
	Coordinator *txn.Coordinator
	Log         logrus.FieldLogger

	mu   sync.Mutex    // guards turn, for moments
	turn chan struct{} // whose element is in may use what follows; it may have to wait for ZooKeeper meanwhile
	// next is the id to give, last the last one of the block.
	next, last int64
	have       bool
}

// take waits for the turn. The caller gives it back by leave.
func (h *InitProducerID) take(ctx context.Context) (leave func(), err error) {
	h.mu.Lock()
	if h.turn == nil {
		h.turn = make(chan struct{}, 1)
	}
	turn := h.turn
	h.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// APIs returns the row.
func (h *InitProducerID) APIs() []server.API {
	return []server.API{{Key: kmsg.InitProducerID, MinVersion: 0, MaxVersion: 4, Start: h.start}}
}

func (h *InitProducerID) start(ctx context.Context, r *server.Request) error {
	req, err := decode(r, kmsg.NewPtrInitProducerIDRequest())
	if err != nil {
		return err
	}
	done := func(res txn.InitResult) {
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = fencedCode(res.Code, r.Version >= 4), res.ID, res.Epoch
		r.CompleteMessage(resp)
	}
	none := txn.InitResult{Producer: fsm.Producer{ID: -1, Epoch: -1}}
	if (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		// Both or none: a producer that asks for a new epoch names its id too.
		none.Code = kerr.InvalidRequest.Code
		done(none)
		return nil
	}
	if req.TransactionalID == nil {
		id, err := h.Take(ctx)
		if err != nil {
			h.Log.Errorf("No producer id for %s: %v", r.RemoteAddr, err)
			none.Code = kerr.CoordinatorLoadInProgress.Code // retried by every client
			done(none)
			return nil
		}
		done(txn.InitResult{Producer: fsm.Producer{ID: id}})
		return nil
	}
	var expected *fsm.Producer
	if req.ProducerID != -1 {
		expected = &fsm.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	}
	h.Coordinator.Init(ctx, *req.TransactionalID, req.TransactionTimeoutMillis, expected, done)
	return nil
}

// fencedCode is a code as a client knows it: PRODUCER_FENCED is INVALID_PRODUCER_EPOCH to those that are older.
func fencedCode(code int16, knows bool) int16 {
	if code == kerr.ProducerFenced.Code && !knows {
		return kerr.InvalidProducerEpoch.Code
	}
	return code
}

// Prefetch takes a block of ids when the broker starts, as Apache Kafka does: while ZooKeeper is away, new producers still get theirs.
func (h *InitProducerID) Prefetch(ctx context.Context) {
	leave, err := h.take(ctx)
	if err != nil {
		return
	}
	defer leave()
	if err := h.fill(ctx); err != nil && ctx.Err() == nil {
		h.Log.Warnf("No producer ids yet, the first producer that asks for one tries again: %v", err)
	}
}

// fill, with the turn, sees to it that there is an id.
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

// Take returns a producer id that no other has been given.
func (h *InitProducerID) Take(ctx context.Context) (int64, error) {
	leave, err := h.take(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if err := h.fill(ctx); err != nil {
		return 0, err
	}
	h.next++
	return h.next - 1, nil
}
