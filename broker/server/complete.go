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

// CompleteHere is Complete for a goroutine that has nothing else to do: it may send the response itself, and whatever is ready
// behind it, instead of starting a writer.
func (r *Request) CompleteHere(p *Response) {
	if hook := r.conn.srv.opt.Complete; hook != nil {
		throttle, mute := hook(Completion{Request: r, Bytes: p.Size()})
		p.setThrottle(throttle)
		r.throttled = time.Duration(throttle) * time.Millisecond
		r.conn.mute(mute)
	}
	c := r.conn
	if r.settle(p) {
		c.writeAndFinish()
	}
}

// CompleteMessage answers the request with a kmsg response.
func (r *Request) CompleteMessage(resp kmsg.Response) {
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
	r.complete(p)
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

// OnClose has f called, in a goroutine of its own, if the connection ends, the peer closes its side of it, or the server begins to stop,
// before the request completes: whoever waits for something on the client's behalf need not wait any longer. The request must still be completed. f may be called
// several times.
func (r *Request) OnClose(f func()) {
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.dead || c.mu.draining || c.mu.readerDone {
		go f()
		return
	}
	r.onClose = f
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
		header := 8 + int(wire.ResponseHeaderVersion(r.Key, r.Version))
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
