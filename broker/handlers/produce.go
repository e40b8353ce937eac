package handlers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/coordinator/txn"
	txnfsm "gregor/coordinator/txn/fsm"
	"gregor/replication"
	"gregor/storage"
	"gregor/wire"
	"gregor/wire/record"
)

// adminClientID is the only client that may write to internal topics, as in Kafka.
const adminClientID = "__admin_client"

// Produce serves Produce (versions 0 to 8). It is decoded and encoded by hand: a request costs no allocation per partition or record.
type Produce struct {
	Replicas *replication.Manager
	Log      logrus.FieldLogger
	// Verify tells whether a partition is in the open transaction of a producer, which a batch that begins a transaction in its log has to
	// be; nil lets all through, as Kafka 2.7 does. The names are not kept.
	Verify func(id string, p txnfsm.Producer, tp txnfsm.TP) txn.Verdict
	// Ask tells what another broker knows of a transactional id that it coordinates, false if that cannot be found out. It may wait for that
	// broker; nil asks nobody.
	Ask func(id string) (txn.Description, bool)
	// Waiting counts requests that wait; may be nil.
	Waiting *Waiting
}

// APIs returns the row.
func (h *Produce) APIs() []server.API {
	return []server.API{{Key: kmsg.Produce, MinVersion: 0, MaxVersion: 8, Start: h.start}}
}

// produceOp is one request at work. It returns to the pool when the response is handed over.
type produceOp struct {
	h       *Produce
	r       *server.Request
	acks    int16
	timeout time.Duration
	// txnID is the transactional id that the request names, nil if none; it aliases the request. unauthorized: it names none, but a batch of it
	// is transactional.
	txnID        []byte
	unauthorized bool
	// told is what the coordinator of the id says, if it is another broker and was asked.
	told         txn.Description
	asked, known bool
	topics       []produceTopic
	parts        []producePart
	woken        replication.Woken

	// An acks=all request that waits: how many partitions it still waits for, and whether it has been answered.
	mu      sync.Mutex
	waiting int
	over    bool
	timer   *time.Timer
	cancels []func() bool
}

type produceTopic struct {
	name     string // aliases the request
	from, to int    // its partitions in parts
}

type producePart struct {
	partition int32
	records   []byte
	inTxn     bool // the batch is transactional
	p         *replication.Partition
	code      int16
	info      storage.AppendInfo
	message   string
	records8  []record.RecordError
}

var producePool = sync.Pool{New: func() any { return new(produceOp) }}

func (h *Produce) start(_ context.Context, r *server.Request) error {
	op := producePool.Get().(*produceOp)
	op.h, op.r = h, r
	if err := op.decode(); err != nil {
		op.free()
		return err
	}
	if op.unauthorized {
		op.failAll(kerr.TransactionalIDAuthorizationFailed.Code)
	} else {
		err := op.append()
		op.resumeWoken()
		if err != nil {
			op.free()
			return err
		}
	}
	if op.acks == -1 && op.wait() {
		return nil
	}
	op.answer()
	return nil
}

func (op *produceOp) decode() error {
	b := wire.NewReader(op.r.Body)
	if op.r.Version >= 3 {
		op.txnID = b.NullableString(false)
	}
	op.acks = b.Int16()
	op.timeout = time.Duration(b.Int32()) * time.Millisecond
	for n := b.RequiredArrayLen(false, 6); n > 0 && b.Err() == nil; n-- {
		t := produceTopic{name: b.String(false), from: len(op.parts)}
		for m := b.RequiredArrayLen(false, 8); m > 0 && b.Err() == nil; m-- {
			part := producePart{partition: b.Int32(), records: b.Bytes(false)}
			// Apache Kafka fails on these while it parses the request, before it appends anything.
			if b.Err() == nil {
				seen, err := record.InspectProduce(part.records)
				if err != nil {
					return fmt.Errorf("records for %s-%d: %w", t.name, part.partition, err)
				}
				part.inTxn = seen.Transactional
				op.unauthorized = op.unauthorized || seen.Transactional && op.txnID == nil
			}
			part.info.FirstOffset, part.info.LogAppendTime, part.info.LogStartOffset = -1, -1, -1
			op.parts = append(op.parts, part)
		}
		if t.to = len(op.parts); t.to > t.from { // a topic without partitions is left out of the answer
			op.topics = append(op.topics, t)
		}
	}
	return b.Err()
}

func (op *produceOp) failAll(code int16) {
	for i := range op.parts {
		op.parts[i].code = code
	}
}

// append adds each partition's records to its log. An error closes the connection.
func (op *produceOp) append() error {
	now := op.r.ReceivedAt
	for _, t := range op.topics {
		internal := isInternal(t.name) && (op.r.ClientID == nil || *op.r.ClientID != adminClientID)
		for i := t.from; i < t.to; i++ {
			part := &op.parts[i]
			err := op.appendOne(t.name, part, internal, now)
			if err == nil {
				part.count(nil)
				continue
			}
			if is[*record.MalformedRequestError](err) {
				return fmt.Errorf("records for %s-%d: %w", t.name, part.partition, err)
			}
			part.failed(err)
			op.countFailed(part, err)
			if part.code == kerr.UnknownServerError.Code {
				op.h.Log.Errorf("Appending to %s-%d failed, request of %s: %v", t.name, part.partition, op.r.RemoteAddr, err)
			}
		}
	}
	return nil
}

const (
	// resumedHere is how many of the fetches that waited for a request's records are answered by the producer's own connection when its
	// response is out, if the request is at most resumedHereBytes: that costs less than to start a goroutine on another processor, but
	// it keeps the producer waiting.
	resumedHere      = 4
	resumedHereBytes = 32 << 10
)

// resumeWoken resumes the fetches that waited for what was appended.
func (op *produceOp) resumeWoken() {
	small := len(op.r.Body) <= resumedHereBytes
	for i, w := range op.woken.Waiters {
		op.woken.Waiters[i] = nil
		if small && i < resumedHere {
			op.r.Later().Do(w)
		} else {
			go w.Resume()
		}
	}
	op.woken.Waiters = op.woken.Waiters[:0]
}

// appendOne checks in Kafka's order: the partition's existence, the records' version, the request's acks, the topic's kind.
func (op *produceOp) appendOne(topic string, part *producePart, internal bool, now time.Time) error {
	p, err := op.h.Replicas.Lookup(topic, part.partition)
	if errors.Is(err, replication.ErrUnknownPartition) {
		return err
	}
	if e := record.CheckProduceVersion(op.r.Version, part.records); e != nil {
		return e
	}
	switch {
	case op.acks < -1 || op.acks > 1:
		return kerr.InvalidRequiredAcks
	case internal:
		return kerr.InvalidTopicException
	case err != nil:
		return err
	}
	part.p = p
	if part.inTxn && op.h.Verify != nil {
		return op.appendVerified(topic, part, now)
	}
	part.info, err = p.Append(part.records, op.acks, storage.FromClient, now, &op.woken)
	return err
}

// maxVerifications bounds how often an append begins anew because a transaction has ended in the log since it was verified.
const maxVerifications = 10

// appendVerified adds a transactional batch. If it would begin a transaction in the log, its producer must have told the coordinator: a
// batch that comes late, when the transaction is over, would open one that nobody ends (KIP-890).
func (op *produceOp) appendVerified(topic string, part *producePart, now time.Time) (err error) {
	b := record.Batch(part.records)
	producer := txnfsm.Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch()}
	for range maxVerifications {
		ends := storage.AnyTxn
		if log := part.p.Log(); log != nil {
			var open bool
			open, ends = log.TxnOf(producer.ID, producer.Epoch)
			if !open {
				switch op.verify(producer, txnfsm.TP{Topic: topic, Partition: part.partition}) {
				case txn.Unknown:
					ends = storage.AnyTxn
				case txn.Without: // it may still be one that was written before
					ends = storage.NoTxn
				case txn.Within:
				}
			}
		}
		part.info, err = part.p.AppendInTxn(part.records, op.acks, storage.FromClient, now, &op.woken, ends)
		if !errors.Is(err, storage.ErrOpensTxn) || ends == storage.NoTxn {
			return err
		}
		b.SetBaseOffset(0) // it was given one already
		op.asked = false
	}
	return err
}

// verify asks the coordinator of the request's transactional id about a partition: at most once, if it is another broker.
func (op *produceOp) verify(p txnfsm.Producer, tp txnfsm.TP) txn.Verdict {
	id := string(op.txnID)
	if v := op.h.Verify(id, p, tp); v != txn.Unknown || op.h.Ask == nil {
		return v
	}
	if !op.asked {
		op.asked = true
		op.told, op.known = op.h.Ask(id)
	}
	if !op.known {
		return txn.Unknown
	}
	return op.told.Verify(p, tp)
}

// failed notes why an append was refused.
func (part *producePart) failed(err error) {
	part.code = errorCode(err)
	part.info.FirstOffset, part.info.LogAppendTime = -1, -1
	switch part.code {
	case kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code, kerr.MessageTooLarge.Code, kerr.RecordListTooLarge.Code,
		kerr.CorruptMessage.Code, kerr.KafkaStorageError.Code:
		part.info.LogStartOffset = -1
	default:
		if part.p == nil {
			part.info.LogStartOffset = -1
		}
	}
	part.records8, part.message = recordErrors(err)
}

// wait arranges for the answer when every partition is replicated or the time is over; false means that nothing is to be waited for.
func (op *produceOp) wait() bool {
	op.waiting = 1 // this function
	op.over = false
	for i := range op.parts {
		part := &op.parts[i]
		if part.code != 0 || part.p == nil {
			continue
		}
		if done, err := part.p.Replicated(part.info.LastOffset + 1); done {
			part.acked(err)
			continue
		}
		op.mu.Lock()
		op.waiting++
		op.mu.Unlock()
		cancel := part.p.WhenReplicated(part.info.LastOffset+1, func(err error) { op.replicated(part, err) })
		if cancel != nil {
			op.cancels = append(op.cancels, cancel)
		}
	}
	op.mu.Lock()
	op.waiting--
	if op.waiting == 0 {
		op.mu.Unlock()
		return false
	}
	op.internNames()
	op.r.Waits()
	op.h.Waiting.produces(len(op.cancels), 1)
	op.timer = time.AfterFunc(max(op.timeout, 0), op.expired)
	op.mu.Unlock()
	return true
}

// internNames lets the request's bytes go: the response needs only the names.
func (op *produceOp) internNames() {
	for i := range op.topics {
		t := &op.topics[i]
		b := []byte(t.name)
		t.name = string(b)
	}
	for i := range op.parts {
		op.parts[i].records = nil
	}
	op.r.ReleaseBody()
}

func (op *produceOp) replicated(part *producePart, err error) {
	op.mu.Lock()
	if op.over {
		op.mu.Unlock()
		return
	}
	part.acked(err)
	op.waiting--
	done := op.waiting == 0 && op.timer != nil
	if done {
		op.over = true
		op.timer.Stop()
	}
	op.mu.Unlock()
	if done {
		op.answerAbandoned()
	}
}

func (part *producePart) acked(err error) {
	if part.p = nil; err != nil {
		part.code = errorCode(err) // the records are there, and the answer says where
	}
}

// expired answers with REQUEST_TIMED_OUT for the partitions that are not replicated.
func (op *produceOp) expired() {
	op.mu.Lock()
	if op.over {
		op.mu.Unlock()
		return
	}
	op.over = true
	for i := range op.parts {
		if part := &op.parts[i]; part.p != nil && part.code == 0 {
			part.acked(replication.ErrTimedOut)
		}
	}
	op.mu.Unlock()
	op.h.Waiting.produceExpired()
	for _, cancel := range op.cancels {
		cancel()
	}
	op.answerAbandoned()
}

// answerAbandoned answers an operation to which a late callback may still refer: it does not go back to the pool.
func (op *produceOp) answerAbandoned() {
	op.h.Waiting.produces(len(op.cancels), -1)
	op.respond((*server.Request).CompleteHere)
}

func (op *produceOp) answer() {
	op.respond((*server.Request).Complete)
	op.free()
}

func (op *produceOp) respond(complete func(*server.Request, *server.Response)) {
	op.countAnswer()
	if op.acks != 0 {
		p := op.r.NewResponse()
		op.encode(p)
		complete(op.r, p)
		return
	}
	for _, t := range op.topics {
		for i := t.from; i < t.to; i++ {
			if code := op.parts[i].code; code != 0 {
				op.r.Fail(fmt.Errorf("produce request with acks=0 failed for %s-%d: %v", t.name, op.parts[i].partition, kerr.ErrorForCode(code)))
				return
			}
		}
	}
	op.r.CompleteSilently()
}

func (op *produceOp) encode(p *server.Response) {
	v := op.r.Version
	b := binary.BigEndian.AppendUint32(p.B, uint32(len(op.topics)))
	for _, t := range op.topics {
		b = appendString(b, t.name)
		b = binary.BigEndian.AppendUint32(b, uint32(t.to-t.from))
		for i := t.from; i < t.to; i++ {
			b = op.parts[i].encode(b, v)
		}
	}
	p.B = b
	if v >= 1 {
		p.AppendThrottle()
	}
}

func (part *producePart) encode(b []byte, v int16) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(part.partition))
	code := part.code
	if code == kerr.KafkaStorageError.Code && v <= 3 {
		code = kerr.NotLeaderForPartition.Code // clients as old would not try again
	}
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	b = binary.BigEndian.AppendUint64(b, uint64(part.info.FirstOffset))
	if v >= 2 {
		b = binary.BigEndian.AppendUint64(b, uint64(part.info.LogAppendTime))
	}
	if v >= 5 {
		b = binary.BigEndian.AppendUint64(b, uint64(part.info.LogStartOffset))
	}
	if v < 8 {
		return b
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(part.records8)))
	for _, e := range part.records8 {
		b = binary.BigEndian.AppendUint32(b, uint32(e.Index))
		b = appendNullableString(b, e.Message)
	}
	return appendNullableString(b, part.message)
}

// maxPooledParts bounds what a pooled operation keeps.
const maxPooledParts = 4096

func (op *produceOp) free() {
	if cap(op.parts) > maxPooledParts || cap(op.topics) > maxPooledParts {
		return
	}
	clear(op.parts)
	clear(op.topics)
	clear(op.cancels)
	op.h, op.r, op.timer = nil, nil, nil
	op.txnID, op.unauthorized = nil, false
	op.told, op.asked, op.known = txn.Description{}, false, false
	op.parts, op.topics, op.cancels = op.parts[:0], op.topics[:0], op.cancels[:0]
	producePool.Put(op)
}

func isInternal(topic string) bool {
	return topic == "__consumer_offsets" || topic == "__transaction_state"
}

func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// appendNullableString writes the empty string as null.
func appendNullableString(b []byte, s string) []byte {
	if s == "" {
		return append(b, 0xff, 0xff)
	}
	return appendString(b, s[:min(len(s), 1<<15-1)])
}
