package consumergroups

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

var actions = []string{"list", "describe", "delete", "reset-offsets", "delete-offsets"}

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "server to connect to", Doc: "REQUIRED: brokers to connect to."},
		cli.Opt{Name: "command-config", Kind: cli.String, Arg: "command config property file", Doc: "Properties file for the admin client."},
		cli.Opt{Name: "group", Kind: cli.String, Arg: "consumer group", Doc: "The group that is meant; may be given several times."},
		cli.Opt{Name: "all-groups", Doc: "Every group."},
		cli.Opt{Name: "topic", Kind: cli.String, Arg: "topic", Doc: "The topic whose offsets are meant, topic:0,1 for some of its partitions; may be given several times."},
		cli.Opt{Name: "all-topics", Doc: "Every topic that the group has offsets of."},
		cli.Opt{Name: "list", Doc: "List the groups."},
		cli.Opt{Name: "describe", Doc: "Show a group's offsets and lag."},
		cli.Opt{Name: "members", Doc: "With --describe: show the members."},
		cli.Opt{Name: "offsets", Doc: "With --describe: show offsets and lag, which is the default."},
		cli.Opt{Name: "verbose", Doc: "With --describe --members: show what is assigned to each."},
		cli.Opt{Name: "state", Doc: "With --describe: show the state; with --list: show each group's."},
		cli.Opt{Name: "delete", Doc: "Delete groups without members."},
		cli.Opt{Name: "delete-offsets", Doc: "Delete the offsets of topics that the group does not read."},
		cli.Opt{Name: "reset-offsets", Doc: "Set the offsets of a group without members; one of --to-earliest, --to-latest, --to-current, --to-offset, --shift-by says where to."},
		cli.Opt{Name: "dry-run", Doc: "With --reset-offsets: only show what would be set, which is the default."},
		cli.Opt{Name: "execute", Doc: "With --reset-offsets: set it."},
		cli.Opt{Name: "to-earliest", Doc: "The first record that is there."},
		cli.Opt{Name: "to-latest", Doc: "The end."},
		cli.Opt{Name: "to-current", Doc: "Where the group is."},
		cli.Opt{Name: "to-offset", Kind: cli.Long, Arg: "Long: offset", Doc: "This offset."},
		cli.Opt{Name: "shift-by", Kind: cli.Long, Arg: "Long: number-of-offsets", Doc: "So many further on, or back if negative."},
		cli.Opt{Name: "timeout", Kind: cli.Long, Arg: "timeout (ms)", Default: "5000", Doc: "Accepted; requests have the client's time-outs."},
	)...)
}

const about = "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset consumer group offsets."

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Fail(stderr, err)
	}
	if code, done := o.HelpOrVersion(stdout, stderr, about); done {
		return code
	}
	if err := check(o); err != nil {
		return p.Fail(stderr, err)
	}
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	admin, err := kclient.NewAdmin(o, "adminclient-1", stderr)
	if err != nil {
		return kclient.Uncaught(stderr, err)
	}
	defer admin.Close()
	c := &command{o: o, out: out, stderr: stderr, adm: kadm.NewClient(admin.Client)}
	err = c.run(context.Background())
	var usage *cli.UsageError
	if errors.As(err, &usage) {
		return p.Fail(stderr, err)
	}
	if err != nil {
		c.fail("Executing consumer group command failed due to %s", executed(err))
	}
	return 0 // as Kafka's, which only prints
}

func check(o *cli.Options) error {
	if err := o.Require("bootstrap-server"); err != nil {
		return err
	}
	n := 0
	for _, a := range actions {
		if o.Has(a) {
			n++
		}
	}
	if n != 1 {
		return &cli.UsageError{Message: "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets"}
	}
	named := o.Has("group") || o.Has("all-groups")
	switch {
	case o.Has("describe") && !named:
		return &cli.UsageError{Message: "Option [describe] takes one of these options: [all-groups], [group]"}
	case o.Has("delete") && !named:
		return &cli.UsageError{Message: "Option [delete] takes one of these options: [all-groups], [group]"}
	case o.Has("reset-offsets") && !named:
		return &cli.UsageError{Message: "Option [reset-offsets] takes one of these options: [all-groups], [group]"}
	case o.Has("delete-offsets") && (!o.Has("group") || !o.Has("topic")):
		return &cli.UsageError{Message: "Option [delete-offsets] takes the following options: [group], [topic]"}
	case o.Has("reset-offsets") && o.Has("dry-run") && o.Has("execute"):
		return &cli.UsageError{Message: "Option [reset-offsets] only accepts one of [execute], [dry-run]"}
	case o.Has("reset-offsets") && !o.Has("topic") && !o.Has("all-topics"):
		return &cli.UsageError{Message: "One of the reset scopes should be defined: --all-topics, --topic."}
	}
	return nil
}

type command struct {
	o      *cli.Options
	out    *bufio.Writer
	stderr io.Writer
	adm    *kadm.Client
}

func (c *command) fail(format string, args ...any) {
	fmt.Fprintf(c.out, "\nError: "+format+"\n", args...)
}

// warn writes to standard error, after what was printed before.
func (c *command) warn(format string, args ...any) {
	c.out.Flush() //nolint:errcheck // nobody is left to tell
	fmt.Fprintf(c.stderr, format+"\n", args...)
}

func (c *command) run(ctx context.Context) error {
	switch {
	case c.o.Has("list"):
		return c.list(ctx)
	case c.o.Has("describe"):
		return c.describe(ctx)
	case c.o.Has("delete"):
		return c.delete(ctx)
	case c.o.Has("reset-offsets"):
		return c.reset(ctx)
	}
	return c.deleteOffsets(ctx)
}

func (c *command) list(ctx context.Context) error {
	groups, err := c.adm.ListGroups(ctx)
	if err != nil {
		return err
	}
	width := 15
	var shown []kadm.ListedGroup
	for _, g := range groups.Sorted() {
		if g.ProtocolType == "consumer" || g.ProtocolType == "" {
			shown = append(shown, g)
			width = max(width, len(g.Group))
		}
	}
	if c.o.Has("state") {
		fmt.Fprintf(c.out, "%-*s %s\n", width, "GROUP", "STATE")
	}
	for _, g := range shown {
		if c.o.Has("state") {
			fmt.Fprintf(c.out, "%-*s %s\n", width, g.Group, g.State)
			continue
		}
		fmt.Fprintln(c.out, g.Group)
	}
	return nil
}

// groups are those that are meant.
func (c *command) groups(ctx context.Context) ([]string, error) {
	if !c.o.Has("all-groups") {
		return c.o.Values("group"), nil
	}
	groups, err := c.adm.ListGroups(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, g := range groups.Sorted() {
		if g.ProtocolType == "consumer" || g.ProtocolType == "" {
			names = append(names, g.Group)
		}
	}
	return names, nil
}

func (c *command) delete(ctx context.Context) error {
	names, err := c.groups(ctx)
	if err != nil {
		return err
	}
	var done, failed []string
	for _, name := range names {
		resp, err := c.adm.DeleteGroup(ctx, name)
		if err == nil {
			err = resp.Err
		}
		if err != nil {
			failed = append(failed, fmt.Sprintf("* Group '%s' could not be deleted due to: java.util.concurrent.ExecutionException: %s", name,
				executed(kclient.Wrap(err, "delete group "+name))))
			continue
		}
		done = append(done, "'"+name+"'")
	}
	if len(failed) == 0 {
		fmt.Fprintf(c.out, "Deletion of requested consumer groups (%s) was successful.\n", strings.Join(done, ", "))
		return nil
	}
	c.fail("Deletion of some consumer groups failed:")
	for _, line := range failed {
		fmt.Fprintln(c.out, line)
	}
	if len(done) > 0 {
		fmt.Fprintf(c.out, "\nThese consumer groups were deleted successfully: %s\n", strings.Join(done, ", "))
	}
	return nil
}

func (c *command) deleteOffsets(ctx context.Context) error {
	group := c.o.String("group")
	tps, err := c.partitions(ctx, nil)
	if err != nil {
		return err
	}
	set := kadm.TopicsSet{}
	for _, tp := range tps {
		set.Add(tp.Topic, tp.Partition)
	}
	errs, err := c.adm.DeleteOffsets(ctx, group, set)
	if err != nil {
		c.fail("Encounter some unknown error: %s", executed(kclient.Wrap(err, "delete offsets")))
		return nil
	}
	bad := false
	for _, tp := range tps {
		bad = bad || errs[tp.Topic][tp.Partition] != nil
	}
	if bad {
		c.fail("Encounter some partition level error, see the follow-up details:")
	} else {
		fmt.Fprintf(c.out, "Request succeed for deleting offsets with topic %s group %s\n", strings.Join(c.o.Values("topic"), ", "), group)
	}
	fmt.Fprintf(c.out, "\n%-30s %-15s %-15s\n", "TOPIC", "PARTITION", "STATUS")
	for _, tp := range tps {
		status := "Successful"
		if err := errs[tp.Topic][tp.Partition]; err != nil {
			status = "Error: " + kclient.Wrap(err, "delete offsets").Error()
		}
		fmt.Fprintf(c.out, "%-30s %-15d %-15s\n", tp.Topic, tp.Partition, status)
	}
	return nil
}

// executed is an error as the message of Java's ExecutionException has it.
func executed(err error) string {
	var api *kclient.APIError
	if errors.As(err, &api) {
		return api.Trace()
	}
	return err.Error()
}

func sortPartitions(tps []kclient.TopicPartition) {
	slices.SortFunc(tps, func(a, b kclient.TopicPartition) int {
		if n := strings.Compare(a.Topic, b.Topic); n != 0 {
			return n
		}
		return int(a.Partition) - int(b.Partition)
	})
}
