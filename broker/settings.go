package broker

import (
	"fmt"
	"sync"

	"github.com/sirupsen/logrus"

	"gregor/broker/config"
	"gregor/storage"
)

// topicSettings holds the settings of each topic that has some of its own; the others share one value.
type topicSettings struct {
	log       logrus.FieldLogger
	throttles throttles

	mu struct {
		sync.RWMutex
		broker *config.Broker
		plain  topicSetting
		own    map[string]topicSetting
	}
}

type topicSetting struct {
	overrides map[string]string
	log       storage.Config
	minISR    int
}

func newTopicSettings(b *config.Broker, log logrus.FieldLogger) *topicSettings {
	s := &topicSettings{log: log, throttles: newThrottles(b)}
	s.mu.own = map[string]topicSetting{}
	s.rebase(b)
	return s
}

// rebase takes over a broker's new configuration, and returns what is in effect for topics without settings of their own.
func (s *topicSettings) rebase(b *config.Broker) storage.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.broker = b
	s.mu.plain, _ = effective(b, nil)
	for topic, was := range s.mu.own {
		s.mu.own[topic], _ = effective(b, was.overrides)
	}
	return s.mu.plain.log
}

func effective(b *config.Broker, overrides map[string]string) (topicSetting, []error) {
	t, bad := b.Topic(overrides)
	log := t.Storage()
	if v, err := config.ParseVersion(overrides["message.format.version"]); err == nil && v > b.InterBrokerVersion {
		plain, _ := b.Topic(nil)
		log.Magic = plain.Storage().Magic
		bad = append(bad, fmt.Errorf("message.format.version=%s is not compatible with inter.broker.protocol.version=%s, whose brokers could not read it",
			v, b.InterBrokerVersion))
	}
	return topicSetting{overrides, log, t.MinISR()}, bad
}

// set takes over a topic's overrides as they stand in ZooKeeper, and returns what is in effect.
func (s *topicSettings) set(topic string, overrides map[string]string) storage.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throttles.topic(s.mu.broker, topic, overrides)
	if len(overrides) == 0 {
		delete(s.mu.own, topic)
		return s.mu.plain.log
	}
	v, bad := effective(s.mu.broker, overrides)
	for _, err := range bad {
		s.log.Warnf("Topic %s has a setting that is not valid, its default is in effect; correct it with kafka-configs.sh: %v", topic, err)
	}
	s.mu.own[topic] = v
	return v.log
}

func (s *topicSettings) of(topic string) topicSetting {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if v, ok := s.mu.own[topic]; ok {
		return v
	}
	return s.mu.plain
}

func (s *topicSettings) get(topic string) storage.Config { return s.of(topic).log }

func (s *topicSettings) minInsyncReplicas(topic string) int { return s.of(topic).minISR }

// defaults are the settings of topics without their own.
func (s *topicSettings) defaults() storage.Config {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.plain.log
}
