package record

import "errors"

// ControlType is the kind of a control record.
type ControlType int16

const (
	ControlAbort   ControlType = 0
	ControlCommit  ControlType = 1
	ControlUnknown ControlType = -1
)

// EndTxnMarker is the content of a transaction's control record.
type EndTxnMarker struct {
	Type             ControlType // ControlAbort or ControlCommit
	CoordinatorEpoch int32
	Timestamp        int64
}

// ParseEndTxnMarker reads the first record of a control batch; ok is false for a batch without records (compaction left it empty).
func ParseEndTxnMarker(b Batch) (m EndTxnMarker, ok bool, err error) {
	return m, false, errors.New("record: not there yet")
}
