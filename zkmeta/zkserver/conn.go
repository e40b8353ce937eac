package zkserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver/tree"
)

const (
	maxInFlight      = 4096     // requests of one connection that are not answered
	maxInFlightBytes = 8 << 20  // and their size
	maxUnsent        = 4 << 20  // answers that a client has not taken: its next reads wait
	maxUnsentEvents  = 64 << 20 // beyond which a client that takes nothing loses its connection to its watches' events
	firstBuffer      = 4 << 10
	keepBuffer       = 64 << 10
	// handshakeTimeout is how long a connection may say nothing at first.
	handshakeTimeout = 10 * time.Second
)

// request is one frame.
type request struct {
	xid  int32
	op   jute.Op
	body []byte
	at   time.Time
	size int
}

// entry is a place in a connection's order.
type entry struct {
	req   request
	write bool // waits for its transaction; else a read that waits for the writes before it
}

// conn is one client.
type conn struct {
	s    *Server
	nc   net.Conn
	id   tree.WatcherID
	host string

	// Of the loop.
	ses       *session
	ids       []jute.ID
	pend      []byte // answers of this round
	dirty     bool   // in Server.dirtyConns
	queue     []entry
	done      int // answered in this round
	doneBytes int
	connected bool
	gone      bool // nothing more is to be sent
	bye       bool // closes once everything is sent
	last      lastRequest
	since     time.Time

	mu       sync.Mutex
	cond     sync.Cond // the reader waits for room
	inbox    []request
	queued   bool // in Server.mu.ready
	inFlight int
	inBytes  int
	out      []byte
	lastOut  bool // closes when out is sent
	dead     bool
	broken   bool // the reader ended
	stalled  bool // the loop waits for out to shrink
	wake     chan struct{}
	quit     chan struct{}
	once     sync.Once
}

func isTooManyFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// accept makes a connection of a socket, unless its host has too many.
func (s *Server) accept(nc net.Conn) {
	host, _, err := net.SplitHostPort(nc.RemoteAddr().String())
	if err != nil {
		host = nc.RemoteAddr().String()
	}
	c := &conn{s: s, nc: nc, host: host, wake: make(chan struct{}, 1), quit: make(chan struct{}), since: time.Now()}
	c.cond.L = &c.mu
	c.ids = []jute.ID{{Scheme: "ip", ID: host}}
	s.mu.Lock()
	if s.mu.closed || s.opts.MaxClientCnxns > 0 && s.mu.perHost[host] >= s.opts.MaxClientCnxns {
		closed := s.mu.closed
		s.mu.Unlock()
		if !closed {
			s.log.Warnf("Embedded ZooKeeper: %v refused: %s has %d connections already (maxClientCnxns)", nc.RemoteAddr(), host, s.opts.MaxClientCnxns)
		}
		_ = nc.Close() // nothing was said yet
		return
	}
	s.mu.perHost[host]++
	s.mu.conns[c] = struct{}{}
	s.mu.nextConn++
	c.id = s.mu.nextConn
	s.wg.Add(2)
	s.mu.Unlock()
	go c.writeLoop()
	go c.readLoop()
}

// readLoop hands frames to the loop.
func (c *conn) readLoop() {
	defer c.s.wg.Done()
	err := c.read()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
		c.s.log.Warnf("Embedded ZooKeeper: closing the connection of %v: %v", c.nc.RemoteAddr(), err)
	}
	c.mu.Lock()
	c.broken = true
	c.mu.Unlock()
	c.toLoop(nil, 0)
}

func (c *conn) read() error {
	_ = c.nc.SetReadDeadline(time.Now().Add(handshakeTimeout)) // a connection without deadlines only waits longer
	buf := make([]byte, firstBuffer)
	n, first := 0, true
	for {
		m, err := c.nc.Read(buf[n:])
		n += m
		if err != nil {
			if n > 0 && m == 0 && errors.Is(err, io.EOF) {
				return fmt.Errorf("it ended within a frame (%d bytes)", n)
			}
			return err
		}
		if first && n >= 4 {
			if word := string(buf[:4]); isWord(word) {
				return c.s.answerWord(c, word)
			}
		}
		used, frames, err := c.frames(buf[:n], &first)
		if used > 0 {
			if !c.toLoop(frames, used) {
				return nil
			}
		}
		if err != nil {
			return err
		}
		rest := buf[used:n]
		switch need := frameSize(rest); {
		case need > len(buf) && len(rest) == len(buf):
			// A frame's buffer grows as its bytes come, whatever length it claims.
			grown := make([]byte, min(2*len(buf), need))
			copy(grown, rest)
			buf = grown
		case len(rest) == 0 && len(buf) > keepBuffer:
			buf = make([]byte, firstBuffer)
		case len(rest) == 0 && m == len(buf) && len(buf) < keepBuffer:
			buf = make([]byte, 4*len(buf)) // a busy client: more requests per read
		default:
			copy(buf, rest)
		}
		n = len(rest)
	}
}

// frameSize is how long the frame is that b begins, 0 when that is not known yet.
func frameSize(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	return 4 + int(binary.BigEndian.Uint32(b))
}

// frames cuts the whole frames off b into requests with bytes of their own.
func (c *conn) frames(b []byte, first *bool) (used int, out []request, err error) {
	for rest := b; len(rest) >= 4; rest = b[used:] {
		n := int32(binary.BigEndian.Uint32(rest))
		if n < 0 || n > jute.MaxBuffer {
			err = fmt.Errorf("a frame of %d bytes is malformed or too large (at most %d)", n, jute.MaxBuffer)
			break
		}
		if len(rest) < 4+int(n) {
			break
		}
		used += 4 + int(n)
	}
	if used == 0 {
		return 0, nil, err
	}
	now := time.Now()
	own := make([]byte, used)
	copy(own, b)
	for len(own) > 0 {
		n := int(binary.BigEndian.Uint32(own))
		frame := own[4 : 4+n : 4+n]
		own = own[4+n:]
		r := request{body: frame, at: now, size: n}
		if *first {
			*first = false
			_ = c.nc.SetReadDeadline(time.Time{})
			r.op = jute.OpCreateSession
		} else {
			if n < 8 {
				return used, out, fmt.Errorf("a frame of %d bytes has no request header", n)
			}
			r.xid, r.op = int32(binary.BigEndian.Uint32(frame)), jute.Op(binary.BigEndian.Uint32(frame[4:]))
			r.body = frame[8:]
		}
		out = append(out, r)
	}
	return used, out, err
}

// toLoop queues requests for the loop and waits while the connection has too many; false when it is closed.
func (c *conn) toLoop(reqs []request, size int) bool {
	c.mu.Lock()
	c.inbox = append(c.inbox, reqs...)
	c.inFlight += len(reqs)
	c.inBytes += size
	tell := !c.queued
	c.queued = true
	c.mu.Unlock()
	if tell {
		c.s.ready(c)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.dead && len(reqs) > 0 && (c.inFlight >= maxInFlight || c.inBytes >= maxInFlightBytes) {
		c.cond.Wait()
	}
	return !c.dead
}

// ready tells the loop about a connection that has put itself into the queued state.
func (s *Server) ready(c *conn) {
	s.mu.Lock()
	s.mu.ready = append(s.mu.ready, c)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// writeLoop sends what the loop has put into out.
func (c *conn) writeLoop() {
	defer c.s.wg.Done()
	var spare []byte
	for {
		select {
		case <-c.wake:
		case <-c.quit:
			return
		}
		c.mu.Lock()
		b := c.out
		c.out = spare[:0]
		last := c.lastOut
		c.mu.Unlock()
		if len(b) > 0 {
			if _, err := c.nc.Write(b); err != nil {
				c.kill()
				return
			}
		}
		if last {
			c.kill()
			return
		}
		if spare = b; cap(spare) > keepBuffer {
			spare = nil
		}
		c.mu.Lock()
		tell := c.stalled && len(c.out) < maxUnsent
		if tell {
			c.stalled = false
			if tell = !c.queued; tell {
				c.queued = true
			}
		}
		c.mu.Unlock()
		if tell {
			c.s.ready(c)
		}
	}
}

// kill ends both goroutines; whoever is told by the reader's end cleans up.
func (c *conn) kill() {
	c.once.Do(func() {
		c.mu.Lock()
		c.dead = true
		c.cond.Broadcast()
		c.mu.Unlock()
		close(c.quit)
		_ = c.nc.Close() // its answers are sent or nobody wants them
		s := c.s
		s.mu.Lock()
		delete(s.mu.conns, c)
		if s.mu.perHost[c.host]--; s.mu.perHost[c.host] == 0 {
			delete(s.mu.perHost, c.host)
		}
		s.mu.Unlock()
	})
}

// finish sends what there is and closes, from the loop's end on.
func (c *conn) finish() {
	c.mu.Lock()
	empty := len(c.out) == 0
	c.lastOut = true
	c.mu.Unlock()
	if empty {
		c.kill()
		return
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	c.signal()
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
