package logging

import (
	"bytes"
	"errors"
	"regexp"
	"testing"
)

func TestKafkaLayout(t *testing.T) {
	var b bytes.Buffer
	l, err := New(&b, "kafka", "info")
	if err != nil {
		t.Fatal(err)
	}
	Named(l, "kafka.log.Log").WithField("partition", "a-0").WithError(errors.New("no space")).Warn("cannot append\nforged line")
	want := regexp.MustCompile(`^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] WARN cannot append\\u000aforged line partition=a-0: no space \(kafka\.log\.Log\)\n$`)
	if !want.MatchString(b.String()) {
		t.Errorf("line is %q", b.String())
	}
}

func TestUnknownFormatAndLevelAreRefused(t *testing.T) {
	if _, err := New(&bytes.Buffer{}, "xml", "info"); err == nil {
		t.Error("format xml was accepted")
	}
	if _, err := New(&bytes.Buffer{}, "kafka", "loud"); err == nil {
		t.Error("level loud was accepted")
	}
}
