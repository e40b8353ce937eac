package core

import (
	"fmt"
	"slices"
	"strings"
)

// More error codes of answers.
const (
	codeInvalidReplicaAssignment int16 = 39
	codeNoReassignment           int16 = 85
)

type (
	// Reassign asks that partitions move to other replicas (KIP-455), or, with nil, that their move be cancelled. It is answered when the
	// moves have begun.
	Reassign struct {
		Ref     uint64 // 0: nobody waits
		Targets []Target
		// Znode: the wish stands in /admin/reassign_partitions, from which a partition is removed when it is fulfilled.
		Znode bool
	}
	// ListMoves asks which partitions are being moved; of nil all.
	ListMoves struct {
		Ref        uint64
		Partitions []TP
	}
)

func (Reassign) event()  {}
func (ListMoves) event() {}

// Target is where a partition is to be. Replicas nil cancels a move.
type Target struct {
	TP       TP
	Replicas []int32
	ask      *ask
	znode    bool
}

// Moving says whether the partition is being moved.
func (a Assignment) Moving() bool { return len(a.Adding)+len(a.Removing) > 0 }

// origin and target are the replicas before and after a move.
func (a Assignment) origin() []int32 { return without(a.Replicas, a.Adding) }
func (a Assignment) target() []int32 { return without(a.Replicas, a.Removing) }

// towards is the assignment that begins a move to target: all replicas, the target's first.
func (a Assignment) towards(target []int32) Assignment {
	origin := a.origin()
	all := slices.Concat(target, without(origin, target))
	return Assignment{Replicas: all, Adding: without(all, origin), Removing: without(all, target)}
}

func (a Assignment) equal(o Assignment) bool {
	return equal(a.Replicas, o.Replicas) && equal(a.Adding, o.Adding) && equal(a.Removing, o.Removing)
}

func without(s, drop []int32) []int32 {
	return filter(s, func(r int32) bool { return !contains(drop, r) })
}

func (s *State) reassign(b *batch, ev Reassign) {
	a := &ask{answer: Answer{Ref: ev.Ref}, left: 1}
	if ev.Ref != 0 {
		s.asks[ev.Ref] = a
	}
	for _, target := range ev.Targets {
		a.left++
		target.ask, target.znode = a, ev.Znode
		s.move(b, target)
	}
	s.done(b, a)
}

// moveAnswered ends one target's part of its ask.
func (s *State) moveAnswered(b *batch, t Target, code int16) { s.moveRefused(b, t, code, "") }

func (s *State) moveRefused(b *batch, t Target, code int16, why string) {
	if t.znode && code != codeNone {
		b.warn("the wish to move %s to %v is dropped, error code %d %s", t.TP, t.Replicas, code, why)
		b.clearMoves = append(b.clearMoves, t.TP)
	}
	t.ask.answer.Partitions = append(t.ask.answer.Partitions, PartitionAnswer{TP: t.TP, Code: code, Text: why})
	s.done(b, t.ask)
}

// move begins one move, after the write of an assignment that is under way.
func (s *State) move(b *batch, t Target) {
	p := s.partition(t.TP)
	if t.Replicas != nil {
		var present Assignment
		if p != nil {
			present = p.assignment
		}
		if why := s.refuseTarget(present, t.Replicas); why != "" {
			s.moveRefused(b, t, codeInvalidReplicaAssignment, why)
			return
		}
	}
	if p == nil || s.topics[t.TP.Topic].deletion != nil {
		s.moveAnswered(b, t, codeUnknownPartition)
		return
	}
	if p.next != nil {
		p.moves = append(p.moves, t)
		return
	}
	target := t.Replicas
	switch {
	case target == nil && !p.assignment.Moving():
		s.moveAnswered(b, t, codeNoReassignment)
		return
	case target == nil:
		target = p.assignment.origin()
	}
	if p.wished && !t.znode {
		b.clearMoves = append(b.clearMoves, p.tp) // the latest wish holds
	}
	p.wished = t.znode
	next := p.assignment.towards(target)
	if next.equal(p.assignment) {
		s.moveAnswered(b, t, codeNone)
		s.maybeArrived(b, p)
		return
	}
	b.note("partition %s is moved from %v to %v", p.tp, p.assignment.Replicas, target)
	s.begin(b, p, next, &t)
}

// begin brings a partition to another assignment: first the leadership goes to replicas that it keeps, then it is written. A
// controller that ends between the two leaves a partition that is led as well as before. What ends a move is written under a leader epoch
// that nobody has heard of; what begins or changes one gets its epoch afterwards, or from the successor, who sees that it is a move.
func (s *State) begin(b *batch, p *partition, next Assignment, t *Target) {
	p.next, p.moved = &next, t
	s.advance(b, p)
}

// advance takes the next step towards p.next, unless a write is under way.
func (s *State) advance(b *batch, p *partition) {
	if p.next == nil || p.assigning || p.writing != nil || s.topics[p.tp.Topic].deletion != nil {
		return
	}
	if len(without(p.stands.ISR, p.next.Replicas)) > 0 {
		if kept := filter(p.stands.ISR, func(r int32) bool { return contains(p.next.Replicas, r) && s.online(p, r) }); len(kept) > 0 {
			s.settle(b, p)
		}
		if p.writing == nil {
			s.giveUp(b, p)
		}
		return
	}
	if p.exists && !p.next.Moving() && !p.raised {
		p.force = true
		s.settle(b, p) // written goes on
		return
	}
	p.assigning = true
	b.assign(p, *p.next)
}

// raises says whether the leadership that was just written is the one under which p.next will be told.
func (p *partition) raises() bool {
	return p.next != nil && !p.next.Moving() && p.altering == nil && len(without(p.stands.ISR, p.next.Replicas)) == 0
}

// giveUp leaves the assignment as it is: nobody who would stay is in sync, so what only the others hold would be lost.
func (s *State) giveUp(b *batch, p *partition) {
	b.warn("partition %s stays at %v: none of %v is in sync", p.tp, p.assignment.Replicas, p.next.Replicas)
	p.force = true // a leader whose wish was refused meanwhile waits for another epoch
	t := p.moved
	why := fmt.Sprintf("None of the replicas %s is in sync.", buffer(p.next.Replicas))
	p.next, p.moved, p.raised = nil, nil, false
	if t != nil {
		s.moveRefused(b, *t, codeInvalidReplicaAssignment, why)
	}
	s.settle(b, p)
	s.nextMoves(b, p)
}

// stepFailed gives up an assignment whose leadership cannot be written. A move goes on with the next event of its partition.
func (s *State) stepFailed(b *batch, p *partition, why string) {
	if p.next == nil || p.assigning {
		return
	}
	t, raised := p.moved, p.raised
	p.next, p.moved, p.raised = nil, nil, false
	if t != nil {
		s.moveRefused(b, *t, codeUnknownServerError, why)
	}
	if raised {
		s.tellRoles(b, p, false)
	}
	s.nextMoves(b, p)
}

// nextMoves begins the moves that waited.
func (s *State) nextMoves(b *batch, p *partition) {
	waiting := p.moves
	p.moves = nil
	for _, t := range waiting {
		s.move(b, t)
	}
}

// refuseTarget says what is wrong with a target: none, a replica twice, a broker that cannot be, or a new one that is not alive. Its
// texts are Kafka's.
func (s *State) refuseTarget(a Assignment, target []int32) string {
	if len(target) == 0 {
		return "Empty replica list specified in partition reassignment."
	}
	for i, id := range target {
		if contains(target[:i], id) {
			return fmt.Sprintf("Duplicate replica ids in partition reassignment replica list: %s", buffer(target))
		}
	}
	for _, id := range target {
		if id < 0 {
			return fmt.Sprintf("Invalid broker id in replica list: %s", buffer(target))
		}
	}
	adding := a.towards(target).Adding
	for _, id := range adding {
		if _, alive := s.brokers[id]; !alive {
			return fmt.Sprintf("Replica assignment has brokers that are not alive. Replica list: %s, live broker list: Set(%s)",
				buffer(adding), commas(s.liveIDs()))
		}
	}
	return ""
}

func commas(ids []int32) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(ids), "[]"), " ", ", ")
}

// buffer writes ids as Scala prints what Kafka has them in.
func buffer(ids []int32) string { return "ArrayBuffer(" + commas(ids) + ")" }

// assigned takes in that assignments were written.
func (s *State) assigned(b *batch, r Result) {
	t := s.topics[r.Write.TP.Topic]
	if t == nil {
		return
	}
	if r.Outcome != Done {
		b.warn("the assignment of topic %s: %s", t.name, r.Err)
	}
	for _, n := range sortedKeys(r.Write.Assignments) {
		p := t.partitions[n]
		if p == nil || !p.assigning {
			continue
		}
		next, moved, raised := *p.next, p.moved, p.raised
		p.next, p.moved, p.assigning, p.raised = nil, nil, false, false
		code := codeNone
		if r.Outcome == Done {
			s.reassigned(b, p, next, raised)
		} else {
			code = codeUnknownServerError
			if raised && t.deletion == nil {
				s.tellRoles(b, p, false) // under the epoch that was raised in vain
			}
		}
		if moved != nil {
			s.moveAnswered(b, *moved, code)
		}
		if r.Outcome == Done {
			s.maybeArrived(b, p)
		}
		s.nextMoves(b, p)
	}
	if t.deletion != nil {
		s.resumeDeletion(b, t)
	}
}

// reassigned takes over an assignment that stands in ZooKeeper: replicas that are no longer meant are stopped and deleted, the others learn of
// it under a new leader epoch, which is raised already or written now.
func (s *State) reassigned(b *batch, p *partition, next Assignment, raised bool) {
	arrived := !next.Moving() && p.assignment.Moving()
	p.doomed = append(without(p.doomed, next.Replicas), without(p.assignment.Replicas, next.Replicas)...)
	p.assignment = next
	if arrived {
		b.note("partition %s has moved to %v", p.tp, next.Replicas)
		if p.wished {
			p.wished = false
			b.clearMoves = append(b.clearMoves, p.tp)
		}
	}
	switch {
	case !raised:
		p.force = true
		s.settle(b, p)
	case s.topics[p.tp.Topic].deletion == nil:
		s.tellRoles(b, p, false)
		s.stopDoomed(b, p)
	}
}

// maybeArrived ends a move when all of its target is in sync: the target becomes the assignment.
func (s *State) maybeArrived(b *batch, p *partition) {
	switch {
	case p.next != nil || !p.exists || p.writing != nil || s.topics[p.tp.Topic].deletion != nil:
	case !p.assignment.Moving():
		if p.wished {
			p.wished = false
			b.clearMoves = append(b.clearMoves, p.tp)
		}
	case len(without(p.assignment.target(), p.stands.ISR)) == 0:
		s.begin(b, p, Assignment{Replicas: p.assignment.target()}, nil)
	}
}

// candidates are the replicas that may be in sync and lead: those that the assignment on the way keeps.
func (p *partition) candidates() Assignment {
	if p.next != nil {
		return *p.next
	}
	return p.assignment
}

// stopDoomed deletes the replicas that are no longer meant, after the leadership without them was written.
func (s *State) stopDoomed(b *batch, p *partition) {
	for _, id := range p.doomed {
		if _, alive := s.brokers[id]; alive {
			b.stop(id, StopPartition{TP: p.tp, LeaderEpoch: p.stands.LeaderEpoch, Delete: true})
		}
	}
	p.doomed = nil
}

func (s *State) listMoves(b *batch, ev ListMoves) {
	a := Answer{Ref: ev.Ref}
	add := func(p *partition) {
		if p != nil && p.assignment.Moving() {
			a.Partitions = append(a.Partitions, PartitionAnswer{TP: p.tp, Assignment: p.assignment})
		}
	}
	if ev.Partitions == nil {
		s.eachOn(add)
	}
	for _, tp := range ev.Partitions {
		add(s.partition(tp))
	}
	b.answers = append(b.answers, a)
}
