package streamsreset

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

const about = `This tool lets a Kafka Streams application process its data from scratch.
* Offsets of input topics are set to the earliest record, or where an option says; intermediate topics are skipped to their end.
* Topics that Kafka Streams made for the application (<application.id>-...-changelog, -repartition) are found and deleted.
* Output topics are left alone; delete them with kafka-topics.sh if you want to.
* Local state stores are left alone: call KafkaStreams#cleanUp() in the application, or delete what lies under its state.dir.
* --force removes members that are left over from the group at once. Stop every instance of the application first.

*** Important! Without cleaning up the local stores the application's output will be wrong.
`

func newParser() *cli.Parser {
	return cli.New(
		cli.Opt{Name: "application-id", Kind: cli.String, Arg: "id", Unless: "help", Doc: "The application.id of the Kafka Streams application."},
		cli.Opt{Name: "bootstrap-servers", Kind: cli.String, Arg: "urls", Default: "localhost:9092", Doc: "Brokers to connect to, as HOST1:PORT1,HOST2:PORT2."},
		cli.Opt{Name: "input-topics", Kind: cli.String, Arg: "list", Doc: "The application's input topics, as topic1,topic2: these are read again."},
		cli.Opt{Name: "intermediate-topics", Kind: cli.String, Arg: "list", Doc: "Topics that it writes and reads: these are skipped to their end."},
		cli.Opt{Name: "to-offset", Kind: cli.Long, Doc: "Input topics go to this offset."},
		cli.Opt{Name: "to-datetime", Kind: cli.String, Doc: "Input topics go to the first record of that time: YYYY-MM-DDTHH:mm:SS.sss."},
		cli.Opt{Name: "by-duration", Kind: cli.String, Doc: "Input topics go to the first record that is not older: PnDTnHnMnS."},
		cli.Opt{Name: "to-earliest", Doc: "Input topics go to their first record, which is the default."},
		cli.Opt{Name: "to-latest", Doc: "Input topics go to their end."},
		cli.Opt{Name: "from-file", Kind: cli.String, Doc: "Input topics go where a file of lines topic,partition,offset says."},
		cli.Opt{Name: "shift-by", Kind: cli.Long, Arg: "number-of-offsets", Doc: "Input topics go so many records further, or back if negative."},
		cli.Opt{Name: "config-file", Kind: cli.String, Arg: "file name", Doc: "Properties file for the client."},
		cli.Opt{Name: "force", Doc: "Remove members that the group still has. Stop the application first."},
		cli.Opt{Name: "execute", Doc: "Accepted; it is done unless --dry-run is given."},
		cli.Opt{Name: "dry-run", Doc: "Only show what would be done."},
		cli.Opt{Name: "zookeeper", Doc: "Deprecated; it means nothing."},
		cli.Opt{Name: "help", Help: true, Doc: "Print this text."},
		cli.Opt{Name: "version", Help: true, Doc: "Print the Kafka version this tool stands for."})
}

// scenarios say where input topics go, in the order in which Kafka holds each against the others.
var scenarios = []string{"to-offset", "to-datetime", "by-duration", "to-earliest", "to-latest", "from-file", "shift-by"}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Usage(stderr, err.Error())
	}
	if code, done := o.HelpOrVersion(stdout, stderr, about); done {
		return code
	}
	if o.Has("execute") && o.Has("dry-run") {
		return p.Usage(stderr, "Only one of --dry-run and --execute can be specified")
	}
	for _, s := range scenarios {
		others := slices.DeleteFunc(slices.Clone(scenarios), func(other string) bool { return other == s })
		if err := o.Conflict(s, others...); err != nil {
			return p.Fail(stderr, err)
		}
	}
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	code, err := run(context.Background(), o, out, stderr)
	if err != nil {
		out.Flush() //nolint:errcheck // see above
		fmt.Fprintf(stderr, "ERROR: %s\n", kclient.Trace(err))
		kclient.PrintTrace(stderr, err)
		return 1
	}
	return code
}

func run(ctx context.Context, o *cli.Options, out *bufio.Writer, stderr io.Writer) (int, error) {
	if err := o.Check("application-id", "bootstrap-servers", "to-offset", "to-datetime", "by-duration", "from-file", "shift-by", "config-file"); err != nil {
		return 0, err
	}
	settings := map[string]string{}
	if o.Has("config-file") {
		var err error
		if settings, err = props.Load(o.String("config-file")); err != nil {
			return 0, err
		}
	}
	admin, err := kclient.OpenAdmin(o.String("bootstrap-servers"), settings, "adminclient-1", stderr)
	if err != nil {
		return 0, err
	}
	defer admin.Close()
	r := &resetter{o: o, out: out, stderr: stderr, admin: admin, id: o.String("application-id"), dry: o.Has("dry-run"),
		inputs: words(o, "input-topics"), intermediates: words(o, "intermediate-topics")}
	if err := r.members(ctx); err != nil {
		return 0, err
	}
	if r.topics, err = admin.ListTopics(ctx); err != nil {
		return 0, kclient.Executed(err)
	}
	if r.dry {
		r.say("----Dry run displays the actions which will be performed when running Streams Reset Tool----")
	}
	code, err := r.offsets(ctx)
	if err != nil {
		return 0, err
	}
	return code, r.deleteInternal(ctx)
}

func words(o *cli.Options, name string) []string {
	var out []string
	for _, v := range o.Values(name) {
		out = append(out, strings.Split(v, ",")...)
	}
	return out
}

// resetter is one run.
type resetter struct {
	o      *cli.Options
	out    *bufio.Writer
	stderr io.Writer
	admin  *kclient.Admin
	id     string
	dry    bool

	inputs, intermediates []string
	topics                []string // all there are
}

func (r *resetter) say(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// members refuses to go on while the application runs, or removes what is left of it.
func (r *resetter) members(ctx context.Context) error {
	g, err := r.admin.DescribeGroup(ctx, r.id)
	if err != nil {
		return kclient.Executed(err)
	}
	if len(g.Members) == 0 {
		return nil
	}
	if r.o.Has("force") {
		r.say("Force deleting all active members in the group: %s", r.id)
		return kclient.Executed(r.admin.RemoveMembers(ctx, g))
	}
	list := make([]string, len(g.Members))
	for i, m := range g.Members {
		instance := m.Instance
		if instance == "" {
			instance = "null"
		}
		list[i] = fmt.Sprintf("(memberId=%s, groupInstanceId=%s, clientId=%s, host=%s, assignment=(topicPartitions=%s))", m.ID, instance, m.ClientID, m.Host,
			kclient.JoinPartitions(m.Partitions, ","))
	}
	return &kclient.APIError{Class: "java.lang.IllegalStateException", Message: "Consumer group '" + r.id + "' is still active and has following members: [" +
		strings.Join(list, ", ") + "]. Make sure to stop all running application instances before running the reset tool." +
		" You can use option '--force' to remove active members from the group."}
}

// deleteInternal deletes the topics that Kafka Streams made.
func (r *resetter) deleteInternal(ctx context.Context) error {
	r.say("Deleting all internal/auto-created topics for application %s", r.id)
	failed := false
	for _, topic := range r.topics {
		switch {
		case !r.internal(topic):
		case r.dry:
			r.say("Topic: %s", topic)
		default:
			if err := r.admin.DeleteTopic(ctx, topic); err != nil {
				failed = true
				r.out.Flush() //nolint:errcheck // nobody is left to tell
				fmt.Fprintf(r.stderr, "ERROR: deleting topic %s\n", topic)
				kclient.PrintTrace(r.stderr, kclient.Executed(err))
			}
		}
	}
	if failed {
		return &kclient.APIError{Class: "java.lang.RuntimeException", Message: "Encountered an error deleting one or more topics"}
	}
	r.say("Done.")
	return nil
}

var internalName = regexp.MustCompile(`(-changelog|-repartition|-subscription-registration-topic|-subscription-response-topic|` +
	`.-KTABLE-FK-JOIN-SUBSCRIPTION-(REGISTRATION|RESPONSE)-[0-9]+-topic)$`)

func (r *resetter) internal(topic string) bool {
	return !slices.Contains(r.inputs, topic) && !slices.Contains(r.intermediates, topic) && strings.HasPrefix(topic, r.id+"-") && internalName.MatchString(topic)
}

// resetFailed tells of errors in what the user gave.
func (r *resetter) resetFailed(err error) error {
	var api *kclient.APIError
	if errors.As(err, &api) && (strings.HasPrefix(api.Class, "java.io.") || strings.HasPrefix(api.Class, "java.text.")) {
		r.out.Flush() //nolint:errcheck // nobody is left to tell
		fmt.Fprintln(r.stderr, "ERROR: Resetting offsets failed.")
	}
	return err
}
