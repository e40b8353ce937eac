package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

func inputs() map[string][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 200_000)
	for i := range random {
		random[i] = byte(rnd.Uint32())
	}
	return map[string][]byte{
		"empty":  {},
		"one":    {7},
		"short":  []byte("hello, hello, hello"),
		"zeros":  make([]byte, 300_000),
		"random": random,
		"text":   bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog\n"), 5000),
		"64K":    random[:64<<10],
		"32K+1":  random[:32<<10+1],
	}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range codecs {
		for name, in := range inputs() {
			for range 2 { // the second time from the pools
				z, err := Compress([]byte("before"), c, in)
				if err != nil || !bytes.HasPrefix(z, []byte("before")) {
					t.Fatalf("%v %s: %v", c, name, err)
				}
				out, err := Decompress([]byte("x"), c, z[6:], 1<<20)
				if err != nil || !bytes.Equal(out[1:], in) {
					t.Fatalf("%v %s: %v, %d bytes of %d", c, name, err, len(out)-1, len(in))
				}
			}
		}
	}
}

func TestDecompressStopsAtLimit(t *testing.T) {
	in := make([]byte, 300_000)
	for _, c := range codecs {
		z, _ := Compress(nil, c, in)
		if _, err := Decompress(nil, c, z, len(in)); err != nil {
			t.Errorf("%v at the limit: %v", c, err)
		}
		out, err := Decompress(nil, c, z, len(in)-1)
		if !errors.Is(err, ErrTooLarge) || len(out) > len(in) {
			t.Errorf("%v above the limit: %v, %d bytes", c, err, len(out))
		}
	}
}

// A cut input must be an error; where the cut takes only bytes that readers ignore, the output must be whole.
func TestTruncatedInputIsAnError(t *testing.T) {
	in := bytes.Repeat([]byte("0123456789"), 1000)
	for _, c := range codecs[1:] {
		z, _ := Compress(nil, c, in)
		for n := range len(z) {
			out, err := Decompress(nil, c, z[:n], 1<<20)
			if err == nil && len(out) != 0 && !(c == Snappy) {
				t.Errorf("%v cut to %d of %d: %d bytes without an error", c, n, len(z), len(out))
			}
		}
	}
}

func TestSnappyRawAndConcatenated(t *testing.T) {
	z, _ := Compress(nil, Snappy, []byte("abcabcabc"))
	if out, err := Decompress(nil, Snappy, z[xerialHeader+4:], 100); err != nil || string(out) != "abcabcabc" {
		t.Errorf("raw: %q %v", out, err)
	}
	if out, err := Decompress(nil, Snappy, append(bytes.Clone(z), z...), 100); err != nil || string(out) != "abcabcabcabcabcabc" {
		t.Errorf("concatenated: %q %v", out, err)
	}
}

func TestLZ4HeaderChecksum(t *testing.T) {
	z, _ := Compress(nil, LZ4, []byte("abcabcabc"))
	z[6]++
	if _, err := Decompress(nil, LZ4, z, 100); err == nil {
		t.Error("wrong header checksum passes")
	}
	if out, err := Decompress(nil, LZ4V0, z, 100); err != nil || string(out) != "abcabcabc" {
		t.Errorf("v0: %q %v", out, err)
	}
}

func TestXXH32(t *testing.T) {
	for in, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff, "Nobody inspects the spammish repetition": 0xe2293b2f} {
		if got := xxh32([]byte(in)); got != want {
			t.Errorf("%q: %#x, want %#x", in, got, want)
		}
	}
}

// Properties: no panic, never more output than the limit, memory bounded by the limit and the codec's window.
func FuzzDecompress(f *testing.F) {
	for _, c := range codecs {
		for _, in := range []string{"", "a", "hello hello hello hello"} {
			z, _ := Compress(nil, c, []byte(in))
			f.Add(int8(c), z)
		}
	}
	f.Fuzz(func(t *testing.T, c int8, z []byte) {
		const limit = 1 << 20
		out, err := Decompress(nil, Codec(c), z, limit)
		if len(out) > limit {
			t.Fatalf("%d bytes", len(out))
		}
		r, rerr := NewReader(Codec(c), z)
		if rerr != nil {
			return
		}
		defer r.Close()
		again, aerr := io.ReadAll(io.LimitReader(r, limit))
		if err == nil && (aerr != nil || !bytes.Equal(out, again)) {
			t.Fatalf("streamed: %v, %d bytes against %d", aerr, len(again), len(out))
		}
	})
}

func BenchmarkDecompress(b *testing.B) {
	in := bytes.Repeat([]byte(`{"user":4711,"action":"click","at":1600000000000}`), 330)
	for i := range in {
		if i%17 == 0 {
			in[i] = byte(i * 7)
		}
	}
	buf := make([]byte, 0, len(in)+1)
	for _, c := range codecs {
		z, _ := Compress(nil, c, in)
		b.Run(fmt.Sprintf("%v", c), func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decompress(buf, c, z, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A Writer makes the same bytes as Compress, however the input is cut.
func TestWriterMakesTheSameBytes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var w Writer
	for _, c := range []Codec{None, Gzip, Snappy, LZ4, LZ4V0} {
		for name, in := range inputs() {
			want, err := Compress([]byte("before"), c, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, most := range []int{10, 5000, 1 << 20} {
				if err := w.Reset([]byte("before"), c); err != nil {
					t.Fatal(err)
				}
				for rest := in; len(rest) > 0; {
					n := min(1+rnd.IntN(most), len(rest))
					if _, err := w.Write(rest[:n]); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				got, err := w.Close()
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%v %s in pieces of up to %d: %d bytes, want %d; %v", c, name, most, len(got), len(want), err)
				}
			}
		}
	}
	if err := w.Reset(nil, Zstd); err == nil {
		t.Error("zstd was taken")
	}
}
