package txn

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The versions of keys and values that are written and understood.
const keyVersion, valueVersion int16 = 0, 0

var errShort = errors.New("it ends before its fields do")

func appendKey(b []byte, id string) []byte {
	k := kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: id}
	return k.AppendTo(b)
}

// appendValue encodes a state; nil is a tombstone.
func appendValue(v *kmsg.TxnMetadataValue) []byte {
	if v == nil {
		return nil
	}
	v.Version = valueVersion
	return v.AppendTo(make([]byte, 0, 64))
}

// readKey reads a record's key.
func readKey(key []byte) (id []byte, err error) {
	if len(key) < 2 {
		return nil, errShort
	}
	if v := int16(binary.BigEndian.Uint16(key)); v != keyVersion {
		return nil, fmt.Errorf("keys of version %d are not known", v)
	}
	b := kbin.Reader{Src: key[2:]}
	if id = b.Span(int(b.Int16())); !b.Ok() {
		return nil, errShort
	}
	return id, nil
}

// readValue reads a record's value. topic returns a topic's name as a string of its own.
func readValue(value []byte, topic func([]byte) string) (*kmsg.TxnMetadataValue, error) {
	if len(value) < 2 {
		return nil, errShort
	}
	if v := int16(binary.BigEndian.Uint16(value)); v != valueVersion {
		return nil, fmt.Errorf("states of version %d are not known", v)
	}
	b := kbin.Reader{Src: value[2:]}
	v := &kmsg.TxnMetadataValue{ProducerID: b.Int64(), ProducerEpoch: b.Int16(), TimeoutMillis: b.Int32(), State: kmsg.TransactionState(b.Int8())}
	const leastTopic, leastPartition = 2 + 4, 4
	n := bounded(&b, leastTopic)
	if n >= 0 {
		v.Topics = []kmsg.TxnMetadataValueTopic{} // which is not null
	}
	for ; n > 0 && b.Ok(); n-- {
		t := kmsg.TxnMetadataValueTopic{Topic: topic(b.Span(int(b.Int16())))}
		m := bounded(&b, leastPartition)
		t.Partitions = make([]int32, 0, max(m, 0))
		for ; m > 0 && b.Ok(); m-- {
			t.Partitions = append(t.Partitions, b.Int32())
		}
		v.Topics = append(v.Topics, t)
	}
	v.LastUpdateTimestamp, v.StartTimestamp = b.Int64(), b.Int64()
	if !b.Ok() {
		return nil, errShort
	}
	return v, nil
}

// bounded reads how many elements follow, and makes the reader fail if there is no room for them.
func bounded(b *kbin.Reader, least int) int {
	n := int(b.Int32())
	if n > len(b.Src)/least {
		b.Span(len(b.Src) + 1)
		return 0
	}
	return n
}
