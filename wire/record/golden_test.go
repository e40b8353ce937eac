package record

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gregor/wire/compress"
)

// hexField is how testdata/Golden.java prints a key or value.
func hexField(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case len(b) > 40:
		return fmt.Sprintf("%d:%x", len(b), crc32.ChecksumIEEE(b))
	}
	return fmt.Sprintf("x%x", b)
}

func dump(t *testing.T, data []byte) string {
	t.Helper()
	var out strings.Builder
	for len(data) > 0 {
		b, rest, err := Next(data)
		if err != nil {
			t.Fatal(err)
		}
		data = rest
		h, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if ok := h.Magic == 2 && Batch(b).ValidCRC() || h.Magic < 2 && ValidLegacyCRC(b); !ok {
			t.Errorf("crc of the batch at %d is wrong", h.BaseOffset)
		}
		var lines strings.Builder
		first := int64(-1)
		it := NewIter(b, 8<<20)
		for it.Next() {
			r := &it.Record
			if first < 0 {
				first = r.Offset
			}
			fmt.Fprintf(&lines, "%d %d %d %s %s", r.Offset, r.Timestamp, r.Sequence, hexField(r.Key), hexField(r.Value))
			for hs := r.Headers; hs.Len() > 0; {
				k, v := hs.Next()
				fmt.Fprintf(&lines, " %s=%s", k, hexField(v))
			}
			lines.WriteByte('\n')
		}
		if err := it.Err(); err != nil {
			t.Fatal(err)
		}
		it.Close()
		fmt.Fprintf(&out, "batch %d %d %d %s\n%s", first, h.LastOffset(), h.MaxTimestamp, h.Codec(), lines.String())
	}
	return out.String()
}

func goldenFiles(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no testdata/%s: %v", pattern, err)
	}
	files := make(map[string][]byte, len(names))
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		files[n] = b
	}
	return files
}

func TestReadsWhatKafkaWrote(t *testing.T) {
	for name, data := range goldenFiles(t, "*.bin") {
		want, err := os.ReadFile(strings.TrimSuffix(name, ".bin") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		if got := dump(t, data); got != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// rebuild encodes a batch's records again by the Builder.
func rebuild(t *testing.T, b Batch, codec compress.Codec) Batch {
	t.Helper()
	nb := Builder{
		BaseOffset: b.BaseOffset(), LeaderEpoch: b.LeaderEpoch(), Codec: codec, ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(),
		BaseSequence: b.BaseSequence(), Transactional: b.IsTransactional(), Control: b.IsControl(),
	}
	it := NewIter(b, 8<<20)
	defer it.Close()
	for it.Next() {
		var hs []KeyValue
		for h := it.Record.Headers; h.Len() > 0; {
			k, v := h.Next()
			hs = append(hs, KeyValue{k, v})
		}
		nb.Append(it.Record.Timestamp, it.Record.Key, it.Record.Value, hs...)
	}
	out, err := nb.Build()
	if err != nil || it.Err() != nil {
		t.Fatal(err, it.Err())
	}
	return out
}

func TestBuilderWritesKafkasBytes(t *testing.T) {
	for _, name := range []string{"v2-none", "v2-idempotent", "marker-abort", "marker-commit"} {
		want, err := os.ReadFile("testdata/" + name + ".bin")
		if err != nil {
			t.Fatal(err)
		}
		if got := rebuild(t, want, compress.None); !bytes.Equal(got, want) {
			t.Errorf("%s: %x\nwant %x", name, got, want)
		}
	}
}

func TestMarkers(t *testing.T) {
	for name, want := range map[string]EndTxnMarker{"abort": {ControlAbort, 12, 1600000000000}, "commit": {ControlCommit, 13, 1600000000000}} {
		b, err := os.ReadFile("testdata/marker-" + name + ".bin")
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := ParseEndTxnMarker(b)
		if err != nil || !ok || got != want {
			t.Errorf("%s: %+v %v %v", name, got, ok, err)
		}
		made := BuildEndTxnMarker(4711, 3, want, 5)
		made.SetBaseOffset(Batch(b).BaseOffset())
		if !bytes.Equal(made, b) {
			t.Errorf("%s: %x\nwant %x", name, made, b)
		}
	}
}

// Each codec recompressed to each other holds the same records, and validates again to the same answer.
func TestRecompression(t *testing.T) {
	codecs := []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd}
	want := strings.SplitN(dump(t, goldenFiles(t, "v2-none.bin")["testdata/v2-none.bin"]), "\n", 2)[1]
	for _, from := range codecs {
		for _, to := range append(codecs, KeepCodec) {
			b, err := os.ReadFile("testdata/v2-" + from.String() + ".bin")
			if err != nil {
				t.Fatal(err)
			}
			o := testOptions()
			o.Codec = to
			v, err := Validate(b, o, 0, 5)
			if err != nil {
				t.Fatalf("%v to %v: %v", from, to, err)
			}
			if v.Replaced != (to != KeepCodec && to != from) {
				t.Errorf("%v to %v: replaced %v", from, to, v.Replaced)
			}
			if got := strings.SplitN(dump(t, v.Batch), "\n", 2)[1]; got != want {
				t.Errorf("%v to %v:\n%s", from, to, got)
			}
			offset := int64(4) // of compressed and rewritten batches the last offset counts; here the same
			if v.MaxTimestamp != 1600000100000 || v.OffsetOfMaxTimestamp != offset || v.Batch.LeaderEpoch() != 5 || v.Count != 5 {
				t.Errorf("%v to %v: %+v", from, to, v)
			}
			if again, err := Validate(bytes.Clone(v.Batch), testOptions(), 0, 5); err != nil || !bytes.Equal(again.Batch, v.Batch) {
				t.Errorf("%v to %v: the result does not validate: %v", from, to, err)
			}
		}
	}
}

// Compressed batches whose records are not numbered from 0 are rewritten; uncompressed ones pass as they are.
func TestWrongDeltasInCompressedBatch(t *testing.T) {
	plain := testBatch(t, 3, 10, compress.None)
	plain[HeaderSize+(len(plain)-HeaderSize)/3+3] = 0 // the second record's delta
	for _, codec := range []compress.Codec{compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		z, err := compress.Compress(bytes.Clone(plain[:HeaderSize]), codec, plain[HeaderSize:])
		if err != nil {
			t.Fatal(err)
		}
		b := Batch(z)
		b[posAttributes+1] |= byte(codec)
		b[posLength+2], b[posLength+3] = byte((len(b)-LogOverhead)>>8), byte(len(b)-LogOverhead)
		v, err := Validate(recrc(b), testOptions(), 10, 0)
		if err != nil || !v.Replaced {
			t.Fatalf("%v: %v, replaced %v", codec, err, v.Replaced)
		}
		want := int64(10)
		it := NewIter(v.Batch, 1<<20)
		for ; it.Next(); want++ {
			if it.Record.Offset != want {
				t.Errorf("%v: offset %d, want %d", codec, it.Record.Offset, want)
			}
		}
		it.Close()
		if want != 13 || v.Batch.Codec() != codec {
			t.Errorf("%v: %d records, codec %v", codec, want-10, v.Batch.Codec())
		}
	}
}

// Records larger than the checking window, and many small ones, in every codec.
func TestStreamedCheck(t *testing.T) {
	for _, size := range []int{0, 1, 100, 65000, 65536, 70000, 700_000} {
		for _, codec := range []compress.Codec{compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
			n := min(3_000_000/(size+8), 20000)
			b := testBatch(t, n, size, codec)
			o := testOptions()
			if v, err := Validate(bytes.Clone(b), o, 5, 0); err != nil || v.LastOffset != int64(4+n) || v.MaxTimestamp < 1600000000000 {
				t.Errorf("%v %d: %v %+v", codec, size, err, v.LastOffset)
			}
			o.Compacted = true
			if _, err := Validate(bytes.Clone(b), o, 5, 0); err == nil {
				t.Errorf("%v %d: missing keys pass", codec, size)
			}
			for _, d := range []int32{-1, 1} { // one record fewer and one more than declared
				o := testOptions()
				wrong := edit(b, func(b Batch) {
					putInt32(b, posCount, int32(n)+d)
					putInt32(b, posLastOffsetDelta, int32(n)+d-1)
				})
				if _, err := Validate(wrong, o, 5, 0); err == nil && n+int(d) > 0 {
					t.Errorf("%v %d: %d records declared as %d pass", codec, size, n, n+int(d))
				}
			}
		}
	}
}

func putInt32(b []byte, pos int, v int32) {
	b[pos], b[pos+1], b[pos+2], b[pos+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
}

// What the Builder compresses must be readable by Kafka's classes. Needs Java and KAFKA_JARS, the directory of the 2.7.2 jars.
func TestKafkaReadsWhatWasWritten(t *testing.T) {
	jars := os.Getenv("KAFKA_JARS")
	if jars == "" {
		t.Skip("KAFKA_JARS is not set")
	}
	golden, err := os.ReadFile("testdata/v2-none.bin")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	want := ""
	for _, codec := range []compress.Codec{compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		for i, b := range []Batch{rebuild(t, golden, codec), testBatch(t, 20000, 100, codec), testBatch(t, 1, 0, codec)} {
			name := filepath.Join(t.TempDir(), fmt.Sprintf("%v-%d.bin", codec, i))
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
			files = append(files, name)
			want += "file " + filepath.Base(name) + "\n" + dump(t, b)
		}
	}
	cmd := exec.Command("./testdata/golden.sh", append([]string{jars}, files...)...)
	cmd.Stderr = os.Stderr
	got, err := cmd.Output()
	if err != nil || string(got) != want {
		t.Errorf("%v: Kafka reads %d bytes of text, want %d", err, len(got), len(want))
	}
}

// naive is validation written for clarity: whole batch decompressed, records decoded by the Iter.
func naive(b Batch) (count int, maxTS int64, indexOfMax int, ok bool) {
	maxTS, indexOfMax = NoTimestamp, -1
	it := NewIter(b, 1<<22)
	defer it.Close()
	for it.Next() {
		if it.Record.Timestamp > maxTS {
			maxTS, indexOfMax = it.Record.Timestamp, count
		}
		count++
	}
	return count, maxTS, indexOfMax, it.Err() == nil
}

// rebuilt has keys, headers, nulls and a producer id.
func rebuilt(f *testing.F, c compress.Codec) Batch {
	b := NewBuilder()
	b.Codec, b.ProducerID, b.ProducerEpoch, b.BaseSequence = c, 9, 1, 5
	b.Append(1_600_000_000_000, []byte("k"), nil, KeyValue{"h", []byte("v")}, KeyValue{"n", nil})
	b.Append(1_600_000_070_000, nil, bytes.Repeat([]byte("v"), 200))
	out, err := b.Build()
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// Properties: no panic; a batch whose CRC is repaired validates exactly when the naive twin can read all its records, with the
// same count and max timestamp; a refused batch is unchanged, an accepted one has a valid CRC.
func FuzzValidate(f *testing.F) {
	for c := compress.None; c.Valid(); c++ { // small: the fuzzer is slow on large inputs
		f.Add([]byte(testBatch(f, 3, 10, c)))
		f.Add([]byte(rebuilt(f, c)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = InspectProduce(data)
		_ = CheckProduceVersion(7, data)
		o := testOptions()
		if _, err := Validate(bytes.Clone(data), o, 5, 5); err == nil && Batch(data).BaseOffset() != 0 {
			t.Fatal("base offset was not checked")
		}
		raw, _, err := Next(data)
		if err != nil || len(raw) < HeaderSize || raw[posMagic] != 2 {
			return
		}
		b := edit(raw, func(b Batch) {
			b.SetBaseOffset(0)
			b[posAttributes+1] &^= AttrControl | AttrLogAppendTime
			if b.Codec() > 4 {
				b[posAttributes+1] &^= AttrCodecMask
			}
			if b.ProducerID() >= 0 && b.BaseSequence() < 0 {
				putInt32(b, posBaseSequence, 0)
			}
		})
		before := Batch(bytes.Clone(b))
		v, err := Validate(b, o, 100, 3)
		if err != nil {
			if !bytes.Equal(before, b) {
				t.Fatalf("refused with %v and changed", err)
			}
		} else if !v.Batch.ValidCRC() || v.Batch.BaseOffset() != 100 || v.Batch.LeaderEpoch() != 3 {
			t.Fatal("accepted and wrongly stamped")
		}
		count, maxTS, indexOfMax, ok := naive(before)
		if count < math.MaxInt32 && (before.Count() != int32(count) || before.LastOffsetDelta() != int32(count)-1 || count == 0) {
			ok = false
		}
		if v.Replaced || before.Codec() != compress.None {
			return // rewriting also refuses negative timestamps, decompression has a limit in the twin
		}
		if ok != (err == nil) {
			t.Fatalf("twin says %v, Validate %v", ok, err)
		}
		if ok && (v.MaxTimestamp != maxTS || v.OffsetOfMaxTimestamp != 100+int64(indexOfMax) && indexOfMax >= 0) {
			t.Fatalf("twin says %d at %d: %+v", maxTS, indexOfMax, v)
		}
	})
}

// Properties: no panic, no more records than bytes, whatever the format.
func FuzzIter(f *testing.F) {
	for _, b := range goldenFiles(f, "*.bin") {
		if len(b) < 2000 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseHeader(data)
		if err == nil && (h.Size() < legacyOverheadV0 || h.Magic > 2) {
			t.Fatalf("%+v", h)
		}
		it := NewIter(data, 1<<20)
		defer it.Close()
		for n := 0; it.Next(); n++ {
			if n > 1<<20 {
				t.Fatal("more records than bytes")
			}
			for hs := it.Record.Headers; hs.Len() > 0; {
				hs.Next()
			}
		}
		if len(data) >= HeaderSize && data[posMagic] == 2 && h.Size() == len(data) {
			_, _, _ = ParseEndTxnMarker(data)
		}
	})
}

func BenchmarkValidateCompressed(b *testing.B) {
	for _, codec := range []compress.Codec{compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			batch := testBatch(b, 1000, 100, codec)
			o := testOptions()
			b.SetBytes(1000 * 107)
			b.ReportAllocs()
			for b.Loop() {
				batch.SetBaseOffset(0)
				if _, err := Validate(batch, o, 7, 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
		})
	}
}
