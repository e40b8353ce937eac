package consumerperf

import (
	"fmt"
	"testing"
	"time"
)

// What java.text.SimpleDateFormat makes of these patterns.
func TestDatesAreShownAsJavaDoes(t *testing.T) {
	at := time.Date(2026, 3, 4, 0, 6, 7, 8e6, time.UTC)
	for pattern, want := range map[string]string{
		"yyyy-MM-dd HH:mm:ss:SSS": "2026-03-04 00:06:07:008",
		"yy/M/d'T'HH":             "26/3/4T00",
		"EEE, d MMM yyyy hh a z":  "Wed, 4 Mar 2026 12 AM UTC",
		"k''K":                    "24'0",
		"bbb":                     "Illegal pattern character 'b'",
		"'x":                      "Unterminated quote",
	} {
		f, err := parseDateFormat(pattern)
		got := f.format(at)
		if err != nil {
			got = fmt.Sprint(err)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}
