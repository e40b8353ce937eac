package txn

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/txn/fsm"
)

// InitResult answers Init: a producer, or a code.
type InitResult struct {
	Code int16
	fsm.Producer
}

func noProducer(code int16) InitResult {
	return InitResult{Code: code, Producer: fsm.Producer{ID: -1, Epoch: -1}}
}

// Init takes an InitProducerId request with a transactional id; done is called once, now or later, with no lock held. expected is nil for a
// producer that begins.
func (c *Coordinator) Init(ctx context.Context, id string, timeout int32, expected *fsm.Producer, done func(InitResult)) {
	switch {
	case id == "":
		done(noProducer(kerr.InvalidRequest.Code))
		return
	case !c.opt.Txns.ValidTimeout(timeout):
		done(noProducer(kerr.InvalidTransactionTimeout.Code))
		return
	}
	q := &fsm.Init{Timeout: timeout, Expected: expected, NewID: -1}
	for {
		s, code := c.enter(id)
		if code != 0 {
			done(noProducer(code))
			return
		}
		t, now := s.txns[id], nowMillis()
		if q.NewID < 0 && (t == nil || t.NeedsID(q)) {
			// Taking an id may have to wait for ZooKeeper, which is not for others to wait for.
			s.mu.Unlock()
			var err error
			if q.NewID, err = c.opt.NewProducerID(ctx); err != nil {
				c.opt.Log.Errorf("No producer id for transactional id %s: %v", id, err)
				done(noProducer(kerr.CoordinatorLoadInProgress.Code)) // retried by every client
				return
			}
			continue
		}
		if t == nil {
			t = fsm.New(id, q.NewID, timeout, now, &c.opt.Txns)
			s.txns[id] = t
		}
		var out fsm.Out
		t.Init(now, q, func(r *fsm.Reply) {
			done(InitResult{Code: r.Code, Producer: fsm.Producer{ID: r.Producer, Epoch: r.Epoch}})
		}, &out)
		s.leave(t, now, &out)
		return
	}
}

// AddPartitions takes an AddPartitionsToTxn request; done is called once, now or later.
func (c *Coordinator) AddPartitions(id string, p fsm.Producer, parts []fsm.TP, done func(code int16)) {
	c.producer(id, done, func(t *fsm.Txn, now int64, out *fsm.Out) {
		t.AddPartitions(now, p, parts, func(r *fsm.Reply) { done(r.Code) }, out)
	})
}

// End takes an EndTxn request; done is called once, now or later, when the decision is recorded: the markers follow.
func (c *Coordinator) End(id string, p fsm.Producer, commit bool, done func(code int16)) {
	c.producer(id, done, func(t *fsm.Txn, now int64, out *fsm.Out) {
		t.End(now, p, commit, func(r *fsm.Reply) { done(r.Code) }, out)
	})
}

func (c *Coordinator) producer(id string, fail func(code int16), f func(*fsm.Txn, int64, *fsm.Out)) {
	if id == "" {
		fail(kerr.InvalidRequest.Code)
		return
	}
	s, code := c.enter(id)
	if code != 0 {
		fail(code)
		return
	}
	t := s.txns[id]
	if t == nil {
		s.mu.Unlock()
		fail(kerr.InvalidProducerIDMapping.Code)
		return
	}
	var out fsm.Out
	now := nowMillis()
	f(t, now, &out)
	s.leave(t, now, &out)
}

// Verdict is what a coordinator knows of a partition in a transaction.
type Verdict uint8

const (
	// Unknown: this broker is not the coordinator of the id, or does not know yet.
	Unknown Verdict = iota
	// Within: the transaction is open and has the partition.
	Within
	// Without: it is not, or has not.
	Without
)

// Verify tells whether a partition is in the open transaction of a producer.
func (c *Coordinator) Verify(id string, p fsm.Producer, tp fsm.TP) Verdict {
	s, code := c.enter(id)
	if code != 0 {
		return Unknown
	}
	defer s.mu.Unlock()
	if t := s.txns[id]; t != nil && t.Has(p.ID, p.Epoch, tp) {
		return Within
	}
	return Without
}

// Description is a transactional id as DescribeTransactions shows it.
type Description struct {
	Code int16
	fsm.Producer
	State   fsm.State
	Timeout int32
	Started int64
	Parts   []fsm.TP
}

// Describe tells about a transactional id.
func (c *Coordinator) Describe(id string) (d Description) {
	d.Producer, d.Started = fsm.Producer{ID: -1, Epoch: -1}, -1
	if id == "" {
		d.Code = kerr.InvalidRequest.Code
		return d
	}
	s, code := c.enter(id)
	if code != 0 {
		d.Code = code
		return d
	}
	defer s.mu.Unlock()
	t := s.txns[id]
	if t == nil {
		d.Code = kerr.TransactionalIDNotFound.Code
		return d
	}
	d.ID, d.Epoch = t.Producer()
	d.State, d.Timeout, d.Started, d.Parts = t.State(), t.Timeout(), t.Started(), slices.Clone(t.Parts())
	return d
}

// Listed is a transactional id as ListTransactions shows it.
type Listed struct {
	ID       string
	Producer int64
	State    fsm.State
}

// List returns the ids in one of the states and with one of the producers, by name; an empty filter lets all through. The code tells of
// partitions that are still being loaded.
func (c *Coordinator) List(states []fsm.State, producers []int64) (list []Listed, code int16) {
	shards, closed := c.shards.All()
	if closed {
		return nil, kerr.CoordinatorNotAvailable.Code
	}
	for _, s := range shards {
		if e := s.mu.Enter(); e != 0 {
			if e == kerr.CoordinatorLoadInProgress.Code {
				code = e
			}
			continue
		}
		for id, t := range s.txns {
			producer, _ := t.Producer()
			if (len(states) == 0 || slices.Contains(states, t.State())) && (len(producers) == 0 || slices.Contains(producers, producer)) {
				list = append(list, Listed{id, producer, t.State()})
			}
		}
		s.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b Listed) int { return cmp.Compare(a.ID, b.ID) })
	return list, code
}
