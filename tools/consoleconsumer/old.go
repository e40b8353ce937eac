package consoleconsumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/zkgroup"
	"gregor/zkmeta"
)

// oldConsumer is what --zookeeper asks for.
type oldConsumer struct {
	opt           zkgroup.Options
	fromBeginning bool
	deleteOffsets bool
	ownGroup      bool // nobody named it: it goes at the end
}

const deprecated = "Using the ConsoleConsumer with old consumer is deprecated and will be removed in a future major release. " +
	"Consider using the new consumer by passing [bootstrap-server] instead of [zookeeper]."

// oldGroupError is a group that was used before, told as it is.
type oldGroupError struct{ group string }

func (e *oldGroupError) Error() string {
	return "Found previous offset information for this group " + e.group + ". Please use --delete-consumer-offsets to delete previous offsets metadata"
}

// old reads the options and properties of the consumer that Kafka had until 1.1, with its names and defaults.
func (s *settings) old(o *cli.Options, file, extra map[string]string) error {
	usage := func(message string) error { return &cli.UsageError{Message: message} }
	n := 0
	for _, name := range []string{"topic", "whitelist", "blacklist"} {
		if o.Has(name) {
			n++
		}
	}
	if n != 1 {
		return usage("Exactly one of whitelist/blacklist/topic is required.")
	}
	for _, name := range []string{"bootstrap-server", "partition", "offset", "isolation-level"} {
		if err := o.Conflict(name, "zookeeper"); err != nil {
			return err
		}
	}
	p := maps.Clone(file)
	maps.Copy(p, extra)
	z := &oldConsumer{fromBeginning: o.Has("from-beginning"), deleteOffsets: o.Has("delete-consumer-offsets")}
	_, named := p["group.id"]
	if err := s.setGroup(o, file, extra); err != nil {
		return err
	}
	z.ownGroup = !named && !o.Has("group")
	cfg := kclient.Config{Props: map[string]string{}}
	for _, key := range []string{"client.id", "socket.timeout.ms"} {
		if v, ok := p[key]; ok {
			cfg.Props[key] = v
		}
	}
	z.opt = zkgroup.Options{ZooKeeper: o.String("zookeeper"), Group: s.group, ID: p["consumer.id"], Pattern: zkgroup.WhiteList, Filter: o.String("topic"),
		Internal: strings.EqualFold(p["exclude.internal.topics"], "false"), AutoCommit: !strings.EqualFold(p["auto.commit.enable"], "false"),
		Client: cfg.AsConsumer(s.group)}
	if o.Has("whitelist") {
		z.opt.Filter = o.String("whitelist")
	}
	if o.Has("blacklist") {
		z.opt.Pattern, z.opt.Filter = zkgroup.BlackList, o.String("blacklist")
	}
	if err := z.reset(p); err != nil {
		return err
	}
	if err := z.times(p); err != nil {
		return err
	}
	s.zk = z
	return nil
}

func (z *oldConsumer) reset(p map[string]string) error {
	policy := p["auto.offset.reset"]
	if policy == "" {
		policy = "largest"
		if z.fromBeginning {
			policy = "smallest"
		}
	}
	switch policy {
	case "smallest":
		z.opt.Reset = kclient.Earliest
	case "largest":
		z.opt.Reset = kclient.Latest
	default:
		return &kclient.APIError{Class: "kafka.common.InvalidConfigException", Message: "Wrong value " + policy +
			" of auto.offset.reset in ConsumerConfig; Valid values are smallest and largest"}
	}
	return nil
}

// times reads the numbers among the properties.
func (z *oldConsumer) times(p map[string]string) error {
	cfg := kclient.Config{Props: p}
	session, err1 := cfg.Millis("zookeeper.session.timeout.ms", 6*time.Second)
	connect, err2 := cfg.Millis("zookeeper.connection.timeout.ms", session)
	sync, err3 := cfg.Millis("zookeeper.sync.time.ms", 2*time.Second)
	backoff, err4 := cfg.Millis("rebalance.backoff.ms", sync)
	commit, err5 := cfg.Millis("auto.commit.interval.ms", time.Minute)
	retries, err6 := cfg.Int("rebalance.max.retries", 4)
	z.opt.SessionTimeout, z.opt.ConnectTimeout, z.opt.Backoff, z.opt.CommitInterval = max(session, time.Millisecond), max(connect, time.Millisecond), max(backoff, time.Millisecond), max(commit, time.Millisecond)
	z.opt.Retries = int(min(max(retries, 1), 1<<20))
	return errors.Join(err1, err2, err3, err4, err5, err6)
}

// open looks at what is left of the group, and joins it.
func (z *oldConsumer) open(stderr io.Writer) (source, error) {
	fmt.Fprintln(stderr, deprecated)
	z.opt.Warn, z.opt.Client.Warn = stderr, stderr
	ctx, cancel := context.WithTimeout(context.Background(), z.opt.ConnectTimeout+30*time.Second)
	defer cancel()
	if z.deleteOffsets || z.fromBeginning {
		if err := z.inZooKeeper(ctx, z.before); err != nil {
			return nil, err
		}
	}
	c, err := zkgroup.Open(ctx, z.opt)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (z *oldConsumer) inZooKeeper(ctx context.Context, f func(context.Context, *zkmeta.Client) error) error {
	zk, err := zkmeta.Dial(ctx, zkmeta.Options{Connect: z.opt.ZooKeeper, SessionTimeout: z.opt.SessionTimeout, ConnectTimeout: z.opt.ConnectTimeout, MustExist: true})
	if err != nil {
		return err
	}
	defer zk.Close()
	return f(ctx, zk)
}

// before forgets the group, or refuses to begin at the beginning where it has been.
func (z *oldConsumer) before(ctx context.Context, zk *zkmeta.Client) error {
	path := zkmeta.PathConsumer(z.opt.Group)
	if z.deleteOffsets {
		return zk.DeleteAll(ctx, path)
	}
	there, _, err := zk.Exists(ctx, path+"/offsets")
	if err == nil && there {
		return &oldGroupError{z.opt.Group}
	}
	return err
}

// cleanUp removes a group that nobody named.
func (z *oldConsumer) cleanUp(stderr io.Writer) {
	if !z.ownGroup {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := z.inZooKeeper(ctx, func(ctx context.Context, zk *zkmeta.Client) error {
		return zk.DeleteAll(ctx, zkmeta.PathConsumer(z.opt.Group))
	})
	if err != nil {
		fmt.Fprintf(stderr, "gregor: %s is left behind in ZooKeeper: %v\n", zkmeta.PathConsumer(z.opt.Group), err)
	}
}
