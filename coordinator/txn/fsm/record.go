package fsm

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Write is a record to append under the transactional id.
type Write struct {
	// Value is nil for a tombstone.
	Value *kmsg.TxnMetadataValue
	// Timeout is how long to wait for it to be committed, in milliseconds; 0 is the caller's choice.
	Timeout int64

	waiter Waiter
	done   func(now int64, code int16, out *Out)
}

func (c *change) value() *kmsg.TxnMetadataValue {
	v := &kmsg.TxnMetadataValue{ProducerID: c.producer, ProducerEpoch: c.epoch, TimeoutMillis: c.timeout, State: kmsg.TransactionState(c.state),
		LastUpdateTimestamp: c.updated, StartTimestamp: c.started}
	if c.state != Empty {
		v.Topics = topics(c.parts)
	}
	return v
}

// topics groups partitions by topic, each where it is first named. It is never nil.
func topics(parts []TP) []kmsg.TxnMetadataValueTopic {
	out := []kmsg.TxnMetadataValueTopic{}
	at := map[string]int{}
	for _, tp := range parts {
		i, has := at[tp.Topic]
		if !has {
			i = len(out)
			at[tp.Topic] = i
			out = append(out, kmsg.TxnMetadataValueTopic{Topic: tp.Topic})
		}
		out[i].Partitions = append(out[i].Partitions, tp.Partition)
	}
	return out
}

// Value is the state as its record has it.
func (t *Txn) Value() *kmsg.TxnMetadataValue {
	c := t.same(t.state, t.updated)
	return c.value()
}

// Load makes an id from its record. Start is to be called when it is served.
func Load(id string, v *kmsg.TxnMetadataValue, cfg *Config) (*Txn, error) {
	if v.State < 0 || State(v.State) >= Dead {
		return nil, fmt.Errorf("a record in state %d, which is never recorded", v.State)
	}
	t := New(id, v.ProducerID, v.TimeoutMillis, v.LastUpdateTimestamp, cfg)
	t.epoch, t.state, t.started = v.ProducerEpoch, State(v.State), v.StartTimestamp
	if t.state == Empty {
		return t, nil
	}
	n := 0
	for i := range v.Topics {
		n += len(v.Topics[i].Partitions)
	}
	if n > 0 {
		t.parts = make([]TP, 0, n)
	}
	for i := range v.Topics {
		for _, p := range v.Topics[i].Partitions {
			t.parts = append(t.parts, TP{Topic: v.Topics[i].Topic, Partition: p})
		}
	}
	return t, nil
}
