package consoleconsumer

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"gregor/tools/internal/kclient"
)

// deserializer appends the text of a value.
type deserializer func(dst, b []byte) ([]byte, error)

const serialization = "org.apache.kafka.common.serialization."

func newDeserializer(class string) (deserializer, error) {
	switch strings.TrimPrefix(class, serialization) {
	case "StringDeserializer":
		return func(dst, b []byte) ([]byte, error) {
			return append(dst, strings.ToValidUTF8(string(b), "\uFFFD")...), nil
		}, nil
	case "ByteArrayDeserializer", "BytesDeserializer", "ByteBufferDeserializer":
		// Java prints the object's name; the bytes are what anyone who asks for them means.
		return func(dst, b []byte) ([]byte, error) { return append(dst, b...), nil }, nil
	case "ShortDeserializer":
		return fixed(2, "ShortDeserializer", func(dst, b []byte) []byte {
			return strconv.AppendInt(dst, int64(int16(binary.BigEndian.Uint16(b))), 10)
		}), nil
	case "IntegerDeserializer":
		return fixed(4, "IntegerDeserializer", func(dst, b []byte) []byte {
			return strconv.AppendInt(dst, int64(int32(binary.BigEndian.Uint32(b))), 10)
		}), nil
	case "LongDeserializer":
		return fixed(8, "LongDeserializer", func(dst, b []byte) []byte {
			return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(b)), 10)
		}), nil
	case "FloatDeserializer":
		return fixed(4, "Deserializer", func(dst, b []byte) []byte {
			return appendFloat(dst, float64(math.Float32frombits(binary.BigEndian.Uint32(b))), 32)
		}), nil
	case "DoubleDeserializer":
		return fixed(8, "Deserializer", func(dst, b []byte) []byte {
			return appendFloat(dst, math.Float64frombits(binary.BigEndian.Uint64(b)), 64)
		}), nil
	case "UUIDDeserializer":
		return func(dst, b []byte) ([]byte, error) { return append(dst, b...), nil }, nil // stored as its text
	}
	return nil, &kclient.APIError{Class: "java.lang.ClassNotFoundException", Message: class}
}

func fixed(size int, by string, format func(dst, b []byte) []byte) deserializer {
	return func(dst, b []byte) ([]byte, error) {
		if len(b) != size {
			return dst, &kclient.APIError{Class: "org.apache.kafka.common.errors.SerializationException",
				Message: fmt.Sprintf("Size of data received by %s is not %d", by, size)}
		}
		return format(dst, b), nil
	}
}

// appendFloat writes a number as Java does: always with a fraction, in scientific form outside [0.001, 10^7).
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	a := math.Abs(f)
	if a == 0 || a >= 1e-3 && a < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, bits)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return append(dst, s...)
	}
	mantissa, exp, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, bits), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exp) // FormatFloat wrote it
	return append(dst, mantissa+"E"+strconv.Itoa(n)...)
}
