package consumergroups

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

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
		cli.Opt{Name: "members", If: []string{"describe"}, Doc: "With --describe: show the members."},
		cli.Opt{Name: "offsets", If: []string{"describe"}, Doc: "With --describe: show offsets and lag, which is the default."},
		cli.Opt{Name: "verbose", If: []string{"describe"}, Doc: "With --describe --members: show what is assigned to each."},
		cli.Opt{Name: "state", Kind: cli.String, Optional: true, If: []string{"describe", "list"},
			Doc: "With --describe: show the state. With --list: show each group's, and with a list of states (Stable,Empty) only the groups in one of these."},
		cli.Opt{Name: "delete", Doc: "Delete groups without members."},
		cli.Opt{Name: "delete-offsets", Doc: "Delete the offsets of topics that the group does not read."},
		cli.Opt{Name: "reset-offsets", Doc: "Set the offsets of a group without members: where to is said by one of --to-earliest, --to-latest, --to-current, --to-offset, " +
			"--shift-by, --to-datetime, --by-duration, --from-file, which partitions by --topic or --all-topics."},
		cli.Opt{Name: "dry-run", Doc: "With --reset-offsets: only show what would be set, which is the default."},
		cli.Opt{Name: "execute", Doc: "With --reset-offsets: set it."},
		cli.Opt{Name: "export", Doc: "With --reset-offsets: show it as CSV, which --from-file reads: topic,partition,offset with one --group, else with the group before."},
		cli.Opt{Name: "to-earliest", Doc: "The first record that is there."},
		cli.Opt{Name: "to-latest", Doc: "The end."},
		cli.Opt{Name: "to-current", Doc: "Where the group is; the end where it has no offset."},
		cli.Opt{Name: "to-offset", Kind: cli.Long, Arg: "offset", Doc: "This offset."},
		cli.Opt{Name: "shift-by", Kind: cli.Long, Arg: "number-of-offsets", Doc: "So many further on, or back if negative."},
		cli.Opt{Name: "to-datetime", Kind: cli.String, Arg: "datetime", Doc: "The first record of that time or later: YYYY-MM-DDTHH:mm:SS.sss, UTC unless a zone follows."},
		cli.Opt{Name: "by-duration", Kind: cli.String, Arg: "duration", Doc: "The first record that is not older: PnDTnHnMnS."},
		cli.Opt{Name: "from-file", Kind: cli.String, Arg: "path to CSV file", Doc: "What the file says, in the form of --export."},
		cli.Opt{Name: "timeout", Kind: cli.Long, Arg: "timeout (ms)", Default: "5000", Doc: "How long each question to the brokers may take."},
	)...)
}

// scenarios say where offsets are reset to, in the order in which Kafka holds each against the others.
var scenarios = []string{"to-offset", "to-datetime", "by-duration", "to-earliest", "to-latest", "to-current", "shift-by", "from-file"}

const notExecuted = "WARN: No action will be performed as the --execute option is missing." +
	"In a future major release, the default behavior of this command will be to prompt the user before executing the reset rather than doing a dry run. " +
	"You should add the --dry-run option explicitly if you are scripting this command and want to keep the current default behavior without prompting."

// check refuses what does not go together.
func check(o *cli.Options, stderr io.Writer) error {
	if err := o.Require("bootstrap-server"); err != nil {
		return err
	}
	refuse := func(format string, args ...any) error { return &cli.UsageError{Message: fmt.Sprintf(format, args...)} }
	named := o.Has("group") || o.Has("all-groups")
	if o.Has("describe") {
		if !named {
			return refuse("Option [describe] takes one of these options: [group], [all-groups]")
		}
		n := 0
		for _, what := range []string{"members", "offsets", "state"} {
			if o.Has(what) {
				n++
			}
		}
		if n > 1 {
			return refuse("Option [describe] takes at most one of these options: [members], [offsets], [state]")
		}
		if err := o.Once("state"); err != nil {
			return err
		}
		if len(o.Values("state")) > 0 {
			return refuse("Option [describe] does not take a value for [state]")
		}
	}
	switch {
	case o.Has("delete") && !named:
		return refuse("Option [delete] takes one of these options: [group], [all-groups]")
	case o.Has("delete") && o.Has("topic"):
		return refuse("The consumer does not support topic-specific offset deletion from a consumer group.")
	case o.Has("delete-offsets") && (!o.Has("group") || !o.Has("topic")):
		return refuse("Option [delete-offsets] takes the following options: [group], [topic]")
	}
	if o.Has("reset-offsets") {
		if o.Has("dry-run") && o.Has("execute") {
			return refuse("Option [reset-offsets] only accepts one of [execute] and [dry-run]")
		}
		if !o.Has("dry-run") && !o.Has("execute") {
			fmt.Fprintln(stderr, notExecuted)
		}
		if !named {
			return refuse("Option [reset-offsets] takes one of these options: [group], [all-groups]")
		}
		for _, s := range scenarios {
			others := slices.DeleteFunc(slices.Clone(scenarios), func(other string) bool { return other == s })
			if err := o.Conflict(s, others...); err != nil {
				return err
			}
		}
	}
	for _, c := range [][]string{{"group", "all-groups"}, {"group", "list"}, {"topic", "list", "describe"}} {
		if err := o.Conflict(c[0], c[1:]...); err != nil {
			return err
		}
	}
	return nil
}

var actions = []string{"list", "describe", "delete", "reset-offsets", "delete-offsets"}

func oneAction(o *cli.Options) error {
	n := 0
	for _, a := range actions {
		if o.Has(a) {
			n++
		}
	}
	if n != 1 {
		return &cli.UsageError{Message: "Command must include exactly one action: --" + strings.Join(actions, ", --")}
	}
	return nil
}

// noScenario is what a reset without any is refused with.
func noScenario() error {
	names := kclient.ScalaSetSpecs(scenarios)
	return &cli.UsageError{Message: "Option '[reset-offsets]' requires one of the following scenarios: HashSet([" + strings.Join(names, "], [") + "])"}
}
