package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"gregor/wire/compress"
)

func filtered(t *testing.T, batch []byte, keep func(*Record) bool) (out []byte, kept []string) {
	t.Helper()
	var f Filter
	defer f.Close()
	out, n, total, err := f.Batch([]byte("before"), batch, 1<<20, func(all []Record, yes []bool) {
		for i := range all {
			yes[i] = keep(&all[i])
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(out, []byte("before")) {
		t.Fatal("what was there before is gone")
	}
	out = out[len("before"):]
	if len(out) > 0 {
		it := NewIter(out, 1<<20)
		defer it.Close()
		for it.Next() {
			r := &it.Record
			kept = append(kept, fmt.Sprintf("%d@%d %s=%s", r.Offset, r.Timestamp, r.Key, r.Value))
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
	}
	if len(kept) != n || total < n {
		t.Errorf("%d records said to be kept of %d, %d are there", n, total, len(kept))
	}
	return out, kept
}

func TestFilterKeepsOffsetsSequenceAndCodec(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		b := NewBuilder()
		b.BaseOffset, b.LeaderEpoch, b.Codec, b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = 100, 3, codec, 9, 1, 50, true
		for i := range 10 {
			b.Append(1000+int64(i), []byte{'a' + byte(i)}, []byte("v"), KeyValue{"h", []byte("x")})
		}
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		out, kept := filtered(t, batch, func(r *Record) bool { return r.Offset == 103 || r.Offset == 107 })
		if want := []string{"103@1003 d=v", "107@1007 h=v"}; !slices.Equal(kept, want) {
			t.Errorf("%v: %v, want %v", codec, kept, want)
		}
		f := Batch(out)
		if !f.ValidCRC() || f.BaseOffset() != 100 || f.LastOffset() != 109 || f.LeaderEpoch() != 3 || f.Codec() != codec || f.LastSequence() != 59 ||
			!f.IsTransactional() || f.Count() != 2 || f.BaseTimestamp() != 1003 || f.MaxTimestamp() != 1007 {
			t.Errorf("%v: the rewritten header is wrong: %x", codec, f[:HeaderSize])
		}
		if out, _ := filtered(t, batch, func(*Record) bool { return true }); !bytes.Equal(out, batch) {
			t.Errorf("%v: a batch that stays whole was rewritten", codec)
		}
		if out, _ := filtered(t, batch, func(*Record) bool { return false }); len(out) != 0 {
			t.Errorf("%v: %d bytes of nothing", codec, len(out))
		}
		e := Batch(AppendEmpty(nil, batch))
		if !e.ValidCRC() || e.Length() != HeaderSize || len(e) != HeaderSize || e.Count() != 0 || e.Codec() != compress.None || e.LastSequence() != 59 ||
			e.LastOffset() != 109 || e.BaseTimestamp() != NoTimestamp || e.MaxTimestamp() != 1009 || !e.IsTransactional() {
			t.Errorf("%v: the empty batch is wrong: %x", codec, e)
		}
	}
}

func TestFilterKeepsTheAppendTime(t *testing.T) {
	b := NewBuilder()
	b.TimestampType, b.LogAppendTime = LogAppendTime, 5000
	b.Append(1, []byte("a"), nil)
	b.Append(2, []byte("b"), nil)
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	out, kept := filtered(t, batch, func(r *Record) bool { return r.Offset == 1 })
	if want := []string{"1@5000 b="}; !slices.Equal(kept, want) || Batch(out).MaxTimestamp() != 5000 || Batch(out).TimestampType() != LogAppendTime {
		t.Errorf("%v, want %v", kept, want)
	}
}

// Entries of the old formats: a plain one stays or goes, of a compressed one the kept messages are wrapped anew.
func TestFilterOfOldFormats(t *testing.T) {
	for magic := int8(0); magic < 2; magic++ {
		ts := func(i int) int64 {
			if magic == 0 {
				return NoTimestamp
			}
			return 1000 + int64(i)
		}
		var inner []byte
		for i := range 5 {
			offset := int64(i)
			if magic == 0 {
				offset += 20
			}
			inner = appendLegacy(inner, offset, magic, 0, ts(i), []byte{'a' + byte(i)}, []byte("v"))
		}
		packed, err := compress.Compress(nil, compress.Gzip, inner)
		if err != nil {
			t.Fatal(err)
		}
		entry := appendLegacy(nil, 24, magic, int16(compress.Gzip), ts(4), nil, packed)
		out, kept := filtered(t, entry, func(r *Record) bool { return r.Offset == 21 || r.Offset == 23 })
		want := []string{fmt.Sprintf("21@%d b=v", ts(1)), fmt.Sprintf("23@%d d=v", ts(3))}
		h, err := ParseHeader(out)
		if err != nil || !slices.Equal(kept, want) || h.LastOffset() != 23 || !ValidLegacyCRC(out) || h.Codec() != compress.Gzip || h.MaxTimestamp != ts(3) {
			t.Errorf("v%d: %v %v, want %v (%+v)", magic, kept, err, want, h)
		}
		plain := appendLegacy(nil, 30, magic, 0, ts(0), []byte("k"), nil)
		if out, _ := filtered(t, plain, func(*Record) bool { return true }); !bytes.Equal(out, plain) {
			t.Errorf("v%d: a plain entry was rewritten", magic)
		}
		if out, _ := filtered(t, plain, func(*Record) bool { return false }); len(out) != 0 {
			t.Errorf("v%d: a plain entry stayed", magic)
		}
	}
}

// appendLegacy encodes one message of format v0 or v1.
func appendLegacy(dst []byte, offset int64, magic int8, attrs int16, ts int64, key, value []byte) []byte {
	be := binary.BigEndian
	at := len(dst)
	dst = be.AppendUint64(dst, uint64(offset))
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, byte(magic), byte(attrs)) // size and CRC follow
	if magic == 1 {
		dst = be.AppendUint64(dst, uint64(ts))
	}
	for _, b := range [...][]byte{key, value} {
		if b == nil {
			dst = be.AppendUint32(dst, 0xffffffff)
			continue
		}
		dst = append(be.AppendUint32(dst, uint32(len(b))), b...)
	}
	e := dst[at:]
	be.PutUint32(e[posLength:], uint32(len(e)-LogOverhead))
	be.PutUint32(e[posLegacyCRC:], crc32.ChecksumIEEE(e[posMagic:]))
	return dst
}
