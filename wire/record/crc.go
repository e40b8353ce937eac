package record

import (
	"encoding/binary"
	"hash/crc32"
)

// recomputeBelow is the batch size up to which computing the CRC anew is cheaper than shifting a difference (measured).
const recomputeBelow = 16 << 10

// SetMaxTimestamp writes the timestamp type and the max timestamp and keeps a valid CRC valid. Like Apache Kafka it changes
// nothing, unknown attribute bits included, if both are already so.
func (b Batch) SetMaxTimestamp(ts int64, typ TimestampType) {
	if b.TimestampType() == typ && b.MaxTimestamp() == ts {
		return
	}
	var before [posProducerID - posAttributes]byte
	copy(before[:], b[posAttributes:posProducerID])
	attrs := b[posAttributes+1] & attrKnown &^ AttrLogAppendTime
	if typ == LogAppendTime {
		attrs |= AttrLogAppendTime
	}
	b[posAttributes], b[posAttributes+1] = 0, attrs
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(ts))
	var crc uint32
	if len(b) <= recomputeBelow {
		crc = b.ComputeCRC()
	} else {
		var diff uint32 // the CRC, without inversions, of old xor new
		for i, old := range before {
			diff = castagnoli[byte(diff)^old^b[posAttributes+i]] ^ diff>>8
		}
		crc = b.CRC() ^ crcShift(diff, len(b)-posProducerID)
	}
	binary.BigEndian.PutUint32(b[posCRC:], crc)
}

// crcShift is the effect on a CRC-32C of n zero bytes that follow: crc * x^(8n) modulo the polynomial. A CRC is linear, so the
// CRC of a changed buffer is the old one xor the CRC of the difference, and a difference only at the front costs this shift
// instead of a pass over the whole batch.
func crcShift(crc uint32, n int) uint32 {
	power := uint32(1 << 31) // x^0 in the reflected order of bits
	for k := 3; n > 0; k++ { // 8n = n << 3
		if n&1 != 0 {
			power = mulMod(crcPowers[k], power)
		}
		n >>= 1
	}
	return mulMod(power, crc)
}

// crcPowers[k] is x^(2^k) modulo the polynomial, enough for a shift by 2^36 bytes.
var crcPowers = func() (t [40]uint32) {
	t[0] = 1 << 30 // x^1
	for k := 1; k < len(t); k++ {
		t[k] = mulMod(t[k-1], t[k-1])
	}
	return t
}()

// mulMod multiplies two polynomials over GF(2) modulo the Castagnoli polynomial; bit 31 is x^0.
func mulMod(a, b uint32) uint32 {
	var p uint32
	for m := uint32(1 << 31); m != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
		}
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return p
}
