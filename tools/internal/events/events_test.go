package events

import (
	"regexp"
	"strings"
	"testing"
)

func TestAnEventIsALineOfJSON(t *testing.T) {
	var b strings.Builder
	w := Writer{W: &b}
	w.Print("x", Field{"key", []byte(nil)}, Field{"value", []byte("a\"\xff")}, Field{"n", int64(3)}, Field{"avg", 2.0}, Field{"ok", true},
		Field{"list", Array([]Raw{Object(Field{"topic", "t"}, Field{"partition", int32(1)})})})
	got := regexp.MustCompile(`\d{13}`).ReplaceAllString(b.String(), "T")
	want := `{"timestamp":T,"name":"x","key":null,"value":"a\"` + "\uFFFD" + `","n":3,"avg":2.0,"ok":true,"list":[{"topic":"t","partition":1}]}` + "\n"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
