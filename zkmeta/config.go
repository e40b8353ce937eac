package zkmeta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// EncodeConfig writes /config/TYPE/NAME. Members of old besides the two known ones are kept.
func EncodeConfig(config map[string]string, old []byte) []byte {
	o := object{{"version", jsonInt(1)}, {"config", jsonStringMap(config)}}
	if len(old) > 0 {
		if prev, err := parseObject(old); err == nil {
			o = o.merged(prev)
		}
	}
	return o.encode()
}

// DecodeConfig reads /config/TYPE/NAME. An empty znode, and one without "config", is an empty configuration.
func DecodeConfig(data []byte) (map[string]string, error) {
	out := map[string]string{}
	if len(data) == 0 {
		return out, nil
	}
	o, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("configuration %.200q: %w", data, err)
	}
	var raw map[string]json.RawMessage
	if err := o.optional("config", &raw); err != nil {
		return nil, fmt.Errorf("configuration %.200q: %w", data, err)
	}
	for k, v := range raw {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v) // a number or a boolean that someone wrote without quotes
		}
		out[k] = s
	}
	return out, nil
}

// EntityConfig reads an entity's configuration; it is empty when there is none. The name has the form that stands in the path:
// sanitized, "<default>" for the default, "alice/clients/c1" below users.
func (c *Client) EntityConfig(ctx context.Context, entityType, name string) (map[string]string, error) {
	data, _, err := c.Get(ctx, PathEntityConfig(entityType, name))
	if errors.Is(err, ErrNoNode) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := DecodeConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", PathEntityConfig(entityType, name), err)
	}
	return m, nil
}

// TopicConfig reads a topic's configuration.
func (c *Client) TopicConfig(ctx context.Context, topic string) (map[string]string, error) {
	return c.EntityConfig(ctx, EntityTopics, topic)
}

// TopicConfigs reads the configurations of many topics in one go. One that cannot be understood is left out, with a line in the log.
func (c *Client) TopicConfigs(ctx context.Context, topics []string) (map[string]map[string]string, error) {
	paths := make([]string, len(topics))
	for i, t := range topics {
		paths[i] = PathEntityConfig(EntityTopics, t)
	}
	nodes, err := c.GetMany(ctx, paths)
	if err != nil {
		return nil, err
	}
	out := make(map[string]map[string]string, len(topics))
	for i, n := range nodes {
		if n.Err != nil {
			continue
		}
		m, err := DecodeConfig(n.Data)
		if err != nil {
			c.opt.Log.Warnf("the configuration of topic %s is ignored: %v", topics[i], err)
			continue
		}
		out[topics[i]] = m
	}
	return out, nil
}

// SetTopicConfig replaces a topic's configuration and tells the brokers.
func (c *Client) SetTopicConfig(ctx context.Context, topic string, config map[string]string) error {
	return c.SetEntityConfig(ctx, EntityTopics, topic, config)
}

// SetEntityConfig replaces an entity's configuration and tells the brokers through /config/changes.
func (c *Client) SetEntityConfig(ctx context.Context, entityType, name string, config map[string]string) error {
	path := PathEntityConfig(entityType, name)
	for {
		old, st, err := c.Get(ctx, path)
		switch {
		case err == nil:
			_, err = c.Set(ctx, path, EncodeConfig(config, old), st.Version)
		case errors.Is(err, ErrNoNode):
			err = c.createConfig(ctx, path, EncodeConfig(config, nil))
		}
		if errors.Is(err, ErrBadVersion) || errors.Is(err, ErrNoNode) || errors.Is(err, ErrNodeExists) {
			continue
		}
		if err != nil {
			return err
		}
		return c.NotifyConfigChange(ctx, entityType+"/"+name)
	}
}

// createConfig makes a configuration znode and its missing parents, which only users with clients have.
func (c *Client) createConfig(ctx context.Context, path string, data []byte) error {
	var ops []Op
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			ops = append(ops, Op{Kind: OpCreate, Path: path[:i]})
		}
	}
	if err := c.createMissing(ctx, ops); err != nil {
		return err
	}
	return c.Create(ctx, path, data)
}

// Entities lists the names of a type's entities that have a configuration, sorted.
func (c *Client) Entities(ctx context.Context, entityType string) ([]string, error) {
	names, _, err := c.Children(ctx, PathConfig+"/"+entityType)
	if errors.Is(err, ErrNoNode) {
		return nil, nil
	}
	sort.Strings(names)
	return names, err
}

const configChangePrefix = "config_change_"

// EncodeConfigChange writes /config/changes/config_change_N.
func EncodeConfigChange(entityPath string) []byte {
	return object{{"version", jsonInt(2)}, {"entity_path", jsonString(entityPath)}}.encode()
}

// DecodeConfigChange reads /config/changes/config_change_N, of version 1 (0.9 and older) too, and returns the entity's path, such as
// "topics/t" or "users/alice/clients/c1".
func DecodeConfigChange(data []byte) (string, error) {
	o, err := parseObject(data)
	var version int
	var path, typ, name string
	if err == nil {
		err = o.into("version", &version)
	}
	if err == nil {
		switch version {
		case 1:
			err = errors.Join(o.into("entity_type", &typ), o.into("entity_name", &name))
			path = typ + "/" + name
		case 2:
			err = o.into("entity_path", &path)
		default:
			err = fmt.Errorf("version %d is not known; 1 and 2 are", version)
		}
	}
	if err == nil && !strings.Contains(path, "/") {
		err = fmt.Errorf("%q names no entity", path)
	}
	if err != nil {
		return "", fmt.Errorf("configuration change %.200q: %w", data, err)
	}
	return path, nil
}

// NotifyConfigChange tells all brokers that the configuration of an entity ("topics/t") changed.
func (c *Client) NotifyConfigChange(ctx context.Context, entityPath string) error {
	prefix := PathConfigChanges + "/" + configChangePrefix
	_, err := c.CreateSequential(ctx, prefix, EncodeConfigChange(entityPath))
	if errors.Is(err, ErrNoNode) {
		err = c.createMissing(ctx, []Op{{Kind: OpCreate, Path: PathConfig}, {Kind: OpCreate, Path: PathConfigChanges}})
		if err == nil {
			_, err = c.CreateSequential(ctx, prefix, EncodeConfigChange(entityPath))
		}
	}
	return err
}
