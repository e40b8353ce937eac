package zookeepershell

import (
	"strconv"
	"strings"
)

// input is a command's line, taken apart.
type input struct {
	flags map[byte]string
	args  []string
}

func (in input) has(flag byte) bool {
	_, ok := in.flags[flag]
	return ok
}

// version is the argument of -v; -1, which stands for any, without it.
func (in input) version() (int32, error) {
	v, ok := in.flags['v']
	if !ok {
		return -1, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return 0, refusal(`Exception in thread "main" java.lang.NumberFormatException: For input string: ` + strconv.Quote(v))
	}
	return int32(n), nil
}

// command is one of the shell's.
type command struct {
	usage string
	flags string // one letter each; a colon behind it asks for an argument
	need  int    // how many words there must be
	run   func(sh *shell, in input) error
}

// parse takes options from anywhere in the line, several letters in one word too.
func (c *command) parse(words []string) (input, error) {
	in := input{flags: map[byte]string{}}
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w == "--" {
			in.args = append(in.args, words[i+1:]...)
			break
		}
		if len(w) < 2 || w[0] != '-' {
			in.args = append(in.args, w)
			continue
		}
		for j := 1; j < len(w); j++ {
			at := strings.IndexByte(c.flags, w[j])
			if at < 0 || w[j] == ':' {
				return in, refusal("org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: " + w)
			}
			if at+1 == len(c.flags) || c.flags[at+1] != ':' {
				in.flags[w[j]] = ""
				continue
			}
			value := w[j+1:]
			if value == "" {
				if i++; i == len(words) {
					return in, refusal("org.apache.commons.cli.MissingArgumentException: Missing argument for option: " + w[j:j+1])
				}
				value = words[i]
			}
			in.flags[w[j]] = value
			break
		}
	}
	return in, nil
}
