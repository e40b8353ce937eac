package transactions

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/tools/internal/argparse"
	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

const prog = "kafka-transactions.sh"

var base = &argparse.Parser{Prog: prog, About: "Looks at the transactional state of producers, and aborts transactions that hang.\n\n" +
	"commands, after these flags:\n  list                the transactions of all coordinators\n  describe            one transactional id\n" +
	"  describe-producers  the producers of a partition\n  abort               end a transaction that hangs\n" +
	"  find-hanging        open transactions that nobody will end", Args: []argparse.Arg{
	{Name: "--bootstrap-server", Meta: "host:port", Required: true, Doc: "brokers to connect to"},
	{Name: "--command-config", Meta: "FILE", Doc: "properties file for the admin client"},
	{Name: "--version", Kind: argparse.Flag, Doc: "print the Kafka version this tool stands for"},
	{Name: "-v", Kind: argparse.Flag, Doc: "the same"},
}}

// action is one of the tool's commands.
type action struct {
	name string
	args []argparse.Arg
	run  func(*command, context.Context) error
}

var actions = []action{
	{"list", nil, (*command).list},
	{"describe", []argparse.Arg{{Name: "--transactional-id", Meta: "TRANSACTIONAL_ID", Required: true, Doc: "transactional id"}}, (*command).describe},
	{"describe-producers", []argparse.Arg{
		{Name: "--broker-id", Kind: argparse.Int, Meta: "BROKER_ID", Doc: "ask this replica, not the leader"},
		{Name: "--topic", Meta: "TOPIC", Required: true, Doc: "topic name"},
		{Name: "--partition", Kind: argparse.Int, Meta: "PARTITION", Required: true, Doc: "partition number"},
	}, (*command).describeProducers},
	{"abort", []argparse.Arg{
		{Name: "--topic", Meta: "TOPIC", Required: true, Doc: "topic name"},
		{Name: "--partition", Kind: argparse.Int, Meta: "PARTITION", Required: true, Doc: "partition number"},
		{Name: "--start-offset", Kind: argparse.Long, Meta: "START_OFFSET", Doc: "where the transaction begins; or all of the following:"},
		{Name: "--producer-id", Kind: argparse.Long, Meta: "PRODUCER_ID", Doc: "producer id"},
		{Name: "--producer-epoch", Kind: argparse.Short, Meta: "PRODUCER_EPOCH", Doc: "producer epoch"},
		{Name: "--coordinator-epoch", Kind: argparse.Int, Meta: "COORDINATOR_EPOCH", Doc: "coordinator epoch"},
	}, (*command).abort},
	{"find-hanging", []argparse.Arg{
		{Name: "--broker-id", Kind: argparse.Int, Meta: "BROKER_ID", Doc: "look at the replicas of this broker"},
		{Name: "--max-transaction-timeout", Kind: argparse.Int, Meta: "MAX_TRANSACTION_TIMEOUT", Default: "15", Doc: "minutes that a transaction may last"},
		{Name: "--topic", Meta: "TOPIC", Doc: "look at this topic"},
		{Name: "--partition", Kind: argparse.Int, Meta: "PARTITION", Doc: "only at this partition of it"},
	}, (*command).findHanging},
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	at := commandAt(args)
	o, err := base.Parse(args[:at])
	switch {
	case o != nil && o.Help:
		base.Help(stdout)
		return 1
	case o != nil && (o.Has("--version") || o.Has("-v")), at > 0 && (args[at-1] == "-v" || args[at-1] == "--version"):
		fmt.Fprintln(stdout, cli.Version)
		return 0
	case err != nil:
		return base.Fail(stderr, err)
	case at == len(args):
		return base.Fail(stderr, argparse.Error("too few arguments"))
	}
	a := find(args[at])
	if a == nil {
		names := make([]string, len(actions))
		for i := range actions {
			names[i] = "'" + actions[i].name + "'"
		}
		return base.Fail(stderr, argparse.Errorf("invalid choice: '%s' (choose from %s)", args[at], strings.Join(names, ", ")))
	}
	p := &argparse.Parser{Prog: prog + " " + a.name, Tool: prog, About: a.name, Args: a.args}
	flags, err := p.Parse(args[at+1:])
	if flags != nil && flags.Help {
		p.Help(stdout)
		return 1
	}
	if err != nil {
		return p.Fail(stderr, err)
	}
	settings := map[string]string{}
	if o.Has("--command-config") {
		if settings, err = props.Load(o.String("--command-config")); err != nil {
			fmt.Fprintf(stderr, "Failed to load admin client properties: %s\n", strings.TrimPrefix(err.Error(), "java.nio.file.NoSuchFileException: "))
			return 1
		}
	}
	admin, err := kclient.OpenAdmin(o.String("--bootstrap-server"), settings, "adminclient-1", stderr)
	if err != nil {
		return kclient.Uncaught(stderr, err)
	}
	defer admin.Close()
	return run(a, &command{flags: flags, cluster: &brokers{admin}, now: time.Now}, stdout, stderr)
}

func run(a *action, c *command, stdout, stderr io.Writer) int {
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	c.out = out
	if err := a.run(c, context.Background()); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// commandAt is where the name of the command stands: the first word that is neither a flag nor a flag's value.
func commandAt(args []string) int {
	for i := 0; i < len(args); i++ {
		w := args[i]
		if !strings.HasPrefix(w, "-") {
			return i
		}
		if name, _, assigned := strings.Cut(w, "="); !assigned && len(name) > 2 && (strings.HasPrefix("--bootstrap-server", name) || strings.HasPrefix("--command-config", name)) {
			i++
		}
	}
	return len(args)
}

func find(name string) *action {
	for i := range actions {
		if actions[i].name == name {
			return &actions[i]
		}
	}
	return nil
}

// command is one call.
type command struct {
	flags   *argparse.Options
	cluster cluster
	now     func() time.Time
	out     *bufio.Writer
}

// failed says what could not be done, and why.
func failed(err error, format string, args ...any) error {
	return fmt.Errorf("%s: %s", fmt.Sprintf(format, args...), reason(err))
}

// reason is what a broker answered, without Java's name for it.
func reason(err error) string {
	var api *kclient.APIError
	if errors.As(err, &api) {
		return api.Message
	}
	return err.Error()
}

// answered says whether err is a broker's answer with that code; 0 is any code.
func answered(err error, code int16) bool {
	var api *kclient.APIError
	return errors.As(err, &api) && api.Code > 0 && api.Code != kerr.RequestTimedOut.Code && (code == 0 || api.Code == code)
}

// table prints rows under their headers, padded and with tabs between them.
func (c *command) table(headers []string, rows [][]string) {
	widths := make([]int, len(headers))
	all := append([][]string{headers}, rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range all {
		for i, cell := range row {
			fmt.Fprintf(c.out, "%-*s\t", widths[i], cell)
		}
		fmt.Fprintln(c.out)
	}
}
