package scripts

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gregor/integration/peer"
)

// block is a fenced block of a page: commands, and what they print where the page says so.
type block struct {
	line         int
	script, want string
	checked      bool
}

// TestTour runs every sh block of docs/operations.md in order, in one directory, against a fresh Gregor. An output block is what the
// block before it prints on standard output and error. Blocks of other languages are not run.
func TestTour(t *testing.T) {
	root, err := peer.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	at := onGregor(t, t.Context(), 1)
	dir := t.TempDir()
	for _, name := range []string{"bin", "scripts", "config"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := logDir(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("127.0.0.1:9092", at.broker, "127.0.0.1:2181", at.zookeeper, "./data/kafka-logs", logs)
	back := strings.NewReplacer(at.broker, "127.0.0.1:9092", at.zookeeper, "127.0.0.1:2181", logs, "./data/kafka-logs")
	found := blocks(string(page))
	if len(found) < 5 {
		t.Fatalf("%d blocks in the page", len(found))
	}
	for _, b := range found {
		cmd := exec.CommandContext(t.Context(), "bash", "-eu", "-o", "pipefail", "-c", here.Replace(b.script))
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("line %d: %v\n%s\n%s", b.line, err, b.script, out)
		}
		if got := back.Replace(string(bytes.TrimSpace(out))); b.checked && got != strings.TrimSpace(b.want) {
			t.Errorf("line %d:\n%s\nprints\n%s\nthe page says\n%s", b.line, b.script, got, b.want)
		}
	}
}

// logDir is where the place's broker keeps its logs: beside its configuration.
func logDir(ctx context.Context, at *place) (string, error) {
	r, err := command(ctx, nil, at.bin, "kafka-log-dirs", "--bootstrap-server", at.broker, "--describe")
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(r.out, `"logDir":"`)
	dir, _, _ := strings.Cut(rest, `"`)
	return dir, nil
}

func blocks(page string) []block {
	var out []block
	var text *string
	number := 0
	for line := range strings.Lines(page) {
		number++
		switch fence := strings.TrimSpace(line); {
		case text == nil && fence == "```sh":
			out = append(out, block{line: number})
			text = &out[len(out)-1].script
		case text == nil && fence == "```output" && len(out) > 0:
			out[len(out)-1].checked = true
			text = &out[len(out)-1].want
		case text == nil && strings.HasPrefix(fence, "```"):
			text = new(string)
		case fence == "```":
			text = nil
		case text != nil:
			*text += line
		}
	}
	return out
}
