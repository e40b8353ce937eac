package javatext

import "testing"

// What Java's new String(bytes, UTF_8) gave.
func TestMalformedBytesBecomeReplacementsAsInJava(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä":          "plain ä",
		"\xff\xfe":         "\uFFFD\uFFFD",
		"a\xc3(":           "a\uFFFD(",
		"\xe2\x82(":        "\uFFFD(",
		"\xe2\x82":         "\uFFFD",
		"\xf0\x9f\x98x":    "\uFFFDx",
		"\xc0\x80":         "\uFFFD\uFFFD",
		"\xed\xa0\x80":     "\uFFFD",
		"\xf5\x80\x80\x80": "\uFFFD\uFFFD\uFFFD\uFFFD",
		"\xe0\x80\x80":     "\uFFFD\uFFFD\uFFFD",
	} {
		if got := string(Append(nil, []byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
