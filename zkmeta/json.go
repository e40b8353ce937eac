package zkmeta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"unicode/utf16"
)

// field is one member of a JSON object, in the order in which it stands.
type field struct {
	key string
	raw json.RawMessage
}

// object is a JSON object that remembers the order of its members and those it does not understand.
type object []field

// parseObject reads one JSON object, and refuses anything else.
func parseObject(data []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	tok, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if tok != json.Delim('{') {
		return nil, fmt.Errorf("not a JSON object: starts with %v", tok)
	}
	var o object
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		o = append(o, field{k.(string), raw})
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	return o, nil
}

func (o object) get(key string) (json.RawMessage, bool) {
	for i := len(o) - 1; i >= 0; i-- { // the last of doubled keys counts, as with Jackson
		if o[i].key == key {
			return o[i].raw, true
		}
	}
	return nil, false
}

// into decodes member key into v; a missing member is an error.
func (o object) into(key string, v any) error {
	raw, ok := o.get(key)
	if !ok {
		return fmt.Errorf("member %q is missing", key)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("member %q: %w", key, err)
	}
	return nil
}

// optional decodes member key into v when it is there and not null.
func (o object) optional(key string, v any) error {
	raw, ok := o.get(key)
	if !ok || string(raw) == "null" {
		return nil
	}
	return o.into(key, v)
}

// merged is the encoding of o with the members of old that o lacks appended: what a newer or foreign program wrote is kept.
func (o object) merged(old object) object {
	for _, f := range old {
		if _, ok := o.get(f.key); !ok {
			o = append(o, f)
		}
	}
	return o
}

func (o object) encode() []byte {
	b := []byte{'{'}
	for i, f := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, f.key)
		b = append(b, ':')
		b = append(b, f.raw...)
	}
	return append(b, '}')
}

func jsonInt(n int64) json.RawMessage     { return strconv.AppendInt(nil, n, 10) }
func jsonString(s string) json.RawMessage { return appendString(nil, s) }

func jsonInts(ns []int32) json.RawMessage {
	return appendInts(nil, ns)
}

func appendInts(b []byte, ns []int32) []byte {
	b = append(b, '[')
	for i, n := range ns {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return append(b, ']')
}

// appendString quotes s as Jackson does: what is not ASCII stays UTF-8, '/' and '<' stay bare, control characters have Java's short
// escapes or four upper-case hexadecimal digits.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c == '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(b, '"')
}

// javaHash is String.hashCode.
func javaHash(s string) int32 {
	var h int32
	for _, u := range utf16.Encode([]rune(s)) {
		h = 31*h + int32(u)
	}
	return h
}

func spread(h int32) int32 { return h ^ int32(uint32(h)>>16) }

// scalaOrder sorts keys as a scala.collection.mutable.HashMap (2.13) that they were added to iterates them: Kafka writes partition
// numbers in this order, and so do we, that znodes compare byte for byte.
func scalaOrder(keys []string) {
	size := 16
	for n := 1; n <= len(keys); n++ {
		if n >= size*3/4 {
			size *= 2
		}
	}
	sortByBucket(keys, size, spread, true)
}

// propertiesOrder sorts keys as a java.util.Properties of Java 9 and later iterates them.
func propertiesOrder(keys []string) {
	size := 16
	for len(keys) >= size*3/4 {
		size *= 2
	}
	sortByBucket(keys, size, func(h int32) int32 { return spread(h) & 0x7fffffff }, false)
}

// sortByBucket orders keys by their bucket; within one by hash (Scala keeps its chains so) or by name (Java keeps the order of
// arrival, which nobody knows any more).
func sortByBucket(keys []string, size int, improve func(int32) int32, byHash bool) {
	type hashed struct {
		key  string
		hash int32
	}
	hs := make([]hashed, len(keys))
	for i, k := range keys {
		hs[i] = hashed{k, improve(javaHash(k))}
	}
	mask := int32(size - 1)
	sort.SliceStable(hs, func(i, j int) bool {
		if a, b := hs[i].hash&mask, hs[j].hash&mask; a != b {
			return a < b
		}
		if byHash && hs[i].hash != hs[j].hash {
			return hs[i].hash < hs[j].hash
		}
		return hs[i].key < hs[j].key
	})
	for i := range hs {
		keys[i] = hs[i].key
	}
}

// jsonStringMap encodes a string map in the order of Java's Properties.
func jsonStringMap(m map[string]string) json.RawMessage {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	propertiesOrder(keys)
	b := []byte{'{'}
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = appendString(b, m[k])
	}
	return append(b, '}')
}
