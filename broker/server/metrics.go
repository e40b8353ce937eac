package server

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"time"

	"gregor/internal/meter"
)

// Phases of a request, in Kafka's division of its time; in microseconds, but for Size, which is in bytes.
const (
	// QueueTime is from the request's arrival to its start. A request starts when it is read, so only large ones wait for their turn.
	QueueTime = iota
	// LocalTime is what the broker itself worked on it.
	LocalTime
	// RemoteTime is what it waited for others: followers, or records to come.
	RemoteTime
	// ResponseQueueTime is what the finished answer waited for those before it.
	ResponseQueueTime
	// SendTime is what the socket took.
	SendTime
	TotalTime
	// Size is the request's without its header.
	Size
	phases
)

const (
	maxVersions = 24
	// errorCodes are counted from -1 (UNKNOWN_SERVER_ERROR) on.
	errorCodes = 128
	maxShards  = 8
)

// RequestStats counts the requests of one type, as one shard saw them.
type RequestStats struct {
	versions [maxVersions]atomic.Int64
	errors   [errorCodes]atomic.Int64
	times    [phases]meter.Histogram
}

// Metrics counts what a Server does. Each type of requests takes memory with its first request. The cells are sharded by connection, so
// that processors do not fight for them.
type Metrics struct {
	shards int
	stats  [][128][2]atomic.Pointer[RequestStats] // by shard, type, and whether a follower asks
}

// NewMetrics makes the counters of one Server.
func NewMetrics() *Metrics {
	n := min(1<<bits.Len(uint(runtime.GOMAXPROCS(0)-1)), maxShards)
	return &Metrics{shards: n, stats: make([][128][2]atomic.Pointer[RequestStats], n)}
}

func (m *Metrics) of(shard int64, key int16, follower bool) *RequestStats {
	i := 0
	if follower {
		i = 1
	}
	p := &m.stats[shard&int64(m.shards-1)][key&127][i]
	if s := p.Load(); s != nil {
		return s
	}
	p.CompareAndSwap(nil, new(RequestStats))
	return p.Load()
}

// Requests returns what is counted of a type's requests, shard by shard; follower picks the fetches of followers.
func (m *Metrics) Requests(key int16, follower bool) []*RequestStats {
	i := 0
	if follower {
		i = 1
	}
	var out []*RequestStats
	for s := range m.stats {
		if p := m.stats[s][key&127][i].Load(); p != nil {
			out = append(out, p)
		}
	}
	return out
}

// Versions calls f with each version that was asked for, and how often.
func Versions(stats []*RequestStats, f func(version int16, n int64)) {
	for v := range int16(maxVersions) {
		n := int64(0)
		for _, s := range stats {
			n += s.versions[v].Load()
		}
		if n > 0 {
			f(v, n)
		}
	}
}

// Errors calls f with each error code that was answered, 0 included, and how often.
func Errors(stats []*RequestStats, f func(code int16, n int64)) {
	for c := range int16(errorCodes) {
		n := int64(0)
		for _, s := range stats {
			n += s.errors[c].Load()
		}
		if n > 0 {
			f(c-1, n)
		}
	}
}

// Times computes the quantiles of a phase.
func Times(now time.Time, stats []*RequestStats, phase int) meter.Values {
	hs := make([]*meter.Histogram, len(stats))
	for i, s := range stats {
		hs[i] = &s.times[phase]
	}
	return meter.Read(now, hs...)
}

// FromFollower says that another broker's replica asks, which is counted apart.
func (r *Request) FromFollower() { r.follower = true }

// Waits says that the broker has done its own part of the request, and that the rest is up to others. It is called by the goroutine that
// started the request, before anybody else may complete it.
func (r *Request) Waits() {
	if r.timed() {
		r.local = time.Since(r.ReceivedAt)
	}
}

// CountErrors notes that the answer carries an error code, 0 included, n times.
func (r *Request) CountErrors(code int16, n int) {
	m := r.conn.srv.opt.Metrics
	if m == nil || n == 0 {
		return
	}
	if code < -1 || int(code)+1 >= errorCodes {
		code = -1
	}
	m.of(r.conn.index, r.Key, false).errors[code+1].Add(int64(n))
}

// timed says whether anybody wants to know how long the request takes.
func (r *Request) timed() bool { return r.conn.srv.opt.Metrics != nil || r.logged != nil }

// begin notes what can be told of a request only while its bytes are there.
func (r *Request) begin() {
	if l := r.conn.srv.opt.RequestLog; l != nil {
		r.logged = l.Describe(r)
	}
	r.size = len(r.Body)
}

// waitedForTurn notes that the time until now was spent waiting for a large request's turn.
func (r *Request) waitedForTurn() {
	if r.timed() {
		r.queued = time.Since(r.ReceivedAt)
	}
}

// sent accounts requests whose responses left together. They took the time from sending to now to leave.
func (c *conn) sent(first *Request, sending time.Time) {
	m := c.srv.opt.Metrics
	now := time.Now()
	for r := first; r != nil; r = r.next {
		t := Timings{Queue: r.queued, Local: r.local, Send: now.Sub(sending), Total: now.Sub(r.ReceivedAt), Throttle: r.throttled}
		if t.Local == 0 {
			t.Local = r.completed
		}
		t.Remote = r.completed - t.Local
		t.Local -= t.Queue
		t.ResponseQueue = max(sending.Sub(r.ReceivedAt)-r.completed, 0)
		if m != nil {
			m.of(c.index, r.Key, r.follower).add(r, &t)
		}
		if r.logged != nil {
			c.srv.opt.RequestLog.Completed(r, r.logged, t)
		}
	}
}

// Timings is where a request's time went.
type Timings struct {
	Queue, Local, Remote, Throttle, ResponseQueue, Send, Total time.Duration
}

func (s *RequestStats) add(r *Request, t *Timings) {
	s.versions[min(max(r.Version, 0), maxVersions-1)].Add(1)
	for phase, d := range [...]time.Duration{QueueTime: t.Queue, LocalTime: t.Local, RemoteTime: t.Remote,
		ResponseQueueTime: t.ResponseQueue, SendTime: t.Send, TotalTime: t.Total} {
		s.times[phase].Observe(int64(d / time.Microsecond))
	}
	s.times[Size].Observe(int64(r.size))
}

// RequestLog writes a line for each request while it is switched on.
type RequestLog interface {
	// Describe is called before a request is served, while its bytes are there; nil means that this one is not logged.
	Describe(r *Request) *LoggedRequest
	// Answer describes an answer by its body, without the files' bytes, before it is sent.
	Answer(r *Request, body []byte, fileBytes int) string
	// Completed is called when the answer has been sent.
	Completed(r *Request, l *LoggedRequest, t Timings)
}

// LoggedRequest is what a line of the request log will say. Response is filled in before the answer is sent.
type LoggedRequest struct {
	Request, Response string
}

// ListenerStats describes a listener and its connections.
type ListenerStats struct {
	Name     string
	Open     int
	Accepted int64
}

// Stats is what a Server looks like at one moment.
type Stats struct {
	Listeners []ListenerStats
	// InFlight requests are begun and not answered; ResponsesQueued of them are complete and wait for those before them, or for the socket.
	InFlight, ResponsesQueued int
	// LargeWaiting requests wait for their turn.
	LargeWaiting int
	// PoolUsed of PoolLimit bytes hold the bodies of large requests.
	PoolUsed, PoolLimit int64
}

// Stats looks at every connection.
func (s *Server) Stats() Stats {
	var out Stats
	s.mu.Lock()
	for _, l := range s.listeners {
		out.Listeners = append(out.Listeners, ListenerStats{Name: l.Name, Open: l.conns, Accepted: l.accepted})
	}
	s.mu.Unlock()
	for _, c := range s.snapshot() {
		c.mu.Lock()
		out.InFlight += c.mu.inFlight
		for r := c.mu.head; r != nil; r = r.next {
			if r.done {
				out.ResponsesQueued++
			}
		}
		c.mu.Unlock()
	}
	out.LargeWaiting = int(s.largeWaiting.Load())
	s.budget.mu.Lock()
	out.PoolUsed, out.PoolLimit = s.budget.used, s.budget.limit
	s.budget.mu.Unlock()
	return out
}
