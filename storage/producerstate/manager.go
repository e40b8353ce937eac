package producerstate

import (
	"errors"
	"time"

	"gregor/internal/vfs"
	"gregor/wire/record"
)

// Origin says where an append comes from: only a client's sequences are checked, a replica's epochs are taken as they are.
type Origin uint8

const (
	FromClient Origin = iota
	FromCoordinator
	FromReplication
)

// DefaultExpiration is transactional.id.expiration.ms's default, after which a silent producer is forgotten.
const DefaultExpiration = 7 * 24 * time.Hour

// Manager is one log's producer state. The zero value is empty and ready.
type Manager struct {
	s       *state
	mapEnd  int64
	snapEnd int64
}

type state struct{}

// Duplicate is the batch in the window that a repeated one equals.
type Duplicate struct {
	FirstOffset, LastOffset int64
	Timestamp               int64
}

// Pending is a checked batch that has not yet changed the state. It is a value: keep it on the stack.
type Pending struct {
	// Duplicate is set, with IsDuplicate, if the batch was written before: write nothing, answer with it, do not Apply.
	IsDuplicate bool
	Duplicate   Duplicate
}

// CompletedTxn is a transaction that its marker has just ended.
type CompletedTxn struct {
	ProducerID  int64
	FirstOffset int64
	LastOffset  int64 // of the marker
	Aborted     bool
}

// Check judges a batch (offsets already assigned) before it is written. Batches without a producer id need not be passed.
// Errors: *OutOfOrderSequenceError, *InvalidProducerEpochError, *InvalidTxnStateError, *CoordinatorFencedError,
// *record.InvalidRecordError (malformed marker).
func (m *Manager) Check(b record.Batch, origin Origin) (Pending, error) {
	return Pending{}, errors.New("producerstate: not there yet")
}

// Apply makes a checked batch part of the state, after it was written. For a control batch that ends a transaction it returns
// the completed transaction: index it with LastStableOffset if aborted, then call Complete.
func (m *Manager) Apply(p *Pending) (txn CompletedTxn, completed bool) { return CompletedTxn{}, false }

// Load is Check and Apply for batches read back from the log, completing transactions as it goes. Any header will do for data
// batches; control batches need the whole batch.
func (m *Manager) Load(b record.Batch) error { return errors.New("producerstate: not there yet") }

// LastStableOffset is the LSO just after txn, for its index entry.
func (m *Manager) LastStableOffset(txn CompletedTxn) int64 { return 0 }

// Complete moves a transaction from open to decided; it still holds the LSO until the high watermark passes its marker.
func (m *Manager) Complete(txn CompletedTxn) {}

// OnHighWatermark forgets decided transactions whose marker lies below the high watermark.
func (m *Manager) OnHighWatermark(hw int64) {}

// FirstUnstable is the first offset of the earliest transaction that is open, or decided but not yet below the high watermark.
func (m *Manager) FirstUnstable() (offset int64, ok bool) { return 0, false }

// FirstUndecided is the first offset of the earliest open transaction.
func (m *Manager) FirstUndecided() (offset int64, ok bool) { return 0, false }

// MapEnd is the log end offset that the state reflects; SetMapEnd follows every append, also those without producers.
func (m *Manager) MapEnd() int64     { return m.mapEnd }
func (m *Manager) SetMapEnd(o int64) { m.mapEnd = o }

// Empty reports whether there is neither a producer nor a decided transaction to remember; Len is the number of producers.
func (m *Manager) Empty() bool { return true }
func (m *Manager) Len() int    { return 0 }

// RemoveExpired forgets producers that have been silent for the expiration time, except those with an open transaction.
func (m *Manager) RemoveExpired(now time.Time, expiration time.Duration) {}

// TakeSnapshot writes MapEnd's .snapshot file into dir unless there is a newer one already.
func (m *Manager) TakeSnapshot(fsys vfs.FS, dir string) error { return nil }

// TruncateAndReload brings the state to what the newest snapshot at or below logEnd says, after the log was truncated there or
// opened; the caller then Loads the batches from MapEnd to logEnd. Snapshots outside (logStart, logEnd] are removed.
func (m *Manager) TruncateAndReload(fsys vfs.FS, dir string, logStart, logEnd int64, now time.Time, expiration time.Duration) error {
	return nil
}

// TruncateFullyAndStartAt forgets everything and removes all snapshots.
func (m *Manager) TruncateFullyAndStartAt(fsys vfs.FS, dir string, offset int64) error { return nil }

// TruncateHead follows an advanced log start offset.
func (m *Manager) TruncateHead(fsys vfs.FS, dir string, logStart int64) error { return nil }
