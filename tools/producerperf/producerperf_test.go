package producerperf

import (
	"bufio"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What java.util.Random(0) gave.
func TestPayloadsAreJavasRandomLetters(t *testing.T) {
	var p payloads
	p.make(10)
	if got := string(p.next()); got != "SSXVNJHPDQ" {
		t.Error(got)
	}
}

func TestTheLastLineHasKafkasColumns(t *testing.T) {
	var b strings.Builder
	out := bufio.NewWriter(&b)
	s := newStats(2, out)
	s.record(0, time.Now(), 100)
	s.record(1, time.Now(), 100)
	s.total()
	out.Flush() // memory
	line := regexp.MustCompile(`^2 records sent, \d+\.\d{6} records/sec \(\d+\.\d\d MB/sec\), \d+\.\d\d ms avg latency, \d+\.\d\d ms max latency, \d+ ms 50th, \d+ ms 95th, \d+ ms 99th, \d+ ms 99\.9th\.\n$`)
	if !line.MatchString(b.String()) {
		t.Errorf("%q", b.String())
	}
}
