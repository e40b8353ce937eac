package compress

import (
	"errors"
	"fmt"
	"io"
)

// Codec is a compression codec as the low three bits of a batch's attributes name it.
type Codec int8

const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4

	// LZ4V0 is LZ4 for readers of message format v0, whose clients wrote a wrong header checksum.
	LZ4V0 Codec = 0x13
)

// ErrTooLarge is returned when the decompressed data would exceed the caller's limit.
var ErrTooLarge = errors.New("decompressed data exceeds the limit")

// Valid reports whether c is a codec that message formats define.
func (c Codec) Valid() bool { return c >= None && c <= Zstd }

func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", int8(c))
}

// Parse maps the names of compression.type ("none", "uncompressed", "gzip", "snappy", "lz4", "zstd") to a codec.
func Parse(name string) (Codec, bool) {
	switch name {
	case "none", "uncompressed":
		return None, true
	case "gzip":
		return Gzip, true
	case "snappy":
		return Snappy, true
	case "lz4":
		return LZ4, true
	case "zstd":
		return Zstd, true
	}
	return None, false
}

// Decompress appends the decompressed form of src to dst and returns the extended slice. It fails with ErrTooLarge, having
// produced at most limit bytes, when there is more.
func Decompress(dst []byte, codec Codec, src []byte, limit int) ([]byte, error) {
	r, err := NewReader(codec, src)
	if err != nil {
		return dst, err
	}
	defer r.Close()
	start := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		room := dst[len(dst):cap(dst)]
		if spare := limit - (len(dst) - start); len(room) > spare+1 {
			room = room[:spare+1]
		}
		n, err := r.Read(room)
		dst = dst[:len(dst)+n]
		if len(dst)-start > limit {
			return dst[:start+limit], ErrTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}
