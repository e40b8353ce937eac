package testcluster_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/broker"
	"gregor/broker/config"
	"gregor/internal/testcluster"
	"gregor/internal/vfs"
)

// node is a machine with a broker: a disk, and a process that may be there or not.
type node struct {
	s    *sim
	id   int
	name string

	mu  sync.Mutex // for moments
	mem *vfs.Mem
	cur *process // nil while none is there
	// full: the disk was full, and the broker may have ended because of it.
	full bool
}

// process is a broker from its start to its end.
type process struct {
	n      *node
	host   *testcluster.Host
	mem    *vfs.Mem
	ctx    context.Context // ends when it is to end
	cancel context.CancelFunc
	b      atomic.Pointer[broker.Broker] // nil while it starts
	ended  chan struct{}                 // it has started, or given up
	stops  atomic.Bool                   // somebody closes it
	closed chan struct{}                 // it is closed

	countdown atomic.Int64  // operations on files until it is killed; 0 or less: never
	power     atomic.Bool   // as a loss of power does
	gone      chan struct{} // it was killed
}

func quiet() *logrus.Logger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	l.SetLevel(logrus.WarnLevel)
	return l
}

// start begins to start a broker, unless one is there. It does not wait for it.
func (n *node) start() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cur != nil {
		return
	}
	p := &process{n: n, host: n.s.net.Host(n.name), mem: n.mem, ended: make(chan struct{}), closed: make(chan struct{}), gone: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	n.cur = p
	n.s.wg.Go(p.run)
}

func (p *process) op(vfs.Op, string) error {
	if p.countdown.Load() > 0 && p.countdown.Add(-1) == 0 {
		p.kill(p.power.Load())
	}
	return nil
}

// run starts the broker, again and again as a supervisor does, and looks after it.
func (p *process) run() {
	defer close(p.ended)
	s := p.n.s
	log := s.logger(p.n.name)
	for {
		cfg, err := config.New(s.config(p.n.id))
		if err != nil {
			s.problem("%v", err)
			return
		}
		b, err := broker.Start(p.ctx, broker.Options{Config: cfg, Log: log, FS: vfs.NewFault(p.mem, p.op), Listen: p.host.Listen, Dial: p.host.Dial})
		if err == nil {
			p.b.Store(b)
			s.wg.Go(func() { p.watch(b) })
			return
		}
		if p.ctx.Err() != nil {
			return
		}
		s.note("broker %d cannot start, and tries again: %v", p.n.id, err)
		again := time.NewTimer(500 * time.Millisecond)
		select {
		case <-again.C:
		case <-p.ctx.Done():
			again.Stop()
			return
		}
	}
}

// watch ends a broker that cannot go on, as package gregor's main does.
func (p *process) watch(b *broker.Broker) {
	select {
	case <-p.ctx.Done():
	case err := <-b.Fatal():
		n := p.n
		n.mu.Lock()
		mine, full := n.cur == p, n.full
		n.mu.Unlock()
		if !mine {
			return
		}
		n.s.note("broker %d cannot go on: %v", n.id, err)
		if !full {
			n.s.problem("broker %d ended by itself: %v", n.id, err)
		}
		n.stop()
	}
}

// stop ends the broker cleanly and waits for that.
func (n *node) stop() {
	n.mu.Lock()
	p := n.cur
	n.mu.Unlock()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	p.close(ctx)
	p.host.Kill()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cur == p {
		n.cur = nil
	}
}

// close closes the broker, once, and waits for that.
func (p *process) close(ctx context.Context) {
	if !p.stops.CompareAndSwap(false, true) {
		<-p.closed
		return
	}
	defer close(p.closed)
	p.cancel()
	<-p.ended
	if b := p.b.Load(); b != nil {
		if err := b.Close(ctx); err != nil && ctx.Err() == nil {
			p.n.s.note("closing broker %d: %v", p.n.id, err)
		}
	}
}

// kill ends the process as kill -9 does, or as a loss of power does.
func (n *node) kill(power bool) {
	n.mu.Lock()
	p := n.cur
	n.mu.Unlock()
	if p != nil {
		p.kill(power)
	}
}

func (p *process) kill(power bool) {
	n := p.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cur != p {
		return // it is dead already, and another may be there
	}
	n.cur = nil
	close(p.gone)
	// What the process does from here on nobody sees, and its disk goes on without it.
	if power {
		p.host.PowerOff()
		n.mem = p.mem.CrashClone()
	} else {
		p.host.Kill()
		n.mem = p.mem.Clone()
	}
	n.s.wg.Go(func() { // its goroutines, unlike a dead process's, are to be ended
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		p.close(ctx)
	})
}

// killAfter kills the process in the middle of what it does: before so many more operations on files, or when the time is over.
func (n *node) killAfter(ops int64, limit time.Duration, power bool) {
	n.mu.Lock()
	p := n.cur
	n.mu.Unlock()
	if p == nil {
		return
	}
	p.power.Store(power)
	p.countdown.Store(ops)
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-p.gone:
	case <-p.closed:
	case <-t.C:
		p.kill(power)
	}
}

// broker is the running broker, nil if there is none or it is still starting.
func (n *node) broker() *broker.Broker {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cur == nil {
		return nil
	}
	return n.cur.b.Load()
}

func (n *node) up() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cur != nil
}

// zookeeper is the machine with the ZooKeeper.
type zookeeper struct {
	s    *sim
	mu   sync.Mutex
	mem  *vfs.Mem
	host *testcluster.Host // nil while it is down
	z    *broker.ZooKeeper
}

func (z *zookeeper) start() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.host != nil {
		return nil
	}
	cfg, err := config.New(z.s.config(0))
	if err != nil {
		return err
	}
	host := z.s.net.Host("zk")
	if z.z, err = broker.StartZooKeeper(broker.Options{Config: cfg, Log: z.s.logger("zk"), FS: z.mem, Listen: host.Listen}); err != nil {
		return err
	}
	z.host = host
	return nil
}

// kill ends it; whatever it acknowledged is synced, so that it may lose power at any time.
func (z *zookeeper) kill(power bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.host == nil {
		return
	}
	dead := z.z
	if power {
		z.host.PowerOff()
		z.mem = z.mem.CrashClone()
	} else {
		z.host.Kill()
		z.mem = z.mem.Clone()
	}
	z.host, z.z = nil, nil
	z.s.wg.Go(func() { _ = dead.Close() })
}

func (s *sim) config(id int) map[string]string {
	m := map[string]string{
		"broker.id": strconv.Itoa(id), "listeners": fmt.Sprintf("PLAINTEXT://b%d:9092", id), "zookeeper.connect": "zk:2181", "log.dirs": "/kafka",
		"controlled.shutdown.retry.backoff.ms": "300",
		"auto.leader.rebalance.enable":         "false", "min.insync.replicas": "2", "log.cleaner.enable": "false",
		"gregor.zookeeper.embedded": "true", "gregor.zookeeper.data.dir": "/zookeeper",
	}
	for k, v := range s.extra {
		m[k] = v
	}
	return m
}
