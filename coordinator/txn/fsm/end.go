package fsm

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// check is what every request of a producer has to pass.
func (t *Txn) check(p Producer) int16 {
	switch {
	case t.state == Dead:
		return kerr.NotCoordinator.Code
	case t.producer != p.ID:
		return kerr.InvalidProducerIDMapping.Code
	case t.epoch != p.Epoch:
		return kerr.ProducerFenced.Code
	case t.pending:
		return kerr.ConcurrentTransactions.Code
	}
	return 0
}

// AddPartitions takes an AddPartitionsToTxn request, or an AddOffsetsToTxn request with the partition of the group. The first one begins
// the transaction.
func (t *Txn) AddPartitions(now int64, p Producer, parts []TP, w Waiter, out *Out) {
	code := t.check(p)
	if code == kerr.ConcurrentTransactions.Code && t.hold(now, w, out, func(now int64, out *Out) { t.AddPartitions(now, p, parts, w, out) }) {
		return
	}
	if code == 0 && (t.state == PrepareCommit || t.state == PrepareAbort) {
		code = kerr.ConcurrentTransactions.Code
	}
	if code != 0 {
		out.reply(failed(w, code))
		return
	}
	c := t.same(Ongoing, now)
	if c.parts = t.with(parts); t.state != Ongoing {
		c.started = now
	}
	t.promise(c, w, out)
}

// promise has a change recorded and then answers that it is in effect. What is asked for again is recorded again: a coordinator that is
// deposed and does not know it yet must not answer out of its memory, since the producer may be in its next transaction by now.
func (t *Txn) promise(c change, w Waiter, out *Out) {
	t.record(c, out, func(_ int64, code int16, out *Out) { out.reply(Reply{To: w, Code: code}) })
	out.Writes[len(out.Writes)-1].waiter = w
}

// with is the transaction's partitions and others.
func (t *Txn) with(parts []TP) []TP {
	all := slices.Clip(t.parts)
	if t.state != Ongoing {
		all = nil
	}
	if len(all)+len(parts) <= 32 {
		for _, tp := range parts {
			if !slices.Contains(all, tp) {
				all = append(all, tp)
			}
		}
		return all
	}
	seen := make(map[TP]struct{}, len(all)+len(parts))
	for _, tp := range all {
		seen[tp] = struct{}{}
	}
	for _, tp := range parts {
		if _, has := seen[tp]; !has {
			seen[tp] = struct{}{}
			all = append(all, tp)
		}
	}
	return all
}

// End takes an EndTxn request.
func (t *Txn) End(now int64, p Producer, commit bool, w Waiter, out *Out) {
	code := t.check(p)
	if code == kerr.ConcurrentTransactions.Code && t.hold(now, w, out, func(now int64, out *Out) { t.End(now, p, commit, w, out) }) {
		return
	}
	if code == 0 {
		switch t.state {
		case Ongoing:
			t.decide(now, commit, out, func(code int16, out *Out) { out.reply(Reply{To: w, Code: code}) }, w)
			return
		case CompleteCommit, CompleteAbort:
			if commit == (t.state == CompleteCommit) {
				t.promise(t.same(t.state, t.updated), w, out)
				return
			}
			code = kerr.InvalidTxnState.Code
		case PrepareCommit, PrepareAbort:
			code = kerr.ConcurrentTransactions.Code
			if commit != (t.state == PrepareCommit) {
				code = kerr.InvalidTxnState.Code
			}
		case Empty, Dead:
			code = kerr.InvalidTxnState.Code
		}
	}
	out.reply(Reply{To: w, Code: code})
}

// TimedOut says whether the transaction has been open for longer than its producer allowed.
func (t *Txn) TimedOut(now int64) bool {
	return !t.pending && t.state == Ongoing && t.started+int64(t.timeout) < now
}

// Abort aborts a transaction that has timed out. Its producer is fenced.
func (t *Txn) Abort(now int64, out *Out) {
	if !t.TimedOut(now) {
		return
	}
	t.fence(now, out, func(code int16, out *Out) {
		if code == 0 {
			out.note("Completed rollback of ongoing transaction for transactionalId %s due to timeout", t.id)
		}
	}, nil)
}

// decide has the decision recorded. done is called when that is so, before any marker is sent: the transaction ends that way from then on,
// whatever happens.
func (t *Txn) decide(now int64, commit bool, out *Out, done func(code int16, out *Out), w Waiter) {
	state := PrepareAbort
	if commit {
		state = PrepareCommit
	}
	t.record(t.same(state, now), out, func(now int64, code int16, out *Out) {
		done(code, out)
		if code == 0 {
			t.complete(now, out)
		}
	})
	out.Writes[len(out.Writes)-1].waiter = w
}

// Start lets a loaded id go on with what its former coordinator had decided.
func (t *Txn) Start(now int64, out *Out) {
	if t.state == PrepareCommit || t.state == PrepareAbort {
		t.complete(now, out)
	}
}

// complete sends the markers of a decision. What comes behind them is settled now.
func (t *Txn) complete(now int64, out *Out) {
	state := CompleteAbort
	if t.state == PrepareCommit {
		state = CompleteCommit
	}
	t.fenceFailed = false
	c := t.same(state, now)
	c.parts = nil
	t.completion, t.pending, t.fenced = &c, true, false
	t.round++
	if len(t.parts) > 0 {
		out.Markers = append(out.Markers, t.markers(t.parts))
	}
	t.finish(out)
}

func (t *Txn) markers(parts []TP) *Markers {
	return &Markers{Producer: t.producer, Epoch: t.epoch, Commit: t.state == PrepareCommit, Parts: slices.Clone(parts), round: t.round}
}

// Current says whether markers that wait to be sent are still wanted.
func (t *Txn) Current(m *Markers) bool { return t.completion != nil && !t.fenced && m.round == t.round }

// Marked tells what came of markers: a code for each of their partitions. Those that may work yet come out again.
func (t *Txn) Marked(m *Markers, codes []int16, out *Out) {
	if !t.Current(m) {
		return
	}
	var again []TP
	done := make(map[TP]struct{}, len(codes))
	for i, tp := range m.Parts {
		switch codes[i] {
		case 0:
			done[tp] = struct{}{}
		case kerr.UnsupportedForMessageFormat.Code, kerr.UnsupportedVersion.Code:
			// No record of the transaction can be in a log that holds no transactions.
			done[tp] = struct{}{}
		case kerr.InvalidProducerEpoch.Code, kerr.TransactionCoordinatorFenced.Code:
			t.fenced = true
			out.note("The marker of %s for %s-%d is refused for ever (%v): a newer coordinator or producer has been there. Its transaction is left to them",
				t.id, tp.Topic, tp.Partition, kerr.ErrorForCode(codes[i]))
		default:
			if slices.Contains(t.parts, tp) { // another attempt may have been better
				again = append(again, tp)
			}
		}
	}
	t.parts = without(t.parts, done)
	if t.fenced {
		return
	}
	if len(again) > 0 {
		r := t.markers(again)
		r.Attempt = m.Attempt + 1
		out.Markers = append(out.Markers, r)
	}
	t.finish(out)
}

func without(parts []TP, gone map[TP]struct{}) []TP {
	var left []TP
	for _, tp := range parts {
		if _, is := gone[tp]; !is {
			left = append(left, tp)
		}
	}
	return left
}

// finish has the completion recorded once every partition has its marker.
func (t *Txn) finish(out *Out) {
	if len(t.parts) > 0 || t.completion == nil {
		return
	}
	c := t.completion
	t.completion = nil
	t.record(*c, out, func(now int64, code int16, out *Out) {
		if code != 0 {
			t.completion, t.pending = c, true
			out.Retry = true
			return
		}
		t.serveHeld(now, out)
	})
}

// Retry tries once more to record a completion.
func (t *Txn) Retry(out *Out) {
	if t.state != Dead && len(t.parts) == 0 {
		t.finish(out)
	}
}

// Expired says whether the id has not been used for so long that it is to be forgotten.
func (t *Txn) Expired(now int64) bool {
	return !t.pending && t.state.over() && t.updated <= now-t.cfg.Expiration
}

// Expire forgets an expired id: with its tombstone recorded it is Dead.
func (t *Txn) Expire(now int64, out *Out) {
	if !t.Expired(now) {
		return
	}
	t.pending = true
	out.Writes = append(out.Writes, &Write{done: func(_ int64, code int16, _ *Out) {
		if t.pending = false; code == 0 {
			t.state = Dead
		}
	}})
}
