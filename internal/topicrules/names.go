package topicrules

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// The topics that brokers keep for themselves.
const (
	OffsetsTopic     = "__consumer_offsets"
	TransactionTopic = "__transaction_state"
)

// MaxNameLength leaves room for "-N" and the suffix of a deleted partition's directory within 255 bytes.
const MaxNameLength = 249

// NameError is an illegal topic name. Its text is Kafka's.
type NameError string

func (e NameError) Error() string { return string(e) }

// ValidateName returns a NameError if a topic may not be called so.
func ValidateName(name string) error {
	switch {
	case name == "":
		return NameError("Topic name is illegal, it can't be empty")
	case name == "." || name == "..":
		return NameError(`Topic name cannot be "." or ".."`)
	case len(name) > MaxNameLength && len(utf16.Encode([]rune(name))) > MaxNameLength:
		return NameError(fmt.Sprintf("Topic name is illegal, it can't be longer than %d characters, topic name: %s", MaxNameLength, name))
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return NameError(`Topic name "` + name + `" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'`)
		}
	}
	return nil
}

// IsInternal tells whether brokers keep the topic for themselves.
func IsInternal(name string) bool { return name == OffsetsTopic || name == TransactionTopic }

// MetricName is what names that collide have in common.
func MetricName(name string) string { return strings.ReplaceAll(name, ".", "_") }

// MayCollide tells whether the name has a character that metric names confuse.
func MayCollide(name string) bool { return strings.ContainsAny(name, "._") }

// Collide tells whether two names differ only in . and _, which metric names cannot tell apart.
func Collide(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x != y && (x != '.' && x != '_' || y != '.' && y != '_') {
			return false
		}
	}
	return true
}

func join(ids []int32, sep string) string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = strconv.Itoa(int(id))
	}
	return strings.Join(s, sep)
}
