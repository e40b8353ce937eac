package server

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire"
)

// Complete answers the request with p. Neither may be used afterwards.
func (r *Request) Complete(p *Response) {
	if hook := r.conn.srv.opt.Complete; hook != nil {
		throttle, mute := hook(Completion{Request: r, Bytes: p.Size()})
		p.setThrottle(throttle)
		r.throttled = time.Duration(throttle) * time.Millisecond
		r.conn.mute(mute)
	}
	r.complete(p)
}

// CompleteHere is Complete for a goroutine that may spare the time to send the response itself, and whatever is ready behind it. If that
// would take long, because there is much to send or the peer does not read, a writer of its own takes over: CompleteHere does not wait.
func (r *Request) CompleteHere(p *Response) {
	if hook := r.conn.srv.opt.Complete; hook != nil {
		throttle, mute := hook(Completion{Request: r, Bytes: p.Size()})
		p.setThrottle(throttle)
		r.throttled = time.Duration(throttle) * time.Millisecond
		r.conn.mute(mute)
	}
	c := r.conn
	if r.settle(p) {
		c.writeHere()
	}
}

// Later takes what is to be done by a connection's reader.
type Later struct{ c *conn }

// Later is that of the request's connection. It is valid as long as the API's Start runs, even if the request has been answered meanwhile,
// and is somebody else's.
func (r *Request) Later() Later { return Later{r.conn} }

// Do has j.Resume called by the connection's reader, when it has sent what is ready and before it waits for anything. Only an API's Start
// may call it. Resume must not wait for a peer.
func (l Later) Do(j Job) { l.c.jobs = append(l.c.jobs, j) }

// CompleteMessage answers the request with a kmsg response.
func (r *Request) CompleteMessage(resp kmsg.Response) { r.complete(r.encode(resp)) }

// CompleteMessageHere is CompleteMessage for a goroutine that may spare the time to send the response, as CompleteHere is Complete.
func (r *Request) CompleteMessageHere(resp kmsg.Response) {
	c := r.conn
	if r.settle(r.encode(resp)) {
		c.writeHere()
	}
}

func (r *Request) encode(resp kmsg.Response) *Response {
	resp.SetVersion(r.Version)
	if f := r.conn.srv.opt.ErrorsOf; f != nil && r.conn.srv.opt.Metrics != nil {
		f(resp, func(code int16) { r.CountErrors(code, 1) })
	}
	p := r.NewResponse()
	header := len(p.B)
	p.B = resp.AppendTo(p.B)
	if hook := r.conn.srv.opt.Complete; hook != nil {
		throttle, mute := hook(Completion{Request: r, Bytes: p.Size()})
		if t, ok := resp.(interface{ SetThrottle(int32) }); ok && throttle > 0 {
			t.SetThrottle(throttle)
			p.B = resp.AppendTo(p.B[:header])
		}
		r.conn.mute(mute)
	}
	return p
}

// CompleteSilently ends a request that gets no response (Produce with acks=0).
func (r *Request) CompleteSilently() {
	if hook := r.conn.srv.opt.Complete; hook != nil {
		_, mute := hook(Completion{Request: r})
		r.conn.mute(mute)
	}
	r.complete(nil)
}

// Fail ends a request by closing its connection; the reason is logged.
func (r *Request) Fail(reason error) {
	c := r.conn
	c.srv.log.Warnf("Closing connection %s from %s on listener %s: %v", c.ID(), c.nc.RemoteAddr(), c.listener.Name, reason)
	r.ReleaseBody()
	c.abort()
}

// OnClose has f.RequestClosed called with the ticket, in a goroutine of its own, if the connection ends, the peer closes its side of it,
// or the server begins to stop, before the request completes: whoever waits for something on the client's behalf need not wait any longer.
// The request must still be completed. The call may come several times, and late: the ticket tells f which of its requests is meant.
func (r *Request) OnClose(f Closer, ticket uint64) {
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.dead || c.mu.draining || c.mu.readerDone {
		go f.RequestClosed(ticket)
		return
	}
	r.onClose, r.ticket = f, ticket
}

// ReleaseBody gives the request's bytes back before it completes: a produce request that waits for replicas needs them no longer.
func (r *Request) ReleaseBody() {
	if r.owner != nil {
		r.owner.release()
		r.owner, r.Body = nil, nil
	}
}

func (c *conn) mute(d time.Duration) {
	if d > 0 {
		c.muteUntil.Store(time.Now().Add(d).UnixNano())
	}
}

func (r *Request) complete(p *Response) {
	c := r.conn
	if r.settle(p) {
		go c.writeAndFinish()
	}
}

// settle is where every answered request ends: it queues the response in its place. True means that the caller must see to it that
// writeAndFinish runs.
func (r *Request) settle(p *Response) bool {
	r.ReleaseBody()
	if r.timed() {
		r.completed = time.Since(r.ReceivedAt)
	}
	if r.logged != nil && p != nil {
		header := 8 + wire.ResponseHeaderVersion(r.Key, r.Version)
		r.logged.Response = r.conn.srv.opt.RequestLog.Answer(r, p.B[min(header, len(p.B)):], p.fileBytes)
	}
	if p != nil {
		p.seal()
	}
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.dead {
		if p != nil {
			p.Discard()
		}
		return false
	}
	r.resp, r.done = p, true
	write := !c.mu.readerWrites && c.claimWriter()
	if write {
		c.srv.wg.Add(1)
	}
	return write
}
