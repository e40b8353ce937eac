package core

// brokersChanged compares who is registered with who was. A broker whose epoch changed was away: it is treated as failed and
// come back.
func (s *State) brokersChanged(b *batch, now []Broker) {
	here := make(map[int32]Broker, len(now))
	for _, br := range now {
		here[br.ID] = br
	}
	var came, went, bounced, moved []int32
	for _, id := range s.liveIDs() {
		old := s.brokers[id]
		br, ok := here[id]
		switch {
		case !ok:
			went = append(went, id)
		case br.Epoch != old.Epoch:
			bounced = append(bounced, id)
		case !sameEndpoints(br, old):
			moved = append(moved, id)
		}
	}
	for _, id := range sortedKeys(here) {
		if _, ok := s.brokers[id]; !ok {
			came = append(came, id)
		}
	}
	if len(came)+len(went)+len(bounced)+len(moved) == 0 {
		return
	}
	b.note("brokers now %v; came %v, went %v, bounced %v, changed %v", sortedKeys(here), came, went, bounced, moved)
	s.brokers = here
	for _, id := range append(append([]int32{}, went...), bounced...) {
		delete(s.leaving, id)
	}
	fresh := append(append([]int32{}, came...), bounced...)
	b.metadataTo(s.liveIDs()) // the list of brokers first
	b.cut()
	s.eachOn(func(p *partition) {
		touched := false
		for _, id := range p.assignment.Replicas {
			if contains(fresh, id) || contains(went, id) {
				touched = true
				p.offline = filter(p.offline, func(r int32) bool { return r != id })
			}
			if contains(bounced, id) {
				p.bounced = append(p.bounced, id)
			}
		}
		if p.exists && len(fresh) > 0 {
			b.metadataFor(p, fresh) // who is new knows nothing
		}
		if !touched {
			return
		}
		s.settle(b, p)
		if !p.exists {
			return
		}
		b.metadata(p) // which of its replicas are offline
		if p.writing == nil && !p.raised {
			// Else the roles come with what is being written: a leader that bounced must not lead on under its old epoch.
			b.roles(p, filter(s.live(p), func(r int32) bool { return contains(fresh, r) }), false)
		}
	})
	s.replicasWent(append(append([]int32{}, went...), bounced...))
	s.resumeDeletions(b)
}

func sameEndpoints(a, b Broker) bool {
	if len(a.Endpoints) != len(b.Endpoints) {
		return false
	}
	for i := range a.Endpoints {
		if a.Endpoints[i] != b.Endpoints[i] {
			return false
		}
	}
	return true
}
