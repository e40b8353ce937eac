// Package vfs is the only door to files. Storage, checkpoints and the embedded ZooKeeper's plain files go through it, so that
// tests can replace the disk by one that fails, fills up, or forgets unsynced writes on a simulated power cut.
//
// Owns: nothing. Guarded by: every FS and File is safe for concurrent use, except that a File's Truncate must not race its writes.
// Imports: the standard library and golang.org/x/sys only. Kafka's counterpart: java.nio and org.apache.kafka.common.utils.Utils.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrLocked is returned by FS.Lock when another process (or another Lock of this one) holds the lock.
var ErrLocked = errors.New("file is locked")

// File is an open file addressed by explicit offsets; it has no seek position.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the file's present length in bytes.
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes the file's data and length durable (fdatasync where there is one).
	Sync() error
	// Fd returns the descriptor for sendfile; ok is false where there is none (in-memory files): read with ReadAt then.
	Fd() (fd uintptr, ok bool)
	Name() string
}

// FS is a file system. Names are slash-separated operating-system paths.
type FS interface {
	// OpenFile opens name with the flags of package os (O_RDONLY, O_RDWR, O_CREATE, O_EXCL, O_TRUNC).
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Mkdir(name string, perm fs.FileMode) error
	MkdirAll(name string, perm fs.FileMode) error
	Remove(name string) error
	RemoveAll(name string) error
	Rename(oldname, newname string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// Chtimes sets when the file was last written.
	Chtimes(name string, mtime time.Time) error
	// SyncDir makes creations, renames and removals in the directory durable.
	SyncDir(name string) error
	// Lock takes an exclusive advisory lock on the file, creating it if needed, and returns ErrLocked if it is taken. Closing releases it.
	Lock(name string) (io.Closer, error)
	// Free returns the bytes available to this process, and the total, on the file system that holds name.
	Free(name string) (free, total int64, err error)
}

// Syncer is what an FS may also be: it makes everything below a directory durable in one go, and perhaps more. For thousands of files
// that is much faster than a Sync of each.
type Syncer interface {
	// OpenSync returns errors.ErrUnsupported where writes that fail afterwards would go unnoticed.
	OpenSync(dir string) (AllSync, error)
}

// AllSync syncs a directory; keep it open from before the first write that it is to answer for.
type AllSync interface {
	// SyncAll fails if anything written since OpenSync did not reach the disk, even if the system gave up on it long ago.
	SyncAll() error
	Close() error
}

// MakeDirs makes a directory with its parents, durably, unless it is there.
func MakeDirs(fsys FS, path string) error {
	if _, err := fsys.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MakeDirs(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// SameFile tells whether two Stats found the same file or directory.
func SameFile(a, b fs.FileInfo) bool {
	x, isMem := a.(memInfo)
	y, both := b.(memInfo)
	if isMem && both {
		return x.node == y.node
	}
	return os.SameFile(a, b)
}

// Allocate reserves n bytes from off on, growing the file, so that a later write there cannot run out of space and a sync of it need
// not write a new length. Where that cannot be done it does nothing: the file then grows as it is written.
func Allocate(f File, off, n int64) error {
	if a, ok := f.(interface{ allocate(off, n int64) error }); ok {
		return a.allocate(off, n)
	}
	return nil
}

// Reserve takes n bytes of the disk from off on for the file, without changing its length; a Truncate to the file's own length gives back
// what was not written. It saves the file system looking for room at each write. Where that cannot be done, or the disk is full, it does
// nothing and returns false.
func Reserve(f File, off, n int64) bool {
	r, ok := f.(interface{ reserve(off, n int64) error })
	return ok && r.reserve(off, n) == nil
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, 0, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("file is larger than the limit")}
	}
	b := make([]byte, n)
	m, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:m], err
}
