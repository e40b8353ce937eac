package core

import "slices"

// Error codes of answers (org.apache.kafka.common.protocol.Errors).
const (
	codeNone               int16 = 0
	codeUnknownPartition   int16 = 3
	codeNotAvailable       int16 = 8
	codeInvalidRequest     int16 = 42
	codeFencedLeaderEpoch  int16 = 74
	codeStaleBrokerEpoch   int16 = 77
	codeInvalidVersion     int16 = 95
	codeUnknownServerError int16 = -1
)

// anyEpoch in a StopReplica request is not compared with the replica's.
const anyEpoch int32 = -1

type (
	// AlterIsr is a leader's wish to change the in-sync replicas of partitions. It is answered when all are written or refused.
	AlterIsr struct {
		Ref     uint64
		Broker  int32
		Epoch   int64 // of the broker
		Changes []IsrChange
	}
	// ControlledShutdown is a broker's wish to stop: its leaderships go to others, and it leaves the in-sync replicas. It is answered when
	// that is written.
	ControlledShutdown struct {
		Ref    uint64
		Broker int32
		Epoch  int64 // of the broker, -1 if it does not say
	}
)

func (AlterIsr) event()           {}
func (ControlledShutdown) event() {}

// IsrChange is one partition of AlterIsr. Version is that of the znode that is to be replaced.
type IsrChange struct {
	TP          TP
	LeaderEpoch int32
	ISR         []int32
	Version     int32
}

// Answer ends an ask. Code is of the whole request.
type Answer struct {
	Ref        uint64
	Code       int16
	Partitions []PartitionAnswer
}

// PartitionAnswer is one partition of an answer: of AlterIsr what stands now, of ControlledShutdown what the broker leads still, of ListMoves
// what is being moved.
type PartitionAnswer struct {
	TP         TP
	Code       int16
	Text       string // more about the code, if there is something to say
	Leadership Leadership
	Assignment Assignment
}

// ask is an event that waits for writes.
type ask struct {
	left   int
	answer Answer
	// finish completes the answer when nothing is left.
	finish func(*ask)
}

// alteration is one partition of an AlterIsr.
type alteration struct {
	ask    *ask
	change IsrChange
}

func (b *batch) ended(a *ask) {
	if a.finish != nil {
		a.finish(a)
	}
	if a.answer.Ref == 0 {
		return // nobody waits
	}
	delete(b.s.asks, a.answer.Ref)
	b.answers = append(b.answers, a.answer)
}

func (b *batch) refused(ref uint64, code int16) {
	b.answers = append(b.answers, Answer{Ref: ref, Code: code})
}

func (s *State) alterIsr(b *batch, ev AlterIsr) {
	if br, ok := s.brokers[ev.Broker]; !ok || br.Epoch != ev.Epoch {
		b.note("AlterIsr of broker %d with epoch %d is refused: it is not registered under it", ev.Broker, ev.Epoch)
		b.refused(ev.Ref, codeStaleBrokerEpoch)
		return
	}
	a := &ask{answer: Answer{Ref: ev.Ref}, left: len(ev.Changes) + 1}
	s.asks[ev.Ref] = a
	for _, c := range ev.Changes {
		s.alter(b, &alteration{a, c})
	}
	s.done(b, a)
}

// done counts one part of an ask as done.
func (s *State) done(b *batch, a *ask) {
	if a.left--; a.left == 0 {
		b.ended(a)
	}
}

func (s *State) altered(b *batch, al *alteration, code int16, stands Leadership) {
	al.ask.answer.Partitions = append(al.ask.answer.Partitions, PartitionAnswer{TP: al.change.TP, Code: code, Leadership: stands})
	s.done(b, al.ask)
}

// alter plans the write of one change, refuses it, or lets it wait for the write under way.
func (s *State) alter(b *batch, al *alteration) {
	c := &al.change
	p := s.partition(c.TP)
	switch {
	case p == nil || !p.exists || s.topics[c.TP.Topic].deletion != nil:
		s.altered(b, al, codeUnknownPartition, Leadership{})
	case p.writing != nil:
		p.alters = append(p.alters, al)
	case c.LeaderEpoch < p.stands.LeaderEpoch:
		s.altered(b, al, codeFencedLeaderEpoch, p.stands)
	case c.LeaderEpoch > p.stands.LeaderEpoch || !lawfulISR(c.ISR, p):
		s.altered(b, al, codeInvalidRequest, p.stands)
	case c.Version < p.stands.Version && equal(c.ISR, p.stands.ISR): // as it was asked for before, and the answer was lost
		s.altered(b, al, codeNone, p.stands)
	case c.Version < p.stands.Version:
		s.altered(b, al, codeInvalidVersion, p.stands)
	default:
		// If the leader knows of a later version, this write conflicts, and what stands is read.
		to := p.stands
		to.ISR, to.ControllerEpoch = slices.Clone(c.ISR), s.epoch
		w := Write{Kind: SetState, TP: p.tp, To: to, From: c.Version}
		p.writing, p.altering = &w, al
		b.writes = append(b.writes, w)
	}
}

// lawfulISR: replicas that the partition keeps, each once, the leader among them.
func lawfulISR(isr []int32, p *partition) bool {
	for i, id := range isr {
		if contains(isr[:i], id) || !contains(p.candidates().Replicas, id) {
			return false
		}
	}
	return contains(isr, p.stands.Leader)
}

// asked goes on with whoever waited for the write that returned.
func (s *State) asked(b *batch, p *partition, r Result) {
	if al := p.altering; al != nil {
		p.altering = nil
		switch r.Outcome {
		case Done:
			s.altered(b, al, codeNone, p.stands)
		case Conflict:
			s.altered(b, al, codeInvalidVersion, p.stands)
		case Failed:
			s.altered(b, al, codeUnknownServerError, p.stands)
		}
	}
	if p.writing != nil {
		return // the next write is under way already
	}
	waiting := p.alters
	p.alters = nil
	for _, al := range waiting {
		s.alter(b, al)
	}
	awaited := p.awaited
	p.awaited = nil
	for _, a := range awaited {
		s.done(b, a)
	}
}

func (s *State) leavingOf(p *partition) []int32 {
	if len(s.leaving) == 0 {
		return nil
	}
	return filter(p.assignment.Replicas, func(r int32) bool { return s.leaving[r] })
}

// tellRoles tells the live replicas their roles. Those that are about to stop and do not lead are told to stop instead: they would only
// get in sync again.
func (s *State) tellRoles(b *batch, p *partition, fresh bool) {
	stops := filter(s.leavingOf(p), func(r int32) bool { return r != p.stands.Leader })
	b.roles(p, filter(s.live(p), func(r int32) bool { return !contains(stops, r) }), fresh)
	for _, id := range stops {
		b.stop(id, StopPartition{TP: p.tp, LeaderEpoch: p.stands.LeaderEpoch})
	}
}

func (s *State) controlledShutdown(b *batch, ev ControlledShutdown) {
	br, ok := s.brokers[ev.Broker]
	switch {
	case !ok:
		b.refused(ev.Ref, codeNotAvailable)
		return
	case ev.Epoch >= 0 && ev.Epoch < br.Epoch:
		b.note("controlled shutdown of broker %d with epoch %d is refused: its present one is %d", ev.Broker, ev.Epoch, br.Epoch)
		b.refused(ev.Ref, codeStaleBrokerEpoch)
		return
	}
	b.note("shutting down broker %d", ev.Broker)
	s.leaving[ev.Broker] = true
	a := &ask{answer: Answer{Ref: ev.Ref}, left: 1}
	s.asks[ev.Ref] = a
	a.finish = func(a *ask) {
		s.eachOn(func(p *partition) {
			if p.exists && p.stands.Leader == ev.Broker && len(p.assignment.Replicas) > 1 {
				a.answer.Partitions = append(a.answer.Partitions, PartitionAnswer{TP: p.tp, Leadership: p.stands})
			}
		})
	}
	s.eachOn(func(p *partition) {
		if !p.exists || len(p.assignment.Replicas) < 2 || !contains(p.assignment.Replicas, ev.Broker) {
			return
		}
		if p.stands.Leader != ev.Broker && !contains(p.stands.ISR, ev.Broker) {
			b.stop(ev.Broker, StopPartition{TP: p.tp, LeaderEpoch: anyEpoch}) // nothing is written, so there is no newer epoch
		}
		s.settle(b, p)
		if p.writing != nil {
			a.left++
			p.awaited = append(p.awaited, a)
		}
	})
	s.done(b, a)
}

// Unanswered lists who waits still: nobody answers them when the term ends.
func (s *State) Unanswered() []uint64 { return sortedKeys(s.asks) }

// abandon ends the waiting for a partition that is gone.
func (s *State) abandon(b *batch, p *partition) {
	alters := p.alters
	if p.altering != nil {
		alters = append(alters, p.altering)
	}
	awaited := p.awaited
	p.altering, p.alters, p.awaited = nil, nil, nil
	p.assigning = false
	s.abandonMoves(b, p)
	for _, al := range alters {
		s.altered(b, al, codeUnknownPartition, Leadership{})
	}
	for _, a := range awaited {
		s.done(b, a)
	}
}

// abandonMoves ends the moves of a partition that is being deleted, but for an assignment that is being written.
func (s *State) abandonMoves(b *batch, p *partition) {
	moves := p.moves
	p.moves = nil
	if p.next != nil && !p.assigning {
		if p.moved != nil {
			moves = append(moves, *p.moved)
		}
		p.next, p.moved, p.raised = nil, nil, false
	}
	for _, t := range moves {
		s.moveAnswered(b, t, codeUnknownPartition)
	}
}
