package handlers

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/replication"
	"gregor/storage"
	"gregor/wire"
	"gregor/wire/compress"
)

// Fetch serves Fetch (versions 0 to 12) for consumers and followers. Requests and responses are decoded and encoded by hand; records
// go from the segment's file to the socket. What waits hangs on the partitions it waits for and costs nothing until one moves.
type Fetch struct {
	Replicas *replication.Manager
	Log      logrus.FieldLogger
	// MaxBytes is fetch.max.bytes (57671680).
	MaxBytes int
	// RackOf is the rack of a live broker, when consumers are to be sent to a replica in theirs (replica.selector.class); nil otherwise.
	RackOf func(broker int32) string
	// Sessions is the cache of incremental fetch sessions; made by NewFetch.
	Sessions *SessionCache
	// Throttle bounds what throttled replicas get that are not in sync; nil is no bound.
	Throttle *replication.Throttle
	// Waiting counts requests that wait; may be nil.
	Waiting *Waiting

	deadlines deadlines // of the requests that wait
}

// NewFetch returns the family with a session cache of so many slots (max.incremental.fetch.session.cache.slots).
func NewFetch(m *replication.Manager, log logrus.FieldLogger, maxBytes, slots int) *Fetch {
	if maxBytes <= 0 {
		maxBytes = 55 << 20
	}
	return &Fetch{Replicas: m, Log: log, MaxBytes: maxBytes, Sessions: NewSessionCache(slots)}
}

// APIs returns the row.
func (h *Fetch) APIs() []server.API {
	return []server.API{{Key: kmsg.Fetch, MinVersion: 0, MaxVersion: 12, Start: h.start}}
}

// fetchPart is one partition of a fetch: what is asked, and what was found.
type fetchPart struct {
	topic     string
	partition int32
	maxBytes  int32
	offset    int64
	logStart  int64 // the follower's
	epoch     int32 // current leader epoch
	lastEpoch int32 // last fetched epoch

	p    *replication.Partition
	code int16
	// preferred is the replica that the client had better read from, -1 for this one.
	preferred int32
	res       replication.ReadResult
	// converted is what was read in an older format, if the client knows no newer one.
	converted *conversion
	// watch is attached while the request waits, or for as long as a session lives.
	watch replication.Watch
}

// fetchOp is one request at work.
type fetchOp struct {
	h        *Fetch
	r        *server.Request
	replica  int32
	maxWait  time.Duration
	minBytes int
	maxBytes int
	iso      replication.Isolation
	// hardLimit: versions 0 to 2 never get more than their limits, not even one batch.
	hardLimit    bool
	rack         string // of the client, if replicas are chosen by it
	sessionID    int32
	sessionEpoch int32
	parts        []fetchPart
	list         []*fetchPart // what is read and answered: all parts, or a session's active ones
	forgotten    []forgottenPart

	session *session // nil for a full fetch
	full    bool     // may make a session

	// While it waits. mu guards expired and ticket, which moves with each request, so that a late call for an earlier one is told apart.
	mu       sync.Mutex
	set      replication.WatchSet // a full fetch's; a session has its own
	deadline deadline
	ticket   uint64
	expired  bool
	waited   bool
	watches  int // as Waiting counts them
	// spent: something may still refer to the operation without a ticket; it does not go back to the pool.
	spent bool
	ready []*replication.Watch
	q     replication.ReadRequest
	// woken collects who waited for what a follower has, while the reader of its connection is at work on the operation.
	woken *replication.Woken
}

type forgottenPart struct {
	topic     string
	partition int32
}

// maxWaitingParts bounds what a waiting request of a session keeps for the next one's use.
const maxWaitingParts = 16

var fetchPool = sync.Pool{New: func() any {
	return &fetchOp{deadline: deadline{index: -1}}
}}

func (h *Fetch) start(_ context.Context, r *server.Request) error {
	op := fetchPool.Get().(*fetchOp)
	op.h, op.r = h, r
	if err := op.decode(); err != nil {
		op.free()
		return err
	}
	if op.replica < 0 {
		op.begin()
		return nil
	}
	woken := wokenPool.Get().(*replication.Woken)
	op.woken = woken
	later := r.Later()
	op.begin() // the operation and the request may be somebody else's after that
	for i, w := range woken.Waiters {
		woken.Waiters[i] = nil
		if i < followerResumes {
			later.Do(w)
		} else {
			go w.Resume()
		}
	}
	woken.Waiters = woken.Waiters[:0]
	wokenPool.Put(woken)
	return nil
}

// followerResumes is how many of those who waited for what a follower has are answered by the follower's connection.
const followerResumes = 16

var wokenPool = sync.Pool{New: func() any { return new(replication.Woken) }}

func (op *fetchOp) decode() error {
	v := op.r.Version
	flex := v >= 12
	b := wire.NewReader(op.r.Body)
	op.replica = b.Int32()
	op.maxWait = time.Duration(b.Int32()) * time.Millisecond
	op.minBytes = int(b.Int32())
	op.maxBytes, op.iso, op.sessionID, op.sessionEpoch = math.MaxInt32, replication.ReadUncommitted, 0, finalEpoch
	if v >= 3 {
		op.maxBytes = int(b.Int32())
	}
	if v >= 4 && b.Int8() == 1 {
		op.iso = replication.ReadCommitted
	}
	if v >= 7 {
		op.sessionID, op.sessionEpoch = b.Int32(), b.Int32()
	}
	op.maxBytes = min(op.maxBytes, op.h.MaxBytes)
	op.minBytes = min(op.minBytes, op.maxBytes)
	op.hardLimit = v <= 2
	if op.replica >= 0 {
		op.iso = replication.ReadLogEnd
		op.r.FromFollower()
	}
	for n := b.RequiredArrayLen(flex, 6); n > 0 && b.Err() == nil; n-- {
		topic := b.String(flex)
		for m := b.RequiredArrayLen(flex, 16); m > 0 && b.Err() == nil; m-- {
			op.parts = append(op.parts, fetchPart{topic: topic})
			op.parts[len(op.parts)-1].decode(&b, v)
		}
		if flex {
			b.Tags()
		}
	}
	if v >= 7 {
		for n := b.RequiredArrayLen(flex, 3); n > 0 && b.Err() == nil; n-- {
			topic := b.String(flex)
			for m := b.RequiredArrayLen(flex, 4); m > 0 && b.Err() == nil; m-- {
				op.forgotten = append(op.forgotten, forgottenPart{topic, b.Int32()})
			}
			if flex {
				b.Tags()
			}
		}
	}
	if v >= 11 {
		if rack := b.String(flex); op.h.RackOf != nil && rack != "" {
			op.rack = strings.Clone(rack) // outlives the request's bytes
		}
	}
	if flex {
		b.Tags()
	}
	return b.Err()
}

func (f *fetchPart) decode(b *wire.Reader, v int16) {
	f.epoch, f.lastEpoch, f.logStart = replication.NoEpoch, replication.NoEpoch, -1
	f.partition = b.Int32()
	if v >= 9 {
		f.epoch = max(b.Int32(), replication.NoEpoch) // any negative one is none
	}
	f.offset = b.Int64()
	if v >= 12 {
		f.lastEpoch = max(b.Int32(), replication.NoEpoch)
	}
	if v >= 5 {
		f.logStart = b.Int64()
	}
	f.maxBytes = b.Int32()
	if v >= 12 {
		b.Tags()
	}
}

// begin finds out whether the request uses a session, and serves it.
func (op *fetchOp) begin() {
	if op.sessionEpoch == finalEpoch || op.sessionEpoch == initialEpoch {
		if op.sessionID != 0 {
			op.h.Sessions.remove(op.sessionID)
		}
		op.full = op.sessionEpoch == initialEpoch
		op.serveFull()
		return
	}
	s, code := op.h.Sessions.use(op)
	if code != 0 {
		op.refuse(code, 0)
		return
	}
	if s == nil {
		// The session lost its last partition and ended: what is left is an empty fetch without one.
		op.parts = op.parts[:0]
		op.serveFull()
		return
	}
	op.session = s
	s.serve(op)
}

// refuse answers the whole request with an error, or with nothing new.
func (op *fetchOp) refuse(code int16, session int32) {
	p := op.r.NewResponse()
	e := fetchEncoder{v: op.r.Version, p: p}
	e.response(code, session, nil)
	op.resumed()
	op.r.CountErrors(code, 1)
	op.r.Complete(p)
	op.free()
}

// serveFull serves a request that lists all its partitions.
func (op *fetchOp) serveFull() {
	if len(op.list) == 0 {
		for i := range op.parts {
			op.list = append(op.list, &op.parts[i])
		}
	}
	for op.readAll(0) {
		if op.park() {
			return
		}
	}
	op.answerFull()
}

// Resume runs when a partition moved; the operation is nobody else's then.
func (op *fetchOp) Resume() {
	if op.session != nil {
		op.session.resume(op)
		return
	}
	op.serveFull()
}

// RequestClosed ends the wait of a client that has gone.
func (op *fetchOp) RequestClosed(ticket uint64) { op.expire(ticket) }

// park attaches the operation to its partitions and lets it sleep; false means that it must look again.
func (op *fetchOp) park() bool {
	if !op.waited {
		op.ownNames()
		for i := range op.parts {
			f := &op.parts[i]
			if f.p != nil {
				f.watch.Set, f.watch.Follower = &op.set, op.replica >= 0
				f.watch.Attach(f.p)
			}
		}
		op.r.Waits()
		op.waits(len(op.parts))
		op.wait()
		// Something may have come between the read and the watch.
		return false
	}
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.expired {
		return false
	}
	op.ready = op.set.Take(op.ready[:0])
	if len(op.ready) > 0 {
		return false
	}
	op.woken = nil
	return op.set.Park(op)
}

// wait arranges that the operation expires.
func (op *fetchOp) wait() {
	op.waited = true
	op.mu.Lock()
	ticket := op.ticket
	op.mu.Unlock()
	op.h.deadlines.add(&op.deadline, op.maxWait, op, ticket)
	op.r.OnClose(op, ticket)
}

// expire ends the wait of the request that had the ticket.
func (op *fetchOp) expire(ticket uint64) {
	op.mu.Lock()
	if op.ticket != ticket {
		op.mu.Unlock()
		return
	}
	if s := op.session; s != nil {
		op.mu.Unlock()
		s.expire(op, ticket)
		return
	}
	op.expired = true
	mine := op.set.Unpark()
	op.mu.Unlock()
	if mine {
		op.serveFull()
	}
}

// ownNames lets the request's bytes go while it waits: thousands of idle consumers must not hold a chunk each.
func (op *fetchOp) ownNames() {
	last, own := "", ""
	for i := range op.parts {
		f := &op.parts[i]
		switch {
		case f.p != nil:
			f.topic = f.p.TopicPartition().Topic
		case f.topic == last && own != "":
			f.topic = own
		default:
			last, own = f.topic, strings.Clone(f.topic)
			f.topic = own
		}
	}
	op.forgotten = nil
	op.r.ReleaseBody()
}

// readAll reads every partition of the list and says whether the request should wait for more. others is how many partitions with
// nothing to say the request has besides.
func (op *fetchOp) readAll(others int) (wait bool) {
	limit, minOne := op.maxBytes, !op.hardLimit
	size, end, known := 0, op.maxWait <= 0 || op.isExpired(), others
	for _, f := range op.list {
		f.release()
		f.code, f.preferred = 0, -1
		if f.p == nil || f.p.Deleted() {
			f.p, f.code = op.lookup(f.topic, f.partition)
		}
		if f.code != kerr.UnknownTopicOrPartition.Code {
			known++
		}
		if f.code != 0 {
			// An unknown partition does not end the wait of the others, any other error does. But a follower knows of the leadership
			// before its leader only for a moment, and must not hear of it at the end of the wait.
			end = end || f.code != kerr.UnknownTopicOrPartition.Code || op.replica >= 0
			continue
		}
		op.read(f, limit, minOne)
		if !op.waited {
			f.countRead()
		}
		n := f.res.Slice.Length
		if n > 0 {
			minOne = false
		}
		limit = max(0, limit-n)
		size += n
		end = end || f.code != 0 || f.res.Diverging || f.preferred >= 0
	}
	if end || known == 0 || size >= op.minBytes {
		return false
	}
	for _, f := range op.list {
		f.release()
	}
	return true
}

func (op *fetchOp) isExpired() bool {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.expired
}

func (op *fetchOp) lookup(topic string, partition int32) (*replication.Partition, int16) {
	p, err := op.h.Replicas.Lookup(topic, partition)
	return p, errorCode(err)
}

// read reads one partition into f.
func (op *fetchOp) read(f *fetchPart, limit int, minOne bool) {
	v := op.r.Version
	op.q = replication.ReadRequest{Offset: f.offset, LeaderEpoch: f.epoch, LastFetchedEpoch: f.lastEpoch,
		MaxBytes: min(int(f.maxBytes), limit), MinOne: minOne, Isolation: op.iso, LeaderOnly: op.replica >= 0 || v < 11}
	err := f.p.Read(&op.q, &f.res)
	if err != nil {
		f.res = replication.ReadResult{}
		f.code = errorCode(err)
		if f.code == kerr.KafkaStorageError.Code && v <= 5 {
			f.code = kerr.NotLeaderForPartition.Code // old clients do not know the other
		}
		if f.code == kerr.UnknownServerError.Code {
			f.countFailed()
			op.h.Log.Errorf("Reading %s-%d at offset %d failed: %v", f.topic, f.partition, f.offset, err)
		}
		return
	}
	if op.rack != "" && op.replica < 0 {
		if f.preferred = f.p.Nearest(f.offset, func(id int32) bool { return op.h.RackOf(id) == op.rack }); f.preferred >= 0 {
			f.release()
			return
		}
	}
	if op.replica >= 0 && !f.p.IsFollower(op.replica) {
		// As Kafka does it: whoever is not a replica elsewhere learns where the log ends, and gets nothing.
		f.release()
		return
	}
	if op.replica >= 0 && !f.res.Diverging {
		f.p.FollowerFetched(op.replica, f.offset, f.logStart, f.res.LogEnd, op.r.ReceivedAt, op.woken)
	}
	if !op.hardLimit && f.res.Slice.FirstIncomplete || op.throttled(f) {
		f.release()
	}
	if v < 10 && f.res.CompressionType == int8(compress.Zstd) {
		f.refuse(kerr.UnsupportedCompressionType.Code)
	}
}

// refuse puts an error in the place of what was read.
func (f *fetchPart) refuse(code int16) {
	f.release()
	f.res, f.code = replication.ReadResult{}, code
}

// throttled says whether a replica must wait: what is not in sync, when throttled replicas have had what they may.
func (op *fetchOp) throttled(f *fetchPart) bool {
	t := op.h.Throttle
	return op.replica >= 0 && t.Covers(f.topic, f.partition) && t.Exceeded(time.Now()) && !f.p.InSync(op.replica)
}

// countThrottled counts what throttled replicas get, in sync or not.
func (op *fetchOp) countThrottled(parts []*fetchPart) {
	if op.replica < 0 || op.h.Throttle == nil {
		return
	}
	for _, f := range parts {
		if n := f.res.Slice.Length; n > 0 && op.h.Throttle.Covers(f.topic, f.partition) {
			op.h.Throttle.Record(n, time.Now())
		}
	}
}

func (f *fetchPart) release() {
	f.res.Slice.Release()
	f.res.Slice = storage.Slice{}
}

// answerFull sends everything that was read, and makes a session if the client wants one.
func (op *fetchOp) answerFull() {
	if op.waited {
		op.h.deadlines.remove(&op.deadline)
		for i := range op.parts {
			op.parts[i].watch.Detach()
		}
	}
	id := int32(0)
	if op.full {
		id = op.h.Sessions.create(op)
	}
	op.deliver(op.encode(id, op.list))
}

// encode moves what was read into a response.
func (op *fetchOp) encode(session int32, parts []*fetchPart) *server.Response {
	p := op.r.NewResponse()
	e := fetchEncoder{v: op.r.Version, p: p}
	if op.r.Version < 4 {
		op.convert(parts)
	}
	op.countAnswer(parts) // encoding gives the ranges away
	op.countThrottled(parts)
	e.response(0, session, parts)
	return p
}

// deliver ends the operation. One that waited runs where it was woken, which is no place to leave the response for later.
func (op *fetchOp) deliver(p *server.Response) {
	op.woken = nil
	op.resumed()
	if op.waited {
		op.r.CompleteHere(p)
	} else {
		op.r.Complete(p)
	}
	op.free()
}

// free returns the operation to the pool.
func (op *fetchOp) free() {
	if op.spent || cap(op.parts) > maxPooledParts || cap(op.forgotten) > maxPooledParts {
		return
	}
	clear(op.parts)
	clear(op.forgotten)
	clear(op.list)
	op.ready = op.set.Take(op.ready[:0])
	clear(op.ready)
	op.list = op.list[:0]
	op.parts, op.forgotten, op.ready = op.parts[:0], op.forgotten[:0], op.ready[:0]
	op.mu.Lock()
	op.ticket++
	op.h, op.r, op.session, op.woken = nil, nil, nil, nil
	op.full, op.expired, op.waited, op.rack = false, false, false, ""
	op.mu.Unlock()
	fetchPool.Put(op)
}

func (f *fetchPart) String() string { return fmt.Sprintf("%s-%d@%d", f.topic, f.partition, f.offset) }
