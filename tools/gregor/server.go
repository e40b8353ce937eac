package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/broker"
	"gregor/broker/config"
	"gregor/internal/gcpace"
	"gregor/internal/logging"
	"gregor/tools/internal/cli"
)

const serverUsage = "USAGE: kafka-server-start [-daemon] server.properties [--override property=value]*"

// serve is `gregor` and `gregor kafka-server-start server.properties [--override k=v]...`. args are nil for a bare `gregor`, which also
// starts the embedded ZooKeeper and prints what to try. Exit codes: 1 when the broker cannot start or dies; after SIGTERM 143 and after
// SIGINT 130, as a JVM, but 0 for a bare `gregor`.
func serve(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	bare := args == nil
	path, overrides, code, done := serverArguments(args, stdout, stderr)
	if done {
		return code
	}
	cfg, warnings, err := config.Load(path, overrides, os.Environ())
	if err != nil {
		fmt.Fprintf(stderr, "gregor: %v\n", err)
		return 1
	}
	log, err := logging.New(stdout, cfg.Gregor.LogFormat, cfg.Gregor.LogLevel)
	if err != nil {
		fmt.Fprintf(stderr, "gregor: %v\n", err)
		return 1
	}
	for _, l := range cfg.Gregor.LogLevels {
		name, level, _ := strings.Cut(l, "=")
		if name == "" {
			continue
		}
		if err := logging.LevelsOf(log).Set(strings.TrimSpace(name), strings.ToUpper(strings.TrimSpace(level))); err != nil {
			fmt.Fprintf(stderr, "gregor: gregor.log.loggers=%s: %v\n", l, err)
			return 1
		}
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	p := &process{cfg: cfg, log: log, stdout: stdout, bare: bare, signals: signals}
	return p.main()
}

func serverArguments(args []string, stdout, stderr io.Writer) (path string, overrides []string, code int, done bool) {
	for len(args) > 0 && path == "" {
		switch a := args[0]; a {
		case "--help":
			fmt.Fprintln(stderr, serverUsage)
			return "", nil, 1, true
		case "--version":
			fmt.Fprintln(stdout, cli.Version)
			return "", nil, 0, true
		default:
			path = a
		}
		args = args[1:]
	}
	if path == "" {
		if args != nil {
			fmt.Fprintln(stderr, serverUsage)
			return "", nil, 1, true
		}
		return "", nil, 0, false
	}
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--override" && i+1 < len(args):
			i++
			overrides = append(overrides, args[i])
		case strings.HasPrefix(args[i], "--override="):
			overrides = append(overrides, strings.TrimPrefix(args[i], "--override="))
		default:
			fmt.Fprintf(stderr, "gregor: found non argument parameters: %s\n%s\n", args[i], serverUsage)
			return "", nil, 1, true
		}
	}
	return path, overrides, 0, false
}

// process is the life of a broker process, from its configuration to its exit code.
type process struct {
	cfg     *config.Broker
	log     *logrus.Logger
	stdout  io.Writer
	bare    bool
	signals chan os.Signal
	loaded  atomic.Int64
}

func (p *process) main() int {
	if os.Getenv("GOGC") == "" {
		gcpace.Follow()
	}
	go dumpGoroutines(p.stdout)
	begun := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := make(chan os.Signal, 1)
	go func() {
		sig := <-p.signals
		stopped <- sig
		cancel() // ends a start that is under way
		<-p.signals
		fmt.Fprintln(p.stdout, "gregor: second signal, stopping at once")
		os.Exit(p.exitCode(sig))
	}()
	var zk *broker.ZooKeeper
	if p.cfg.Gregor.EmbeddedZooKeeper {
		var err error
		if zk, err = broker.StartZooKeeper(broker.Options{Config: p.cfg, Log: p.log}); err != nil {
			return p.fail(err)
		}
		defer zk.Close()
		go func() {
			<-zk.Failed()
			cancel() // nothing answers a start that is under way
		}()
	}
	b, err := broker.Start(ctx, broker.Options{Config: p.cfg, Log: p.log, Progress: p.progress})
	if err != nil {
		select {
		case sig := <-stopped:
			return p.exitCode(sig)
		default:
		}
		if zk != nil && zk.HasFailed() {
			err = zk.Err()
		}
		return p.fail(err)
	}
	app := logging.Named(p.log, "org.apache.kafka.common.utils.AppInfoParser")
	app.Infof("Kafka version: %s", cli.Version)
	app.Infof("Kafka startTimeMs: %d (%d ms ago)", begun.UnixMilli(), time.Since(begun).Milliseconds())
	p.log.Infof("[KafkaServer id=%d] started", b.ID()) // what people wait for
	if p.bare {
		p.banner(b, zk)
	}
	var zkFailed <-chan struct{}
	if zk != nil {
		zkFailed = zk.Failed()
	}
	code := 1
	select {
	case sig := <-stopped:
		code = p.exitCode(sig)
	case <-zkFailed:
		p.log.Errorf("The broker cannot go on: %v", zk.Err())
	case err := <-b.Fatal():
		p.log.Errorf("The broker cannot go on: %v", err)
	}
	ctx, cancelClose := context.WithTimeout(context.Background(), closeTimeout)
	defer cancelClose()
	if err := b.Close(ctx); err != nil {
		p.log.Errorf("Not everything was shut down cleanly: %v", err)
	}
	return code
}

// closeTimeout is how long clients with requests in flight may hold up a clean stop.
const closeTimeout = 30 * time.Second

func (p *process) fail(err error) int {
	p.log.Errorf("Fatal error during startup: %v", err)
	return 1
}

func (p *process) exitCode(sig os.Signal) int {
	if s, ok := sig.(syscall.Signal); ok && !p.bare {
		return 128 + int(s)
	}
	return 0
}

// progress says every second or so how far a long recovery is.
func (p *process) progress(done, total int) {
	now := time.Now().UnixMilli()
	last := p.loaded.Load()
	if last == 0 {
		p.loaded.CompareAndSwap(0, now)
		return
	}
	if now-last >= 1000 && p.loaded.CompareAndSwap(last, now) {
		p.log.Infof("Loading logs: %d of %d done", done, total)
	}
}

func (p *process) banner(b *broker.Broker, zk *broker.ZooKeeper) {
	addr := ""
	for _, l := range p.cfg.Listeners {
		if a := b.Addr(l.Name); a != nil {
			addr = reachable(a)
			break
		}
	}
	fmt.Fprintf(p.stdout, "\nGregor is ready.\n  Kafka clients:  %s\n", addr)
	if zk != nil {
		fmt.Fprintf(p.stdout, "  ZooKeeper:      %v (embedded)\n", zk.Addr())
	}
	fmt.Fprintf(p.stdout, "  Data:           %s\nTry:\n  scripts/kafka-topics.sh --bootstrap-server %s --create --topic hello --partitions 3\nCtrl-C stops it.\n\n",
		strings.Join(p.cfg.Log.Dirs, ","), addr)
}

// reachable is a for who stands on this machine: a listener on every interface is reached at localhost.
func reachable(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(t.Port))
	}
	return a.String()
}

// dumpGoroutines writes what every goroutine does on SIGQUIT and goes on, as a JVM answers `kill -3` with its threads.
func dumpGoroutines(w io.Writer) {
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	for range quit {
		buf := make([]byte, 1<<20)
		for {
			n := runtime.Stack(buf, true)
			if n < len(buf) || n >= 64<<20 {
				buf = buf[:n]
				break
			}
			buf = make([]byte, 2*len(buf))
		}
		fmt.Fprintf(w, "Full goroutine dump: %d goroutines\n%s\n", runtime.NumGoroutine(), buf)
	}
}
