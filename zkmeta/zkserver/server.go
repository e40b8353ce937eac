package zkserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/internal/vfs"
	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver/tree"
)

// Options is what a server is made of. Zero values are ZooKeeper's defaults where it has any.
type Options struct {
	DataDir    string
	DataLogDir string // of the transaction log; DataDir when empty
	FS         vfs.FS // of the directories; nil: vfs.OS
	InMemory   bool   // keeps nothing; FS and the directories are not used

	TickTime          time.Duration // 3 s when zero
	MinSessionTimeout time.Duration // 2 ticks when zero
	MaxSessionTimeout time.Duration // 20 ticks when zero
	MaxClientCnxns    int           // connections of one address; 0 is no limit

	Words []string // four-letter words that are answered; nil is all
	Log   logrus.FieldLogger
}

// ErrClosed is what Serve returns after Close.
var ErrClosed = errors.New("zookeeper server is closed")

// Server is one embedded ZooKeeper.
type Server struct {
	opts  Options
	log   logrus.FieldLogger
	begun time.Time

	// Of the loop.
	tree       *tree.Tree
	watches    *tree.Watches
	conns      map[tree.WatcherID]*conn
	sessions   map[int64]*session
	nextSID    int64
	zxid       int64  // the last one given out; the tree's is the last one applied
	gathering  *batch // transactions that wait for the log
	logging    bool   // a batch is being written
	dirtyConns []*conn
	timer      *time.Timer
	timerAt    time.Time
	now        time.Time // of this round
	stats      stats
	scratch    []byte
	failed     bool // what is on disk is not known

	store        *store
	checkpointed chan error // nil without a checkpoint under way
	toLog        chan *batch
	logged       chan *batch

	wake    chan struct{} // something is in ready
	calls   chan func()
	stop    chan struct{}
	stopped chan struct{}

	mu struct {
		sync.Mutex
		ready     []*conn // connections with frames or news for the loop
		listeners map[net.Listener]struct{}
		perHost   map[string]int
		conns     map[*conn]struct{}
		nextConn  tree.WatcherID
		closed    bool
		err       error // why the loop ended by itself
	}
	wg sync.WaitGroup // accept loops' connections
}

// session is a session's clock and connection.
type session struct {
	id      int64
	timeout time.Duration
	heard   time.Time
	conn    *conn // nil while disconnected
	closing bool  // its end is on the way to the log
}

// batch is transactions that are logged together.
type batch struct {
	records []byte
	first   int64
	txns    []proposal
	err     error
}

// proposal is a transaction on its way, and who waits for it.
type proposal struct {
	txn  tree.Txn
	conn *conn // nil when nobody does
	req  request
}

// New opens the store and starts the server; Serve lets clients in.
func New(o Options) (*Server, error) {
	if o.TickTime == 0 {
		o.TickTime = 3 * time.Second
	}
	if o.MinSessionTimeout == 0 {
		o.MinSessionTimeout = 2 * o.TickTime
	}
	if o.MaxSessionTimeout == 0 {
		o.MaxSessionTimeout = 20 * o.TickTime
	}
	if o.MinSessionTimeout > o.MaxSessionTimeout {
		return nil, fmt.Errorf("zookeeper: minSessionTimeout %v is more than maxSessionTimeout %v", o.MinSessionTimeout, o.MaxSessionTimeout)
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetLevel(logrus.PanicLevel)
		o.Log = l
	}
	if o.DataLogDir == "" {
		o.DataLogDir = o.DataDir
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	s := &Server{
		opts: o, log: o.Log, begun: time.Now(), watches: tree.NewWatches(),
		conns: map[tree.WatcherID]*conn{}, sessions: map[int64]*session{},
		toLog: make(chan *batch, 1), logged: make(chan *batch, 1),
		wake: make(chan struct{}, 1), calls: make(chan func()), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.mu.listeners, s.mu.perHost, s.mu.conns = map[net.Listener]struct{}{}, map[string]int{}, map[*conn]struct{}{}
	if o.InMemory {
		s.tree = tree.New(false)
	} else {
		if o.DataDir == "" {
			return nil, errors.New("zookeeper: no dataDir is given")
		}
		var err error
		if s.store, s.tree, err = openStore(o.FS, o.DataDir, o.DataLogDir); err != nil {
			return nil, err
		}
	}
	s.zxid = s.tree.Zxid()
	s.now = time.Now()
	s.nextSID = int64(uint64(s.now.UnixMilli())<<24>>8) | 1<<56 // as ZooKeeper's server 1 makes them
	s.tree.Sessions(func(t *tree.Session) {
		s.sessions[t.ID] = &session{id: t.ID, timeout: time.Duration(t.TimeoutMs) * time.Millisecond, heard: s.now}
	})
	s.timer = time.NewTimer(time.Hour)
	s.setTimer()
	s.log.Infof("Embedded ZooKeeper: %d znodes, %d sessions, zxid 0x%x, read in %v", s.tree.Nodes(), len(s.sessions), s.zxid,
		time.Since(s.begun).Round(time.Millisecond))
	if s.store != nil {
		go s.logLoop()
	}
	go s.loop()
	return s, nil
}

// Serve accepts clients until Close or until the store fails, and returns why it ended; it may run for several listeners.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		return errors.Join(s.reason(), ln.Close())
	}
	s.mu.listeners[ln] = struct{}{}
	s.mu.Unlock()
	for {
		nc, err := ln.Accept()
		if err != nil {
			s.mu.Lock()
			closed := s.mu.closed
			s.mu.Unlock()
			if closed {
				return s.reason()
			}
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() || isTooManyFiles(err) {
				s.log.Warnf("Embedded ZooKeeper: accept on %v: %v", ln.Addr(), err)
				select {
				case <-time.After(100 * time.Millisecond):
				case <-s.stop:
				}
				continue
			}
			return fmt.Errorf("zookeeper listener %v: %w", ln.Addr(), err)
		}
		s.accept(nc)
	}
}

func (s *Server) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.err != nil {
		return s.mu.err
	}
	return ErrClosed
}

// Close stops accepting, finishes the transactions under way and closes connections and store. Sessions stay open.
func (s *Server) Close() error {
	s.shut(nil)
	<-s.stopped
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.err
}

// shut begins the end.
func (s *Server) shut(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return
	}
	s.mu.closed, s.mu.err = true, err
	for ln := range s.mu.listeners {
		_ = ln.Close() // nothing is lost with it
	}
	close(s.stop)
}

// call runs f on the loop; false when the server has stopped.
func (s *Server) call(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case s.calls <- func() { f(); close(done) }:
		<-done
		return true
	case <-s.stopped:
	case <-ctx.Done():
	}
	return false
}

// Sessions counts the open sessions.
func (s *Server) Sessions() int {
	n := 0
	s.call(context.Background(), func() { n = len(s.sessions) })
	return n
}

// loop owns everything that is not said to be somebody else's.
func (s *Server) loop() {
	defer close(s.stopped)
	for {
		if s.failed {
			s.finish()
			return
		}
		select {
		case <-s.stop:
			s.finish()
			return
		case <-s.wake:
			s.now = time.Now()
		case b := <-s.logged:
			s.now = time.Now()
			s.logging = false
			if b.err != nil {
				s.fatal(b.err)
				continue
			}
			s.applyBatch(b)
			s.maybeCheckpoint()
		case <-s.timer.C:
			s.now = time.Now()
			s.expire()
		case err := <-s.checkpointed:
			s.now = time.Now()
			s.checkpointed = nil
			if err != nil {
				s.fatal(err)
				continue
			}
		case f := <-s.calls:
			s.now = time.Now()
			f()
		}
		s.takeReady()
		s.startLogging()
		s.flush()
	}
}

// fatal ends the server: what is on disk is not known any more, so nothing further may be acknowledged.
func (s *Server) fatal(err error) {
	s.log.Errorf("Embedded ZooKeeper stops: %v", err)
	s.failed, s.gathering = true, nil
	s.shut(err)
}

// finish is the end of the loop.
func (s *Server) finish() {
	if s.store != nil {
		for s.logging || s.gathering != nil {
			s.startLogging()
			b := <-s.logged
			s.logging = false
			if b.err != nil {
				s.fatal(b.err)
				continue
			}
			s.applyBatch(b)
		}
		close(s.toLog)
		if s.checkpointed != nil {
			if err := <-s.checkpointed; err != nil {
				s.failed = true
			}
		}
		if !s.failed && s.tree.Pending() > 0 {
			old, err := s.store.rotate()
			if err == nil {
				err = s.store.checkpoint(s.tree.TakeChanges(), old)
			}
			if err != nil {
				s.log.Errorf("Embedded ZooKeeper: %v", err)
			}
		}
		if err := s.store.close(); err != nil {
			s.log.Errorf("Embedded ZooKeeper: %v", err)
		}
	}
	s.flush()
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.mu.conns))
	s.mu.Unlock()
	for _, c := range conns {
		c.finish()
	}
	s.timer.Stop()
}

// propose gives a transaction its place in the order.
func (s *Server) propose(p proposal) {
	s.zxid++
	p.txn.Zxid, p.txn.Time = s.zxid, s.now.UnixMilli()
	if s.store == nil {
		s.apply(&p)
		return
	}
	if s.gathering == nil {
		s.gathering = &batch{first: s.zxid}
	}
	s.gathering.records = appendRecord(s.gathering.records, &p.txn)
	s.gathering.txns = append(s.gathering.txns, p)
}

func (s *Server) startLogging() {
	if s.store == nil || s.logging || s.gathering == nil {
		return
	}
	s.toLog <- s.gathering
	s.gathering, s.logging = nil, true
}

func (s *Server) logLoop() {
	for b := range s.toLog {
		b.err = s.store.write(b.records, b.first)
		b.records = nil
		s.logged <- b
	}
}

// maybeCheckpoint runs when everything logged is applied and nothing is being written.
func (s *Server) maybeCheckpoint() {
	if s.store.bytes < checkpointBytes || s.checkpointed != nil {
		return
	}
	old, err := s.store.rotate()
	if err != nil {
		s.fatal(err)
		return
	}
	changes := s.tree.TakeChanges()
	done := make(chan error, 1)
	s.checkpointed = done
	go func() {
		begun := time.Now()
		err := s.store.checkpoint(changes, old)
		s.log.Debugf("Embedded ZooKeeper: checkpoint of %d znodes at zxid 0x%x took %v", len(changes.Paths), changes.Zxid, time.Since(begun))
		done <- err
	}()
}

func (s *Server) applyBatch(b *batch) {
	for i := range b.txns {
		s.apply(&b.txns[i])
	}
}

// apply runs a transaction that is on disk, sends its events, then its answer.
func (s *Server) apply(p *proposal) {
	c := p.conn
	if c != nil && !c.gone {
		s.drain(c, true) // reads before it that wait for a slow client
	}
	var r tree.Result
	if c != nil && !c.gone && p.txn.Op != jute.OpCreateSession {
		r = s.tree.Apply(&p.txn, s.scratch[:0])
		s.scratch = r.Body
	} else {
		r = s.tree.Apply(&p.txn, nil)
	}
	for _, e := range r.Events {
		s.watches.Fire(e, func(id tree.WatcherID) { s.event(s.conns[id], e) })
	}
	switch p.txn.Op {
	case jute.OpCreateSession:
		if c != nil && !c.gone {
			s.welcome(c, p)
		}
	case jute.OpCloseSession:
		s.closed(p, r)
	default:
		if c != nil && !c.gone {
			s.answer(c, &p.req, r.Code, r.Body)
		}
	}
	if cap(s.scratch) > 1<<20 {
		s.scratch = nil
	}
	if c != nil && !c.gone {
		c.pop()
		s.drain(c, false)
	}
}

// closed ends a session whose last transaction is applied.
func (s *Server) closed(p *proposal, r tree.Result) {
	ses := s.sessions[p.txn.Session]
	delete(s.sessions, p.txn.Session)
	if p.conn != nil && !p.conn.gone {
		s.answer(p.conn, &p.req, r.Code, nil)
		s.dismiss(p.conn)
	}
	if ses != nil && ses.conn != nil && ses.conn != p.conn {
		s.dismiss(ses.conn)
	}
}

// expire ends the sessions that were not heard of for their timeout. After a pause of the whole process (a stopped process,
// a sleeping machine) everybody is given the time that was lost, since their messages are still unread.
func (s *Server) expire() {
	if late := s.now.Sub(s.timerAt); late > time.Second {
		for _, ses := range s.sessions {
			ses.heard = ses.heard.Add(late)
		}
	}
	for _, ses := range s.sessions {
		if !ses.closing && s.now.Sub(ses.heard) >= ses.timeout {
			ses.closing = true
			s.log.Infof("Embedded ZooKeeper: session 0x%x expired after %v", ses.id, ses.timeout)
			s.propose(proposal{txn: tree.Txn{Session: ses.id, Op: jute.OpCloseSession}})
		}
	}
	s.setTimer()
}

// minTick keeps the expiry of many sessions from waking the loop for each.
const minTick = 50 * time.Millisecond

func (s *Server) setTimer() {
	next := s.opts.MinSessionTimeout
	for _, ses := range s.sessions {
		if !ses.closing {
			next = min(next, ses.timeout-s.now.Sub(ses.heard))
		}
	}
	next = max(next, minTick)
	s.timerAt = s.now.Add(next)
	s.timer.Reset(next)
}

func newPassword() [tree.PasswordSize]byte {
	var p [tree.PasswordSize]byte
	_, _ = rand.Read(p[:]) // never fails
	return p
}
