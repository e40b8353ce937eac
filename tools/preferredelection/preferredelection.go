// Package preferredelection is kafka-preferred-replica-election: it makes preferred replicas leaders, through brokers or in the old way
// through ZooKeeper.
//
// Owns: the command's flags and output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: in the old way nothing is asked for while the controller is at work on what was asked before.
// Imports: zkmeta, tools/internal.
// Kafka counterpart: kafka.admin.PreferredReplicaLeaderElectionCommand.
package preferredelection

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/elections"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
	"gregor/tools/internal/scalajson"
	"gregor/tools/internal/zkclient"
	"gregor/zkmeta"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "path-to-json-file", Kind: cli.String, Arg: "list of partitions for which preferred replica leader election needs to be triggered",
			Doc: "The partitions, as\n{\"partitions\":\n  [{\"topic\": \"foo\", \"partition\": 1},\n   {\"topic\": \"foobar\", \"partition\": 2}]\n}\nDefault: all there are."},
		cli.Opt{Name: "zookeeper", Kind: cli.String, Arg: "urls", Doc: "DEPRECATED, use --bootstrap-server: ZooKeeper servers, as host:port,host:port/chroot."},
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "host:port", Doc: "Brokers to connect to. REQUIRED unless --zookeeper is given."},
		cli.Opt{Name: "admin.config", Kind: cli.String, Arg: "config file", Doc: "With --bootstrap-server: properties file for the admin client."},
	)...)
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fmt.Fprintln(stdout, "This tool is deprecated. Please use kafka-leader-election tool. Tracking issue: KAFKA-8405")
	p := newParser()
	o, err := p.Parse(args)
	if err == nil && o.Has("admin.config") && !o.Has("bootstrap-server") && !o.Has("help") && !o.Has("version") {
		err = &cli.OptionError{Class: "UnavailableOptionException", Message: "Option(s) [admin.config] are unavailable given other options on the command line"}
	}
	if err != nil {
		return p.Fail(stderr, err)
	}
	if code, done := o.HelpOrVersion(stdout, stderr, "This tool helps to causes leadership for each partition to be transferred back to the "+
		"'preferred replica', it can be used to balance leadership among the servers."); done {
		return code
	}
	if o.Has("bootstrap-server") == o.Has("zookeeper") {
		return p.Fail(stderr, &cli.UsageError{Message: "Exactly one of '[bootstrap-server]' or '[zookeeper]' must be provided"})
	}
	if err := o.Check("path-to-json-file", "zookeeper", "bootstrap-server", "admin.config"); err != nil {
		return p.Fail(stderr, err)
	}
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	if err := run(context.Background(), o, out, stderr); err != nil {
		return elections.Uncaught(stderr, err)
	}
	return 0
}

func run(ctx context.Context, o *cli.Options, out *bufio.Writer, stderr io.Writer) error {
	var partitions []kclient.TopicPartition
	if o.Has("path-to-json-file") {
		text, err := scalajson.ReadFile(o.String("path-to-json-file"))
		if err != nil {
			return err
		}
		if partitions, err = parse(text); err != nil {
			return err
		}
	}
	if o.Has("zookeeper") {
		return byZooKeeper(ctx, o, partitions, out, stderr)
	}
	settings := map[string]string{}
	if o.Has("admin.config") {
		var err error
		if settings, err = props.Load(o.String("admin.config")); err != nil {
			return err
		}
	}
	settings["default.api.timeout.ms"], settings["request.timeout.ms"] = "60000", "30000"
	admin, err := kclient.OpenAdmin(o.String("bootstrap-server"), settings, "adminclient-1", stderr)
	if err != nil {
		return err
	}
	defer admin.Close()
	return elections.Elect(ctx, admin, 0, partitions, elections.Words{
		Succeeded: "Successfully completed preferred leader election for partitions ",
		Noop:      "Preferred replica already elected for partitions ",
		Failed:    "Error completing preferred leader election for partition: ",
		Replicas:  "preferred replica(s)",
	}, out)
}

func parse(text []byte) ([]kclient.TopicPartition, error) {
	const empty = "Preferred replica election data is empty"
	if _, ok := scalajson.Parse(text); !ok {
		return nil, elections.Refused(empty)
	}
	partitions, err := elections.Parse(text, empty)
	if err != nil {
		return nil, err
	}
	if twice := kclient.ScalaDuplicates(partitions); twice != nil {
		return nil, elections.Refused("Preferred replica election data contains duplicate partitions: " + kclient.JoinPartitions(twice, ","))
	}
	return partitions, nil
}

func byZooKeeper(ctx context.Context, o *cli.Options, wanted []kclient.TopicPartition, out *bufio.Writer, stderr io.Writer) error {
	fmt.Fprintln(out, "Warning: --zookeeper is deprecated and will be removed in a future version of Kafka.")
	fmt.Fprintln(out, "Use --bootstrap-server instead to specify a broker to connect to.")
	out.Flush() //nolint:errcheck // shown while the server is waited for
	zk, err := zkclient.Dial(ctx, o.String("zookeeper"), stderr)
	if err != nil {
		return err
	}
	defer zk.Close()
	if err := ask(ctx, zk, wanted, o.Has("path-to-json-file"), out); err != nil {
		return &kclient.CausedError{Class: "kafka.common.AdminCommandFailedException", Message: "Admin command failed", Cause: err}
	}
	return nil
}

// ask writes the partitions of the list that there are, or all there are, where the controller finds them.
func ask(ctx context.Context, zk *zkmeta.Client, wanted []kclient.TopicPartition, listed bool, out *bufio.Writer) error {
	all, err := existing(ctx, zk, wanted, listed)
	if err != nil {
		return err
	}
	valid, invalid := all, []kclient.TopicPartition(nil)
	if listed {
		valid = nil
		for _, tp := range kclient.ScalaSet(wanted) {
			if slices.Contains(all, tp) {
				valid = append(valid, tp)
			} else {
				invalid = append(invalid, tp)
			}
		}
	}
	set := make([]zkmeta.TopicPartition, len(valid))
	for i, tp := range valid {
		set[i] = zkmeta.TopicPartition(tp)
	}
	err = zk.Create(ctx, zkmeta.PathPreferredReplicaElect, zkmeta.EncodePreferredElection(set))
	if errors.Is(err, zkmeta.ErrNodeExists) {
		return elections.Refused("Preferred replica leader election currently in progress for " + pending(ctx, zk) + ". Aborting operation")
	}
	if err != nil {
		return elections.Refused(err.Error())
	}
	fmt.Fprintln(out, "Created preferred replica election path with "+kclient.JoinPartitions(valid, ","))
	name := "Set"
	if len(valid) > 4 {
		name = "HashSet"
	}
	fmt.Fprintf(out, "Successfully started preferred replica election for partitions %s(%s)\n", name, kclient.JoinPartitions(valid, ", "))
	for _, tp := range invalid {
		fmt.Fprintf(out, "Skipping preferred replica leader election for partition %s since it doesn't exist.\n", tp)
	}
	return nil
}

// existing are the partitions of the listed topics, or of all.
func existing(ctx context.Context, zk *zkmeta.Client, wanted []kclient.TopicPartition, listed bool) ([]kclient.TopicPartition, error) {
	var topics []string
	var err error
	if listed {
		for _, tp := range wanted {
			topics = append(topics, tp.Topic)
		}
		slices.Sort(topics)
		topics = slices.Compact(topics)
	} else if topics, err = zk.Topics(ctx); err != nil {
		return nil, err
	}
	var out []kclient.TopicPartition
	for _, topic := range topics {
		replicas, err := zk.TopicAssignment(ctx, topic)
		if errors.Is(err, zkmeta.ErrUnknownTopic) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for p := range int32(len(replicas)) {
			out = append(out, kclient.TopicPartition{Topic: topic, Partition: p})
		}
	}
	return kclient.ScalaSet(out), nil
}

// pending are the partitions of the request that the controller is at work on.
func pending(ctx context.Context, zk *zkmeta.Client) string {
	data, _, err := zk.Get(ctx, zkmeta.PathPreferredReplicaElect)
	if err != nil {
		return ""
	}
	tps, err := zkmeta.DecodePreferredElection(data)
	if err != nil {
		return strings.ToValidUTF8(string(data), "?")
	}
	names := make([]kclient.TopicPartition, len(tps))
	for i, tp := range tps {
		names[i] = kclient.TopicPartition(tp)
	}
	return kclient.JoinPartitions(kclient.ScalaSet(names), ",")
}
