package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Version is what `--version` prints: clients of these tools parse it.
const Version = "2.7.2 (Commit:37a1cc36bf4d76f3)"

const (
	helpWidth = 80
	helpGap   = 2
	indent    = "  "
)

// Usage prints the message and the help text, and returns exit code 1.
func (p *Parser) Usage(w io.Writer, message string) int {
	var b strings.Builder
	b.WriteString(message)
	b.WriteByte('\n')
	p.help(&b)
	io.WriteString(w, b.String()) //nolint:errcheck // nobody is left to tell
	return 1
}

// Fail shows an error of Parse, Require or Conflict as the tool's users know it.
func (p *Parser) Fail(w io.Writer, err error) int {
	var usage *UsageError
	if errors.As(err, &usage) {
		return p.Usage(w, usage.Message)
	}
	var opt *OptionError
	if errors.As(err, &opt) {
		fmt.Fprintf(w, "Exception in thread \"main\" joptsimple.%s: %s\n", opt.Class, opt.Message)
		return 1
	}
	fmt.Fprintf(w, "Exception in thread \"main\" %s\n", err)
	return 1
}

// HelpOrVersion answers an empty command line, --help and --version. done is true when the tool has nothing left to do.
func (o *Options) HelpOrVersion(stdout, stderr io.Writer, message string) (code int, done bool) {
	if o.Argc == 0 || o.Has("help") {
		return o.parser.Usage(stderr, message), true
	}
	if o.Has("version") {
		fmt.Fprintln(stdout, Version)
		return 0, true
	}
	return 0, false
}

type row struct{ left, right string }

func (p *Parser) help(b *strings.Builder) {
	opts := slices.Clone(p.opts)
	slices.SortFunc(opts, func(x, y *Opt) int { return strings.Compare(x.Name, y.Name) })
	rows := []row{{"Option", "Description"}, {"------", "-----------"}}
	for _, o := range opts {
		rows = append(rows, row{o.synopsis(), o.description()})
	}
	left, right := 0, 0
	for _, r := range rows {
		left = max(left, len(r.left))
		for line := range strings.Lines(r.right) {
			right = max(right, len(strings.TrimRight(line, "\n")))
		}
	}
	left = min(left, (helpWidth-helpGap)/2)
	right = min(right, helpWidth-helpGap-left)
	for _, r := range rows {
		l, d := wrap(r.left, left), wrap(r.right, right)
		for i := range max(len(l), len(d)) {
			fmt.Fprintf(b, "%-*s%*s%-*s\n", left, at(l, i), helpGap, "", right, at(d, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func (o *Opt) synopsis() string {
	s := "--" + o.Name
	if o.Kind == None {
		return s
	}
	arg := o.Kind.String()
	if o.Arg != "" {
		arg += ": " + o.Arg
	}
	if o.Optional {
		return s + " [" + arg + "]"
	}
	return s + " <" + arg + ">"
}

func (o *Opt) description() string {
	if o.HasDef {
		return strings.TrimSpace(o.Doc + " (default: " + o.Default + ")")
	}
	return o.Doc
}

// wrap breaks a cell into lines; what follows the first line of a paragraph is indented.
func wrap(cell string, width int) []string {
	var out []string
	for line := range strings.SplitSeq(cell, "\n") {
		piece := ""
		for word := range strings.SplitAfterSeq(line, " ") {
			if len(piece)+len(strings.TrimRight(word, " ")) > width && piece != "" {
				out = append(out, strings.TrimRight(piece, " "))
				piece = indent
			}
			piece += word
		}
		out = append(out, strings.TrimRight(piece, " "))
	}
	return out
}
