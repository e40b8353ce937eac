package dumplog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each file of testdata is a command line and what Apache Kafka 2.7.2's class answered to it, without stack traces. What an uncaught
// exception says after its class may differ: there only the class counts.
func TestTranscripts(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			args, want, _ := strings.Cut(string(b), "\n")
			var out, errs bytes.Buffer
			code := Main(strings.Fields(args), nil, &out, &errs)
			got := fmt.Sprintf("exit %d\n--- stdout\n%s--- stderr\n%s", code, &out, strings.ReplaceAll(errs.String(), here, "{here}"))
			compare(t, classesOnly(got), classesOnly(want))
		})
	}
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("line %d:\ngot  %.400s\nwant %.400s", i+1, g[i], w[i])
		}
	}
	t.Fatalf("%d lines, want %d", len(g), len(w))
}

func classesOnly(s string) string {
	const mark = `Exception in thread "main" `
	at := strings.Index(s, mark)
	if at < 0 {
		return s
	}
	class, _, _ := strings.Cut(s[at+len(mark):], ":")
	return s[:at+len(mark)] + strings.TrimSpace(class)
}

func TestCommandLines(t *testing.T) {
	for args, want := range map[string]string{
		"":                    "This tool helps to parse a log file and dump its contents to the console",
		"--help":              "This tool helps to parse a log file and dump its contents to the console",
		"--deep-iteration":    `Missing required argument "[files]"`,
		"--files a.log --foo": "joptsimple.UnrecognizedOptionException: foo is not a recognized option",
		"--files a.log --value-decoder-class my.Decoder": "java.lang.ClassNotFoundException: my.Decoder",
	} {
		var out, errs bytes.Buffer
		if code := Main(strings.Fields(args), nil, &out, &errs); code != 1 || out.Len() > 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("%q: code %d, stdout %q, stderr %q", args, code, &out, &errs)
		}
	}
}
