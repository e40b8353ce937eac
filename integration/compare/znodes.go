package compare

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

type silentLogger struct{}

func (silentLogger) Printf(string, ...any) {}

// znodes is what a broker's part of the tree says about topics, their partitions and their settings, and which changes it announces.
func (b *Broker) znodes(addr string) (map[string]any, error) {
	c, _, err := zk.Connect([]string{addr}, 10*time.Second, zk.WithLogger(silentLogger{}))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	out := map[string]any{}
	var walk func(name string) error
	walk = func(name string) error {
		data, _, err := c.Get(b.Root + name)
		if err != nil {
			return err
		}
		var value any
		if json.Unmarshal(data, &value) != nil {
			value = string(data)
		}
		acl, _, err := c.GetACL(b.Root + name)
		if err != nil {
			return err
		}
		out[name] = map[string]any{"data": plainTree(value), "acl": plainTree(acl)}
		children, _, err := c.Children(b.Root + name)
		if err != nil {
			return err
		}
		slices.Sort(children)
		for _, child := range children {
			if err := walk(path.Join(name, child)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, root := range []string{"/brokers/topics", "/config", "/admin", "/isr_change_notification", "/log_dir_event_notification"} {
		if err := walk(root); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sameZnodes compares both trees and describes what differs.
func sameZnodes(kafka, gregor *Broker, addr string) ([]string, int, error) {
	theirs, err := kafka.znodes(addr)
	if err != nil {
		return nil, 0, err
	}
	ours, err := gregor.znodes(addr)
	if err != nil {
		return nil, 0, err
	}
	var out []string
	for _, d := range difference("", plainTree(theirs), plainTree(ours)) {
		out = append(out, strings.TrimPrefix(d, "."))
	}
	return out, len(theirs), nil
}
