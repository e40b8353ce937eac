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
	codec := m.codec()
	if codec == compress.LZ4 && it.header.Magic == 0 {
		codec = compress.LZ4V0
	}
	if it.rest, it.err = it.decompress(codec, m.value, limit); it.err != nil || it.header.Magic == 0 {
		return
	}
	last, n := int64(0), 0
	for b := it.rest; len(b) > 0; n++ {
		first, rest, err := Next(b)
		if err != nil {
			it.err = &CorruptError{"inner message set: " + err.Error()}
			return
		}
		last, b = int64(binary.BigEndian.Uint64(first)), rest
	}
	if n == 0 {
		it.err = &InvalidRecordError{Message: "Found invalid compressed record set with no records"}
		return
	}
	it.shift = it.header.BaseOffset - last
}

func (it *Iter) nextLegacy() bool {
	if len(it.rest) == 0 {
		return false
	}
	entry, rest, err := Next(it.rest)
	if err != nil {
		it.err = &CorruptError{"inner message set: " + err.Error()}
		return false
	}
	var m legacyMessage
	if err := m.parse(entry[LogOverhead:]); err != nil {
		it.err = &CorruptError{err.Error()}
		return false
	}
	it.rest = rest
	if it.useMax && it.header.Magic == 1 {
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
