package dumplog

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gregor/integration/peer"
	"gregor/tools/dumplog"
)

const digests = "testdata/apache.txt"

// answer is what a call gave. Of an uncaught exception only the class counts (of a damaged file not even that: where Java stumbles
// depends on its classes), of the help only that it came.
type answer struct {
	code        int
	out, errors string
}

func (a *answer) String() string {
	return fmt.Sprintf("exit %d\n--- stdout\n%s--- stderr\n%s", a.code, a.out, a.errors)
}

// digest leaves the order of files among the findings aside: it is that of a hash table of absolute paths.
func (a *answer) digest() string {
	b := *a
	blocks := strings.Split(strings.ReplaceAll(b.errors, "\n  ", "\x00  "), "\n")
	slices.Sort(blocks)
	b.errors = strings.Join(blocks, "\n")
	return fmt.Sprintf("%x", sha256.Sum256([]byte(b.String())))[:16]
}

var (
	exception = regexp.MustCompile(`(?s)(Exception in thread "main" [\w.$]+).*`)
	log4j     = regexp.MustCompile(`(?m)^log4j:.*\n`)
	help      = regexp.MustCompile(`(?s)\nOption .*`)
)

func newAnswer(args []string, code int, out, errs, here string) *answer {
	errs = log4j.ReplaceAllString(strings.ReplaceAll(errs, here, "{here}"), "")
	if len(args) > 0 && strings.HasPrefix(args[len(args)-1], "damaged/") {
		errs = exception.ReplaceAllString(errs, "Exception\n")
	}
	return &answer{code, out, help.ReplaceAllString(exception.ReplaceAllString(errs, "$1\n"), "\n(help)\n")}
}

func gregor(args []string, here string) *answer {
	var out, errs bytes.Buffer
	code := dumplog.Main(args, nil, &out, &errs)
	return newAnswer(args, code, out.String(), errs.String(), here)
}

func start(t *testing.T) (dir string, root string) {
	t.Helper()
	root, err := peer.Root()
	must(t, err)
	dir, err = filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	dir = filepath.Join(dir, "tree")
	plant(t, filepath.Join(root, "storage", "testdata", "golden"), dir)
	return dir, root
}

// different are calls whose answers are not Apache Kafka's, and why.
var different = map[string]string{
	"--deep-iteration --files damaged/codec-snappy-random-1/" + first + ".log":              "the codec's library finds the damage later",
	"--deep-iteration --files damaged/codec-snappy-random-3/" + first + ".log":              "the codec's library refuses what the other one takes",
	"--deep-iteration --files damaged/codec-zstd-random-2/" + first + ".log":                "the codec's library finds the damage later",
	"--deep-iteration --files damaged/format-v1-random-9/" + first + ".log":                 "a message whose value ends before the message does is refused",
	"--deep-iteration --files damaged/format-v1-size-14/" + first + ".log":                  "a message too small for its format is refused",
	"--files damaged/txnindex-0/00000000000000000003.txnindex":                              "both bytes of a version count, Kafka reads the first",
	"--files damaged/txnindex-0/00000000000000000043.txnindex":                              "both bytes of a version count, Kafka reads the first",
	"--files damaged/txnindex-5/00000000000000000003.txnindex":                              "both bytes of a version count, Kafka reads the first",
	"--files damaged/txnindex-5/00000000000000000043.txnindex":                              "both bytes of a version count, Kafka reads the first",
	"--files segments-size/log/golden-1/" + first + ".log --max-message-size x":             "bad flags are refused before anything is printed",
	"--value-decoder-class my.Decoder --files segments-size/log/golden-1/" + first + ".log": "bad flags are refused before anything is printed",
}

func TestAnswersAreThoseRecordedFromApacheKafka(t *testing.T) {
	b, err := os.ReadFile(digests)
	must(t, err)
	want := map[string]string{}
	for line := range strings.Lines(string(b)) {
		digest, call, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		want[call] = digest
	}
	dir, _ := start(t)
	t.Chdir(dir)
	for _, args := range calls(t, dir) {
		call := strings.Join(args, " ")
		if got := gregor(args, dir); got.digest() != want[call] && different[call] == "" {
			t.Errorf("%q differs from what Apache Kafka 2.7.2 answered (make interop shows how): %.2000s", call, got)
		}
	}
}

func TestAnswersAreApacheKafkas(t *testing.T) {
	if os.Getenv("GREGOR_INTEROP") == "" {
		t.Skip("make interop compares with Apache Kafka 2.7.2")
	}
	dir, root := start(t)
	list := calls(t, dir)
	want := apache(t, root, dir, list)
	must(t, os.RemoveAll(dir)) // it makes index files that are missing
	plant(t, filepath.Join(root, "storage", "testdata", "golden"), dir)
	if os.Getenv("RECORD") != "" {
		var b bytes.Buffer
		for i, args := range list {
			fmt.Fprintf(&b, "%s %s\n", want[i].digest(), strings.Join(args, " "))
		}
		must(t, os.WriteFile(filepath.Join(root, "integration", "dumplog", digests), b.Bytes(), 0o644))
	}
	t.Chdir(dir)
	for i, args := range list {
		if got := gregor(args, dir); got.String() != want[i].String() && different[strings.Join(args, " ")] == "" {
			g, w := around(got.String(), want[i].String())
			t.Errorf("%q:\n%s\nwant\n%s", strings.Join(args, " "), g, w)
		}
	}
	t.Logf("%d calls compared", len(list))
}

// around cuts two texts to where they begin to differ.
func around(a, b string) (string, string) {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	i = strings.LastIndexByte(a[:i], '\n') + 1
	return fmt.Sprintf("%.600s", a[i:]), fmt.Sprintf("%.600s", b[i:])
}

// apache asks Apache's class, one JVM for all calls.
func apache(t *testing.T, root, dir string, list [][]string) []*answer {
	t.Helper()
	cp, err := peer.Classpath("kafka-2.7.2")
	must(t, err)
	var in bytes.Buffer
	for _, args := range list {
		in.WriteString(strings.Join(args, "\t") + "\n")
	}
	cmd := exec.CommandContext(t.Context(), "java", "-Xmx512m", "-Dfile.encoding=UTF-8", "-cp", cp, filepath.Join(root, "integration", "java", "DumpLog.java"))
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, &in, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("DumpLog.java: %v\n%s", err, &stderr)
	}
	var answers []*answer
	s := bufio.NewScanner(bytes.NewReader(out))
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var code int
		f := strings.Split(s.Text(), " ")
		fmt.Sscan(f[0], &code) // our own program's number
		stdout, _ := base64.StdEncoding.DecodeString(f[1])
		errs, _ := base64.StdEncoding.DecodeString(f[2])
		answers = append(answers, newAnswer(list[len(answers)], code, string(stdout), string(errs), dir))
	}
	must(t, s.Err())
	if len(answers) != len(list) {
		t.Fatalf("Apache's class gave %d answers to %d calls\n%s", len(answers), len(list), &stderr)
	}
	return answers
}
