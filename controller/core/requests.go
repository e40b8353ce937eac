package core

import "slices"

// batch gathers what one event leads to, so that each broker gets few requests however many partitions are concerned.
type batch struct {
	s     *State
	notes Plan // only its notes

	writes   []Write
	requests []Request
	answers  []Answer
	// assigns are assignments to write, by topic; clearMoves the wishes that are fulfilled or dropped.
	assigns    map[string]map[int32]Assignment
	clearMoves []TP
	unled      int
	unclean    int

	brokersTo []int32                // the list of brokers
	meta      []*partition           // partitions that everybody hears of
	metaDel   map[TP]bool            // of these, being deleted
	metaFor   map[int32][]*partition // that only some hear of
	seen      map[TP]bool            // in meta
	role      map[int32][]PartitionState
	stops     map[int32][]StopPartition
}

func (b *batch) note(format string, args ...any) { b.notes.note(format, args...) }
func (b *batch) warn(format string, args ...any) { b.notes.warn(format, args...) }

// roles tells brokers their role in p, and everybody who leads it.
func (b *batch) roles(p *partition, brokers []int32, fresh bool) {
	if b.role == nil {
		b.role = map[int32][]PartitionState{}
	}
	for _, id := range brokers {
		b.role[id] = append(b.role[id], PartitionState{TP: p.tp, Leadership: p.stands, Assignment: p.assignment, New: fresh})
	}
	b.metadata(p)
}

func (b *batch) metadata(p *partition) {
	if !p.exists || b.seen[p.tp] {
		return
	}
	if b.seen == nil {
		b.seen = map[TP]bool{}
	}
	b.seen[p.tp] = true
	b.meta = append(b.meta, p)
}

// metadataFor tells only some brokers about p.
func (b *batch) metadataFor(p *partition, brokers []int32) {
	if b.metaFor == nil {
		b.metaFor = map[int32][]*partition{}
	}
	for _, id := range brokers {
		b.metaFor[id] = append(b.metaFor[id], p)
	}
}

// metadataTo tells brokers at least the list of brokers.
func (b *batch) metadataTo(brokers []int32) { b.brokersTo = brokers }

// deleted tells everybody that p has no leader any more.
func (b *batch) deleted(p *partition) {
	if b.metaDel == nil {
		b.metaDel = map[TP]bool{}
	}
	b.metaDel[p.tp] = true
	b.metadata(p)
}

func (b *batch) stop(broker int32, sp StopPartition) {
	if b.stops == nil {
		b.stops = map[int32][]StopPartition{}
	}
	b.stops[broker] = append(b.stops[broker], sp)
}

// cut turns what was gathered so far into requests; what follows comes after them.
func (b *batch) cut() {
	s := b.s
	for _, id := range sortedKeys(b.role) {
		if br, ok := s.brokers[id]; ok {
			b.requests = append(b.requests, Request{Broker: id, BrokerEpoch: br.Epoch, LeaderAndIsr: &LeaderAndIsr{Partitions: b.role[id], Leaders: b.leaders(b.role[id])}})
		}
	}
	b.cutMetadata()
	for _, id := range sortedKeys(b.stops) {
		if br, ok := s.brokers[id]; ok {
			b.requests = append(b.requests, Request{Broker: id, BrokerEpoch: br.Epoch, StopReplica: &StopReplica{Partitions: b.stops[id]}})
		}
	}
	b.brokersTo, b.meta, b.metaDel, b.metaFor, b.seen, b.role, b.stops = nil, nil, nil, nil, nil, nil, nil
}

func (b *batch) cutMetadata() {
	s := b.s
	if len(b.meta) == 0 && len(b.brokersTo) == 0 && len(b.metaFor) == 0 {
		return
	}
	all := &UpdateMetadata{Brokers: make([]Broker, 0, len(s.brokers))}
	for _, id := range s.liveIDs() {
		all.Brokers = append(all.Brokers, s.brokers[id])
	}
	for _, p := range b.meta {
		all.Partitions = append(all.Partitions, b.describe(p))
	}
	for _, id := range s.liveIDs() {
		um := all
		if only := b.metaFor[id]; len(only) > 0 {
			um = &UpdateMetadata{Brokers: all.Brokers, Partitions: slices.Clone(all.Partitions)}
			for _, p := range only {
				if !b.seen[p.tp] {
					um.Partitions = append(um.Partitions, b.describe(p))
				}
			}
		}
		if len(um.Partitions) > 0 || contains(b.brokersTo, id) {
			b.requests = append(b.requests, Request{Broker: id, BrokerEpoch: s.brokers[id].Epoch, UpdateMetadata: um})
		}
	}
}

func (b *batch) describe(p *partition) PartitionMetadata {
	m := PartitionMetadata{TP: p.tp, Leadership: p.stands, Replicas: p.assignment.Replicas}
	if b.metaDel[p.tp] {
		m.Leadership.Leader, m.Leadership.LeaderEpoch = DuringDelete, epochDuringDelete
	}
	m.Offline = filter(p.assignment.Replicas, func(r int32) bool { return !b.s.online(p, r) })
	return m
}

func (b *batch) leaders(ps []PartitionState) []Broker {
	ids := map[int32]bool{}
	for _, p := range ps {
		ids[p.Leadership.Leader] = true
	}
	var out []Broker
	for _, id := range sortedKeys(ids) {
		if br, ok := b.s.brokers[id]; ok {
			out = append(out, br)
		}
	}
	return out
}

// assign plans the write of a partition's assignment.
func (b *batch) assign(p *partition, a Assignment) {
	if b.assigns == nil {
		b.assigns = map[string]map[int32]Assignment{}
	}
	if b.assigns[p.tp.Topic] == nil {
		b.assigns[p.tp.Topic] = map[int32]Assignment{}
	}
	b.assigns[p.tp.Topic][p.tp.Partition] = a
}

func (b *batch) plan() Plan {
	b.cut()
	for _, topic := range sortedKeys(b.assigns) {
		b.writes = append(b.writes, Write{Kind: SetAssignments, TP: TP{Topic: topic}, Assignments: b.assigns[topic]})
	}
	if len(b.clearMoves) > 0 {
		b.writes = append(b.writes, Write{Kind: ClearMoves, Moves: b.clearMoves})
	}
	if b.unled > 0 {
		b.note("%d partitions have no replica that can lead them", b.unled)
	}
	return Plan{Writes: b.writes, Requests: b.requests, Answers: b.answers, Notes: b.notes.Notes, Unclean: b.unclean}
}

func sortTPs(tps []TP) {
	slices.SortFunc(tps, func(a, b TP) int {
		if a.Topic != b.Topic {
			if a.Topic < b.Topic {
				return -1
			}
			return 1
		}
		return int(a.Partition - b.Partition)
	})
}
