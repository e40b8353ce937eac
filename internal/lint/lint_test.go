package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "gregor"

// source is one parsed Go file of the project.
type source struct {
	path string // relative to the module's root, slash separated
	dir  string
	test bool
	file *ast.File
}

func parseAll(t *testing.T) ([]source, *token.FileSet) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var out []source
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "data") {
				return filepath.SkipDir
			}
			// A folder with its own go.mod is another module (clients with their own dependencies).
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		out = append(out, source{path: rel, dir: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(rel, "_test.go"), file: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("found only %d Go files under %s: the walk is broken", len(out), root)
	}
	return out, fset
}

// room returns the first folder of a package path inside the module, "" for other modules.
func room(imp string) string {
	rest, ok := strings.CutPrefix(imp, module+"/")
	if !ok {
		return ""
	}
	r, _, _ := strings.Cut(rest, "/")
	return r
}

// mayImport is DESIGN.md's one direction: tools -> broker -> {controller, coordinator, replication} -> {storage, zkmeta} -> wire.
var mayImport = map[string][]string{
	"wire":        {"wire", "internal"},
	"storage":     {"storage", "wire", "internal"},
	"zkmeta":      {"zkmeta", "wire", "internal"},
	"replication": {"replication", "storage", "zkmeta", "wire", "internal"},
	"controller":  {"controller", "storage", "zkmeta", "wire", "internal"},
	"coordinator": {"coordinator", "storage", "zkmeta", "wire", "internal"},
	"broker":      {"broker", "controller", "coordinator", "replication", "storage", "zkmeta", "wire", "internal"},
	"gregortest":  {"broker", "internal"},
	"internal":    {"internal"},
	"tools":       {"tools", "zkmeta", "wire", "internal"},
}

// toolsMayImport lists the commands that reach further than the wire and ZooKeeper.
var toolsMayImport = map[string][]string{
	"tools/configs": {"broker"}, // what may be set, and how passwords are encrypted
	"tools/dumplog": {"storage"},
	"tools/gregor":  {"broker", "storage"},
	"tools/perf":    {"broker", "storage", "integration"},
	"tools/topics":  {"broker"}, // what may be set
}

func TestImportsRunOneWay(t *testing.T) {
	files, _ := parseAll(t)
	for _, s := range files {
		from, _, _ := strings.Cut(s.dir, "/")
		allowed, known := mayImport[from]
		if !known || s.test {
			continue
		}
		for _, spec := range s.file.Imports {
			imp, _ := strconv.Unquote(spec.Path.Value)
			to := room(imp)
			if to == "" || contains(allowed, to) {
				continue
			}
			if from == "tools" && contains(toolsMayImport[twoFolders(s.dir)], to) {
				continue
			}
			t.Errorf("%s imports %s: %s may import only %v", s.path, imp, from, allowed)
		}
	}
}

func twoFolders(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	if len(parts) < 2 {
		return dir
	}
	return parts[0] + "/" + parts[1]
}

// pure packages decide; they have no goroutine, channel, clock, randomness, logger or metric.
var pure = []string{"controller/core", "zkmeta/zkserver/tree", "replication/isr", "coordinator/group/fsm", "coordinator/txn/fsm"}

var pureForbidden = []string{"math/rand", "math/rand/v2", "crypto/rand", "net", "os", "sync", "context", "github.com/sirupsen/logrus",
	"github.com/prometheus/client_golang/prometheus"}

func TestPurePackagesStayPure(t *testing.T) {
	files, fset := parseAll(t)
	for _, s := range files {
		if s.test || !contains(pure, s.dir) {
			continue
		}
		for _, spec := range s.file.Imports {
			imp, _ := strconv.Unquote(spec.Path.Value)
			if contains(pureForbidden, imp) {
				t.Errorf("%s imports %s, but %s only decides", s.path, imp, s.dir)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine, but %s only decides", fset.Position(n.Pos()), s.dir)
			case *ast.ChanType:
				t.Errorf("%s uses a channel, but %s only decides", fset.Position(n.Pos()), s.dir)
			case *ast.SelectorExpr:
				if isCall(n, "time", "Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Sleep", "Tick") {
					t.Errorf("%s reads a clock, but %s only decides: pass the time in", fset.Position(n.Pos()), s.dir)
				}
			}
			return true
		})
	}
}

// sleepers are test files whose subject is real time in other processes; each polls for an event it cannot be told of.
var sleepersUnder = []string{"integration", "tools/perf"}

func TestTestsDoNotSleep(t *testing.T) {
	files, fset := parseAll(t)
	for _, s := range files {
		if !s.test || underAny(s.dir, sleepersUnder) || hasBuildTag(s.file, "interop") {
			continue
		}
		usesSynctest := false
		for _, spec := range s.file.Imports {
			usesSynctest = usesSynctest || spec.Path.Value == `"testing/synctest"`
		}
		if usesSynctest {
			continue // time is simulated there
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && isCall(sel, "time", "Sleep") {
				t.Errorf("%s sleeps: wait for the event, or use testing/synctest", fset.Position(n.Pos()))
			}
			return true
		})
	}
}

// TestEveryPackageHasAComment keeps doc.go's answers where godoc finds them.
func TestEveryPackageHasAComment(t *testing.T) {
	files, _ := parseAll(t)
	documented := map[string]bool{}
	for _, s := range files {
		if s.test || strings.HasPrefix(s.dir, "integration/") {
			continue
		}
		documented[s.dir] = documented[s.dir] || s.file.Doc != nil
	}
	var missing []string
	for dir, ok := range documented {
		if !ok {
			missing = append(missing, dir)
		}
	}
	sort.Strings(missing)
	for _, dir := range missing {
		t.Errorf("package %s has no package comment", dir)
	}
}

func isCall(sel *ast.SelectorExpr, pkg string, names ...string) bool {
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg && contains(names, sel.Sel.Name)
}

func hasBuildTag(f *ast.File, tag string) bool {
	for _, g := range f.Comments {
		for _, c := range g.List {
			if strings.HasPrefix(c.Text, "//go:build ") && strings.Contains(c.Text, tag) {
				return true
			}
		}
	}
	return false
}

func underAny(dir string, roots []string) bool {
	for _, r := range roots {
		if dir == r || strings.HasPrefix(dir, r+"/") {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
