package handlers

import (
	"context"
	"strings"
	"time"

	"gregor/storage"
)

// configChangeTimeout bounds the reading of one changed configuration.
const configChangeTimeout = 30 * time.Second

// ConfigChanged is to be called with each notification of zkmeta's WatchConfigChanges ("topics/t"). It reads the topic's settings and hands
// those in effect to apply: storage.Manager.UpdateConfig. A setting that is not valid is left out and logged. Changes of other entities are
// logged; nothing here depends on them yet.
func (a *Admin) ConfigChanged(ctx context.Context, entityPath string, apply func(topic string, cfg storage.Config)) {
	topic, ok := strings.CutPrefix(entityPath, "topics/")
	if !ok {
		a.Log.Infof("The configuration of %s changed; this has no effect in this version of Gregor", entityPath)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, configChangeTimeout)
	defer cancel()
	settings, err := a.ZK.TopicConfig(ctx, topic)
	if err != nil {
		a.Log.WithError(err).Errorf("Reading the changed settings of topic %s failed; the old ones stay in effect", topic)
		return
	}
	a.Log.Infof("Processing override for entityPath: %s with config: %v", entityPath, settings)
	apply(topic, a.TopicConfig(topic, settings))
}

// TopicConfig is the settings of a topic's logs, for storage when it opens them and when they change.
func (a *Admin) TopicConfig(topic string, settings map[string]string) storage.Config {
	t, bad := a.Config().Topic(settings)
	for _, err := range bad {
		a.Log.Errorf("Topic %s: a setting is ignored: %v", topic, err)
	}
	return t.Storage()
}
