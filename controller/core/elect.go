package core

// Codes of elections.
const (
	codePreferredNotAvailable int16 = 80
	codeEligibleNotAvailable  int16 = 83
	codeElectionNotNeeded     int16 = 84
)

type (
	// Elect asks for elections (ElectLeaders): of the preferred leaders, or of any live replica where there is no leader.
	Elect struct {
		Ref        uint64
		Partitions []TP
		// All: every partition, of which those that need no election are not in the answer.
		All     bool
		Unclean bool
	}
	// Balance asks for the preferred leaders of brokers that lead too little: more than Percentage of the partitions they should lead.
	Balance struct{ Percentage int }
)

func (Elect) event()   {}
func (Balance) event() {}

func (s *State) elect(b *batch, ev Elect) {
	a := &ask{answer: Answer{Ref: ev.Ref}, left: 1}
	s.asks[ev.Ref] = a
	tps := ev.Partitions
	if ev.All {
		tps = nil
		s.eachOn(func(p *partition) { tps = append(tps, p.tp) })
	}
	for _, tp := range tps {
		code := s.electOne(b, tp, ev.Unclean, a)
		if code == codeElectionNotNeeded && ev.All {
			continue
		}
		a.answer.Partitions = append(a.answer.Partitions, PartitionAnswer{TP: tp, Code: code})
	}
	s.done(b, a)
}

func (s *State) electOne(b *batch, tp TP, unclean bool, a *ask) int16 {
	p := s.partition(tp)
	if p == nil || !p.exists || s.topics[tp.Topic].deletion != nil {
		return codeUnknownPartition
	}
	led := p.stands.Leader >= 0 && s.online(p, p.stands.Leader)
	preferred := int32(-1)
	if len(p.assignment.Replicas) > 0 {
		preferred = p.assignment.Replicas[0]
	}
	switch {
	case unclean && led, !unclean && p.stands.Leader == preferred:
		return codeElectionNotNeeded
	case !unclean && (!contains(p.stands.ISR, preferred) || !s.online(p, preferred) || s.leaving[preferred]):
		return codePreferredNotAvailable
	}
	p.preferred, p.anyone = !unclean, unclean
	s.settle(b, p)
	if p.writing == nil {
		return codeEligibleNotAvailable
	}
	a.left++
	p.awaited = append(p.awaited, a)
	return codeNone
}

func (s *State) balance(b *batch, percentage int) {
	type load struct{ should, not int }
	loads := map[int32]*load{}
	of := func(id int32) *load {
		if loads[id] == nil {
			loads[id] = &load{}
		}
		return loads[id]
	}
	s.eachOn(func(p *partition) {
		if len(p.assignment.Replicas) == 0 {
			return
		}
		l := of(p.assignment.Replicas[0])
		l.should++
		if p.exists && p.stands.Leader != p.assignment.Replicas[0] {
			l.not++
		}
	})
	n := 0
	s.eachOn(func(p *partition) {
		if len(p.assignment.Replicas) == 0 || !p.exists || p.assignment.Moving() {
			return
		}
		id := p.assignment.Replicas[0]
		if l := loads[id]; l.not*100 <= percentage*l.should || p.stands.Leader == id || s.leaving[id] || !s.online(p, id) || !contains(p.stands.ISR, id) {
			return
		}
		n++
		p.preferred = true
		s.settle(b, p)
	})
	if n > 0 {
		b.note("the preferred leaders of %d partitions are elected: brokers lead less than they should", n)
	}
}
