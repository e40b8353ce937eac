package txn

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire/peer"
)

// link is a connection to another broker, opened when it is needed. It belongs to one goroutine.
type link struct {
	c      *Coordinator
	broker int32
	what   string // for the client id
	conn   *peer.Conn
	addr   string
}

func (l *link) hangUp() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

var errBrokerGone = errors.New("the broker is not alive")

// maxAnswer bounds an answer: codes of maxErrands transactions with a thousand partitions each are less.
const maxAnswer = 64 << 20

// exchange asks the broker and waits for its answer, as long as it is alive and the time-out allows. After an error there is no connection.
func (l *link) exchange(ctx context.Context, req kmsg.Request, timeout time.Duration) (resp kmsg.Response, err error) {
	defer func() {
		if err != nil {
			l.hangUp()
		}
	}()
	addr, ok := l.c.opt.Brokers.Endpoint(l.broker)
	if !ok {
		return nil, errBrokerGone
	}
	if l.conn != nil && l.addr != addr {
		l.hangUp()
	}
	if l.conn == nil {
		id := "broker-" + strconv.Itoa(int(l.c.opt.Brokers.ID)) + l.what
		conn, err := peer.Dial(ctx, l.c.opt.Brokers.Dial, addr, id, timeout)
		if err != nil {
			return nil, err
		}
		l.conn, l.addr = conn, addr
	}
	conn := l.conn
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	key, version := req.Key(), req.GetVersion()
	if err := conn.Send(key, version, req.AppendTo); err != nil {
		return nil, err
	}
	for until := time.Now().Add(timeout); ; {
		arrived, err := conn.Await(time.Now().Add(min(timeout, aliveCheck)))
		switch {
		case err != nil:
			return nil, err
		case arrived:
			body, err := conn.Receive(key, version, maxAnswer)
			if err != nil {
				return nil, err
			}
			resp := req.ResponseKind()
			return resp, resp.ReadFrom(body)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case time.Now().After(until):
			return nil, context.DeadlineExceeded
		}
		if now, ok := l.c.opt.Brokers.Endpoint(l.broker); !ok || now != l.addr {
			return nil, errBrokerGone
		}
	}
}
