package handlers

import (
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/internal/topicrules"
	"gregor/zkmeta"
)

// autoCreate creates a topic that a client or a coordinator needs. The code is what Metadata says of the topic: LEADER_NOT_AVAILABLE when
// it is on its way, since the controller still has to place its leaders.
func (a *Admin) autoCreate(ctx context.Context, name string, partitions, replicationFactor int, settings map[string]string) int16 {
	assignment, f := a.assign(a.brokersForPlacement(true), partitions, replicationFactor, 0, topicrules.Random)
	if f == nil {
		f = a.validateNew(ctx, name, assignment, settings, func() ([]string, error) { return a.ZK.Topics(ctx) })
	}
	if f == nil {
		f = a.writeTopic(ctx, name, assignment, settings)
	}
	if f == nil {
		a.Log.Infof("Auto creation of topic %s with %d partitions and replication factor %d is successful", name, partitions, replicationFactor)
	}
	if f == nil || f.code == kerr.TopicAlreadyExists.Code { // another broker may have been faster
		return kerr.LeaderNotAvailable.Code
	}
	return f.code
}

// CreateInternalTopic creates the offsets or the transaction topic; the coordinators call it too. COORDINATOR_NOT_AVAILABLE means that there
// are too few brokers for its replication factor yet.
func (a *Admin) CreateInternalTopic(ctx context.Context, name string) int16 {
	in := a.Config().Internal
	partitions, rf, key := in.OffsetsPartitions, in.OffsetsReplicationFactor, "offsets.topic.replication.factor"
	settings := map[string]string{
		"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": strconv.Itoa(int(in.OffsetsSegmentBytes)),
	}
	if name == topicrules.TransactionTopic {
		partitions, rf, key = in.TransactionPartitions, in.TransactionReplicationFactor, "transaction.state.log.replication.factor"
		settings = map[string]string{
			"cleanup.policy": "compact", "compression.type": "uncompressed", "segment.bytes": strconv.Itoa(int(in.TransactionSegmentBytes)),
			"min.insync.replicas": strconv.Itoa(int(in.TransactionMinISR)), "unclean.leader.election.enable": "false",
		}
	}
	if alive := len(a.Metadata.Brokers()); alive < int(rf) {
		a.Log.Errorf("Number of alive brokers '%d' does not meet the required replication factor '%d' for the topic %s (configured via '%s'). "+
			"This error can be ignored if the cluster is starting up and not all brokers are up yet.", alive, rf, name, key)
		return kerr.CoordinatorNotAvailable.Code
	}
	return a.autoCreate(ctx, name, int(partitions), int(rf), settings)
}

// brokersForPlacement lists the brokers that are alive. Where racks are only a wish (lenient), brokers without one make all do without.
func (a *Admin) brokersForPlacement(lenient bool) []topicrules.Broker {
	alive := a.Metadata.Brokers()
	out := make([]topicrules.Broker, len(alive))
	mixed := false
	for i, b := range alive {
		out[i] = topicrules.Broker{ID: b.ID, Rack: b.Rack}
		mixed = mixed || (b.Rack == nil) != (alive[0].Rack == nil)
	}
	if mixed && lenient {
		for i := range out {
			out[i].Rack = nil
		}
	}
	return out
}

// maxPartitionsPerTopic keeps a topic's assignment within what one znode may hold, and a request from taking the broker's memory.
const maxPartitionsPerTopic = 100_000

func (a *Admin) assign(brokers []topicrules.Broker, partitions, replicationFactor int, first int32, start int) (map[int32][]int32, *fault) {
	if int(first)+partitions > maxPartitionsPerTopic {
		return nil, failure(kerr.InvalidPartitions, "Number of partitions must not be larger than "+strconv.Itoa(maxPartitionsPerTopic)+".")
	}
	assignment, err := topicrules.Assign(brokers, partitions, replicationFactor, first, start)
	var ae *topicrules.AssignError
	if !errors.As(err, &ae) {
		return assignment, nil
	}
	switch ae.Kind {
	case topicrules.BadPartitions:
		return nil, failure(kerr.InvalidPartitions, ae.Text)
	case topicrules.BadReplicationFactor:
		return nil, failure(kerr.InvalidReplicationFactor, ae.Text)
	case topicrules.MixedRacks:
	}
	a.Log.Errorf("placing replicas: %s", ae.Text)
	return nil, failure(kerr.UnknownServerError, "")
}

// writeTopic makes a validated topic in ZooKeeper, for the controller to bring to life.
func (a *Admin) writeTopic(ctx context.Context, name string, assignment map[int32][]int32, settings map[string]string) *fault {
	err := a.ZK.CreateTopic(ctx, name, assignment, settings)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, zkmeta.ErrTopicExists), errors.Is(err, zkmeta.ErrTopicMarkedForDeletion):
		return topicExists(name)
	case errors.Is(err, zkmeta.ErrTooLarge):
		return tooManyPartitions(name, len(assignment), err)
	}
	return a.unexpected("creating topic", name, err)
}

func tooManyPartitions(name string, partitions int, err error) *fault {
	return failure(kerr.InvalidPartitions, "The replicas of "+strconv.Itoa(partitions)+" partitions of topic '"+name+
		"' do not fit into one znode: "+err.Error()+". Use fewer partitions, or several topics.")
}

func topicExists(name string) *fault {
	return failure(kerr.TopicAlreadyExists, "Topic '"+name+"' already exists.")
}
