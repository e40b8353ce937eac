package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/integration/peer"
)

// Options says what cluster to start.
type Options struct {
	Dir string
	// Kinds are the brokers, with ids from 1 on.
	Kinds []peer.Kind
	// Debian: on Debian's ZooKeeper; else on Gregor's, as a process of its own.
	Debian bool
	// Links puts proxies between brokers, and between each of them and ZooKeeper.
	Links bool
	// Config overrides the properties of all brokers, ConfigOf those of one.
	Config   map[string]string
	ConfigOf func(id int) map[string]string
}

// Cluster is a running cluster.
type Cluster struct {
	Nodes []*Node
	Links *Links // nil unless asked for

	zk struct {
		sync.Mutex
		*peer.ZooKeeper
	}
	// Client asks any broker; it knows all of them.
	Client *kgo.Client
	// Options are those of other clients, instead of the addresses of Nodes: for clusters that are no processes.
	Options []kgo.Opt
}

// Node is one of the brokers.
type Node struct {
	ID  int
	opt peer.Options
	mu  sync.Mutex
	b   *peer.Broker
}

// Start starts ZooKeeper and the brokers, and waits until all of them are known.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	c := &Cluster{}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	start := peer.StartGregorZooKeeper
	if o.Debian {
		start = peer.StartZooKeeper
	}
	if c.zk.ZooKeeper, err = start(ctx, filepath.Join(o.Dir, "zookeeper")); err != nil {
		return nil, err
	}
	if o.Links {
		c.Links = newLinks()
	}
	var seeds []string
	for i, kind := range o.Kinds {
		n := &Node{ID: i + 1}
		if n.opt, err = c.options(o, n.ID, kind); err != nil {
			return nil, err
		}
		seeds = append(seeds, net.JoinHostPort("127.0.0.1", strconv.Itoa(n.opt.Port)))
		c.Nodes = append(c.Nodes, n)
	}
	errs := make([]error, len(c.Nodes))
	var wg sync.WaitGroup
	for i, n := range c.Nodes {
		wg.Go(func() { errs[i] = n.Start(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if c.Client, err = kgo.NewClient(append(ClientOptions(), kgo.SeedBrokers(seeds...))...); err != nil {
		return nil, err
	}
	return c, c.Wait(ctx, "all brokers known", func(v *View) error {
		if len(v.Brokers) != len(c.Nodes) {
			return fmt.Errorf("%d brokers", len(v.Brokers))
		}
		return nil
	})
}

// ClientOptions are those of clients that find a new leader quickly.
func ClientOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.MetadataMinAge(50 * time.Millisecond), kgo.MetadataMaxAge(5 * time.Second), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.ProduceRequestTimeout(5 * time.Second), kgo.RequestTimeoutOverhead(3 * time.Second), kgo.DialTimeout(2 * time.Second),
		kgo.UnknownTopicRetries(-1), kgo.RetryTimeout(10 * time.Second),
	}
}

// clientOptions are those of a client that knows all brokers.
func (c *Cluster) clientOptions(more ...kgo.Opt) []kgo.Opt {
	if c.Options != nil {
		return append(slices.Clone(c.Options), more...)
	}
	return append(append(ClientOptions(), c.Seeds()), more...)
}

// Seeds are the addresses for clients.
func (c *Cluster) Seeds() kgo.Opt {
	var seeds []string
	for _, n := range c.Nodes {
		seeds = append(seeds, n.Addr())
	}
	return kgo.SeedBrokers(seeds...)
}

func (c *Cluster) options(o Options, id int, kind peer.Kind) (peer.Options, error) {
	port, err := peer.FreePort()
	if err != nil {
		return peer.Options{}, err
	}
	po := peer.Options{Kind: kind, Dir: filepath.Join(o.Dir, "broker-"+strconv.Itoa(id)), ID: id, ZooKeeper: c.zk.Addr, Port: port, Config: map[string]string{
		"replica.lag.time.max.ms": "5000", "controlled.shutdown.retry.backoff.ms": "300", "auto.leader.rebalance.enable": "false",
	}}
	if c.Links != nil {
		inner, err := peer.FreePort()
		if err != nil {
			return po, err
		}
		front, err := c.Links.listen(unknown, id, net.JoinHostPort("127.0.0.1", strconv.Itoa(inner)))
		if err != nil {
			return po, err
		}
		if po.ZooKeeper, err = c.Links.listen(id, ZooKeeper, c.zk.Addr); err != nil {
			return po, err
		}
		client := "CLIENT://127.0.0.1:" + strconv.Itoa(port)
		maps.Copy(po.Config, map[string]string{
			"listeners":            client + ",BROKERS://127.0.0.1:" + strconv.Itoa(inner),
			"advertised.listeners": client + ",BROKERS://" + front, "inter.broker.listener.name": "BROKERS",
			"listener.security.protocol.map": "CLIENT:PLAINTEXT,BROKERS:PLAINTEXT",
		})
	}
	maps.Copy(po.Config, o.Config)
	if o.ConfigOf != nil {
		maps.Copy(po.Config, o.ConfigOf(id))
	}
	return po, nil
}

// Node returns the broker of an id.
func (c *Cluster) Node(id int32) *Node { return c.Nodes[id-1] }

// Close ends everything at once.
func (c *Cluster) Close() {
	if c.Client != nil {
		c.Client.Close()
	}
	for _, n := range c.Nodes {
		n.Resume()
		n.Kill()
	}
	c.zk.Lock()
	if c.zk.ZooKeeper != nil {
		c.zk.ZooKeeper.Resume()
		c.zk.ZooKeeper.Close()
	}
	c.zk.Unlock()
	if c.Links != nil {
		c.Links.close()
	}
}

// ZooKeeperAddr is where ZooKeeper is reached, without a proxy.
func (c *Cluster) ZooKeeperAddr() string { return c.zk.Addr }

// KillZooKeeper ends ZooKeeper with SIGKILL; StartZooKeeper starts it anew on its data.
func (c *Cluster) KillZooKeeper() {
	c.zk.Lock()
	defer c.zk.Unlock()
	c.zk.ZooKeeper.Kill()
}

// StartZooKeeper starts a killed ZooKeeper.
func (c *Cluster) StartZooKeeper(ctx context.Context) error {
	c.zk.Lock()
	defer c.zk.Unlock()
	if !c.zk.ZooKeeper.Exited() {
		return nil
	}
	z, err := c.zk.ZooKeeper.Restart(ctx)
	if err == nil {
		c.zk.ZooKeeper = z
	}
	return err
}

// PauseZooKeeper and ResumeZooKeeper are SIGSTOP and SIGCONT.
func (c *Cluster) PauseZooKeeper() { c.zk.ZooKeeper.Pause() }

// ResumeZooKeeper ends a pause.
func (c *Cluster) ResumeZooKeeper() { c.zk.ZooKeeper.Resume() }

// Addr is where clients reach the broker.
func (n *Node) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.opt.Port)) }

// Kind is what the broker is.
func (n *Node) Kind() peer.Kind { return n.opt.Kind }

// LogDir is the broker's log directory.
func (n *Node) LogDir() string {
	if dir := n.opt.Config["log.dirs"]; dir != "" {
		return dir
	}
	return filepath.Join(n.opt.Dir, "logs")
}

// Up says whether the process runs.
func (n *Node) Up() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b != nil && !n.b.Exited()
}

// Configure changes a property from the next start on.
func (n *Node) Configure(key, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opt.Config[key] = value
}

// Become makes the broker another kind, on the same directory, from the next start on.
func (n *Node) Become(kind peer.Kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opt.Kind = kind
}

// Start starts the broker unless it runs, again and again while ZooKeeper cannot be reached or holds the session of its former process.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.b != nil && !n.b.Exited() {
		return nil
	}
	for {
		b, err := peer.StartWhenFree(ctx, n.opt)
		if err == nil {
			n.b = b
			return nil
		}
		pause := time.NewTimer(300 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("broker %d does not start: %w", n.ID, err)
		}
	}
}

// Kill ends the process with SIGKILL.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.b != nil {
		n.b.Kill()
	}
}

// Stop ends the process with SIGTERM.
func (n *Node) Stop(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Stop(ctx)
}

// Pause stops the process without its knowing (SIGSTOP), and Resume lets it go on.
func (n *Node) Pause() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.b.Pause()
}

// Resume lets a paused process go on.
func (n *Node) Resume() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.b != nil {
		n.b.Resume()
	}
}

// Tail is the end of what the broker printed.
func (n *Node) Tail() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.b == nil {
		return ""
	}
	return n.b.Tail()
}
