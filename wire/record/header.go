package record

import (
	"encoding/binary"
	"fmt"

	"gregor/wire/compress"
)

// Sizes of the v0 and v1 entries: offset, size, crc, magic, attributes, (timestamp), key and value length.
const (
	legacyOverheadV0 = 14 // what the size field counts at least: crc, magic, attributes, two lengths
	legacyOverheadV1 = legacyOverheadV0 + 8

	posLegacyCRC        = 12
	posLegacyAttributes = 17
	posLegacyTimestamp  = 18
)

// Header is the decoded head of a batch, or of one v0 or v1 entry. Of a legacy entry, BaseOffset is the offset written in it:
// the record's own, and of a compressed wrapper the last inner record's; the fields its format lacks have their "none" values.
type Header struct {
	BaseOffset      int64
	Length          int32 // as stored: without the first 12 bytes
	LeaderEpoch     int32
	Magic           int8
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64
	MaxTimestamp    int64
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	Count           int32 // -1 in legacy formats
}

// ParseHeader decodes the head of a batch in any format. It needs PrefixSize bytes to know the format, then 61 (v2), 18 (v0) or 26
// (v1), and returns ErrShort for less. A size below the format's minimum or an unknown magic is a *CorruptError.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) < PrefixSize {
		return h, ErrShort
	}
	h.BaseOffset = int64(binary.BigEndian.Uint64(b))
	h.Length = int32(binary.BigEndian.Uint32(b[posLength:]))
	h.Magic = int8(b[posMagic])
	if err := checkPrefix(h.Length, h.Magic); err != nil {
		return h, err
	}
	if h.Magic < 2 {
		return h, h.parseLegacy(b)
	}
	if h.Length < HeaderSize-LogOverhead {
		return h, &CorruptError{fmt.Sprintf("size %d is smaller than a batch header (%d)", h.Size(), HeaderSize)}
	}
	if len(b) < HeaderSize {
		return h, ErrShort
	}
	v := Batch(b)
	h.LeaderEpoch = v.LeaderEpoch()
	h.CRC = v.CRC()
	h.Attributes = v.Attributes()
	h.LastOffsetDelta = v.LastOffsetDelta()
	h.BaseTimestamp = v.BaseTimestamp()
	h.MaxTimestamp = v.MaxTimestamp()
	h.ProducerID = v.ProducerID()
	h.ProducerEpoch = v.ProducerEpoch()
	h.BaseSequence = v.BaseSequence()
	h.Count = v.Count()
	return h, nil
}

func (h *Header) parseLegacy(b []byte) error {
	h.LeaderEpoch, h.LastOffsetDelta, h.Count = NoLeaderEpoch, 0, -1
	h.BaseTimestamp, h.MaxTimestamp = NoTimestamp, NoTimestamp
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = NoProducerID, NoProducerEpoch, NoSequence
	need := posLegacyAttributes + 1
	if h.Magic == 1 {
		if h.Length < legacyOverheadV1 {
			return &CorruptError{fmt.Sprintf("record size %d is less than the minimum of format v1 (%d)", h.Length, legacyOverheadV1)}
		}
		need = posLegacyTimestamp + 8
	}
	if len(b) < need {
		return ErrShort
	}
	h.CRC = binary.BigEndian.Uint32(b[posLegacyCRC:])
	h.Attributes = int16(int8(b[posLegacyAttributes]))
	if h.Magic == 1 {
		h.BaseTimestamp = int64(binary.BigEndian.Uint64(b[posLegacyTimestamp:]))
		h.MaxTimestamp = h.BaseTimestamp
	}
	return nil
}

func checkPrefix(length int32, magic int8) error {
	if length < legacyOverheadV0 {
		return &CorruptError{fmt.Sprintf("record size %d is less than the minimum record overhead (%d)", length, legacyOverheadV0)}
	}
	if magic < 0 || magic > 2 {
		return &CorruptError{fmt.Sprintf("invalid magic %d", magic)}
	}
	return nil
}

// Size is the size of the whole batch or entry in bytes, the 12 in front included.
func (h *Header) Size() int { return LogOverhead + int(h.Length) }

// LastOffset is the offset of the last record (inclusive), NextOffset the one after it.
func (h *Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }
func (h *Header) NextOffset() int64 { return h.LastOffset() + 1 }

func (h *Header) Codec() compress.Codec { return compress.Codec(h.Attributes & AttrCodecMask) }
func (h *Header) IsTransactional() bool { return h.Magic >= 2 && h.Attributes&AttrTransactional != 0 }
func (h *Header) IsControl() bool       { return h.Magic >= 2 && h.Attributes&AttrControl != 0 }
func (h *Header) HasProducerID() bool   { return h.ProducerID > NoProducerID }

// LastSequence is the sequence number of the last record, or NoSequence.
func (h *Header) LastSequence() int32 {
	if h.BaseSequence == NoSequence {
		return NoSequence
	}
	return IncrementSequence(h.BaseSequence, h.LastOffsetDelta)
}

func (h *Header) TimestampType() TimestampType {
	if h.Attributes&AttrLogAppendTime != 0 && h.Magic > 0 {
		return LogAppendTime
	}
	return CreateTime
}

// Next splits the first whole batch or entry off b. It returns ErrShort when b ends first (also when b is empty) and a
// *CorruptError when the size or magic is impossible. The first result is a Batch only if its magic is 2.
func Next(b []byte) (first, rest []byte, err error) {
	if len(b) < PrefixSize {
		if len(b) >= LogOverhead {
			if n := int32(binary.BigEndian.Uint32(b[posLength:])); n < legacyOverheadV0 {
				return nil, b, checkPrefix(n, 0)
			}
		}
		return nil, b, ErrShort
	}
	length := int32(binary.BigEndian.Uint32(b[posLength:]))
	if err := checkPrefix(length, int8(b[posMagic])); err != nil {
		return nil, b, err
	}
	n := int64(length) + LogOverhead
	if n > int64(len(b)) {
		return nil, b, ErrShort
	}
	return b[:n:n], b[n:], nil
}
