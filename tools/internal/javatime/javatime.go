// Package javatime reads points in time and durations as Apache Kafka's tools do: with Java's SimpleDateFormat and Duration.
//
// Owns, is guarded by: nothing; values. Invariants: what Java refuses is refused with Java's message; nothing overflows silently.
// Imports: the standard library, kclient for the classes of Java's exceptions.
// Kafka counterpart: org.apache.kafka.common.utils.Utils.getDateTime, java.time.Duration.parse.
package javatime

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gregor/tools/internal/kclient"
)

func parseError(format string, args ...any) error {
	return &kclient.APIError{Class: "java.text.ParseException", Message: fmt.Sprintf(format, args...)}
}

// DateTime reads YYYY-MM-DDTHH:mm:SS.sss with an optional zone (Z, +hh, +hh:mm), UTC without one, and returns milliseconds since 1970.
// Java is lenient about it: numbers may be shorter or out of range, and what follows is ignored.
func DateTime(s string) (int64, error) {
	parts := javaSplit(s, "T")
	if len(parts) < 2 {
		return 0, parseError("Error parsing timestamp. It does not contain a 'T' according to ISO8601 format")
	}
	if parts[1] == "" {
		return 0, parseError("Error parsing timestamp. Time part after 'T' is null or empty")
	}
	text := s
	if !strings.ContainsAny(parts[1], "+-Z") {
		text += "Z"
	}
	ms, ok := dateTime(text)
	if !ok {
		return 0, parseError("Unparseable date: %q", text)
	}
	return ms, nil
}

// javaSplit is String.split: empty words at the end do not count.
func javaSplit(s, sep string) []string {
	parts := strings.Split(s, sep)
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// maxYear bounds what is computed with; time.Date is exact far beyond.
const maxYear = 10_000_000

func dateTime(s string) (int64, bool) {
	var n [7]int64
	for i, sep := range []string{"-", "-", "T", ":", ":", ".", ""} {
		v, rest, ok := number(s)
		if !ok || v > maxYear {
			return 0, false
		}
		n[i] = v
		if s, ok = strings.CutPrefix(rest, sep); !ok {
			return 0, false
		}
	}
	offset, ok := zone(s)
	if !ok {
		return 0, false
	}
	t := time.Date(int(n[0]), time.Month(n[1]), int(n[2]), int(n[3]), int(n[4]), int(n[5]), 0, time.UTC)
	return t.UnixMilli() + n[6] - offset, true
}

// number cuts the digits off that s begins with.
func number(s string) (v int64, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	v, err := strconv.ParseInt(s[:i], 10, 64)
	return v, s[i:], err == nil
}

// zone reads a zone's distance from UTC in milliseconds.
func zone(s string) (int64, bool) {
	if strings.HasPrefix(s, "Z") {
		return 0, true
	}
	if len(s) < 3 || s[0] != '+' && s[0] != '-' || !digits(s[1:3]) {
		return 0, false
	}
	hours, minutes := int64(s[1]-'0')*10+int64(s[2]-'0'), int64(0)
	if len(s) >= 6 && s[3] == ':' && digits(s[4:6]) {
		minutes = int64(s[4]-'0')*10 + int64(s[5]-'0')
	}
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := (hours*60 + minutes) * time.Minute.Milliseconds()
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

var duration = regexp.MustCompile(`(?i)^([-+]?)P(?:([-+]?[0-9]+)D)?(T(?:([-+]?[0-9]+)H)?(?:([-+]?[0-9]+)M)?(?:([-+]?[0-9]+)(?:[.,]([0-9]{0,9}))?S)?)?$`)

// largest bounds each part of a duration, so that their sum is a number.
const largest = 1 << 60

// Duration reads PnDTnHnMn.nS and returns milliseconds, fractions cut off.
func Duration(s string) (int64, error) {
	fail := func(why string) (int64, error) {
		return 0, &kclient.APIError{Class: "java.time.format.DateTimeParseException", Message: "Text cannot be parsed to a Duration" + why}
	}
	m := duration.FindStringSubmatch(s)
	if m == nil || strings.EqualFold(m[3], "T") || m[2] == "" && m[4] == "" && m[5] == "" && m[6] == "" {
		return fail("")
	}
	total := int64(0)
	for i, unit := range map[int]int64{2: 86_400_000, 4: 3_600_000, 5: 60_000, 6: 1000} {
		if m[i] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i], 10, 64)
		if err != nil || n > largest/unit || n < -largest/unit {
			return fail(": overflow")
		}
		total += n * unit
	}
	if m[7] != "" {
		f, err := strconv.ParseInt((m[7] + "00")[:3], 10, 64)
		if err != nil {
			return fail("")
		}
		if strings.HasPrefix(m[6], "-") {
			f = -f
		}
		total += f
	}
	if m[1] == "-" {
		total = -total
	}
	return total, nil
}
