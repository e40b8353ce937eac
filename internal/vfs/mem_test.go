package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func write(t *testing.T, fsys FS, name, data string, off int64, sync bool) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(data), off); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}

func content(t *testing.T, fsys FS, name string) string {
	t.Helper()
	b, err := ReadFile(fsys, name, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return "(missing)"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The same operations must have the same outcome on the operating system's files and on Mem.
func TestMemBehavesLikeOS(t *testing.T) {
	for name, fsys := range map[string]FS{"os": OS, "mem": NewMem()} {
		dir := t.TempDir()
		if err := fsys.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
			t.Fatal(err)
		}
		p := func(s string) string { return filepath.Join(dir, s) }
		want := func(what string, err, target error) {
			t.Helper()
			if !errors.Is(err, target) {
				t.Errorf("%s: %s: %v, want %v", name, what, err, target)
			}
		}
		want("mkdir twice", fsys.Mkdir(p("a"), 0o755), fs.ErrExist)
		want("mkdir without parent", fsys.Mkdir(p("x/y"), 0o755), fs.ErrNotExist)
		_, err := fsys.OpenFile(p("a/f"), os.O_RDWR, 0)
		want("open missing", err, fs.ErrNotExist)
		write(t, fsys, p("a/f"), "hello", 3, false)
		if got := content(t, fsys, p("a/f")); got != "\x00\x00\x00hello" {
			t.Errorf("%s: %q", name, got)
		}
		_, err = fsys.OpenFile(p("a/f"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		want("exclusive create", err, fs.ErrExist)
		_, err = fsys.OpenFile(p("a/f/g"), os.O_RDWR, 0)
		want("file as directory", err, syscall.ENOTDIR)
		want("remove full dir", fsys.Remove(p("a")), syscall.ENOTEMPTY)
		want("remove missing", fsys.Remove(p("zz")), fs.ErrNotExist)
		want("remove all missing", fsys.RemoveAll(p("zz/y")), nil)
		f, err := fsys.OpenFile(p("a/f"), os.O_RDWR, 0)
		want("open", err, nil)
		want("rename over", fsys.Rename(p("a/f"), p("a/g")), nil)
		write(t, fsys, p("a/h"), "new", 0, false)
		want("rename over open file", fsys.Rename(p("a/h"), p("a/g")), nil)
		b := make([]byte, 5)
		if _, err := f.ReadAt(b, 3); err != nil || string(b) != "hello" {
			t.Errorf("%s: replaced file reads %q, %v", name, b, err)
		}
		want("close", f.Close(), nil)
		want("close twice", f.Close(), fs.ErrClosed)
		want("rename into itself", fsys.Rename(p("a"), p("a/b/c")), syscall.EINVAL)
		list, err := fsys.ReadDir(p("a"))
		if err != nil || len(list) != 2 || list[0].Name() != "b" || !list[0].IsDir() || list[1].Name() != "g" || list[1].IsDir() {
			t.Errorf("%s: %v %v", name, list, err)
		}
		if st, err := fsys.Stat(p("a/g")); err != nil || st.Size() != 3 || st.IsDir() {
			t.Errorf("%s: %v %v", name, st, err)
		}
		l, err := fsys.Lock(p(".lock"))
		want("lock", err, nil)
		_, err = fsys.Lock(p(".lock"))
		want("lock twice", err, ErrLocked)
		want("unlock", l.Close(), nil)
		l, err = fsys.Lock(p(".lock"))
		want("lock again", err, nil)
		l.Close()
		want("remove all", fsys.RemoveAll(p("a")), nil)
		_, err = fsys.Stat(p("a"))
		want("stat removed", err, fs.ErrNotExist)
	}
}

func TestCrashCloneForgetsWhatWasNotSynced(t *testing.T) {
	m := NewMem()
	m.MkdirAll("/d", 0o755)
	m.SyncDir("/")
	write(t, m, "/d/kept", "synced", 0, true)
	m.SyncDir("/d")
	write(t, m, "/d/kept", "+lost", 6, false)
	write(t, m, "/d/overwritten", "old", 0, true)
	write(t, m, "/d/nameless", "synced data, unsynced name", 0, true)
	c := m.CrashClone()
	if got := content(t, c, "/d/kept"); got != "synced" {
		t.Errorf("kept: %q", got)
	}
	if got := content(t, c, "/d/nameless"); got != "(missing)" {
		t.Errorf("nameless: %q", got)
	}
	if got := content(t, m, "/d/kept"); got != "synced+lost" {
		t.Errorf("the original was changed: %q", got)
	}
	m.SyncDir("/d")
	write(t, m, "/d/overwritten", "new", 0, false)
	if err := m.Rename("/d/kept", "/d/moved"); err != nil {
		t.Fatal(err)
	}
	c = m.CrashClone()
	for name, want := range map[string]string{"/d/kept": "synced", "/d/moved": "(missing)", "/d/overwritten": "old"} {
		if got := content(t, c, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	m.SyncDir("/d")
	if c = m.CrashClone(); content(t, c, "/d/moved") != "synced" || content(t, c, "/d/kept") != "(missing)" {
		t.Error("synced rename was lost")
	}
}

func TestMemFillsUp(t *testing.T) {
	m := NewMem()
	m.SetCapacity(10)
	f, _ := m.OpenFile("/f", os.O_RDWR|os.O_CREATE, 0o644)
	n, err := f.WriteAt([]byte("0123456789abc"), 0)
	if n != 10 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%d %v", n, err)
	}
	if free, total, _ := m.Free("/"); free != 0 || total != 10 {
		t.Errorf("%d %d", free, total)
	}
	m.Remove("/f")
	write(t, m, "/g", "fits", 0, false)
}

func TestFault(t *testing.T) {
	boom := errors.New("boom")
	var fail Op
	fsys := NewFault(NewMem(), func(op Op, name string) error {
		if op == fail {
			return boom
		}
		if op == OpWrite && fail == "short" {
			return ErrShortWrite
		}
		return nil
	})
	write(t, fsys, "/f", "abcd", 0, true)
	f, _ := fsys.OpenFile("/f", os.O_RDWR, 0)
	fail = OpSync
	if err := f.Sync(); err != boom {
		t.Error(err)
	}
	fail = "short"
	if n, err := f.WriteAt([]byte("wxyz"), 4); n != 2 || err != ErrShortWrite {
		t.Error(n, err)
	}
	fail = OpRead
	if _, err := f.ReadAt(make([]byte, 1), 0); err != boom {
		t.Error(err)
	}
	fail = ""
	if got := content(t, fsys, "/f"); got != "abcdwx" {
		t.Errorf("%q", got)
	}
}

// A process that dies loses nothing that it wrote; a power cut after that loses what nobody has synced.
func TestCloneKeepsWhatIsNotSyncedAndForgetsLocks(t *testing.T) {
	m := NewMem()
	write(t, m, "/synced", "abc", 0, true)
	write(t, m, "/synced", "XYZ", 3, false)
	if err := m.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	write(t, m, "/new", "new", 0, false)
	if _, err := m.Lock("/lock"); err != nil {
		t.Fatal(err)
	}
	c := m.Clone()
	write(t, m, "/new", "old", 0, true) // the original goes on by itself
	if a, b := content(t, c, "/synced"), content(t, c, "/new"); a != "abcXYZ" || b != "new" {
		t.Errorf("after a kill: %q, %q", a, b)
	}
	if _, err := c.Lock("/lock"); err != nil {
		t.Errorf("a dead process holds a lock: %v", err)
	}
	if free, total, _ := c.Free("/"); total-free != 9 {
		t.Errorf("%d bytes are in use, 9 were written", total-free)
	}
	c = c.CrashClone()
	if a, b := content(t, c, "/synced"), content(t, c, "/new"); a != "abc" || b != "(missing)" {
		t.Errorf("after a power cut: %q, %q", a, b)
	}
}
