package zkserver

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver/tree"
)

// takeReady handles what the readers have handed over.
func (s *Server) takeReady() {
	s.mu.Lock()
	list := s.mu.ready
	s.mu.ready = nil
	s.mu.Unlock()
	for _, c := range list {
		c.mu.Lock()
		inbox, broken := c.inbox, c.broken
		c.inbox, c.queued = nil, false
		c.mu.Unlock()
		if len(c.queue) > 0 {
			s.drain(c, false) // it may have been stalled
		}
		for i := range inbox {
			if c.gone || c.bye {
				break
			}
			s.handle(c, &inbox[i])
		}
		if broken {
			s.forget(c)
		}
	}
}

// handle takes one request in the order of its connection.
func (s *Server) handle(c *conn, r *request) {
	s.stats.received++
	c.last.received++
	if !c.connected {
		c.connected = true
		s.connect(c, r)
		return
	}
	ses := c.ses
	if ses == nil || ses.closing {
		s.dismiss(c)
		return
	}
	ses.heard = s.now
	switch {
	case r.op == jute.OpPing:
		s.answer(c, r, jute.OK, nil) // out of order: clients expect it by its xid
	case r.op == jute.OpAuth:
		s.authenticate(c, r)
	case tree.IsWrite(r.op) && r.op != jute.OpCreateSession:
		s.write(c, r)
	default:
		c.queue = append(c.queue, entry{req: *r})
		s.drain(c, false)
	}
}

func (s *Server) write(c *conn, r *request) {
	if r.op == jute.OpCloseSession {
		c.ses.closing = true
	}
	c.queue = append(c.queue, entry{req: *r, write: true})
	s.propose(proposal{txn: tree.Txn{Session: c.ses.id, Op: r.op, IDs: c.ids, Body: r.body}, conn: c, req: *r})
}

// pop takes off the connection's order what was answered.
func (c *conn) pop() {
	c.queue[0] = entry{}
	if c.queue = c.queue[1:]; len(c.queue) == 0 {
		c.queue = nil
	}
}

// drain answers reads until the next one that has to wait: for a write before it, or, without force, for the client to take
// the answers it has got.
func (s *Server) drain(c *conn, force bool) {
	for len(c.queue) > 0 && !c.queue[0].write && !c.gone && !c.bye {
		if !force && s.slow(c) {
			return
		}
		r := c.queue[0].req
		c.pop()
		s.read(c, &r)
		if len(c.pend) > maxUnsentEvents {
			s.cutOff(c)
		}
	}
}

// slow says whether a client has not taken its answers; the writer makes the connection ready when it has.
func (s *Server) slow(c *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pend)+len(c.out) < maxUnsent {
		return false
	}
	c.stalled = true
	return true
}

func (s *Server) read(c *conn, r *request) {
	switch r.op {
	case jute.OpReconfig, jute.OpCreateContainer, jute.OpDeleteContainer, jute.OpCreateTTL:
		s.answer(c, r, jute.ErrUnimplemented, nil)
		return
	case jute.OpSASL:
		s.answer(c, r, jute.ErrAuthFailed, nil)
		s.dismiss(c)
		return
	}
	who := tree.Reader{
		Session: c.ses.id, IDs: c.ids, Watcher: c.id, Watches: s.watches,
		Fire: func(e tree.Event) { s.event(c, e) },
	}
	var code jute.Code
	if r.op == jute.OpSetWatches || r.op == jute.OpSetWatches2 {
		_, code = s.tree.Read(r.op, r.body, &who, nil) // its events come before its answer
		s.answer(c, r, code, nil)
		return
	}
	at := s.begin(c, r)
	c.pend, code = s.tree.Read(r.op, r.body, &who, c.pend)
	s.end(c, r, at, code)
	if code == jute.ErrUnimplemented {
		s.dismiss(c)
	}
}

// authenticate adds an identity to the connection.
func (s *Server) authenticate(c *conn, r *request) {
	var a jute.AuthPacket
	d := jute.NewDecoder(r.body)
	a.Decode(&d)
	switch {
	case d.Err() == nil && a.Scheme == "digest":
		id := tree.DigestID(a.Auth)
		if !slices.Contains(c.ids, id) {
			c.ids = append(slices.Clip(c.ids), id) // transactions under way keep the old list
		}
	case d.Err() == nil && a.Scheme == "ip":
	default:
		s.log.Warnf("Embedded ZooKeeper: %v: authentication with scheme %q failed", c.nc.RemoteAddr(), strings.Clone(a.Scheme))
		s.answer(c, r, jute.ErrAuthFailed, nil)
		s.dismiss(c)
		return
	}
	s.answer(c, r, jute.OK, nil)
}

// connect opens a session or re-attaches to one.
func (s *Server) connect(c *conn, r *request) {
	s.conns[c.id] = c
	var q jute.ConnectRequest
	d := jute.NewDecoder(r.body)
	q.Decode(&d)
	if d.Err() != nil {
		s.log.Warnf("Embedded ZooKeeper: closing the connection of %v: connect request: %v", c.nc.RemoteAddr(), d.Err())
		s.dismiss(c)
		return
	}
	if q.LastZxidSeen > s.tree.Zxid() {
		s.log.Warnf("Embedded ZooKeeper: refusing %v: it has seen zxid 0x%x, ours is 0x%x; it must try another server",
			c.nc.RemoteAddr(), q.LastZxidSeen, s.tree.Zxid())
		s.dismiss(c)
		return
	}
	timeout := min(max(time.Duration(q.TimeoutMs)*time.Millisecond, s.opts.MinSessionTimeout), s.opts.MaxSessionTimeout)
	if q.SessionID == 0 {
		s.newSession(c, r, timeout)
		return
	}
	ses := s.sessions[q.SessionID]
	known, _ := s.tree.Session(q.SessionID)
	if ses == nil || ses.closing || known == nil || !bytes.Equal(known.Password[:], q.Password) {
		s.log.Infof("Embedded ZooKeeper: %v asks for session 0x%x, which is unknown, expired or not its own", c.nc.RemoteAddr(), q.SessionID)
		s.connectResponse(c, &jute.ConnectResponse{Password: make([]byte, tree.PasswordSize), HasReadOnly: q.HasReadOnly})
		s.count(c, r)
		s.dismiss(c)
		return
	}
	if old := ses.conn; old != nil {
		s.dismiss(old)
	}
	ses.conn, c.ses = c, ses
	ses.heard, ses.timeout = s.now, timeout
	s.connectResponse(c, &jute.ConnectResponse{
		TimeoutMs: int32(timeout.Milliseconds()), SessionID: ses.id, Password: known.Password[:], HasReadOnly: q.HasReadOnly,
	})
	s.count(c, r)
}

func (s *Server) newSession(c *conn, r *request, timeout time.Duration) {
	for s.sessions[s.nextSID] != nil {
		s.nextSID++
	}
	ses := &session{id: s.nextSID, timeout: timeout, heard: s.now, conn: c}
	s.nextSID++
	s.sessions[ses.id], c.ses = ses, ses
	c.queue = append(c.queue, entry{req: *r, write: true})
	body := tree.NewSessionBody(int32(timeout.Milliseconds()), newPassword())
	s.propose(proposal{txn: tree.Txn{Session: ses.id, Op: jute.OpCreateSession, Body: body}, conn: c, req: *r})
	if s.timerAt.Sub(s.now) > timeout {
		s.setTimer()
	}
}

// welcome answers a client whose new session is on disk.
func (s *Server) welcome(c *conn, p *proposal) {
	var q jute.ConnectRequest
	d := jute.NewDecoder(p.req.body)
	q.Decode(&d)
	known, ok := s.tree.Session(p.txn.Session)
	if !ok {
		s.dismiss(c)
		return
	}
	s.connectResponse(c, &jute.ConnectResponse{
		TimeoutMs: known.TimeoutMs, SessionID: known.ID, Password: known.Password[:], HasReadOnly: q.HasReadOnly,
	})
	s.count(c, &p.req)
}

func (s *Server) connectResponse(c *conn, r *jute.ConnectResponse) {
	at := s.frame(c)
	c.pend = r.Append(c.pend)
	c.seal(at)
}

// event tells a watcher.
func (s *Server) event(c *conn, e tree.Event) {
	if c == nil || c.gone || c.bye || !e.Visible(c.ids) {
		return
	}
	at := s.frame(c)
	c.pend = jute.AppendEvent(c.pend, e.Type, e.Path)
	c.seal(at)
	s.stats.sent++
	c.last.sent++
	if len(c.pend) > maxUnsentEvents {
		s.cutOff(c)
	}
}

// cutOff closes a connection that takes nothing while its events pile up.
func (s *Server) cutOff(c *conn) {
	s.log.Warnf("Embedded ZooKeeper: closing the connection of %v: it does not read its answers and events (%d bytes wait)", c.nc.RemoteAddr(), maxUnsentEvents)
	c.pend = nil
	s.forget(c)
}

// answer sends a response.
func (s *Server) answer(c *conn, r *request, code jute.Code, body []byte) {
	at := s.begin(c, r)
	c.pend = append(c.pend, body...)
	s.end(c, r, at, code)
}

// frame begins a frame in the connection's buffer and returns where.
func (s *Server) frame(c *conn) int {
	if !c.dirty {
		c.dirty = true
		s.dirtyConns = append(s.dirtyConns, c)
	}
	at := len(c.pend)
	c.pend = append(c.pend, 0, 0, 0, 0)
	return at
}

func (c *conn) seal(at int) {
	binary.BigEndian.PutUint32(c.pend[at:], uint32(len(c.pend)-at-4))
}

func (s *Server) begin(c *conn, r *request) int {
	at := s.frame(c)
	zxid := s.tree.Zxid()
	if r.op == jute.OpAuth {
		zxid = 0
	}
	c.pend = jute.ReplyHeader{Xid: r.xid, Zxid: zxid}.Append(c.pend)
	return at
}

func (s *Server) end(c *conn, r *request, at int, code jute.Code) {
	binary.BigEndian.PutUint32(c.pend[at+4+12:], uint32(code))
	c.seal(at)
	s.count(c, r)
}

// count does the statistics and makes room for the connection's next requests.
func (s *Server) count(c *conn, r *request) {
	c.done++
	c.doneBytes += r.size + 4
	latency := s.now.Sub(r.at)
	s.stats.add(latency)
	c.last.add(r, latency, s.tree.Zxid(), s.now)
}

// flush hands the answers of this round to the writers.
func (s *Server) flush() {
	for _, c := range s.dirtyConns {
		c.dirty = false
		c.mu.Lock()
		if len(c.out) == 0 {
			c.out, c.pend = c.pend, c.out[:0]
		} else {
			c.out = append(c.out, c.pend...)
			c.pend = c.pend[:0]
		}
		tooMuch := len(c.out) > maxUnsentEvents+maxUnsent
		c.lastOut = c.bye
		c.inFlight -= c.done
		c.inBytes -= c.doneBytes
		c.cond.Signal()
		c.mu.Unlock()
		c.done, c.doneBytes = 0, 0
		if cap(c.pend) > keepBuffer {
			c.pend = nil
		}
		if tooMuch {
			s.cutOff(c)
			continue
		}
		c.signal()
	}
	clear(s.dirtyConns)
	s.dirtyConns = s.dirtyConns[:0]
}

// dismiss closes a connection after what it was answered.
func (s *Server) dismiss(c *conn) {
	if c.bye || c.gone {
		return
	}
	c.bye = true
	s.detach(c)
	if !c.dirty {
		c.dirty = true
		s.dirtyConns = append(s.dirtyConns, c)
	}
}

// forget drops a connection that is closed or must be at once.
func (s *Server) forget(c *conn) {
	c.gone = true
	s.detach(c)
	c.queue = nil
	c.kill()
}

func (s *Server) detach(c *conn) {
	delete(s.conns, c.id)
	s.watches.RemoveWatcher(c.id)
	if c.ses != nil && c.ses.conn == c {
		c.ses.conn = nil
	}
}
