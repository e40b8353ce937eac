package txn

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/coordinator/txn/fsm"
	"gregor/internal/topicrules"
)

const (
	// askTimeout bounds how long a producer's records wait for the word of another coordinator.
	askTimeout = time.Second
	// A broker that does not answer is not asked for a while, twice as long each time: one of Apache Kafka does not know the question.
	firstDeaf = 5 * time.Second
	maxDeaf   = 10 * time.Minute
	// maxQuestions bounds what one request asks.
	maxQuestions = 500
)

// askers ask other brokers about transactional ids that they coordinate, those of one broker together.
type askers struct {
	mu      sync.Mutex
	brokers map[int32]*asker
}

type asker struct {
	questions []*question
	wake      chan struct{}
	deafUntil time.Time
	deaf      time.Duration // how long it was deaf last
}

type question struct {
	id   string
	done chan *kmsg.DescribeTransactionsResponseTransactionState // nil: nobody knows
}

// Ask describes a transactional id whose coordinator is another broker; false if that cannot be found out.
func (c *Coordinator) Ask(id string) (d Description, known bool) {
	broker, ok := c.opt.Brokers.Leader(fsm.TP{Topic: topicrules.TransactionTopic, Partition: c.PartitionFor(id)})
	if !ok || broker == c.opt.Brokers.ID {
		return d, false
	}
	q := &question{id: id, done: make(chan *kmsg.DescribeTransactionsResponseTransactionState, 1)}
	if !c.askers.add(c, broker, q) {
		return d, false
	}
	limit := time.NewTimer(askTimeout)
	defer limit.Stop()
	select {
	case s := <-q.done:
		if s == nil {
			return d, false
		}
		return described(s)
	case <-limit.C:
	case <-c.shards.Context().Done():
	}
	return d, false
}

// described is what another coordinator says; false if it is none, or not yet.
func described(s *kmsg.DescribeTransactionsResponseTransactionState) (d Description, known bool) {
	const notFound = 105
	switch s.ErrorCode {
	case 0:
	case notFound:
		return Description{Code: s.ErrorCode, Producer: fsm.Producer{ID: -1, Epoch: -1}}, true
	default:
		return d, false
	}
	d = Description{Producer: fsm.Producer{ID: s.ProducerID, Epoch: s.ProducerEpoch}, Timeout: s.TimeoutMillis, Started: s.StartTimestamp}
	if d.State, known = fsm.ParseState(s.State); !known {
		return d, false
	}
	for _, t := range s.Topics {
		for _, p := range t.Partitions {
			d.Parts = append(d.Parts, fsm.TP{Topic: t.Topic, Partition: p})
		}
	}
	return d, true
}

// Verify says whether a partition is in the open transaction of a producer.
func (d *Description) Verify(p fsm.Producer, tp fsm.TP) Verdict {
	if d.Code == 0 && d.State == fsm.Ongoing && d.Producer == p && slices.Contains(d.Parts, tp) {
		return Within
	}
	return Without
}

// add puts a question; false if the broker is not asked at present.
func (as *askers) add(c *Coordinator, broker int32, q *question) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.brokers[broker]
	if a == nil {
		a = &asker{wake: make(chan struct{}, 1)}
		as.brokers[broker] = a
		c.shards.Go(func() { as.run(c.shards.Context(), a, &link{c: c, broker: broker, what: "-txn-verifier"}) })
	}
	if time.Now().Before(a.deafUntil) {
		return false
	}
	a.questions = append(a.questions, q)
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return true
}

func (as *askers) run(ctx context.Context, a *asker, l *link) {
	defer l.hangUp()
	for {
		select {
		case <-a.wake:
		case <-ctx.Done():
			return
		}
		for {
			as.mu.Lock()
			n := min(len(a.questions), maxQuestions)
			batch := a.questions[:n:n]
			a.questions = a.questions[n:]
			as.mu.Unlock()
			if n == 0 {
				break
			}
			as.ask(ctx, a, l, batch)
		}
	}
}

// ask asks about all of a batch at once.
func (as *askers) ask(ctx context.Context, a *asker, l *link, batch []*question) {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	for _, q := range batch {
		req.TransactionalIDs = append(req.TransactionalIDs, q.id)
	}
	slices.Sort(req.TransactionalIDs)
	req.TransactionalIDs = slices.Compact(req.TransactionalIDs)
	resp, err := l.exchange(ctx, req, askTimeout)
	states := map[string]*kmsg.DescribeTransactionsResponseTransactionState{}
	as.mu.Lock()
	if err == nil {
		list := resp.(*kmsg.DescribeTransactionsResponse).TransactionStates
		for i := range list {
			states[list[i].TransactionalID] = &list[i]
		}
		a.deaf = 0
	} else {
		a.deaf = min(max(2*a.deaf, firstDeaf), maxDeaf)
		a.deafUntil = time.Now().Add(a.deaf)
		batch, a.questions = append(batch, a.questions...), nil
	}
	as.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		l.c.opt.Log.Infof("Broker %d does not tell about transactions, so that records for them are not verified for %v: %v", l.broker, a.deaf, err)
	}
	for _, q := range batch {
		q.done <- states[q.id]
	}
}
