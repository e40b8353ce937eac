package consumerperf

import (
	"fmt"
	"strings"
	"time"

	"gregor/tools/internal/kclient"
)

// dateFormat is a pattern of Java's SimpleDateFormat, in pieces: a run of one letter, or text.
type dateFormat []piece

type piece struct {
	letter byte // 0: text
	width  int
	text   string
}

// letters are those of SimpleDateFormat that this tool understands.
const letters = "yMdHhmsSaEzZkK"

func parseDateFormat(pattern string) (dateFormat, error) {
	var f dateFormat
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			end := strings.IndexByte(pattern[i+1:], '\'')
			if end < 0 {
				return nil, kclient.IllegalArgument("Unterminated quote")
			}
			text := pattern[i+1 : i+1+end]
			if text == "" {
				text = "'"
			}
			f = append(f, piece{text: text})
			i += end + 2
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			if strings.IndexByte(letters, c) < 0 {
				return nil, kclient.IllegalArgument("Illegal pattern character '" + string(c) + "'")
			}
			n := i
			for n < len(pattern) && pattern[n] == c {
				n++
			}
			f = append(f, piece{letter: c, width: n - i})
			i = n
		default:
			f = append(f, piece{text: string(c)})
			i++
		}
	}
	return f, nil
}

func (f dateFormat) format(t time.Time) string {
	var b strings.Builder
	for _, p := range f {
		b.WriteString(p.format(t))
	}
	return b.String()
}

func (p piece) format(t time.Time) string {
	number := func(n int) string { return fmt.Sprintf("%0*d", p.width, n) }
	twelve := t.Hour() % 12
	switch p.letter {
	case 'y':
		if p.width == 2 {
			return t.Format("06")
		}
		return number(t.Year())
	case 'M':
		switch {
		case p.width > 3:
			return t.Format("January")
		case p.width == 3:
			return t.Format("Jan")
		}
		return number(int(t.Month()))
	case 'd':
		return number(t.Day())
	case 'H':
		return number(t.Hour())
	case 'k':
		return number((t.Hour()+23)%24 + 1)
	case 'K':
		return number(twelve)
	case 'h':
		return number((twelve+11)%12 + 1)
	case 'm':
		return number(t.Minute())
	case 's':
		return number(t.Second())
	case 'S':
		return number(t.Nanosecond() / int(time.Millisecond))
	case 'a':
		return t.Format("PM")
	case 'E':
		if p.width > 3 {
			return t.Format("Monday")
		}
		return t.Format("Mon")
	case 'z':
		return t.Format("MST")
	case 'Z':
		return t.Format("-0700")
	}
	return p.text
}
