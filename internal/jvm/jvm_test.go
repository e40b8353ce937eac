package jvm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestStringsAreQuotedAsJacksonDoes(t *testing.T) {
	if got := string(AppendJSON(nil, "a\"\\/<é\u2028\x01\x1f\n\t\b\f\r")); got != `"a\"\\/<é`+"\u2028"+`\u0001\u001F\n\t\b\f\r"` {
		t.Errorf("got %s", got)
	}
}

// What jshell printed for these strings.
func TestStringHashIsJavas(t *testing.T) {
	for s, want := range map[string]int32{"": 0, "golden": -1240337143, "Grégor": 2144994956, "a😀": 1866116} {
		if got := StringHash(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

// What scala.collection.mutable.HashMap printed after these keys were added in order.
func TestScalaOrderIsThatOfItsHashMap(t *testing.T) {
	for n, want := range map[int]string{
		11: "296 111 222 370 185 0 37 333 148 259 74",
		12: "296 111 222 370 185 37 74 407 0 333 148 259",
		40: "222 481 185 1258 37 1036 1332 1110 1295 74 1073 814 518 777 999 333 851 555 259 296 111 1406 370 592 1369 1147 1443 1221 1184 " +
			"407 925 629 0 888 703 740 444 148 962 666",
	} {
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprintf("member-%d", i*37)
		}
		ScalaOrder(keys, StringHash)
		if got := strings.ReplaceAll(strings.Join(keys, " "), "member-", ""); got != want {
			t.Errorf("%d keys: %s, want %s", n, got, want)
		}
	}
}

// What Scala 2.13.3 prints for Set(1, 2, 3, 4) and Set(1, 2, 3, 4, 5).
func TestImmutableSetsAreOrderedAsScalasAre(t *testing.T) {
	id := func(n int32) int32 { return n }
	if got := ScalaSet([]int32{4, 2, 4, 3}, id); !slices.Equal(got, []int32{4, 2, 3}) {
		t.Error(got)
	}
	if got := ScalaSet([]int32{1, 2, 3, 4, 5}, id); !slices.Equal(got, []int32{5, 1, 2, 3, 4}) {
		t.Error(got)
	}
	if got := ScalaDuplicates([]int32{1, 2, 1, 3, 2}, id); !slices.Equal(got, []int32{1, 2}) {
		t.Error(got)
	}
}
