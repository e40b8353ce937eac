package producerstate

import (
	"slices"
	"time"

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

// windowSize is how many of its last batches a producer may send again; clients keep at most five in flight.
const windowSize = 5

// Manager is one log's producer state. The zero value is empty and ready.
type Manager struct {
	s       *state
	mapEnd  int64
	snapEnd int64
}

// state exists from the first producer id on.
type state struct {
	producers    map[int64]*producer
	ongoing      []openTxn // by first offset
	unreplicated []openTxn // decided, marker not yet below the high watermark; by first offset
}

// producer is what is known of one producer id. Its window is a ring of the last batches of its epoch.
type producer struct {
	epoch            int16
	n                uint8 // batches in window, oldest first
	coordinatorEpoch int32
	lastTimestamp    int64
	txnFirstOffset   int64 // -1 for none
	window           [windowSize]batch
}

type batch struct {
	lastOffset  int64
	timestamp   int64
	lastSeq     int32
	offsetDelta int32
}

func (b batch) firstSeq() int32    { return record.DecrementSequence(b.lastSeq, b.offsetDelta) }
func (b batch) firstOffset() int64 { return b.lastOffset - int64(b.offsetDelta) }

type openTxn struct {
	producerID  int64
	firstOffset int64
	lastOffset  int64 // of the marker, once there is one
}

func newProducer() *producer {
	return &producer{epoch: record.NoProducerEpoch, coordinatorEpoch: -1, lastTimestamp: record.NoTimestamp, txnFirstOffset: -1}
}

func (p *producer) last() (batch, bool) {
	if p.n == 0 {
		return batch{}, false
	}
	return p.window[p.n-1], true
}

func (p *producer) lastSeq() int32 {
	if b, ok := p.last(); ok {
		return b.lastSeq
	}
	return record.NoSequence
}

// setEpoch empties the window on a new epoch.
func (p *producer) setEpoch(epoch int16) {
	if p.epoch != epoch {
		p.epoch, p.n = epoch, 0
	}
}

func (p *producer) push(b batch) {
	if p.n == windowSize {
		copy(p.window[:], p.window[1:])
		p.n--
	}
	p.window[p.n] = b
	p.n++
}

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

	kind       pendingKind
	epoch      int16
	producerID int64
	data       batch
	opensTxn   bool
	marker     record.EndTxnMarker
	offset     int64 // of the marker
}

// OpensTxn says that the batch would begin a transaction.
func (p *Pending) OpensTxn() bool { return p.opensTxn }

type pendingKind uint8

const (
	pendingNothing pendingKind = iota // no producer id, or an emptied control batch
	pendingData
	pendingMarker
)

// CompletedTxn is a transaction that its marker has just ended.
type CompletedTxn struct {
	ProducerID  int64
	FirstOffset int64
	LastOffset  int64 // of the marker
	Aborted     bool
}

// Check judges a batch (offsets already assigned) before it is written; the state stays as it is. A batch without a producer id
// passes. Errors: *OutOfOrderSequenceError, *InvalidProducerEpochError, *InvalidTxnStateError, *CoordinatorFencedError,
// *record.InvalidRecordError (malformed marker).
func (m *Manager) Check(b record.Batch, origin Origin) (Pending, error) {
	if !b.HasProducerID() {
		return Pending{}, nil
	}
	h := headerOf(b)
	p := m.producer(h.ProducerID)
	if !h.IsControl() {
		return checkData(p, &h, origin)
	}
	marker, ok, err := record.ParseEndTxnMarker(b)
	if err != nil || !ok {
		return Pending{}, err
	}
	return checkMarker(p, &h, marker, origin)
}

// headerOf reads the fields of h that the state needs; ParseHeader would check again what the caller has.
func headerOf(b record.Batch) record.Header {
	return record.Header{
		BaseOffset: b.BaseOffset(), Magic: 2, Attributes: b.Attributes(), LastOffsetDelta: b.LastOffsetDelta(),
		MaxTimestamp: b.MaxTimestamp(), ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence(),
	}
}

func (m *Manager) producer(id int64) *producer {
	if m.s == nil {
		return nil
	}
	return m.s.producers[id]
}

// InTxn says whether a producer has a transaction open under an epoch.
func (m *Manager) InTxn(id int64, epoch int16) bool {
	p := m.producer(id)
	return p != nil && p.epoch == epoch && p.txnFirstOffset >= 0
}

func checkData(p *producer, h *record.Header, origin Origin) (Pending, error) {
	pend := Pending{
		kind: pendingData, producerID: h.ProducerID, epoch: h.ProducerEpoch,
		data: batch{lastOffset: h.LastOffset(), timestamp: h.MaxTimestamp, lastSeq: h.LastSequence(), offsetDelta: h.LastOffsetDelta},
	}
	if p == nil {
		pend.opensTxn = h.IsTransactional()
		return pend, nil
	}
	if origin == FromClient && h.ProducerEpoch == p.epoch {
		for _, w := range p.window[:p.n] {
			if w.firstSeq() == h.BaseSequence && w.lastSeq == h.LastSequence() {
				return Pending{IsDuplicate: true, Duplicate: Duplicate{w.firstOffset(), w.lastOffset, w.timestamp}}, nil
			}
		}
	}
	if h.ProducerEpoch < p.epoch && origin != FromReplication {
		return Pending{}, &InvalidProducerEpochError{ProducerID: h.ProducerID, Offset: h.BaseOffset, Got: h.ProducerEpoch, Last: p.epoch}
	}
	if origin == FromClient {
		if err := checkSequence(p, h); err != nil {
			return Pending{}, err
		}
	}
	switch {
	case p.txnFirstOffset >= 0 && !h.IsTransactional():
		return Pending{}, &InvalidTxnStateError{ProducerID: h.ProducerID, Offset: h.BaseOffset}
	case p.txnFirstOffset < 0:
		pend.opensTxn = h.IsTransactional()
	}
	return pend, nil
}

// checkSequence demands 0 first in a new epoch, and the successor of the last sequence in the present one. A producer of whom
// nothing is known (also because retention removed its records) may start anywhere.
func checkSequence(p *producer, h *record.Header) error {
	if p.epoch == record.NoProducerEpoch {
		return nil
	}
	if h.ProducerEpoch != p.epoch {
		if h.BaseSequence != 0 {
			return &OutOfOrderSequenceError{ProducerID: h.ProducerID, Offset: h.BaseOffset, Epoch: h.ProducerEpoch, Got: h.BaseSequence, Last: p.lastSeq(), NewEpoch: true}
		}
		return nil
	}
	last := p.lastSeq()
	if int64(h.BaseSequence) == int64(last)+1 || h.BaseSequence == 0 && last == 1<<31-1 {
		return nil
	}
	return &OutOfOrderSequenceError{ProducerID: h.ProducerID, Offset: h.BaseOffset, Epoch: h.ProducerEpoch, Got: h.BaseSequence, Last: last}
}

func checkMarker(p *producer, h *record.Header, marker record.EndTxnMarker, origin Origin) (Pending, error) {
	if p != nil && origin != FromReplication {
		if h.ProducerEpoch < p.epoch {
			return Pending{}, &InvalidProducerEpochError{ProducerID: h.ProducerID, Offset: h.BaseOffset, Got: h.ProducerEpoch, Last: p.epoch}
		}
		if p.coordinatorEpoch > marker.CoordinatorEpoch {
			return Pending{}, &CoordinatorFencedError{ProducerID: h.ProducerID, Offset: h.BaseOffset, Got: marker.CoordinatorEpoch, Last: p.coordinatorEpoch}
		}
	}
	return Pending{kind: pendingMarker, producerID: h.ProducerID, epoch: h.ProducerEpoch, marker: marker, offset: h.BaseOffset}, nil
}

// Apply makes a checked batch part of the state, after it was written. For a control batch that ends a transaction it returns
// the completed transaction: index it with LastStableOffset if aborted, then call Complete.
func (m *Manager) Apply(p *Pending) (txn CompletedTxn, completed bool) {
	if p.IsDuplicate || p.kind == pendingNothing {
		return txn, false
	}
	if m.s == nil {
		m.s = &state{producers: make(map[int64]*producer)}
	}
	e := m.s.producers[p.producerID]
	if e == nil {
		e = newProducer()
		m.s.producers[p.producerID] = e
	}
	e.setEpoch(p.epoch)
	if p.kind == pendingData {
		e.push(p.data)
		e.lastTimestamp = p.data.timestamp
		if p.opensTxn {
			e.txnFirstOffset = p.data.firstOffset()
			m.s.open(openTxn{p.producerID, e.txnFirstOffset, -1})
		}
		return txn, false
	}
	first := e.txnFirstOffset
	if first < 0 { // a marker for a transaction that wrote nothing here
		first = p.offset
		m.s.open(openTxn{p.producerID, first, -1})
	}
	e.txnFirstOffset = -1
	e.coordinatorEpoch = p.marker.CoordinatorEpoch
	e.lastTimestamp = p.marker.Timestamp
	return CompletedTxn{p.producerID, first, p.offset, p.marker.Type == record.ControlAbort}, true
}

// Load makes a batch that is read back from the log part of the state, completing transactions as it goes.
func (m *Manager) Load(b record.Batch) error {
	p, err := m.Check(b, FromReplication)
	if err != nil {
		return err
	}
	if txn, ok := m.Apply(&p); ok {
		m.Complete(txn)
	}
	return nil
}

func byFirstOffset(t openTxn, offset int64) int {
	switch {
	case t.firstOffset < offset:
		return -1
	case t.firstOffset > offset:
		return 1
	}
	return 0
}

// put inserts t in order, replacing one with the same first offset.
func put(list []openTxn, t openTxn) []openTxn {
	i, found := slices.BinarySearchFunc(list, t.firstOffset, byFirstOffset)
	if found {
		list[i] = t
		return list
	}
	return slices.Insert(list, i, t)
}

func (s *state) open(t openTxn) { s.ongoing = put(s.ongoing, t) }

// LastStableOffset is the LSO just after txn, for its index entry: the first transaction of another producer that is still open,
// or the offset behind the marker.
func (m *Manager) LastStableOffset(txn CompletedTxn) int64 {
	if m.s != nil {
		for _, t := range m.s.ongoing {
			if t.producerID != txn.ProducerID {
				return t.firstOffset
			}
		}
	}
	return txn.LastOffset + 1
}

// Complete moves a transaction from open to decided; it still holds the LSO until the high watermark passes its marker.
func (m *Manager) Complete(txn CompletedTxn) {
	if m.s == nil {
		return
	}
	i, found := slices.BinarySearchFunc(m.s.ongoing, txn.FirstOffset, byFirstOffset)
	if !found {
		return
	}
	t := m.s.ongoing[i]
	m.s.ongoing = slices.Delete(m.s.ongoing, i, i+1)
	t.lastOffset = txn.LastOffset
	m.s.unreplicated = put(m.s.unreplicated, t)
}

// OnHighWatermark forgets decided transactions whose marker lies below the high watermark.
func (m *Manager) OnHighWatermark(hw int64) {
	if m.s != nil && len(m.s.unreplicated) > 0 {
		m.s.unreplicated = slices.DeleteFunc(m.s.unreplicated, func(t openTxn) bool { return t.lastOffset < hw })
	}
}

// FirstUnstable is the first offset of the earliest transaction that is open, or decided but not yet below the high watermark.
func (m *Manager) FirstUnstable() (offset int64, ok bool) {
	offset, ok = m.FirstUndecided()
	if m.s != nil && len(m.s.unreplicated) > 0 {
		if first := m.s.unreplicated[0].firstOffset; !ok || first < offset {
			return first, true
		}
	}
	return offset, ok
}

// FirstUndecided is the first offset of the earliest open transaction.
func (m *Manager) FirstUndecided() (offset int64, ok bool) {
	if m.s == nil || len(m.s.ongoing) == 0 {
		return 0, false
	}
	return m.s.ongoing[0].firstOffset, true
}

// MapEnd is the log end offset that the state reflects; SetMapEnd follows every append, also those without producers.
func (m *Manager) MapEnd() int64     { return m.mapEnd }
func (m *Manager) SetMapEnd(o int64) { m.mapEnd = o }

// Empty reports whether there is neither a producer nor a decided transaction to remember; Len is the number of producers.
func (m *Manager) Empty() bool {
	return m.s == nil || len(m.s.producers) == 0 && len(m.s.unreplicated) == 0
}

func (m *Manager) Len() int {
	if m.s == nil {
		return 0
	}
	return len(m.s.producers)
}

// RemoveExpired forgets producers that have been silent for the expiration time, except those with an open transaction.
func (m *Manager) RemoveExpired(now time.Time, expiration time.Duration) {
	if m.s == nil {
		return
	}
	for id, p := range m.s.producers {
		if expired(p.txnFirstOffset, p.lastTimestamp, now, expiration) {
			delete(m.s.producers, id)
		}
	}
	m.release()
}

func expired(txnFirstOffset, lastTimestamp int64, now time.Time, expiration time.Duration) bool {
	return txnFirstOffset < 0 && now.UnixMilli()-lastTimestamp >= expiration.Milliseconds()
}

// release gives the maps back once nothing is left in them.
func (m *Manager) release() {
	if m.s != nil && len(m.s.producers) == 0 && len(m.s.ongoing) == 0 && len(m.s.unreplicated) == 0 {
		m.s = nil
	}
}

// LastRecord is where a producer's newest data lies: the batch that must stay, even empty, so that its sequence is not forgotten.
type LastRecord struct {
	Offset int64 // of the last record of its last batch; -1 if it wrote none in this epoch
	Epoch  int16
}

// LastRecords tells each active producer's newest data.
func (m *Manager) LastRecords() map[int64]LastRecord {
	if m.s == nil {
		return nil
	}
	out := make(map[int64]LastRecord, len(m.s.producers))
	for id, p := range m.s.producers {
		r := LastRecord{Offset: -1, Epoch: p.epoch}
		if b, ok := p.last(); ok {
			r.Offset = b.lastOffset
		}
		out[id] = r
	}
	return out
}
