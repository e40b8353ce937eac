package core

// choose computes what a partition's leadership should be. online says who can serve; replicas that bounced were away for a
// moment: they lose their place as any that failed, but may be chosen again when nobody else can. Those leaving are about to stop: they
// keep their place only when nobody else is in sync. It returns false when nothing is to change.
func choose(now Leadership, exists bool, a Assignment, online func(int32) bool, bounced, leaving []int32, unclean, preferred bool) (Leadership, bool) {
	stays := func(r int32) bool { return online(r) && !contains(leaving, r) }
	if !exists {
		isr := filter(a.Replicas, stays)
		if len(isr) == 0 {
			return now, false
		}
		return Leadership{Leader: isr[0], ISR: isr}, true
	}
	next := now
	next.ISR = filter(now.ISR, func(r int32) bool { return online(r) && !contains(bounced, r) && contains(a.Replicas, r) })
	if rest := filter(next.ISR, stays); len(rest) > 0 {
		next.ISR = rest
	}
	next.LeaderEpoch++
	switch {
	case now.Leader >= 0 && contains(next.ISR, now.Leader):
		if preferred && len(a.Replicas) > 0 && contains(next.ISR, a.Replicas[0]) {
			next.Leader = a.Replicas[0]
		}
	case len(next.ISR) > 0:
		next.Leader = firstOf(a.Replicas, next.ISR)
	default:
		next.Leader = NoLeader
		next.ISR = now.ISR // the last ones in sync: only they may lead again
		if back := filter(now.ISR, func(r int32) bool { return online(r) && contains(a.Replicas, r) }); len(back) > 0 {
			next.Leader, next.ISR = firstOf(a.Replicas, back), back
		} else if up := filter(a.Replicas, stays); unclean && len(up) > 0 {
			next.Leader, next.ISR = up[0], up[:1]
		}
	}
	if next.Leader == now.Leader && equal(next.ISR, now.ISR) && !contains(bounced, now.Leader) {
		return now, false
	}
	return next, true
}

// firstOf is the first of replicas that is in set, -1 when none is.
func firstOf(replicas, set []int32) int32 {
	for _, r := range replicas {
		if contains(set, r) {
			return r
		}
	}
	return -1
}

func filter(s []int32, ok func(int32) bool) []int32 {
	var out []int32
	for _, n := range s {
		if ok(n) {
			out = append(out, n)
		}
	}
	return out
}

// settle plans the write that brings p's leadership to what it should be, unless one is under way or the topic is being deleted.
func (s *State) settle(b *batch, p *partition) {
	t := s.topics[p.tp.Topic]
	if t == nil || t.deletion != nil {
		return
	}
	if p.writing != nil {
		p.again = true
		return
	}
	unclean := s.cfg.Unclean
	if t.unclean != nil {
		unclean = *t.unclean
	}
	unclean = unclean || p.anyone
	online := func(r int32) bool { return s.online(p, r) }
	next, change := choose(p.stands, p.exists, p.candidates(), online, p.bounced, s.leavingOf(p), unclean, p.preferred)
	p.bounced, p.preferred, p.anyone, p.again = nil, false, false, false
	if !change && p.force && p.exists {
		next, change = p.stands, true
		next.LeaderEpoch++
	}
	if !change {
		if !p.exists || p.stands.Leader == NoLeader {
			b.unled++
		}
		return
	}
	if p.exists && next.Leader >= 0 && !contains(p.stands.ISR, next.Leader) {
		b.unclean++
	}
	next.ControllerEpoch = s.epoch
	w := Write{Kind: SetState, TP: p.tp, To: next, From: p.stands.Version}
	if !p.exists {
		w.Kind, w.From = CreateState, 0
	}
	p.writing, p.forced, p.force = &w, p.force, false
	b.writes = append(b.writes, w)
}

// written takes in the result of a write.
func (s *State) written(b *batch, r Result) {
	switch r.Write.Kind {
	case DeleteTopic:
		s.topicDeleted(b, r)
		return
	case ClearDeletion:
		if r.Outcome == Failed {
			b.warn("the request for the deletion of topic %s cannot be cleared: %s", r.Write.TP.Topic, r.Err)
		}
		return
	case SetAssignments:
		s.assigned(b, r)
		return
	case ClearMoves:
		if r.Outcome == Failed {
			b.warn("what was moved cannot be removed from the wishes to move: %s", r.Err)
		}
		return
	}
	p := s.partition(r.Write.TP)
	if p == nil || p.writing == nil || !p.writing.To.sameContent(r.Write.To) {
		return // the topic is gone, or it was another controller's term
	}
	p.writing = nil
	p.force = p.force || p.forced && r.Outcome != Done
	p.forced = false
	defer s.asked(b, p, r)
	created := !p.exists
	switch r.Outcome {
	case Done:
		p.stands, p.exists = r.Write.To, true
		p.stands.Version = r.Version
	case Conflict:
		if !s.adopt(b, p, r) {
			return
		}
		created = false
	case Failed:
		b.warn("partition %s: %s: %s", p.tp, r.Write, r.Err)
		if p.altering == nil {
			s.stepFailed(b, p, r.Err)
			return
		}
		if p.again {
			s.settle(b, p)
		}
		s.advance(b, p)
		return
	}
	t := s.topics[p.tp.Topic]
	if t.deletion != nil {
		s.resumeDeletion(b, t)
		return
	}
	p.raised = p.raised || r.Outcome == Done && p.raises()
	switch {
	case p.raised: // it is told with the assignment that is written next
	case p.altering == nil || r.Outcome == Conflict || p.again:
		s.tellRoles(b, p, created)
	default:
		b.metadata(p) // its leader has asked for it, and nobody came meanwhile: the followers need not know
	}
	if p.altering == nil && r.Outcome == Done && !p.raised {
		s.stopDoomed(b, p)
	}
	if p.again || p.force || r.Outcome == Conflict || p.altering != nil {
		s.settle(b, p)
	}
	s.advance(b, p)
	s.maybeArrived(b, p)
}

// adopt takes in what stands in ZooKeeper in place of what was to be written. It may be that very write, whose answer was lost.
func (s *State) adopt(b *batch, p *partition, r Result) bool {
	if r.Found == nil {
		if r.Write.Kind == SetState {
			p.exists = false // its znode was removed by hand: it is made anew
			b.warn("the state of partition %s is gone from ZooKeeper", p.tp)
			s.settle(b, p)
		} else {
			b.warn("the znodes of topic %s are gone: partition %s is not made", p.tp.Topic, p.tp)
		}
		return false
	}
	if r.Found.ControllerEpoch > s.epoch {
		b.warn("partition %s was written by a controller of epoch %d, later than this one's %d", p.tp, r.Found.ControllerEpoch, s.epoch)
		return false
	}
	p.stands, p.exists = *r.Found, true
	return true
}

// statesRead takes in what leaders wrote, and tells everybody.
func (s *State) statesRead(b *batch, states map[TP]Leadership) {
	tps := make([]TP, 0, len(states))
	for tp := range states {
		tps = append(tps, tp)
	}
	sortTPs(tps)
	for _, tp := range tps {
		p := s.partition(tp)
		if p == nil || !p.exists || p.writing != nil || states[tp].Version <= p.stands.Version {
			continue
		}
		p.stands = states[tp]
		b.metadata(p)
		s.maybeArrived(b, p)
	}
}

// leaderAndIsrAnswered notes which replicas are in failed log directories.
func (s *State) leaderAndIsrAnswered(b *batch, ev LeaderAndIsrAnswered) {
	const kafkaStorageError = 56
	br, ok := s.brokers[ev.Broker]
	if !ok || br.Epoch != ev.Epoch {
		return
	}
	tps := make([]TP, 0, len(ev.Errors))
	for tp := range ev.Errors {
		tps = append(tps, tp)
	}
	sortTPs(tps)
	failed := 0
	for _, tp := range tps {
		p := s.partition(tp)
		if p == nil {
			continue
		}
		was := contains(p.offline, ev.Broker)
		is := ev.Errors[tp] == kafkaStorageError
		if is {
			failed++
		}
		switch {
		case is && !was:
			p.offline = append(p.offline, ev.Broker)
			b.metadata(p)
			s.settle(b, p)
		case was && ev.Errors[tp] == 0:
			p.offline = filter(p.offline, func(r int32) bool { return r != ev.Broker })
			b.metadata(p)
			s.settle(b, p)
		}
	}
	if failed > 0 {
		b.warn("broker %d has %d replicas in failed log directories", ev.Broker, failed)
	}
}

// logDirFailed asks the broker about each of its replicas by telling it their roles again.
func (s *State) logDirFailed(b *batch, broker int32) {
	if _, ok := s.brokers[broker]; !ok {
		return
	}
	s.eachOn(func(p *partition) {
		if p.exists && !p.raised && contains(p.assignment.Replicas, broker) { // else its role is about to come
			b.roles(p, []int32{broker}, false)
		}
	})
}

// eachOn calls f for every partition of topics that are not being deleted, in order.
func (s *State) eachOn(f func(*partition)) {
	for _, name := range sortedKeys(s.topics) {
		if t := s.topics[name]; t.deletion == nil {
			for _, p := range t.sorted() {
				f(p)
			}
		}
	}
}
