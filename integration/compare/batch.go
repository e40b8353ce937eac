package compare

import (
	"encoding/binary"
	"hash/crc32"

	"gregor/wire/compress"
)

// batch is a v2 record batch to be encoded, with every field open to lies. The zero value of a pointer means the right value.
type batch struct {
	base, pid           int64
	length              *int32
	leaderEpoch         int32
	magic               *int8
	badCRC              bool
	attrs               int16
	codec               compress.Codec
	lastDelta, count    *int32
	firstTime, maxTime  *int64
	epoch               int16
	seq                 int32
	records             []rec
	payload             []byte // instead of records, as it is on the wire
	trailing            []byte // behind the records, inside the batch
	corruptPayload      bool
	truncatedCompressed bool
}

// rec is one record of a batch.
type rec struct {
	delta      *int64 // offset delta
	time       int64  // absolute
	key, value []byte
	headers    [][2][]byte
	size       *int64 // its claimed size
}

// past is the timestamp of records whose time does not matter.
const past int64 = 1_600_000_000_000

func plain(values ...string) batch {
	b := batch{pid: -1, epoch: -1, seq: -1, leaderEpoch: -1}
	for i, v := range values {
		b.records = append(b.records, rec{time: past + int64(i), key: []byte("k"), value: []byte(v)})
	}
	return b
}

func (b batch) with(f func(*batch)) batch {
	b.records = append([]rec(nil), b.records...)
	f(&b)
	return b
}

func or[T any](p *T, v T) T {
	if p != nil {
		return *p
	}
	return v
}

func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}

func (r rec) encode(i int, first int64) []byte {
	b := []byte{0}
	b = binary.AppendVarint(b, r.time-first)
	b = binary.AppendVarint(b, or(r.delta, int64(i)))
	b = appendBytes(appendBytes(b, r.key), r.value)
	b = binary.AppendVarint(b, int64(len(r.headers)))
	for _, h := range r.headers {
		b = appendBytes(appendBytes(b, h[0]), h[1])
	}
	return append(binary.AppendVarint(nil, or(r.size, int64(len(b)))), b...)
}

func (b batch) encode() []byte {
	first, last := past, past
	if len(b.records) > 0 {
		first, last = b.records[0].time, b.records[0].time
	}
	first = or(b.firstTime, first)
	payload := b.payload
	if payload == nil {
		for i, r := range b.records {
			payload = append(payload, r.encode(i, first)...)
			last = max(last, r.time)
		}
	}
	payload = append(payload[:len(payload):len(payload)], b.trailing...)
	if b.codec != compress.None {
		c, err := compress.Compress(nil, b.codec, payload)
		if err != nil {
			panic(err)
		}
		if payload = c; b.truncatedCompressed {
			payload = payload[:len(payload)*2/3]
		}
	}
	if b.corruptPayload {
		for i := len(payload) / 2; i < len(payload); i++ {
			payload[i] ^= 0x5a
		}
	}
	out := binary.BigEndian.AppendUint64(nil, uint64(b.base))
	out = binary.BigEndian.AppendUint32(out, uint32(or(b.length, int32(49+len(payload)))))
	out = binary.BigEndian.AppendUint32(out, uint32(b.leaderEpoch))
	out = append(out, byte(or(b.magic, 2)), 0, 0, 0, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(b.attrs|int16(b.codec)))
	out = binary.BigEndian.AppendUint32(out, uint32(or(b.lastDelta, int32(len(b.records)-1))))
	out = binary.BigEndian.AppendUint64(out, uint64(first))
	out = binary.BigEndian.AppendUint64(out, uint64(or(b.maxTime, last)))
	out = binary.BigEndian.AppendUint64(out, uint64(b.pid))
	out = binary.BigEndian.AppendUint16(out, uint16(b.epoch))
	out = binary.BigEndian.AppendUint32(out, uint32(b.seq))
	out = binary.BigEndian.AppendUint32(out, uint32(or(b.count, int32(len(b.records)))))
	out = append(out, payload...)
	crc := crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli))
	if b.badCRC {
		crc++
	}
	binary.BigEndian.PutUint32(out[17:], crc)
	return out
}

// message is one entry of a message set of format v0 or v1.
func message(magic byte, attrs byte, offset, time int64, key, value []byte) []byte {
	body := []byte{magic, attrs}
	if magic > 0 {
		body = binary.BigEndian.AppendUint64(body, uint64(time))
	}
	for _, v := range [][]byte{key, value} {
		if v == nil {
			body = append(body, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(v))), v...)
	}
	out := binary.BigEndian.AppendUint64(nil, uint64(offset))
	out = binary.BigEndian.AppendUint32(out, uint32(4+len(body)))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, body...)
}
