package core

import "slices"

// deletion is a topic's deletion under way.
type deletion struct {
	announced bool             // brokers know that the topic has no leaders any more
	asked     map[replica]bool // told to delete, no answer yet
	deleted   map[replica]bool
	failed    map[replica]bool // answered with an error; tried again when a broker comes back or the deletion is asked for anew
	removing  bool             // the znodes
}

type replica struct {
	tp     TP
	broker int32
}

func (s *State) deletionsChanged(b *batch, topics []string) {
	s.markDeletions(b, topics)
	s.resumeDeletions(b)
}

func (s *State) markDeletions(b *batch, topics []string) {
	for _, name := range topics {
		t := s.topics[name]
		switch {
		case t == nil:
			b.note("the deletion of topic %s is asked for, which does not exist: the request is cleared", name)
			b.writes = append(b.writes, Write{Kind: ClearDeletion, TP: TP{Topic: name}})
		case !s.cfg.DeleteTopics:
			b.note("the deletion of topic %s is asked for, but delete.topic.enable=false: the request is cleared", name)
			b.writes = append(b.writes, Write{Kind: ClearDeletion, TP: TP{Topic: name}})
		case t.deletion == nil:
			b.note("topic %s is being deleted", name)
			t.deletion = &deletion{asked: map[replica]bool{}, deleted: map[replica]bool{}, failed: map[replica]bool{}}
			for _, p := range t.sorted() {
				s.abandonMoves(b, p)
			}
		}
	}
}

// resumeDeletions tries every deletion anew, those that failed included.
func (s *State) resumeDeletions(b *batch) {
	for _, name := range sortedKeys(s.topics) {
		if t := s.topics[name]; t.deletion != nil {
			clear(t.deletion.failed)
			s.resumeDeletion(b, t)
		}
	}
}

// resumeDeletion takes the next steps of one deletion: writes under way first return, then the brokers learn that there is no leader
// any more, the replicas that can be reached are deleted, and when all are, the znodes.
func (s *State) resumeDeletion(b *batch, t *topic) {
	d := t.deletion
	for _, p := range t.partitions {
		if p.writing != nil || p.assigning {
			return
		}
	}
	ps := t.sorted()
	if !d.announced {
		d.announced = true
		for _, p := range ps {
			if p.exists {
				b.deleted(p)
			}
		}
	}
	left := 0
	for _, p := range ps {
		for _, id := range s.everywhere(p) {
			r := replica{p.tp, id}
			if d.deleted[r] {
				continue
			}
			left++
			if _, alive := s.brokers[id]; alive && !d.asked[r] && !d.failed[r] {
				d.asked[r] = true
				b.stop(id, StopPartition{TP: p.tp, LeaderEpoch: epochDuringDelete, Delete: true})
			}
		}
	}
	if left == 0 && !d.removing {
		d.removing = true
		b.writes = append(b.writes, Write{Kind: DeleteTopic, TP: TP{Topic: t.name}})
	}
}

// replicasWent forgets what brokers that are gone were asked: they are asked again when they come back.
func (s *State) replicasWent(brokers []int32) {
	for _, t := range s.topics {
		if t.deletion == nil {
			continue
		}
		for r := range t.deletion.asked {
			if contains(brokers, r.broker) {
				delete(t.deletion.asked, r)
			}
		}
	}
}

func (s *State) stopReplicaAnswered(b *batch, ev StopReplicaAnswered) {
	br, ok := s.brokers[ev.Broker]
	if !ok || br.Epoch != ev.Epoch {
		return
	}
	touched := map[string]*topic{}
	failed := map[string]int16{}
	for tp, code := range ev.Errors {
		t := s.topics[tp.Topic]
		r := replica{tp, ev.Broker}
		if t == nil || t.deletion == nil || !t.deletion.asked[r] {
			continue
		}
		delete(t.deletion.asked, r)
		touched[tp.Topic] = t
		if code == 0 {
			t.deletion.deleted[r] = true
		} else {
			t.deletion.failed[r] = true
			failed[tp.Topic] = code
		}
	}
	for _, name := range sortedKeys(touched) {
		if code, bad := failed[name]; bad {
			b.warn("broker %d cannot delete replicas of topic %s (error code %d): the deletion waits", ev.Broker, name, code)
		}
		s.resumeDeletion(b, touched[name])
	}
}

func (s *State) topicDeleted(b *batch, r Result) {
	t := s.topics[r.Write.TP.Topic]
	if t == nil || t.deletion == nil {
		return
	}
	if r.Outcome != Done {
		t.deletion.removing = false
		b.warn("the znodes of topic %s cannot be removed: %s", t.name, r.Err)
		return
	}
	delete(s.topics, t.name)
	b.note("topic %s is deleted", t.name)
}

// everywhere are the replicas of a partition, and those on live brokers that are to be deleted because it has moved: a broker that is away
// for ever must not keep a topic that it has no part in.
func (s *State) everywhere(p *partition) []int32 {
	return append(slices.Clone(p.assignment.Replicas), filter(p.doomed, func(r int32) bool {
		_, alive := s.brokers[r]
		return alive && !contains(p.assignment.Replicas, r)
	})...)
}
