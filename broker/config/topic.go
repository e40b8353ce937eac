package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// TopicKey is a key of a topic and the broker key that its default comes from ("" when there is none).
type TopicKey struct {
	Key
	Broker string
}

var topicKeyByName = func() map[string]*TopicKey {
	m := make(map[string]*TopicKey, len(topicKeys))
	for i := range topicKeys {
		m[topicKeys[i].Name] = &topicKeys[i]
	}
	return m
}()

// LookupTopicKey returns the definition of a topic key.
func LookupTopicKey(name string) (*TopicKey, bool) {
	k, ok := topicKeyByName[name]
	return k, ok
}

// TopicKeys lists all topic keys in alphabetical order.
func TopicKeys() []TopicKey { return topicKeys }

// ValidateTopic checks the settings of a topic as they would be written to ZooKeeper. The error's text is Kafka's.
func ValidateTopic(props map[string]string) error {
	names := slices.Sorted(maps.Keys(props))
	for _, name := range names {
		if _, ok := topicKeyByName[name]; !ok {
			return refuse(name, "Unknown topic config name: %s", name)
		}
	}
	lag := map[string]string{}
	for _, k := range topicKeys {
		v := k.Default
		if raw, ok := props[k.Name]; ok {
			var err error
			if v, err = k.parse(raw); err != nil {
				return err
			}
		}
		lag[k.Name] = v
	}
	least, _ := strconv.ParseInt(lag["min.compaction.lag.ms"], 10, 64)
	most, _ := strconv.ParseInt(lag["max.compaction.lag.ms"], 10, 64)
	if least > most {
		return refuse("min.compaction.lag.ms", "conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", least, most)
	}
	return nil
}

// topicDefaults is what a topic has without settings of its own, in canonical form.
func (b *Broker) topicDefaults() map[string]string {
	hours := func(key string) string { return strconv.FormatInt(b.long(key)*3600_000, 10) }
	out := make(map[string]string, len(topicKeys))
	for _, k := range topicKeys {
		out[k.Name] = k.Default
		if k.Broker == "" {
			continue
		}
		// Keys with a chain of fall-backs are absent, not defaulted, when they are not set.
		if v, ok := b.values[k.Broker]; ok {
			out[k.Name] = v
			continue
		}
		switch k.Broker {
		case "log.roll.ms":
			out[k.Name] = hours("log.roll.hours")
		case "log.roll.jitter.ms":
			out[k.Name] = hours("log.roll.jitter.hours")
		case "log.flush.interval.ms":
			out[k.Name] = b.str("log.flush.scheduler.interval.ms")
		case "log.retention.ms":
			out[k.Name] = hours("log.retention.hours")
			if _, ok := b.Get("log.retention.minutes"); ok {
				out[k.Name] = strconv.FormatInt(b.long("log.retention.minutes")*60_000, 10)
			}
		}
	}
	if v, _ := strconv.ParseInt(out["retention.ms"], 10, 64); v < 0 {
		out["retention.ms"] = "-1"
	}
	if v, err := ParseVersion(out["message.format.version"]); err == nil {
		out["message.format.version"] = v.String()
	}
	return out
}

// Topic is the settings in effect for one topic.
type Topic struct {
	values    map[string]string
	overrides map[string]string
}

// Topic lays a topic's own settings over the broker's. A setting that is not valid (a znode written by hand) is left out and returned in
// bad, so that one wrong value does not take the topic down.
func (b *Broker) Topic(overrides map[string]string) (t *Topic, bad []error) {
	t = &Topic{values: b.topicDefaults(), overrides: overrides}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		k, ok := topicKeyByName[name]
		if !ok {
			bad = append(bad, refuse(name, "Unknown topic config name: %s", name))
			continue
		}
		v, err := k.parse(overrides[name])
		if err != nil {
			bad = append(bad, err)
			continue
		}
		t.values[name] = v
	}
	return t, bad
}

// Get is the value in effect, in canonical form; "" when there is no such key.
func (t *Topic) Get(name string) string { return t.values[name] }

// Long, Double and Bool are the value in effect as a number or a truth value.
func (t *Topic) Long(name string) int64 {
	n, _ := strconv.ParseInt(t.values[name], 10, 64)
	return n
}

func (t *Topic) Double(name string) float64 {
	f, _ := strconv.ParseFloat(t.values[name], 64)
	return f
}

func (t *Topic) Bool(name string) bool { return t.values[name] == "true" }

// MinISR is min.insync.replicas.
func (t *Topic) MinISR() int { return int(t.Long("min.insync.replicas")) }

// UncleanElection is unclean.leader.election.enable.
func (t *Topic) UncleanElection() bool { return t.Bool("unclean.leader.election.enable") }

// Policy tells whether the topic is compacted, deleted from, or both.
func (t *Topic) Policy() (compacted, deleted bool) {
	list := splitList(strings.ToLower(t.Get("cleanup.policy")))
	return slices.Contains(list, "compact"), slices.Contains(list, "delete")
}
