package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gregor/internal/vfs"
)

// Names of the files in a log directory.
const (
	RecoveryPointFile = "recovery-point-offset-checkpoint"
	LogStartFile      = "log-start-offset-checkpoint"
	HighWatermarkFile = "replication-offset-checkpoint"
	CleanerFile       = "cleaner-offset-checkpoint"
	MetaFile          = "meta.properties"
	CleanShutdownFile = ".kafka_cleanshutdown"
)

const (
	tmpSuffix = ".tmp"
	version   = 0

	// maxFile is what a checkpoint may hold before it is taken for garbage: some million partitions.
	maxFile = 512 << 20
)

// Offset is one line of an offset checkpoint.
type Offset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Pair is one line of a leader-epoch checkpoint.
type Pair struct {
	Epoch  int32
	Offset int64
}

// MalformedError says which line of which file is not what a checkpoint holds.
type MalformedError struct {
	File, Line, Reason string
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("malformed checkpoint file %s: %s (line %q)", e.File, e.Reason, e.Line)
}

// WriteAtomic replaces the file by data: temporary file beside it (".tmp"), sync, rename, directory sync.
func WriteAtomic(fsys vfs.FS, name string, data []byte) error {
	if err := replace(fsys, name, data); err != nil {
		return err
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("syncing directory of %s: %w", name, err)
	}
	return nil
}

func replace(fsys vfs.FS, name string, data []byte) error {
	tmp := name + tmpSuffix
	f, err := fsys.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("creating %s: %w", tmp, err)
	}
	if len(data) > 0 {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", tmp, err)
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return fmt.Errorf("replacing %s: %w", name, err)
	}
	return nil
}

// ReadOffsets reads an offset checkpoint; a missing or empty file has no lines.
func ReadOffsets(fsys vfs.FS, name string) ([]Offset, error) {
	var out []Offset
	err := readLines(fsys, name, 3, func(n int) { out = make([]Offset, 0, n) }, func(f []string) bool {
		p, ok1 := parseInt(f[1], 32)
		o, ok2 := parseInt(f[2], 64)
		out = append(out, Offset{f[0], int32(p), o})
		return ok1 && ok2
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// WriteOffsets replaces an offset checkpoint; the lines stand in the order given.
func WriteOffsets(fsys vfs.FS, name string, offsets []Offset) error {
	b := header(len(offsets), 40)
	for _, o := range offsets {
		b = append(b, o.Topic...)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(o.Partition), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, o.Offset, 10)
		b = append(b, '\n')
	}
	return WriteAtomic(fsys, name, b)
}

// ReadPairs reads leader-epoch-checkpoint; a missing or empty file has no lines.
func ReadPairs(fsys vfs.FS, name string) ([]Pair, error) {
	var out []Pair
	err := readLines(fsys, name, 2, func(n int) { out = make([]Pair, 0, n) }, func(f []string) bool {
		e, ok1 := parseInt(f[0], 32)
		o, ok2 := parseInt(f[1], 64)
		out = append(out, Pair{int32(e), o})
		return ok1 && ok2
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// WritePairs replaces leader-epoch-checkpoint. Unlike the others it does not sync the directory: this runs for every partition
// when leaders change, and a log's directory is synced when its segments are first flushed; what a crash loses here lies beyond the
// recovery point, from where recovery reads the epochs off the batches.
func WritePairs(fsys vfs.FS, name string, pairs []Pair) error {
	b := header(len(pairs), 16)
	for _, p := range pairs {
		b = strconv.AppendInt(b, int64(p.Epoch), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.Offset, 10)
		b = append(b, '\n')
	}
	return replace(fsys, name, b)
}

func header(n, lineSize int) []byte {
	b := make([]byte, 0, 16+n*lineSize)
	b = strconv.AppendInt(b, version, 10)
	b = append(b, '\n')
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, '\n')
}

func parseInt(s string, bits int) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, bits)
	return v, err == nil
}

// readLines checks version and count and hands over each line's fields, of which there must be exactly want.
func readLines(fsys vfs.FS, name string, want int, start func(n int), line func(fields []string) bool) error {
	b, err := vfs.ReadFile(fsys, name, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading checkpoint file %s: %w", name, err)
	}
	rest := string(b)
	next := func() (string, bool) {
		if rest == "" {
			return "", false
		}
		var l string
		l, rest, _ = strings.Cut(rest, "\n")
		return strings.TrimSuffix(l, "\r"), true
	}
	l, ok := next()
	if !ok {
		return nil
	}
	if v, isInt := parseInt(l, 32); !isInt || v != version {
		return &MalformedError{name, l, "unrecognized version, known is 0"}
	}
	if l, ok = next(); !ok {
		return nil
	}
	n, isInt := parseInt(l, 32)
	if !isInt {
		return &MalformedError{name, l, "the number of entries is no number"}
	}
	start(int(max(0, min(n, int64(len(rest)/4)))))
	seen := int64(0)
	fields := make([]string, 0, 4)
	for ; ; seen++ {
		if l, ok = next(); !ok {
			break
		}
		fields = splitFields(fields[:0], l)
		if len(fields) != want || !line(fields) {
			return &MalformedError{name, l, "not an entry"}
		}
	}
	if seen != n {
		return &MalformedError{name, "", fmt.Sprintf("expected %d entries, found %d", n, seen)}
	}
	return nil
}

// splitFields is Java's split("\\s+"): a leading blank makes an empty first field, trailing blanks make none.
func splitFields(dst []string, l string) []string {
	if l == "" || isBlank(l[0]) {
		dst = append(dst, "")
	}
	for {
		for l != "" && isBlank(l[0]) {
			l = l[1:]
		}
		if l == "" {
			return dst
		}
		i := 0
		for i < len(l) && !isBlank(l[i]) {
			i++
		}
		dst, l = append(dst, l[:i]), l[i:]
	}
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
