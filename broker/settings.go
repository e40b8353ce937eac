package broker

import (
	"sync"

	"github.com/sirupsen/logrus"

	"gregor/broker/config"
	"gregor/storage"
)

// topicSettings holds the settings of each topic that has some of its own; the others share one value.
type topicSettings struct {
	broker *config.Broker
	log    logrus.FieldLogger
	plain  storage.Config
	minISR int

	mu struct {
		sync.RWMutex
		own map[string]topicSetting
	}
}

type topicSetting struct {
	log    storage.Config
	minISR int
}

func newTopicSettings(b *config.Broker, log logrus.FieldLogger) *topicSettings {
	s := &topicSettings{broker: b, log: log}
	t, _ := b.Topic(nil)
	s.plain, s.minISR = t.Storage(), t.MinISR()
	s.mu.own = map[string]topicSetting{}
	return s
}

// set takes over a topic's overrides as they stand in ZooKeeper, and returns what is in effect.
func (s *topicSettings) set(topic string, overrides map[string]string) storage.Config {
	if len(overrides) == 0 {
		s.mu.Lock()
		delete(s.mu.own, topic)
		s.mu.Unlock()
		return s.plain
	}
	t, bad := s.broker.Topic(overrides)
	for _, err := range bad {
		s.log.Warnf("Topic %s has a setting that is not valid, its default is in effect; correct it with kafka-configs.sh: %v", topic, err)
	}
	v := topicSetting{t.Storage(), t.MinISR()}
	s.mu.Lock()
	s.mu.own[topic] = v
	s.mu.Unlock()
	return v.log
}

func (s *topicSettings) get(topic string) storage.Config {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if v, ok := s.mu.own[topic]; ok {
		return v.log
	}
	return s.plain
}

func (s *topicSettings) minInsyncReplicas(topic string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if v, ok := s.mu.own[topic]; ok {
		return v.minISR
	}
	return s.minISR
}
