package handlers

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A client id or group.instance.id may be as long as a string can be; the member id made of it has to fit too, and stays text.
func TestAMemberIDFitsIntoAString(t *testing.T) {
	for _, prefix := range []string{"", "c", strings.Repeat("c", math.MaxInt16-37), strings.Repeat("c", math.MaxInt16), strings.Repeat("é", math.MaxInt16/2),
		"c" + strings.Repeat("é", math.MaxInt16/2)} {
		id := newMemberID(prefix)
		rest := strings.TrimPrefix(id, prefix)
		if len(id) > math.MaxInt16 || !utf8.ValidString(id) || len(prefix) <= math.MaxInt16-37 && len(rest) != 37 || len(prefix) > math.MaxInt16-37 && len(id) < math.MaxInt16-1 {
			t.Errorf("a prefix of %d bytes: an id of %d", len(prefix), len(id))
		}
	}
}

// Of a partition that is named again the last mention counts, at the place of the first.
func TestEachPartitionOnce(t *testing.T) {
	type topic struct {
		name  string
		parts []int32
	}
	for in, want := range map[*[]topic]string{
		{}:                              "[]",
		{{"a", []int32{1}}}:             "[{a [1]}]",
		{{"a", []int32{1, 2}}}:          "[{a [1 2]}]",
		{{"a", nil}, {"b", []int32{3}}}: "[{b [3]}]",
		{{"a", []int32{1, 101, 2}}, {"b", []int32{1}}, {"a", []int32{202, 3}}}: "[{a [101 202 3]} {b [1]}]",
	} {
		got := once(*in, func(t *topic) (string, *[]int32) { return t.name, &t.parts }, func(p *int32) int32 { return *p % 100 })
		if fmt.Sprint(got) != want {
			t.Errorf("%v: %v, want %s", *in, got, want)
		}
	}
}

// An answer that quotes a name as long as names can be must still be one that can be read.
func TestAMessageFitsIntoAString(t *testing.T) {
	for text, want := range map[string]int{"short": 5, strings.Repeat("é", math.MaxInt16): math.MaxInt16 - 1} {
		if _, got := failure(kerr.InvalidTopicException, text).get(); len(*got) != want || !utf8.ValidString(*got) {
			t.Errorf("%d bytes of %d, want %d", len(*got), len(text), want)
		}
	}
}
