package coordrecords

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/javatext"
	"gregor/tools/internal/kclient"
)

// What Apache Kafka 2.7 writes at most.
const (
	maxOffsetKey     = 1
	groupKey         = 2
	maxOffsetValue   = 3
	maxGroupValue    = 3
	maxTransactional = 0 // of keys and of values
)

// Nouns of the errors, as the text of Kafka's has them.
const (
	keySchema   = "message key schema"
	txnKey      = "transaction log message key schema"
	txnValue    = "transaction log message value schema"
	offsetValue = "offset schema"
	groupValue  = "group metadata"
)

func kafkaError(format string, args ...any) error {
	return &kclient.APIError{Class: "org.apache.kafka.common.KafkaException", Message: fmt.Sprintf(format, args...)}
}

func schemaError(what string, err error) error {
	return &kclient.APIError{Class: "org.apache.kafka.common.protocol.types.SchemaException", Message: "Error reading " + what + ": " + err.Error()}
}

// version reads the two bytes that every key and value begins with.
func version(b []byte) (int16, error) {
	if len(b) < 2 {
		return 0, &kclient.APIError{Class: "java.nio.BufferUnderflowException", Message: "no version: fewer than two bytes"}
	}
	return int16(binary.BigEndian.Uint16(b)), nil
}

// decode reads a key or value of the versions 0 to limit.
func decode(into interface{ ReadFrom([]byte) error }, b []byte, limit int16, noun string) error {
	v, err := version(b)
	if err != nil {
		return err
	}
	if v < 0 || v > limit {
		return kafkaError("Unknown %s version %d", noun, v)
	}
	if err := into.ReadFrom(b); err != nil {
		return schemaError(noun, err)
	}
	return nil
}

// key reads the key of a record of __consumer_offsets: the one or the other.
func key(b []byte) (*kmsg.OffsetCommitKey, *kmsg.GroupMetadataKey, error) {
	v, err := version(b)
	if err != nil {
		return nil, nil, err
	}
	if v == groupKey {
		k := new(kmsg.GroupMetadataKey)
		if err := k.ReadFrom(b); err != nil {
			return nil, nil, schemaError(keySchema, err)
		}
		return nil, k, nil
	}
	k := new(kmsg.OffsetCommitKey)
	if err := decode(k, b, maxOffsetKey, keySchema); err != nil {
		return nil, nil, err
	}
	return k, nil, nil
}

// text decodes as Java does.
func text(s string) string { return string(javatext.Append(nil, []byte(s))) }

// consumerAssignment reads what the leader of a group of consumers assigned; newer versions have the fields of the known ones first.
func consumerAssignment(b []byte) (*kmsg.ConsumerMemberAssignment, error) {
	const class = "org.apache.kafka.common.protocol.types.SchemaException"
	if len(b) < 2 {
		return nil, &kclient.APIError{Class: class, Message: "Buffer underflow while parsing consumer protocol's header"}
	}
	if v := int16(binary.BigEndian.Uint16(b)); v < 0 {
		return nil, &kclient.APIError{Class: class, Message: fmt.Sprintf("Unsupported assignment version: %d", v)}
	}
	a := new(kmsg.ConsumerMemberAssignment)
	if err := a.ReadFrom(b); err != nil {
		return nil, &kclient.APIError{Class: class, Message: "Buffer underflow while parsing consumer protocol's assignment"}
	}
	return a, nil
}
