package testcluster

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// window is how much of one direction may be on its way or unread.
const window = 256 << 10

// pipe is one direction of a connection. Everything in it is guarded by Network.mu.
type pipe struct {
	link
	cond   *sync.Cond // something changed for its reader or its writer
	chunks []chunk
	size   int
	last   time.Time // when the last chunk, or the end, arrives
	// end is what the reader gets when it has read everything, nil while the writer may go on.
	end        error
	readerGone bool
	lost       bool // nothing of it arrives any more, not even its end
}

type chunk struct {
	b  []byte
	at time.Time
}

func (n *Network) pipe(from, to string) *pipe {
	return &pipe{link: link{from, to}, cond: sync.NewCond(&n.mu)}
}

// arrival is when something arrives that is sent now: not before what was sent earlier.
func (n *Network) arrival(p *pipe) time.Time {
	at := time.Now().Add(n.slow[p.link])
	if n.delay != nil {
		at = at.Add(n.delay(n.rng))
	}
	if at.After(p.last) {
		p.last = at
	}
	return p.last
}

func (p *pipe) finish(end error) {
	if p.end == nil {
		p.end = end
	}
	p.cond.Broadcast()
}

// conn is one end of a connection, a net.Conn.
type conn struct {
	n             *Network
	host          *Host
	peer          *conn
	in, out       *pipe
	local, remote address

	// Guarded by Network.mu.
	err              error // why it can be used no more
	readBy, writeBy  time.Time
	readSet, writSet *time.Timer
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) fail(op string, err error) error {
	if err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

func over(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (c *conn) Read(b []byte) (int, error) {
	n, p := c.n, c.in
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		if c.err != nil {
			return 0, c.fail("read", c.err)
		}
		if over(c.readBy) {
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		}
		if p.lost || n.cut[p.link] {
			p.cond.Wait()
			continue
		}
		next := p.last
		if len(p.chunks) > 0 {
			next = p.chunks[0].at
		} else if p.end == nil {
			p.cond.Wait()
			continue
		}
		if wait := time.Until(next); wait > 0 {
			t := time.AfterFunc(wait, c.wakeReader)
			p.cond.Wait()
			t.Stop()
			continue
		}
		if len(p.chunks) == 0 {
			return 0, c.fail("read", p.end)
		}
		return p.take(b), nil
	}
}

// take moves what has arrived into b.
func (p *pipe) take(b []byte) int {
	total := 0
	for now := time.Now(); len(p.chunks) > 0 && total < len(b) && !p.chunks[0].at.After(now); {
		k := copy(b[total:], p.chunks[0].b)
		total += k
		if p.chunks[0].b = p.chunks[0].b[k:]; len(p.chunks[0].b) == 0 {
			p.chunks = p.chunks[1:]
		}
	}
	p.size -= total
	p.cond.Broadcast()
	return total
}

func (c *conn) wakeReader() {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.in.cond.Broadcast()
}

func (c *conn) Write(b []byte) (int, error) {
	n, p := c.n, c.out
	n.mu.Lock()
	defer n.mu.Unlock()
	for done := 0; ; {
		switch {
		case c.err != nil:
			return done, c.fail("write", c.err)
		case over(c.writeBy):
			return done, c.fail("write", os.ErrDeadlineExceeded)
		case p.readerGone && !n.cut[c.in.link]:
			return done, c.fail("write", syscall.EPIPE)
		case done == len(b):
			return done, nil
		case p.size >= window:
			p.cond.Wait()
			continue
		}
		k := min(len(b)-done, window-p.size)
		p.chunks = append(p.chunks, chunk{slices.Clone(b[done : done+k]), n.arrival(p)})
		p.size += k
		n.sent[[2]string{p.from, p.to}]++
		done += k
		p.cond.Broadcast()
	}
}

func (c *conn) Close() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.err != nil {
		return nil
	}
	c.close(io.EOF)
	return nil
}

// close, with the lock held, ends this side; the peer reads the rest, and then end, or a reset if it sent something that nobody has read.
func (c *conn) close(end error) {
	c.err = net.ErrClosed
	if c.in.size > 0 { // what was not read is answered so
		end = syscall.ECONNRESET
	}
	c.n.arrival(c.out)
	c.out.finish(end)
	c.in.readerGone = true
	c.wake()
}

// reset, with the lock held, ends this side as an answer to something unexpected does.
func (c *conn) reset() {
	if c.err == nil {
		c.err = syscall.ECONNRESET
		c.wake()
	}
}

// wake, with the lock held, lets whoever waits for something look again, and forgets a connection that both sides have left.
func (c *conn) wake() {
	for _, t := range []*time.Timer{c.readSet, c.writSet} {
		if t != nil {
			t.Stop()
		}
	}
	c.in.cond.Broadcast()
	c.out.cond.Broadcast()
	if c.peer.err != nil {
		delete(c.n.conns, c)
		delete(c.n.conns, c.peer)
	}
}

func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(t, &c.readBy, &c.readSet, c.in)
}
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(t, &c.writeBy, &c.writSet, c.out)
}

func (c *conn) setDeadline(t time.Time, by *time.Time, set **time.Timer, p *pipe) error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.err != nil {
		return c.fail("set", c.err)
	}
	*by = t
	if *set != nil {
		(*set).Stop()
		*set = nil
	}
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		*set = time.AfterFunc(wait, func() {
			c.n.mu.Lock()
			defer c.n.mu.Unlock()
			p.cond.Broadcast()
		})
	}
	p.cond.Broadcast()
	return nil
}
