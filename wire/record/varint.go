package record

import "errors"

var (
	errVarintShort = errors.New("a length or number runs past the end of the record")
	errVarintLong  = errors.New("a number has too many bytes")
)

func unzig(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }
func zig(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }

// uvarint32 and uvarint64 read an unsigned varint at b[p] with the limits of Kafka's reader: 5 bytes, of which the last may hold
// bits that fall off, and 10. They return the position behind it, or a negative one: short or long.
const (
	shortVarint = -1
	longVarint  = -2
)

func uvarint32(b []byte, p int) (uint32, int) {
	var v uint32
	for shift := uint(0); ; shift += 7 {
		if p >= len(b) {
			return 0, shortVarint
		}
		c := b[p]
		p++
		if c < 0x80 {
			return v | uint32(c)<<shift, p
		}
		v |= uint32(c&0x7f) << shift
		if shift == 28 {
			return 0, longVarint
		}
	}
}

func uvarint64(b []byte, p int) (uint64, int) {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		if p >= len(b) {
			return 0, shortVarint
		}
		c := b[p]
		p++
		if c < 0x80 {
			return v | uint64(c)<<shift, p
		}
		v |= uint64(c&0x7f) << shift
		if shift == 63 {
			return 0, longVarint
		}
	}
}

// readVarint reads a zigzag int32, readVarlong a zigzag int64.
func readVarint(b []byte, p int) (int32, int) {
	v, p := uvarint32(b, p)
	return int32(v>>1) ^ -int32(v&1), p
}

func readVarlong(b []byte, p int) (int64, int) {
	v, p := uvarint64(b, p)
	return unzig(v), p
}

func varintError(p int) error {
	if p == shortVarint {
		return errVarintShort
	}
	return errVarintLong
}

func appendVarint(dst []byte, v int64) []byte {
	u := zig(v)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

func varintSize(v int64) int {
	n := 1
	for u := zig(v); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}
