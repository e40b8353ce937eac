// Package leaderelection is kafka-leader-election: it makes preferred replicas leaders, or replicas that may lack records.
//
// Owns: the command's flags and output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: partitions that fail do not keep the others from being done; any that fails makes the exit code 1.
// Imports: tools/internal.
// Kafka counterpart: kafka.admin.LeaderElectionCommand.
package leaderelection

import (
	"bufio"
	"context"
	"io"
	"strings"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/elections"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
	"gregor/tools/internal/scalajson"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "host:port", Doc: "REQUIRED: brokers to connect to."},
		cli.Opt{Name: "admin.config", Kind: cli.String, Arg: "config file", Doc: "Properties file for the admin client."},
		cli.Opt{Name: "path-to-json-file", Kind: cli.String, Arg: "Path to JSON file", Doc: "The partitions, as\n" +
			"{\"partitions\":\n  [{\"topic\": \"foo\", \"partition\": 1},\n   {\"topic\": \"foobar\", \"partition\": 2}]\n}"},
		cli.Opt{Name: "topic", Kind: cli.String, Arg: "topic name", Doc: "The topic of the one partition that this is about."},
		cli.Opt{Name: "partition", Kind: cli.Int, Arg: "partition id", Doc: "The partition's number. REQUIRED with --topic."},
		cli.Opt{Name: "all-topic-partitions", Doc: "All partitions for which there is something to do."},
		cli.Opt{Name: "election-type", Kind: cli.String, Arg: "election type", Doc: "REQUIRED: preferred (the first replica leads again, if it is in sync) or " +
			"unclean (a partition without a leader gets one that is not in sync; records may be lost)."},
	)...)
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Fail(stderr, err)
	}
	if code, done := o.HelpOrVersion(stdout, stderr, "This tool attempts to elect a new leader for a set of topic partitions. "+
		"The type of elections supported are preferred replicas and unclean replicas."); done {
		return code
	}
	if err := validate(o); err != nil {
		return kclient.Uncaught(stderr, err)
	}
	if err := o.Check("bootstrap-server", "admin.config", "path-to-json-file", "topic", "partition", "election-type"); err != nil {
		return p.Fail(stderr, err)
	}
	kind := strings.ToUpper(o.String("election-type"))
	if kind != "PREFERRED" && kind != "UNCLEAN" {
		return p.Fail(stderr, &cli.OptionError{Class: "OptionArgumentConversionException",
			Message: "Cannot parse argument '" + o.String("election-type") + "' of option election-type"})
	}
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	if err := run(context.Background(), o, kind, out, stderr); err != nil {
		return elections.Uncaught(stderr, err)
	}
	return 0
}

func refused(message string) error {
	return &kclient.APIError{Class: "kafka.common.AdminCommandFailedException", Message: message}
}

func validate(o *cli.Options) error {
	var missing []string
	for _, name := range []string{"election-type", "bootstrap-server"} {
		if !o.Has(name) {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return refused("Missing required option(s): " + strings.Join(missing, ", "))
	}
	which := []string{"topic", "all-topic-partitions", "path-to-json-file"}
	given := 0
	for _, name := range which {
		if o.Has(name) {
			given++
		}
	}
	switch {
	case given != 1:
		return refused("One and only one of the following options is required: " + strings.Join(which, ", "))
	case o.Has("topic") && !o.Has("partition"):
		return refused("Missing required option(s): partition")
	case o.Has("partition") && !o.Has("topic"):
		return refused("Option partition is only allowed if topic is used")
	}
	return nil
}

func run(ctx context.Context, o *cli.Options, kind string, out *bufio.Writer, stderr io.Writer) error {
	var partitions []kclient.TopicPartition
	switch {
	case o.Has("path-to-json-file"):
		text, err := scalajson.ReadFile(o.String("path-to-json-file"))
		if err != nil {
			return err
		}
		if partitions, err = elections.Parse(text, `Replica election data is missing "partitions" field`); err != nil {
			return err
		}
		if twice := kclient.ScalaDuplicates(partitions); twice != nil {
			return elections.Refused("Replica election data contains duplicate partitions: " + kclient.JoinPartitions(twice, ","))
		}
	case o.Has("topic"):
		partitions = []kclient.TopicPartition{{Topic: o.String("topic"), Partition: int32(o.Int("partition"))}}
	}
	settings := map[string]string{}
	if o.Has("admin.config") {
		var err error
		if settings, err = props.Load(o.String("admin.config")); err != nil {
			return err
		}
	}
	settings["default.api.timeout.ms"], settings["request.timeout.ms"] = "30000", "15000"
	admin, err := kclient.OpenAdmin(o.String("bootstrap-server"), settings, "adminclient-1", stderr)
	if err != nil {
		return err
	}
	defer admin.Close()
	return elections.Elect(ctx, admin, map[string]int8{"PREFERRED": 0, "UNCLEAN": 1}[kind], partitions, elections.Words{
		Succeeded: "Successfully completed leader election (" + kind + ") for partitions ",
		Noop:      "Valid replica already elected for partitions ",
		Failed:    "Error completing leader election (" + kind + ") for partition: ",
		Replicas:  "replica(s)",
	}, out)
}
