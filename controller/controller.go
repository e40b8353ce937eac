package controller

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/controller/core"
	"gregor/internal/meter"
	"gregor/zkmeta"
)

// Config is what a controller is configured with.
type Config struct {
	// DeleteTopics is delete.topic.enable.
	DeleteTopics bool
	// Unclean is unclean.leader.election.enable of the broker.
	Unclean bool
	// Listener is the name of the listener through which the controller reaches brokers: control.plane.listener.name, else that of
	// the brokers.
	Listener string
	// InterBrokerListener is the name of the listener through which brokers reach each other; default Listener.
	InterBrokerListener string
	// LeaderAndIsr, UpdateMetadata and StopReplica are the versions of requests that inter.broker.protocol.version stands for; unless
	// VersionsSet they are those of 2.7: 4, 6, 3.
	LeaderAndIsr, UpdateMetadata, StopReplica int16
	// VersionsSet says that version 0 of these is meant.
	VersionsSet bool
	// NoFeatures leaves /feature alone (inter.broker.protocol.version below 2.7).
	NoFeatures bool
	// AutoBalance is auto.leader.rebalance.enable: every BalanceInterval (leader.imbalance.check.interval.seconds, 5 minutes) brokers that lead
	// too little, by more than BalancePercentage (leader.imbalance.per.broker.percentage), get the leaderships that are preferably theirs.
	AutoBalance       bool
	BalanceInterval   time.Duration
	BalancePercentage int
	// RequestTimeout is controller.socket.timeout.ms. Default 30 s.
	RequestTimeout time.Duration
	// RetryBackoff is the pause after a broker could not be reached. Default 100 ms.
	RetryBackoff time.Duration
}

// Options of a Controller.
type Options struct {
	ZK       *zkmeta.Client
	BrokerID int32
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Config   Config
	Log      logrus.FieldLogger
	// Metrics counts what the controller does; nil counts nothing.
	Metrics *Metrics
}

// Controller takes part in the election of the cluster's controller, and is it when elected.
type Controller struct {
	opt    Options
	queue  *queue
	term   *term // owned by Run's goroutine
	active atomic.Int32
	asks   asks
	// unclean is Config.Unclean, until DefaultUncleanChanged.
	unclean atomic.Bool
	// lastStats is what the loop said of itself last.
	lastStats atomic.Pointer[Stats]
	lost      bool // the session may be gone: no election until ZooKeeper is back
}

// New makes a Controller; Run starts it.
func New(opt Options) *Controller {
	if !opt.Config.VersionsSet {
		opt.Config.LeaderAndIsr, opt.Config.UpdateMetadata, opt.Config.StopReplica = 4, 6, 3
	}
	if opt.Config.InterBrokerListener == "" {
		opt.Config.InterBrokerListener = opt.Config.Listener
	}
	if opt.Config.RequestTimeout <= 0 {
		opt.Config.RequestTimeout = 30 * time.Second
	}
	if opt.Config.BalanceInterval <= 0 {
		opt.Config.BalanceInterval = 5 * time.Minute
	}
	if opt.Config.RetryBackoff <= 0 {
		opt.Config.RetryBackoff = 100 * time.Millisecond
	}
	if opt.Dial == nil {
		opt.Dial = (&net.Dialer{}).DialContext
	}
	c := &Controller{opt: opt, queue: newQueue()}
	c.unclean.Store(opt.Config.Unclean)
	if opt.Metrics != nil {
		c.queue.time = &opt.Metrics.QueueTime
	}
	return c
}

// IsActive says whether this broker is the controller now.
func (c *Controller) IsActive() bool { return c.active.Load() > 0 }

// Epoch is the controller epoch of the present term, 0 when this broker is not the controller.
func (c *Controller) Epoch() int32 { return c.active.Load() }

// TopicConfigChanged tells the controller a topic's configuration, whenever it changes: an election may become possible.
func (c *Controller) TopicConfigChanged(topic string, config map[string]string) {
	c.queue.put(coreEvent{ev: core.UncleanChanged{Topic: topic, Unclean: uncleanOf(config)}})
}

// DefaultUncleanChanged tells the controller what holds for topics that do not say themselves.
func (c *Controller) DefaultUncleanChanged(unclean bool) {
	c.unclean.Store(unclean)
	c.queue.put(coreEvent{ev: core.DefaultUncleanChanged{Unclean: unclean}})
}

func uncleanOf(config map[string]string) *bool {
	v, ok := config["unclean.leader.election.enable"]
	if !ok {
		return nil
	}
	b := strings.EqualFold(v, "true")
	return &b
}

// Events on the queue of the loop, besides zkmeta.Event.
type (
	coreEvent struct {
		term *term // nil: for whatever term it is
		ev   core.Event
	}
	fenced struct{ term *term }
	retry  struct{ what func(context.Context) }
)

// Run takes part in elections until ctx ends. The broker must be registered.
func (c *Controller) Run(ctx context.Context) error {
	defer c.opt.ZK.Subscribe(func(ev zkmeta.Event) { c.queue.put(ev) })()
	defer c.asks.failAll()
	defer c.resign("the broker stops")
	c.elect(ctx)
	for {
		ev, err := c.queue.next(ctx)
		if err != nil {
			return nil // stopped
		}
		c.handle(ctx, ev)
	}
}

func (c *Controller) handle(ctx context.Context, ev any) {
	defer c.opt.Metrics.begin(activityOf(ev))()
	switch ev := ev.(type) {
	case zkmeta.Event:
		c.zkEvent(ctx, ev)
	case coreEvent:
		if c.term != nil && (ev.term == nil || ev.term == c.term) {
			c.term.happened(ev.ev)
		}
	case asked:
		if c.term == nil {
			c.asks.answer(core.Answer{Ref: ev.ref, Code: codeNotController})
		} else {
			c.term.happened(ev.ev)
		}
	case fenced:
		if c.term == ev.term {
			c.resign("another controller has been elected: a write was fenced")
			c.elect(ctx)
		}
	case retry:
		ev.what(ctx)
	case ask:
		ev.answer <- c.describe()
	}
}

func (c *Controller) zkEvent(ctx context.Context, ev zkmeta.Event) {
	switch ev.Kind {
	case zkmeta.Expired, zkmeta.MaybeExpired:
		c.lost = true
		c.resign("the ZooKeeper session is lost")
	case zkmeta.Reconnected, zkmeta.NewSession:
		c.lost = false
		c.elect(ctx)
		if c.term != nil {
			c.term.refresh()
		}
	case zkmeta.Disconnected:
	default:
		if ev.Path == zkmeta.PathController {
			c.elect(ctx)
		} else if c.term != nil {
			c.term.changed(ev)
		}
	}
}

// elect looks at /controller, and at who owns it: ends a term that is over, and starts one if nobody else is the controller.
func (c *Controller) elect(ctx context.Context) {
	if c.lost {
		return
	}
	err := c.tryElect(ctx)
	if err == nil || ctx.Err() != nil || errors.Is(err, zkmeta.ErrClosed) {
		return
	}
	c.opt.Log.Errorf("the election of a controller is tried again: %v", err)
	c.later(c.elect)
}

func (c *Controller) later(what func(context.Context)) {
	time.AfterFunc(time.Second, func() { c.queue.put(retry{what}) })
}

func (c *Controller) tryElect(ctx context.Context) error {
	if c.term != nil {
		owns, err := c.opt.ZK.OwnsController(ctx, c.opt.BrokerID, c.term.epoch)
		if err != nil || owns {
			return err
		}
		c.resign("/controller is no longer this broker's")
	}
	for {
		id, there, err := c.opt.ZK.ControllerIDW(ctx)
		if err != nil {
			c.opt.Log.Errorf("%s cannot be understood, and is watched: %v", zkmeta.PathController, err)
			return err
		}
		if there && id != c.opt.BrokerID {
			c.opt.Log.Debugf("broker %d is the controller", id)
			return nil
		}
		epoch, err := c.opt.ZK.ElectController(ctx, c.opt.BrokerID)
		if errors.Is(err, zkmeta.ErrControllerMoved) {
			if there {
				return nil // left by a former session of ours: it is watched, and will go
			}
			continue // look who was faster, and watch
		}
		if err != nil {
			return err
		}
		if _, err := c.opt.ZK.OwnsController(ctx, c.opt.BrokerID, epoch); err != nil { // sets the watch
			return err
		}
		return c.start(ctx, epoch)
	}
}

func (c *Controller) start(ctx context.Context, epoch zkmeta.ControllerEpoch) error {
	began := time.Now()
	c.opt.Log.Infof("[Controller id=%d] %d successfully elected as the controller. Epoch incremented to %d and epoch zk version is now %d",
		c.opt.BrokerID, c.opt.BrokerID, epoch.Epoch, epoch.ZkVersion)
	t := newTerm(ctx, c, epoch)
	// Active from here, as Apache Kafka's is: brokers that learn of this controller from its first UpdateMetadata find it so.
	c.active.Store(epoch.Epoch)
	if err := t.start(); err != nil {
		c.active.Store(0)
		t.end()
		return err
	}
	c.term = t
	topics, partitions, offline := t.core.Counts()
	c.opt.Log.Infof("[Controller id=%d] epoch %d took over %d topics, %d partitions (%d not led yet) in %v", c.opt.BrokerID, epoch.Epoch,
		topics, partitions, offline, time.Since(began).Round(time.Millisecond))
	return nil
}

// resign ends the term in this process. What it wrote stays; what it still wants to write is fenced by its successor.
func (c *Controller) resign(why string) {
	if c.term == nil {
		return
	}
	c.opt.Log.Infof("[Controller id=%d] Resigned: the term of epoch %d ends: %s", c.opt.BrokerID, c.term.epoch.Epoch, why)
	c.active.Store(0)
	c.term.end()
	c.term = nil
	c.asks.failAll()
}

// queue is the loop's. It is not bounded: what fills it are answers to what the loop itself asked, and hints of which one counts as
// much as a hundred.
type queue struct {
	mu    sync.Mutex
	items []queued
	wake  chan struct{}
	time  *meter.Timer // what items wait; may be nil
}

type queued struct {
	ev any
	at time.Time
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) put(ev any) {
	q.mu.Lock()
	q.items = append(q.items, queued{ev, time.Now()})
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

func (q *queue) next(ctx context.Context) (any, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		q.mu.Lock()
		if len(q.items) > 0 {
			it := q.items[0]
			q.items[0] = queued{}
			q.items = q.items[1:]
			q.mu.Unlock()
			q.time.Since(it.at)
			return it.ev, nil
		}
		q.items = nil
		q.mu.Unlock()
		select {
		case <-q.wake:
		case <-ctx.Done():
		}
	}
}
