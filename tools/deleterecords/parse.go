package deleterecords

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"gregor/tools/internal/kclient"
)

// target is one partition's new first offset.
type target struct {
	kclient.TopicPartition
	offset int64
}

func unreadable(path string, err error) error {
	cause := err
	if errors.Is(err, os.ErrNotExist) {
		cause = &kclient.APIError{Class: "java.nio.file.NoSuchFileException", Message: path}
	}
	return &kclient.CausedError{Class: "java.io.IOException", Message: "Unable to read file " + path, Cause: cause}
}

// parse reads the offset file.
func parse(text []byte) ([]target, error) {
	var doc any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return nil, refused("The input string is not a valid JSON")
	}
	top, err := object(doc)
	if err != nil {
		return nil, err
	}
	version := int64(1)
	if v, ok := top["version"]; ok {
		if version, err = number(v, 32); err != nil {
			return nil, err
		}
	}
	if version != 1 {
		return nil, refused(fmt.Sprintf("Not supported version field value %d", version))
	}
	partitions, ok := top["partitions"]
	if !ok {
		return nil, refused("Missing partitions field")
	}
	list, ok := partitions.([]any)
	if !ok {
		return nil, mapping("Expected JSON array, received " + shown(partitions))
	}
	targets := make([]target, 0, len(list))
	for _, item := range list {
		t, err := entry(item)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, duplicates(targets)
}

func entry(item any) (t target, err error) {
	o, err := object(item)
	if err != nil {
		return t, err
	}
	field := func(name string, read func(any) error) {
		v, ok := o[name]
		switch {
		case err != nil:
		case !ok:
			err = mapping("No such field exists: `" + name + "`")
		default:
			err = read(v)
		}
	}
	field("topic", func(v any) error {
		s, ok := v.(string)
		if !ok {
			return mapping("Expected `String` value, received " + shown(v))
		}
		t.Topic = s
		return nil
	})
	field("partition", func(v any) error {
		n, err := number(v, 32)
		t.Partition = int32(n)
		return err
	})
	field("offset", func(v any) error {
		n, err := number(v, 64)
		t.offset = n
		return err
	})
	return t, err
}

func duplicates(targets []target) error {
	count := map[kclient.TopicPartition]int{}
	var twice []string
	for _, t := range targets {
		if count[t.TopicPartition]++; count[t.TopicPartition] == 2 {
			twice = append(twice, t.String())
		}
	}
	if twice == nil {
		return nil
	}
	return &kclient.APIError{Class: "kafka.common.AdminCommandFailedException",
		Message: "Offset json file contains duplicate topic partitions: " + strings.Join(twice, ",")}
}

func object(v any) (map[string]any, error) {
	o, ok := v.(map[string]any)
	if !ok {
		return nil, mapping("Expected JSON object, received " + shown(v))
	}
	return o, nil
}

func number(v any, bits int) (int64, error) {
	kind := "Int"
	if bits == 64 {
		kind = "Long"
	}
	if n, ok := v.(json.Number); ok {
		if i, err := strconv.ParseInt(n.String(), 10, bits); err == nil {
			return i, nil
		}
	}
	return 0, mapping("Expected `" + kind + "` value, received " + shown(v))
}

// shown is a value as it stood in the file.
func shown(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func mapping(message string) error {
	return &kclient.APIError{Class: "com.fasterxml.jackson.databind.JsonMappingException", Message: message}
}

func refused(message string) error {
	return &kclient.APIError{Class: "kafka.admin.AdminOperationException", Message: message}
}
