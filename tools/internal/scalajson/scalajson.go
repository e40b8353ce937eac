// Package scalajson reads JSON files of commands and refuses what it does not understand with the words of Kafka's reader.
//
// Owns, is guarded by: nothing; values. Invariants: a file is read as Jackson reads it: what follows the first value is ignored, of a
// key that stands twice the last counts, numbers with a point are no whole numbers. Imports: the standard library, kclient.
// Kafka counterpart: kafka.utils.Json, kafka.utils.json.JsonValue.
package scalajson

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strconv"

	"gregor/tools/internal/kclient"
)

// Value is a value of any type.
type Value struct{ raw json.RawMessage }

// Object is a value that is an object.
type Object map[string]Value

// Parse reads the first value of a text; false where the text is no JSON. An empty text is an empty value, as for Jackson.
func Parse(text []byte) (Value, bool) {
	if len(bytes.TrimSpace(text)) == 0 {
		return Value{}, true
	}
	var raw json.RawMessage
	err := json.NewDecoder(bytes.NewReader(text)).Decode(&raw)
	return Value{raw}, err == nil
}

// Object is the value as an object.
func (v Value) Object() (Object, error) {
	var m map[string]json.RawMessage
	if len(v.raw) == 0 || v.raw[0] != '{' || json.Unmarshal(v.raw, &m) != nil {
		return nil, mapping("Expected JSON object, received " + v.shown())
	}
	o := make(Object, len(m))
	for k, raw := range m {
		o[k] = Value{raw}
	}
	return o, nil
}

// Field is a field that has to be there.
func (o Object) Field(name string) (Value, error) {
	v, ok := o[name]
	if !ok {
		return v, mapping("No such field exists: `" + name + "`")
	}
	return v, nil
}

// Array is the value as a list.
func (v Value) Array() ([]Value, error) {
	var list []json.RawMessage
	if len(v.raw) == 0 || v.raw[0] != '[' || json.Unmarshal(v.raw, &list) != nil {
		return nil, mapping("Expected JSON array, received " + v.shown())
	}
	out := make([]Value, len(list))
	for i, raw := range list {
		out[i] = Value{raw}
	}
	return out, nil
}

// Int is the value as a whole number of 32 bits.
func (v Value) Int() (int32, error) {
	n, err := v.number(32, "Int")
	return int32(n), err
}

// Long is the value as a whole number of 64 bits.
func (v Value) Long() (int64, error) { return v.number(64, "Long") }

func (v Value) number(bits int, kind string) (int64, error) {
	n, err := strconv.ParseInt(string(v.raw), 10, bits)
	if err != nil {
		return 0, mapping("Expected `" + kind + "` value, received " + v.shown())
	}
	return n, nil
}

// Text is the value as a string.
func (v Value) Text() (string, error) {
	var s string
	if len(v.raw) == 0 || v.raw[0] != '"' || json.Unmarshal(v.raw, &s) != nil {
		return "", mapping("Expected `String` value, received " + v.shown())
	}
	return s, nil
}

// shown is a value as it stands in the file, without blanks.
func (v Value) shown() string {
	var b bytes.Buffer
	if json.Compact(&b, v.raw) != nil {
		return string(v.raw)
	}
	return b.String()
}

func mapping(message string) error {
	return &kclient.APIError{Class: "com.fasterxml.jackson.databind.JsonMappingException", Message: message}
}

// ReadFile reads a file, with the error that Kafka's commands show.
func ReadFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		return text, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		err = &kclient.APIError{Class: "java.nio.file.NoSuchFileException", Message: path}
	}
	return nil, &kclient.CausedError{Class: "java.io.IOException", Message: "Unable to read file " + path, Cause: err}
}

// Partition reads the fields topic and partition.
func Partition(o Object) (tp kclient.TopicPartition, err error) {
	v, err := o.Field("topic")
	if err == nil {
		tp.Topic, err = v.Text()
	}
	if err == nil {
		v, err = o.Field("partition")
	}
	if err == nil {
		tp.Partition, err = v.Int()
	}
	return tp, err
}
