package topics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

const logger = "kafka.admin.TopicCommand$"

// service is one of the two ways to reach a cluster.
type service interface {
	create(ctx context.Context, c *command, cfg []setting) error
	list(ctx context.Context, c *command) error
	describe(ctx context.Context, c *command) error
	alter(ctx context.Context, c *command, cfg []setting) error
	remove(ctx context.Context, c *command) error
	close()
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	if len(args) == 0 {
		return p.Usage(stderr, "Create, delete, describe, or change a topic.")
	}
	o, err := p.Parse(args)
	if err != nil {
		return p.Fail(stderr, err)
	}
	if code, done := o.HelpOrVersion(stdout, stderr, "This tool helps to create, delete, describe, or change a topic."); done {
		return code
	}
	c, err := parse(o)
	if err != nil {
		return p.Fail(stderr, err)
	}
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	s, err := connect(c, out, stderr)
	if err != nil {
		return kclient.Uncaught(stderr, err)
	}
	defer s.close()
	err = c.numbers()
	if err == nil {
		err = run(context.Background(), s, c, out)
	}
	if err == nil {
		return 0
	}
	var api *kclient.APIError
	var opt *cli.OptionError
	trace := "java.lang.RuntimeException: " + err.Error()
	switch {
	case errors.As(err, &api):
		trace = api.Trace()
	case errors.As(err, &opt):
		trace = "joptsimple." + opt.Class + ": " + opt.Message
	}
	fmt.Fprintf(out, "Error while executing topic command : %s\n", err)
	out.Flush() //nolint:errcheck // nobody is left to tell
	cli.Log(stderr, "ERROR", logger, trace+"\n")
	return 1
}

func connect(c *command, out *bufio.Writer, stderr io.Writer) (service, error) {
	if c.has("zookeeper") {
		return newZooKeeper(c.zookeeper, out, stderr)
	}
	return newAdmin(c, out, stderr)
}

func run(ctx context.Context, s service, c *command, out *bufio.Writer) error {
	switch c.action {
	case "list":
		return s.list(ctx, c)
	case "describe":
		return s.describe(ctx, c)
	case "delete":
		return s.remove(ctx, c)
	}
	var err error
	if c.assignment, err = parseAssignment(c.opts.String("replica-assignment")); err != nil {
		return err
	}
	cfg, err := parseSettings(c, out)
	if err != nil {
		return err
	}
	if c.action == "alter" {
		return s.alter(ctx, c, cfg)
	}
	if strings.ContainsAny(c.topic, "._") {
		fmt.Fprintln(out, "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. "+
			"To avoid issues it is best to use either, but not both.")
	}
	return s.create(ctx, c, cfg)
}

func isInternal(topic string) bool {
	return topic == "__consumer_offsets" || topic == "__transaction_state"
}

// filter keeps the topics that --topic and --exclude-internal ask for.
func (c *command) filter(all []string) ([]string, error) {
	excl := c.has("exclude-internal")
	match := func(string) bool { return true }
	if c.hasTopic {
		re, err := IncludeList(c.topic)
		if err != nil {
			return nil, err
		}
		match = re.MatchString
	}
	var out []string
	for _, t := range all {
		if match(t) && (!excl || !isInternal(t)) {
			out = append(out, t)
		}
	}
	return out, nil
}

// IncludeList compiles a topic filter as Kafka does: a comma means `or`, blanks and quotes around it are dropped, and the whole
// name has to match.
func IncludeList(raw string) (*regexp.Regexp, error) {
	s := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(raw), ",", "|"), " ", "")
	s = strings.Trim(s, `"'`)
	re, err := regexp.Compile(`^(?:` + s + `)$`)
	if err != nil {
		return nil, &kclient.APIError{Class: "java.lang.RuntimeException", Message: s + " is an invalid regex."}
	}
	return re, nil
}

func (c *command) mustExist(found []string) error {
	if c.hasTopic && !c.has("if-exists") && len(found) == 0 {
		return kclient.IllegalArgument(fmt.Sprintf("Topic '%s' does not exist as expected", c.topic))
	}
	return nil
}
