package core

import (
	"fmt"
	"strconv"
)

// NoLeader and DuringDelete are the leaders of a partition without one, and of one being deleted.
const (
	NoLeader     int32 = -1
	DuringDelete int32 = -2
)

// epochDuringDelete is the leader epoch that overrides any other in a StopReplica request.
const epochDuringDelete int32 = -2

// TP names a partition.
type TP struct {
	Topic     string
	Partition int32
}

func (tp TP) String() string { return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) }

// Endpoint is a listener of a broker.
type Endpoint struct {
	Listener, Protocol, Host string
	Port                     int32
}

// Broker is a registered broker. Its epoch is new with each registration.
type Broker struct {
	ID        int32
	Epoch     int64
	Rack      *string
	Endpoints []Endpoint
	// PowerLost: before this registration the ends of its logs may have been lost.
	PowerLost bool
}

// Assignment is where a partition's replicas are, the preferred leader first.
type Assignment struct {
	Replicas, Adding, Removing []int32
}

// Leadership is who leads a partition and who is in sync, as it stands in ZooKeeper.
type Leadership struct {
	Leader, LeaderEpoch int32
	ISR                 []int32
	ControllerEpoch     int32
	Version             int32 // of the znode
}

func (l Leadership) String() string {
	return fmt.Sprintf("leader %d epoch %d isr %v", l.Leader, l.LeaderEpoch, l.ISR)
}

// sameContent says whether both would be the same bytes in the znode.
func (l Leadership) sameContent(o Leadership) bool {
	return l.Leader == o.Leader && l.LeaderEpoch == o.LeaderEpoch && l.ControllerEpoch == o.ControllerEpoch && equal(l.ISR, o.ISR)
}

// Topic is a topic as ZooKeeper has it.
type Topic struct {
	Name       string
	Partitions map[int32]Assignment
	// States are the leaderships that exist; only Elected needs them.
	States map[int32]Leadership
	// Written says when each of States was written, on the scale of brokers' epochs (both are zxids); 0 if it is not known.
	Written map[int32]int64
	// Unclean is unclean.leader.election.enable of the topic, nil for the default.
	Unclean *bool
}

// Event is something that happened. Apply takes one at a time.
type Event interface{ event() }

type (
	// Elected starts a controller: everything as it stands in ZooKeeper. It replaces all that was known.
	Elected struct {
		Epoch    int32
		Brokers  []Broker
		Topics   []Topic
		Deleting []string
	}
	// BrokersChanged lists all brokers that are registered now.
	BrokersChanged struct{ Brokers []Broker }
	// TopicsChanged lists all topics that exist now, and those in full that were not known.
	TopicsChanged struct {
		Names []string
		New   []Topic
	}
	// TopicChanged is a topic's assignment, read again.
	TopicChanged struct{ Topic Topic }
	// DeletionsChanged lists the topics whose deletion is asked for.
	DeletionsChanged struct{ Topics []string }
	// WritesDone brings the results of writes of earlier plans.
	WritesDone struct{ Results []Result }
	// LeaderAndIsrAnswered is a broker's answer to a LeaderAndIsr request: the error code of each partition.
	LeaderAndIsrAnswered struct {
		Broker int32
		Epoch  int64
		Errors map[TP]int16
	}
	// StopReplicaAnswered is a broker's answer to a StopReplica request, about the replicas that it was to delete: who was only to stop a
	// replica has not deleted it.
	StopReplicaAnswered struct {
		Broker int32
		Epoch  int64
		Errors map[TP]int16
	}
	// StatesRead brings leaderships that leaders changed themselves (/isr_change_notification).
	StatesRead struct{ States map[TP]Leadership }
	// LogDirFailed: a log directory of the broker failed; which of its replicas were there its answers will tell.
	LogDirFailed struct{ Broker int32 }
	// ElectPreferred asks for the preferred leaders of partitions.
	ElectPreferred struct{ Partitions []TP }
	// UncleanChanged: unclean.leader.election.enable of a topic became true.
	UncleanChanged struct {
		Topic   string
		Unclean *bool
	}
	// DefaultUncleanChanged: unclean.leader.election.enable of the controller's broker changed.
	DefaultUncleanChanged struct{ Unclean bool }
)

func (Elected) event()              {}
func (BrokersChanged) event()       {}
func (TopicsChanged) event()        {}
func (TopicChanged) event()         {}
func (DeletionsChanged) event()     {}
func (WritesDone) event()           {}
func (LeaderAndIsrAnswered) event() {}
func (StopReplicaAnswered) event()  {}
func (StatesRead) event()           {}
func (LogDirFailed) event()         {}
func (ElectPreferred) event()       {}
func (UncleanChanged) event()       {}

func (DefaultUncleanChanged) event() {}

// WriteKind is a kind of write.
type WriteKind uint8

// Kinds of writes.
const (
	CreateState    WriteKind = iota + 1 // makes the partition's znodes
	SetState                            // replaces its leadership if the version is still To.Version-1, that is From
	DeleteTopic                         // removes all znodes of a topic, the request for its deletion last
	ClearDeletion                       // removes the request for a topic's deletion
	SetAssignments                      // replaces the assignments of some partitions of a topic
	ClearMoves                          // removes partitions from /admin/reassign_partitions
)

// Write is a change of ZooKeeper. All are fenced by the controller's epoch; their order does not matter.
type Write struct {
	Kind WriteKind
	TP   TP // only Topic for DeleteTopic, ClearDeletion and SetAssignments
	To   Leadership
	From int32 // version that SetState replaces

	Assignments map[int32]Assignment // of SetAssignments
	Moves       []TP                 // of ClearMoves
}

func (w Write) String() string {
	switch w.Kind {
	case CreateState:
		return fmt.Sprintf("create %s: %s", w.TP, w.To)
	case SetState:
		return fmt.Sprintf("set %s v%d: %s", w.TP, w.From, w.To)
	case SetAssignments:
		return fmt.Sprintf("assign %s: %v", w.TP.Topic, w.Assignments)
	case ClearMoves:
		return fmt.Sprintf("clear the wishes to move %v", w.Moves)
	case DeleteTopic:
		return "delete topic " + w.TP.Topic
	default:
		return "clear deletion of " + w.TP.Topic
	}
}

// Outcome is how a write ended.
type Outcome uint8

// Outcomes.
const (
	Done     Outcome = iota // carried out; Version is that of the znode now
	Conflict                // somebody else wrote: Found is what stands there, nil when nothing does
	Failed                  // for another reason, in Err
)

// Result is the outcome of one write.
type Result struct {
	Write   Write
	Outcome Outcome
	Version int32
	Found   *Leadership
	Err     string
}

// Plan is what to do now. Requests need not wait for Writes: those that depend on one come when it is done.
type Plan struct {
	Writes   []Write
	Requests []Request // to be sent to each broker in this order
	Answers  []Answer  // to those who asked and wait

	Notes []Note

	// Unclean is how many of the writes elect a leader that was not in sync.
	Unclean int
}

// Note is a line for the log.
type Note struct {
	Warn bool
	Text string
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, Note{Text: fmt.Sprintf(format, args...)})
}

func (p *Plan) warn(format string, args ...any) {
	p.Notes = append(p.Notes, Note{Warn: true, Text: fmt.Sprintf(format, args...)})
}

// Request goes to one registration of a broker; exactly one of the three is set.
type Request struct {
	Broker         int32
	BrokerEpoch    int64
	LeaderAndIsr   *LeaderAndIsr
	UpdateMetadata *UpdateMetadata
	StopReplica    *StopReplica
}

// LeaderAndIsr tells a broker its role in partitions.
type LeaderAndIsr struct {
	Partitions []PartitionState
	Leaders    []Broker // those that lead any of them
}

// PartitionState is a partition in a LeaderAndIsr request.
type PartitionState struct {
	TP         TP
	Leadership Leadership
	Assignment Assignment
	New        bool
}

// UpdateMetadata tells a broker what clients may ask of it. All brokers share one value.
type UpdateMetadata struct {
	Partitions []PartitionMetadata
	Brokers    []Broker
}

// PartitionMetadata is a partition in an UpdateMetadata request.
type PartitionMetadata struct {
	TP         TP
	Leadership Leadership
	Replicas   []int32
	Offline    []int32
}

// StopReplica tells a broker to stop replicas, and to delete them.
type StopReplica struct {
	Partitions []StopPartition
}

// StopPartition is a partition in a StopReplica request.
type StopPartition struct {
	TP          TP
	LeaderEpoch int32
	Delete      bool
}

func equal(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func contains(s []int32, n int32) bool {
	for _, v := range s {
		if v == n {
			return true
		}
	}
	return false
}
