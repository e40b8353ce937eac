package props

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseReadsJavasGrammar(t *testing.T) {
	got, err := Parse("# comment\n! too\n\n a = 1\nb:2\nc 3\r\nlong=x\\\n   y\nkey\\ with\\=signs=v\nu=\\u00e4\\t!\nempty=\nbare\nback=a\\\\\nlast=${a}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "1", "b": "2", "c": "3", "long": "xy", "key with=signs": "v", "u": "ä\t!", "empty": "", "bare": "",
		"back": `a\`, "last": "${a}"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParseNamesTheLineOfABadEscape(t *testing.T) {
	if _, err := Parse("a=1\nb=\\u00"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v", err)
	}
}
