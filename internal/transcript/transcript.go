// Package transcript runs the stories under a package's testdata: text files in which a line is a command to a state machine, and what
// follows from it stands below, indented by four spaces. A test tells each story anew, and compares.
//
// Owns: the flag -rewrite, which has the files written instead. Guarded by: nothing, tests of one goroutine. Holds always: lines that begin
// with # and empty ones are no commands. Imports: the standard library. Kafka's counterpart: none.
package transcript

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts of testdata")

// Story is a state machine that a transcript is told to: Do executes a command, given as its words, and prints what follows with said, which
// indents each line.
type Story interface {
	Do(words []string, said func(format string, args ...any))
}

// Run tells each file of testdata that ends in .txt to a new story.
func Run(t *testing.T, begin func(t *testing.T) Story) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts in testdata: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(begin(t), string(data))
			if *rewrite {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(data) {
				t.Errorf("the story is now (go test with -rewrite writes it):\n%s", got)
			}
		})
	}
}

func tell(s Story, script string) string {
	var out strings.Builder
	said := func(format string, args ...any) { fmt.Fprintf(&out, "    "+format+"\n", args...) }
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue
		}
		fmt.Fprintln(&out, line)
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(line, "#") {
			s.Do(words, said)
		}
	}
	return out.String()
}
