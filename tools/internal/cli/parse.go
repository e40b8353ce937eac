package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind is the type of an option's argument.
type Kind uint8

// The kinds that Kafka's tools use.
const (
	None Kind = iota
	String
	Int
	Long
)

func (k Kind) String() string {
	switch k {
	case String:
		return "String"
	case Int:
		return "Integer"
	case Long:
		return "Long"
	case None:
	}
	return ""
}

// Opt describes one option.
type Opt struct {
	Name     string
	Kind     Kind
	Optional bool   // the argument may be left out
	Arg      string // what help calls the argument
	Default  string
	HasDef   bool     // Default holds even when it is the empty string
	Unless   string   // required when the named option is absent
	If       []string // refused unless one of these is given
	Help     bool     // its presence lifts every requirement
	Doc      string
}

// Parser holds the options of one tool.
type Parser struct {
	opts  []*Opt
	index map[string]*Opt
}

// New makes a parser; `--help` and `--version` are part of almost every tool and are added by Defaults.
func New(opts ...Opt) *Parser {
	p := &Parser{index: make(map[string]*Opt, len(opts))}
	for i := range opts {
		o := opts[i]
		if o.Default != "" {
			o.HasDef = true
		}
		p.opts = append(p.opts, &o)
		p.index[o.Name] = &o
	}
	return p
}

// Defaults are the two options that Kafka's tools share.
func Defaults(opts ...Opt) []Opt {
	return append(opts,
		Opt{Name: "help", Help: true, Doc: "Print this text."},
		Opt{Name: "version", Help: true, Doc: "Print the Kafka version this tool stands for."})
}

// OptionError is a command line that the grammar refuses. Class is the name of jopt-simple's exception.
type OptionError struct {
	Class   string
	Message string
}

func (e *OptionError) Error() string { return e.Message }

// UsageError is answered with its message and the help text on stderr, exit code 1.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

// Options is a parsed command line.
type Options struct {
	parser *Parser
	seen   map[string][]string
	Rest   []string // words that are no option
	Given  []string // the options, each time that one was given, in order
	Argc   int
}

// Parse reads args. The error is an *OptionError.
func (p *Parser) Parse(args []string) (*Options, error) {
	o := &Options{parser: p, seen: map[string][]string{}, Argc: len(args)}
	for i := 0; i < len(args); i++ {
		word := args[i]
		switch {
		case word == "--":
			o.Rest = append(o.Rest, args[i+1:]...)
			i = len(args)
		case strings.HasPrefix(word, "--"):
			n, err := p.option(o, word[2:], args[i+1:], false)
			if err != nil {
				return nil, err
			}
			i += n
		case strings.HasPrefix(word, "-") && word != "-":
			n, err := p.option(o, word[1:], args[i+1:], true)
			if err != nil {
				return nil, err
			}
			i += n
		default:
			o.Rest = append(o.Rest, word)
		}
	}
	return o, p.required(o)
}

// option takes one option word and tells how many of the following words belong to it.
func (p *Parser) option(o *Options, word string, next []string, single bool) (int, error) {
	name, value, assigned := strings.Cut(word, "=")
	opt := p.index[name]
	if opt == nil {
		if single && name != "" {
			name = string([]rune(name)[:1]) // jopt-simple takes it for a cluster of one-letter options
		}
		return 0, &OptionError{"UnrecognizedOptionException", name + " is not a recognized option"}
	}
	o.Given = append(o.Given, name)
	if _, ok := o.seen[name]; !ok {
		o.seen[name] = nil
	}
	switch {
	case opt.Kind == None:
		return 0, nil
	case assigned:
		o.seen[name] = append(o.seen[name], value)
		return 0, nil
	case opt.Optional && (len(next) == 0 || looksLikeOption(next[0])):
		return 0, nil
	case len(next) == 0:
		return 0, &OptionError{"OptionMissingRequiredArgumentException", "Option " + name + " requires an argument"}
	}
	o.seen[name] = append(o.seen[name], next[0])
	return 1, nil
}

func looksLikeOption(word string) bool {
	return strings.HasPrefix(word, "-") && word != "-" && word != "--"
}

func (p *Parser) convert(o *Options) error {
	for _, opt := range p.opts {
		name, values := opt.Name, o.seen[opt.Name]
		bits := 0
		switch opt.Kind {
		case Int:
			bits = 32
		case Long:
			bits = 64
		case None, String:
			continue
		}
		for _, v := range values {
			if _, err := strconv.ParseInt(v, 10, bits); err != nil {
				return &OptionError{"OptionArgumentConversionException", fmt.Sprintf("Cannot parse argument '%s' of option %s", v, name)}
			}
		}
	}
	return nil
}

func (p *Parser) required(o *Options) error {
	for name := range o.seen {
		if p.index[name].Help {
			return nil
		}
	}
	var missing []string
	for _, opt := range p.opts {
		if opt.Unless != "" && !o.Has(opt.Name) && !o.Has(opt.Unless) {
			missing = append(missing, opt.Name)
		}
	}
	if missing == nil {
		return p.available(o)
	}
	return &OptionError{"MissingRequiredOptionsException", "Missing required option(s) [" + strings.Join(missing, "/") + "]"}
}

// available refuses options that stand without the one they belong to.
func (p *Parser) available(o *Options) error {
	var stray []string
	for _, opt := range p.opts {
		if o.Has(opt.Name) && len(opt.If) > 0 && !slices.ContainsFunc(opt.If, o.Has) {
			stray = append(stray, opt.Name)
		}
	}
	if stray == nil {
		return nil
	}
	return &OptionError{"UnavailableOptionException", "Option(s) [" + strings.Join(stray, ", ") + "] are unavailable given other options on the command line"}
}

// Has tells whether the option was given.
func (o *Options) Has(name string) bool {
	_, ok := o.seen[name]
	return ok
}

// Values are all arguments given for the option.
func (o *Options) Values(name string) []string { return o.seen[name] }

// Check refuses numbers that are none, and options that were given several times and stand for one value. Kafka refuses them when it
// first asks for the value, after what Parse refuses; every tool asks for all it understands, so this is called once.
func (o *Options) Check(names ...string) error {
	if err := o.parser.convert(o); err != nil {
		return err
	}
	return o.Once(names...)
}

// Once refuses options that were given several times and stand for one value.
func (o *Options) Once(names ...string) error {
	for _, name := range names {
		if len(o.seen[name]) > 1 {
			return &OptionError{"MultipleArgumentsForOptionException",
				"Found multiple arguments for option " + name + ", but you asked for only one"}
		}
	}
	return nil
}

// String is the option's argument, else its default.
func (o *Options) String(name string) string {
	if v := o.seen[name]; len(v) > 0 {
		return v[0]
	}
	return o.parser.index[name].Default
}

// Int is the option's argument, else its default; Parse has checked that it is a number.
func (o *Options) Int(name string) int64 {
	n, err := strconv.ParseInt(o.String(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Require answers with usage when one of the options is missing, as CommandLineUtils.checkRequiredArgs does.
func (o *Options) Require(names ...string) error {
	for _, name := range names {
		if !o.Has(name) {
			return &UsageError{fmt.Sprintf("Missing required argument \"[%s]\"", name)}
		}
	}
	return nil
}

// Conflict answers with usage when used was given together with one of others, as CommandLineUtils.checkInvalidArgs does.
func (o *Options) Conflict(used string, others ...string) error {
	if !o.Has(used) {
		return nil
	}
	for _, other := range others {
		if o.Has(other) {
			return &UsageError{fmt.Sprintf("Option \"[%s]\" can't be used with option \"[%s]\"", used, other)}
		}
	}
	return nil
}

// KeyValues splits `key=value` arguments; a word without a value stands for the empty one.
func KeyValues(args []string) map[string]string {
	m := make(map[string]string, len(args))
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		m[k] = v
	}
	return m
}
