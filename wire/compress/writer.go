package compress

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

var (
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	lz4Writers  = sync.Pool{New: func() any { return new(lz4.Compressor) }}
	zstdWriters = sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithWindowSize(2<<20), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			panic(err) // the options are constants
		}
		return w
	}}
)

// Compress appends the compressed form of src to dst and returns the extended slice.
func Compress(dst []byte, codec Codec, src []byte) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return appendGzip(dst, src)
	case Snappy:
		return appendSnappy(dst, src), nil
	case LZ4:
		return appendLZ4(dst, src)
	case Zstd:
		w := zstdWriters.Get().(*zstd.Encoder)
		defer zstdWriters.Put(w)
		return w.EncodeAll(src, dst), nil
	}
	return dst, fmt.Errorf("unknown compression codec %d", int8(codec))
}

func appendGzip(dst, src []byte) ([]byte, error) {
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	out := bytes.NewBuffer(dst)
	w.Reset(out)
	_, err := w.Write(src)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	w.Reset(nil)
	return out.Bytes(), err
}

// appendSnappy writes the xerial framing with Java's block size.
func appendSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = append(dst, 0, 0, 0, 1, 0, 0, 0, 1)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlock)]
		src = src[len(block):]
		start := len(dst)
		need := 4 + snappy.MaxEncodedLen(len(block))
		dst = grow(dst, need)[:start+need]
		out := snappy.Encode(dst[start+4:start+need:start+need], block)
		binary.BigEndian.PutUint32(dst[start:start+4], uint32(len(out)))
		dst = dst[:start+4+len(out)]
	}
	return dst
}

// appendLZ4 writes a frame of independent 64 KB blocks without checksums but the header's, as Kafka does.
func appendLZ4(dst, src []byte) ([]byte, error) {
	const flags, bd = 1<<6 | 1<<5, 4 << 4
	dst = binary.LittleEndian.AppendUint32(dst, lz4Magic)
	dst = append(dst, flags, bd, byte(xxh32([]byte{flags, bd})>>8))
	w := lz4Writers.Get().(*lz4.Compressor)
	defer lz4Writers.Put(w)
	for len(src) > 0 {
		block := src[:min(len(src), lz4BlockSize)]
		src = src[len(block):]
		start := len(dst)
		need := 4 + lz4.CompressBlockBound(len(block))
		dst = grow(dst, need)[:start+need]
		n, err := w.CompressBlock(block, dst[start+4:start+need])
		if err != nil {
			return dst[:start], err
		}
		word := uint32(n)
		if n == 0 || n >= len(block) {
			n = copy(dst[start+4:start+need], block)
			word = uint32(n) | lz4Stored
		}
		binary.LittleEndian.PutUint32(dst[start:start+4], word)
		dst = dst[:start+4+n]
	}
	return append(dst, 0, 0, 0, 0), nil
}

// grow makes room for n more bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	out := make([]byte, len(b), 2*cap(b)+n)
	copy(out, b)
	return out
}
