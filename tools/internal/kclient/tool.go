package kclient

import (
	"bufio"
	"context"
	"io"

	"gregor/tools/internal/cli"
)

// Tool is a command of the plain kind: flags that are needed, flags that stand once, one thing to do, and an exception if it fails.
type Tool struct {
	Parser   *cli.Parser
	About    string
	Required []string
	Once     []string // those with a value that may not be given twice
	Run      func(ctx context.Context, o *cli.Options, out *bufio.Writer, stderr io.Writer) error
}

// Main runs the command and returns its exit code.
func (t *Tool) Main(args []string, stdout, stderr io.Writer) int {
	o, err := t.Parser.Parse(args)
	if err != nil {
		return t.Parser.Fail(stderr, err)
	}
	if code, done := o.HelpOrVersion(stdout, stderr, t.About); done {
		return code
	}
	if err = o.Require(t.Required...); err == nil {
		err = o.Check(t.Once...)
	}
	if err != nil {
		return t.Parser.Fail(stderr, err)
	}
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	if err := t.Run(context.Background(), o, out, stderr); err != nil {
		return Uncaught(stderr, err)
	}
	return 0
}
