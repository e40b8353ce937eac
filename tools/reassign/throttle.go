package reassign

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The settings that throttle moves: how fast brokers and directories go, and for which replicas that holds.
const (
	leaderRate       = "leader.replication.throttled.rate"
	followerRate     = "follower.replication.throttled.rate"
	directoryRate    = "replica.alter.log.dirs.io.max.bytes.per.second"
	leaderReplicas   = "leader.replication.throttled.replicas"
	followerReplicas = "follower.replication.throttled.replicas"
)

var (
	brokerThrottles = []string{leaderRate, followerRate, directoryRate}
	topicThrottles  = []string{leaderReplicas, followerReplicas}
)

// moving is a move under way.
type moving struct{ replicas, adding, removing []int32 }

type idSet map[int32]bool

func (s idSet) add(ids []int32) {
	for _, id := range ids {
		s[id] = true
	}
}

// move is which brokers a partition is read from and written to.
type move struct{ sources, destinations idSet }

// moves are all moves there will be once the plan is begun: those under way, and in their place what the plan wants.
func moves(underWay map[partition]moving, wanted, current assignments) map[partition]move {
	out := map[partition]move{}
	for tp, m := range underWay {
		v := move{idSet{}, idSet{}}
		v.sources.add(m.replicas)
		v.destinations.add(m.replicas)
		v.destinations.add(m.adding)
		for _, id := range m.removing {
			delete(v.destinations, id)
		}
		out[tp] = v
	}
	for tp, ids := range wanted {
		v := move{idSet{}, idSet{}}
		v.destinations.add(ids)
		out[tp] = v
	}
	for tp, v := range out {
		v.sources.add(current[tp])
		for id := range v.sources {
			delete(v.destinations, id) // it has the data
		}
	}
	return out
}

// throttled are each topic's replicas that a throttle holds for, as PARTITION:BROKER lists in the order of text.
func throttled(all map[partition]move, side func(move) idSet) map[string]string {
	words := map[string][]string{}
	for tp, v := range all {
		if words[tp.Topic] == nil {
			words[tp.Topic] = []string{}
		}
		for id := range side(v) {
			words[tp.Topic] = append(words[tp.Topic], fmt.Sprintf("%d:%d", tp.Partition, id))
		}
	}
	out := make(map[string]string, len(words))
	for topic, list := range words {
		slices.Sort(list)
		out[topic] = strings.Join(list, ",")
	}
	return out
}

func leaders(all map[partition]move) map[string]string {
	return throttled(all, func(v move) idSet { return v.sources })
}

func followers(all map[partition]move) map[string]string {
	return throttled(all, func(v move) idSet { return v.destinations })
}

// brokersOf are the brokers that take part, sorted.
func brokersOf(all map[partition]move) []int32 {
	ids := idSet{}
	for _, v := range all {
		maps.Copy(ids, v.sources)
		maps.Copy(ids, v.destinations)
	}
	return slices.Sorted(maps.Keys(ids))
}

func limitSet(rate int64) string {
	return fmt.Sprintf("The inter-broker throttle limit was set to %d B/s\n", rate)
}

const (
	existing = "Cannot execute because there is an existing partition assignment.  Use --additional to override this and " +
		"create a new partition assignment in addition to the existing one. The --additional " +
		"flag can also be used to change the throttle by resubmitting the current reassignment."
	runVerify = "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is removed."
)
