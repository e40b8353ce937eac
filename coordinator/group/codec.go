package group

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/coordinator/group/fsm"
	"gregor/wire/record"
)

// Versions of keys.
const (
	offsetKeyVersion   int16 = 1 // 0 is the same
	groupKeyVersion    int16 = 2
	maxOffsetValue     int16 = 3
	maxGroupValue      int16 = 3
	expiringValue      int16 = 1 // the one version that holds an expiry
	maxTombstonesBytes       = 256 << 10
)

// encoder turns writes into batches. It keeps its memory, so a batch is good until the next one.
type encoder struct {
	b          record.Builder
	key, value []byte
}

// maxKeptBatch bounds what an encoder keeps: a commit of 300 partitions fits.
const maxKeptBatch = 32 << 10

// encode calls emit with the batches of a write: one, unless it is of many tombstones.
func (c *Coordinator) encode(e *encoder, group string, w *fsm.Write, now int64, emit func(batch []byte) error) error {
	defer e.trim()
	e.begin(c, w.Txn)
	size := 0
	for i := range w.Offsets {
		r := &w.Offsets[i]
		if i > 0 && r.Topic == w.Offsets[i-1].Topic { // only the partition differs, and it is the last
			e.key = binary.BigEndian.AppendUint32(e.key[:len(e.key)-4], uint32(r.Partition))
		} else {
			e.key = appendOffsetKey(e.key[:0], group, r.TP)
		}
		if r.Offset != nil {
			e.value = c.appendOffsetValue(e.value[:0], r.Offset)
			e.b.Append(now, e.key, e.value)
			continue
		}
		e.b.Append(now, e.key, nil)
		if size += len(e.key) + 16; size > maxTombstonesBytes {
			if err := e.finish(group, emit); err != nil {
				return err
			}
			e.begin(c, w.Txn)
			size = 0
		}
	}
	if w.Group != nil {
		w.Group.Version = c.opt.GroupValue
		e.b.Append(now, groupKey(group), w.Group.AppendTo(make([]byte, 0, groupValueSize(w.Group))))
	}
	if w.GroupTombstone {
		e.b.Append(now, groupKey(group), nil)
	}
	return e.finish(group, emit)
}

func (e *encoder) begin(c *Coordinator, txn fsm.Txn) {
	e.b.Reset()
	e.b.Codec = c.opt.Codec
	if txn != fsm.NoTxn {
		e.b.ProducerID, e.b.ProducerEpoch, e.b.BaseSequence, e.b.Transactional = txn.Producer, txn.Epoch, 0, true
	}
}

func (e *encoder) finish(group string, emit func([]byte) error) error {
	batch, err := e.b.Build()
	if err != nil {
		return fmt.Errorf("encoding records of group %s: %w", group, err)
	}
	if batch == nil {
		return nil
	}
	return emit(batch)
}

func (e *encoder) trim() {
	if e.b.Cap()+cap(e.key)+cap(e.value) > maxKeptBatch {
		*e = encoder{}
	}
}

func appendOffsetKey(b []byte, group string, tp fsm.TP) []byte {
	k := kmsg.OffsetCommitKey{Version: offsetKeyVersion, Group: group, Topic: tp.Topic, Partition: tp.Partition}
	return k.AppendTo(b)
}

func groupKey(group string) []byte {
	k := kmsg.GroupMetadataKey{Version: groupKeyVersion, Group: group}
	return k.AppendTo(nil)
}

// groupValueSize is about how long a group's record becomes, and mostly not less: that of a thousand members would be copied again and again as it
// grows.
func groupValueSize(v *kmsg.GroupMetadataValue) int {
	size := 256
	for i := range v.Members {
		m := &v.Members[i]
		size += 32 + len(m.MemberID) + len(m.ClientID) + len(m.ClientHost) + len(m.Subscription) + len(m.Assignment)
		if m.InstanceID != nil {
			size += len(*m.InstanceID)
		}
	}
	return size
}

func (c *Coordinator) appendOffsetValue(b []byte, o *fsm.Offset) []byte {
	v := kmsg.OffsetCommitValue{Version: c.opt.OffsetValue, Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata,
		CommitTimestamp: o.CommitTime, ExpireTimestamp: o.ExpireTime}
	if o.ExpireTime != -1 {
		v.Version = expiringValue
	}
	return v.AppendTo(b)
}

var errShort = errors.New("it ends before its fields do")

// readKey reads a record's key: of an offset with topic set, or of a group. The slices alias the key.
func readKey(key []byte) (group, topic []byte, partition int32, isGroup bool, err error) {
	if len(key) < 2 {
		return nil, nil, 0, false, errShort
	}
	version := int16(binary.BigEndian.Uint16(key))
	if version < 0 || version > groupKeyVersion {
		return nil, nil, 0, false, fmt.Errorf("keys of version %d are not known", version)
	}
	b := kbin.Reader{Src: key[2:]}
	group = b.Span(int(b.Int16()))
	if version == groupKeyVersion {
		isGroup = true
	} else {
		topic = b.Span(int(b.Int16()))
		partition = b.Int32()
	}
	if !b.Ok() {
		return nil, nil, 0, false, errShort
	}
	return group, topic, partition, isGroup, nil
}

func readOffset(value []byte) (*fsm.Offset, error) {
	if len(value) < 2 {
		return nil, errShort
	}
	version := int16(binary.BigEndian.Uint16(value))
	if version < 0 || version > maxOffsetValue {
		return nil, fmt.Errorf("offsets of version %d are not known", version)
	}
	o := &fsm.Offset{LeaderEpoch: -1, ExpireTime: -1}
	b := kbin.Reader{Src: value[2:]}
	o.Offset = b.Int64()
	if version >= 3 {
		o.LeaderEpoch = max(b.Int32(), -1)
	}
	o.Metadata = b.String()
	o.CommitTime = b.Int64()
	if version == expiringValue {
		o.ExpireTime = b.Int64()
	}
	if !b.Ok() {
		return nil, errShort
	}
	return o, nil
}

// readGroup reads a group's record; the strings and bytes are copies.
func readGroup(value []byte) (*kmsg.GroupMetadataValue, error) {
	if len(value) < 2 {
		return nil, errShort
	}
	if version := int16(binary.BigEndian.Uint16(value)); version < 0 || version > maxGroupValue {
		return nil, fmt.Errorf("groups of version %d are not known", version)
	}
	v := new(kmsg.GroupMetadataValue)
	if err := v.ReadFrom(append([]byte(nil), value...)); err != nil {
		return nil, err
	}
	return v, nil
}
