package txn

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/coordinator/txn/fsm"
)

// errand is markers of one transaction on their way to their partitions, or to those of one broker.
type errand struct {
	s *shard
	t *fsm.Txn
	m *fsm.Markers
}

const (
	// firstPause and maxPause bound how long a marker that could not be written waits for its next try: twice as long each time.
	firstPause = 10 * time.Millisecond
	maxPause   = time.Second
	// goneAfter is from which try on it is found out whether a partition without a leader exists at all.
	goneAfter = 3
	// maxErrands bounds what one request carries.
	maxErrands = 1000
	// aliveCheck is how soon a request that waits for the answer of a broker that is gone is given up.
	aliveCheck = 200 * time.Millisecond
	// senderIdle is how long a connection without work is kept.
	senderIdle = time.Minute
)

func pause(attempt int) time.Duration {
	return min(maxPause, firstPause<<min(attempt, 20))
}

// wanted says whether the markers are still to be written.
func (e *errand) wanted() bool {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	return !e.s.mu.Gone && e.t.Current(e.m)
}

// marked tells what came of it.
func (e *errand) marked(codes []int16) {
	e.s.event(e.t, func(_ int64, out *fsm.Out) { e.t.Marked(e.m, codes, out) })
}

// allMarked is marked with one code for all.
func (e *errand) allMarked(code int16) {
	codes := make([]int16, len(e.m.Parts))
	for i := range codes {
		codes[i] = code
	}
	e.marked(codes)
}

func (e *errand) marker() Marker {
	return Marker{Producer: e.m.Producer, Epoch: e.m.Epoch, Commit: e.m.Commit, CoordinatorEpoch: e.s.epoch, Parts: e.m.Parts}
}

// send has markers written, after a pause if some have failed before.
func (c *Coordinator) send(e *errand) {
	if e.m.Attempt == 0 {
		c.dispatch(e)
		return
	}
	c.timers.Set(nowMillis()+pause(e.m.Attempt-1).Milliseconds(), func() { c.dispatch(e) })
}

// dispatch splits an errand by the leaders of its partitions.
func (c *Coordinator) dispatch(e *errand) {
	if !e.wanted() {
		return
	}
	var local, lost []fsm.TP
	var remote map[int32][]fsm.TP
	for _, tp := range e.m.Parts {
		broker, ok := c.opt.Brokers.Leader(tp)
		switch {
		case !ok:
			lost = append(lost, tp)
		case broker == c.opt.Brokers.ID:
			local = append(local, tp)
		default:
			if remote == nil {
				remote = map[int32][]fsm.TP{}
			}
			remote[broker] = append(remote[broker], tp)
		}
	}
	for broker, parts := range remote {
		c.senders.add(c, broker, &errand{s: e.s, t: e.t, m: e.m.Of(parts)})
	}
	if len(lost) > 0 {
		c.search(&errand{s: e.s, t: e.t, m: e.m.Of(lost)})
	}
	if len(local) > 0 {
		mine := &errand{s: e.s, t: e.t, m: e.m.Of(local)}
		c.opt.Brokers.Write([]Marker{mine.marker()}, func(codes [][]int16) { mine.marked(codes[0]) })
	}
}

// search is for partitions without a leader: there will be one, or they are no more.
func (c *Coordinator) search(e *errand) {
	if e.m.Attempt < goneAfter {
		c.again(e)
		return
	}
	c.shards.Go(func() { // ZooKeeper is asked
		var gone, left []fsm.TP
		for _, tp := range e.m.Parts {
			if is, err := c.opt.Brokers.Gone(c.shards.Context(), tp); err != nil || !is {
				left = append(left, tp)
				continue
			}
			gone = append(gone, tp)
			c.opt.Log.Infof("Partition %s-%d does not exist any more: transactional id %s goes on without its marker", tp.Topic, tp.Partition, e.t.ID())
		}
		if len(gone) > 0 {
			(&errand{s: e.s, t: e.t, m: e.m.Of(gone)}).allMarked(0)
		}
		if len(left) > 0 {
			c.again(&errand{s: e.s, t: e.t, m: e.m.Of(left)})
		}
	})
}

// again has an errand without leaders tried again after a pause.
func (c *Coordinator) again(e *errand) {
	c.lost.Add(1)
	next := &errand{s: e.s, t: e.t, m: e.m.Of(e.m.Parts)}
	next.m.Attempt++
	c.timers.Set(nowMillis()+pause(e.m.Attempt).Milliseconds(), func() {
		c.lost.Add(-1)
		c.dispatch(next)
	})
}

// senders are the queues of markers for other brokers.
type senders struct {
	mu     sync.Mutex
	queues map[int32]*queue
}

// queue is what waits for one broker; a goroutine sends it as long as there is some.
type queue struct {
	errands []*errand
	wake    chan struct{}
}

func (q *senders) add(c *Coordinator, broker int32, e *errand) {
	q.mu.Lock()
	defer q.mu.Unlock()
	to := q.queues[broker]
	if to == nil {
		to = &queue{wake: make(chan struct{}, 1)}
		q.queues[broker] = to
		c.shards.Go(func() {
			(&sender{link: link{c: c, broker: broker, what: "-txn-marker-sender"}, q: to}).run(c.shards.Context())
		})
	}
	to.errands = append(to.errands, e)
	select {
	case to.wake <- struct{}{}:
	default:
	}
}

// take returns the next errands for one request. Without any, and with end set, the queue is given up.
func (q *senders) take(broker int32, from *queue, end bool) (batch []*errand, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(from.errands), maxErrands)
	if n == 0 && end {
		delete(q.queues, broker)
		return nil, true
	}
	batch = from.errands[:n:n]
	from.errands = from.errands[n:]
	return batch, false
}

// sender is the goroutine of a queue, with its connection.
type sender struct {
	link
	q    *queue
	said bool // that the broker cannot be reached
}

func (s *sender) run(ctx context.Context) {
	defer s.hangUp()
	idle := time.NewTimer(senderIdle)
	defer idle.Stop()
	for end := false; ; {
		batch, over := s.c.senders.take(s.broker, s.q, end)
		if over {
			return
		}
		if len(batch) > 0 {
			s.deliver(ctx, batch)
			if end = false; ctx.Err() != nil {
				return
			}
			continue
		}
		idle.Reset(senderIdle)
		select {
		case <-s.q.wake:
		case <-idle.C:
			end = true
		case <-ctx.Done():
			return
		}
	}
}

// deliver sends a batch and tells what came of it.
func (s *sender) deliver(ctx context.Context, batch []*errand) {
	wanted := batch[:0]
	for _, e := range batch {
		if e.wanted() {
			wanted = append(wanted, e)
		}
	}
	if len(wanted) == 0 {
		return
	}
	// The broker may wait for its followers as long as the time-out itself.
	resp, err := s.exchange(ctx, request(wanted), s.c.opt.RequestTimeout+time.Second)
	if err != nil {
		if ctx.Err() == nil && !s.said {
			s.said = true
			s.c.opt.Log.Infof("Transaction markers for broker %d are sent again: %v", s.broker, err)
		}
		for _, e := range wanted {
			e.allMarked(kerr.NetworkException.Code)
		}
		return
	}
	s.said = false
	answers := index(resp.(*kmsg.WriteTxnMarkersResponse))
	for _, e := range wanted {
		codes := make([]int16, len(e.m.Parts))
		for i, tp := range e.m.Parts {
			code, ok := answers[answerKey{e.m.Producer, tp}]
			if !ok {
				code = kerr.UnknownServerError.Code
			}
			codes[i] = code
		}
		e.marked(codes)
	}
}

func request(batch []*errand) *kmsg.WriteTxnMarkersRequest {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	for _, e := range batch {
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch = e.m.Producer, e.m.Epoch, e.m.Commit, e.s.epoch
		at := map[string]int{}
		for _, tp := range e.m.Parts {
			i, has := at[tp.Topic]
			if !has {
				i = len(m.Topics)
				at[tp.Topic] = i
				t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
				t.Topic = tp.Topic
				m.Topics = append(m.Topics, t)
			}
			m.Topics[i].Partitions = append(m.Topics[i].Partitions, tp.Partition)
		}
		req.Markers = append(req.Markers, m)
	}
	return req
}

type answerKey struct {
	producer int64
	tp       fsm.TP
}

func index(resp *kmsg.WriteTxnMarkersResponse) map[answerKey]int16 {
	out := map[answerKey]int16{}
	for i := range resp.Markers {
		m := &resp.Markers[i]
		for j := range m.Topics {
			t := &m.Topics[j]
			for k := range t.Partitions {
				out[answerKey{m.ProducerID, fsm.TP{Topic: t.Topic, Partition: t.Partitions[k].Partition}}] = t.Partitions[k].ErrorCode
			}
		}
	}
	return out
}
