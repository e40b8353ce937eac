package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// ErrMalformed is wrapped by every error that says a request's bytes do not follow its type's shape.
var ErrMalformed = errors.New("malformed request")

// Reader decodes a request's body by hand. After the first field that does not fit it returns zero values and Err says why.
type Reader struct {
	b   []byte
	n   int
	err error
}

// NewReader reads b, which decoded strings and bytes will alias.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err is nil as long as everything read so far was there.
func (r *Reader) Err() error { return r.err }

// Rest is the number of bytes not read yet.
func (r *Reader) Rest() int { return len(r.b) - r.n }

func (r *Reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s at byte %d of %d", ErrMalformed, what, r.n, len(r.b))
	}
	r.n = len(r.b)
}

func (r *Reader) take(n int) []byte {
	if n > len(r.b)-r.n {
		r.fail("cut short")
		return nil
	}
	p := r.b[r.n : r.n+n : r.n+n]
	r.n += n
	return p
}

// Int8 reads one byte.
func (r *Reader) Int8() int8 {
	if p := r.take(1); p != nil {
		return int8(p[0])
	}
	return 0
}

// Bool reads one byte; anything but 0 is true.
func (r *Reader) Bool() bool { return r.Int8() != 0 }

// Int16 reads a big-endian 16-bit integer.
func (r *Reader) Int16() int16 {
	if p := r.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

// Int32 reads a big-endian 32-bit integer.
func (r *Reader) Int32() int32 {
	if p := r.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

// Int64 reads a big-endian 64-bit integer.
func (r *Reader) Int64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// Uvarint reads an unsigned varint of at most 32 bits.
func (r *Reader) Uvarint() uint32 {
	v, n := binary.Uvarint(r.b[r.n:])
	if n <= 0 || n > 5 || v > math.MaxUint32 {
		r.fail("bad varint")
		return 0
	}
	r.n += n
	return uint32(v)
}

// Bytes reads length-prefixed bytes; nil is null.
func (r *Reader) Bytes(compact bool) []byte { return r.sized(r.length32(compact)) }

// NullableString reads a string as its bytes; nil is null.
func (r *Reader) NullableString(compact bool) []byte { return r.sized(r.length16(compact)) }

// String reads a string that must not be null. The result aliases the input.
func (r *Reader) String(compact bool) string {
	p := r.NullableString(compact)
	if p == nil {
		r.fail("null string")
		return ""
	}
	return unsafe.String(unsafe.SliceData(p), len(p))
}

// OptionalString reads a string that may be null, which is empty then. It aliases the input.
func (r *Reader) OptionalString(compact bool) (s string, given bool) {
	p := r.NullableString(compact)
	return unsafe.String(unsafe.SliceData(p), len(p)), p != nil
}

// ArrayLen reads a count, which is never more than what is left could hold with elements of at least minSize bytes; -1 is null.
func (r *Reader) ArrayLen(compact bool, minSize int) int {
	n := r.length32(compact)
	if n < -1 {
		r.fail("negative count")
		return 0
	}
	if n > r.Rest()/max(minSize, 1) {
		r.fail(fmt.Sprintf("count of %d", n))
		return 0
	}
	return n
}

// RequiredArrayLen is ArrayLen of an array that must not be null.
func (r *Reader) RequiredArrayLen(compact bool, minSize int) int {
	n := r.ArrayLen(compact, minSize)
	if n < 0 {
		r.fail("null array")
		return 0
	}
	return n
}

// Tags skips tagged fields.
func (r *Reader) Tags() { r.EachTag(func(uint32, []byte) {}) }

// EachTag calls f with the number and the bytes of each tagged field.
func (r *Reader) EachTag(f func(tag uint32, field []byte)) {
	for n := r.Uvarint(); n > 0 && r.err == nil; n-- {
		tag := r.Uvarint()
		size := r.Uvarint()
		if int64(size) > int64(r.Rest()) {
			r.fail("tagged field cut short")
			return
		}
		f(tag, r.take(int(size)))
	}
}

func (r *Reader) length32(compact bool) int {
	if compact {
		return r.compactLength()
	}
	return int(r.Int32())
}

func (r *Reader) length16(compact bool) int {
	if !compact {
		return int(r.Int16())
	}
	// A compact length has room for more, and other versions have to say the same string with 16 bits.
	n := r.compactLength()
	if n > math.MaxInt16 {
		r.fail(fmt.Sprintf("string of %d bytes", n))
		return 0
	}
	return n
}

func (r *Reader) compactLength() int {
	v := r.Uvarint()
	if r.err != nil {
		return 0
	}
	if v > math.MaxInt32 {
		r.fail("length out of range")
		return 0
	}
	return int(v) - 1
}

var empty = []byte{}

func (r *Reader) sized(n int) []byte {
	switch {
	case r.err != nil || n == -1:
		return nil
	case n < 0:
		r.fail("negative length")
		return nil
	case n == 0:
		return empty
	}
	return r.take(n)
}
