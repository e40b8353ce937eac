package scripts

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// result is what a command answered.
type result struct {
	code        int
	out, errout string
}

var (
	logTime  = regexp.MustCompile(`(?m)^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]`)
	noise    = regexp.MustCompile(`(?m)^(\tat .*|\t\.\.\. .*|Caused by: .*|javax\.management\..*|\[T\] WARN .*|gregor: .*)\n`)
	timedOut = regexp.MustCompile(`Call\(callName=(\w+), .*?\) timed out at \d+ after \d+ attempt\(s\)`)
	options  = regexp.MustCompile(`(?ms)^Option( \(\* = required\))? {2,}Description.*`)
	usage    = regexp.MustCompile(`(?ms)^usage: .*`)
)

// evened removes what may differ in every script.
func (t *transcript) evened(s string, p *place) string {
	s = logTime.ReplaceAllString(s, "[T]")
	s = noise.ReplaceAllString(s, "")
	s = timedOut.ReplaceAllString(s, "Call($1) timed out")
	s = options.ReplaceAllString(s, "(help)\n")
	s = usage.ReplaceAllString(s, "(usage)\n")
	s = p.names().Replace(s)
	for _, r := range t.even {
		s = r.from.ReplaceAllString(s, r.to)
	}
	return s
}

// shown is the part of an answer that is compared, as text.
func (t *transcript) shown(s *step, r result, p *place) string {
	what := s.compare
	sorted := slices.Contains(what, "sorted")
	if len(what) == 0 || sorted && len(what) == 1 {
		what = []string{"exit", "stdout", "stderr"}
	}
	arrange := func(text string) string {
		text = t.evened(text, p)
		if sorted {
			lines := strings.SplitAfter(text, "\n")
			slices.Sort(lines)
			text = strings.Join(lines, "")
		}
		text = readable(text)
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "<no line end>\n"
		}
		return text
	}
	var b strings.Builder
	for _, w := range what {
		switch w {
		case "exit":
			fmt.Fprintf(&b, "exit %d\n", r.code)
		case "stdout":
			if text := arrange(r.out); text != "" {
				b.WriteString("stdout:\n" + text)
			}
		case "stderr":
			if text := arrange(r.errout); text != "" {
				b.WriteString("stderr:\n" + text)
			}
		case "firstline":
			first, _, _ := strings.Cut(arrange(r.errout), "\n")
			b.WriteString("stderr begins:\n" + first + "\n")
		}
	}
	return b.String()
}

// readable quotes lines that hold bytes which no text has.
func readable(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		bare := strings.TrimSuffix(line, "\n")
		if utf8.ValidString(bare) && !strings.ContainsFunc(bare, func(r rune) bool { return r < ' ' && r != '\t' }) {
			b.WriteString(line)
			continue
		}
		b.WriteString(strconv.Quote(bare) + line[len(bare):])
	}
	return b.String()
}
