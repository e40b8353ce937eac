package handlers

import (
	"errors"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/group"
	"gregor/coordinator/txn"
	"gregor/replication"
	"gregor/storage"
	"gregor/wire/record"
)

// Markers writes the ends of transactions to the partitions that this broker leads, for coordinators here and elsewhere.
type Markers struct {
	Replicas *replication.Manager
	// Groups is told of ends in __consumer_offsets.
	Groups *group.Coordinator
	// Timeout is request.timeout.ms: how long a marker may take to be replicated.
	Timeout time.Duration
	Log     logrus.FieldLogger
}

// markersOp is markers that are being written. What it answers with is its own once they are.
type markersOp struct {
	h     *Markers
	list  []txn.Marker
	codes [][]int16
	done  func([][]int16)

	mu      sync.Mutex
	left    int // partitions that are not settled, and one for the function that begins
	over    bool
	cancels []func() bool
	timer   *time.Timer
}

// unsettled stands for a marker that is in a log and not replicated yet.
const unsettled int16 = -2

// Write writes markers. done is called once, now or later, with a code for each partition of each.
func (h *Markers) Write(list []txn.Marker, done func(codes [][]int16)) {
	op := &markersOp{h: h, list: list, codes: make([][]int16, len(list)), done: done, left: 1}
	now := time.Now()
	for i := range list {
		op.codes[i] = make([]int16, len(list[i].Parts))
		for j := range list[i].Parts {
			op.write(i, j, now)
		}
	}
	op.mu.Lock()
	if op.left > 1 {
		op.timer = time.AfterFunc(h.Timeout, op.expired)
	}
	op.mu.Unlock()
	op.settle(-1, 0, 0)
}

// write appends one marker, and waits for it without waiting here.
func (op *markersOp) write(i, j int, now time.Time) {
	m, tp := &op.list[i], op.list[i].Parts[j]
	if m.Producer < 0 || m.Epoch < 0 {
		op.codes[i][j] = kerr.InvalidRequest.Code // it would be nobody's marker
		return
	}
	p, err := op.h.Replicas.Lookup(tp.Topic, tp.Partition)
	if err != nil || p.Log() == nil {
		op.codes[i][j] = kerr.UnknownTopicOrPartition.Code
		return
	}
	if log := p.Log(); log != nil && log.Config().Magic < 2 {
		op.codes[i][j] = kerr.UnsupportedForMessageFormat.Code
		return
	}
	kind := record.ControlAbort
	if m.Commit {
		kind = record.ControlCommit
	}
	marker := record.EndTxnMarker{Type: kind, CoordinatorEpoch: m.CoordinatorEpoch, Timestamp: now.UnixMilli()}
	info, err := p.Append(record.BuildEndTxnMarker(m.Producer, m.Epoch, marker, record.NoLeaderEpoch), -1, storage.FromCoordinator, now, nil)
	if err != nil {
		op.codes[i][j] = op.failed(m, err)
		return
	}
	op.mu.Lock()
	op.codes[i][j] = unsettled
	op.left++
	op.mu.Unlock()
	cancel := p.WhenReplicated(info.LastOffset+1, func(err error) {
		code := errorCode(err)
		if err == nil && tp.Topic == offsetsTopic {
			op.h.Groups.EndTxn(tp.Partition, m.Producer, info.FirstOffset, m.Commit)
		}
		op.settle(i, j, code)
	})
	if cancel != nil {
		op.mu.Lock()
		op.cancels = append(op.cancels, cancel)
		op.mu.Unlock()
	}
}

func (op *markersOp) failed(m *txn.Marker, err error) int16 {
	code := errorCode(err)
	if code == kerr.UnknownServerError.Code && !errors.Is(err, replication.ErrNotLeader) {
		op.h.Log.Errorf("Writing a transaction marker of producer %d failed: %v", m.Producer, err)
	}
	return code
}

// settle notes what came of one marker, or, with i -1, that all have been begun. The last one answers.
func (op *markersOp) settle(i, j int, code int16) {
	op.mu.Lock()
	if op.over {
		op.mu.Unlock()
		return
	}
	if i >= 0 {
		op.codes[i][j] = code
	}
	op.left--
	last := op.left == 0
	op.over = last
	if last && op.timer != nil {
		op.timer.Stop()
	}
	op.mu.Unlock()
	if last {
		op.done(op.codes)
	}
}

// expired answers for those that are not replicated in time.
func (op *markersOp) expired() {
	op.mu.Lock()
	if op.over {
		op.mu.Unlock()
		return
	}
	op.over = true
	for i := range op.codes {
		for j := range op.codes[i] {
			if op.codes[i][j] == unsettled {
				op.codes[i][j] = kerr.RequestTimedOut.Code
			}
		}
	}
	cancels := op.cancels
	op.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
	op.done(op.codes)
}
