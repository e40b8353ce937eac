package zkmeta

import (
	"context"
	"errors"
)

// PartitionStates reads the states of many partitions. Those that have none are not in the answer; nor are those that cannot be
// understood, of which the log tells.
func (c *Client) PartitionStates(ctx context.Context, tps []TopicPartition) (map[TopicPartition]PartitionState, error) {
	paths := make([]string, len(tps))
	for i, tp := range tps {
		paths[i] = PathPartitionState(tp)
	}
	nodes, err := c.GetMany(ctx, paths)
	if err != nil {
		return nil, err
	}
	out := make(map[TopicPartition]PartitionState, len(tps))
	for i, n := range nodes {
		if errors.Is(n.Err, ErrNoNode) {
			continue
		}
		if n.Err != nil {
			return nil, n.Err
		}
		st, err := DecodePartitionState(n.Data)
		if err != nil {
			c.opt.Log.Errorf("%s is ignored: %v", paths[i], err)
			continue
		}
		st.Version, st.Written = n.Stat.Version, n.Stat.Mzxid
		out[tps[i]] = st
	}
	return out, nil
}

// TopicsW reads the assignments of many topics, and watches each. Those that do not exist are not in the answer; nor are those that
// cannot be understood, of which the log tells.
func (c *Client) TopicsW(ctx context.Context, names []string) ([]TopicInfo, error) {
	all := make([]*TopicInfo, len(names))
	err := forEach(len(names), func(i int) error {
		data, st, err := c.GetW(ctx, PathTopic(names[i]))
		if errors.Is(err, ErrNoNode) {
			return nil
		}
		if err != nil {
			return err
		}
		t, err := DecodeTopic(names[i], data)
		if err != nil {
			c.opt.Log.Errorf("topic %s is ignored: %v", names[i], err)
			return nil
		}
		t.Version = st.Version
		all[i] = &t
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]TopicInfo, 0, len(names))
	for _, t := range all {
		if t != nil {
			out = append(out, *t)
		}
	}
	return out, nil
}
