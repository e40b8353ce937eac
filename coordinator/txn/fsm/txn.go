package fsm

import (
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// State is the state of a transactional id; numbers and names are Kafka's.
type State int8

const (
	// Empty has a producer and has had no transaction with it.
	Empty State = iota
	// Ongoing has a transaction with partitions.
	Ongoing
	// PrepareCommit is decided: the partitions get their markers.
	PrepareCommit
	// PrepareAbort is decided likewise.
	PrepareAbort
	// CompleteCommit has markers in all partitions.
	CompleteCommit
	// CompleteAbort has them likewise.
	CompleteAbort
	// Dead is expired or unloaded.
	Dead
)

// The last name is of a state that Kafka has on the way to PrepareAbort, and that is never seen here.
var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

func (s State) String() string { return stateNames[s] }

// ParseState finds a state by its name.
func ParseState(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(i), i >= 0
}

// over says that no transaction is open.
func (s State) over() bool { return s == Empty || s == CompleteCommit || s == CompleteAbort }

// Config is what a broker's configuration says about transactions. Times are in milliseconds.
type Config struct {
	MaxTimeout int32 // transaction.max.timeout.ms
	Expiration int64 // transactional.id.expiration.ms
}

// ValidTimeout says whether a producer may ask for the time-out.
func (c *Config) ValidTimeout(timeout int32) bool { return timeout > 0 && timeout <= c.MaxTimeout }

const (
	noID    int64 = -1
	noEpoch int16 = -1
	// lastEpoch is the largest that a producer gets: one more is left to fence it with.
	lastEpoch = math.MaxInt16 - 1
)

func exhausted(epoch int16) bool { return epoch >= lastEpoch }

// TP is a partition in a transaction.
type TP struct {
	Topic     string
	Partition int32
}

// Waiter stands for a request that waits for its answer; the caller knows what it is. nil is none.
type Waiter any

// Out collects what follows from an event.
type Out struct {
	Replies []Reply
	// Writes are to be appended to the log in this order. Then Txn.Written is called with each.
	Writes []*Write
	// Markers are to be written, and Txn.Marked to be called with what came of it.
	Markers []*Markers
	// Retry asks for Txn.Retry after a while, Held for Txn.Release after HoldFor.
	Retry, Held bool
	// Notes are lines for the log.
	Notes []string
}

// Reply answers a waiter. Producer and Epoch belong to Init.
type Reply struct {
	To       Waiter
	Code     int16
	Producer int64
	Epoch    int16
}

// Markers are to be written to the ends of partitions, for a decision that is committed.
type Markers struct {
	Producer int64
	Epoch    int16
	Commit   bool
	Parts    []TP
	// Attempt is how often some of these have failed.
	Attempt int

	round uint32
}

// Of is the markers of some of the partitions.
func (m *Markers) Of(parts []TP) *Markers {
	some := *m
	some.Parts = parts
	return &some
}

// Txn is one transactional id.
type Txn struct {
	id  string
	cfg *Config

	producer, lastProducer int64
	epoch, lastEpoch       int16
	timeout                int32
	state                  State
	// parts are the partitions of the transaction; of a decided one those that may not have their marker yet.
	parts []TP
	// When the transaction began, -1 before the first, and when the state was last recorded.
	started, updated int64

	pending bool // a record is on its way: the state is about to change
	round   uint32
	// completion is what is to be recorded when all markers are written.
	completion *change
	// held are requests that came between a decision and its completion, which takes but a moment: they are served then. Answered at once,
	// CONCURRENT_TRANSACTIONS, their clients would wait for much longer before they ask again.
	held []held
	// fenced: a partition knows of a newer coordinator or producer, so that this one has nothing to say any more.
	fenced bool
	// fenceFailed: the epoch was raised to fence the producer, and that may not have reached the log. Nobody was given the epoch.
	fenceFailed bool
}

// New is a transactional id that gets its first producer id; Init makes it known.
func New(id string, producer int64, timeout int32, now int64, cfg *Config) *Txn {
	return &Txn{id: id, cfg: cfg, producer: producer, lastProducer: noID, epoch: noEpoch, lastEpoch: noEpoch, timeout: timeout, started: -1, updated: now}
}

// HoldFor is how long a request is held, in milliseconds, and maxHeld how many are.
const (
	HoldFor = 250
	maxHeld = 8
)

// held is a request that is served when the completion is recorded.
type held struct {
	w     Waiter
	since int64
	serve func(now int64, out *Out)
}

// hold keeps a request back if the present transaction is about to be complete; false means that it is not.
func (t *Txn) hold(now int64, w Waiter, out *Out, serve func(now int64, out *Out)) bool {
	if !t.pending || t.fenced || t.state != PrepareCommit && t.state != PrepareAbort || len(t.held) == maxHeld {
		return false
	}
	t.held = append(t.held, held{w, now, serve})
	out.Held = true
	return true
}

// Release answers the requests that were held for too long.
func (t *Txn) Release(now int64, out *Out) {
	for len(t.held) > 0 && now-t.held[0].since >= HoldFor {
		w := t.held[0].w
		t.held = t.held[1:]
		out.reply(failed(w, kerr.ConcurrentTransactions.Code))
	}
}

// serveHeld serves what was held, now that the transaction is complete.
func (t *Txn) serveHeld(now int64, out *Out) {
	all := t.held
	t.held = nil
	for _, h := range all {
		h.serve(now, out)
	}
}

// ID is the transactional id.
func (t *Txn) ID() string { return t.id }

// State is the present state.
func (t *Txn) State() State { return t.state }

// Producer is the present producer.
func (t *Txn) Producer() (id int64, epoch int16) { return t.producer, t.epoch }

// Pending says that the state is about to change.
func (t *Txn) Pending() bool { return t.pending }

// Timeout is how long a transaction may take, Started when the present or last one began, -1 if there was none.
func (t *Txn) Timeout() int32 { return t.timeout }

// Started is when the present or last transaction began, -1 if there was none.
func (t *Txn) Started() int64 { return t.started }

// Parts are the partitions of the transaction; they must not be changed.
func (t *Txn) Parts() []TP { return t.parts }

// Has says whether a producer's transaction is open and has a partition.
func (t *Txn) Has(producer int64, epoch int16, tp TP) bool {
	return t.state == Ongoing && t.producer == producer && t.epoch == epoch && slices.Contains(t.parts, tp)
}

// Unload ends the id here because this broker does not lead its log any more. What is on its way to the log is answered by Written.
func (t *Txn) Unload(out *Out) {
	t.state, t.parts, t.completion = Dead, nil, nil
	for _, h := range t.held {
		out.reply(failed(h.w, kerr.NotCoordinator.Code))
	}
	t.held = nil
}

// change is a state on its way to the log.
type change struct {
	state                  State
	producer, lastProducer int64
	epoch, lastEpoch       int16
	timeout                int32
	parts                  []TP
	started, updated       int64
}

// same is a change to a state with everything else as it is.
func (t *Txn) same(state State, now int64) change {
	return change{state: state, producer: t.producer, lastProducer: t.lastProducer, epoch: t.epoch, lastEpoch: t.lastEpoch, timeout: t.timeout,
		parts: t.parts, started: t.started, updated: now}
}

// record has a change recorded; done is called when it is in effect, or has failed.
func (t *Txn) record(c change, out *Out, done func(now int64, code int16, out *Out)) {
	t.pending = true
	out.Writes = append(out.Writes, &Write{Value: c.value(), Timeout: int64(c.timeout), done: func(now int64, code int16, out *Out) {
		if code == 0 {
			t.apply(&c)
		}
		t.pending = false
		done(now, code, out)
	}})
}

func (t *Txn) apply(c *change) {
	t.state, t.timeout, t.started, t.updated = c.state, c.timeout, c.started, c.updated
	t.producer, t.lastProducer, t.epoch, t.lastEpoch = c.producer, c.lastProducer, c.epoch, c.lastEpoch
	t.parts = c.parts
}

// Written tells what became of a write: committed with code 0, or not.
func (t *Txn) Written(now int64, w *Write, code int16, out *Out) {
	if t.state == Dead {
		// Whoever waits must ask the new coordinator, which knows whether the record counts.
		if w.waiter != nil {
			out.Replies = append(out.Replies, failed(w.waiter, kerr.NotCoordinator.Code))
		}
		return
	}
	w.done(now, code, out)
}

// reply answers a waiter, if there is one.
func (out *Out) reply(r Reply) {
	if r.To != nil {
		out.Replies = append(out.Replies, r)
	}
}

// failed is an answer without a producer.
func failed(to Waiter, code int16) Reply {
	return Reply{To: to, Code: code, Producer: noID, Epoch: noEpoch}
}

func (out *Out) note(format string, args ...any) {
	out.Notes = append(out.Notes, fmt.Sprintf(format, args...))
}
