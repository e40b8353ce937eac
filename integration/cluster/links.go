package cluster

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Who is at an end of a link, besides brokers by their ids.
const (
	ZooKeeper = -1
	unknown   = -2
)

// Links are proxies between brokers and ZooKeeper. What is sent over a link that is cut waits; it arrives, or is lost with its
// connection, when the link is whole again.
type Links struct {
	mu    sync.Mutex
	cond  *sync.Cond
	cut   map[[2]int]bool
	conns map[*link]bool
	lns   []net.Listener
	ended bool
	wg    sync.WaitGroup
}

type link struct {
	from, to       int
	client, server net.Conn
	dead           bool
}

func newLinks() *Links {
	l := &Links{cut: map[[2]int]bool{}, conns: map[*link]bool{}}
	l.cond = sync.NewCond(&l.mu)
	return l
}

// Cut holds back what from sends to to.
func (l *Links) Cut(from, to int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut[[2]int{from, to}] = true
}

// Heal lets through what from sends to to. lose ends the connections between them, and with them what was held back.
func (l *Links) Heal(from, to int, lose bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cut, [2]int{from, to})
	if lose {
		for c := range l.conns {
			if c.from == from && c.to == to || c.from == to && c.to == from {
				c.end()
			}
		}
	}
	l.cond.Broadcast()
}

func (c *link) end() {
	c.dead = true
	_ = c.client.Close()
	if c.server != nil {
		_ = c.server.Close()
	}
}

// listen opens a proxy in front of addr, which is to's. from is who connects; unknown finds out by the client id of the first request.
func (l *Links) listen(from, to int, addr string) (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	l.lns = append(l.lns, ln)
	l.mu.Unlock()
	l.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { l.serve(&link{from: from, to: to, client: c}, addr) })
		}
	})
	return ln.Addr().String(), nil
}

func (l *Links) serve(c *link, addr string) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		_ = c.client.Close()
		return
	}
	l.conns[c] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		c.end()
		delete(l.conns, c)
		l.cond.Broadcast()
	}()
	var first []byte
	if c.from == unknown {
		from, frame, err := sender(c.client)
		if err != nil {
			return
		}
		l.mu.Lock()
		c.from = from
		l.mu.Unlock()
		first = frame
	}
	if !l.open(c, c.from, c.to) {
		return
	}
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	l.mu.Lock()
	c.server = server
	dead := c.dead
	l.mu.Unlock()
	if dead {
		_ = server.Close()
		return
	}
	if _, err := server.Write(first); err != nil {
		return
	}
	l.wg.Go(func() { l.copy(c, c.from, c.to, server, c.client) })
	l.copy(c, c.to, c.from, c.client, server)
}

// sender reads the first request of a connection, and tells the broker that sent it from the client id.
func sender(conn net.Conn) (int, []byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 10 || n > 100<<20 {
		return 0, nil, errors.New("no request")
	}
	frame := append(head, make([]byte, n)...)
	if _, err := io.ReadFull(conn, frame[4:]); err != nil {
		return 0, nil, err
	}
	size := int(int16(binary.BigEndian.Uint16(frame[12:])))
	if size < 0 || 14+size > len(frame) {
		return unknown, frame, nil
	}
	id := strings.TrimPrefix(string(frame[14:14+size]), "broker-")
	id, _, _ = strings.Cut(id, "-")
	broker, err := strconv.Atoi(id)
	if err != nil {
		broker = unknown
	}
	return broker, frame, nil
}

// open waits until the link is whole. It returns false if the connection ended.
func (l *Links) open(c *link, from, to int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.cut[[2]int{from, to}] && !c.dead {
		l.cond.Wait()
	}
	return !c.dead
}

func (l *Links) copy(c *link, from, to int, dst, src net.Conn) {
	defer func() {
		l.mu.Lock()
		c.end()
		l.cond.Broadcast()
		l.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if !l.open(c, from, to) {
			return
		}
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *Links) close() {
	l.mu.Lock()
	l.ended = true
	for _, ln := range l.lns {
		_ = ln.Close()
	}
	for c := range l.conns {
		c.end()
	}
	l.cond.Broadcast()
	l.mu.Unlock()
	l.wg.Wait()
}
