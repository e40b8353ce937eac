package compare

import (
	"encoding/json"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type silentLogger struct{}

func (silentLogger) Printf(string, ...any) {}

// changesZnodes are the request types after which the znodes are looked at.
var changesZnodes = map[kmsg.Key]bool{kmsg.Metadata: true, kmsg.CreateTopics: true, kmsg.DeleteTopics: true, kmsg.CreatePartitions: true,
	kmsg.AlterConfigs: true, kmsg.IncrementalAlterConfigs: true}

// znodes adds what a broker's part of the tree holds below a znode to out; nothing if there is no such znode.
func (b *Broker) znodes(name string, out map[string]any) error {
	data, _, err := b.zk.Get(b.Root + name)
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	var value any
	if json.Unmarshal(data, &value) != nil {
		value = string(data)
	}
	acl, _, err := b.zk.GetACL(b.Root + name)
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	out[name] = map[string]any{"data": plainTree(value), "acl": plainTree(acl)}
	children, _, err := b.zk.Children(b.Root + name)
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		return err
	}
	for _, child := range children {
		if err := b.znodes(path.Join(name, child), out); err != nil {
			return err
		}
	}
	return nil
}

// whole is what the tree says about topics, their partitions and their settings, and which changes it announces.
func (b *Broker) whole() (any, error) {
	out := map[string]any{}
	for _, root := range []string{"/brokers/topics", "/config", "/admin", "/isr_change_notification", "/log_dir_event_notification"} {
		if err := b.znodes(root, out); err != nil {
			return nil, err
		}
	}
	return plainTree(out), nil
}

// about is what the tree says about some topics.
func (b *Broker) about(topics []string) (any, int, error) {
	out := map[string]any{}
	for _, t := range topics {
		for _, root := range []string{"/brokers/topics/", "/config/topics/", "/admin/delete_topics/"} {
			if err := b.znodes(root+t, out); err != nil {
				return nil, 0, err
			}
		}
	}
	n := len(out)
	for _, parent := range []string{"/brokers/topics", "/config/changes", "/admin/delete_topics"} {
		children, _, err := b.zk.Children(b.Root + parent)
		if err != nil {
			return nil, 0, err
		}
		slices.Sort(children)
		out["children of "+parent] = children
	}
	return plainTree(out), n, nil
}

// settled waits until both trees say the same about some topics, and describes what differs if they do not come to that.
func settled(kafka, gregor *Broker, topics []string) ([]string, int) {
	var d []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		theirs, n, err := kafka.about(topics)
		if err != nil {
			return []string{err.Error()}, 0
		}
		ours, _, err := gregor.about(topics)
		if err != nil {
			return []string{err.Error()}, 0
		}
		if d = difference("", theirs, ours); len(d) == 0 {
			return nil, n
		}
	}
	return d, 0
}

// named are the topics that a request is about.
func named(req kmsg.Request) []string {
	raw, err := json.Marshal(req)
	if err != nil {
		return nil
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil
	}
	found := map[string]bool{}
	var walk func(key string, v any)
	walk = func(key string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				walk(k, e)
			}
		case []any:
			for _, e := range v {
				walk(key, e)
			}
		case string:
			if slices.Contains([]string{"Topic", "TopicNames", "ResourceName"}, key) && v != "" && v != "." && v != ".." && !strings.ContainsAny(v, "/\x00") {
				found[v] = true
			}
		}
	}
	walk("", tree)
	return slices.Sorted(maps.Keys(found))
}

// sameZnodes compares both trees and describes what differs.
func sameZnodes(kafka, gregor *Broker) ([]string, int, error) {
	theirs, err := kafka.whole()
	if err != nil {
		return nil, 0, err
	}
	ours, err := gregor.whole()
	if err != nil {
		return nil, 0, err
	}
	var out []string
	for _, d := range difference("", theirs, ours) {
		out = append(out, strings.TrimPrefix(d, "."))
	}
	return out, len(theirs.(map[string]any)), nil
}
