package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/led"
	"gregor/coordinator/txn/fsm"
	"gregor/wire/record"
)

// shard is the transactional ids of one partition.
type shard struct {
	c     *Coordinator
	id    int32
	epoch int32 // the leader epoch, which markers carry as the coordinator's
	log   led.Log

	mu   led.Gate
	txns map[string]*fsm.Txn
}

// reply is how every waiter of this package is called.
type reply = func(*fsm.Reply)

// after is what is left to do when the shard is unlocked.
type after struct {
	s       *shard
	t       *fsm.Txn
	replies []fsm.Reply
	waits   []*commit
	markers []*fsm.Markers
	notes   []string

	retry, held bool
}

func (a *after) run() {
	for i := range a.replies {
		a.replies[i].To.(reply)(&a.replies[i])
	}
	for _, n := range a.notes {
		a.s.c.opt.Log.Info(n)
	}
	for _, w := range a.waits {
		w.wait()
	}
	for _, m := range a.markers {
		a.s.c.send(&errand{s: a.s, t: a.t, m: m})
	}
	if a.held {
		a.s.c.timers.Set(nowMillis()+fsm.HoldFor, func() { a.s.event(a.t, a.t.Release) })
	}
	if a.retry {
		a.s.c.retries.Add(1)
		a.s.c.timers.Set(nowMillis()+retryPause.Milliseconds(), func() {
			a.s.c.retries.Add(-1)
			a.s.event(a.t, func(_ int64, out *fsm.Out) { a.t.Retry(out) })
		})
	}
}

// retryPause is how soon a completion that could not be recorded is tried again.
const retryPause = 100 * time.Millisecond

// apply does what follows from an event of t, with the lock held: appends. The caller runs the rest after unlocking.
func (s *shard) apply(t *fsm.Txn, now int64, out *fsm.Out) after {
	a := after{s: s, t: t}
	for i := 0; i < len(out.Writes); i++ { // one that is committed at once may bring others
		if c := s.write(t, out.Writes[i], now, out); c != nil {
			a.waits = append(a.waits, c)
		}
	}
	if t.State() == fsm.Dead && s.txns[t.ID()] == t {
		delete(s.txns, t.ID())
	}
	a.replies, a.markers, a.notes, a.retry, a.held = out.Replies, out.Markers, out.Notes, out.Retry, out.Held
	return a
}

// event runs f for an id of the shard.
func (s *shard) event(t *fsm.Txn, f func(now int64, out *fsm.Out)) {
	var out fsm.Out
	now := nowMillis()
	s.mu.Lock()
	f(now, &out)
	a := s.apply(t, now, &out)
	s.mu.Unlock()
	a.run()
}

// leave unlocks the shard and does what follows.
func (s *shard) leave(t *fsm.Txn, now int64, out *fsm.Out) {
	a := s.apply(t, now, out)
	s.mu.Unlock()
	a.run()
}

// write appends a record; what is returned has to be committed.
func (s *shard) write(t *fsm.Txn, w *fsm.Write, now int64, out *fsm.Out) *commit {
	if s.mu.Gone {
		t.Written(now, w, kerr.NotCoordinator.Code, out)
		return nil
	}
	b := record.NewBuilder()
	b.Append(now, appendKey(nil, t.ID()), appendValue(w.Value))
	batch, err := b.Build()
	last := int64(0)
	if err == nil {
		_, last, err = s.log.Append(batch, -1, time.UnixMilli(now))
	}
	if err != nil {
		s.c.opt.Log.Warnf("Appending to __transaction_state-%d for transactional id %s failed: %v", s.id, t.ID(), err)
		t.Written(now, w, s.c.writeCode(err), out)
		return nil
	}
	return &commit{s: s, t: t, w: w, last: last}
}

// writeCode is what clients are told about a record that could not be written.
func (c *Coordinator) writeCode(err error) int16 {
	code := c.opt.ErrorCode(err)
	switch code {
	case kerr.UnknownTopicOrPartition.Code, kerr.NotEnoughReplicas.Code, kerr.NotEnoughReplicasAfterAppend.Code, kerr.RequestTimedOut.Code:
		return kerr.CoordinatorNotAvailable.Code
	case kerr.NotLeaderForPartition.Code, kerr.KafkaStorageError.Code:
		return kerr.NotCoordinator.Code
	case kerr.MessageTooLarge.Code, kerr.RecordListTooLarge.Code:
		return kerr.UnknownServerError.Code
	}
	return code
}

// commit is a record that is in the log and not committed yet.
type commit struct {
	s      *shard
	t      *fsm.Txn
	w      *fsm.Write
	last   int64
	cancel func() bool
	timer  *led.Timer // guarded, as over is, by the shard's lock
	over   bool
}

func (c *commit) wait() {
	cancel := c.s.log.WhenCommitted(c.last+1, c.done)
	if cancel == nil {
		return
	}
	timeout := c.w.Timeout
	if timeout <= 0 {
		timeout = c.s.c.opt.RequestTimeout.Milliseconds()
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.cancel = cancel; !c.over {
		c.timer = c.s.c.timers.Set(nowMillis()+timeout, c.timedOut)
	}
}

func (c *commit) done(err error) {
	code := int16(0)
	if err != nil {
		code = c.s.c.writeCode(err)
	}
	c.end(code)
}

func (c *commit) end(code int16) {
	c.s.event(c.t, func(now int64, out *fsm.Out) {
		if !c.over {
			c.over = true
			c.s.c.timers.Stop(c.timer)
			c.t.Written(now, c.w, code, out)
		}
	})
}

// timedOut is called when a commit takes too long.
func (c *commit) timedOut() {
	if c.cancel() {
		c.end(kerr.CoordinatorNotAvailable.Code)
	}
}

// Unload ends the service of the shard. What is on its way to the log is answered when the log gives up.
func (s *shard) Unload() {
	var out fsm.Out
	s.mu.Lock()
	n, loaded := len(s.txns), s.mu.Loaded
	for _, t := range s.txns {
		t.Unload(&out)
	}
	s.mu.Gone, s.txns = true, nil
	s.mu.Unlock()
	(&after{s: s, replies: out.Replies}).run()
	if loaded {
		s.c.opt.Log.Infof("Unloaded %d transactional ids of __transaction_state-%d, loaded in epoch %d", n, s.id, s.epoch)
	}
}

// some lists the ids of the shard that are wanted.
func (s *shard) some(wanted func(t *fsm.Txn, now int64) bool) (list []*fsm.Txn) {
	if s.mu.Enter() != 0 {
		return nil
	}
	defer s.mu.Unlock()
	now := nowMillis()
	for _, t := range s.txns {
		if wanted(t, now) {
			list = append(list, t)
		}
	}
	return list
}

// abort aborts the transactions that have timed out.
func (s *shard) abort() {
	for _, t := range s.some((*fsm.Txn).TimedOut) {
		s.event(t, t.Abort)
	}
}

// expire forgets ids that have not been used for long.
func (s *shard) expire() {
	for _, t := range s.some((*fsm.Txn).Expired) {
		s.event(t, t.Expire)
	}
}
