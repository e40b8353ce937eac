// Package props reads Java properties files: what --producer.config, --consumer.config and --command-config name.
//
// Owns: the file's grammar (comments, continuation lines, escapes, `=`, `:` or blank between key and value).
// Guarded by: nothing; values only.
// Invariants: nothing is expanded; a later key wins over an earlier one.
// Imports: the standard library.
// Kafka counterpart: org.apache.kafka.common.utils.Utils.loadProps over java.util.Properties.
package props

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Load reads the file at path. A missing file's error has the text of Java's exception, which Kafka's tools print.
func Load(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, fmt.Errorf("java.nio.file.NoSuchFileException: %s", path)
		}
		return nil, fmt.Errorf("read properties file %s: %w", path, err)
	}
	return Parse(string(b))
}

// Parse reads the text of a properties file.
func Parse(text string) (map[string]string, error) {
	m := map[string]string{}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := trimLeft(lines[i])
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) {
			line = line[:len(line)-1]
			i++
			if i >= len(lines) {
				break
			}
			line += trimLeft(lines[i])
		}
		k, v, err := split(line)
		if err != nil {
			return nil, fmt.Errorf("properties line %d: %w", i+1, err)
		}
		m[k] = v
	}
	return m, nil
}

func trimLeft(s string) string { return strings.TrimLeft(s, " \t\f") }

func continues(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

func split(line string) (key, value string, err error) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
			continue
		}
		if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
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
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b = append(b, '\t')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 'f':
			b = append(b, '\f')
		case 'u':
			if i+5 > len(s) {
				return "", fmt.Errorf("malformed \\uxxxx encoding in %q", s)
			}
			n, err := strconv.ParseUint(s[i+1:i+5], 16, 32)
			if err != nil {
				return "", fmt.Errorf("malformed \\uxxxx encoding in %q", s)
			}
			b = utf8.AppendRune(b, rune(n))
			i += 4
		default:
			b = append(b, s[i])
		}
	}
	return string(b), nil
}
