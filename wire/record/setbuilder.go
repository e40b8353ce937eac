package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"gregor/wire/compress"
)

// setBuilder encodes messages of format v0 or v1 as Apache Kafka's MemoryRecordsBuilder does: one behind the other, or, with a codec, as
// one compressed message that holds them and has the last one's offset. It may be used again after end.
type setBuilder struct {
	magic      int8
	codec      compress.Codec
	typ        TimestampType
	appendTime int64 // every message's timestamp, with LogAppendTime
	base       int64 // what the inner offsets of a compressed v1 message count from

	w     compress.Writer
	at    int // where in the output a compressed message begins
	count int32
	last  int64 // offset of the last message

	// Of the message being added; here, so that they are not allocated for each.
	head    [legacyHeadV1]byte
	lengths [8]byte // of key and value

	// Among the timestamps as they were encoded; NoTimestamp, and index -1, if there is none or the format has none.
	maxTimestamp int64
	indexOfMax   int32
}

// The bytes in front of a message's key length.
const (
	legacyHeadV0 = posLegacyTimestamp
	legacyHeadV1 = posLegacyTimestamp + 8
)

// begin starts behind dst. appendTime is used with LogAppendTime only.
func (s *setBuilder) begin(dst []byte, magic int8, codec compress.Codec, typ TimestampType, appendTime, base int64) error {
	if magic < 0 || magic > 1 || codec == compress.Zstd || !codec.Valid() {
		return &UndecodableError{Reason: fmt.Sprintf("messages of format v%d cannot be compressed by %s", magic, codec)}
	}
	s.magic, s.codec, s.typ, s.appendTime, s.base = magic, codec, typ, appendTime, base
	s.at, s.count, s.last, s.maxTimestamp, s.indexOfMax = len(dst), 0, -1, NoTimestamp, -1
	if codec != compress.None {
		dst = append(dst, s.head[:s.headSize()]...) // filled in by end
		dst = append(dst, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
	}
	if codec == compress.LZ4 && magic == 0 {
		codec = compress.LZ4V0
	}
	return s.w.Reset(dst, codec)
}

func (s *setBuilder) headSize() int {
	if s.magic == 0 {
		return legacyHeadV0
	}
	return legacyHeadV1
}

func (s *setBuilder) attributes() byte {
	if s.magic > 0 && s.typ == LogAppendTime {
		return AttrLogAppendTime
	}
	return 0
}

var nullLength = []byte{0xff, 0xff, 0xff, 0xff}

// add encodes one message; a nil key or value is null. Offsets must ascend.
func (s *setBuilder) add(offset, ts int64, key, value []byte) error {
	if s.typ == LogAppendTime {
		ts = s.appendTime
	}
	s.last = offset
	if s.magic > 0 && ts > s.maxTimestamp {
		s.maxTimestamp, s.indexOfMax = ts, s.count
	}
	s.count++
	if s.magic > 0 && s.codec != compress.None {
		offset -= s.base
	}
	be := binary.BigEndian
	h := s.head[:s.headSize()]
	be.PutUint64(h, uint64(offset))
	be.PutUint32(h[posLength:], uint32(len(h)+8+len(key)+len(value)-LogOverhead))
	h[posMagic], h[posLegacyAttributes] = byte(s.magic), s.attributes()
	if s.magic > 0 {
		be.PutUint64(h[posLegacyTimestamp:], uint64(ts))
	}
	k, v := s.lengths[:4], s.lengths[4:]
	putLength(k, key)
	putLength(v, value)
	crc := crc32.ChecksumIEEE(h[posMagic:])
	for _, b := range [...][]byte{k, key, v, value} {
		crc = crc32.Update(crc, crc32.IEEETable, b)
	}
	be.PutUint32(h[posLegacyCRC:], crc)
	for _, b := range [...][]byte{h, k, key, v, value} {
		if _, err := s.w.Write(b); err != nil {
			return fmt.Errorf("compressing messages by %s: %w", s.codec, err)
		}
	}
	return nil
}

func putLength(dst, b []byte) {
	if b == nil {
		copy(dst, nullLength)
		return
	}
	binary.BigEndian.PutUint32(dst, uint32(len(b)))
}

// end returns the slice that begin was given with what was added behind it: nothing, if nothing was.
func (s *setBuilder) end() ([]byte, error) {
	out, err := s.w.Close()
	if err != nil {
		return out[:s.at], fmt.Errorf("compressing messages by %s: %w", s.codec, err)
	}
	if s.count == 0 {
		return out[:s.at], nil
	}
	if s.codec == compress.None {
		return out, nil
	}
	be := binary.BigEndian
	e := out[s.at:]
	n := s.headSize()
	be.PutUint64(e, uint64(s.last))
	be.PutUint32(e[posLength:], uint32(len(e)-LogOverhead))
	e[posMagic], e[posLegacyAttributes] = byte(s.magic), s.attributes()|byte(s.codec)
	if s.magic > 0 {
		be.PutUint64(e[posLegacyTimestamp:], uint64(s.maxTimestamp))
	}
	be.PutUint32(e[n+4:], uint32(len(e)-n-8))
	be.PutUint32(e[posLegacyCRC:], crc32.ChecksumIEEE(e[posMagic:]))
	return out, nil
}
