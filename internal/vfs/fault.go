package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// Op names an operation of FS or File for a fault hook.
type Op string

const (
	OpOpen     Op = "open"
	OpCreate   Op = "create" // open with O_CREATE
	OpMkdir    Op = "mkdir"
	OpRemove   Op = "remove"
	OpRename   Op = "rename" // the hook is given the old name
	OpReadDir  Op = "readdir"
	OpStat     Op = "stat"
	OpChtimes  Op = "chtimes"
	OpSyncDir  Op = "syncdir"
	OpLock     Op = "lock"
	OpFree     Op = "free"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
	OpClose    Op = "close"
)

// ErrShortWrite as a hook's answer to OpWrite (also wrapped) lets the first half of the data be written before it is returned.
var ErrShortWrite = errors.New("injected fault: short write")

// NewFault wraps fsys: before each operation hook is asked, and an error of it is returned in place of the operation. Closing
// always closes what is underneath. The hook must be safe for concurrent use.
func NewFault(fsys FS, hook func(op Op, name string) error) FS {
	return &faultFS{fs: fsys, hook: hook}
}

type faultFS struct {
	fs   FS
	hook func(op Op, name string) error
}

func (f *faultFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	op := OpOpen
	if flag&os.O_CREATE != 0 {
		op = OpCreate
	}
	if err := f.hook(op, name); err != nil {
		return nil, err
	}
	under, err := f.fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{File: under, hook: f.hook}, nil
}

func (f *faultFS) Mkdir(name string, perm fs.FileMode) error {
	if err := f.hook(OpMkdir, name); err != nil {
		return err
	}
	return f.fs.Mkdir(name, perm)
}

func (f *faultFS) MkdirAll(name string, perm fs.FileMode) error {
	if err := f.hook(OpMkdir, name); err != nil {
		return err
	}
	return f.fs.MkdirAll(name, perm)
}

func (f *faultFS) Remove(name string) error {
	if err := f.hook(OpRemove, name); err != nil {
		return err
	}
	return f.fs.Remove(name)
}

func (f *faultFS) RemoveAll(name string) error {
	if err := f.hook(OpRemove, name); err != nil {
		return err
	}
	return f.fs.RemoveAll(name)
}

func (f *faultFS) Rename(oldname, newname string) error {
	if err := f.hook(OpRename, oldname); err != nil {
		return err
	}
	return f.fs.Rename(oldname, newname)
}

func (f *faultFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.hook(OpReadDir, name); err != nil {
		return nil, err
	}
	return f.fs.ReadDir(name)
}

func (f *faultFS) Stat(name string) (fs.FileInfo, error) {
	if err := f.hook(OpStat, name); err != nil {
		return nil, err
	}
	return f.fs.Stat(name)
}

func (f *faultFS) Chtimes(name string, mtime time.Time) error {
	if err := f.hook(OpChtimes, name); err != nil {
		return err
	}
	return f.fs.Chtimes(name, mtime)
}

func (f *faultFS) SyncDir(name string) error {
	if err := f.hook(OpSyncDir, name); err != nil {
		return err
	}
	return f.fs.SyncDir(name)
}

func (f *faultFS) Lock(name string) (io.Closer, error) {
	if err := f.hook(OpLock, name); err != nil {
		return nil, err
	}
	return f.fs.Lock(name)
}

func (f *faultFS) Free(name string) (free, total int64, err error) {
	if err := f.hook(OpFree, name); err != nil {
		return 0, 0, err
	}
	return f.fs.Free(name)
}

type faultFile struct {
	File
	hook func(op Op, name string) error
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.hook(OpRead, f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.hook(OpWrite, f.Name()); err != nil {
		n := 0
		if errors.Is(err, ErrShortWrite) {
			n, _ = f.File.WriteAt(p[:len(p)/2], off)
		}
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) Size() (int64, error) {
	if err := f.hook(OpStat, f.Name()); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.hook(OpTruncate, f.Name()); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) allocate(off, n int64) error {
	if err := f.hook(OpWrite, f.Name()); err != nil {
		return err
	}
	return Allocate(f.File, off, n)
}

func (f *faultFile) Sync() error {
	if err := f.hook(OpSync, f.Name()); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultFile) Close() error {
	herr := f.hook(OpClose, f.Name())
	if err := f.File.Close(); err != nil {
		return err
	}
	return herr
}

// Fd hides the descriptor, so that reads go through the hook.
func (f *faultFile) Fd() (uintptr, bool) { return 0, false }
