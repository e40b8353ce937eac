package server

import (
	"fmt"
	"slices"
)

// Limits are what may change while a server runs. A limit of 0 is none.
type Limits struct {
	MaxConnections               int
	MaxConnectionsPerIP          int
	MaxConnectionsPerIPOverrides map[string]int
	ConnectionRate               int
	// Listeners holds the limits of single listeners, by name.
	Listeners map[string]ListenerLimits
}

// ListenerLimits are the limits of one listener.
type ListenerLimits struct{ MaxConnections, ConnectionRate int }

// SetLimits changes the limits for connections that come from now on; those that are open stay.
func (s *Server) SetLimits(l Limits) {
	s.mu.Lock()
	s.opt.MaxConnections, s.opt.MaxConnectionsPerIP, s.opt.MaxConnectionsPerIPOverrides = l.MaxConnections, l.MaxConnectionsPerIP, l.MaxConnectionsPerIPOverrides
	for _, ln := range s.listeners {
		own := l.Listeners[ln.Name]
		ln.MaxConnections = own.MaxConnections
		ln.rate.set(own.ConnectionRate)
	}
	s.mu.Unlock()
	s.rate.set(l.ConnectionRate)
	s.mu.room.Broadcast()
}

// AddListener opens another listener; on a server that serves it accepts at once.
func (s *Server) AddListener(lc ListenerConfig) error {
	l, err := s.open(lc)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.stopping {
		l.ln.Close()
		return fmt.Errorf("listener %s: the server stops", lc.Name)
	}
	if slices.ContainsFunc(s.listeners, func(o *listener) bool { return o.Name == lc.Name }) {
		l.ln.Close()
		return fmt.Errorf("listener %s: there is one of that name", lc.Name)
	}
	s.listeners = append(s.listeners, l)
	if s.mu.serving {
		s.wg.Add(1)
		go s.accept(l)
	}
	return nil
}

// RemoveListener closes a listener and, as each has answered what it has in flight, its connections. The address is free at once.
func (s *Server) RemoveListener(name string) {
	s.mu.Lock()
	var gone *listener
	s.listeners = slices.DeleteFunc(slices.Clone(s.listeners), func(l *listener) bool {
		if l.Name == name {
			gone = l
		}
		return l.Name == name
	})
	if gone == nil {
		s.mu.Unlock()
		return
	}
	gone.closed = true
	gone.ln.Close()
	var conns []*conn
	for c := range s.mu.conns {
		if c.listener == gone {
			conns = append(conns, c)
		}
	}
	s.mu.Unlock()
	s.mu.room.Broadcast()
	for _, c := range conns {
		c.drain()
	}
}
