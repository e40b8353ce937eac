package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// OS is the operating system's file system.
var OS FS = osFS{}

type osFS struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f osFile) Sync() error {
	if err := unix.Fdatasync(int(f.File.Fd())); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

func (f osFile) allocate(off, n int64) error {
	err := unix.Fallocate(int(f.File.Fd()), 0, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}

func (f osFile) reserve(off, n int64) error {
	return unix.Fallocate(int(f.File.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func (f osFile) Fd() (uintptr, bool) { return f.File.Fd(), true }

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Mkdir(name string, perm fs.FileMode) error    { return os.Mkdir(name, perm) }
func (osFS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }
func (osFS) Remove(name string) error                     { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                  { return os.RemoveAll(name) }
func (osFS) Rename(oldname, newname string) error         { return os.Rename(oldname, newname) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error)   { return os.ReadDir(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }

func (osFS) Chtimes(name string, mtime time.Time) error {
	return os.Chtimes(name, mtime, mtime)
}

func (osFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// OpenSync is for syncfs(2), which syncs the whole file system that holds dir. Since Linux 5.8 it reports each failed write-back of the
// file system once per descriptor, counted from the descriptor's opening; before, it reported none.
func (osFS) OpenSync(dir string) (AllSync, error) {
	if !syncfsReports() {
		return nil, &fs.PathError{Op: "syncfs", Path: dir, Err: errors.ErrUnsupported}
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return allSync{d}, nil
}

var syncfsReports = sync.OnceValue(func() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); n < 2 {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
})

type allSync struct{ dir *os.File }

func (s allSync) SyncAll() error {
	if err := unix.Syncfs(int(s.dir.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: s.dir.Name(), Err: err}
	}
	return nil
}

func (s allSync) Close() error { return s.dir.Close() }

func (osFS) Free(name string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// Lock uses fcntl record locks, as the JVM's FileChannel.tryLock does, so that Apache Kafka and Gregor exclude each other. Such a
// lock does not exclude the process that holds it, so the names held by this process are kept beside it.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if !heldLocks.add(st) {
		// Closing any descriptor of the file would drop the record lock this process holds on it: leave it open.
		leakedLockFiles.keep(f)
		return nil, &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lk); err != nil {
		heldLocks.remove(st)
		f.Close()
		if err == unix.EAGAIN || err == unix.EACCES {
			err = ErrLocked
		}
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	return &fileLock{f: f, st: st}, nil
}

type fileLock struct {
	f  *os.File
	st fs.FileInfo
}

func (l *fileLock) Close() error {
	heldLocks.remove(l.st)
	return l.f.Close()
}
