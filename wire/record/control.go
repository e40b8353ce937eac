package record

import (
	"encoding/binary"
	"fmt"
)

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

// ParseControlType reads the key of a control record.
func ParseControlType(key []byte) (ControlType, error) {
	if len(key) < 4 {
		return ControlUnknown, &InvalidRecordError{Message: fmt.Sprintf("control record key has %d bytes, at least 4 are needed", len(key))}
	}
	if v := int16(binary.BigEndian.Uint16(key)); v < 0 {
		return ControlUnknown, &InvalidRecordError{Message: fmt.Sprintf("control record key has version %d", v)}
	}
	switch t := ControlType(binary.BigEndian.Uint16(key[2:])); t {
	case ControlAbort, ControlCommit:
		return t, nil
	}
	return ControlUnknown, nil
}

// ParseEndTxnMarker reads the first record of a control batch; ok is false for a batch without records (compaction left it empty).
func ParseEndTxnMarker(b Batch) (m EndTxnMarker, ok bool, err error) {
	it := NewIter(b, 1<<20)
	defer it.Close()
	if !it.Next() {
		return m, false, it.Err()
	}
	if m.Type, err = ParseControlType(it.Record.Key); err != nil {
		return m, false, err
	}
	if m.Type == ControlUnknown {
		return m, false, &InvalidRecordError{Message: "control record is neither commit nor abort"}
	}
	v := it.Record.Value
	if len(v) < 6 {
		return m, false, &InvalidRecordError{Message: fmt.Sprintf("end transaction marker has %d bytes, at least 6 are needed", len(v))}
	}
	if ver := int16(binary.BigEndian.Uint16(v)); ver < 0 {
		return m, false, &InvalidRecordError{Message: fmt.Sprintf("end transaction marker has version %d", ver)}
	}
	m.CoordinatorEpoch = int32(binary.BigEndian.Uint32(v[2:]))
	m.Timestamp = it.Record.Timestamp
	return m, true, nil
}

// BuildEndTxnMarker encodes a control batch of one marker.
func BuildEndTxnMarker(producerID int64, producerEpoch int16, m EndTxnMarker, leaderEpoch int32) Batch {
	b := NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.LeaderEpoch = producerID, producerEpoch, leaderEpoch
	b.Transactional, b.Control = true, true
	var key [4]byte
	binary.BigEndian.PutUint16(key[2:], uint16(m.Type))
	var value [6]byte
	binary.BigEndian.PutUint32(value[2:], uint32(m.CoordinatorEpoch))
	b.Append(m.Timestamp, key[:], value[:])
	out, err := b.Build()
	if err != nil {
		panic(err) // an uncompressed batch cannot fail to build
	}
	return out
}
