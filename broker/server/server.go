package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/internal/gcpace"
)

// Server accepts connections and serves the requests of the table.
type Server struct {
	opt    Options
	table  [128]*API // by request type; every type fits, and New refuses others
	log    logrus.FieldLogger
	budget *budget

	ctx    context.Context
	cancel context.CancelFunc

	listeners []*listener // guarded by mu once Listen has returned

	nextConn atomic.Int64
	wg       sync.WaitGroup // accept loops, the sweeper, connections

	mu struct {
		sync.Mutex
		room     sync.Cond // a connection ended, or the server stops
		conns    map[*conn]struct{}
		perIP    map[string]int
		counted  int // connections that count into MaxConnections
		evicted  int // of them, those that were closed to make room and are not gone yet
		serving  bool
		stopping bool
	}
	rate *rateLimit
	stop chan struct{}

	large        chan struct{} // one element for each large request that is being handled
	largeWaiting atomic.Int32
}

type listener struct {
	ListenerConfig
	ln   net.Listener
	rate *rateLimit
	// Guarded by Server.mu.
	conns    int
	accepted int64
	// closed: removed from a server that goes on.
	closed bool
}

// New checks the options and builds a server that does not listen yet.
func New(opt Options) (*Server, error) {
	if err := opt.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{opt: opt, log: opt.Log, budget: newBudget(opt.QueuedMaxBytes), rate: newRateLimit(opt.ConnectionRate), stop: make(chan struct{}), large: make(chan struct{}, maxLarge)}
	byKey, err := rows(opt.APIs)
	if err != nil {
		return nil, err
	}
	for k, a := range byKey {
		if k < 0 || int(k) >= len(s.table) {
			return nil, fmt.Errorf("server: request type %d is out of range", k)
		}
		s.table[k] = a
	}
	s.mu.room.L = &s.mu.Mutex
	s.mu.conns = map[*conn]struct{}{}
	s.mu.perIP = map[string]int{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Listen opens every listener, so that addresses are known and clients can connect; nothing is accepted before Serve.
func (s *Server) Listen() error {
	for _, lc := range s.opt.Listeners {
		l, err := s.open(lc)
		if err != nil {
			s.closeListeners()
			return err
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

func (s *Server) open(lc ListenerConfig) (*listener, error) {
	ln, err := s.opt.Listen("tcp", lc.Addr)
	if err != nil {
		return nil, fmt.Errorf("listener %s: cannot listen on %s: %w; it needs an address of this machine that nothing else listens on (listeners)", lc.Name, lc.Addr, err)
	}
	return &listener{ListenerConfig: lc, ln: ln, rate: newRateLimit(lc.ConnectionRate)}, nil
}

// Addr is the address the named listener is bound to, nil if there is none.
func (s *Server) Addr(name string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if l.Name == name {
			return l.ln.Addr()
		}
	}
	return nil
}

// Serve begins to accept on every listener and returns at once.
func (s *Server) Serve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.serving || s.mu.stopping {
		return
	}
	s.mu.serving = true
	for _, l := range s.listeners {
		s.wg.Add(1)
		go s.accept(l)
	}
	if s.opt.IdleTimeout > 0 {
		s.wg.Add(1)
		go s.sweepIdle()
	}
}

func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		l.ln.Close()
	}
}

func (s *Server) accept(l *listener) {
	defer s.wg.Done()
	pause := time.Duration(0)
	for {
		if !s.waitForRoom(l) {
			return
		}
		nc, err := l.ln.Accept()
		if err != nil {
			if s.isStopping() || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: go on when some were closed.
			pause = min(max(2*pause, 10*time.Millisecond), time.Second)
			s.log.Errorf("Listener %s: accepting a connection failed, trying again in %v: %v", l.Name, pause, err)
			select {
			case <-time.After(pause):
			case <-s.stop:
				return
			}
			continue
		}
		pause = 0
		if !s.pace(l) {
			nc.Close()
			return
		}
		s.admit(l, nc)
	}
}

// waitForRoom holds a listener back while it, or the broker, has all the connections it may have.
func (s *Server) waitForRoom(l *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.mu.stopping && !l.closed && ((l.MaxConnections > 0 && l.conns >= l.MaxConnections) ||
		(s.opt.MaxConnections > 0 && !l.ControlPlane && !s.protected(l) && s.mu.counted >= s.opt.MaxConnections)) {
		s.mu.room.Wait()
	}
	return !s.mu.stopping && !l.closed
}

// admit starts a connection unless its address has too many.
func (s *Server) admit(l *listener, nc net.Conn) {
	host := hostOf(nc.RemoteAddr())
	s.mu.Lock()
	limit, ok := s.opt.MaxConnectionsPerIPOverrides[host]
	if !ok && s.opt.MaxConnectionsPerIP > 0 {
		limit, ok = s.opt.MaxConnectionsPerIP, true
	}
	if s.mu.stopping || l.closed || (ok && s.mu.perIP[host] >= limit) {
		stopping := s.mu.stopping || l.closed
		s.mu.Unlock()
		if !stopping {
			s.log.Infof("Rejected connection from %s on listener %s, address already has the configured maximum of %d connections.",
				nc.RemoteAddr(), l.Name, limit)
		}
		nc.Close()
		return
	}
	c := newConn(s, l, nc, host)
	s.mu.conns[c] = struct{}{}
	s.mu.perIP[host]++
	l.conns++
	l.accepted++
	if !l.ControlPlane {
		s.mu.counted++
	}
	var victim *conn
	most := s.opt.MaxConnections
	if most > 0 && s.protected(l) && s.mu.counted-s.mu.evicted > most {
		victim = s.evict()
	}
	s.wg.Add(1)
	s.mu.Unlock()
	go c.serve()
	if victim != nil {
		s.log.Infof("Closing connection %s of listener %s, which has been idle longest: listener %s needs room, and max.connections is %d.",
			victim.ID(), victim.listener.Name, l.Name, most)
		victim.abort()
	}
}

func (s *Server) isProtected(l *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.protected(l)
}

// protected, with mu held, says whether max.connections does not hold a listener back: brokers must reach each other however many clients there are. A
// listener that is the only one is everybody's.
func (s *Server) protected(l *listener) bool { return l.InterBroker && len(s.listeners) > 1 }

// evict, with mu held, chooses the client's connection that has been without a request for longest, nil if there is none.
func (s *Server) evict() *conn {
	var oldest *conn
	for c := range s.mu.conns {
		if !c.evicted && !c.listener.ControlPlane && !s.protected(c.listener) && (oldest == nil || c.lastUse.Load() < oldest.lastUse.Load()) {
			oldest = c
		}
	}
	if oldest != nil {
		oldest.evicted = true
		s.mu.evicted++
	}
	return oldest
}

// forget is called once per connection, when its reader is gone and nothing is in flight.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.mu.conns, c)
	if s.mu.perIP[c.host]--; s.mu.perIP[c.host] <= 0 {
		delete(s.mu.perIP, c.host)
	}
	c.listener.conns--
	if !c.listener.ControlPlane {
		s.mu.counted--
	}
	if c.evicted {
		s.mu.evicted--
	}
	s.mu.Unlock()
	s.mu.room.Broadcast()
	s.wg.Done()
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.stopping
}

// Connections is the number of open connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.conns)
}

func (s *Server) snapshot() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		all = append(all, c)
	}
	return all
}

// sweepIdle closes connections without traffic; one goroutine for all of them instead of a timer each.
func (s *Server) sweepIdle() {
	defer s.wg.Done()
	t := time.NewTicker(max(min(s.opt.IdleTimeout/8, 30*time.Second), time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-t.C:
			for _, c := range s.snapshot() {
				c.closeIfIdle(now, s.opt.IdleTimeout)
			}
		}
	}
}

// handleGrace is how long a stop lets handlers go on before their context ends: what is not done by then waits for somebody else, such
// as a ZooKeeper that is away.
const handleGrace = 3 * time.Second

// Shutdown stops accepting, lets every connection finish and answer what it has in flight, then closes them. When ctx ends first
// the rest is closed at once and its error returned. Every goroutine of the server has ended when Shutdown returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.mu.stopping
	s.mu.stopping = true
	s.mu.Unlock()
	s.mu.room.Broadcast()
	if first {
		close(s.stop)
		s.closeListeners()
	}
	s.budget.close()
	for _, c := range s.snapshot() {
		c.drain()
	}
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	impatient := time.AfterFunc(handleGrace, s.cancel)
	defer impatient.Stop()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("server: connections closed with requests in flight: %w", context.Cause(ctx))
		s.cancel()
		for _, c := range s.snapshot() {
			c.abort()
		}
		<-done
	}
	s.cancel()
	return err
}

// Close is Shutdown without waiting for what is in flight.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
	return nil
}

const (
	// largeBody is the size of a request to be decoded by kmsg from which on it counts as large: as messages, 20 MB of tiny topics are
	// ten times as much and more.
	largeBody = 1 << 20
	// maxLarge is how many of them are handled at a time. Clients do not send such; what controllers send is not counted.
	maxLarge = 2
)

// enterLarge waits for a large request's turn; false means that the server stops. While one is at work the collector runs often, and what
// it took is given back to the system before the next gets its turn: else the heap would grow to a multiple of it, and stay so for minutes.
func (s *Server) enterLarge() (leave func(), ok bool) {
	s.largeWaiting.Add(1)
	select {
	case s.large <- struct{}{}:
		s.largeWaiting.Add(-1)
	case <-s.stop:
		s.largeWaiting.Add(-1)
		return nil, false
	}
	release := gcpace.Hold()
	return func() {
		release()
		debug.FreeOSMemory()
		<-s.large
	}, true
}

func hostOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	if t, ok := a.(*net.TCPAddr); ok {
		return t.IP.String()
	}
	if h, _, err := net.SplitHostPort(a.String()); err == nil {
		return h
	}
	return a.String()
}
