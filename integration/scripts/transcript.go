package scripts

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// transcript is one file of testdata.
type transcript struct {
	name   string
	record string // the path of what was recorded
	full   string // why the whole file is for FULL=1 only; "": it is not
	steps  []*step
	even   []replacement
	files  map[string]string
}

type replacement struct {
	from *regexp.Regexp
	to   string
}

// step is one command.
type step struct {
	line       int
	full       bool // only with FULL=1
	background bool // goes on until ! end
	words      []string
	stdin      []byte
	compare    []string // empty: exit, stdout, stderr
	jvm        bool
	until      *regexp.Regexp
	ownBroker  bool // compare only with the same broker
	skipApache bool
	onKafka    bool // Apache's class is not run on Gregor
	slow       bool // not part of the record
}

// text is the command as it stands in the file.
func (s *step) text() string { return strings.Join(s.words, " ") }

func load(path string) (*transcript, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &transcript{name: strings.TrimSuffix(filepath.Base(path), ".txt"), record: strings.TrimSuffix(path, ".txt") + ".want", files: map[string]string{}}
	file := ""
	number := 0
	for line := range strings.Lines(string(b)) {
		number++
		if name, ok := fileName(line); ok {
			file = name
			t.files[file] = ""
			continue
		}
		if file != "" {
			t.files[file] += line
			continue
		}
		if err := t.add(strings.TrimRight(line, "\n"), number); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
	}
	return t, nil
}

func fileName(line string) (string, bool) {
	s, ok := strings.CutPrefix(strings.TrimSpace(line), "-- ")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, " --")
}

func (t *transcript) add(line string, number int) error {
	mark, rest, _ := strings.Cut(line, " ")
	if line == "" || mark == "#" {
		return nil
	}
	if mark == "%%" {
		t.full = rest
		return nil
	}
	if mark == "~" {
		from, to, ok := strings.Cut(rest, " => ")
		re, err := regexp.Compile(from)
		if !ok || err != nil {
			return fmt.Errorf("want ~ REGEXP => TEXT: %w", err)
		}
		t.even = append(t.even, replacement{re, to})
		return nil
	}
	if mark == "!" {
		words := strings.Fields(line)
		if len(words) != 3 && line != "! end" {
			return fmt.Errorf("want ! stop|start ID or ! end, not %q", line)
		}
		t.steps = append(t.steps, &step{line: number, words: words})
		return nil
	}
	if mark == "$" || mark == "%" || mark == "&" {
		words, err := split(rest)
		if err != nil || len(words) == 0 {
			return fmt.Errorf("no command in %q: %w", line, err)
		}
		t.steps = append(t.steps, &step{line: number, full: mark == "%", background: mark == "&", words: words})
		return nil
	}
	if len(t.steps) == 0 {
		return fmt.Errorf("%q stands before the first command", line)
	}
	return t.steps[len(t.steps)-1].add(mark, rest, line)
}

func (s *step) add(mark, rest, line string) error {
	switch {
	case strings.HasPrefix(line, `<"`):
		raw, err := strconv.Unquote(line[1:])
		if err != nil {
			return err
		}
		s.stdin = append(s.stdin, raw...)
	case mark == "<":
		s.stdin = append(s.stdin, rest+"\n"...)
	case mark == "=":
		s.compare = strings.Fields(rest)
		for _, w := range s.compare {
			if !slices.Contains([]string{"exit", "stdout", "stderr", "firstline", "sorted", "nothing"}, w) {
				return fmt.Errorf("cannot compare %q", w)
			}
		}
	case mark == "@":
		word, arg, _ := strings.Cut(rest, " ")
		switch word {
		case "jvm":
			s.jvm = true
		case "broker":
			s.ownBroker = true
		case "skip-apache":
			s.skipApache = true
		case "class-on-kafka":
			s.onKafka = true
		case "slow":
			s.slow = true
		case "until":
			var err error
			if s.until, err = regexp.Compile(arg); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown %q", line)
		}
	default:
		return fmt.Errorf("unknown %q", line)
	}
	return nil
}

// split cuts a command into words as a shell does, as far as quotes and backslashes go.
func split(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'':
			word.WriteByte(c)
		case c == '\\' && i+1 < len(s) && (quote == 0 || s[i+1] == '"' || s[i+1] == '\\' || s[i+1] == '$'):
			i++
			word.WriteByte(s[i])
			in = true
		case quote == 0 && (c == '\'' || c == '"'):
			quote, in = c, true
		case quote == 0 && c == ' ':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("open quote in %q", s)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
