package clients

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxLine is the longest line that becomes a record: with its key it stays under the million bytes that librdkafka and Apache's
// producer send without a setting.
const MaxLine = 1_000_000

// Tree is a file tree as records: one for each line, keyed by its file's path, in order.
type Tree struct {
	files   map[string]*file
	order   []*file
	Records int
	Bytes   int64 // of keys and values
}

type file struct {
	path  string
	data  []byte // without lines longer than MaxLine
	sum   [sha256.Size]byte
	lines int
}

// ReadTree reads each .go file under dir.
func ReadTree(dir string) (*Tree, error) {
	t := &Tree{files: map[string]*file{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		t.add(filepath.ToSlash(rel), data)
		return nil
	})
	if err == nil && len(t.order) == 0 {
		err = fmt.Errorf("no .go file under %s", dir)
	}
	return t, err
}

func (t *Tree) add(path string, data []byte) {
	f := &file{path: path, data: data}
	for line := range f.eachLine {
		if len(line) > MaxLine {
			f.data = withoutLongLines(data)
			break
		}
	}
	for line := range f.eachLine {
		f.lines++
		t.Bytes += int64(len(path) + len(line))
	}
	f.sum = sha256.Sum256(f.data)
	t.Records += f.lines
	t.files[path] = f
	t.order = append(t.order, f)
}

func withoutLongLines(data []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(data) {
		if len(bytes.TrimSuffix(line, []byte{'\n'})) <= MaxLine {
			kept = append(kept, line...)
		}
	}
	return kept
}

// eachLine yields the lines without their newline. Whether the last has one is known from the original alone.
func (f *file) eachLine(yield func([]byte) bool) {
	for line := range bytes.Lines(f.data) {
		if !yield(bytes.TrimSuffix(line, []byte{'\n'})) {
			return
		}
	}
}

// Text returns the part of the tree that survives a client that reads lines of text: UTF-8 without carriage returns.
func (t *Tree) Text() *Tree {
	n := &Tree{files: map[string]*file{}}
	for _, f := range t.order {
		if utf8.Valid(f.data) && !bytes.ContainsRune(f.data, '\r') {
			n.add(f.path, f.data)
		}
	}
	return n
}

// Part returns the tree without all but each nth of its files.
func (t *Tree) Part(nth int) *Tree {
	n := &Tree{files: map[string]*file{}}
	for i, f := range t.order {
		if i%nth == 0 {
			n.add(f.path, f.data)
		}
	}
	return n
}

// Each yields the records. The files take turns, a few lines each, so that keys and partitions mix as in real input.
func (t *Tree) Each(yield func(key, value []byte) bool) {
	const together, turn = 64, 40
	type cursor struct {
		key  []byte
		rest []byte
	}
	var open []cursor
	next := 0
	for next < len(t.order) || len(open) > 0 {
		for len(open) < together && next < len(t.order) {
			open = append(open, cursor{[]byte(t.order[next].path), t.order[next].data})
			next++
		}
		for i := range open {
			c := &open[i]
			for range turn {
				if len(c.rest) == 0 {
					break
				}
				line, rest, _ := bytes.Cut(c.rest, []byte{'\n'})
				c.rest = rest
				if !yield(c.key, line) {
					return
				}
			}
		}
		open = slices.DeleteFunc(open, func(c cursor) bool { return len(c.rest) == 0 })
	}
}

// Check rebuilds a tree's files from records and compares their sums.
type Check struct {
	tree    *Tree
	built   map[string]*built
	strange []string
	Records int
}

type built struct {
	hash  hash.Hash
	lines int
}

// NewCheck begins a check of what a consumer gives out against the tree.
func NewCheck(t *Tree) *Check { return &Check{tree: t, built: map[string]*built{}} }

var newline = []byte{'\n'}

// Add takes the next record. Records of one key come in order; keys in any.
func (c *Check) Add(key, value []byte) {
	c.Records++
	b := c.built[string(key)]
	if b == nil {
		if c.tree.files[string(key)] == nil {
			if len(c.strange) < 3 {
				c.strange = append(c.strange, fmt.Sprintf("%.100q", key))
			}
			return
		}
		b = &built{hash: sha256.New()}
		c.built[string(key)] = b
	}
	if b.lines > 0 {
		b.hash.Write(newline)
	}
	b.lines++
	b.hash.Write(value)
}

// Result says whether each file came out as it went in.
func (c *Check) Result() error {
	var errs []error
	if len(c.strange) > 0 {
		errs = append(errs, fmt.Errorf("keys that no file has, first %s", strings.Join(c.strange, ", ")))
	}
	wrong := 0
	for _, f := range c.tree.order {
		b := c.built[f.path]
		if b == nil {
			if f.lines > 0 {
				wrong++
				if wrong <= 3 {
					errs = append(errs, fmt.Errorf("%s: nothing of %d lines", f.path, f.lines))
				}
			}
			continue
		}
		if f.data[len(f.data)-1] == '\n' {
			b.hash.Write(newline)
		}
		if b.lines != f.lines || [sha256.Size]byte(b.hash.Sum(nil)) != f.sum {
			wrong++
			if wrong <= 3 {
				errs = append(errs, fmt.Errorf("%s: %d lines of %d, or their bytes or order differ", f.path, b.lines, f.lines))
			}
		}
	}
	if wrong > 0 {
		errs = append(errs, fmt.Errorf("%d of %d files differ; %d records of %d", wrong, len(c.tree.order), c.Records, c.tree.Records))
	}
	return errors.Join(errs...)
}
