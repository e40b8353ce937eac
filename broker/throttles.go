package broker

import (
	"strconv"
	"strings"

	"gregor/broker/config"
	"gregor/replication"
)

// throttles bound what replication moves: throttled replicas as leaders and as followers, and replicas between log directories.
type throttles struct {
	leader, follower, dirs *replication.Throttle
}

func newThrottles(b *config.Broker) throttles {
	q, d := b.Replica.Quota, b.Replica.AlterDirsQuota
	t := throttles{replication.NewThrottle(q.Samples, q.Length), replication.NewThrottle(q.Samples, q.Length), replication.NewThrottle(d.Samples, d.Length)}
	t.rates(b)
	return t
}

// rates takes over the rates of a configuration.
func (t throttles) rates(b *config.Broker) {
	t.leader.SetRate(b.ThrottledRate("leader.replication.throttled.rate"))
	t.follower.SetRate(b.ThrottledRate("follower.replication.throttled.rate"))
	t.dirs.SetRate(b.ThrottledRate("replica.alter.log.dirs.io.max.bytes.per.second"))
}

// topic takes over which replicas of a topic are throttled.
func (t throttles) topic(b *config.Broker, topic string, overrides map[string]string) {
	for name, throttle := range map[string]*replication.Throttle{
		"leader.replication.throttled.replicas": t.leader, "follower.replication.throttled.replicas": t.follower,
	} {
		all, partitions := throttledReplicas(overrides[name], b.ID)
		throttle.SetTopic(topic, all, partitions)
	}
}

// throttledReplicas reads a list of partition:broker for one broker; * is all.
func throttledReplicas(list string, broker int32) (all bool, partitions []int32) {
	if list = strings.TrimSpace(list); list == "*" {
		return true, nil
	}
	for pair := range strings.SplitSeq(list, ",") {
		p, b, _ := strings.Cut(strings.TrimSpace(pair), ":")
		partition, err := strconv.ParseInt(p, 10, 32)
		if id, err2 := strconv.ParseInt(b, 10, 32); err == nil && err2 == nil && int32(id) == broker {
			partitions = append(partitions, int32(partition))
		}
	}
	return false, partitions
}
