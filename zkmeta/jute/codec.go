package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// ErrShort says that a message ends before its fields do, or that a length in it lies.
var ErrShort = errors.New("jute: message is shorter than its fields")

// Decoder reads one message. The zero value reads an empty one.
type Decoder struct {
	buf []byte
	err error
}

// NewDecoder reads b, which must not change while what was decoded is in use.
func NewDecoder(b []byte) Decoder { return Decoder{buf: b} }

// Err is the first failure, nil so far.
func (d *Decoder) Err() error { return d.err }

// Rest is what has not been read.
func (d *Decoder) Rest() []byte { return d.buf }

func (d *Decoder) fail(what string, n int) {
	if d.err == nil {
		d.err = fmt.Errorf("%w (%s of %d bytes, %d left)", ErrShort, what, n, len(d.buf))
	}
	d.buf = nil
}

func (d *Decoder) take(what string, n int) []byte {
	if n < 0 || n > len(d.buf) {
		d.fail(what, n)
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

// Int32 reads an int.
func (d *Decoder) Int32() int32 {
	b := d.take("int", 4)
	if b == nil {
		return 0
	}
	return int32(binary.BigEndian.Uint32(b))
}

// Int64 reads a long.
func (d *Decoder) Int64() int64 {
	b := d.take("long", 8)
	if b == nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}

// Bool reads a boolean.
func (d *Decoder) Bool() bool {
	b := d.take("boolean", 1)
	return b != nil && b[0] != 0
}

// Buffer reads a byte array as a view of the message; nil is the null array.
func (d *Decoder) Buffer() []byte {
	n := d.Int32()
	if n == -1 || d.err != nil {
		return nil
	}
	b := d.take("buffer", int(n))
	if b == nil && d.err == nil {
		b = []byte{}
	}
	return b
}

// View reads a string as a view of the message: valid only as long as the message is. A null string reads as empty.
func (d *Decoder) View() string {
	b := d.Buffer()
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}

// Clone reads a string that may be kept.
func (d *Decoder) Clone() string { return strings.Clone(d.View()) }

// Count reads the number of elements of a vector whose elements take at least min bytes each. A null vector is -1.
func (d *Decoder) Count(minSize int) int {
	n := int(d.Int32())
	if d.err != nil || n == -1 {
		return -1
	}
	if n < 0 || n > len(d.buf)/minSize {
		d.fail("vector", n)
		return -1
	}
	return n
}

// Views reads a vector of strings, each a view of the message.
func (d *Decoder) Views() []string {
	n := d.Count(4)
	if n <= 0 {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, d.View())
	}
	if d.err != nil {
		return nil
	}
	return out
}

// AppendInt32 appends an int.
func AppendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

// AppendInt64 appends a long.
func AppendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// AppendBool appends a boolean.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendBuffer appends a byte array; nil is the null array.
func AppendBuffer(b, v []byte) []byte {
	if v == nil {
		return AppendInt32(b, -1)
	}
	return append(AppendInt32(b, int32(len(v))), v...)
}

// AppendString appends a string.
func AppendString(b []byte, v string) []byte { return append(AppendInt32(b, int32(len(v))), v...) }

// AppendStrings appends a vector of strings.
func AppendStrings(b []byte, v []string) []byte {
	b = AppendInt32(b, int32(len(v)))
	for _, s := range v {
		b = AppendString(b, s)
	}
	return b
}
