package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire"
)

const (
	anonymous = "User:ANONYMOUS"
	// maxCoalesced responses, or about maxCoalescedBytes, leave in one go; what follows waits for the next round.
	maxCoalesced      = 64
	maxCoalescedBytes = 1 << 20
)

// conn is one connection. Its reader goroutine (serve) owns in, clientID and jobs; whoever has set writing owns out.
type conn struct {
	srv      *Server
	listener *listener
	nc       net.Conn
	host     string
	index    int64

	in       input
	clientID *string
	jobs     []Job // what the reader does when responses are out
	out      output

	// activity moves whenever bytes do; the idle sweep compares it with what it saw last.
	activity atomic.Uint64
	// lastUse is when the last request came, or the connection, in nanoseconds since 1970.
	lastUse atomic.Int64
	evicted bool // guarded by Server.mu: closed to make room for another
	// muteUntil, in nanoseconds since 1970, holds back the next read.
	muteUntil atomic.Int64

	idle struct { // owned by the idle sweep
		seen  uint64
		since time.Time
	}

	mu struct {
		sync.Mutex
		room sync.Cond // in-flight requests became fewer
		// head and tail are the requests in flight, in arrival order.
		head, tail *Request
		inFlight   int
		// readerWrites: the reader will send what is ready before it waits for anything, so completions need not.
		readerWrites bool
		writing      bool
		served       bool // a request has come
		draining     bool // no further request is read
		drainingNew  bool // no further request is read once the first has come
		readerDone   bool
		dead         bool // the socket is closed; nothing is sent any more
		forgotten    bool
	}
}

var requestPool = sync.Pool{New: func() any { return new(Request) }}

func newConn(s *Server, l *listener, nc net.Conn, host string) *conn {
	c := &conn{srv: s, listener: l, nc: nc, host: host, index: s.nextConn.Add(1) - 1}
	c.lastUse.Store(time.Now().UnixNano())
	c.mu.room.L = &c.mu.Mutex
	if t, ok := nc.(*net.TCPConn); ok {
		if s.opt.SendBuffer > 0 {
			_ = t.SetWriteBuffer(s.opt.SendBuffer)
		}
		if s.opt.ReceiveBuffer > 0 {
			_ = t.SetReadBuffer(s.opt.ReceiveBuffer)
		}
	}
	c.in.init(c)
	c.out.init(c)
	return c
}

// ID is Kafka's connection id: local address, remote address, index.
func (c *conn) ID() string {
	return c.nc.LocalAddr().String() + "-" + c.nc.RemoteAddr().String() + "-" + strconv.FormatInt(c.index, 10)
}

// errDrained ends a reader whose server stops.
var errDrained = errors.New("server is stopping")

func (c *conn) serve() {
	err := c.readLoop()
	c.in.close()
	c.doJobs()
	// A peer that closed, half-closed or vanished is no news; anything else was decided here and is worth its one line.
	quiet := errors.Is(err, io.EOF) || errors.Is(err, errDrained)
	var op *net.OpError
	lost := errors.As(err, &op) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
	if !quiet && !lost {
		c.srv.log.Warnf("Closing connection %s from %s on listener %s: %v", c.ID(), c.nc.RemoteAddr(), c.listener.Name, err)
	}
	c.mu.Lock()
	c.mu.readerDone = true
	c.mu.readerWrites = false
	if lost {
		c.die() // otherwise what was asked before is answered first, as Kafka does, which reads no further until then
	} else {
		c.callOnClose() // but a long poll is not worth its whole wait: hardly anybody reads on after closing his side
	}
	write := c.claimWriter()
	c.mu.Unlock()
	if write {
		c.writeReady()
	}
	c.finish()
}

// authenticate is the stage before the first request; a PLAINTEXT listener has none.
func (c *conn) authenticate() (principal string, err error) { return anonymous, nil }

func (c *conn) readLoop() error {
	principal, err := c.authenticate()
	if err != nil {
		return err
	}
	for {
		c.waitMuted()
		frame, owner, err := c.nextFrame()
		if err != nil {
			return err
		}
		if err := c.start(principal, frame, owner); err != nil {
			return err
		}
	}
}

func (c *conn) waitMuted() {
	until := c.muteUntil.Load()
	if until == 0 {
		return
	}
	c.flush()
	t := time.NewTimer(time.Until(time.Unix(0, until)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.srv.stop:
	}
	c.muteUntil.CompareAndSwap(until, 0)
}

// start decodes the header, queues the request and runs its function. It takes over one reference to owner.
func (c *conn) start(principal string, frame []byte, owner *buffer) error {
	h, body, err := wire.ParseHeader(frame)
	var api *API
	if err == nil {
		api, err = c.srv.row(h)
	}
	if err != nil {
		owner.release()
		return err
	}
	now := time.Now()
	c.lastUse.Store(now.UnixNano())
	r := requestPool.Get().(*Request)
	*r = Request{Key: h.Key, Version: h.Version, CorrelationID: h.CorrelationID, ClientID: c.internClientID(h.ClientID), Body: body,
		ReceivedAt: now, Principal: principal, Listener: c.listener.Name, ControlPlane: c.listener.ControlPlane,
		RemoteAddr: c.nc.RemoteAddr(), conn: c, owner: owner}
	r.begin()
	if !c.enqueue(r) {
		owner.release()
		return net.ErrClosed
	}
	if api.Start != nil {
		if err = api.Start(c.srv.ctx, r); err != nil {
			err = fmt.Errorf("%s request version %d: %w", wire.APIName(h.Key), h.Version, err)
		}
	} else {
		c.flush()
		err = c.handle(api, r)
	}
	if err != nil {
		r.complete(nil) // it gets no answer, and what was asked before it does
	}
	return err
}

// row finds the table's row for a header; Apache Kafka closes on types and versions it does not serve.
func (s *Server) row(h wire.Header) (*API, error) {
	var api *API
	if h.Key >= 0 && int(h.Key) < len(s.table) {
		api = s.table[h.Key]
	}
	if api == nil {
		return nil, fmt.Errorf("request type %d (%s) is not served", h.Key, wire.APIName(h.Key))
	}
	if !api.AnyVersion && (h.Version < api.MinVersion || h.Version > api.MaxVersion) {
		return nil, fmt.Errorf("%s request version %d is not served, only %d to %d", wire.APIName(h.Key), h.Version, api.MinVersion, api.MaxVersion)
	}
	return api, nil
}

// internClientID spares an allocation per request: a connection's client id hardly ever changes.
func (c *conn) internClientID(id []byte) *string {
	if id == nil {
		return nil
	}
	if c.clientID == nil || *c.clientID != string(id) {
		s := string(id)
		c.clientID = &s
	}
	return c.clientID
}

// handle serves a request to its end with kmsg's messages.
func (c *conn) handle(api *API, r *Request) error {
	if len(r.Body) > largeBody && !api.ClusterAction {
		leave, ok := c.srv.enterLarge()
		if !ok {
			return errDrained
		}
		defer leave()
		r.waitedForTurn()
	}
	return c.handleMessage(api, r)
}

// handleMessage is apart from handle so that the messages are garbage when a large request leaves its turn.
func (c *conn) handleMessage(api *API, r *Request) error {
	if err := wire.Check(r.Key, r.Version, r.Body); err != nil {
		return err
	}
	msg := kmsg.RequestForKey(r.Key)
	msg.SetVersion(r.Version)
	if err := msg.ReadFrom(r.Body); err != nil {
		return fmt.Errorf("%w: %s request version %d: %v", wire.ErrMalformed, wire.APIName(r.Key), r.Version, err)
	}
	resp, err := api.Handle(c.srv.ctx, r, msg)
	if err != nil {
		return fmt.Errorf("%s request version %d: %w", wire.APIName(r.Key), r.Version, err)
	}
	if resp == nil {
		r.CompleteSilently()
		return nil
	}
	r.CompleteMessage(resp)
	return nil
}

// enqueue puts r at the end of the requests in flight, waiting while they are too many.
func (c *conn) enqueue(r *Request) bool {
	c.mu.Lock()
	for c.mu.inFlight >= c.srv.opt.MaxInFlight && !c.mu.dead {
		c.mu.Unlock()
		c.flush()
		c.mu.Lock()
		if c.mu.inFlight >= c.srv.opt.MaxInFlight && !c.mu.dead {
			c.mu.room.Wait()
		}
	}
	if c.mu.dead {
		c.mu.Unlock()
		return false
	}
	if c.mu.tail == nil {
		c.mu.head = r
	} else {
		c.mu.tail.next = r
	}
	c.mu.tail = r
	c.mu.inFlight++
	c.mu.served = true
	c.mu.readerWrites = true
	c.mu.Unlock()
	return true
}

// flush is called by the reader before it waits for anything: it sends what is ready, and from here on completions do so themselves.
func (c *conn) flush() {
	c.mu.Lock()
	c.mu.readerWrites = false
	write := c.claimWriter()
	c.mu.Unlock()
	if write {
		c.writeReady()
	}
	if len(c.jobs) > 0 {
		c.doJobs()
	}
}

// doJobs does what requests left for when there is nothing to send.
func (c *conn) doJobs() {
	for i, j := range c.jobs {
		c.jobs[i] = nil
		j.Resume()
	}
	c.jobs = c.jobs[:0]
}

// claimWriter, with mu held, makes the caller the writer if there is something to write and nobody does it.
func (c *conn) claimWriter() bool {
	if c.mu.writing || c.mu.head == nil || !c.mu.head.done || c.mu.dead {
		return false
	}
	c.mu.writing = true
	return true
}

// writeReady sends responses until the oldest request in flight is not complete. The caller has set writing.
func (c *conn) writeReady() {
	for first := c.takeReady(); first != nil; first = c.takeReady() {
		sending := c.sendingSince(first)
		done, err := c.out.try(first)
		if !done {
			err = c.out.rest(first)
		}
		c.ended(first, sending, err)
	}
}

// sendingSince is the time if anybody wants to know how long the responses take to leave.
func (c *conn) sendingSince(first *Request) time.Time {
	if c.srv.opt.Metrics == nil && first.logged == nil {
		return time.Time{}
	}
	return time.Now()
}

// takeReady takes the responses that leave in one go out of the queue. If there are none the caller ceases to be the writer.
func (c *conn) takeReady() (first *Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	last := (*Request)(nil)
	for r := c.mu.head; r != nil && r.done && n < maxCoalesced && bytes < maxCoalescedBytes; r = r.next {
		last = r
		n++
		if r.resp != nil {
			bytes += r.resp.Size()
		}
	}
	if n == 0 || c.mu.dead {
		c.mu.writing = false
		return nil
	}
	first = c.mu.head
	c.mu.head = last.next
	if c.mu.head == nil {
		c.mu.tail = nil
	}
	last.next = nil
	return first
}

// ended ends requests whose responses left, or did not because of err.
func (c *conn) ended(first *Request, sending time.Time, err error) {
	if !sending.IsZero() && err == nil {
		c.sent(first, sending)
	}
	n := 0
	for r := first; r != nil; n++ {
		next := r.next
		if r.resp != nil {
			r.resp.Discard()
		}
		*r = Request{}
		requestPool.Put(r)
		r = next
	}
	if err != nil && !isPeerGone(err) {
		c.srv.log.Warnf("Closing connection %s from %s: sending a response failed: %v", c.ID(), c.nc.RemoteAddr(), err)
	}
	c.mu.Lock()
	c.mu.inFlight -= n
	if err != nil {
		c.die()
	}
	c.mu.Unlock()
	c.mu.room.Signal()
}

// writeHere is the writer goroutine's work done by somebody who must not wait: what is small leaves at once, and a goroutine does the rest.
func (c *conn) writeHere() {
	for first := c.takeReady(); first != nil; first = c.takeReady() {
		sending := c.sendingSince(first)
		done, err := c.out.try(first)
		if !done {
			go c.writeRest(first, sending)
			return
		}
		c.ended(first, sending, err)
	}
	c.finish()
	c.srv.wg.Done()
}

// writeRest goes on where writeHere would have had to wait.
func (c *conn) writeRest(first *Request, sending time.Time) {
	c.ended(first, sending, c.out.rest(first))
	c.writeAndFinish()
}

// writeAndFinish is the writer goroutine.
func (c *conn) writeAndFinish() {
	defer c.srv.wg.Done()
	c.writeReady()
	c.finish()
}

// die, with mu held, closes the socket and drops what was to be sent. Requests in flight complete later, into nothing.
func (c *conn) die() {
	if c.mu.dead {
		return
	}
	c.mu.dead = true
	c.nc.Close()
	for r := c.mu.head; r != nil; r = r.next {
		if r.done && r.resp != nil {
			r.resp.Discard()
			r.resp = nil
		}
	}
	c.callOnClose()
	c.mu.head, c.mu.tail = nil, nil
	c.mu.room.Broadcast()
}

// callOnClose, with mu held, tells the requests in flight that nobody waits for them any more.
func (c *conn) callOnClose() {
	for r := c.mu.head; r != nil; r = r.next {
		if !r.done && r.onClose != nil {
			go r.onClose.RequestClosed(r.ticket)
		}
	}
}

// finish closes and forgets the connection when its reader has ended and everything in flight was answered, or it is dead.
func (c *conn) finish() {
	c.mu.Lock()
	over := c.mu.readerDone && !c.mu.forgotten && (c.mu.dead || (c.mu.head == nil && !c.mu.writing))
	if over {
		c.mu.forgotten = true
		c.die()
	}
	c.mu.Unlock()
	if over {
		c.srv.forget(c)
	}
}

// firstRequestGrace is how long a connection that was made a moment ago may take to bring its first request while the server stops. Some
// clients take a connection that ends before that for a wrong configuration, and fail what they were to send instead of going elsewhere.
const firstRequestGrace = 500 * time.Millisecond

// drain lets the connection end after what is in flight, a new one after its first request. Requests that only wait, as a long poll does, are
// told not to.
func (c *conn) drain() {
	until := time.Unix(1, 0)
	c.mu.Lock()
	if made := time.Unix(0, c.lastUse.Load()); !c.mu.served && time.Since(made) < firstRequestGrace {
		c.mu.drainingNew = true
		until = time.Now().Add(firstRequestGrace)
	} else {
		c.mu.draining = true
	}
	c.callOnClose()
	c.mu.Unlock()
	c.nc.SetReadDeadline(until)
}

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.draining || c.mu.drainingNew && c.mu.served
}

func (c *conn) abort() {
	c.mu.Lock()
	c.die()
	c.mu.Unlock()
	c.finish()
}

func (c *conn) closeIfIdle(now time.Time, limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.activity.Load()
	if c.mu.inFlight > 0 || seen != c.idle.seen || c.idle.since.IsZero() {
		c.idle.seen, c.idle.since = seen, now
		return
	}
	if now.Sub(c.idle.since) >= limit {
		c.srv.log.Debugf("Closing connection %s: idle for more than %v", c.ID(), limit)
		c.die()
	}
}

func isPeerGone(err error) bool {
	var op *net.OpError
	var sys *os.SyscallError
	return errors.As(err, &op) || errors.As(err, &sys) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
