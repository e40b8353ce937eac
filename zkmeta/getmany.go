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

// probeState says how GetMany reads.
type probeState uint8

const (
	readUnknown    probeState = iota // not tried yet
	readMulti                        // the servers know multiRead
	readPipelined                    // they do not: one get per znode
	multiReadAbove = 64              // paths; fewer are not worth a connection
)

// GetMany reads many znodes: through multiRead, thousands in a request, where ZooKeeper has it (3.6 and later), else by pipelined
// gets. A znode that is not there is no error of the whole.
func (c *Client) GetMany(ctx context.Context, paths []string) ([]Node, error) {
	c.mu.Lock()
	how := c.mu.multiRead
	c.mu.Unlock()
	if len(paths) > multiReadAbove && how != readPipelined {
		nodes, err := c.multiRead(ctx, paths)
		switch {
		case err == nil:
			c.learned(readMulti)
			return nodes, nil
		case ctx.Err() != nil:
			return nil, err
		case errors.Is(err, errNoMultiRead):
			c.learned(readPipelined)
		default:
			c.opt.Log.Infof("%d znodes are read one by one: %v", len(paths), err)
		}
	}
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

func (c *Client) learned(how probeState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.multiRead = how
}
