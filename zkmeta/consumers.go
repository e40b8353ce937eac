package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-zookeeper/zk"
)

// Below /consumers the consumers of Kafka 0.8 keep what today's keep at their coordinator: who is a member of a group, who owns which
// partition, and the offsets. Brokers write there only for OffsetCommit of version 0.

// PathConsumer is /consumers/GROUP.
func PathConsumer(group string) string { return PathConsumers + "/" + group }

// PathConsumerIDs is /consumers/GROUP/ids: an ephemeral znode for each member.
func PathConsumerIDs(group string) string { return PathConsumer(group) + "/ids" }

// PathConsumerOwner is /consumers/GROUP/owners/TOPIC/PARTITION: an ephemeral znode that names the owner.
func PathConsumerOwner(group, topic string, partition int32) string {
	return PathConsumer(group) + "/owners/" + topic + "/" + strconv.Itoa(int(partition))
}

// PathConsumerOffset is /consumers/GROUP/offsets/TOPIC/PARTITION.
func PathConsumerOffset(group, topic string, partition int32) string {
	return PathConsumer(group) + "/offsets/" + topic + "/" + strconv.Itoa(int(partition))
}

// SetConsumerOffset stores a group's offset, and makes the znodes that lead there if they are missing.
func (c *Client) SetConsumerOffset(ctx context.Context, group, topic string, partition int32, offset int64) error {
	path := PathConsumerOffset(group, topic, partition)
	data := strconv.AppendInt(nil, offset, 10)
	for {
		_, err := c.Set(ctx, path, data, AnyVersion)
		if !errors.Is(err, ErrNoNode) {
			return err
		}
		if err = c.CreateAll(ctx, path, data); !errors.Is(err, ErrNodeExists) {
			return err
		}
	}
}

// ConsumerOffset reads a group's offset; ok is false if there is none.
func (c *Client) ConsumerOffset(ctx context.Context, group, topic string, partition int32) (offset int64, ok bool, err error) {
	path := PathConsumerOffset(group, topic, partition)
	data, _, err := c.Get(ctx, path)
	if errors.Is(err, ErrNoNode) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if offset, err = strconv.ParseInt(string(data), 10, 64); err != nil {
		return 0, false, fmt.Errorf("znode %s holds %.50q, which is no offset", path, data)
	}
	return offset, true, nil
}

// CreateAll makes a persistent znode and the ones above it that are missing, which stay empty.
func (c *Client) CreateAll(ctx context.Context, path string, data []byte) error {
	err := c.Create(ctx, path, data)
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	parent := path[:strings.LastIndexByte(path, '/')]
	if parent == "" {
		return err
	}
	if err := c.CreateAll(ctx, parent, nil); err != nil && !errors.Is(err, ErrNodeExists) {
		return err
	}
	return c.Create(ctx, path, data)
}

// CreateEphemeral makes a znode that goes with this client's session; its parent must be there.
func (c *Client) CreateEphemeral(ctx context.Context, path string, data []byte) error {
	if err := fits("create "+path, len(path)+len(data)); err != nil {
		return err
	}
	_, err := call(ctx, c, "create", path, func(k *zk.Conn) (string, error) {
		return k.Create(c.absolute(path), data, zk.FlagEphemeral, defaultACL(c.opt.SetACL, path))
	})
	return err
}

// DeleteAll removes a znode and all below it. What somebody else removes meanwhile is no error.
func (c *Client) DeleteAll(ctx context.Context, path string) error {
	names, _, err := c.Children(ctx, path)
	if errors.Is(err, ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.DeleteAll(ctx, path+"/"+name); err != nil {
			return err
		}
	}
	if err := c.Delete(ctx, path, AnyVersion); err != nil && !errors.Is(err, ErrNoNode) {
		return err
	}
	return nil
}
