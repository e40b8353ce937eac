package props

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"gregor/broker/config"
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

// FuzzParse: the tools and the broker read the same file alike.
func FuzzParse(f *testing.F) {
	f.Add("a=b\nc : d\\\n  e\n#x\n\\u0041\\=b=1\n\\")
	f.Add("k\\")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.HasPrefix(text, "\ufeff") {
			return // only the broker's reader takes Latin-1 and a mark
		}
		got, err := Parse(text)
		want, werr := config.ParseProperties(text)
		if (err == nil) != (werr == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q, %v; the broker reads %q, %v", got, err, want, werr)
		}
	})
}
