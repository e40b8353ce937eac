package consoleconsumer

import (
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
		cli.Opt{Name: "group", Kind: cli.String, Arg: "consumer group id", Doc: "Read as a member of this consumer group and commit what was printed. Default: a group of its own, without commits."},
		cli.Opt{Name: "zookeeper", Kind: cli.String, Arg: "urls", Doc: "DEPRECATED, in place of --bootstrap-server: the group and its offsets are kept in ZooKeeper at host:port/chroot, as by the consumers of Kafka 0.8."},
		cli.Opt{Name: "blacklist", Kind: cli.String, Arg: "blacklist", Doc: "With --zookeeper: read all topics whose whole name does not match."},
		cli.Opt{Name: "delete-consumer-offsets", Doc: "With --zookeeper: forget what the group has read before."},
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

	cfg  kclient.Config
	what kclient.Subscription
	zk   *oldConsumer // nil without --zookeeper
}

const (
	earliest = -2
	latest   = -1
)

func parse(o *cli.Options) (*settings, error) {
	if err := o.Check("topic", "whitelist", "partition", "offset", "consumer.config", "formatter", "max-messages", "timeout-ms",
		"bootstrap-server", "key-deserializer", "value-deserializer", "isolation-level", "group", "zookeeper", "blacklist"); err != nil {
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
	if o.Has("zookeeper") {
		return s, s.old(o, file, extra)
	}
	for _, name := range []string{"blacklist", "delete-consumer-offsets"} {
		if o.Has(name) {
			return nil, &cli.UsageError{Message: name + " is not a recognized option"}
		}
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
	s.cfg = kclient.Config{Servers: o.String("bootstrap-server"), Props: p}.AsConsumer(s.group)
	return s, s.subscribe(o, offset)
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
		s.group = ids[0]
	default: // nobody will use this group's offsets
		s.group = fmt.Sprintf("console-consumer-%d", rand.IntN(100000))
		if _, ok := file["enable.auto.commit"]; !ok {
			file["enable.auto.commit"] = "false"
		}
	}
	return nil
}

// subscribe says what is read: one partition directly, or a topic or topics by a regular expression as a member of the group.
func (s *settings) subscribe(o *cli.Options, offset int64) error {
	p := s.cfg.Props
	if err := resetPolicy(o, p); err != nil {
		return err
	}
	s.what = kclient.Subscription{Topic: o.String("topic"), Pattern: o.String("whitelist"), Group: s.group}
	if !o.Has("partition") {
		return nil
	}
	at := kgo.NewOffset().At(offset)
	switch offset {
	case earliest:
		at = kgo.NewOffset().AtStart()
	case latest:
		at = kgo.NewOffset().AtEnd()
	}
	s.what.Direct = map[int32]kgo.Offset{int32(o.Int("partition")): at}
	return nil
}

// resetPolicy sets auto.offset.reset where --from-beginning or nothing speaks.
func resetPolicy(o *cli.Options, p map[string]string) error {
	policy, given := p["auto.offset.reset"]
	switch {
	case given && o.Has("from-beginning") && policy != "earliest":
		return &conflictError{fmt.Sprintf("Can't simultaneously specify --from-beginning and 'auto.offset.reset=%s', please remove one option", policy)}
	case given:
	case o.Has("from-beginning"):
		p["auto.offset.reset"] = "earliest"
	default:
		p["auto.offset.reset"] = "latest"
	}
	return nil
}

// conflictError is told as it is.
type conflictError struct{ message string }

func (e *conflictError) Error() string { return e.message }
