package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gregor/internal/properties"
	"gregor/internal/vfs"
)

// Meta is the content of meta.properties.
type Meta struct {
	BrokerID  int32
	ClusterID string // "" if the file has none
}

// ReadMeta reads meta.properties; found is false if there is none. A leftover temporary file is removed.
func ReadMeta(fsys vfs.FS, name string) (meta Meta, found bool, err error) {
	if err := fsys.Remove(name + tmpSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return meta, false, fmt.Errorf("removing a temporary file: %w", err)
	}
	b, err := vfs.ReadFile(fsys, name, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return meta, false, nil
	}
	if err != nil {
		return meta, false, fmt.Errorf("reading %s: %w", name, err)
	}
	props, err := properties.Parse(string(b))
	if err != nil {
		return meta, false, fmt.Errorf("%s: %w", name, err)
	}
	number := func(key string) (int32, error) {
		v, ok := props[key]
		if !ok {
			return 0, fmt.Errorf("%s: missing required property %q", name, key)
		}
		n, ok := parseInt(strings.TrimSpace(v), 32)
		if !ok || n < 0 {
			return 0, fmt.Errorf("%s: %s has value %q, allowed are whole numbers from 0 to 2147483647", name, key, v)
		}
		return int32(n), nil
	}
	v, err := number("version")
	if err != nil {
		return meta, false, err
	}
	if v != version {
		return meta, false, fmt.Errorf("%s: unrecognized version %d, known is 0", name, v)
	}
	if meta.BrokerID, err = number("broker.id"); err != nil {
		return meta, false, err
	}
	meta.ClusterID = strings.TrimSpace(props["cluster.id"])
	return meta, true, nil
}

// WriteMeta replaces meta.properties. The date is a comment, in now's time zone; the order of the keys is that of Java's hash table.
func WriteMeta(fsys vfs.FS, name string, meta Meta, now time.Time) error {
	b := append([]byte("#\n#"), now.Format("Mon Jan 02 15:04:05 MST 2006")...)
	b = append(b, "\nbroker.id="...)
	b = strconv.AppendInt(b, int64(meta.BrokerID), 10)
	b = append(b, "\nversion=0\n"...)
	if meta.ClusterID != "" {
		b = append(b, "cluster.id="...)
		b = appendEscaped(b, meta.ClusterID)
		b = append(b, '\n')
	}
	return WriteAtomic(fsys, name, b)
}

// appendEscaped writes a value as Properties.store does.
func appendEscaped(dst []byte, s string) []byte {
	for i, r := range s {
		switch {
		case r == ' ' && i == 0:
			dst = append(dst, `\ `...)
		case strings.ContainsRune(`=:#!\`, r):
			dst = append(dst, '\\', byte(r))
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r < 0x20 || r > 0x7e:
			dst = fmt.Appendf(dst, `\u%04X`, r&0xffff)
		default:
			dst = append(dst, byte(r))
		}
	}
	return dst
}

// WriteCleanShutdown marks dir as cleanly closed.
func WriteCleanShutdown(fsys vfs.FS, dir string) error {
	f, err := fsys.OpenFile(filepath.Join(dir, CleanShutdownFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// TakeCleanShutdown reports the mark and removes it, durably: call it before any log is loaded, or a crash while loading would
// pass for a clean shutdown.
func TakeCleanShutdown(fsys vfs.FS, dir string) (bool, error) {
	err := fsys.Remove(filepath.Join(dir, CleanShutdownFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, fsys.SyncDir(dir)
}
