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
	case LZ4, LZ4V0:
		return appendLZ4(dst, codec, src)
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
	dst = appendXerialHeader(dst)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlock)]
		src = src[len(block):]
		dst = appendXerialBlock(dst, block)
	}
	return dst
}

func appendXerialHeader(dst []byte) []byte {
	return append(append(dst, xerialMagic...), 0, 0, 0, 1, 0, 0, 0, 1)
}

func appendXerialBlock(dst, block []byte) []byte {
	start := len(dst)
	need := 4 + snappy.MaxEncodedLen(len(block))
	dst = grow(dst, need)[:start+need]
	out := snappy.Encode(dst[start+4:start+need:start+need], block)
	binary.BigEndian.PutUint32(dst[start:start+4], uint32(len(out)))
	return dst[:start+4+len(out)]
}

// appendLZ4 writes a frame of independent 64 KB blocks without checksums but the header's, as Kafka does.
func appendLZ4(dst []byte, codec Codec, src []byte) ([]byte, error) {
	dst = appendLZ4Header(dst, codec)
	for len(src) > 0 {
		block := src[:min(len(src), lz4BlockSize)]
		src = src[len(block):]
		var err error
		if dst, err = appendLZ4Block(dst, block); err != nil {
			return dst, err
		}
	}
	return append(dst, 0, 0, 0, 0), nil
}

// appendLZ4Header writes the head of a frame. Clients of message format v0 want the checksum wrong, as Kafka 0.8 made it: it covers the
// magic number too.
func appendLZ4Header(dst []byte, codec Codec) []byte {
	const flags, bd = 1<<6 | 1<<5, 4 << 4
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, lz4Magic)
	dst = append(dst, flags, bd)
	if codec != LZ4V0 {
		at += 4
	}
	return append(dst, byte(xxh32(dst[at:])>>8))
}

func appendLZ4Block(dst, block []byte) ([]byte, error) {
	w := lz4Writers.Get().(*lz4.Compressor)
	defer lz4Writers.Put(w)
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
	return dst[:start+4+n], nil
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
