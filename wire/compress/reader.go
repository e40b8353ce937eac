package compress

import (
	"errors"
)

// Reader is a pooled streaming decoder over one compressed byte slice. Close returns it to its pool; it must not be used after.
type Reader struct{}

// NewReader starts decoding src, which must stay unchanged until Close.
func NewReader(codec Codec, src []byte) (*Reader, error) {
	return nil, errors.New("compress: not there yet")
}

func (r *Reader) Read(p []byte) (int, error) { return 0, errors.New("compress: not there yet") }

// Close gives the decoder back to its pool.
func (r *Reader) Close() {}

// Compress appends the compressed form of src to dst and returns the extended slice.
func Compress(dst []byte, codec Codec, src []byte) ([]byte, error) {
	return dst, errors.New("compress: not there yet")
}
