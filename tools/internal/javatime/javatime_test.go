package javatime

import (
	"fmt"
	"testing"
)

// What Java 17 makes of these.
func TestDatesAreReadAsSimpleDateFormatReadsThem(t *testing.T) {
	for in, want := range map[string]string{
		"1970-01-01T00:00:00.000":       "0",
		"2020-02-03T04:05:06.007Z":      "1580702706007",
		"2020-02-03T04:05:06.007+01:30": "1580697306007",
		"2020-02-03T04:05:06.007-02":    "1580709906007",
		"2020-2-3T4:5:6.7":              "1580702706007",
		"2020-13-32T00:00:00.000":       "1612137600000",
		"2020-02-03T04:05:06.007+01:3":  "1580699106007",
		"2020-02-03":                    "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format",
		"2020-02-03T":                   "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format",
		"T":                             "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format",
		"2020-02-03T04:05:06":           `Unparseable date: "2020-02-03T04:05:06Z"`,
		"2020-02-03T04:05:06.007+x":     `Unparseable date: "2020-02-03T04:05:06.007+x"`,
		"yesterdayT":                    "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format",
	} {
		n, err := DateTime(in)
		got := fmt.Sprint(n)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestDurationsAreReadAsJavasAre(t *testing.T) {
	for in, want := range map[string]string{
		"P1D": "86400000", "PT1H30M": "5400000", "p1dt2h3m4.5s": "93784500", "-PT6H+3M": "-21780000", "PT-0.5S": "-500", "PT0S": "0", "PT1,25S": "1250",
		"P": "Text cannot be parsed to a Duration", "PT": "Text cannot be parsed to a Duration", "P1DT": "Text cannot be parsed to a Duration",
		"1D": "Text cannot be parsed to a Duration", "P1H": "Text cannot be parsed to a Duration",
		"P999999999999999999D": "Text cannot be parsed to a Duration: overflow", "PT9223372036854775807S": "Text cannot be parsed to a Duration: overflow",
	} {
		n, err := Duration(in)
		got := fmt.Sprint(n)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// Anything is either a time or an error.
func FuzzTimes(f *testing.F) {
	for _, s := range []string{"2020-02-03T04:05:06.007+01:30", "P1DT2H3M4.5S", "-PT9223372036854775S", "9999999-99-99T99:99:99.999Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := DateTime(s); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		if _, err := Duration(s); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
