package consoleproducer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/twmb/franz-go/pkg/kgo"
)

func readLines(t *testing.T, r io.Reader) []string {
	t.Helper()
	l := &lineReader{r: r, idle: func() {}}
	var out []string
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(line))
	}
}

func TestLinesEndAsForJavasReadLine(t *testing.T) {
	for in, want := range map[string][]string{
		"":               nil,
		"a":              {"a"},
		"a\n":            {"a"},
		"\n\n":           {"", ""},
		"a\r\nb\rc\n":    {"a", "b", "c"},
		"a\r":            {"a"},
		"\r\n\r":         {"", ""},
		"a\r\rb":         {"a", "", "b"},
		"\xff\x00\xfe\n": {"\xff\x00\xfe"},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "byte by byte": iotest.OneByteReader(strings.NewReader(in))} {
			if got := readLines(t, r); !reflect.DeepEqual(got, want) {
				t.Errorf("%q %s: %q, want %q", in, name, got, want)
			}
		}
	}
}

func TestLongLinesAndBlockBorders(t *testing.T) {
	var in bytes.Buffer
	var want []string
	for _, n := range []int{blockSize - 1, blockSize, blockSize + 1, 1_000_000, 0, 3 * blockSize, 1} {
		line := strings.Repeat("x", n)
		want = append(want, line)
		in.WriteString(line + "\n")
	}
	if got := readLines(t, &in); !reflect.DeepEqual(got, want) {
		t.Errorf("%d lines came back changed", len(got))
	}
}

func TestLinesStayWhenTheReaderGoesOn(t *testing.T) {
	l := &lineReader{r: iotest.HalfReader(strings.NewReader(strings.Repeat("0123456789\n", 100000))), idle: func() {}}
	var kept [][]byte
	for {
		line, err := l.next()
		if err != nil {
			break
		}
		kept = append(kept, line)
	}
	for i, line := range kept {
		if string(line) != "0123456789" {
			t.Fatalf("line %d became %q", i, line)
		}
	}
	if len(kept) != 100000 {
		t.Errorf("%d lines", len(kept))
	}
}

// The values of Java's Utils.murmur2.
func TestKeysGoWhereJavaSendsThem(t *testing.T) {
	const partitions = 1_000_003
	p := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got, want := p.Partition(&kgo.Record{Key: []byte(key)}, partitions), int(hash&0x7fffffff)%partitions; got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}

func parseArgs(args ...string) (*settings, error) {
	o, err := newParser().Parse(args)
	if err != nil {
		return nil, err
	}
	return parse(o)
}

func TestFlagsWinOverPropertiesOnlyWhenGiven(t *testing.T) {
	s, err := parseArgs("--bootstrap-server", "a:1", "--topic", "t", "--producer-property", "acks=all", "--producer-property", "linger.ms=5", "--timeout", "7")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"acks": "all", "linger.ms": "7", "buffer.memory": "33554432", "request.timeout.ms": "1500"} {
		if got := s.cfg.Props[key]; got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
}

func TestBadCommandLinesAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--topic t":                 "Missing required option(s) [bootstrap-server]",
		"--broker-list a:1":         `Missing required argument "[topic]"`,
		"--broker-list a --topic t": "Please provide valid host:port like host1:9091,host2:9092\n ",
		"--broker-list a:1 --topic t --compression-codec zip":                      "Failed to construct kafka producer\nCaused by: java.lang.IllegalArgumentException: Unknown compression name: zip",
		"--broker-list a:1 --topic t --producer-property enable.idempotence=true":  "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence.",
		"--broker-list a:1 --topic t --producer-property delivery.timeout.ms=soon": "Invalid value soon for configuration delivery.timeout.ms: Not a number of type LONG",
		"--broker-list a:1 --topic t --line-reader my.Reader":                      "my.Reader",
		"--broker-list a:1 --topic t --request-required-acks 2":                    "Invalid value 2 for configuration acks: String must be one of: all, -1, 0, 1",
	} {
		if _, err := parseArgs(strings.Fields(args)...); fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestCodecWithoutNameIsGzip(t *testing.T) {
	s, err := parseArgs("--broker-list", "a:1", "--compression-codec", "--topic", "t")
	if err != nil || s.cfg.Props["compression.type"] != "gzip" {
		t.Errorf("%v, %v", s, err)
	}
}

func TestRecordsSplitKeysAtTheFirstSeparator(t *testing.T) {
	p := &producer{settings: &settings{parseKey: true, separator: []byte("::")}, lineNo: 3}
	for _, c := range []struct{ line, key, value string }{{"k::v::w", "k", "v::w"}, {"::v", "", "v"}, {"k::", "k", ""}} {
		r, err := p.record([]byte(c.line))
		if err != nil || r.Key == nil || string(r.Key) != c.key || r.Value == nil || string(r.Value) != c.value {
			t.Errorf("%s: %q %q %v", c.line, r.Key, r.Value, err)
		}
	}
	if _, err := p.record([]byte("none")); fmt.Sprint(err) != "No key found on line 3: none" {
		t.Error(err)
	}
	p.ignoreErr = true
	if r, err := p.record([]byte("none")); err != nil || r.Key != nil || string(r.Value) != "none" {
		t.Errorf("%v %v", r, err)
	}
}

func BenchmarkLines(b *testing.B) {
	data := bytes.Repeat([]byte(strings.Repeat("x", 99)+"\n"), 10000)
	p := &producer{settings: &settings{}}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		l := &lineReader{r: bytes.NewReader(data), idle: func() {}}
		for {
			line, err := l.next()
			if err != nil {
				break
			}
			if _, err := p.record(line); err != nil {
				b.Fatal(err)
			}
		}
	}
}
