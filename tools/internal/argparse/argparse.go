// Package argparse reads command lines the way argparse4j does, which some of Apache Kafka 2.7.2's tools are written with: the
// performance producer, the verifiable producer and the verifiable consumer. The others use jopt-simple: package cli.
//
// Owns: that grammar (`--flag value`, `--flag=value`, unambiguous beginnings of a flag, several values of one flag) and its wording.
// Guarded by: nothing; a Parser belongs to one call of one tool.
// Invariants: parsing never prints and never exits; a message stands on one line, where argparse4j breaks and justifies it.
// Imports: the standard library only.
// Kafka counterpart: net.sourceforge.argparse4j.
package argparse

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind is the type of an argument's value.
type Kind uint8

// The kinds that Kafka's tools use. Flag has no value, Many has one or more.
const (
	String Kind = iota
	Int
	Long
	Short
	Flag
	Many
)

// Arg describes one flag.
type Arg struct {
	Name     string // with its dashes
	Kind     Kind
	Meta     string
	Required bool
	Group    bool // one of those with Group must be given, and not two
	Choices  []string
	Default  string
	Doc      string
}

// Parser holds the flags of one tool.
type Parser struct {
	Prog  string
	Tool  string // the name in messages, if that is not Prog
	About string
	Args  []Arg
}

// Error is a command line that the grammar refuses.
type Error string

func (e Error) Error() string { return string(e) }

// Errorf makes an Error.
func Errorf(format string, args ...any) error { return Error(fmt.Sprintf(format, args...)) }

// Options is a parsed command line.
type Options struct {
	parser *Parser
	values map[string][]string
	Help   bool
}

var negative = regexp.MustCompile(`^-\d+$|^-\d*\.\d+$`)

func isFlag(w string) bool { return len(w) > 1 && w[0] == '-' && !negative.MatchString(w) }

// Parse reads args. The error is an Error.
func (p *Parser) Parse(args []string) (*Options, error) {
	o := &Options{parser: p, values: map[string][]string{}}
	var stray []string
	group := ""
	for i := 0; i < len(args); i++ {
		w := args[i]
		if !isFlag(w) {
			return nil, Errorf("unrecognized arguments: '%s'", strings.Join(args[i:], " "))
		}
		if w == "-h" || w == "--help" {
			o.Help = true
			return o, nil
		}
		name, value, assigned := strings.Cut(w, "=")
		a, err := p.find(name)
		if err != nil {
			return nil, err
		}
		if a == nil {
			stray = append(stray, args[i:]...)
			return nil, Errorf("unrecognized arguments: '%s'", strings.Join(stray, " "))
		}
		if a.Group {
			if group != "" && group != a.Name {
				return nil, Errorf("argument %s: not allowed with argument %s", a.Name, group)
			}
			group = a.Name
		}
		n, err := o.take(a, value, assigned, args[i+1:])
		if err != nil {
			return nil, err
		}
		i += n
	}
	return o, p.complete(o, group)
}

// find looks a flag up by its name or a beginning that no other shares.
func (p *Parser) find(name string) (*Arg, error) {
	var found []*Arg
	for i := range p.Args {
		a := &p.Args[i]
		if a.Name == name {
			return a, nil
		}
		if strings.HasPrefix(name, "--") && strings.HasPrefix(a.Name, name) {
			found = append(found, a)
		}
	}
	if len(found) > 1 {
		names := make([]string, len(found))
		for i, a := range found {
			names[i] = a.Name
		}
		return nil, Errorf("ambiguous option: %s could match %s", name, strings.Join(names, ", "))
	}
	if found == nil {
		return nil, nil
	}
	return found[0], nil
}

// take reads a flag's value and tells how many of the following words belong to it.
func (o *Options) take(a *Arg, value string, assigned bool, next []string) (int, error) {
	if a.Kind == Flag {
		o.values[a.Name] = []string{"true"}
		return 0, nil
	}
	var values []string
	used := 0
	if assigned {
		values = []string{value}
	} else {
		for used < len(next) && !isFlag(next[used]) && (a.Kind == Many || used == 0) {
			values = append(values, next[used])
			used++
		}
	}
	if len(values) == 0 {
		if a.Kind == Many {
			return 0, Errorf("argument %s: expected 1 argument(s)", a.Name)
		}
		return 0, Errorf("argument %s: expected one argument", a.Name)
	}
	for _, v := range values {
		if err := a.check(v); err != nil {
			return 0, err
		}
	}
	o.values[a.Name] = values
	return used, nil
}

func (a *Arg) check(v string) error {
	bits, name := 0, ""
	switch a.Kind {
	case Int:
		bits, name = 32, "Integer"
	case Long:
		bits, name = 64, "Long"
	case Short:
		bits, name = 16, "Short"
	case String, Flag, Many:
	}
	if bits > 0 {
		if _, err := strconv.ParseInt(v, 10, bits); err != nil {
			why := fmt.Sprintf(`For input string: "%s"`, v)
			if n, err := strconv.ParseInt(v, 10, 32); err == nil { // which Java's Short tells apart
				why = fmt.Sprintf(`Value out of range. Value:"%d" Radix:10`, n)
			}
			return Errorf("argument %s: could not convert '%s' to %s (%s)", a.Name, v, name, why)
		}
	}
	if a.Choices != nil && !slices.Contains(a.Choices, v) {
		return Errorf("argument %s: invalid choice: '%s' (choose from {%s})", a.Name, v, strings.Join(a.Choices, ","))
	}
	return nil
}

func (p *Parser) complete(o *Options, group string) error {
	var grouped []string
	for i := range p.Args {
		a := &p.Args[i]
		if a.Group {
			grouped = append(grouped, a.Name)
		}
		if a.Required && !o.Has(a.Name) {
			return Errorf("argument %s is required", a.Name)
		}
	}
	if grouped != nil && group == "" {
		return Errorf("one of the arguments %s is required", strings.Join(grouped, " "))
	}
	return nil
}

// Has tells whether the flag was given.
func (o *Options) Has(name string) bool { return o.values[name] != nil }

// Values are all values of a flag of kind Many.
func (o *Options) Values(name string) []string { return o.values[name] }

// String is the flag's value, else its default.
func (o *Options) String(name string) string {
	if v := o.values[name]; len(v) > 0 {
		return v[0]
	}
	for i := range o.parser.Args {
		if o.parser.Args[i].Name == name {
			return o.parser.Args[i].Default
		}
	}
	return ""
}

// Int is the flag's value, else its default; Parse has checked that it is a number.
func (o *Options) Int(name string) int64 {
	n, err := strconv.ParseInt(o.String(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Fail shows an error under the usage, and returns exit code 1.
func (p *Parser) Fail(w io.Writer, err error) int {
	fmt.Fprintf(w, "%s%s: error: %s\n", p.usage(), cmp.Or(p.Tool, p.Prog), err)
	return 1
}

const (
	width  = 80
	column = 25
)

func (p *Parser) usage() string {
	lines := []string{"usage: " + p.Prog + " [-h]"}
	pad := strings.Repeat(" ", len("usage: "+p.Prog)+1)
	add := func(word string) {
		if last := len(lines) - 1; len(lines[last])+1+len(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, pad+word)
		}
	}
	var group []string
	for i := range p.Args {
		a := &p.Args[i]
		switch s := a.synopsis(); {
		case a.Group:
			group = append(group, s)
		case a.Required:
			add(s)
		default:
			add("[" + s + "]")
		}
	}
	if group != nil {
		add("(" + strings.Join(group, " | ") + ")")
	}
	return strings.Join(lines, "\n") + "\n"
}

func (a *Arg) synopsis() string {
	switch a.Kind {
	case Flag:
		return a.Name
	case Many:
		return a.Name + " " + a.Meta + " [" + a.Meta + " ...]"
	case String, Int, Long, Short:
	}
	return a.Name + " " + a.Meta
}

// Help prints what the tool does and its flags.
func (p *Parser) Help(w io.Writer) {
	fmt.Fprintf(w, "%s\n%s\n\noptional arguments:\n", p.usage(), p.About)
	rows := append([]Arg{{Name: "-h, --help", Kind: Flag, Doc: "print this text"}}, p.Args...)
	for i := range rows {
		a := &rows[i]
		doc := a.Doc
		if a.Default != "" {
			doc += " (default: " + a.Default + ")"
		}
		left := "  " + a.synopsis()
		if len(left) > column-2 {
			fmt.Fprintln(w, left)
			left = ""
		}
		line := fmt.Sprintf("%-*s", column-1, left)
		for word := range strings.FieldsSeq(doc) {
			if len(line)+1+len(word) > width && strings.TrimSpace(line) != "" {
				fmt.Fprintln(w, line)
				line = strings.Repeat(" ", column-1)
			}
			line += " " + word
		}
		fmt.Fprintln(w, line)
	}
}
