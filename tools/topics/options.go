package topics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

const viaConfigs = " (the kafka-configs CLI supports altering topic configs with a --bootstrap-server option)"

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "server to connect to", Doc: "Brokers to ask, as host:port,host:port. Either this or --zookeeper is needed."},
		cli.Opt{Name: "command-config", Kind: cli.String, Arg: "command config property file", Doc: "Properties file for the admin client; goes with --bootstrap-server."},
		cli.Opt{Name: "zookeeper", Kind: cli.String, Arg: "hosts", Doc: "Deprecated: ZooKeeper servers, as host:port,host:port/chroot."},
		cli.Opt{Name: "list", Doc: "Print the names of the topics."},
		cli.Opt{Name: "create", Doc: "Make a topic."},
		cli.Opt{Name: "delete", Doc: "Remove topics."},
		cli.Opt{Name: "alter", Doc: "Give topics more partitions; with --zookeeper also other settings."},
		cli.Opt{Name: "describe", Doc: "Print partitions, leaders, replicas and settings of topics."},
		cli.Opt{Name: "topic", Kind: cli.String, Arg: "topic", Doc: "The topic's name. Except for --create a regular expression that has to match the whole name; quote it, and escape special characters with a backslash."},
		cli.Opt{Name: "config", Kind: cli.String, Arg: "name=value", Doc: "A setting of the topic that is made (or, with --zookeeper, altered). Settings: " + configNames()},
		cli.Opt{Name: "delete-config", Kind: cli.String, Arg: "name", Doc: "A setting to go back to its default; only with --alter and --zookeeper."},
		cli.Opt{Name: "partitions", Kind: cli.Int, Arg: "# of partitions", Doc: "How many partitions the topic shall have. More partitions move keys to other partitions. Default for --create: the broker's."},
		cli.Opt{Name: "replication-factor", Kind: cli.Int, Arg: "replication factor", Doc: "How many replicas each partition of the new topic has. Default: the broker's."},
		cli.Opt{Name: "replica-assignment", Kind: cli.String, Arg: "broker ids", Doc: "Brokers of each partition by hand: 1:2,2:3 makes two partitions, the first on brokers 1 and 2."},
		cli.Opt{Name: "under-replicated-partitions", Doc: "Describe only partitions that lack in-sync replicas."},
		cli.Opt{Name: "unavailable-partitions", Doc: "Describe only partitions without a live leader."},
		cli.Opt{Name: "under-min-isr-partitions", Doc: "Describe only partitions with fewer in-sync replicas than min.insync.replicas. Not with --zookeeper."},
		cli.Opt{Name: "at-min-isr-partitions", Doc: "Describe only partitions with exactly min.insync.replicas in sync. Not with --zookeeper."},
		cli.Opt{Name: "topics-with-overrides", Doc: "Describe only topics that have settings of their own, without partitions."},
		cli.Opt{Name: "if-exists", Doc: "Do nothing, successfully, when the topic is not there (alter, delete, describe)."},
		cli.Opt{Name: "if-not-exists", Doc: "Do nothing, successfully, when the topic is there already (create)."},
		cli.Opt{Name: "disable-rack-aware", Doc: "Place replicas without regard to racks."},
		cli.Opt{Name: "force", Doc: "Accepted for old scripts; nothing is asked anyway."},
		cli.Opt{Name: "exclude-internal", Doc: "Leave internal topics out of list and describe."},
	)...)
}

// command is a checked command line.
type command struct {
	action       string
	bootstrap    string
	zookeeper    string
	clientProps  map[string]string
	topic        string
	hasTopic     bool
	partitions   int32 // -1: not given
	replication  int64 // -1: not given
	assignment   [][]int32
	config       []string
	deleteConfig []string
	opts         *cli.Options
}

func (c *command) has(flag string) bool { return c.opts.Has(flag) }

var actions = []string{"create", "list", "alter", "describe", "delete"}

// parse checks the command line in Kafka's order, which decides what a command with two mistakes says.
func parse(o *cli.Options) (*command, error) {
	var given []string
	for _, a := range actions {
		if o.Has(a) {
			given = append(given, a)
		}
	}
	if len(given) != 1 {
		return nil, &cli.UsageError{Message: "Command must include exactly one action: --list, --describe, --create, --alter or --delete"}
	}
	if o.Has("bootstrap-server") == o.Has("zookeeper") {
		return nil, javaError{kclient.IllegalArgument("Only one of --bootstrap-server or --zookeeper must be specified")}
	}
	if err := checkRequired(o); err != nil {
		return nil, err
	}
	if err := checkConflicts(o); err != nil {
		return nil, err
	}
	if err := o.Once("bootstrap-server", "zookeeper", "command-config"); err != nil {
		return nil, err
	}
	c := &command{action: given[0], opts: o, bootstrap: o.String("bootstrap-server"), zookeeper: o.String("zookeeper"),
		topic: o.String("topic"), hasTopic: o.Has("topic"), partitions: -1, replication: -1,
		config: o.Values("config"), deleteConfig: o.Values("delete-config")}
	if o.Has("command-config") && !o.Has("zookeeper") {
		p, err := props.Load(o.String("command-config"))
		if err != nil {
			return nil, err
		}
		c.clientProps = p
	}
	return c, nil
}

// numbers takes what Kafka looks at only when it carries the command out.
func (c *command) numbers() error {
	o := c.opts
	if err := o.Check("topic", "partitions", "replication-factor", "replica-assignment"); err != nil {
		return err
	}
	if o.Has("partitions") {
		c.partitions = int32(o.Int("partitions"))
	}
	if o.Has("replication-factor") {
		c.replication = o.Int("replication-factor")
	}
	return nil
}

// javaError is an uncaught exception, shown as the JVM shows it.
type javaError struct{ error }

func (e javaError) Error() string {
	if api, ok := e.error.(*kclient.APIError); ok { //nolint:errorlint // set by this package
		return api.Trace()
	}
	return e.error.Error()
}

func checkRequired(o *cli.Options) error {
	if o.Has("describe") && o.Has("if-exists") {
		if err := o.Require("topic"); err != nil {
			return err
		}
	}
	if !o.Has("list") && !o.Has("describe") {
		if err := o.Require("topic"); err != nil {
			return err
		}
	}
	if o.Has("create") && !o.Has("replica-assignment") && o.Has("zookeeper") {
		if err := o.Require("partitions", "replication-factor"); err != nil {
			return err
		}
	}
	if o.Has("bootstrap-server") && o.Has("alter") {
		if o.Has("config") {
			return &cli.UsageError{Message: `Option combination "[bootstrap-server],[config]" can't be used with option "[alter]"` + viaConfigs}
		}
		return o.Require("partitions")
	}
	return nil
}

func checkConflicts(o *cli.Options) error {
	except := func(allowed ...string) []string {
		var out []string
		for _, a := range actions {
			if !slices.Contains(allowed, a) {
				out = append(out, a)
			}
		}
		return out
	}
	reports := []string{"under-replicated-partitions", "under-min-isr-partitions", "at-min-isr-partitions", "unavailable-partitions"}
	others := func(report string, more ...string) []string {
		out := except("describe")
		for _, r := range reports {
			if r != report {
				out = append(out, r)
			}
		}
		return append(out, more...)
	}
	rules := []struct {
		flag string
		not  []string
	}{
		{"config", except("alter", "create")},
		{"delete-config", append(except("alter"), "bootstrap-server")},
		{"partitions", except("alter", "create")},
		{"replication-factor", except("create")},
		{"replica-assignment", except("create", "alter")},
	}
	if o.Has("create") {
		rules = append(rules, struct {
			flag string
			not  []string
		}{"replica-assignment", []string{"partitions", "replication-factor"}})
	}
	rules = append(rules, []struct {
		flag string
		not  []string
	}{
		{"under-replicated-partitions", others("under-replicated-partitions", "topics-with-overrides")},
		{"under-min-isr-partitions", others("under-min-isr-partitions", "topics-with-overrides", "zookeeper")},
		{"at-min-isr-partitions", others("at-min-isr-partitions", "topics-with-overrides", "zookeeper")},
		{"unavailable-partitions", others("unavailable-partitions", "topics-with-overrides")},
		{"topics-with-overrides", others("")},
		{"if-exists", except("alter", "delete", "describe")},
		{"if-not-exists", except("create")},
		{"exclude-internal", except("list", "describe")},
	}...)
	for _, r := range rules {
		if err := o.Conflict(r.flag, r.not...); err != nil {
			return err
		}
	}
	return nil
}

// parseAssignment reads `1:2,2:3`: for each partition its replicas.
func parseAssignment(s string) ([][]int32, error) {
	if s == "" {
		return nil, nil
	}
	var out [][]int32
	for part := range strings.SplitSeq(s, ",") {
		var replicas, twice []int32
		for word := range strings.SplitSeq(part, ":") {
			word = strings.TrimSpace(word)
			id, err := strconv.ParseInt(word, 10, 32)
			if err != nil {
				return nil, &kclient.APIError{Class: "java.lang.NumberFormatException", Message: fmt.Sprintf("For input string: %q", word)}
			}
			if slices.Contains(replicas, int32(id)) && !slices.Contains(twice, int32(id)) {
				twice = append(twice, int32(id))
			}
			replicas = append(replicas, int32(id))
		}
		if twice != nil {
			return nil, &kclient.APIError{Class: "kafka.common.AdminCommandFailedException",
				Message: "Partition replica lists may not contain duplicate entries: " + join(twice)}
		}
		if out != nil && len(replicas) != len(out[0]) {
			return nil, &kclient.APIError{Class: "kafka.admin.AdminOperationException",
				Message: fmt.Sprintf("Partition %d has different replication factor: %s", len(out), join(replicas))}
		}
		out = append(out, replicas)
	}
	return out, nil
}

func join(ids []int32) string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = strconv.Itoa(int(id))
	}
	return strings.Join(s, ",")
}
