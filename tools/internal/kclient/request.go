package kclient

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reconnectPause lies between two tries to reach brokers of which none can be reached.
const reconnectPause = 100 * time.Millisecond

// Request sends one request. Where no broker can be reached it tries again until ctx ends, as Java's clients do: a script may well
// run before its broker has started. kgo itself gives up on a refused connection at once.
func Request(ctx context.Context, client *kgo.Client, req kmsg.Request) (kmsg.Response, error) {
	for {
		resp, err := client.Request(ctx, req)
		var op *net.OpError
		if err == nil || ctx.Err() == nil && (!errors.As(err, &op) || op.Op != "dial") {
			return resp, err
		}
		timer := time.NewTimer(reconnectPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
}
