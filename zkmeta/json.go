package zkmeta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"gregor/internal/jvm"
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
	there := make(map[string]bool, len(o))
	for _, f := range o {
		there[f.key] = true
	}
	for _, f := range old {
		if !there[f.key] {
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
		b = jvm.AppendJSON(b, f.key)
		b = append(b, ':')
		b = append(b, f.raw...)
	}
	return append(b, '}')
}

func jsonInt(n int64) json.RawMessage     { return strconv.AppendInt(nil, n, 10) }
func jsonString(s string) json.RawMessage { return jvm.AppendJSON(nil, s) }

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

// jsonStringMap encodes a string map in the order of Java's Properties.
func jsonStringMap(m map[string]string) json.RawMessage {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	jvm.PropertiesOrder(keys)
	b := []byte{'{'}
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = jvm.AppendJSON(b, k)
		b = append(b, ':')
		b = jvm.AppendJSON(b, m[k])
	}
	return append(b, '}')
}
