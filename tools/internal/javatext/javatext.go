// Package javatext turns bytes into text as Java's UTF-8 decoder does, for outputs that compare with Apache's tools.
//
// Owns, is guarded by: nothing. Invariant: what is valid UTF-8 passes unchanged. Imports: the standard library.
// Kafka counterpart: new String(bytes, UTF_8).
package javatext

import "unicode/utf8"

const replacement = "\uFFFD"

// Append decodes b: each longest beginning of a sequence that cannot go on becomes one replacement character.
func Append(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, replacement...)
			b = b[broken(b):]
			continue
		}
		dst = append(dst, b[:size]...)
		b = b[size:]
	}
	return dst
}

// broken is the length of the malformed sequence that b begins with.
func broken(b []byte) int {
	more, low, high := 0, byte(0x80), byte(0xBF)
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		more = 1
	case c >= 0xE0 && c <= 0xEF:
		more = 2
		if c == 0xE0 {
			low = 0xA0
		} // surrogates: Java takes ED A0 80 for one malformed sequence of three
		if c == 0xED && len(b) >= 3 && b[1] >= 0xA0 && b[1] <= 0xBF && b[2] >= 0x80 && b[2] <= 0xBF {
			return 3
		}
	case c >= 0xF0 && c <= 0xF4:
		more = 3
		if c == 0xF0 {
			low = 0x90
		}
		if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for n <= more && n < len(b) && b[n] >= low && b[n] <= high {
		low, high = 0x80, 0xBF
		n++
	}
	return min(n, max(more, 1))
}
