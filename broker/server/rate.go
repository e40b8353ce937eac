package server

import (
	"math"
	"sync"
	"time"
)

// rateLimit spaces out new connections: at most perSecond in any second, of which all may come at once.
type rateLimit struct {
	mu        sync.Mutex // guards what follows
	perSecond int        // 0: no limit
	tokens    float64
	filled    time.Time
}

// newRateLimit makes a limit; 0, or Kafka's default of math.MaxInt32, is none.
func newRateLimit(perSecond int) *rateLimit {
	r := &rateLimit{}
	r.set(perSecond)
	return r
}

// set changes the limit; what is left of the running second's share is given out anew only when it did change.
func (r *rateLimit) set(perSecond int) {
	if perSecond < 0 || perSecond >= math.MaxInt32 {
		perSecond = 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if perSecond != r.perSecond {
		r.perSecond, r.tokens, r.filled = perSecond, float64(perSecond), time.Time{}
	}
}

// wait says how long the next connection must wait, and takes it into account.
func (r *rateLimit) wait(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.perSecond == 0 {
		return 0
	}
	if !r.filled.IsZero() {
		r.tokens = min(r.tokens+now.Sub(r.filled).Seconds()*float64(r.perSecond), float64(r.perSecond))
	}
	r.filled = now
	if r.tokens--; r.tokens >= 0 {
		return 0
	}
	return time.Duration(-r.tokens / float64(r.perSecond) * float64(time.Second))
}

// pace holds an accepted connection back until the listener's rate and the broker's allow it; false means that the server stops. The
// inter-broker and the control-plane listener wait for their own rate only: clients must not keep a cluster from working.
func (s *Server) pace(l *listener) bool {
	now := time.Now()
	d := l.rate.wait(now)
	if !l.ControlPlane && !s.isProtected(l) {
		d = max(d, s.rate.wait(now))
	}
	if d == 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stop:
		return false
	}
}
