package controller

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/controller/core"
	"gregor/internal/meter"
	"gregor/wire/peer"
)

// channel sends one registration of a broker its requests, in order and one at a time, each until it is answered.
type channel struct {
	t      *term
	id     int32
	epoch  int64
	ctx    context.Context
	cancel context.CancelFunc

	mu struct {
		sync.Mutex
		broker core.Broker
		queue  []pendingRequest
		conn   *peer.Conn // the open connection, closed by stop
	}
	wake      chan struct{}
	queueTime *meter.Timer // what requests wait
}

type pendingRequest struct {
	core.Request
	at time.Time
}

func newChannel(t *term, b core.Broker) *channel {
	ch := &channel{t: t, id: b.ID, epoch: b.Epoch, wake: make(chan struct{}, 1), queueTime: &meter.Timer{}}
	ch.ctx, ch.cancel = context.WithCancel(t.ctx)
	ch.mu.broker = b
	context.AfterFunc(ch.ctx, func() {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		if ch.mu.conn != nil {
			_ = ch.mu.conn.Close()
		}
	})
	go ch.run()
	return ch
}

func (ch *channel) stop() { ch.cancel() }

// moved takes in changed endpoints of the same registration; they count from the next connection on.
func (ch *channel) moved(b core.Broker) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.mu.broker = b
}

func (ch *channel) send(r core.Request) {
	ch.mu.Lock()
	ch.mu.queue = append(ch.mu.queue, pendingRequest{r, time.Now()})
	ch.mu.Unlock()
	select {
	case ch.wake <- struct{}{}:
	default:
	}
}

func (ch *channel) next() (core.Request, bool) {
	for {
		ch.mu.Lock()
		if len(ch.mu.queue) > 0 {
			r := ch.mu.queue[0]
			ch.mu.queue[0] = pendingRequest{}
			ch.mu.queue = ch.mu.queue[1:]
			ch.mu.Unlock()
			ch.queueTime.Since(r.at)
			return r.Request, true
		}
		ch.mu.Unlock()
		select {
		case <-ch.wake:
		case <-ch.ctx.Done():
			return core.Request{}, false
		}
	}
}

func (ch *channel) run() {
	defer ch.hangUp()
	for {
		r, ok := ch.next()
		if !ok {
			return
		}
		for _, req := range encode(ch.t, r) {
			resp, ok := ch.deliver(req)
			if !ok {
				return
			}
			ch.answered(r, resp)
		}
	}
}

// deliver repeats a request until it is answered or the channel stops.
func (ch *channel) deliver(req kmsg.Request) (kmsg.Response, bool) {
	log := ch.t.c.opt.Log
	for failures := 0; ; failures++ {
		resp, err := ch.roundTrip(req)
		if err == nil {
			return resp, true
		}
		ch.hangUp()
		if ch.ctx.Err() != nil {
			return nil, false
		}
		if failures == 0 || failures%100 == 0 {
			log.Warnf("[Controller id=%d epoch=%d] %s to broker %d is tried again: %v", ch.t.c.opt.BrokerID, ch.t.epoch.Epoch,
				kmsg.NameForKey(req.Key()), ch.id, err)
		}
		pause := time.NewTimer(ch.t.c.opt.Config.RetryBackoff)
		select {
		case <-pause.C:
		case <-ch.ctx.Done():
			pause.Stop()
			return nil, false
		}
	}
}

func (ch *channel) connect() (*peer.Conn, error) {
	ch.mu.Lock()
	conn, broker := ch.mu.conn, ch.mu.broker
	ch.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	opt := &ch.t.c.opt
	addr, err := ch.t.c.address(broker)
	if err != nil {
		return nil, err
	}
	conn, err = peer.Dial(ch.ctx, opt.Dial, addr, strconv.Itoa(int(opt.BrokerID)), opt.Config.RequestTimeout)
	if err != nil {
		return nil, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if err := ch.ctx.Err(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	ch.mu.conn = conn
	return conn, nil
}

func (ch *channel) hangUp() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.mu.conn != nil {
		_ = ch.mu.conn.Close()
		ch.mu.conn = nil
	}
}

func (ch *channel) roundTrip(req kmsg.Request) (kmsg.Response, error) {
	conn, err := ch.connect()
	if err != nil {
		return nil, err
	}
	return conn.RoundTrip(req)
}

// answered tells the loop what a broker said.
func (ch *channel) answered(r core.Request, resp kmsg.Response) {
	put := func(ev core.Event) { ch.t.c.queue.put(coreEvent{term: ch.t, ev: ev}) }
	code := int16(0)
	switch resp := resp.(type) {
	case *kmsg.LeaderAndISRResponse:
		code = resp.ErrorCode
		ev := core.LeaderAndIsrAnswered{Broker: ch.id, Epoch: ch.epoch, Errors: make(map[core.TP]int16, len(resp.Partitions))}
		for _, p := range resp.Partitions {
			ev.Errors[core.TP{Topic: p.Topic, Partition: p.Partition}] = p.ErrorCode
		}
		if code == 0 {
			put(ev)
		}
	case *kmsg.StopReplicaResponse:
		code = resp.ErrorCode
		ev := core.StopReplicaAnswered{Broker: ch.id, Epoch: ch.epoch, Errors: make(map[core.TP]int16, len(resp.Partitions))}
		for _, p := range r.StopReplica.Partitions {
			if p.Delete {
				ev.Errors[p.TP] = code
			}
		}
		for _, p := range resp.Partitions {
			if tp := (core.TP{Topic: p.Topic, Partition: p.Partition}); code == 0 {
				if _, deleted := ev.Errors[tp]; deleted {
					ev.Errors[tp] = p.ErrorCode
				}
			}
		}
		put(ev)
	case *kmsg.UpdateMetadataResponse:
		code = resp.ErrorCode
	}
	if code != 0 {
		ch.t.c.opt.Log.Warnf("[Controller id=%d epoch=%d] broker %d answers %s with error code %d", ch.t.c.opt.BrokerID,
			ch.t.epoch.Epoch, ch.id, kmsg.NameForKey(resp.Key()), code)
	}
}
