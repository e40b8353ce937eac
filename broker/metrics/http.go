package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"github.com/sirupsen/logrus"

	"gregor/replication"
)

// Server answers at metrics.listener. It lives from before a broker's logs are read until after they are closed.
type Server struct {
	log     logrus.FieldLogger
	sources atomic.Pointer[Sources]
	ln      net.Listener
	http    *http.Server
	served  chan struct{}

	mu      sync.Mutex // one scrape at a time; guards what follows
	runtime *prometheus.Registry
	cpu     cpu
}

// Listen binds addr and begins to answer; Set says with what.
func Listen(addr string, listen func(network, addr string) (net.Listener, error), log logrus.FieldLogger) (*Server, error) {
	if listen == nil {
		listen = net.Listen
	}
	ln, err := listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics: cannot listen on %s: %w; it needs an address that nothing else listens on (metrics.listener, or JMX_PORT)", addr, err)
	}
	s := &Server{log: log, ln: ln, served: make(chan struct{}), runtime: newRuntime()}
	s.cpu.start = time.Now()
	s.cpu.last = s.cpu.start
	s.sources.Store(&Sources{State: Starting})
	s.http = &http.Server{Handler: s.mux(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Errorf("Metrics are no longer served at %v: %v", ln.Addr(), err)
		}
	}()
	return s, nil
}

// newRuntime holds what concerns this process and its Go runtime, under the names that all Go programs have.
func newRuntime() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	return r
}

// Set changes what is looked at.
func (s *Server) Set(src Sources) { s.sources.Store(&src) }

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Close ends it; a scrape under way is cut off.
func (s *Server) Close() {
	_ = s.http.Close()
	<-s.served
}

func (s *Server) mux() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("GET /metrics", s.metrics)
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { report(w, s.sources.Load().health()) })
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { report(w, s.sources.Load().readiness()) })
	paths := "/metrics\n/healthz\n/readyz\n"
	if a, ok := s.ln.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		// Profiles show what passes through: only for who is on this machine.
		m.HandleFunc("GET /debug/pprof/", pprof.Index)
		m.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		m.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		m.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		m.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		paths += "/debug/pprof/\n"
	}
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, paths) })
	return m
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	out := io.Writer(w)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		defer func() { _ = z.Close() }() // the client has gone
		out = z
	}
	if err := s.write(r.Context(), out); err != nil && r.Context().Err() == nil {
		s.log.Warnf("A scrape of the metrics by %s failed: %v", r.RemoteAddr, err)
	}
}

// write writes every metric there is.
func (s *Server) write(ctx context.Context, w io.Writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	src := s.sources.Load()
	c := &scrape{Sources: *src, now: time.Now(), cpu: &s.cpu}
	s.cpu.sample(c.now)
	var partitions []*replication.Partition
	if src.Replicas != nil {
		partitions = partitionsOf(src.Replicas)
		c.tally = tallyOf(partitions)
	}
	own := prometheus.NewRegistry()
	if err := own.Register(c); err != nil {
		return err
	}
	families, err := prometheus.Gatherers{own, s.runtime}.Gather()
	if err != nil {
		s.log.Errorf("Some metrics are left out: %v", err)
	}
	enc := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	t := &text{w: w, b: make([]byte, 0, flushAt+1024)}
	if src.Counts != nil {
		t.topics(&src.Counts.Topics)
	}
	t.partitions(partitions)
	t.groups(ctx, src)
	t.flush()
	return t.err
}

// check is one line of a report.
type check struct {
	what string
	err  error
}

var errNotYet = errors.New("not yet")

func unless(ok bool) error {
	if ok {
		return nil
	}
	return errNotYet
}

// health: a process that should be left alone. One that recovers its logs for an hour is healthy.
func (s *Sources) health() []check {
	out := []check{{what: "process"}}
	if s.Store != nil {
		dirs := s.Store.Dirs()
		out = append(out, check{"log directories", dirsAlive(dirs)})
		for _, d := range dirs {
			if !d.Online {
				out = append(out, check{what: fmt.Sprintf("(%s is offline: %v)", d.Path, d.Err)})
			}
		}
	}
	return out
}

// readiness: a broker that clients can use.
func (s *Sources) readiness() []check {
	return []check{
		{"registered in ZooKeeper", unless(s.State == Running)},
		{"ZooKeeper session", unless(s.ZooKeeper != nil && s.ZooKeeper.Connected())},
		{"serving", unless(s.State == Running && s.Server != nil)},
		{"controller known", unless(s.ControllerKnown != nil && s.ControllerKnown())},
	}
}

// report answers 200 if everything is well, and 503 otherwise, with a line for each check.
func report(w http.ResponseWriter, checks []check) {
	var b strings.Builder
	code := http.StatusOK
	for _, c := range checks {
		if c.err != nil {
			code = http.StatusServiceUnavailable
			fmt.Fprintf(&b, "- %s: %v\n", c.what, c.err)
			continue
		}
		fmt.Fprintf(&b, "+ %s\n", c.what)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	fmt.Fprint(w, b.String())
}
