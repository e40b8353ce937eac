package gregortest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What README.md tells people of other modules is done: its test, in a module of its own that points at this checkout.
func TestAnotherModuleUsesItAsTheReadmeSays(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a module")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(readme), "```go\n")
	code, _, ok := strings.Cut(code, "```\n")
	if !ok || !strings.Contains(code, "gregortest.Start(") {
		t.Fatal("README.md has no example of gregortest")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"shop_test.go": code, "go.mod": "module example.com/shop\n\ngo 1.26.0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The modules that this one needs are in the cache, and their sums in its go.sum; people's go mod tidy asks a proxy for the rest.
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOWORK=off", "GOSUMDB=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("mod", "edit", "-require", "gregor@v0.0.0", "-replace", "gregor="+root)
	if out := run("test", "-v", "./..."); !strings.Contains(out, "one coffee") {
		t.Errorf("the example printed\n%s", out)
	}
}
