package group

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led"
)

// shard is the groups of one partition.
type shard struct {
	c   *Coordinator
	id  int32
	log led.Log

	mu     led.Gate
	groups map[string]*fsm.Group
	enc    encoder
	// open are the groups with offsets in a producer's open transaction; one may be gone by now.
	open map[int64]map[string]struct{}
	// ended are the transactions that ended while the log was read.
	ended []ending
}

// reply, joinReply and syncReply are how the waiters of this package are called, those of OffsetCommit excepted: they are *OffsetCommit.
type (
	reply     = func(*fsm.Reply)
	joinReply = func(*fsm.JoinResult)
	syncReply = func(*fsm.SyncResult)
)

// after is what is left to do when the shard is unlocked.
type after struct {
	replies []fsm.Reply
	waits   []*commit
}

// answersAtOnce is how many waiters a goroutine answers: each is a response to send, so those of a large group are shared out.
const answersAtOnce = 128

func (a *after) run() {
	replies := a.replies
	for len(replies) > answersAtOnce {
		go answer(slices.Clone(replies[len(replies)-answersAtOnce:])) // the list is used again when run is over
		replies = replies[:len(replies)-answersAtOnce]
	}
	answer(replies)
	for _, w := range a.waits {
		w.wait()
	}
}

func answer(replies []fsm.Reply) {
	for i := range replies {
		r := &replies[i]
		switch to := r.To.(type) {
		case nil:
		case *OffsetCommit:
			to.Done()
		case joinReply:
			to(r.Join)
		case syncReply:
			to(r.Sync)
		case reply:
			to(r)
		}
	}
}

// apply does what follows from an event of g, with the lock held: appends, timers. The caller runs the rest after unlocking.
func (s *shard) apply(g *fsm.Group, now int64, out *fsm.Out) (a after) {
	for i := 0; i < len(out.Writes); i++ { // a failed write may bring others
		if c := s.write(g, out.Writes[i], now, out); c != nil {
			a.waits = append(a.waits, c)
		}
	}
	for _, n := range out.Notes {
		s.c.opt.Log.Info(n)
	}
	if g.State() == fsm.Dead && s.groups[g.ID()] == g {
		delete(s.groups, g.ID())
	} else if !s.mu.Gone {
		for _, t := range out.Timers {
			s.c.timers.Set(t.At, func() {
				s.event(g, func(now int64, out *fsm.Out) { g.Fire(now, t, out) })
			})
		}
	}
	a.replies = out.Replies
	return a
}

// write appends a write; what is returned has to be committed.
func (s *shard) write(g *fsm.Group, w *fsm.Write, now int64, out *fsm.Out) *commit {
	fail := func(err error) {
		code := kerr.NotCoordinator.Code
		if err != nil {
			code = s.c.writeCode(w, err)
			s.c.opt.Log.Warnf("Appending to __consumer_offsets-%d for group %s failed: %v", s.id, g.ID(), err)
		}
		g.Written(now, w, code, -1, out)
	}
	if s.mu.Gone {
		fail(nil)
		return nil
	}
	first, last, err := s.append(g.ID(), w, now)
	if err != nil {
		fail(err)
		return nil
	}
	if w.Txn != fsm.NoTxn {
		s.opened(w.Txn.Producer, g.ID())
	}
	g.Appended(w, first)
	if s.c.opt.Acks != -1 || last < 0 {
		g.Written(now, w, 0, first, out)
		return nil
	}
	if committed, err := s.log.Committed(last + 1); committed {
		code := int16(0)
		if err != nil {
			code = s.c.writeCode(w, err)
		}
		g.Written(now, w, code, first, out)
		return nil
	}
	g.Uncommitted(w)
	return &commit{s: s, g: g, w: w, first: first, last: last}
}

// append puts the batches of a write into the log; without one the offsets are -1.
func (s *shard) append(group string, w *fsm.Write, now int64) (first, last int64, err error) {
	first, last = -1, -1
	err = s.c.encode(&s.enc, group, w, now, func(batch []byte) error {
		at, end, err := s.log.Append(batch, s.c.opt.Acks, time.UnixMilli(now))
		if err != nil {
			return err
		}
		if first < 0 {
			first = at
		}
		last = end
		return nil
	})
	return first, last, err
}

// outs spares an Out its slices: it is not needed any more when after.run is over.
var outs = sync.Pool{New: func() any { return new(fsm.Out) }}

func takeOut() *fsm.Out { return outs.Get().(*fsm.Out) }

func giveOut(out *fsm.Out) {
	out.Reset()
	outs.Put(out)
}

// event runs f for a group of the shard.
func (s *shard) event(g *fsm.Group, f func(now int64, out *fsm.Out)) {
	out, now := takeOut(), nowMillis()
	s.mu.Lock()
	f(now, out)
	s.leave(g, now, out)
	giveOut(out)
}

// commit is a write that is in the log and not committed yet.
type commit struct {
	s           *shard
	g           *fsm.Group
	w           *fsm.Write
	first, last int64
	cancel      func() bool
	timer       *led.Timer // guarded, as over is, by the shard's lock
	over        bool
}

func (c *commit) wait() {
	cancel := c.s.log.WhenCommitted(c.last+1, c.done)
	if cancel == nil {
		return
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.cancel = cancel; !c.over {
		c.timer = c.s.c.timers.Set(nowMillis()+c.s.c.opt.CommitTimeout.Milliseconds(), c.timedOut)
	}
}

func (c *commit) done(err error) {
	code := int16(0)
	if err != nil {
		code = c.s.c.writeCode(c.w, err)
	}
	c.end(code)
}

func (c *commit) end(code int16) {
	c.s.event(c.g, func(now int64, out *fsm.Out) {
		if !c.over {
			c.over = true
			c.s.c.timers.Stop(c.timer)
			c.g.Written(now, c.w, code, c.first, out)
		}
	})
}

// timedOut is called when a commit takes too long.
func (c *commit) timedOut() {
	if !c.cancel() {
		return
	}
	code := kerr.RequestTimedOut.Code
	if c.w.Group != nil {
		code = kerr.RebalanceInProgress.Code
	}
	c.end(code)
}

// writeCode is what clients are told about a write that failed.
func (c *Coordinator) writeCode(w *fsm.Write, err error) int16 {
	code := c.opt.ErrorCode(err)
	switch code {
	case kerr.UnknownTopicOrPartition.Code, kerr.NotEnoughReplicas.Code, kerr.NotEnoughReplicasAfterAppend.Code:
		return kerr.CoordinatorNotAvailable.Code
	case kerr.NotLeaderForPartition.Code, kerr.KafkaStorageError.Code:
		return kerr.NotCoordinator.Code
	case kerr.MessageTooLarge.Code, kerr.RecordListTooLarge.Code, kerr.InvalidFetchSize.Code:
		if w.Group != nil {
			return kerr.UnknownServerError.Code
		}
		return kerr.InvalidCommitOffsetSize.Code
	}
	return code
}

// Unload ends the service of the shard.
func (s *shard) Unload() {
	now := nowMillis()
	var all after
	s.mu.Lock()
	groups, offsets := len(s.groups), 0
	for _, g := range s.groups {
		var out fsm.Out
		offsets += len(g.Offsets())
		g.Unload(now, &out)
		all.replies = append(all.replies, out.Replies...)
	}
	loaded := s.mu.Loaded
	s.mu.Gone, s.groups = true, nil
	s.mu.Unlock()
	all.run()
	if loaded {
		s.c.opt.Log.Infof("Finished unloading __consumer_offsets-%d. Removed %d cached offsets and %d cached groups.", s.id, offsets, groups)
	}
}

// list is the shard's groups as of now.
func (s *shard) list() []*fsm.Group {
	if s.mu.Enter() != 0 {
		return nil
	}
	defer s.mu.Unlock()
	out := make([]*fsm.Group, 0, len(s.groups))
	for _, g := range s.groups {
		out = append(out, g)
	}
	return out
}

// expire removes what has expired, a group at a time so that requests are served in between.
func (s *shard) expire(ctx context.Context) {
	for _, g := range s.list() {
		if ctx.Err() != nil {
			return
		}
		s.event(g, g.Expire)
	}
}
