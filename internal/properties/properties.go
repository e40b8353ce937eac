// Package properties reads the format of java.util.Properties: server.properties, zoo.cfg, meta.properties, and the files that tools are
// given with --command-config and its like.
//
// Owns: the grammar: comments (# and !), the separators =, : and white space, continued lines, escapes. Guarded by: nothing; values only.
// Holds always: nothing is expanded; of a key given twice the last value counts. Imports: the standard library.
// Kafka's counterpart: org.apache.kafka.common.utils.Utils.loadProps over java.util.Properties.
package properties

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse reads the text of a file. An error names the line.
func Parse(text string) (map[string]string, error) {
	props := make(map[string]string)
	err := Each(text, func(key, value string) error {
		props[key] = value
		return nil
	})
	if err != nil {
		return nil, err
	}
	return props, nil
}

// Each calls f for each property, in order; an error of it ends the reading, and is given back with the line where the property begins.
// Java reads Latin-1; text that is valid UTF-8 is taken as such here, because paths and racks are typed in UTF-8.
func Each(text string, f func(key, value string) error) error {
	if !utf8.ValidString(text) {
		latin := make([]rune, len(text))
		for i := range len(text) {
			latin[i] = rune(text[i])
		}
		text = string(latin)
	}
	text = strings.TrimPrefix(text, "\ufeff")
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	for i := 0; i < len(lines); i++ {
		first := i + 1
		line := trimLeft(lines[i])
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		var joined strings.Builder // a file of backslashes alone is not read in square time
		for continued(line) {
			joined.WriteString(line[:len(line)-1])
			line = ""
			if i++; i < len(lines) {
				line = trimLeft(lines[i])
			}
		}
		joined.WriteString(line)
		key, value, err := split(joined.String())
		if err == nil {
			err = f(key, value)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", first, err)
		}
	}
	return nil
}

func trimLeft(s string) string { return strings.TrimLeft(s, " \t\f") }

// continued: the line ends in an odd number of backslashes.
func continued(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

func split(line string) (key, value string, err error) {
	end := 0
	for end < len(line) && strings.IndexByte("=: \t\f", line[end]) < 0 {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	rest := trimLeft(line[end:])
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = trimLeft(rest[1:])
	}
	if key, err = unescape(line[:end]); err != nil {
		return "", "", err
	}
	value, err = unescape(rest)
	return key, value, err
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
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
			if i+4 >= len(s) {
				return "", fmt.Errorf(`malformed \uXXXX in %q: write four hexadecimal digits`, s)
			}
			n, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf(`malformed \uXXXX in %q: write four hexadecimal digits`, s)
			}
			b.WriteRune(rune(n))
			i += 4
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
