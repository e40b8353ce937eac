package consumergroups

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

const about = "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset consumer group offsets."

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Fail(stderr, err)
	}
	if err := check(o, stderr); err != nil {
		return p.Fail(stderr, usage(err))
	}
	if code, done := o.HelpOrVersion(stdout, stderr, about); done {
		return code
	}
	if err := oneAction(o); err != nil {
		return p.Fail(stderr, err)
	}
	if err := o.Once("bootstrap-server", "command-config"); err != nil {
		return p.Fail(stderr, usage(err))
	}
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	admin, err := kclient.NewAdmin(o, "adminclient-1", stderr)
	if err != nil {
		return kclient.Uncaught(stderr, err)
	}
	defer admin.Close()
	c := &command{o: o, out: out, stderr: stderr, admin: admin.WithTimeout(time.Duration(int32(o.Int("timeout"))) * time.Millisecond)}
	err = c.run(context.Background())
	var wrong *cli.UsageError
	switch {
	case errors.As(err, &wrong):
		out.Flush() //nolint:errcheck // see above
		return p.Fail(stderr, err)
	case err != nil:
		c.fail("Executing consumer group command failed due to %s", message(err))
		out.Flush() //nolint:errcheck // see above
		kclient.PrintTrace(stderr, err)
	}
	return 0 // as Kafka's, which only prints
}

// usage makes a mistake of grammar one that is answered with the help text, as this tool's main does once the words are read.
func usage(err error) error {
	var opt *cli.OptionError
	if errors.As(err, &opt) {
		return &cli.UsageError{Message: opt.Message}
	}
	return err
}

// message is Java's Throwable.getMessage.
func message(err error) string {
	var opt *cli.OptionError
	switch e := err.(type) { //nolint:errorlint // the outermost exception speaks
	case *kclient.CausedError:
		return e.Message
	case *kclient.APIError:
		return e.Message
	}
	if errors.As(err, &opt) {
		return opt.Message
	}
	return err.Error()
}

type command struct {
	o      *cli.Options
	out    *bufio.Writer
	stderr io.Writer
	admin  *kclient.Admin
	file   planFile // of --from-file, once it was read
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
	if err := c.o.Check("timeout", "state", "to-offset", "shift-by", "from-file", "to-datetime", "by-duration"); err != nil {
		return err
	}
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

// states are those that a group may be in.
var states = []string{"PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty"}

func (c *command) list(ctx context.Context) error {
	var wanted []string
	if list := c.o.String("state"); list != "" {
		for word := range strings.SplitSeq(list, ",") {
			word = strings.TrimSpace(word)
			if !slices.Contains(states, word) {
				return &cli.UsageError{Message: "Invalid state list '" + list + "'. Valid states are: " + strings.Join(states, ", ")}
			}
			wanted = append(wanted, word)
		}
	}
	groups, err := c.admin.ListGroups(ctx, wanted)
	if err != nil {
		return kclient.Executed(err)
	}
	if !c.o.Has("state") {
		for _, g := range groups {
			fmt.Fprintln(c.out, g.Name)
		}
		return nil
	}
	width := 15
	for _, g := range groups {
		width = max(width, len(g.Name))
	}
	fmt.Fprintf(c.out, "%-*s %s\n", width, "GROUP", "STATE")
	for _, g := range groups {
		fmt.Fprintf(c.out, "%-*s %s\n", width, g.Name, g.State)
	}
	return nil
}

// groups are those that are meant, each once, in the order of the hash tables that Java's admin client keeps them in.
func (c *command) groups(ctx context.Context) ([]string, error) {
	var names []string
	if c.o.Has("all-groups") {
		listed, err := c.admin.ListGroups(ctx, nil)
		if err != nil {
			return nil, kclient.Executed(err)
		}
		for _, g := range listed {
			names = append(names, g.Name)
		}
	} else {
		for _, name := range c.o.Values("group") {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	sized := len(names)*4/3 + 1
	names = kclient.HashOrder(names, max(sized, 16))
	return kclient.HashOrder(kclient.HashOrder(names, 0), sized), nil
}

func (c *command) delete(ctx context.Context) error {
	names, err := c.groups(ctx)
	if err != nil {
		return err
	}
	kclient.ScalaOrderStrings(names)
	var done, failed []string
	for _, name := range names {
		if err := c.admin.DeleteGroup(ctx, name); err != nil {
			failed = append(failed, fmt.Sprintf("* Group '%s' could not be deleted due to: %s", name, kclient.Trace(kclient.Executed(err))))
			continue
		}
		done = append(done, name)
	}
	quoted := "'" + strings.Join(done, "', '") + "'"
	if len(failed) == 0 {
		fmt.Fprintf(c.out, "Deletion of requested consumer groups (%s) was successful.\n", quoted)
		return nil
	}
	c.fail("Deletion of some consumer groups failed:")
	for _, line := range failed {
		fmt.Fprintln(c.out, line)
	}
	if len(done) > 0 {
		fmt.Fprintf(c.out, "\nThese consumer groups were deleted successfully: %s\n", quoted)
	}
	return nil
}
