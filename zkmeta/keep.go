package zkmeta

import (
	"context"
	"errors"
	"time"
)

// KeepRegistered registers the broker again after each expiry of the session, until ctx ends; it returns then. The first registration is
// RegisterBroker's. registered is told each new epoch, and the session that owns it, which a broker notes in its file.
func (c *Client) KeepRegistered(ctx context.Context, info func() BrokerInfo, registered func(epoch, session int64)) {
	wake := make(chan struct{}, 1)
	defer c.Subscribe(func(ev Event) {
		if ev.Kind == NewSession {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	})()
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
		for {
			session := c.SessionID()
			epoch, err := c.RegisterBroker(ctx, info())
			if err == nil {
				registered(epoch, session)
				break
			}
			if ctx.Err() != nil || errors.Is(err, ErrClosed) {
				return
			}
			c.opt.Log.Errorf("the broker is registered again in a second: %v", err)
			again := time.NewTimer(time.Second)
			select {
			case <-again.C:
			case <-ctx.Done():
				again.Stop()
				return
			}
		}
	}
}
