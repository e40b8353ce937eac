package record

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"gregor/wire/compress"
)

func downConverted(t *testing.T, batch []byte, magic int8, first int64) []byte {
	t.Helper()
	var c DownConverter
	defer c.Close()
	before := bytes.Clone(batch)
	out, _, err := c.Append([]byte("before"), batch, magic, first)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, batch) {
		t.Error("the batch was changed")
	}
	return out[len("before"):]
}

// Every newer format into every older one, from each offset on: what is not compressed begins there, what is stays whole.
func TestDownConversion(t *testing.T) {
	const base = int64(500)
	for from := int8(1); from <= 2; from++ {
		for to := int8(0); to < from; to++ {
			for codec := compress.None; codec < compress.Zstd; codec++ {
				for _, typ := range []TimestampType{CreateTime, LogAppendTime} {
					o := testOptions()
					o.Magic, o.TimestampType = from, typ
					records := oldRecords(from, 6)
					v, err := Validate(oldSetOf(t, from, codec, records), o, base, 1)
					if err != nil {
						t.Fatal(err)
					}
					for first := base; first < base+6; first++ {
						want := lines(t, v.Batch)
						if codec == compress.None {
							want = want[first-base:]
						}
						if to == 0 {
							for i := range want {
								offset, rest, _ := strings.Cut(want[i], "@")
								_, rest, _ = strings.Cut(rest, " ")
								want[i] = offset + "@-1 " + rest
							}
						}
						var got []byte
						for rest := []byte(v.Batch); len(rest) > 0; {
							b, next, _ := Next(rest)
							got = append(got, downConverted(t, b, to, first)...)
							rest = next
						}
						if l := lines(t, got); !slices.Equal(l, want) {
							t.Errorf("v%d to v%d, %v, from %d:\n got %q\nwant %q", from, to, codec, first, l, want)
						}
						for rest := got; len(rest) > 0; {
							b, next, _ := Next(rest)
							h, _ := ParseHeader(b)
							if h.Magic != to || h.Codec() != codec || to > 0 && h.TimestampType() != typ {
								t.Errorf("v%d to v%d, %v: became v%d, %v, %v", from, to, codec, h.Magic, h.Codec(), h.TimestampType())
							}
							rest = next
						}
					}
				}
			}
		}
	}
}

func TestDownConversionLeavesOut(t *testing.T) {
	marker := BuildEndTxnMarker(7, 0, EndTxnMarker{Type: ControlAbort, Timestamp: oldTime}, 0)
	batch := Batch(oldSetOf(t, 2, compress.None, oldRecords(2, 3)))
	for name, b := range map[string][]byte{"a control batch": marker, "what compaction emptied": AppendEmpty(nil, batch)} {
		if out := downConverted(t, b, 1, 0); len(out) != 0 {
			t.Errorf("%s became %x", name, out)
		}
	}
	if out := downConverted(t, batch, 1, 3); len(out) != 0 {
		t.Errorf("records before the offset became %x", out)
	}
	old := oldSetOf(t, 0, compress.Gzip, oldRecords(0, 3))
	if out := downConverted(t, old, 1, 2); !bytes.Equal(out, old) {
		t.Errorf("an older format was changed: %x", out)
	}
	withHeaders := NewBuilder()
	withHeaders.Append(-7, []byte("k"), nil, KeyValue{"h", []byte("x")})
	b, _ := withHeaders.Build()
	if got, want := lines(t, downConverted(t, b, 1, 0)), []string{"0@-1 k=null"}; !slices.Equal(got, want) {
		t.Errorf("headers and a time before 1970: %q, want %q", got, want)
	}
}

func TestDownConversionFails(t *testing.T) {
	var c DownConverter
	defer c.Close()
	var zstd *UnsupportedCompressionError
	if _, _, err := c.Append(nil, oldSetOf(t, 2, compress.Zstd, oldRecords(2, 3)), 1, 0); !errors.As(err, &zstd) {
		t.Errorf("zstd: %v", err)
	}
	var corrupt *CorruptError
	b := oldSetOf(t, 2, compress.None, oldRecords(2, 3))
	b[len(b)-1] ^= 1
	if out, _, err := c.Append([]byte("x"), b, 1, 0); !errors.As(err, &corrupt) || string(out) != "x" {
		t.Errorf("a bad crc: %q, %v", out, err)
	}
	// And goes on with the next.
	good := oldSetOf(t, 2, compress.Gzip, oldRecords(2, 3))
	if out, n, err := c.Append(nil, good, 0, 0); err != nil || n != 3 || len(lines(t, out)) != 3 {
		t.Errorf("%d records, %v", n, err)
	}
}

// Batches that unpack to more than a pooled buffer holds.
func TestDownConversionOfMuch(t *testing.T) {
	b := NewBuilder()
	b.Codec = compress.Gzip
	value := make([]byte, 1<<20)
	for i := range easyRewritten>>20 + 1 {
		b.Append(oldTime, []byte{byte(i)}, value)
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var c DownConverter
	defer c.Close()
	out, n, err := c.Append(nil, batch, 1, 0)
	if err != nil || n != easyRewritten>>20+1 || len(out) > 1<<20 {
		t.Fatalf("%d records, %d bytes, %v", n, len(out), err)
	}
	o := testOptions()
	o.Magic = 1
	v, err := Validate(out, o, 10, 0)
	if err != nil || v.Count != int32(n) || v.Replaced {
		t.Fatalf("%+v, %v", v.Count, err)
	}
	if back, err := Validate(out, testOptions(), 10, 0); err != nil || back.Count != int32(n) || !back.Batch.ValidCRC() {
		t.Fatalf("%+v, %v", back.Count, err)
	}
}

// Properties, whatever the bytes: no panic; what comes out has the older format, good CRCs and the offsets that went in.
func FuzzDownConvert(f *testing.F) {
	for name, b := range goldenFiles(f, "v[012]-*.bin") {
		if len(b) < 3000 {
			f.Add(b, byte(len(name)), int64(2))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, to byte, first int64) {
		magic := int8(to % 2)
		h, err := ParseHeader(data)
		if err != nil || h.Size() > len(data) {
			return
		}
		data = data[:h.Size()]
		if h.Magic == 2 {
			Batch(data).fixCRC()
		} else {
			fixLegacyCRC(data)
		}
		var c DownConverter
		defer c.Close()
		out, n, err := c.Append(nil, data, magic, first)
		if err != nil || h.Magic <= magic {
			return
		}
		var in, got []int64
		it := NewIter(data, 64<<20)
		for it.Next() {
			if it.Record.Offset >= first || h.Codec() != compress.None {
				in = append(in, it.Record.Offset)
			}
		}
		it.Close()
		if h.IsControl() {
			in = nil
		}
		for rest := out; len(rest) > 0; {
			b, next, err := Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			if Batch(b).Magic() != magic || !ValidLegacyCRC(b) {
				t.Fatalf("became %x", b[:PrefixSize])
			}
			if h.Codec() == compress.None {
				got = append(got, Batch(b).BaseOffset())
			}
			rest = next
		}
		if n != len(in) || h.Codec() == compress.None && !slices.Equal(got, in) {
			t.Fatalf("%d records at %v, want %v", n, got, in)
		}
	})
}

// BenchmarkDownConvert is what a fetch by an old client costs.
func BenchmarkDownConvert(b *testing.B) {
	for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4} {
		b.Run(codec.String(), func(b *testing.B) {
			batch := testBatch(b, 1000, 100, codec)
			var c DownConverter
			defer c.Close()
			var out []byte
			b.SetBytes(1000 * 107)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if out, _, err = c.Append(out[:0], batch, 1, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
		})
	}
}
