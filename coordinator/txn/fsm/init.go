package fsm

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Init is an InitProducerId request.
type Init struct {
	Timeout int32
	// Expected is the producer that asks to go on after an error (KIP-360), nil if it is a new one.
	Expected *Producer
	// NewID is a producer id that nobody has, if the caller has taken one; otherwise -1.
	NewID int64
}

// Producer is a producer id with its epoch.
type Producer struct {
	ID    int64
	Epoch int16
}

// NeedsID says whether Init would give out another producer id: the epochs of the present one are used up.
func (t *Txn) NeedsID(q *Init) bool {
	return !t.pending && t.state.over() && exhausted(t.epoch) && (q.Expected == nil || q.Expected.Epoch == t.epoch)
}

// Init takes an InitProducerId request. The caller has checked the time-out, and has put a NewID if NeedsID says so.
func (t *Txn) Init(now int64, q *Init, w Waiter, out *Out) {
	switch {
	case t.state == Dead:
		out.reply(failed(w, kerr.NotCoordinator.Code))
	case t.pending:
		if !t.hold(now, w, out, func(now int64, out *Out) { t.Init(now, q, w, out) }) {
			out.reply(failed(w, kerr.ConcurrentTransactions.Code))
		}
	case q.Expected != nil && !t.mayGoOn(q.Expected):
		out.reply(failed(w, kerr.ProducerFenced.Code))
	case t.state == Ongoing:
		// The producer before this one is fenced and its transaction aborted; this one has to ask again.
		t.fence(now, out, func(code int16, out *Out) {
			if code == 0 {
				code = kerr.ConcurrentTransactions.Code
			}
			out.reply(failed(w, code))
		}, w)
	case !t.state.over():
		out.reply(failed(w, kerr.ConcurrentTransactions.Code))
	case t.NeedsID(q) && q.NewID < 0: // it was held, and needs what its caller could not know
		out.reply(failed(w, kerr.ConcurrentTransactions.Code))
	case t.NeedsID(q):
		c := t.begin(now, q)
		c.producer, c.lastProducer, c.epoch, c.lastEpoch = q.NewID, t.producer, 0, noEpoch
		if q.Expected != nil {
			c.lastEpoch = t.epoch
		}
		t.init(c, w, out)
	default:
		t.bump(now, q, w, out)
	}
}

// mayGoOn says whether a producer that wants to go on is the present one, or the one before whose last request was answered into the void.
func (t *Txn) mayGoOn(p *Producer) bool {
	return t.epoch == noEpoch || p.ID == t.producer || p.ID == t.lastProducer && exhausted(p.Epoch)
}

// bump raises the epoch, unless the request is one that has been answered.
func (t *Txn) bump(now int64, q *Init, w Waiter, out *Out) {
	c := t.begin(now, q)
	c.lastProducer, c.lastEpoch = t.producer, noEpoch
	switch e := q.Expected; {
	case e != nil && t.epoch != noEpoch && e.Epoch != t.epoch && e.Epoch == t.lastEpoch:
		c.lastProducer, c.lastEpoch = t.lastProducer, t.lastEpoch
		t.init(c, w, out)
		return
	case e != nil && t.epoch != noEpoch && e.Epoch != t.epoch:
		out.reply(failed(w, kerr.ProducerFenced.Code))
		return
	case e != nil:
		c.lastEpoch = t.epoch
	}
	c.epoch = t.epoch + 1
	t.init(c, w, out)
}

// begin is the change to a producer that has no transaction yet.
func (t *Txn) begin(now int64, q *Init) change {
	c := t.same(Empty, now)
	c.timeout, c.parts, c.started = q.Timeout, nil, -1
	return c
}

func (t *Txn) init(c change, w Waiter, out *Out) {
	t.record(c, out, func(_ int64, code int16, out *Out) {
		if code != 0 {
			out.note("Returning error code %d to client for %s's InitProducerId request", code, t.id)
			out.reply(failed(w, code))
			return
		}
		out.note("Initialized transactionalId %s with producerId %d and producer epoch %d", t.id, c.producer, c.epoch)
		out.reply(Reply{To: w, Producer: c.producer, Epoch: c.epoch})
	})
	out.Writes[len(out.Writes)-1].waiter = w
}

// fence raises the epoch so that the present producer can do nothing more, and aborts its transaction. If that cannot be recorded the epoch
// stays raised, for the next try: nobody was given it.
func (t *Txn) fence(now int64, out *Out, done func(code int16, out *Out), w Waiter) {
	if !t.fenceFailed && t.epoch < math.MaxInt16 {
		t.epoch++
	}
	t.lastEpoch = noEpoch
	t.decide(now, false, out, func(code int16, out *Out) {
		if code != 0 {
			t.fenceFailed = true
			out.note("The epoch %d that fences the producer of %s could not be recorded (error code %d); it was given to nobody", t.epoch, t.id, code)
		}
		done(code, out)
	}, w)
}
