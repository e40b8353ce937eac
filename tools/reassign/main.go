package reassign

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/scalajson"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "verify", Doc: "Say how far the moves of --reassignment-json-file are; once all are done, remove the throttles."},
		cli.Opt{Name: "generate", Doc: "Propose where the partitions of topics could lie. Nothing is moved."},
		cli.Opt{Name: "execute", Doc: "Begin the moves of --reassignment-json-file."},
		cli.Opt{Name: "cancel", Doc: "Cancel moves under way."},
		cli.Opt{Name: "list", Doc: "Print all moves under way."},
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "Server(s) to use for bootstrapping",
			Doc: "Brokers to connect to. REQUIRED unless --zookeeper is given, and where the file names log directories."},
		cli.Opt{Name: "command-config", Kind: cli.String, Arg: "Admin client property file", Doc: "Properties file for the admin client."},
		cli.Opt{Name: "zookeeper", Kind: cli.String, Arg: "urls", Doc: "DEPRECATED, use --bootstrap-server: ZooKeeper servers, as host:port,host:port/chroot."},
		cli.Opt{Name: "reassignment-json-file", Kind: cli.String, Arg: "manual assignment json file path", Doc: "What is to lie where, as\n" +
			"{\"partitions\":\n  [{\"topic\": \"foo\",\n    \"partition\": 1,\n    \"replicas\": [1,2,3],\n    \"log_dirs\": [\"dir1\",\"dir2\",\"dir3\"] }],\n \"version\":1\n}\n" +
			"log_dirs may be left out; it has one entry for each replica: the path of a log directory of that broker, or \"any\"."},
		cli.Opt{Name: "topics-to-move-json-file", Kind: cli.String, Arg: "topics to reassign json file path",
			Doc: "With --generate: the topics, as\n{\"topics\":\n  [{\"topic\": \"foo\"},{\"topic\": \"foo1\"}],\n \"version\":1\n}"},
		cli.Opt{Name: "broker-list", Kind: cli.String, Arg: "brokerlist", Doc: "With --generate: the brokers to place replicas on, as 0,1,2."},
		cli.Opt{Name: "disable-rack-aware", Doc: "With --generate: place replicas without regard to racks."},
		cli.Opt{Name: "throttle", Kind: cli.Long, Arg: "throttle", Default: "-1", Doc: "With --execute: move at most so many bytes a second between brokers, " +
			"at least 1 KB. With --additional it changes the throttle of moves under way."},
		cli.Opt{Name: "replica-alter-log-dirs-throttle", Kind: cli.Long, Arg: "replicaAlterLogDirsThrottle", Default: "-1",
			Doc: "The same for moves between log directories of a broker."},
		cli.Opt{Name: "timeout", Kind: cli.Long, Arg: "timeout", Default: "10000", Doc: "How long to wait, in ms, for moves between log directories to begin."},
		cli.Opt{Name: "additional", Doc: "With --execute: even though other moves are under way."},
		cli.Opt{Name: "preserve-throttles", Doc: "Leave throttles as they are."},
	)...)
}

var actions = []string{"generate", "execute", "verify", "cancel", "list"}

// required and permitted are the options that go with an action.
var (
	required = map[string][]string{
		"verify": {"reassignment-json-file"}, "generate": {"topics-to-move-json-file", "broker-list"},
		"execute": {"reassignment-json-file"}, "cancel": {"reassignment-json-file"},
	}
	permitted = map[string][]string{
		"verify":   {"bootstrap-server", "command-config", "preserve-throttles", "zookeeper"},
		"generate": {"bootstrap-server", "command-config", "disable-rack-aware", "zookeeper"},
		"execute": {"additional", "bootstrap-server", "command-config", "throttle", "replica-alter-log-dirs-throttle", "timeout",
			"zookeeper"},
		"cancel": {"bootstrap-server", "command-config", "preserve-throttles", "timeout"},
		"list":   {"bootstrap-server", "command-config"},
	}
	byBrokerOnly = []string{"additional", "cancel", "command-config", "replica-alter-log-dirs-throttle", "list", "timeout"}
)

// action finds what the command line asks for, and refuses what does not go together.
func action(o *cli.Options) (string, error) {
	var given []string
	for _, a := range actions {
		if o.Has(a) {
			given = append(given, a)
		}
	}
	if len(given) != 1 {
		return "", &cli.UsageError{Message: "Command must include exactly one action: --" + strings.Join(actions, ", --")}
	}
	a := given[0]
	if !o.Has("zookeeper") && !o.Has("bootstrap-server") {
		return "", &cli.UsageError{Message: "Please specify --bootstrap-server"}
	}
	if err := o.Require(required[a]...); err != nil {
		return "", err
	}
	for _, name := range o.Given {
		if name != a && !slices.Contains(required[a], name) && !slices.Contains(permitted[a], name) {
			return "", &cli.UsageError{Message: fmt.Sprintf(`Option "[%s]" can't be used with action "[%s]"`, name, a)}
		}
	}
	if o.Has("bootstrap-server") {
		return a, nil
	}
	for _, name := range byBrokerOnly {
		if o.Has(name) {
			return "", &kclient.APIError{Class: "java.lang.RuntimeException", Message: fmt.Sprintf(`You must specify --bootstrap-server when using "[%s]"`, name)}
		}
	}
	return a, nil
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Fail(stderr, err)
	}
	if code, done := o.HelpOrVersion(stdout, stderr, "This tool helps to move topic partitions between replicas."); done {
		return code
	}
	a, err := action(o)
	var api *kclient.APIError
	if errors.As(err, &api) {
		return kclient.Uncaught(stderr, err)
	}
	if err != nil {
		return p.Fail(stderr, err)
	}
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	if err := run(context.Background(), o, a, out, stderr); err != nil {
		tell(out, err)
		return 1
	}
	return 0
}

// terse is a failure that is told without the exception.
type terse string

func (t terse) Error() string { return string(t) }

// tell shows a failure where Kafka's command does, on standard output.
func tell(out io.Writer, err error) {
	var short terse
	if errors.As(err, &short) {
		fmt.Fprintln(out, short)
		return
	}
	var opt *cli.OptionError
	var api *kclient.APIError
	var caused *kclient.CausedError
	switch {
	case errors.As(err, &opt):
		err = &kclient.APIError{Class: "joptsimple." + opt.Class, Message: opt.Message}
		fmt.Fprintln(out, "Error: "+opt.Message)
	case errors.As(err, &caused):
		fmt.Fprintln(out, "Error: "+caused.Message)
	case errors.As(err, &api):
		fmt.Fprintln(out, "Error: "+api.Message)
	default:
		fmt.Fprintf(out, "Error: %v\n", err)
	}
	kclient.PrintTrace(out, err)
	fmt.Fprintln(out)
}

func run(ctx context.Context, o *cli.Options, a string, out *bufio.Writer, stderr io.Writer) error {
	if !o.Has("bootstrap-server") {
		fmt.Fprintln(out, "Warning: --zookeeper is deprecated, and will be removed in a future version of Kafka.")
		return runByZooKeeper(ctx, o, a, out, stderr)
	}
	if o.Has("zookeeper") {
		fmt.Fprintln(out, "Warning: ignoring deprecated --zookeeper option because "+
			"--bootstrap-server was specified.  The --zookeeper option will be removed in a future version of Kafka.")
	}
	client, err := kclient.NewAdmin(o, "reassign-partitions-tool", stderr)
	if err != nil {
		return err
	}
	defer client.Close()
	c := &command{client: client, out: out, opts: o}
	text, err := c.file(a)
	if err != nil {
		return err
	}
	switch a {
	case "verify":
		return c.verify(ctx, text)
	case "generate":
		return c.generate(ctx, text)
	case "execute":
		return c.execute(ctx, text)
	case "cancel":
		return c.cancel(ctx, text)
	}
	return c.list(ctx)
}

// file reads the action's file, and checks the options that go with it.
func (c *command) file(a string) ([]byte, error) {
	var text []byte
	if len(required[a]) > 0 {
		name := required[a][0]
		err := c.opts.Once(name)
		if err == nil {
			text, err = scalajson.ReadFile(c.opts.String(name))
		}
		if err != nil {
			return nil, err
		}
	}
	return text, c.opts.Check("bootstrap-server", "command-config", "zookeeper", "reassignment-json-file", "topics-to-move-json-file",
		"broker-list", "throttle", "replica-alter-log-dirs-throttle", "timeout")
}
