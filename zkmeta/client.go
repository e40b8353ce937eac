package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/sirupsen/logrus"

	"gregor/internal/meter"
)

// Defaults of Options.
const (
	DefaultSessionTimeout = 18 * time.Second
	// DefaultMaxInFlight bounds the requests that wait for an answer: enough to keep a server busy, few enough that a lost
	// connection fails a bounded number of them.
	DefaultMaxInFlight = 512
)

// Options say which ensemble a Client talks to, and how.
type Options struct {
	// Connect is Kafka's zookeeper.connect: host:port pairs with commas between them, and after the last one an optional chroot.
	Connect string
	// SessionTimeout is what the client asks for; the server may grant another one. Default 18 s.
	SessionTimeout time.Duration
	// ConnectTimeout bounds Dial's wait for the first session. Default: SessionTimeout.
	ConnectTimeout time.Duration
	// MaxInFlight bounds requests without an answer yet. Default 512.
	MaxInFlight int
	// MustExist: a chroot that is missing is not made; it is an error.
	MustExist bool
	// SetACL is zookeeper.set.acl: znodes are made with ACLs that let only their creator change them.
	SetACL bool
	// Dialer opens connections; default is net.Dialer, which resolves names again each time.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	Log    logrus.FieldLogger
	// Metrics counts what becomes of the session and how long requests take; nil counts nothing.
	Metrics *Metrics
}

// Metrics counts the life of a Client's sessions. The zero value is ready.
type Metrics struct {
	// Connects, Disconnects and Expires are of sessions; AuthFailures of credentials that the server refused.
	Connects, Disconnects, Expires, AuthFailures atomic.Int64
	// Latency is from a request to its answer, without the wait for a connection.
	Latency meter.Timer
}

func (m *Metrics) changed(state zk.State) {
	if m == nil {
		return
	}
	switch state {
	case zk.StateHasSession:
		m.Connects.Add(1)
	case zk.StateDisconnected:
		m.Disconnects.Add(1)
	case zk.StateExpired:
		m.Expires.Add(1)
	case zk.StateAuthFailed:
		m.AuthFailures.Add(1)
	}
}

// Client is a session with ZooKeeper, and the znodes of a Kafka cluster in it. All methods may be called from any goroutine.
type Client struct {
	opt     Options
	servers []string
	chroot  string // "" or "/a/b"
	slots   chan struct{}
	events  *dispatcher
	done    chan struct{} // closed by Close

	mu struct {
		sync.Mutex
		session   *session
		changed   chan struct{} // closed and replaced whenever session or its connectedness changes
		former    map[int64]bool
		closed    bool
		armed     map[watchKey]bool // watches that the server holds for the present session
		multiRead probeState
	}
}

type watchKey struct {
	path     string
	children bool
}

// ErrClosed is returned by requests on a closed Client.
var ErrClosed = errors.New("the ZooKeeper client is closed")

// ParseConnect splits zookeeper.connect into its servers and its chroot ("" when there is none).
func ParseConnect(s string) (servers []string, chroot string, err error) {
	hosts := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		hosts, chroot = s[:i], strings.TrimRight(s[i:], "/")
		if strings.Contains(chroot, "//") {
			return nil, "", fmt.Errorf("zookeeper.connect=%s: the path after the servers, %q, has an empty element", s, chroot)
		}
	}
	for _, h := range strings.Split(hosts, ",") {
		if h = strings.TrimSpace(h); h == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(h); err != nil {
			h = net.JoinHostPort(strings.Trim(h, "[]"), "2181")
		}
		servers = append(servers, h)
	}
	if len(servers) == 0 {
		return nil, "", fmt.Errorf("zookeeper.connect=%s names no server: want host:port[,host:port...][/chroot]", s)
	}
	return servers, chroot, nil
}

// Dial opens a session, and makes the chroot's path if it is missing.
func Dial(ctx context.Context, opt Options) (*Client, error) {
	servers, chroot, err := ParseConnect(opt.Connect)
	if err != nil {
		return nil, err
	}
	if opt.SessionTimeout <= 0 {
		opt.SessionTimeout = DefaultSessionTimeout
	}
	if opt.ConnectTimeout <= 0 {
		opt.ConnectTimeout = opt.SessionTimeout
	}
	if opt.MaxInFlight <= 0 {
		opt.MaxInFlight = DefaultMaxInFlight
	}
	if opt.Dialer == nil {
		opt.Dialer = (&net.Dialer{}).DialContext
	}
	if opt.Log == nil {
		l := logrus.New()
		l.SetLevel(logrus.PanicLevel)
		opt.Log = l
	}
	c := &Client{opt: opt, servers: servers, chroot: chroot,
		slots: make(chan struct{}, opt.MaxInFlight), events: newDispatcher(), done: make(chan struct{})}
	c.mu.changed = make(chan struct{})
	c.mu.former = map[int64]bool{}
	c.mu.armed = map[watchKey]bool{}
	if err := c.openSession(); err != nil {
		c.Close()
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, opt.ConnectTimeout)
	defer cancel()
	if _, _, err := c.connected(wait, nil, 0); err != nil {
		c.Close()
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %v (zookeeper.connection.timeout.ms)", opt.ConnectTimeout)
		}
		return nil, fmt.Errorf("connect to ZooKeeper at %s: %w", opt.Connect, err)
	}
	if chroot != "" && opt.MustExist {
		there, _, err := c.Exists(wait, "/")
		if err == nil && !there {
			err = fmt.Errorf("there is no %s in ZooKeeper at %s: check the path behind the address", chroot, strings.Join(servers, ","))
		}
		if err != nil {
			c.Close()
			return nil, err
		}
	} else if chroot != "" {
		if err := c.ensureChroot(wait); err != nil {
			c.Close()
			return nil, fmt.Errorf("make chroot %s in ZooKeeper at %s: %w", chroot, opt.Connect, err)
		}
	}
	return c, nil
}

// Close ends the session: its ephemeral znodes go at once. Waiting requests return ErrClosed.
func (c *Client) Close() {
	c.mu.Lock()
	if c.mu.closed {
		c.mu.Unlock()
		return
	}
	c.mu.closed = true
	s := c.mu.session
	close(c.done)
	c.mu.Unlock()
	if s != nil {
		s.close()
	}
	c.events.stop()
}

// SessionID is the present session's id, 0 while there is none. A broker keeps it in a file, to recognise its own leftovers after
// a crash (see ClearStale).
func (c *Client) SessionID() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.session == nil {
		return 0
	}
	return c.mu.session.id
}

// SessionTimeout is the timeout that the server granted, or the one asked for as long as none was granted.
func (c *Client) SessionTimeout() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.session != nil && c.mu.session.timeout > 0 {
		return c.mu.session.timeout
	}
	return c.opt.SessionTimeout
}

// Connected says whether the session has a connection now.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.session != nil && c.mu.session.up
}

// Chroot is the path below which everything lies, "" for the root.
func (c *Client) Chroot() string { return c.chroot }

// Subscribe adds a function that is told every event, in order, on one goroutine. It must not block: it enqueues.
// The function returned ends the subscription.
func (c *Client) Subscribe(f func(Event)) (cancel func()) { return c.events.subscribe(f) }

// connected waits for a session with a connection newer than generation gen of session after.
func (c *Client) connected(ctx context.Context, after *session, gen int) (*session, int, error) {
	for {
		c.mu.Lock()
		s, changed, closed := c.mu.session, c.mu.changed, c.mu.closed
		var up bool
		var now int
		if s != nil {
			up, now = s.up, s.generation
		}
		c.mu.Unlock()
		if closed {
			return nil, 0, ErrClosed
		}
		if up && (s != after || now != gen) {
			return s, now, nil
		}
		select {
		case <-changed:
		case <-c.done:
			return nil, 0, ErrClosed
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("not connected to ZooKeeper at %s: %w", c.opt.Connect, ctx.Err())
		}
	}
}

// announce wakes whoever waits in connected; c.mu is held.
func (c *Client) announceLocked() {
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
}
