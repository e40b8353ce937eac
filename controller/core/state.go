package core

import (
	"maps"
	"slices"
)

// Config is what a controller is told once.
type Config struct {
	BrokerID int32
	// DeleteTopics is delete.topic.enable: without it requests for deletions are only cleared.
	DeleteTopics bool
	// Unclean is unclean.leader.election.enable.
	Unclean bool
}

// State is a controller's view of the cluster. The zero value is not usable; see New.
type State struct {
	cfg     Config
	epoch   int32
	brokers map[int32]Broker
	topics  map[string]*topic
	// leaving are the brokers that are about to stop (controlled shutdown).
	leaving map[int32]bool
	asks    map[uint64]*ask
}

type topic struct {
	name       string
	partitions map[int32]*partition
	unclean    *bool
	deletion   *deletion // not nil: its deletion is asked for
}

type partition struct {
	tp         TP
	assignment Assignment
	// stands is the leadership in ZooKeeper, known when exists; before that the partition is new.
	stands Leadership
	exists bool
	// writing is the one write under way.
	writing *Write
	// again: look at it once more when the write returns. bounced holds the brokers that were away meanwhile.
	again   bool
	bounced []int32
	// offline are replicas in failed log directories.
	offline []int32
	// preferred: its preferred leader was asked for.
	preferred bool
	// anyone: an unclean election was asked for. force: the leader epoch is to grow whatever choose says; forced, the write under way does it.
	anyone, force, forced bool
	// next is the assignment on the way, assigning that it is being written, moved the wish it begins to fulfil, moves those that wait.
	next      *Assignment
	assigning bool
	// raised: a leadership was written for next, and nobody is told of it before next is written too. A controller that ends between the two
	// leaves the old assignment under a new epoch, one that ends after both the new one: its successor tells of either as news.
	raised bool
	moved  *Target
	moves  []Target
	// wished: the move stands in /admin/reassign_partitions. doomed are replicas to be deleted.
	wished bool
	doomed []int32
	// altering is the change of the ISR that is being written, alters those that wait until a write returns.
	altering *alteration
	alters   []*alteration
	// awaited are who waits for the next write to return (controlled shutdown).
	awaited []*ask
}

// New returns a State that waits for Elected.
func New(cfg Config) *State {
	return &State{cfg: cfg, brokers: map[int32]Broker{}, topics: map[string]*topic{}, leaving: map[int32]bool{}, asks: map[uint64]*ask{}}
}

// Apply takes in one event and says what to do.
func (s *State) Apply(ev Event) Plan {
	b := &batch{s: s}
	switch ev := ev.(type) {
	case Elected:
		s.elected(b, ev)
	case BrokersChanged:
		s.brokersChanged(b, ev.Brokers)
	case TopicsChanged:
		s.topicsChanged(b, ev)
	case TopicChanged:
		s.topicChanged(b, ev.Topic)
	case DeletionsChanged:
		s.deletionsChanged(b, ev.Topics)
	case WritesDone:
		for _, r := range ev.Results {
			s.written(b, r)
		}
	case LeaderAndIsrAnswered:
		s.leaderAndIsrAnswered(b, ev)
	case StopReplicaAnswered:
		s.stopReplicaAnswered(b, ev)
	case StatesRead:
		s.statesRead(b, ev.States)
	case LogDirFailed:
		s.logDirFailed(b, ev.Broker)
	case ElectPreferred:
		for _, tp := range ev.Partitions {
			if p := s.partition(tp); p != nil {
				p.preferred = true
				s.settle(b, p)
			}
		}
	case AlterIsr:
		s.alterIsr(b, ev)
	case Reassign:
		s.reassign(b, ev)
	case ListMoves:
		s.listMoves(b, ev)
	case Elect:
		s.elect(b, ev)
	case Balance:
		s.balance(b, ev.Percentage)
	case ControlledShutdown:
		s.controlledShutdown(b, ev)
	case DefaultUncleanChanged:
		s.cfg.Unclean = ev.Unclean
		s.eachOn(func(p *partition) { s.settle(b, p) })
	case UncleanChanged:
		if t := s.topics[ev.Topic]; t != nil {
			t.unclean = ev.Unclean
			for _, p := range t.sorted() {
				s.settle(b, p)
			}
		}
	}
	return b.plan()
}

func (s *State) elected(b *batch, ev Elected) {
	s.epoch = ev.Epoch
	s.brokers, s.leaving, s.asks = map[int32]Broker{}, map[int32]bool{}, map[uint64]*ask{}
	s.topics = make(map[string]*topic, len(ev.Topics))
	for _, br := range ev.Brokers {
		s.brokers[br.ID] = br
	}
	b.metadataTo(s.liveIDs()) // who is alive, before any role: brokers need the endpoints of leaders
	b.cut()
	for _, t := range ev.Topics {
		s.add(b, t)
	}
	s.markDeletions(b, ev.Deleting)
	for _, name := range sortedKeys(s.topics) {
		t := s.topics[name]
		if t.deletion != nil {
			continue
		}
		for _, p := range t.sorted() {
			// The former controller may have written the assignment and told nobody: only under a new epoch will its leader hear of it.
			p.force = p.assignment.Moving()
			s.settle(b, p)
			if p.exists {
				b.metadata(p)
			}
			if p.exists && p.writing == nil { // else the roles come with what is being written
				s.tellRoles(b, p, false)
			}
			s.maybeArrived(b, p)
		}
	}
	s.resumeDeletions(b)
}

// add takes in a topic that was not known.
func (s *State) add(b *batch, in Topic) *topic {
	t := &topic{name: in.Name, partitions: make(map[int32]*partition, len(in.Partitions)), unclean: in.Unclean}
	for n, a := range in.Partitions {
		p := &partition{tp: TP{in.Name, n}, assignment: a}
		if l, ok := in.States[n]; ok {
			p.stands, p.exists = l, true
			p.bounced = s.returned(l, in.Written[n])
		}
		t.partitions[n] = p
	}
	s.topics[in.Name] = t
	return t
}

func (s *State) topicsChanged(b *batch, ev TopicsChanged) {
	here := make(map[string]bool, len(ev.Names))
	for _, n := range ev.Names {
		here[n] = true
	}
	for _, name := range sortedKeys(s.topics) {
		if here[name] {
			continue
		}
		if d := s.topics[name].deletion; d == nil || !d.removing { // else it is this controller's own doing
			b.note("topic %s is gone from ZooKeeper", name)
		} else {
			b.note("topic %s is deleted", name)
		}
		gone := s.topics[name].sorted()
		delete(s.topics, name)
		for _, p := range gone {
			s.abandon(b, p)
		}
	}
	for _, in := range ev.New {
		if s.topics[in.Name] != nil {
			continue
		}
		t := s.add(b, in)
		b.note("new topic %s of %d partitions", t.name, len(t.partitions))
		for _, p := range t.sorted() {
			s.settle(b, p)
		}
	}
}

func (s *State) topicChanged(b *batch, in Topic) {
	t := s.topics[in.Name]
	if t == nil {
		return
	}
	var fresh []*partition
	for n, a := range in.Partitions {
		if p := t.partitions[n]; p == nil {
			fresh = append(fresh, &partition{tp: TP{in.Name, n}, assignment: a})
		}
	}
	if len(fresh) == 0 {
		return
	}
	if t.deletion != nil {
		b.warn("topic %s grows while it is being deleted: its new partitions are ignored", t.name)
		return
	}
	slices.SortFunc(fresh, func(a, b *partition) int { return int(a.tp.Partition - b.tp.Partition) })
	b.note("topic %s grows by %d partitions", t.name, len(fresh))
	for _, p := range fresh {
		t.partitions[p.tp.Partition] = p
		s.settle(b, p)
	}
}

// returned are the replicas in sync whose brokers registered after that was written, having lost power before: they were away while there was no
// controller that could see it. They may lack the ends of their logs, and must neither lead on under an epoch that others follow nor count as in
// sync, unless nobody else in sync is there. One whose process alone died lacks nothing, and counts: it may be the only one left, if those who seem
// to have stayed are dead and their sessions are not over yet.
func (s *State) returned(l Leadership, written int64) (out []int32) {
	stayed := false
	for _, id := range l.ISR {
		br, alive := s.brokers[id]
		switch {
		case !alive || written == 0:
		case br.PowerLost && br.Epoch > written:
			out = append(out, id)
		default:
			stayed = true
		}
	}
	if !stayed {
		return nil
	}
	return out
}

// Unknown returns those of names that are not known topics: the caller reads them for TopicsChanged.
func (s *State) Unknown(names []string) []string {
	var out []string
	for _, n := range names {
		if s.topics[n] == nil {
			out = append(out, n)
		}
	}
	return out
}

// Counts tells how many topics, partitions, and partitions without a leader there are.
func (s *State) Counts() (topics, partitions, offline int) {
	for _, t := range s.topics {
		topics++
		for _, p := range t.partitions {
			partitions++
			if t.deletion == nil && (!p.exists || p.stands.Leader < 0 || !s.online(p, p.stands.Leader)) {
				offline++
			}
		}
	}
	return topics, partitions, offline
}

// LeadershipOf is the leadership of a partition as it stands in ZooKeeper.
func (s *State) LeadershipOf(tp TP) (Leadership, bool) {
	p := s.partition(tp)
	if p == nil || !p.exists {
		return Leadership{}, false
	}
	return p.stands, true
}

func (s *State) partition(tp TP) *partition {
	if t := s.topics[tp.Topic]; t != nil {
		return t.partitions[tp.Partition]
	}
	return nil
}

func (s *State) liveIDs() []int32 { return sortedKeys(s.brokers) }

// online says whether a replica can serve: its broker is alive, and its log directory works.
func (s *State) online(p *partition, replica int32) bool {
	_, alive := s.brokers[replica]
	return alive && !contains(p.offline, replica)
}

// live are the replicas whose broker is alive.
func (s *State) live(p *partition) []int32 {
	var out []int32
	for _, r := range p.assignment.Replicas {
		if _, alive := s.brokers[r]; alive {
			out = append(out, r)
		}
	}
	return out
}

func (t *topic) sorted() []*partition {
	out := make([]*partition, 0, len(t.partitions))
	for _, n := range sortedKeys(t.partitions) {
		out = append(out, t.partitions[n])
	}
	return out
}

func sortedKeys[K int32 | uint64 | string, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
