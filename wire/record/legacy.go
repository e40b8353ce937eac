package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"gregor/wire/compress"
)

// legacyMessage is one decoded v0 or v1 message (behind offset and size).
type legacyMessage struct {
	magic     int8
	attrs     int8
	timestamp int64
	key       []byte
	value     []byte
}

func (m *legacyMessage) codec() compress.Codec { return compress.Codec(m.attrs & AttrCodecMask) }

// parse decodes a message, which must be used up exactly.
func (m *legacyMessage) parse(b []byte) error {
	if len(b) < legacyOverheadV0 {
		return fmt.Errorf("message of %d bytes is smaller than the minimum (%d)", len(b), legacyOverheadV0)
	}
	m.magic, m.attrs, m.timestamp = int8(b[4]), int8(b[5]), NoTimestamp
	p := 6
	switch m.magic {
	case 0:
	case 1:
		if len(b) < legacyOverheadV1 {
			return fmt.Errorf("message of %d bytes is smaller than the minimum of format v1 (%d)", len(b), legacyOverheadV1)
		}
		m.timestamp = int64(binary.BigEndian.Uint64(b[6:]))
		p = 14
	default:
		return fmt.Errorf("message has magic %d inside a legacy message set", m.magic)
	}
	var ok bool
	if m.key, p, ok = legacyBytes(b, p); ok {
		m.value, p, ok = legacyBytes(b, p)
	}
	if !ok || p != len(b) {
		return fmt.Errorf("key and value do not fill a message of %d bytes", len(b))
	}
	return nil
}

func legacyBytes(b []byte, p int) ([]byte, int, bool) {
	if len(b)-p < 4 {
		return nil, p, false
	}
	n := int32(binary.BigEndian.Uint32(b[p:]))
	p += 4
	if n < 0 {
		return nil, p, true
	}
	if int(n) > len(b)-p {
		return nil, p, false
	}
	return b[p : p+int(n) : p+int(n)], p + int(n), true
}

// ValidLegacyCRC compares the CRC-32 of a whole v0 or v1 entry with the stored one.
func ValidLegacyCRC(entry []byte) bool {
	return len(entry) > posMagic && crc32.ChecksumIEEE(entry[posMagic:]) == binary.BigEndian.Uint32(entry[posLegacyCRC:])
}

// startLegacy prepares an entry: a plain one is its own message set, a compressed one holds a set in its value. Inner offsets of v1
// count from 0 while the wrapper has the last one's absolute offset; those of v0 are absolute.
func (it *Iter) startLegacy(entry []byte, limit int) {
	var m legacyMessage
	if err := m.parse(entry[LogOverhead:]); err != nil {
		it.err = &CorruptError{err.Error()}
		return
	}
	it.rest = entry
	if m.codec() == compress.None {
		return
	}
	if m.value == nil {
		it.err = &InvalidRecordError{Message: "Found invalid compressed record set with null value"}
		return
	}
	if m.codec() == compress.Zstd {
		it.err = errLegacyZstd
		return
	}
	if it.rest, it.err = it.decompress(m.innerCodec(), m.value, limit); it.err != nil {
		return
	}
	it.inner = true
	it.shift, it.err = innerBase(it.rest, it.header.Magic, it.header.BaseOffset)
}

var errLegacyZstd = &InvalidRecordError{Message: "Invalid wrapper compressionType found in legacy deep record iterator"}

// innerCodec is how what a compressed message holds is to be unpacked.
func (m *legacyMessage) innerCodec() compress.Codec {
	if m.magic == 0 && m.codec() == compress.LZ4 {
		return compress.LZ4V0
	}
	return m.codec()
}

// nextInner splits the first message off what a compressed one held. At the end it returns nil; bytes that make no whole message are an
// end, as they are to Apache Kafka.
func nextInner(b []byte) (first, rest []byte, err error) {
	if len(b) < LogOverhead {
		return nil, nil, nil
	}
	n := int32(binary.BigEndian.Uint32(b[posLength:]))
	if n < legacyOverheadV0 {
		return nil, nil, &CorruptError{fmt.Sprintf("inner message set: record size %d is less than the minimum record overhead (%d)", n, legacyOverheadV0)}
	}
	if int(n) > len(b)-LogOverhead {
		return nil, nil, nil
	}
	end := LogOverhead + int(n)
	return b[:end:end], b[end:], nil
}

// innerBase is what to add to the offsets within a compressed message: those of v0 are the messages' own; those of v1 count from the first
// one, and the compressed message has the last one's offset, which some versions of librdkafka leave at 0.
func innerBase(inner []byte, magic int8, outer int64) (int64, error) {
	last, n := int64(0), 0
	for b := inner; ; n++ {
		first, rest, err := nextInner(b)
		if err != nil {
			return 0, err
		}
		if first == nil {
			break
		}
		last, b = int64(binary.BigEndian.Uint64(first)), rest
	}
	switch {
	case n == 0:
		return 0, &InvalidRecordError{Message: "Found invalid compressed record set with no inner records"}
	case magic == 0 || outer == 0:
		return 0, nil
	case outer < last:
		return 0, &InvalidRecordError{Message: fmt.Sprintf("Found invalid wrapper offset in compressed v1 message set, wrapper offset '%d' is less than "+
			"the last inner message offset '%d' and it is not zero.", outer, last)}
	}
	return outer - last, nil
}

func (it *Iter) nextLegacy() bool {
	entry := it.rest
	var err error
	if it.inner {
		if entry, it.rest, err = nextInner(it.rest); err != nil {
			it.err = err
			return false
		}
	} else {
		it.rest = nil
	}
	if len(entry) == 0 {
		return false
	}
	var m legacyMessage
	if err := m.parse(entry[LogOverhead:]); err != nil {
		it.err = &CorruptError{err.Error()}
		return false
	}
	if it.inner && m.codec() != compress.None {
		it.err = &InvalidRecordError{Message: "Inner messages must not be compressed"}
		return false
	}
	it.mixed = it.mixed || m.magic != it.header.Magic
	if it.useMax && m.magic == 1 {
		m.timestamp = it.header.MaxTimestamp
	}
	it.Record = Record{
		Offset:    int64(binary.BigEndian.Uint64(entry)) + it.shift,
		Timestamp: m.timestamp,
		Sequence:  NoSequence,
		Key:       m.key,
		Value:     m.value,
		Size:      len(entry),
	}
	return true
}
