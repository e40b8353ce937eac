package replicaverification

import "encoding/binary"

// batch is what is compared of a record batch.
type batch struct {
	last     int64 // the last offset
	checksum uint32
}

// The header of a batch of format 2, and of a message of the formats before it, up to what is read here.
const (
	lengthAt  = 8
	bodyAt    = 12
	magicAt   = 16
	crcAt     = 17 // format 2
	deltaAt   = 23 // format 2
	headerLen = 27
)

// nextBatch reads the first batch; whole is false where there is none, or only a part of one.
func nextBatch(b []byte) (next batch, rest []byte, whole bool) {
	if len(b) < headerLen {
		return batch{}, nil, false
	}
	n := int(int32(binary.BigEndian.Uint32(b[lengthAt:])))
	if n < headerLen-bodyAt || n > len(b)-bodyAt {
		return batch{}, nil, false
	}
	next.last = int64(binary.BigEndian.Uint64(b))
	if b[magicAt] < 2 {
		next.checksum = binary.BigEndian.Uint32(b[bodyAt:])
	} else {
		next.checksum = binary.BigEndian.Uint32(b[crcAt:])
		next.last += int64(int32(binary.BigEndian.Uint32(b[deltaAt:])))
	}
	return next, b[bodyAt+n:], true
}
