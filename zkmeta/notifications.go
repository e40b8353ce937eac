package zkmeta

import (
	"context"
	"errors"
	"sort"
	"strconv"
	"strings"
	"time"
)

// changeExpiration is how long a change notification lives: whoever was away longer reads everything when it starts.
const changeExpiration = 15 * time.Minute

// WatchConfigChanges calls changed for every entity whose configuration changes from now on, in order, until ctx ends; those that
// already stand in /config/changes are reported first. It removes notifications older than 15 minutes, as every broker does.
// It returns when ctx ends. changed may block.
func (c *Client) WatchConfigChanges(ctx context.Context, changed func(entityPath string)) {
	c.watchSequence(ctx, PathConfigChanges, configChangePrefix, func(data []byte, path string) {
		entity, err := DecodeConfigChange(data)
		if err != nil {
			c.opt.Log.Errorf("%s is ignored: %v", path, err)
			return
		}
		changed(entity)
	})
}

func (c *Client) watchSequence(ctx context.Context, root, prefix string, f func(data []byte, path string)) {
	wake := make(chan struct{}, 1)
	ring := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	defer c.Subscribe(func(ev Event) {
		switch {
		case ev.Kind == Reconnected || ev.Kind == NewSession, ev.Path == root:
			ring()
		}
	})()
	ring()
	last := int64(-1)
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
		names, _, err := c.ChildrenW(ctx, root)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, ErrClosed) {
				return
			}
			c.opt.Log.Errorf("read the change notifications below %s: %v", root, err)
			continue
		}
		sort.Strings(names)
		for _, n := range names {
			seq, err := strconv.ParseInt(strings.TrimPrefix(n, prefix), 10, 64)
			if err != nil {
				continue
			}
			path := root + "/" + n
			data, st, err := c.Get(ctx, path)
			if err != nil {
				if ctx.Err() != nil {
					return
				}
				continue // another broker has removed it
			}
			if seq > last {
				f(data, path)
				last = seq
			}
			if time.Since(time.UnixMilli(st.Ctime)) > changeExpiration {
				if err := c.Delete(ctx, path, AnyVersion); err != nil && !errors.Is(err, ErrNoNode) {
					c.opt.Log.Warnf("remove an old change notification: %v", err)
				}
			}
		}
	}
}
