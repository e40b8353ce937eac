package configs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

// refusal is what Kafka's command shows as one line: a bad argument or an invalid setting.
type refusal struct{ message string }

func (r *refusal) Error() string { return r.message }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	p := newParser()
	err := func() error {
		o, err := p.Parse(args)
		if err != nil {
			return err
		}
		if code, done := o.HelpOrVersion(out, stderr, "This tool helps to manipulate and describe entity config for a topic, client, user or broker"); done {
			return exit(code)
		}
		c, err := check(o)
		if err != nil {
			return err
		}
		return c.run(context.Background(), out, stderr)
	}()
	var (
		code  exit
		usage *cli.UsageError
		opt   *cli.OptionError
		no    *refusal
	)
	out.Flush() //nolint:errcheck // nobody is left to tell
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		return p.Usage(stderr, usage.Message)
	case errors.As(err, &opt):
		fmt.Fprintln(stderr, opt.Message)
	case errors.As(err, &no):
		fmt.Fprintln(stderr, no.message)
	default:
		fmt.Fprintf(stderr, "Error while executing config command with args '%s'\n", strings.Join(args, " "))
		kclient.PrintTrace(stderr, err)
	}
	return 1
}

// exit ends the command without an error.
type exit int

func (exit) Error() string { return "exit" }

func (c *command) run(ctx context.Context, out *bufio.Writer, stderr io.Writer) error {
	if c.has("zookeeper") {
		fmt.Fprintln(out, "Warning: --zookeeper is deprecated and will be removed in a future version of Kafka.")
		fmt.Fprintln(out, "Use --bootstrap-server instead to specify a broker to connect to.")
		out.Flush() //nolint:errcheck // shown while ZooKeeper is waited for
		return c.withZooKeeper(ctx, out)
	}
	admin, err := kclient.NewAdmin(c.opts, "adminclient-1", stderr)
	if err != nil {
		return err
	}
	defer admin.Close()
	if c.has("alter") && len(c.types) != len(c.names) {
		return refuse("An entity name must be specified for every entity type")
	}
	a := &adminMode{command: c, client: admin, out: out}
	if c.has("alter") {
		return a.alter(ctx)
	}
	return a.describe(ctx)
}
