package replication

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/storage"
	"gregor/wire/peer"
)

// fetcher follows the partitions that one broker leads, over one connection and one incremental fetch session (KIP-227). What the
// leader has nothing new of costs nothing.
type fetcher struct {
	fs     *fetchers
	m      *Manager
	id     fetcherID
	ctx    context.Context
	cancel context.CancelFunc
	log    logrus.FieldLogger
	name   string // before every line of the log
	wake   chan struct{}

	mu struct {
		sync.Mutex
		want map[storage.TopicPartition]*followed
		todo []storage.TopicPartition // whose entry in want changed
		conn *peer.Conn               // closed when the fetcher stops
	}

	// Only run uses what follows.
	parts   map[storage.TopicPartition]*followed
	changed []*followed // what the next request must name
	forget  []storage.TopicPartition
	delayed []*followed
	asking  []*followed // whose last epoch the leader is asked about
	lost    []*followed // whose offset the leader does not have
	session struct {
		id, epoch int32 // epoch is what the next request carries; 0 begins a session
		refused   bool  // the leader has no room for one
	}
	rounds   int64           // requests so far
	inFlight []*fetchRequest // whose answers are to come, two at most
	spare    []*fetchRequest
	failures int // of the last rounds; the first is said
}

func newFetcher(fs *fetchers, id fetcherID) *fetcher {
	f := &fetcher{fs: fs, m: fs.m, id: id, wake: make(chan struct{}, 1), parts: map[storage.TopicPartition]*followed{}}
	f.log = fs.m.opt.Log
	f.name = fmt.Sprintf("[ReplicaFetcher replicaId=%d, leaderId=%d, fetcherId=%d] ", fs.m.opt.BrokerID, id.broker, id.number)
	f.ctx, f.cancel = context.WithCancel(fs.ctx)
	f.mu.want = map[storage.TopicPartition]*followed{}
	context.AfterFunc(f.ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.mu.conn != nil {
			_ = f.mu.conn.Close()
		}
	})
	return f
}

func (f *fetcher) add(part *followed) {
	f.mu.Lock()
	f.mu.want[part.p.tp] = part
	f.mu.todo = append(f.mu.todo, part.p.tp)
	f.mu.Unlock()
}

func (f *fetcher) remove(tp storage.TopicPartition) {
	f.mu.Lock()
	delete(f.mu.want, tp)
	f.mu.todo = append(f.mu.todo, tp)
	f.mu.Unlock()
}

func (f *fetcher) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.mu.want) == 0
}

func (f *fetcher) wakeUp() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.conn != nil {
		f.mu.conn.Interrupt()
	}
}

func (f *fetcher) run() {
	defer f.hangUp()
	for f.ctx.Err() == nil {
		f.prepare()
		err := f.askEpochs()
		if err == nil {
			f.findLost()
		}
		if err == nil && len(f.parts) > len(f.delayed) {
			err = f.fetch()
		} else if err == nil {
			f.sleep(f.untilNext())
			continue
		}
		if err != nil {
			f.failed(err)
		}
	}
}

// prepare finds out what the next request may name.
func (f *fetcher) prepare() {
	f.admit()
	f.release(time.Now())
	f.locate()
}

// admit takes in which partitions are to be followed now.
func (f *fetcher) admit() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, tp := range f.mu.todo {
		old, now := f.parts[tp], f.mu.want[tp]
		if old == now {
			continue
		}
		if old != nil {
			f.drop(old)
		}
		if now != nil {
			f.parts[tp] = now
			f.change(now)
		}
	}
	f.mu.todo = f.mu.todo[:0]
}

// drop forgets a partition.
func (f *fetcher) drop(part *followed) {
	part.removed = true
	delete(f.parts, part.p.tp)
	f.leaveSession(part)
}

func (f *fetcher) leaveSession(part *followed) {
	if part.inSession {
		part.inSession = false
		f.forget = append(f.forget, part.p.tp)
	}
}

// change lets the next request name the partition.
func (f *fetcher) change(part *followed) {
	if !part.changed {
		part.changed = true
		f.changed = append(f.changed, part)
	}
}

// firstBackoff is how soon a leader is asked again that has not heard of its leadership yet: usually it is about to. It doubles up to
// replica.fetch.backoff.ms.
const firstBackoff = 5 * time.Millisecond

// early leaves a partition alone until its leader may know that it leads.
func (f *fetcher) early(part *followed) {
	wait := f.m.opt.Fetching.Backoff
	if part.refusals < 16 {
		wait = min(wait, firstBackoff<<part.refusals)
		part.refusals++
	}
	f.delayFor(part, wait)
}

// delay leaves a partition alone for a while; the others go on.
func (f *fetcher) delay(part *followed) { f.delayFor(part, f.m.opt.Fetching.Backoff) }

func (f *fetcher) delayFor(part *followed, wait time.Duration) {
	f.leaveSession(part)
	if part.until.IsZero() {
		f.delayed = append(f.delayed, part)
	}
	part.until = time.Now().Add(wait)
	part.ready = false
}

// release brings back what was delayed.
func (f *fetcher) release(now time.Time) {
	keep := f.delayed[:0]
	for _, part := range f.delayed {
		switch {
		case part.removed:
		case part.until.After(now):
			keep = append(keep, part)
		default:
			part.until = time.Time{}
			f.change(part)
		}
	}
	clear(f.delayed[len(keep):])
	f.delayed = keep
}

func (f *fetcher) untilNext() time.Duration {
	next := time.Hour
	for _, part := range f.delayed {
		next = min(next, time.Until(part.until))
	}
	return next
}

// sleep waits for d, for something to do, or for the end.
func (f *fetcher) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.wake:
	case <-f.ctx.Done():
	}
}

// throttled leaves a partition alone while throttled replicas have used up what they may.
func (f *fetcher) throttled(part *followed) bool {
	t := f.m.opt.FollowerThrottle
	if part.caughtUp || !t.covers(part.p.tp) {
		return false
	}
	wait := t.Wait(time.Now())
	if wait > 0 {
		f.delayFor(part, min(wait, f.m.opt.Fetching.MaxWait))
	}
	return wait > 0
}

// failed ends the connection and with it the session, and waits before the next try.
func (f *fetcher) failed(err error) {
	f.hangUp()
	if f.ctx.Err() != nil {
		return
	}
	if f.failures == 0 {
		f.log.Warnf(f.name+"Error in response for fetch request of %d partitions to broker %d, tried again at least every %v: %v", len(f.parts), f.id.broker, f.m.opt.Fetching.Backoff, err)
	}
	// A connection that broke can often be opened again at once.
	t := time.NewTimer(min(f.m.opt.Fetching.Backoff, 4*firstBackoff<<min(f.failures, 16)))
	f.failures++
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.ctx.Done():
	}
}

func (f *fetcher) hangUp() {
	f.mu.Lock()
	if f.mu.conn != nil {
		_ = f.mu.conn.Close()
		f.mu.conn = nil
	}
	f.mu.Unlock()
	f.endSession(false)
	clear(f.inFlight)
	f.inFlight = f.inFlight[:0]
	f.session.refused = false
}

// endSession makes the next fetch name everything; replace asks the leader to put it in the place of the present session.
func (f *fetcher) endSession(replace bool) {
	if !replace {
		f.session.id = 0
	}
	f.session.epoch = 0
	f.forget = f.forget[:0]
	for _, e := range f.inFlight {
		e.void = true
	}
	for _, part := range f.parts {
		part.inSession = false
		if part.until.IsZero() {
			f.change(part)
		}
	}
}

var errNoEndpoint = errors.New("its address is not known")

func (f *fetcher) connect() (*peer.Conn, error) {
	f.mu.Lock()
	conn := f.mu.conn
	f.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	opt := &f.m.opt.Fetching
	addr, ok := opt.Endpoint(f.id.broker)
	if !ok {
		return nil, errNoEndpoint
	}
	client := "broker-" + strconv.Itoa(int(f.m.opt.BrokerID)) + "-fetcher-" + strconv.Itoa(f.id.number)
	conn, err := peer.Dial(f.ctx, opt.Dial, addr, client, opt.Timeout)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ctx.Err(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	f.mu.conn = conn
	return conn, nil
}

// locate finds out where partitions are to be fetched from.
func (f *fetcher) locate() {
	for _, part := range f.changed {
		if part.removed || part.ready || !part.until.IsZero() {
			continue
		}
		if f.throttled(part) {
			continue
		}
		pos, err := part.p.position(part.epoch)
		v := &f.m.opt.Fetching.Versions
		if err == nil && (pos.lastEpoch == NoEpoch || !v.Epochs) {
			pos, err = part.p.truncateToHighWatermark(part.epoch)
		}
		if err != nil {
			f.broken(part, err)
			continue
		}
		part.pos, part.ready = pos, true
		if v.Epochs && v.Fetch < 12 && pos.lastEpoch != NoEpoch {
			f.ask(part)
		}
	}
}

func (f *fetcher) ask(part *followed) {
	if !part.asks {
		part.asks = true
		f.asking = append(f.asking, part)
	}
}

// broken deals with a partition that cannot be written now.
func (f *fetcher) broken(part *followed, err error) {
	var unexpected *storage.UnexpectedOffsetError
	switch {
	case errors.Is(err, ErrFencedLeaderEpoch), errors.Is(err, ErrUnknownPartition), errors.Is(err, ErrNotLeader):
		f.drop(part) // another role has begun
	case errors.Is(err, ErrOffline):
		f.log.Errorf(f.name+"Error while processing data for partition %v, which is followed no more: %v", part.p.tp, err)
		f.drop(part)
	case errors.As(err, &unexpected):
		f.log.Errorf(f.name+"Partition %v: %v; fetched again from its end", part.p.tp, err)
		f.delay(part)
	default:
		f.log.Errorf(f.name+"Error while processing data for partition %v, tried again in %v: %v", part.p.tp, f.m.opt.Fetching.Backoff, err)
		f.delay(part)
	}
}
