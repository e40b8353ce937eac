package properties

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseReadsJavasGrammar(t *testing.T) {
	got, err := Parse("# comment\n! too\n\n a = 1\nb:2\nc 3\r\nlong=x\\\n   y\nkey\\ with\\=signs=v\nu=\\u00e4\\t!\nempty=\nbare\nback=a\\\\\nlast=${a}\na=2\nopen=z\\")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "2", "b": "2", "c": "3", "long": "xy", "key with=signs": "v", "u": "ä\t!", "empty": "", "bare": "",
		"back": `a\`, "last": "${a}", "open": "z"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParseTakesUTF8AndLatin1(t *testing.T) {
	for text, want := range map[string]string{"\ufeffk=grün": "grün", "k=gr\xfcn": "grün"} {
		if got, err := Parse(text); err != nil || got["k"] != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestParseNamesTheLineOfABadEscape(t *testing.T) {
	if _, err := Parse("a=1\nb=\\u00"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v", err)
	}
}

// FuzzParse: no text makes the reader panic, and a value written without special characters comes back.
func FuzzParse(f *testing.F) {
	f.Add("a=b\nc : d\\\n  e\n#x\n\\u0041\\=b=1\n\\")
	f.Add("k\\")
	f.Add("\\u12")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Parse(text)
		again, err2 := Parse(text + "\n\nzz=last")
		if (err == nil) && err2 == nil && again["zz"] != "last" && !strings.HasSuffix(strings.TrimRight(text, "\r\n"), `\`) {
			t.Fatalf("%q: %q", text, again)
		}
	})
}
