package zkgroup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/zkmeta"
)

// Options say what to read and as whom.
type Options struct {
	ZooKeeper string // host:port,host:port/chroot
	Group     string
	ID        string // consumer.id; empty: one is made
	Filter    string // a pattern of topics
	Pattern   string // WhiteList or BlackList
	Internal  bool   // exclude.internal.topics=false
	Reset     int64  // kclient.Earliest or Latest, where the group has no offset

	AutoCommit     bool
	CommitInterval time.Duration
	SessionTimeout time.Duration
	ConnectTimeout time.Duration
	Backoff        time.Duration // between two tries of a rebalance
	Retries        int           // after so many it is told of

	Client kclient.Config // its Servers come from ZooKeeper
	Warn   io.Writer
}

// Consumer is a member of a group.
type Consumer struct {
	opt    Options
	member member
	zk     *zkmeta.Client
	client *kgo.Client
	admin  *kclient.Admin
	wake   chan struct{} // something in ZooKeeper has changed
	stop   context.CancelFunc
	wg     sync.WaitGroup

	gate sync.Mutex
	held bool // by Poll, which alone looks at this

	mu        sync.Mutex
	positions map[kclient.TopicPartition]position // of the partitions that are this member's
	lapsed    bool                                // the session has ended, and with it the member's znodes
}

// position is the next offset to hand out; stored says that ZooKeeper has it.
type position struct {
	offset int64
	stored bool
}

// newID makes a member's name as the high-level consumer does.
func newID(group, id string, now time.Time) (string, error) {
	if id != "" {
		return group + "_" + id, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	return group + "_" + host + "-" + strconv.FormatInt(now.UnixMilli(), 10) + "-" + hex.EncodeToString(random[:]), nil
}

// Open joins the group, and returns when it has its first share.
func Open(ctx context.Context, opt Options) (*Consumer, error) {
	if _, err := compile(opt.Filter); err != nil {
		return nil, err
	}
	id, err := newID(opt.Group, opt.ID, time.Now())
	if err != nil {
		return nil, err
	}
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	c := &Consumer{opt: opt, wake: make(chan struct{}, 1), positions: map[kclient.TopicPartition]position{},
		member: member{id: id, pattern: opt.Pattern, subscription: map[string]int{opt.Filter: 1}}}
	c.zk, err = zkmeta.Dial(ctx, zkmeta.Options{Connect: opt.ZooKeeper, SessionTimeout: opt.SessionTimeout, ConnectTimeout: opt.ConnectTimeout, MustExist: true, Log: quiet})
	if err != nil {
		return nil, err
	}
	if err := c.begin(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Consumer) begin(ctx context.Context) error {
	servers, err := c.servers(ctx)
	if err != nil {
		return err
	}
	c.opt.Client.Servers = servers
	opts, err := c.opt.Client.Options()
	if err != nil {
		return err
	}
	if c.client, err = kgo.NewClient(append(opts, kgo.MaxConcurrentFetches(2), kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumeResetOffset(c.resetOffset()))...); err != nil {
		return err
	}
	if c.admin, err = kclient.AdminOf(c.client, c.opt.Client); err != nil {
		return err
	}
	cancel := c.zk.Subscribe(c.told)
	if err := c.register(ctx); err != nil {
		cancel()
		return err
	}
	run, stop := context.WithCancel(context.Background())
	c.stop = func() { cancel(); stop() }
	first := make(chan struct{})
	c.wg.Go(func() { c.run(run, first) })
	select {
	case <-first:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (c *Consumer) resetOffset() kgo.Offset {
	if c.opt.Reset == kclient.Earliest {
		return kgo.NewOffset().AtStart()
	}
	return kgo.NewOffset().AtEnd()
}

// servers are the brokers that are registered.
func (c *Consumer) servers(ctx context.Context) (string, error) {
	found, err := c.zk.Brokers(ctx)
	if err != nil && !errors.Is(err, zkmeta.ErrNoNode) {
		return "", err
	}
	var out []string
	for i := range found {
		for _, e := range found[i].Endpoints {
			if e.Protocol == "PLAINTEXT" {
				out = append(out, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
			}
		}
	}
	if len(out) == 0 {
		return "", fmt.Errorf("no broker with a PLAINTEXT listener is registered in ZooKeeper at %s: start one, or check the path behind the address", c.opt.ZooKeeper)
	}
	return strings.Join(out, ","), nil
}

// told is called for every event of the session.
func (c *Consumer) told(ev zkmeta.Event) {
	switch ev.Kind {
	case zkmeta.Disconnected, zkmeta.MaybeExpired:
		return
	case zkmeta.Expired:
		c.mu.Lock()
		c.lapsed = true
		c.mu.Unlock()
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// register makes the member's znode.
func (c *Consumer) register(ctx context.Context) error {
	ids := zkmeta.PathConsumerIDs(c.opt.Group)
	if err := c.zk.CreateAll(ctx, ids, nil); err != nil && !errors.Is(err, zkmeta.ErrNodeExists) {
		return err
	}
	err := c.zk.CreateEphemeral(ctx, ids+"/"+c.member.id, c.member.encode(time.Now().UnixMilli()))
	if errors.Is(err, zkmeta.ErrNodeExists) && c.opt.ID == "" {
		return nil // of a request whose answer was lost
	}
	return err
}

// run rebalances when something has changed, and stores offsets from time to time.
func (c *Consumer) run(ctx context.Context, first chan<- struct{}) {
	commits := time.NewTicker(c.opt.CommitInterval)
	defer commits.Stop()
	c.rebalance(ctx)
	close(first)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			c.rebalance(ctx)
		case <-commits.C:
			if c.opt.AutoCommit {
				c.tell(c.store(ctx), "store offsets")
			}
		}
	}
}

func (c *Consumer) tell(err error, what string) {
	if err != nil && c.opt.Warn != nil && !errors.Is(err, context.Canceled) {
		cli.Log(c.opt.Warn, "WARN", "kafka.consumer.ZookeeperConsumerConnector", fmt.Sprintf("[%s], cannot %s: %v", c.member.id, what, err))
	}
}

// rebalance takes this member's share, again while others have not given it up.
func (c *Consumer) rebalance(ctx context.Context) {
	for try := 1; ctx.Err() == nil; try++ {
		err := c.take(ctx)
		if err == nil {
			return
		}
		if try%max(c.opt.Retries, 1) == 0 {
			c.tell(err, fmt.Sprintf("rebalance after %d tries, and goes on trying", try))
		}
		t := time.NewTimer(c.opt.Backoff)
		select {
		case <-t.C:
		case <-c.wake:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// take gives up what the member has and takes what is its share now.
func (c *Consumer) take(ctx context.Context) error {
	c.mu.Lock()
	lapsed := c.lapsed
	c.lapsed = false
	c.mu.Unlock()
	if lapsed {
		if err := c.register(ctx); err != nil {
			c.mu.Lock()
			c.lapsed = true
			c.mu.Unlock()
			return err
		}
	}
	c.gate.Lock()
	defer c.gate.Unlock()
	if err := c.release(ctx, !lapsed); err != nil {
		return err
	}
	mine, err := c.mine(ctx)
	if err != nil || len(mine) == 0 {
		return err
	}
	giveUp := func(tps []kclient.TopicPartition) {
		for _, tp := range tps {
			c.tell(c.disown(ctx, tp), "give up "+tp.String())
		}
	}
	for i, tp := range mine {
		if err := c.own(ctx, tp); err != nil {
			giveUp(mine[:i])
			return err
		}
	}
	// The owner before stored how far it was, then gave up: offsets read any sooner may be older.
	at, err := c.offsets(ctx, mine)
	if err != nil {
		giveUp(mine)
		return err
	}
	start := map[string]map[int32]kgo.Offset{}
	c.mu.Lock()
	for tp, p := range at {
		if start[tp.Topic] == nil {
			start[tp.Topic] = map[int32]kgo.Offset{}
		}
		start[tp.Topic][tp.Partition] = kgo.NewOffset().At(p.offset)
		c.positions[tp] = p
	}
	c.mu.Unlock()
	c.client.AddConsumePartitions(start)
	return nil
}

// release stops reading, stores how far that was, and gives the partitions up. Those that a lapsed session owned may be another's by now,
// who is further on: nothing is written.
func (c *Consumer) release(ctx context.Context, owned bool) error {
	c.mu.Lock()
	had := maps.Clone(c.positions)
	c.mu.Unlock()
	if len(had) == 0 {
		return nil
	}
	gone := map[string][]int32{}
	for tp := range had {
		gone[tp.Topic] = append(gone[tp.Topic], tp.Partition)
	}
	c.client.RemoveConsumePartitions(gone)
	if owned && c.opt.AutoCommit {
		if err := c.store(ctx); err != nil {
			return err
		}
	}
	for tp := range had {
		if err := c.disown(ctx, tp); owned && err != nil {
			return err
		}
	}
	c.mu.Lock()
	clear(c.positions)
	c.mu.Unlock()
	return nil
}

// store writes the offsets that ZooKeeper does not have.
func (c *Consumer) store(ctx context.Context) error {
	c.mu.Lock()
	had := maps.Clone(c.positions)
	c.mu.Unlock()
	for tp, p := range had {
		if p.stored {
			continue
		}
		if err := c.zk.SetConsumerOffset(ctx, c.opt.Group, tp.Topic, tp.Partition, p.offset); err != nil {
			return err
		}
		c.mu.Lock()
		if c.positions[tp].offset == p.offset {
			c.positions[tp] = position{p.offset, true}
		}
		c.mu.Unlock()
	}
	return nil
}

// mine asks who the members are, and computes this one's share.
func (c *Consumer) mine(ctx context.Context) ([]kclient.TopicPartition, error) {
	ids := zkmeta.PathConsumerIDs(c.opt.Group)
	names, _, err := c.zk.ChildrenW(ctx, ids)
	if err != nil {
		return nil, err
	}
	all, _, err := c.zk.ChildrenW(ctx, zkmeta.PathTopics)
	if err != nil {
		return nil, err
	}
	var members []*member
	for _, name := range names {
		data, _, err := c.zk.Get(ctx, ids+"/"+name)
		if errors.Is(err, zkmeta.ErrNoNode) {
			continue // its end brings an event
		}
		if err != nil {
			return nil, err
		}
		m, err := decode(name, data)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	topics, err := c.member.topics(all, c.opt.Internal)
	if err != nil {
		return nil, err
	}
	var mine []kclient.TopicPartition
	for topic := range topics {
		data, _, err := c.zk.GetW(ctx, zkmeta.PathTopic(topic))
		if errors.Is(err, zkmeta.ErrNoNode) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := zkmeta.DecodeTopic(topic, data)
		if err != nil {
			return nil, err
		}
		var partitions []int32
		for p := range info.Partitions {
			partitions = append(partitions, p)
		}
		threads, err := threadsOf(members, topic, all, c.opt.Internal)
		if err != nil {
			return nil, err
		}
		for _, p := range share(partitions, threads, thread(c.member.id, 0)) {
			mine = append(mine, kclient.TopicPartition{Topic: topic, Partition: p})
		}
	}
	return mine, nil
}

// offsets says where to begin: where the group is, else where the brokers say that a topic begins or ends.
func (c *Consumer) offsets(ctx context.Context, tps []kclient.TopicPartition) (map[kclient.TopicPartition]position, error) {
	at := map[kclient.TopicPartition]position{}
	var unknown []kclient.TopicPartition
	for _, tp := range tps {
		offset, ok, err := c.zk.ConsumerOffset(ctx, c.opt.Group, tp.Topic, tp.Partition)
		if err != nil {
			return nil, err
		}
		if ok && offset >= 0 {
			at[tp] = position{offset, true}
		} else {
			unknown = append(unknown, tp)
		}
	}
	found, err := c.admin.ListOffsets(ctx, unknown, c.opt.Reset)
	if err != nil {
		return nil, err
	}
	for tp, offset := range found {
		at[tp] = position{offset, false}
	}
	return at, nil
}

// own makes this member the owner of a partition; an error while another is.
func (c *Consumer) own(ctx context.Context, tp kclient.TopicPartition) error {
	path := zkmeta.PathConsumerOwner(c.opt.Group, tp.Topic, tp.Partition)
	me := []byte(thread(c.member.id, 0))
	err := c.zk.CreateEphemeral(ctx, path, me)
	if errors.Is(err, zkmeta.ErrNoNode) {
		if err = c.zk.CreateAll(ctx, path[:strings.LastIndexByte(path, '/')], nil); err == nil || errors.Is(err, zkmeta.ErrNodeExists) {
			err = c.zk.CreateEphemeral(ctx, path, me)
		}
	}
	if errors.Is(err, zkmeta.ErrNodeExists) {
		owner, _, e := c.zk.GetW(ctx, path) // wakes this member when the owner gives it up
		if e == nil && string(owner) == string(me) {
			return nil
		}
		return fmt.Errorf("%s still belongs to %s", tp, owner)
	}
	return err
}

// disown gives a partition up, unless it has become another's.
func (c *Consumer) disown(ctx context.Context, tp kclient.TopicPartition) error {
	path := zkmeta.PathConsumerOwner(c.opt.Group, tp.Topic, tp.Partition)
	data, st, err := c.zk.Get(ctx, path)
	if errors.Is(err, zkmeta.ErrNoNode) || err == nil && string(data) != thread(c.member.id, 0) {
		return nil
	}
	if err != nil {
		return err
	}
	if err = c.zk.Delete(ctx, path, st.Version); errors.Is(err, zkmeta.ErrNoNode) {
		return nil
	}
	return err
}

// atOnce bounds what one poll hands out.
const atOnce = 500

// Poll waits for records until ctx ends; then there are none, and no error. What it returned before may be taken away from here on.
func (c *Consumer) Poll(ctx context.Context, warn func(topic string, err *kerr.Error)) (kgo.Fetches, error) {
	c.let()
	for {
		fetches := c.client.PollRecords(ctx, atOnce)
		for _, e := range fetches.Errors() {
			var k *kerr.Error
			switch {
			case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, context.Canceled), kgo.IsRetryableBrokerErr(e.Err):
			case errors.As(e.Err, &k) && k.Retriable:
				if warn != nil && e.Topic != "" {
					warn(e.Topic, k)
				}
			default:
				return nil, kclient.Wrap(e.Err, fmt.Sprintf("read %s-%d", e.Topic, e.Partition))
			}
		}
		c.gate.Lock()
		if c.keep(fetches) {
			c.held = true
			return fetches, nil
		}
		c.gate.Unlock()
		if ctx.Err() != nil {
			return nil, nil
		}
	}
}

// keep removes what is not this member's, or was handed out before: a rebalance may have come while records were on their way. It says
// whether something is left.
func (c *Consumer) keep(fetches kgo.Fetches) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := 0
	for i := range fetches {
		for j := range fetches[i].Topics {
			t := &fetches[i].Topics[j]
			for k := range t.Partitions {
				p := &t.Partitions[k]
				at, owned := c.positions[kclient.TopicPartition{Topic: t.Topic, Partition: p.Partition}]
				p.Records = slices.DeleteFunc(p.Records, func(r *kgo.Record) bool { return !owned || r.Offset < at.offset })
				left += len(p.Records)
			}
		}
	}
	return left > 0
}

// let allows a rebalance again.
func (c *Consumer) let() {
	if c.held {
		c.held = false
		c.gate.Unlock()
	}
}

// Read notes that a record was taken in, and all before it.
func (c *Consumer) Read(r *kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.positions[kclient.TopicPartition{Topic: r.Topic, Partition: r.Partition}] = position{offset: r.Offset + 1}
}

// closeLimit is how long the end may take.
const closeLimit = 30 * time.Second

// Close stores offsets, gives everything up and leaves the group.
func (c *Consumer) Close() {
	c.let()
	if c.stop != nil {
		c.stop()
		c.wg.Wait()
	}
	if c.client != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		c.tell(c.release(ctx, true), "leave its partitions")
		cancel()
		c.client.Close()
	}
	c.zk.Close() // and with it the member's znode
}
