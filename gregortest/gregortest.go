package gregortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/broker"
	"gregor/broker/config"
	"gregor/internal/logging"
	"gregor/internal/vfs"
)

// startTimeout bounds a start, closeTimeout how long requests in flight may hold up a stop.
const (
	startTimeout = 30 * time.Second
	closeTimeout = 10 * time.Second
)

// Broker is a running broker. Its methods may be called from any goroutine.
type Broker struct {
	broker    *broker.Broker
	zk        *broker.ZooKeeper
	addr      string
	zookeeper string

	once sync.Once
	err  error
}

// Start runs a broker until the test and its subtests end. It fails the test when the broker cannot start. What the broker logs goes to
// t.Log.
func Start(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	out := &testLog{t: t}
	b, err := New(ctx, out, opts...)
	if err != nil {
		t.Fatalf("gregortest: %v", err)
	}
	t.Cleanup(func() {
		err := b.Close()
		out.end()
		if err != nil {
			t.Errorf("gregortest: stop: %v", err)
		}
	})
	return b
}

// New runs a broker until Close. It logs to out; nil discards. Ending ctx ends a start that is under way, not a running broker.
func New(ctx context.Context, out io.Writer, opts ...Option) (_ *Broker, err error) {
	o := collect(opts)
	var fsys vfs.FS = vfs.NewMem()
	if o.dir != "" {
		fsys = vfs.OS
		if err := os.MkdirAll(o.dir, 0o755); err != nil {
			return nil, fmt.Errorf("make the directory of the broker: %w", err)
		}
	}
	cfg, err := config.New(o.config)
	if err != nil {
		return nil, err
	}
	if out == nil {
		out = io.Discard
	}
	log, err := logging.New(out, cfg.Gregor.LogFormat, cfg.Gregor.LogLevel)
	if err != nil {
		return nil, err
	}
	b := new(Broker)
	defer func() {
		if err != nil {
			b.Close() //nolint:errcheck // the start's error is the one to tell
		}
	}()
	if b.zk, err = broker.StartZooKeeper(broker.Options{Config: cfg, Log: log, FS: fsys}); err != nil {
		return nil, err
	}
	b.zookeeper = b.zk.Addr().String()
	if err := b.start(ctx, o, fsys, log); err != nil {
		return nil, err
	}
	if err := b.prepare(ctx, o.topics); err != nil {
		return nil, err
	}
	return b, nil
}

// start runs the broker beside its ZooKeeper, whose port is known by now.
func (b *Broker) start(ctx context.Context, o *options, fsys vfs.FS, log logrus.FieldLogger) error {
	props := maps.Clone(o.config)
	props["zookeeper.connect"] = b.zookeeper
	cfg, err := config.New(props)
	if err != nil {
		return err
	}
	if b.broker, err = broker.Start(ctx, broker.Options{Config: cfg, Log: log, FS: fsys}); err != nil {
		return err
	}
	for _, l := range cfg.Listeners {
		if a, ok := b.broker.Addr(l.Name).(*net.TCPAddr); ok && b.addr == "" {
			b.addr = a.String()
		}
	}
	return nil
}

// Addr is where clients connect: host:port, for bootstrap.servers.
func (b *Broker) Addr() string { return b.addr }

// ZooKeeper is the broker's zookeeper.connect.
func (b *Broker) ZooKeeper() string { return b.zookeeper }

// Close stops the broker and its ZooKeeper: requests in flight are answered, then nothing of them is left. Start calls it when the test
// ends.
func (b *Broker) Close() error {
	b.once.Do(func() {
		var errs []error
		if b.broker != nil {
			ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
			defer cancel()
			errs = append(errs, b.broker.Close(ctx))
		}
		if b.zk != nil {
			errs = append(errs, b.zk.Close())
		}
		b.err = errors.Join(errs...)
	})
	return b.err
}

// testLog writes lines to a test's log as long as the test runs; a goroutine of the test may still hold the logger later.
type testLog struct {
	mu sync.Mutex
	t  testing.TB
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.Logf("gregor: %s", trimEnd(p))
	}
	return len(p), nil
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t = nil
}

func trimEnd(p []byte) []byte {
	for len(p) > 0 && p[len(p)-1] == '\n' {
		p = p[:len(p)-1]
	}
	return p
}
