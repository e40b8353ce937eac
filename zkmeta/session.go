package zkmeta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/sirupsen/logrus"
)

// session is one connection object of the library. When its session expires it never connects again, so that no request that was
// queued in it can run under another session: the Client opens a new one.
type session struct {
	c    *Client
	conn *zk.Conn
	dead atomic.Bool // expired or closed: the dialer refuses

	lastHeard atomic.Int64 // unix nanoseconds of the last byte from the server

	// Guarded by Client.mu.
	id         int64
	timeout    time.Duration
	up         bool
	generation int // of connections within the session
	lost       *time.Timer
}

// errSessionOver is what the dialer of an expired session answers.
var errSessionOver = errors.New("the session is over")

// firstAnswerTimeout bounds the wait for a server's answer to the connect request; the library itself would wait ten times 2/3 of
// the session timeout on a server that accepts and says nothing.
const firstAnswerTimeout = 6 * time.Second

func (c *Client) openSession() error {
	s := &session{c: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return ErrClosed
	}
	hosts := &hostList{over: &s.dead}
	// The library's goroutine calls back at once; stateChanged waits for c.mu, so that s.conn is set by then.
	conn, _, err := zk.Connect(c.servers, c.opt.SessionTimeout,
		zk.WithHostProvider(hosts),
		zk.WithDialer(s.dial),
		zk.WithLogger(libraryLog{c.opt.Log}),
		zk.WithLogInfo(false),
		zk.WithMaxConnBufferSize(maxRequestBytes+64<<10),
		zk.WithEventCallback(s.event))
	if err != nil {
		return fmt.Errorf("open a ZooKeeper session: %w", err)
	}
	s.conn = conn
	c.mu.session = s
	return nil
}

func (s *session) close() {
	s.dead.Store(true)
	s.c.mu.Lock()
	if s.lost != nil {
		s.lost.Stop()
	}
	s.c.mu.Unlock()
	s.conn.Close()
}

func (s *session) dial(network, addr string, timeout time.Duration) (net.Conn, error) {
	if s.dead.Load() {
		return nil, errSessionOver
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := s.c.opt.Dialer(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &heardConn{Conn: conn, s: s}, nil
}

// event is the library's callback. It runs on the library's goroutines, sometimes with its locks held: it changes a few fields and
// enqueues.
func (s *session) event(ev zk.Event) {
	c := s.c
	switch ev.Type {
	case zk.EventSession:
		s.stateChanged(ev.State)
	case zk.EventNodeCreated, zk.EventNodeDeleted, zk.EventNodeDataChanged, zk.EventNodeChildrenChanged:
		path, ok := c.relative(ev.Path)
		if !ok {
			return
		}
		c.mu.Lock()
		switch ev.Type {
		case zk.EventNodeChildrenChanged:
			delete(c.mu.armed, watchKey{path, true})
		case zk.EventNodeDeleted:
			delete(c.mu.armed, watchKey{path, true})
			delete(c.mu.armed, watchKey{path, false})
		default:
			delete(c.mu.armed, watchKey{path, false})
		}
		c.mu.Unlock()
		kinds := map[zk.EventType]EventKind{zk.EventNodeCreated: NodeCreated, zk.EventNodeDeleted: NodeDeleted,
			zk.EventNodeDataChanged: DataChanged, zk.EventNodeChildrenChanged: ChildrenChanged}
		c.events.put(Event{Kind: kinds[ev.Type], Path: path})
	}
}

func (s *session) stateChanged(state zk.State) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.session != s || c.mu.closed {
		return
	}
	if state != zk.StateDisconnected || s.up {
		c.opt.Metrics.changed(state)
	}
	switch state {
	case zk.StateHasSession:
		first, back := s.generation == 0, s.lost != nil
		s.id = s.conn.SessionID()
		s.generation++
		s.up = true
		if s.lost != nil {
			s.lost.Stop()
			s.lost = nil
		}
		clear(c.mu.armed) // what the server still watches for us is not to be trusted: everything is read again
		if back {
			c.opt.Log.Infof("connected to ZooKeeper at %s again; session 0x%x goes on", c.opt.Connect, s.id)
		}
		c.opt.Log.Debugf("ZooKeeper session 0x%x, timeout %v, connection %d", s.id, s.timeout, s.generation)
		switch {
		case !first:
			c.events.put(Event{Kind: Reconnected, Session: s.id})
		case len(c.mu.former) > 0:
			c.events.put(Event{Kind: NewSession, Session: s.id})
		}
		c.announceLocked()
	case zk.StateDisconnected:
		if !s.up {
			return
		}
		s.up = false
		c.opt.Log.Warnf("lost the connection to ZooKeeper at %s; session 0x%x is kept and the connection tried again", c.opt.Connect, s.id)
		left := time.Until(time.Unix(0, s.lastHeard.Load()).Add(s.timeout))
		s.lost = time.AfterFunc(max(left, 0), func() {
			c.mu.Lock()
			over := c.mu.session == s && !s.up && !c.mu.closed
			c.mu.Unlock()
			if over {
				c.opt.Log.Warnf("nothing heard from ZooKeeper for %v: session 0x%x has probably expired", s.timeout, s.id)
				c.events.put(Event{Kind: MaybeExpired, Session: s.id})
			}
		})
		c.events.put(Event{Kind: Disconnected, Session: s.id})
		c.announceLocked()
	case zk.StateExpired:
		s.dead.Store(true)
		s.up = false
		if s.id != 0 {
			c.mu.former[s.id] = true
		}
		c.opt.Log.Warnf("ZooKeeper session 0x%x has expired; opening a new one", s.id)
		c.events.put(Event{Kind: Expired, Session: s.id})
		c.mu.session = nil
		c.announceLocked()
		go func() {
			s.close()
			if err := c.openSession(); err != nil && !errors.Is(err, ErrClosed) {
				c.opt.Log.Errorf("%v", err)
			}
		}()
	}
}

// heardConn notes when the server was last heard, what session timeout it granted, and does not wait long for its first answer.
type heardConn struct {
	net.Conn
	s     *session
	hello []byte
	ready bool
}

func (h *heardConn) SetReadDeadline(t time.Time) error {
	if limit := time.Now().Add(firstAnswerTimeout); !h.ready && t.After(limit) {
		t = limit
	}
	return h.Conn.SetReadDeadline(t)
}

func (h *heardConn) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n > 0 {
		h.s.lastHeard.Store(time.Now().UnixNano())
		if !h.ready {
			// length, protocol version, timeout in ms: four bytes each
			h.hello = append(h.hello, p[:n]...)
			if len(h.hello) >= 12 {
				h.ready = true
				if ms := binary.BigEndian.Uint32(h.hello[8:]); ms > 0 {
					h.s.c.mu.Lock()
					h.s.timeout = time.Duration(ms) * time.Millisecond
					h.s.c.mu.Unlock()
				}
			}
		}
	}
	return n, err
}

// hostList gives the library its servers by name, so that each dial resolves them anew, and lets the first round after a lost
// connection go without a pause.
type hostList struct {
	mu      sync.Mutex
	servers []string
	next    int
	tried   int // since the last connection
	over    *atomic.Bool
}

func (h *hostList) Init(servers []string) error {
	if len(servers) == 0 {
		return errors.New("no ZooKeeper server is named")
	}
	h.servers = servers
	return nil
}

func (h *hostList) Len() int { return len(h.servers) }

func (h *hostList) Next() (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	server := h.servers[h.next]
	h.next = (h.next + 1) % len(h.servers)
	// "Once around" makes the library fail what is queued and pause for a second. An expired session pauses until it is closed.
	pause := h.over.Load() || h.tried > 0 && h.tried%len(h.servers) == 0
	h.tried++
	return server, pause
}

func (h *hostList) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tried = 0
}

// libraryLog keeps what the library says at debug level: stateChanged says what matters.
type libraryLog struct{ log logrus.FieldLogger }

func (l libraryLog) Printf(format string, args ...any) {
	l.log.Debugf("zk: "+strings.TrimSpace(format), args...)
}
