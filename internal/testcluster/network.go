package testcluster

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Network connects hosts. Its methods may be called from any goroutine.
type Network struct {
	mu        sync.Mutex
	changed   *sync.Cond // a link, a host or a listener
	rng       *rand.Rand
	delay     func(r *rand.Rand) time.Duration
	slow      map[link]time.Duration
	listeners map[string]*listener // by address
	cut       map[link]bool
	dark      map[string]bool // hosts without power
	conns     map[*conn]struct{}
	lastPort  int
	sent      map[[2]string]int
}

// link is one direction between two hosts.
type link struct{ from, to string }

// New makes a network. delay is how long what is written takes to arrive; it is called with the network's own source of numbers.
func New(seed uint64, delay func(r *rand.Rand) time.Duration) *Network {
	n := &Network{rng: rand.New(rand.NewPCG(seed, 3)), delay: delay, slow: map[link]time.Duration{}, listeners: map[string]*listener{},
		cut: map[link]bool{}, dark: map[string]bool{}, conns: map[*conn]struct{}{}, lastPort: 40000, sent: map[[2]string]int{}}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// Cut holds back what from sends to to.
func (n *Network) Cut(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[link{from, to}] = true
}

// Heal lets through what from sends to to. lose ends the connections between them, and with them what was held back.
func (n *Network) Heal(from, to string, lose bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cut, link{from, to})
	for c := range n.conns {
		if c.out.link == (link{from, to}) {
			if lose {
				c.reset()
				c.peer.reset()
			}
			c.out.cond.Broadcast()
			c.in.cond.Broadcast()
		}
	}
	n.changed.Broadcast()
}

// Slow makes everything that from sends to to arrive so much later; 0 ends that.
func (n *Network) Slow(from, to string, by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow[link{from, to}] = by
}

// Sent counts the writes from one host to another since it was called last.
func (n *Network) Sent() map[[2]string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	sent := n.sent
	n.sent = map[[2]string]int{}
	return sent
}

// Host is a process on a machine, from its start to its end. A machine of the same name may get another when it has ended.
type Host struct {
	n    *Network
	name string
	dead bool // guarded by Network.mu
}

// Host starts a process on a machine, which has power again if it had none.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dark[name] {
		delete(n.dark, name)
		for c := range n.conns {
			if c.out.from == name || c.out.to == name {
				c.reset() // what its peers send next is answered so
			}
		}
		n.changed.Broadcast()
	}
	return &Host{n: n, name: name}
}

// Kill ends a process: nothing it does from here on is seen by others. What it sent before still arrives, and then the end of its
// connections.
func (h *Host) Kill() {
	h.end(false, func(c *conn) {
		c.out.finish(syscall.ECONNRESET)
		c.in.readerGone = true
		c.in.cond.Broadcast()
	})
}

// PowerOff is Kill of the machine: what is on its way is lost, and its peers are told nothing.
func (h *Host) PowerOff() {
	h.end(true, func(c *conn) {
		c.out.lost, c.in.lost = true, true
	})
}

func (h *Host) end(dark bool, sever func(*conn)) {
	n := h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	h.dead = true
	if dark {
		n.dark[h.name] = true
	}
	for addr, l := range n.listeners {
		if l.host == h {
			l.shut()
			delete(n.listeners, addr)
		}
	}
	for c := range n.conns {
		if c.host == h && c.err == nil {
			c.err = net.ErrClosed
			sever(c)
			c.wake()
		}
	}
	n.changed.Broadcast()
}

// Listen is net.Listen of a process; the address must name its machine.
func (h *Host) Listen(_, addr string) (net.Listener, error) {
	n := h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	name, _, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
	case name != h.name:
		err = syscall.EADDRNOTAVAIL
	case h.dead:
		err = net.ErrClosed
	case n.listeners[addr] != nil:
		err = syscall.EADDRINUSE
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: address(addr), Err: err}
	}
	l := &listener{host: h, addr: address(addr), cond: sync.NewCond(&n.mu)}
	n.listeners[addr] = l
	n.changed.Broadcast()
	return l, nil
}

// refusal is how long it takes to learn that nobody listens.
const refusal = 200 * time.Microsecond

// Dial is net.Dialer.DialContext of a process.
func (h *Host) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n := h.n
	to, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: err}
	}
	defer context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.changed.Broadcast()
	})()
	n.mu.Lock()
	defer n.mu.Unlock()
	for err == nil {
		l := n.listeners[addr]
		switch {
		case h.dead:
			err = net.ErrClosed
		case ctx.Err() == context.DeadlineExceeded:
			err = os.ErrDeadlineExceeded
		case ctx.Err() != nil:
			err = ctx.Err()
		case n.cut[link{h.name, to}] || n.cut[link{to, h.name}] || n.dark[to]:
			n.changed.Wait()
		case l == nil:
			// The answer takes its time here too: somebody who tries again at once would keep time from passing.
			n.mu.Unlock()
			wait := time.NewTimer(refusal)
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
			}
			n.mu.Lock()
			err = syscall.ECONNREFUSED
		default:
			return n.connect(h, l), nil
		}
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: err}
}

// connect makes both ends of a connection.
func (n *Network) connect(h *Host, l *listener) *conn {
	n.lastPort++
	local := address(fmt.Sprintf("%s:%d", h.name, n.lastPort))
	there, back := n.pipe(h.name, l.host.name), n.pipe(l.host.name, h.name)
	a := &conn{n: n, host: h, in: back, out: there, local: local, remote: l.addr}
	b := &conn{n: n, host: l.host, in: there, out: back, local: l.addr, remote: local}
	a.peer, b.peer = b, a
	n.conns[a], n.conns[b] = struct{}{}, struct{}{}
	l.backlog = append(l.backlog, b)
	l.cond.Broadcast()
	return a
}

// listener is a net.Listener.
type listener struct {
	host    *Host
	addr    address
	cond    *sync.Cond
	backlog []*conn
	closed  bool
}

func (l *listener) Accept() (net.Conn, error) {
	l.host.n.mu.Lock()
	defer l.host.n.mu.Unlock()
	for len(l.backlog) == 0 && !l.closed {
		l.cond.Wait()
	}
	if l.closed {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
	c := l.backlog[0]
	l.backlog = l.backlog[1:]
	return c, nil
}

func (l *listener) Close() error {
	n := l.host.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if !l.closed {
		l.shut()
		delete(n.listeners, string(l.addr))
	}
	return nil
}

// shut, with the network's lock held, ends the listener and those whom nobody has accepted.
func (l *listener) shut() {
	l.closed = true
	for _, c := range l.backlog {
		c.close(syscall.ECONNRESET)
	}
	l.backlog = nil
	l.cond.Broadcast()
}

func (l *listener) Addr() net.Addr { return l.addr }

// address is host:port.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

var _ net.Conn = (*conn)(nil)
var _ io.Closer = (*listener)(nil)
