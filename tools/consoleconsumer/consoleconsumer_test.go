package consoleconsumer

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/cli"
)

func printed(t *testing.T, r *kgo.Record, class string, props ...string) string {
	t.Helper()
	f, err := newFormatter(class, cli.KeyValues(props))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	if err := f.write(w, r); err != nil {
		return "error: " + err.Error()
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDefaultFormatter(t *testing.T) {
	r := &kgo.Record{Topic: "t", Partition: 3, Offset: 7, Timestamp: time.UnixMilli(1234), Key: []byte("k\xff"), Value: []byte("v"),
		Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "n"}}}
	all := []string{"print.key=true", "print.timestamp=true", "print.offset=TRUE ", "print.partition=true", "print.headers=true"}
	for _, c := range []struct {
		props []string
		want  string
	}{
		{nil, "v\n"},
		{all, "CreateTime:1234\tPartition:3\tOffset:7\th:1,n:null\tk\xff\tv\n"},
		{append(all, "key.separator=|", "line.separator=;", "headers.separator=&", "null.literal=-"), "CreateTime:1234|Partition:3|Offset:7|h:1&n:-|k\xff|v;"},
		{[]string{"print.value=false", "print.key=true"}, "k\xff\n"},
		{[]string{"print.value=false"}, ""},
		{[]string{"key.deserializer=org.apache.kafka.common.serialization.StringDeserializer", "print.key=true"}, "k\uFFFD\tv\n"},
		{[]string{"value.deserializer=org.apache.kafka.common.serialization.LongDeserializer"}, "error: Size of data received by LongDeserializer is not 8"},
	} {
		if got := printed(t, r, defaultFormatter, c.props...); got != c.want {
			t.Errorf("%v: %q, want %q", c.props, got, c.want)
		}
	}
	if got := printed(t, &kgo.Record{Value: nil}, defaultFormatter, "print.key=true", "print.headers=true"); got != "NO_HEADERS\tnull\tnull\n" {
		t.Errorf("nulls: %q", got)
	}
	if got := printed(t, r, "kafka.tools.NoOpMessageFormatter"); got != "" {
		t.Errorf("no-op: %q", got)
	}
	if got := printed(t, r, "kafka.tools.ChecksumMessageFormatter", "topic=t"); got != "t:checksum:0\n" {
		t.Errorf("checksum: %q", got)
	}
}

func TestNumbersReadAsInJava(t *testing.T) {
	for in, want := range map[float64]string{0: "0.0", 1: "1.0", -2.5: "-2.5", 1e7: "1.0E7", 0.001: "0.001", 0.0001: "1.0E-4", 123456789.5: "1.234567895E8"} {
		if got := string(appendFloat(nil, in, 64)); got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
	for class, in := range map[string]string{"ShortDeserializer": "\xff\xfe", "IntegerDeserializer": "\xff\xff\xff\xfe", "LongDeserializer": "\xff\xff\xff\xff\xff\xff\xff\xfe"} {
		d, err := newDeserializer(serialization + class)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d(nil, []byte(in)); err != nil || string(got) != "-2" {
			t.Errorf("%s: %s %v", class, got, err)
		}
	}
}

func TestBadCommandLinesAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--bootstrap-server a:1":                             "Exactly one of whitelist/topic is required.",
		"--bootstrap-server a:1 --topic t --whitelist t":     "Exactly one of whitelist/topic is required.",
		"--bootstrap-server a:1 --whitelist t --partition 0": "The topic is required when partition is specified.",
		"--bootstrap-server a:1 --topic t --offset 3":        "The partition is required when offset is specified.",
		"--topic t": `Missing required argument "[bootstrap-server]"`,
		"--bootstrap-server a:1 --topic t --partition 0 --offset -3":                                     "The provided offset value '-3' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.",
		"--bootstrap-server a:1 --topic t --partition 0 --offset 1 --from-beginning":                     "Options from-beginning and offset cannot be specified together.",
		"--bootstrap-server a:1 --topic t --partition 0 --group g":                                       "Options group and partition cannot be specified together.",
		"--bootstrap-server a:1 --topic t --group g --consumer-property group.id=h":                      "The group ids provided in different places (directly using '--group', via '--consumer-property', or via '--consumer.config') do not match. Detected group ids: 'g', 'h'",
		"--bootstrap-server a:1 --topic t --from-beginning --consumer-property auto.offset.reset=latest": "Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest', please remove one option",
		"--bootstrap-server a:1 --topic t --formatter my.Formatter":                                      "my.Formatter",
		"--bootstrap-server a:1 --topic t --isolation-level dirty":                                       "Invalid value dirty for configuration isolation.level: String must be one of: read_committed, read_uncommitted",
	} {
		o, err := newParser().Parse(strings.Fields(args))
		if err == nil {
			var s *settings
			if s, err = parse(o); err == nil {
				_, err = s.cfg.NewConsumer(s.what)
			}
		}
		if fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}
