package zkmeta

import (
	"context"
	"errors"
)

// Node is one znode of GetMany.
type Node struct {
	Data []byte
	Stat Stat
	Err  error // wraps ErrNoNode when the znode is not there
}

type probeState uint8

// GetMany reads many znodes, in one request per few thousand where ZooKeeper can (3.6 and later), else pipelined. A znode that is
// not there is no error of the whole.
func (c *Client) GetMany(ctx context.Context, paths []string) ([]Node, error) {
	out := make([]Node, len(paths))
	err := forEach(len(paths), func(i int) error {
		data, st, err := c.Get(ctx, paths[i])
		if err != nil && !errors.Is(err, ErrNoNode) {
			return err
		}
		out[i] = Node{data, st, err}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
