package config

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
)

// Type is the type of a key's value, with Kafka's names.
type Type uint8

// The numbers are those of DescribeConfigs v3.
const (
	Unknown Type = iota
	Boolean
	String
	Int
	Short
	Long
	Double
	List
	Class
	Password
)

var typeNames = [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}

func (t Type) String() string { return typeNames[t] }

// Importance is how likely it is that a key has to be set.
type Importance uint8

const (
	High Importance = iota
	Medium
	Low
)

// UpdateMode says where a key may be changed while the broker runs.
type UpdateMode uint8

const (
	ReadOnly UpdateMode = iota
	PerBroker
	ClusterWide
	// DynamicOnly keys exist only in ZooKeeper; in server.properties they have no effect.
	DynamicOnly
)

// Use says what Gregor does with a key.
type Use uint8

const (
	// Used keys have their effect.
	Used Use = iota
	// Unused keys are checked and accepted; the log says that they have no effect.
	Unused
	// Protects marks keys that would guard something Gregor cannot guard yet: setting one stops the start.
	Protects
)

const (
	// null is the default of a key that is absent when it is not set; required has no default at all. Neither can be written in a file.
	null     = "\x00null"
	required = "\x00required"
)

// Key is the definition of one key.
type Key struct {
	Name       string
	Type       Type
	Default    string
	Valid      Validator
	Importance Importance
	Update     UpdateMode
	Use        Use
	Doc        string
}

// HasDefault is false for keys that must be set and for keys that are absent unless they are set.
func (k *Key) HasDefault() bool { return k.Default != null && k.Default != required }

// Sensitive keys are never shown.
func (k *Key) Sensitive() bool { return k.Type == Password }

// Error is a setting that is not allowed. Its text is Kafka's, since clients see it as the message of INVALID_CONFIG and INVALID_REQUEST.
type Error struct {
	Key, Value, Reason string
	text               string
	more               string // what the text of a start-up error says beyond Kafka's
	requirement        bool
}

func (e *Error) Error() string {
	if e.text != "" {
		return e.text + e.more
	}
	return "Invalid value " + e.Value + " for configuration " + e.Key + ": " + e.Reason
}

// Answer is the text as Kafka sends it to clients, without what Gregor adds for people who start a broker.
func (e *Error) Answer() string {
	if e.requirement {
		return "requirement failed: " + e.text
	}
	return strings.TrimSuffix(e.Error(), e.more)
}

// Structural tells whether the setting as a whole is wrong (an unknown key, a conflict between two keys) rather than one value: Kafka answers
// the first with INVALID_CONFIG everywhere, the second to AlterConfigs with INVALID_REQUEST.
func (e *Error) Structural() bool { return e.text != "" }

func invalid(key, value, reason string) *Error {
	if value == null {
		value = "null"
	}
	return &Error{Key: key, Value: value, Reason: reason}
}

// require is a check that Kafka makes of all settings together; more says what they are.
func require(key, text, more string, args ...any) *Error {
	return &Error{Key: key, text: text, more: fmt.Sprintf(more, args...), requirement: true}
}

func refuse(key, format string, args ...any) *Error {
	return &Error{Key: key, text: fmt.Sprintf(format, args...)}
}

// parse brings a value into its canonical form (what Java's toString gives, which is what DescribeConfigs shows) after checking its type
// and its validator.
func (k *Key) parse(raw string) (string, error) {
	v, err := parseType(k.Name, raw, k.Type)
	if err != nil {
		return "", err
	}
	if k.Valid != nil {
		if err := k.Valid.check(k.Name, v, k.Type); err != nil {
			return "", err
		}
	}
	return v, nil
}

func parseType(name, raw string, t Type) (string, error) {
	s := strings.TrimFunc(raw, func(r rune) bool { return r <= ' ' })
	notNumber := func() (string, error) {
		return "", invalid(name, raw, "Not a number of type "+t.String())
	}
	switch t {
	case Boolean:
		switch strings.ToLower(s) {
		case "true":
			return "true", nil
		case "false":
			return "false", nil
		}
		return "", invalid(name, raw, "Expected value to be either true or false")
	case Int, Short, Long:
		n, err := strconv.ParseInt(s, 10, map[Type]int{Int: 32, Short: 16, Long: 64}[t])
		if err != nil {
			return notNumber()
		}
		return strconv.FormatInt(n, 10), nil
	case Double:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || strings.ContainsAny(s, "_") {
			return notNumber()
		}
		return JavaDouble(f), nil
	case List:
		return strings.Join(splitList(s), ","), nil
	case Unknown, String, Class, Password:
	}
	return s, nil
}

// splitList splits at commas and drops the white space around them, as Kafka's lists do; "" is the empty list.
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i, p := range parts {
		if i > 0 {
			p = strings.TrimLeft(p, " \t\r\n\f\v")
		}
		if i < len(parts)-1 {
			p = strings.TrimRight(p, " \t\r\n\f\v")
		}
		parts[i] = p
	}
	return parts
}

// JavaDouble is Double.toString: decimal between 1e-3 and 1e7, else one digit, a point and an exponent.
func JavaDouble(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	if a := math.Abs(f); a == 0 || a >= 1e-3 && a < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exp, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exp)
	return mantissa + "E" + strconv.Itoa(n)
}

// Validator checks a value in canonical form. String is how Kafka's own documentation writes what is allowed.
type Validator interface {
	check(name, value string, t Type) error
	String() string
}

type rangeOf struct {
	min    int64
	max    int64
	hasMax bool
}

func atLeast(n int64) Validator      { return rangeOf{min: n} }
func between(lo, hi int64) Validator { return rangeOf{min: lo, max: hi, hasMax: true} }

func (r rangeOf) check(name, value string, t Type) error {
	low, high := false, false
	if t == Double {
		f, _ := strconv.ParseFloat(value, 64)
		low, high = f < float64(r.min), r.hasMax && f > float64(r.max)
	} else {
		n, _ := strconv.ParseInt(value, 10, 64)
		low, high = n < r.min, r.hasMax && n > r.max
	}
	if low {
		return invalid(name, value, fmt.Sprintf("Value must be at least %d", r.min))
	}
	if high {
		return invalid(name, value, fmt.Sprintf("Value must be no more than %d", r.max))
	}
	return nil
}

func (r rangeOf) String() string {
	if r.hasMax {
		return fmt.Sprintf("[%d,...,%d]", r.min, r.max)
	}
	return fmt.Sprintf("[%d,...]", r.min)
}

type choice struct {
	of   []string
	each bool
}

// hostPort wants host:port, [host]:port or :port, with http:// before it or not; empty is fine.
var hostPort Validator = address{}

type address struct{}

func (address) String() string { return "host:port" }

func (address) check(name, value string, _ Type) error {
	if value == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(value, "http://"))
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return invalid(name, value, "String must be host:port, such as 127.0.0.1:9404, or :port for every interface")
	}
	return nil
}

func oneOf(values ...string) Validator  { return choice{of: values} }
func eachOf(values ...string) Validator { return choice{of: values, each: true} }

func (c choice) check(name, value string, _ Type) error {
	values := []string{value}
	if c.each {
		values = splitList(value)
	}
	for _, v := range values {
		found := false
		for _, o := range c.of {
			found = found || v == o
		}
		if !found {
			return invalid(name, v, "String must be one of: "+strings.Join(c.of, ", "))
		}
	}
	return nil
}

func (c choice) String() string { return "[" + strings.Join(c.of, ", ") + "]" }

type apiVersion struct{}

func (apiVersion) check(name, value string, _ Type) error {
	if _, err := ParseVersion(value); err != nil {
		return invalid(name, value, err.Error())
	}
	return nil
}

func (apiVersion) String() string { return "[ApiVersion]" }

type throttledReplicas struct{}

func (throttledReplicas) check(name, value string, _ Type) error {
	list := splitList(value)
	if len(list) > 0 && strings.TrimSpace(list[0]) == "*" {
		return nil
	}
	for _, pair := range list {
		pair = strings.TrimSpace(pair)
		if pair == "" {
			continue
		}
		p, b, ok := strings.Cut(pair, ":")
		if !ok || !digits(p) || !digits(b) {
			return invalid(name, "["+strings.Join(list, ", ")+"]", name+" must be the literal '*' or a list of replicas in the following "+
				"format: [partitionId]:[brokerId],[partitionId]:[brokerId],...")
		}
	}
	return nil
}

func (throttledReplicas) String() string {
	return "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
