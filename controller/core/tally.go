package core

// Tally counts what a cluster has, and what is wrong with it.
type Tally struct {
	Topics, Partitions, Offline int
	// Imbalanced partitions are not led by their preferred leader.
	Imbalanced int
	// Topics and replicas whose deletion is asked for, and those of them that cannot be deleted for now.
	DeletingTopics, DeletingReplicas int
	StuckTopics, StuckReplicas       int
}

// Tally looks at every partition.
func (s *State) Tally() Tally {
	var t Tally
	t.Topics, t.Partitions, t.Offline = s.Counts()
	for _, topic := range s.topics {
		d := topic.deletion
		if d == nil {
			for _, p := range topic.partitions {
				if p.exists && len(p.assignment.Replicas) > 0 && p.stands.Leader != p.assignment.Replicas[0] {
					t.Imbalanced++
				}
			}
			continue
		}
		t.DeletingTopics++
		stuck := 0
		for _, p := range topic.partitions {
			for _, id := range p.assignment.Replicas {
				r := replica{p.tp, id}
				if d.deleted[r] {
					continue
				}
				t.DeletingReplicas++
				if _, alive := s.brokers[id]; !alive || d.failed[r] {
					stuck++
				}
			}
		}
		if t.StuckReplicas += stuck; stuck > 0 {
			t.StuckTopics++
		}
	}
	return t
}
