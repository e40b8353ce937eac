package checkpoint

import (
	"fmt"
	"strconv"
	"strings"
)

// parseProperties reads the format of java.util.Properties (in ISO 8859-1): comments, continued lines, three kinds of separators
// and escapes.
func parseProperties(data []byte) (map[string]string, error) {
	props := make(map[string]string)
	for _, line := range logicalLines(data) {
		key, value := splitProperty(line)
		k, err := unescape(key)
		if err != nil {
			return nil, err
		}
		if props[k], err = unescape(value); err != nil {
			return nil, err
		}
	}
	return props, nil
}

// logicalLines joins lines that end in an odd number of backslashes with the next, and drops blanks in front, comments and empty
// lines. A comment cannot be continued.
func logicalLines(data []byte) []string {
	text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
	var lines []string
	var open *strings.Builder
	for _, l := range strings.Split(text, "\n") {
		l = strings.TrimLeft(l, " \t\f")
		if open == nil && (l == "" || l[0] == '#' || l[0] == '!') {
			continue
		}
		slashes := len(l) - len(strings.TrimRight(l, `\`))
		continued := slashes%2 == 1
		if continued {
			l = l[:len(l)-1]
		}
		if open == nil {
			open = new(strings.Builder)
		}
		open.WriteString(l)
		if !continued {
			lines = append(lines, open.String())
			open = nil
		}
	}
	if open != nil {
		lines = append(lines, open.String())
	}
	return lines
}

func splitProperty(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		} else if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
	rest := strings.TrimLeft(line[end:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	return line[:end], rest
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '\\' {
			b.WriteRune(rune(c)) // ISO 8859-1
			continue
		}
		if i++; i == len(s) {
			break
		}
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if len(s)-i < 5 {
				return "", fmt.Errorf("malformed \\uxxxx escape at the end of %q", s)
			}
			v, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf("malformed \\uxxxx escape in %q", s)
			}
			b.WriteRune(rune(v))
			i += 4
		default:
			b.WriteRune(rune(s[i]))
		}
	}
	return b.String(), nil
}

// appendEscaped writes a value as Properties.store does.
func appendEscaped(dst []byte, s string) []byte {
	for i, r := range s {
		switch {
		case r == ' ' && i == 0:
			dst = append(dst, `\ `...)
		case strings.ContainsRune(`=:#!\`, r):
			dst = append(dst, '\\', byte(r))
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r < 0x20 || r > 0x7e:
			dst = fmt.Appendf(dst, `\u%04X`, r&0xffff)
		default:
			dst = append(dst, byte(r))
		}
	}
	return dst
}
