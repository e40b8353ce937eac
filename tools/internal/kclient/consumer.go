package kclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Subscription says what a consumer reads, and as a member of which group.
type Subscription struct {
	Topic   string // or
	Pattern string // topics whose whole name matches
	Group   string
	// Direct: these partitions are read without joining the group.
	Direct map[int32]kgo.Offset
	// Assigned and Revoked are told of changes, between two calls of Poll; either may be nil.
	Assigned, Revoked func([]TopicPartition)
}

// Consumer reads as Java's KafkaConsumer does, from Kafka's consumer properties: it joins a group, commits its positions from time to
// time if it is to, and leaves. One goroutine polls; the lists of partitions are told in the order of java.util.HashSet.
type Consumer struct {
	Client *kgo.Client
	Subscription
	AutoCommit bool // enable.auto.commit, of a member of a group

	cooperative bool
	atOnce      int   // max.poll.records
	reset       int64 // Earliest, Latest or noReset
	stop        context.CancelFunc
	committer   sync.WaitGroup

	mu        sync.Mutex
	positions map[TopicPartition]position
	closing   bool
	failed    error // what ends Poll
	fail      chan struct{}
}

// position is how far a partition was read; committed says that the group's offset is the same.
type position struct {
	kgo.EpochOffset
	committed bool
}

const noReset = 0

var resets = map[string]int64{"earliest": Earliest, "latest": Latest, "none": noReset}

var isolation = map[string]kgo.IsolationLevel{"read_uncommitted": kgo.ReadUncommitted(), "read_committed": kgo.ReadCommitted()}

// balancers are Kafka's own assignors.
var balancers = map[string]func() kgo.GroupBalancer{
	"org.apache.kafka.clients.consumer.RangeAssignor":             kgo.RangeBalancer,
	"org.apache.kafka.clients.consumer.RoundRobinAssignor":        kgo.RoundRobinBalancer,
	"org.apache.kafka.clients.consumer.StickyAssignor":            kgo.StickyBalancer,
	"org.apache.kafka.clients.consumer.CooperativeStickyAssignor": kgo.CooperativeStickyBalancer,
}

// RangeAssignor is the default of partition.assignment.strategy.
const RangeAssignor = "org.apache.kafka.clients.consumer.RangeAssignor"

func construct(cause error) error {
	return &CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to construct kafka consumer", Cause: cause}
}

// AsConsumer gives the client the names of a Java consumer in a group.
func (c Config) AsConsumer(group string) Config {
	id, who := "consumer-"+group+"-1", "Consumer "
	if instance := c.prop("group.instance.id", ""); instance != "" {
		id, who = "consumer-"+group+"-"+instance, "Consumer instanceId="+instance+", "
	}
	if v := c.prop("client.id", ""); v != "" {
		id = v
	}
	c.ClientID, c.Name = id, who+"clientId="+id+", groupId="+group
	return c
}

// NewConsumer makes a consumer. More options of kgo's may follow.
func (c Config) NewConsumer(s Subscription, extra ...kgo.Opt) (*Consumer, error) {
	out := &Consumer{Subscription: s, positions: map[TopicPartition]position{}, fail: make(chan struct{})}
	opts, err := c.consumer(out)
	if err != nil {
		return nil, err
	}
	base, err := c.Options()
	if err != nil {
		return nil, construct(err)
	}
	if out.Client, err = kgo.NewClient(slices.Concat(base, opts, extra)...); err != nil {
		return nil, construct(err)
	}
	if s.Direct != nil {
		return out, nil
	}
	ctx, stop := context.WithCancel(context.Background())
	out.stop = stop
	if out.AutoCommit {
		interval, _ := c.Millis("auto.commit.interval.ms", 5*time.Second) // it was checked
		out.committer.Go(func() { out.commitOften(ctx, max(interval, time.Millisecond)) })
	}
	return out, nil
}

// consumer turns the properties into kgo's options.
func (c Config) consumer(out *Consumer) ([]kgo.Opt, error) {
	invalid := func(key, v, of string) error {
		return ConfigError("Invalid value " + v + " for configuration " + key + ": String must be one of: " + of)
	}
	policy := c.prop("auto.offset.reset", "latest")
	reset, ok := resets[policy]
	if !ok {
		return nil, invalid("auto.offset.reset", policy, "latest, earliest, none")
	}
	out.reset = reset
	at := kgo.NewOffset().AtEnd()
	switch reset {
	case Earliest:
		at = kgo.NewOffset().AtStart()
	case noReset:
		at = kgo.NoResetOffset()
	}
	level, ok := isolation[c.prop("isolation.level", "read_uncommitted")]
	if !ok {
		return nil, invalid("isolation.level", c.Props["isolation.level"], "read_committed, read_uncommitted")
	}
	for class := range strings.SplitSeq(c.prop("interceptor.classes", ""), ",") {
		if class = strings.TrimSpace(class); class != "" {
			return nil, classMissing("interceptor.classes", class)
		}
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	num := func(key string, def, least int64) int64 {
		n, _ := c.Int(key, def) // they were checked
		return min(max(n, least), 1<<30)
	}
	out.atOnce = int(num("max.poll.records", 500, 1))
	fetchMax := num("fetch.max.bytes", 50<<20, 1)
	opts := []kgo.Opt{kgo.ConsumeResetOffset(at), kgo.FetchIsolationLevel(level),
		kgo.FetchMinBytes(int32(num("fetch.min.bytes", 1, 0))),
		kgo.FetchMaxWait(time.Duration(num("fetch.max.wait.ms", 500, 0)) * time.Millisecond),
		kgo.FetchMaxBytes(int32(fetchMax)),
		kgo.FetchMaxPartitionBytes(int32(min(num("max.partition.fetch.bytes", 1<<20, 1), fetchMax))),
		kgo.BrokerMaxReadBytes(int32(max(fetchMax*2, 100<<20)))}
	if v := c.prop("client.rack", ""); v != "" {
		opts = append(opts, kgo.Rack(v))
	}
	if strings.EqualFold(c.prop("allow.auto.create.topics", "true"), "true") {
		opts = append(opts, kgo.AllowAutoTopicCreation())
	}
	switch {
	case out.Direct != nil:
		return append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{out.Topic: out.Direct})), nil
	case out.Pattern != "":
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:"+out.Pattern+")$"))
		if !strings.EqualFold(c.prop("exclude.internal.topics", "true"), "false") {
			opts = append(opts, kgo.ConsumeExcludeTopics("^__consumer_offsets$", "^__transaction_state$"))
		}
	default:
		opts = append(opts, kgo.ConsumeTopics(out.Topic))
	}
	more, err := c.member(out, num)
	return append(opts, more...), err
}

// member are the options of a group's member.
func (c Config) member(out *Consumer, num func(key string, def, least int64) int64) ([]kgo.Opt, error) {
	out.AutoCommit = !strings.EqualFold(c.prop("enable.auto.commit", "true"), "false")
	var strategies []kgo.GroupBalancer
	out.cooperative = true
	for class := range strings.SplitSeq(c.prop("partition.assignment.strategy", RangeAssignor), ",") {
		class = strings.TrimSpace(class)
		b, ok := balancers[class]
		if !ok {
			missing := &APIError{Class: "java.lang.ClassNotFoundException", Message: class}
			return nil, construct(&CausedError{Class: "org.apache.kafka.common.KafkaException", Message: class + " ClassNotFoundException exception occurred", Cause: missing})
		}
		strategies = append(strategies, b())
		out.cooperative = out.cooperative && strings.HasSuffix(class, ".CooperativeStickyAssignor")
	}
	millis := func(key string, def int64) time.Duration { return time.Duration(num(key, def, 1)) * time.Millisecond }
	opts := []kgo.Opt{
		kgo.ConsumerGroup(out.Group), kgo.Balancers(strategies...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(millis("session.timeout.ms", 10000)), kgo.HeartbeatInterval(millis("heartbeat.interval.ms", 3000)),
		kgo.RebalanceTimeout(millis("max.poll.interval.ms", 300000)),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { out.assigned(m) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, m map[string][]int32) { out.revoked(ctx, m, true) }),
		kgo.OnPartitionsLost(func(ctx context.Context, _ *kgo.Client, m map[string][]int32) { out.revoked(ctx, m, false) }),
		kgo.AdjustFetchOffsetsFn(out.start),
	}
	if v := c.prop("group.instance.id", ""); v != "" {
		opts = append(opts, kgo.InstanceID(v))
	}
	return opts, nil
}

// hashed lists partitions in the order of a java.util.HashSet.
func hashed(m map[string][]int32) []TopicPartition {
	var tps []TopicPartition
	for topic, ids := range m {
		for _, id := range ids {
			tps = append(tps, TopicPartition{topic, id})
		}
	}
	slices.SortFunc(tps, func(a, b TopicPartition) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
	return HashOrderPartitions(tps, max(len(tps)*4/3+1, 16))
}

func (c *Consumer) assigned(m map[string][]int32) {
	if c.Assigned != nil {
		c.Assigned(hashed(m))
	}
}

// revoked commits what was read of the partitions, if it may, and forgets it.
func (c *Consumer) revoked(ctx context.Context, m map[string][]int32, owned bool) {
	tps := hashed(m)
	c.mu.Lock()
	quiet := len(tps) == 0 && (c.cooperative || c.closing || !owned)
	c.mu.Unlock()
	if quiet {
		return
	}
	if owned && c.AutoCommit {
		c.commitPositions(ctx)
	}
	c.mu.Lock()
	for _, tp := range tps {
		delete(c.positions, tp)
	}
	c.mu.Unlock()
	if c.Revoked != nil {
		c.Revoked(tps)
	}
}

// start says where to begin to read what was assigned: at the group's offset, else where the reset policy says. That counts as read up to
// there, and is committed as such.
func (c *Consumer) start(ctx context.Context, at map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	var unknown []TopicPartition
	positions := map[TopicPartition]position{}
	for topic, parts := range at {
		for id, o := range parts {
			tp := TopicPartition{topic, id}
			if eo := o.EpochOffset(); eo.Offset >= 0 {
				positions[tp] = position{eo, true}
			} else {
				unknown = append(unknown, tp)
			}
		}
	}
	if len(unknown) > 0 && c.reset == noReset {
		c.end(&APIError{Class: "org.apache.kafka.clients.consumer.NoOffsetForPartitionException",
			Message: "Undefined offset with no reset policy for partitions: [" + JoinPartitions(HashOrderPartitions(unknown, 0), ", ") + "]"})
		return at, nil
	}
	if len(unknown) > 0 {
		admin := &Admin{Client: c.Client, timeout: time.Minute}
		offsets, err := admin.ListOffsets(ctx, unknown, c.reset)
		if err != nil {
			return at, nil // the client finds them itself; they are committed when something was read
		}
		for _, tp := range unknown {
			at[tp.Topic][tp.Partition] = kgo.NewOffset().At(offsets[tp])
			positions[tp] = position{EpochOffset: kgo.EpochOffset{Epoch: -1, Offset: offsets[tp]}}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for tp, p := range positions {
		c.positions[tp] = p
	}
	return at, nil
}

// end makes Poll return an error.
func (c *Consumer) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
		close(c.fail)
	}
}

// Poll waits for records, max.poll.records at most, until ctx ends; then there are none, and no error. What it returned before may be taken
// away by a rebalance from here on. warn is told of what passes by itself; it may be nil.
func (c *Consumer) Poll(ctx context.Context, warn func(topic string, err *kerr.Error)) (kgo.Fetches, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.fail:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		c.Client.AllowRebalance()
		fetches := c.Client.PollRecords(ctx, c.atOnce)
		c.mu.Lock()
		failed := c.failed
		c.mu.Unlock()
		if failed != nil {
			return nil, failed
		}
		for _, e := range fetches.Errors() {
			if err := c.failure(e, warn); err != nil {
				return nil, err
			}
		}
		if fetches.NumRecords() > 0 || ctx.Err() != nil {
			return fetches, nil
		}
	}
}

// failure tells which errors end a consumer.
func (c *Consumer) failure(e kgo.FetchError, warn func(topic string, err *kerr.Error)) error {
	var k *kerr.Error
	switch {
	case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, context.Canceled):
	case errors.Is(e.Err, kerr.InvalidTopicException):
		return &APIError{Class: errorsPackage + "InvalidTopicException", Message: "Invalid topics: [" + e.Topic + "]"}
	case errors.Is(e.Err, kerr.TopicAuthorizationFailed):
		return &APIError{Class: errorsPackage + "TopicAuthorizationException", Message: "Not authorized to access topics: [" + e.Topic + "]"}
	case errors.Is(e.Err, kerr.UnknownMemberID), errors.Is(e.Err, kerr.IllegalGeneration): // it joins again
	case errors.As(e.Err, &k) && k.Retriable:
		if warn != nil && e.Topic != "" {
			warn(e.Topic, k)
		}
	case errors.As(e.Err, &k):
		return Error(k.Code, nil)
	case kgo.IsRetryableBrokerErr(e.Err):
	default:
		return Wrap(e.Err, fmt.Sprintf("read %s-%d", e.Topic, e.Partition))
	}
	return nil
}

// Read notes that all records of a partition before and with this one were taken in.
func (c *Consumer) Read(r *kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.positions[TopicPartition{r.Topic, r.Partition}] = position{EpochOffset: kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}}
}

// commitOften is enable.auto.commit.
func (c *Consumer) commitOften(ctx context.Context, interval time.Duration) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.commitPositions(ctx)
		}
	}
}

// commitLimit is how long a commit may take that nobody asked for.
const commitLimit = 30 * time.Second

// commitPositions commits the positions that are not; one that fails is tried again the next time.
func (c *Consumer) commitPositions(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commitLimit)
	defer cancel()
	offsets := map[TopicPartition]kgo.EpochOffset{}
	c.mu.Lock()
	for tp, p := range c.positions {
		if !p.committed {
			offsets[tp] = p.EpochOffset
		}
	}
	c.mu.Unlock()
	if len(offsets) == 0 || c.Commit(ctx, offsets) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for tp, o := range offsets {
		if p, ok := c.positions[tp]; ok && p.EpochOffset == o {
			c.positions[tp] = position{o, true}
		}
	}
}

// commitErrors are the words of Java's consumer for commits that a rebalance refuses.
var commitErrors = map[int16]error{
	kerr.RebalanceInProgress.Code: &APIError{Code: kerr.RebalanceInProgress.Code, Class: errorsPackage + "RebalanceInProgressException",
		Message: "Offset commit cannot be completed since the consumer is undergoing a rebalance for auto partition assignment. " +
			"You can try completing the rebalance by calling poll() and then retry the operation."},
	kerr.IllegalGeneration.Code: commitFailed,
	kerr.UnknownMemberID.Code:   commitFailed,
}

var commitFailed = &APIError{Class: "org.apache.kafka.clients.consumer.CommitFailedException",
	Message: "Commit cannot be completed since the group has already rebalanced and assigned the partitions to another member. " +
		"This means that the time between subsequent calls to poll() was longer than the configured max.poll.interval.ms, " +
		"which typically implies that the poll loop is spending too much time message processing. " +
		"You can address this either by increasing max.poll.interval.ms or by reducing the maximum size of batches returned in poll() with max.poll.records."}

// Commit stores offsets for the group, as its member.
func (c *Consumer) Commit(ctx context.Context, offsets map[TopicPartition]kgo.EpochOffset) error {
	m := map[string]map[int32]kgo.EpochOffset{}
	for tp, o := range offsets {
		if m[tp.Topic] == nil {
			m[tp.Topic] = map[int32]kgo.EpochOffset{}
		}
		m[tp.Topic][tp.Partition] = o
	}
	var failed error
	c.Client.CommitOffsetsSync(kgo.PreCommitFnContext(ctx, withoutMetadata), m, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil {
			return
		}
		for i := range resp.Topics {
			for _, p := range resp.Topics[i].Partitions {
				if p.ErrorCode != 0 {
					failed = kerr.ErrorForCode(p.ErrorCode)
				}
			}
		}
	})
	var k *kerr.Error
	if errors.As(failed, &k) && commitErrors[k.Code] != nil {
		return commitErrors[k.Code]
	}
	return Wrap(failed, "commit offsets")
}

// withoutMetadata takes back what kgo adds to each offset.
func withoutMetadata(req *kmsg.OffsetCommitRequest) error {
	none := ""
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			req.Topics[i].Partitions[j].Metadata = &none
		}
	}
	return nil
}

// Close commits what is to be committed, tells what is revoked, and leaves the group.
func (c *Consumer) Close() {
	if c.stop != nil {
		c.stop()
		c.committer.Wait()
	}
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.Client.CloseAllowingRebalance()
}
