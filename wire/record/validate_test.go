package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"gregor/wire/compress"
)

func testOptions() ValidateOptions {
	return ValidateOptions{Topic: "t", FromClient: true, MaxTimestampDiff: math.MaxInt64, Now: 1_600_000_000_000, Codec: KeepCodec, Magic: 2}
}

func testBatch(t testing.TB, n, size int, codec compress.Codec) Batch {
	t.Helper()
	b := NewBuilder()
	b.Codec = codec
	value := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	for i := range n {
		b.Append(1_600_000_000_000+int64(i%7), nil, value)
	}
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// recrc makes a batch whose bytes were tampered with valid again as far as the CRC goes.
func recrc(b Batch) Batch {
	binary.BigEndian.PutUint32(b[posCRC:], b.ComputeCRC())
	return b
}

func edit(b Batch, f func(b Batch)) Batch {
	b = bytes.Clone(b)
	f(b)
	return recrc(b)
}

func TestValidateAssignsInPlace(t *testing.T) {
	b := testBatch(t, 10, 100, compress.None)
	v, err := Validate(b, testOptions(), 4711, 9)
	if err != nil {
		t.Fatal(err)
	}
	if &v.Batch[0] != &b[0] || v.Replaced {
		t.Error("batch was replaced")
	}
	if b.BaseOffset() != 4711 || b.LeaderEpoch() != 9 || b.LastOffset() != 4720 || !b.ValidCRC() {
		t.Errorf("base %d, epoch %d, last %d, crc ok %v", b.BaseOffset(), b.LeaderEpoch(), b.LastOffset(), b.ValidCRC())
	}
	if v.MaxTimestamp != 1_600_000_000_006 || v.OffsetOfMaxTimestamp != 4717 || v.LogAppendTime != -1 || v.Count != 10 {
		t.Errorf("%+v", v)
	}
}

func TestValidateLogAppendTime(t *testing.T) {
	for _, n := range []int{1, 10, 1000} {
		b := testBatch(t, n, 100, compress.None)
		o := testOptions()
		o.TimestampType = LogAppendTime
		v, err := Validate(b, o, 100, 1)
		if err != nil {
			t.Fatal(err)
		}
		if !b.ValidCRC() || b.TimestampType() != LogAppendTime || b.MaxTimestamp() != o.Now {
			t.Errorf("n=%d: crc ok %v, type %v, max %d", n, b.ValidCRC(), b.TimestampType(), b.MaxTimestamp())
		}
		if v.LogAppendTime != o.Now || v.MaxTimestamp != o.Now || v.OffsetOfMaxTimestamp != 99+int64(n) {
			t.Errorf("%+v", v)
		}
	}
}

func TestValidateCorrectsMaxTimestamp(t *testing.T) {
	b := edit(testBatch(t, 10, 100, compress.None), func(b Batch) { binary.BigEndian.PutUint64(b[posMaxTimestamp:], 1<<60) })
	v, err := Validate(b, testOptions(), 0, 0)
	if err != nil || b.MaxTimestamp() != 1_600_000_000_006 || v.MaxTimestamp != b.MaxTimestamp() || !b.ValidCRC() {
		t.Errorf("%v %+v max %d", err, v, b.MaxTimestamp())
	}
}

func TestValidateRefuses(t *testing.T) {
	good := testBatch(t, 3, 10, compress.None)
	var corrupt *CorruptError
	var invalid *InvalidRecordError
	var ts *InvalidTimestampError
	var large *RecordTooLargeError
	var undecodable *UndecodableError
	var malformed *MalformedRequestError
	var format *UnsupportedForMessageFormatError
	put32 := func(pos int, v int32) func(Batch) {
		return func(b Batch) { binary.BigEndian.PutUint32(b[pos:], uint32(v)) }
	}
	for _, tc := range []struct {
		name string
		in   []byte
		opt  func(*ValidateOptions)
		want any
	}{
		{"empty", nil, nil, &malformed},
		{"cut", good[:len(good)-1], nil, &malformed},
		{"crc", func() []byte { b := bytes.Clone(good); b[len(b)-1] ^= 1; return b }(), nil, &corrupt},
		{"magic 3", edit(good, func(b Batch) { b[posMagic] = 3 }), nil, &corrupt},
		{"magic 1", edit(good, func(b Batch) { b[posMagic] = 1 }), nil, &corrupt},
		{"producer id in an old format", edit(good, func(b Batch) {
			binary.BigEndian.PutUint64(b[posProducerID:], 5)
			binary.BigEndian.PutUint32(b[posBaseSequence:], 0)
		}),
			func(o *ValidateOptions) { o.Magic = 1 }, &format},
		{"size below any record", edit(good, put32(posLength, 13)), nil, &corrupt},
		{"two batches", append(bytes.Clone(good), good...), nil, &invalid},
		{"base offset", edit(good, func(b Batch) { b.SetBaseOffset(1) }), nil, &invalid},
		{"last offset delta leaves a gap", edit(good, put32(posLastOffsetDelta, 3)), nil, &invalid},
		{"negative last offset delta", edit(good, put32(posLastOffsetDelta, -5)), nil, &invalid},
		{"count 0", edit(good, put32(posCount, 0)), nil, &invalid},
		{"fewer records than declared", edit(good, func(b Batch) { put32(posCount, 4)(b); put32(posLastOffsetDelta, 3)(b) }), nil, &invalid},
		{"more records than declared", edit(good, func(b Batch) { put32(posCount, 2)(b); put32(posLastOffsetDelta, 1)(b) }), nil, &invalid},
		{"control", edit(good, func(b Batch) { b[posAttributes+1] |= AttrControl }), nil, &invalid},
		{"log append time", edit(good, func(b Batch) { b[posAttributes+1] |= AttrLogAppendTime }), nil, &ts},
		{"unknown codec", edit(good, func(b Batch) { b[posAttributes+1] |= 6 }), nil, &undecodable},
		{"garbage as gzip", edit(good, func(b Batch) { b[posAttributes+1] |= 1 }), nil, &undecodable},
		{"producer without sequence", edit(good, func(b Batch) { binary.BigEndian.PutUint64(b[posProducerID:], 5) }), nil, &invalid},
		{"compacted without key", good, func(o *ValidateOptions) { o.Compacted = true }, &invalid},
		{"too old", good, func(o *ValidateOptions) { o.MaxTimestampDiff = 1000; o.Now += 2000 }, &ts},
		{"too large", good, func(o *ValidateOptions) { o.MaxBatchBytes = len(good) - 1 }, &large},
		{"record larger than the batch", edit(good, func(b Batch) { b[HeaderSize] = 0x7e }), nil, &undecodable},
		{"header count", edit(good, func(b Batch) { b[len(b)-1] = 2 }), nil, &invalid},
	} {
		o := testOptions()
		if tc.opt != nil {
			tc.opt(&o)
		}
		before := bytes.Clone(tc.in)
		_, err := Validate(tc.in, o, 0, 0)
		if err == nil || !errors.As(err, tc.want) {
			t.Errorf("%s: got %T %v", tc.name, err, err)
		}
		if !bytes.Equal(before, tc.in) {
			t.Errorf("%s: refused batch was changed", tc.name)
		}
	}
}

func TestValidateLetsPassWhatKafkaDoes(t *testing.T) {
	good := testBatch(t, 3, 10, compress.None)
	recordLen := (len(good) - HeaderSize) / 3
	for name, b := range map[string]Batch{
		"repeated delta":     edit(good, func(b Batch) { b[HeaderSize+recordLen+3] = 0 }),
		"delta going back":   edit(good, func(b Batch) { b[HeaderSize+2*recordLen+3] = 2 }),
		"any leader epoch":   edit(good, func(b Batch) { b.SetLeaderEpoch(77) }),
		"unknown attributes": edit(good, func(b Batch) { b[posAttributes] = 0x40 }),
		"trailing bytes":     append(bytes.Clone(good), 1, 2, 3),
	} {
		v, err := Validate(b, testOptions(), 50, 3)
		if err != nil || v.LastOffset != 52 || len(v.Batch) != len(good) || !v.Batch.ValidCRC() {
			t.Errorf("%s: %v %+v", name, err, v)
		}
	}
}

func TestValidateDoesNotAllocate(t *testing.T) {
	b := testBatch(t, 100, 100, compress.None)
	o := testOptions()
	if n := testing.AllocsPerRun(100, func() {
		b.SetBaseOffset(0)
		if _, err := Validate(b, o, 7, 1); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}

func TestSetMaxTimestampKeepsCRC(t *testing.T) {
	for _, n := range []int{1, 100, 163, 164, 165, 1000, 20000} {
		b := testBatch(t, n, 85, compress.None)
		for _, ts := range []int64{-1, 0, 1, 1 << 62, math.MinInt64} {
			for _, typ := range []TimestampType{CreateTime, LogAppendTime} {
				b.SetMaxTimestamp(ts, typ)
				if !b.ValidCRC() || b.MaxTimestamp() != ts || b.TimestampType() != typ {
					t.Fatalf("len %d ts %d type %v: crc ok %v", len(b), ts, typ, b.ValidCRC())
				}
			}
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, bc := range []struct {
		name    string
		n, size int
	}{{"100B x 10000", 10000, 100}, {"1KB x 1000", 1000, 1024}, {"100B x 160", 160, 100}, {"1KB x 16", 16, 1024}, {"10B x 1000", 1000, 10}} {
		b.Run(bc.name, func(b *testing.B) {
			batch := testBatch(b, bc.n, bc.size, compress.None)
			o := testOptions()
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				batch.SetBaseOffset(0)
				if _, err := Validate(batch, o, 7, 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bc.n), "ns/record")
		})
	}
}

func BenchmarkCRC(b *testing.B) {
	batch := testBatch(b, 1000, 1024, compress.None)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		batch.ComputeCRC()
	}
}

func BenchmarkLogAppendTime(b *testing.B) {
	batch := testBatch(b, 1000, 1024, compress.None)
	a, err := Analyze(batch, testOptions())
	if err != nil {
		b.Fatal(err)
	}
	a.timestampType = LogAppendTime
	for i := int64(0); b.Loop(); i++ {
		a.Assign(i, 1, i)
	}
}
