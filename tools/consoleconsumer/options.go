package consoleconsumer

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "topic", Kind: cli.String, Arg: "topic", Doc: "The topic to read."},
		cli.Opt{Name: "whitelist", Kind: cli.String, Arg: "whitelist", Doc: "A regular expression: read all topics whose whole name matches."},
		cli.Opt{Name: "partition", Kind: cli.Int, Arg: "partition", Doc: "The only partition to read; from its end unless --offset says otherwise."},
		cli.Opt{Name: "offset", Kind: cli.String, Arg: "consume offset", Default: "latest", Doc: "Where in the partition to start: a number, earliest or latest."},
		cli.Opt{Name: "consumer-property", Kind: cli.String, Arg: "consumer_prop", Doc: "A key=value for the consumer; wins over --consumer.config."},
		cli.Opt{Name: "consumer.config", Kind: cli.String, Arg: "config file", Doc: "Properties file for the consumer."},
		cli.Opt{Name: "formatter", Kind: cli.String, Arg: "class", Default: defaultFormatter, Doc: "How records are printed, by the name of Kafka's class."},
		cli.Opt{Name: "property", Kind: cli.String, Arg: "prop", Doc: "A key=value for the formatter:\n print.timestamp=true|false\n print.key=true|false\n print.offset=true|false\n print.partition=true|false\n print.headers=true|false\n print.value=true|false\n key.separator=<key.separator>\n line.separator=<line.separator>\n headers.separator=<line.separator>\n null.literal=<null.literal>\n key.deserializer=<key.deserializer>\n value.deserializer=<value.deserializer>\n headers.deserializer=<headers.deserializer>"},
		cli.Opt{Name: "from-beginning", Doc: "Start with the oldest record and not with the next one (where a group has no offset yet)."},
		cli.Opt{Name: "max-messages", Kind: cli.Int, Arg: "num_messages", Doc: "Stop after so many records. Default: go on."},
		cli.Opt{Name: "timeout-ms", Kind: cli.Int, Arg: "timeout_ms", Doc: "Stop when no record comes for so long. Default: wait."},
		cli.Opt{Name: "skip-message-on-error", Doc: "Leave out a record that cannot be printed, and go on."},
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "server to connect to", Doc: "REQUIRED: brokers to ask, as host:port,host:port."},
		cli.Opt{Name: "key-deserializer", Kind: cli.String, Arg: "deserializer for key", Doc: "The same as --property key.deserializer=..."},
		cli.Opt{Name: "value-deserializer", Kind: cli.String, Arg: "deserializer for values", Doc: "The same as --property value.deserializer=..."},
		cli.Opt{Name: "enable-systest-events", Doc: "Print shutdown_complete at the end."},
		cli.Opt{Name: "isolation-level", Kind: cli.String, Default: "read_uncommitted", Doc: "read_committed leaves out records of open and aborted transactions; read_uncommitted prints all."},
		cli.Opt{Name: "group", Kind: cli.String, Arg: "consumer group id", Doc: "Read as a member of this consumer group and commit what was printed."},
	)...)
}

// settings are what the command line asks for.
type settings struct {
	format     formatter
	max        int64 // -1: no end
	timeout    time.Duration
	skipErrors bool
	systest    bool
	group      string
	commit     bool

	cfg kclient.Config
	kgo []kgo.Opt
	bad error // a property that no consumer takes: told when one is made
}

const (
	earliest = -2
	latest   = -1
)

func parse(o *cli.Options) (*settings, error) {
	if err := o.Check("topic", "whitelist", "partition", "offset", "consumer.config", "formatter", "max-messages", "timeout-ms",
		"bootstrap-server", "key-deserializer", "value-deserializer", "isolation-level", "group"); err != nil {
		return nil, err
	}
	s := &settings{max: -1, skipErrors: o.Has("skip-message-on-error"), systest: o.Has("enable-systest-events")}
	if o.Has("max-messages") {
		s.max = o.Int("max-messages")
	}
	if o.Has("timeout-ms") && o.Int("timeout-ms") >= 0 {
		s.timeout = time.Duration(o.Int("timeout-ms")) * time.Millisecond
	} else {
		s.timeout = -1
	}
	file := map[string]string{}
	if o.Has("consumer.config") {
		var err error
		if file, err = props.Load(o.String("consumer.config")); err != nil {
			return nil, err
		}
	}
	extra := cli.KeyValues(o.Values("consumer-property"))
	args := cli.KeyValues(o.Values("property"))
	if v := o.String("key-deserializer"); v != "" {
		args["key.deserializer"] = v
	}
	if v := o.String("value-deserializer"); v != "" {
		args["value.deserializer"] = v
	}
	var err error
	if s.format, err = newFormatter(o.String("formatter"), args); err != nil {
		return nil, err
	}
	offset, err := checkStart(o)
	if err != nil {
		return nil, err
	}
	if err := s.setGroup(o, file, extra); err != nil {
		return nil, err
	}
	p := maps.Clone(file)
	maps.Copy(p, extra)
	if _, ok := p["isolation.level"]; !ok || o.Has("isolation-level") {
		p["isolation.level"] = o.String("isolation-level")
	}
	s.cfg = kclient.Config{Servers: o.String("bootstrap-server"), Props: p, ClientID: "consumer-" + s.group + "-1"}
	if v := p["client.id"]; v != "" {
		s.cfg.ClientID = v
	}
	s.cfg.Name = "Consumer clientId=" + s.cfg.ClientID + ", groupId=" + s.group
	if s.bad = s.cfg.Check(); s.bad == nil {
		s.bad = s.consumer(o, offset)
	}
	var conflict *conflictError
	if errors.As(s.bad, &conflict) {
		return nil, s.bad
	}
	return s, nil
}

// checkStart tells apart which records to start with, with Kafka's refusals.
func checkStart(o *cli.Options) (int64, error) {
	usage := func(format string, args ...any) (int64, error) {
		return 0, &cli.UsageError{Message: fmt.Sprintf(format, args...)}
	}
	if o.Has("topic") == o.Has("whitelist") {
		return usage("Exactly one of whitelist/topic is required.")
	}
	switch {
	case o.Has("partition") && !o.Has("topic"):
		return usage("The topic is required when partition is specified.")
	case o.Has("partition") && o.Has("from-beginning") && o.Has("offset"):
		return usage("Options from-beginning and offset cannot be specified together.")
	case !o.Has("partition") && o.Has("offset"):
		return usage("The partition is required when offset is specified.")
	}
	offset := int64(latest)
	if o.Has("from-beginning") {
		offset = earliest
	}
	if o.Has("offset") {
		switch v := strings.ToLower(o.String("offset")); v {
		case "earliest":
			offset = earliest
		case "latest":
			offset = latest
		default:
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 {
				return usage("The provided offset value '%s' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.", v)
			}
			offset = n
		}
	}
	return offset, o.Require("bootstrap-server")
}

func (s *settings) setGroup(o *cli.Options, file, extra map[string]string) error {
	var ids []string
	add := func(id string, ok bool) {
		if ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	add(o.String("group"), o.Has("group"))
	id, ok := file["group.id"]
	add(id, ok)
	id, ok = extra["group.id"]
	add(id, ok)
	switch {
	case len(ids) > 1:
		return &cli.UsageError{Message: "The group ids provided in different places (directly using '--group', via '--consumer-property', or via " +
			"'--consumer.config') do not match. Detected group ids: '" + strings.Join(ids, "', '") + "'"}
	case len(ids) == 1 && o.Has("partition"):
		return &cli.UsageError{Message: "Options group and partition cannot be specified together."}
	case len(ids) == 1:
		s.group, s.commit = ids[0], true
	default:
		s.group = fmt.Sprintf("console-consumer-%d", rand.IntN(100000))
	}
	return nil
}

// consumer turns the properties into kgo's options.
func (s *settings) consumer(o *cli.Options, offset int64) error {
	p := s.cfg.Props
	reset, err := resetPolicy(o, p)
	if err != nil {
		return err
	}
	var bad error
	num := func(key string, def, least int64) int64 {
		n, err := s.cfg.Int(key, def)
		if err != nil && bad == nil {
			bad = err
		}
		return min(max(n, least), 1<<30)
	}
	fetchMax := num("fetch.max.bytes", 50<<20, 1)
	s.kgo = append(s.kgo,
		kgo.ConsumeResetOffset(reset),
		kgo.FetchMinBytes(int32(num("fetch.min.bytes", 1, 0))),
		kgo.FetchMaxWait(time.Duration(num("fetch.max.wait.ms", 500, 0))*time.Millisecond),
		kgo.FetchMaxBytes(int32(fetchMax)),
		kgo.FetchMaxPartitionBytes(int32(min(num("max.partition.fetch.bytes", 1<<20, 1), fetchMax))),
		kgo.BrokerMaxReadBytes(int32(max(fetchMax*2, 100<<20))),
		kgo.MaxConcurrentFetches(2)) // what is read ahead stays small, however slow stdout is
	switch p["isolation.level"] {
	case "read_committed":
		s.kgo = append(s.kgo, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	case "read_uncommitted":
	default:
		return kclient.ConfigError(fmt.Sprintf("Invalid value %s for configuration isolation.level: String must be one of: read_committed, read_uncommitted", p["isolation.level"]))
	}
	if v := p["client.rack"]; v != "" {
		s.kgo = append(s.kgo, kgo.Rack(v))
	}
	if v, ok := p["allow.auto.create.topics"]; !ok || strings.EqualFold(v, "true") {
		s.kgo = append(s.kgo, kgo.AllowAutoTopicCreation())
	}
	if err := s.assign(o, offset, p); err != nil {
		return err
	}
	if s.commit {
		s.commit = !strings.EqualFold(p["enable.auto.commit"], "false")
		s.kgo = append(s.kgo, kgo.ConsumerGroup(s.group), kgo.Balancers(kgo.RangeBalancer()),
			kgo.SessionTimeout(time.Duration(num("session.timeout.ms", 10000, 1))*time.Millisecond),
			kgo.HeartbeatInterval(time.Duration(num("heartbeat.interval.ms", 3000, 1))*time.Millisecond),
			kgo.RebalanceTimeout(time.Duration(num("max.poll.interval.ms", 300000, 1))*time.Millisecond))
		if s.commit {
			s.kgo = append(s.kgo, kgo.AutoCommitMarks(), kgo.AutoCommitInterval(time.Duration(num("auto.commit.interval.ms", 5000, 100))*time.Millisecond))
		} else {
			s.kgo = append(s.kgo, kgo.DisableAutoCommit())
		}
		if v := p["group.instance.id"]; v != "" {
			s.kgo = append(s.kgo, kgo.InstanceID(v))
		}
	}
	return bad
}

// assign says what is read: one partition, a topic, or topics by a regular expression.
func (s *settings) assign(o *cli.Options, offset int64, p map[string]string) error {
	switch {
	case o.Has("partition"):
		at := kgo.NewOffset().At(offset)
		switch offset {
		case earliest:
			at = kgo.NewOffset().AtStart()
		case latest:
			at = kgo.NewOffset().AtEnd()
		}
		s.kgo = append(s.kgo, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.String("topic"): {int32(o.Int("partition")): at}}))
	case o.Has("topic"):
		s.kgo = append(s.kgo, kgo.ConsumeTopics(o.String("topic")))
	default:
		s.kgo = append(s.kgo, kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:"+o.String("whitelist")+")$"))
		internal := strings.EqualFold(p["exclude.internal.topics"], "false")
		if !internal {
			s.kgo = append(s.kgo, kgo.ConsumeExcludeTopics("^__consumer_offsets$", "^__transaction_state$"))
		}
	}
	return nil
}

func resetPolicy(o *cli.Options, p map[string]string) (kgo.Offset, error) {
	policy, given := p["auto.offset.reset"]
	if given && o.Has("from-beginning") && policy != "earliest" {
		return kgo.Offset{}, &conflictError{fmt.Sprintf(
			"Can't simultaneously specify --from-beginning and 'auto.offset.reset=%s', please remove one option", policy)}
	}
	if !given {
		policy = "latest"
		if o.Has("from-beginning") {
			policy = "earliest"
		}
	}
	switch policy {
	case "earliest":
		return kgo.NewOffset().AtStart(), nil
	case "latest":
		return kgo.NewOffset().AtEnd(), nil
	case "none":
		return kgo.NoResetOffset(), nil
	}
	return kgo.Offset{}, kclient.ConfigError(fmt.Sprintf("Invalid value %s for configuration auto.offset.reset: String must be one of: latest, earliest, none", policy))
}

// conflictError is told as it is.
type conflictError struct{ message string }

func (e *conflictError) Error() string { return e.message }
