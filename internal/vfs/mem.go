package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that knows which writes were synced. A file's data becomes durable by File.Sync, an entry of a
// directory by SyncDir of the directory, as POSIX promises and no more; the tests that need less pessimism sync more.
type Mem struct {
	mu       sync.Mutex
	root     *memNode
	locks    map[*memNode]bool
	capacity int64 // bytes that all files together may hold
	used     int64
}

// memNode is a file or a directory.
type memNode struct {
	dir     bool
	mode    fs.FileMode
	modTime time.Time

	data   []byte
	synced []byte // what survives a crash: of data's array as long as nothing below its end is written again

	entries       map[string]*memNode
	syncedEntries map[string]*memNode
}

func newMemDir() *memNode {
	return &memNode{dir: true, mode: fs.ModeDir | 0o755, modTime: time.Now(), entries: map[string]*memNode{}, syncedEntries: map[string]*memNode{}}
}

// NewMem returns an empty Mem with the root directory "/".
func NewMem() *Mem {
	return &Mem{root: newMemDir(), locks: make(map[*memNode]bool), capacity: math.MaxInt64}
}

// SetCapacity bounds the bytes in all files; writes beyond fail with ENOSPC.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// CrashClone returns the file system as a power cut now would leave it: unsynced data and unsynced directory entries are gone, and
// no lock is held. The original goes on, so that one run can be crashed at many places.
func (m *Mem) CrashClone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	c.capacity = m.capacity
	c.root = cloneSynced(m.root, map[*memNode]*memNode{}, &c.used)
	return c
}

// Clone returns the file system as the death of the process now would leave it: everything written is there, synced or not, and no lock is
// held. The original goes on.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	c.capacity, c.used = m.capacity, m.used
	c.root = cloneAll(m.root, map[*memNode]*memNode{})
	return c
}

func cloneSynced(n *memNode, seen map[*memNode]*memNode, used *int64) *memNode {
	if c := seen[n]; c != nil {
		return c
	}
	c := &memNode{dir: n.dir, mode: n.mode, modTime: n.modTime}
	seen[n] = c
	if !n.dir {
		c.data, c.synced = slices.Clone(n.synced), slices.Clone(n.synced)
		*used += int64(len(c.data))
		return c
	}
	c.entries, c.syncedEntries = map[string]*memNode{}, map[string]*memNode{}
	for name, e := range n.syncedEntries {
		x := cloneSynced(e, seen, used)
		c.entries[name], c.syncedEntries[name] = x, x
	}
	return c
}

func cloneAll(n *memNode, seen map[*memNode]*memNode) *memNode {
	if c := seen[n]; c != nil {
		return c
	}
	c := &memNode{dir: n.dir, mode: n.mode, modTime: n.modTime, data: slices.Clone(n.data), synced: slices.Clone(n.synced)}
	seen[n] = c
	if !n.dir {
		return c
	}
	c.entries, c.syncedEntries = map[string]*memNode{}, map[string]*memNode{}
	for name, e := range n.entries {
		c.entries[name] = cloneAll(e, seen)
	}
	for name, e := range n.syncedEntries {
		c.syncedEntries[name] = cloneAll(e, seen)
	}
	return c
}

func memPath(name string) []string {
	clean := path.Clean("/" + name)
	if clean == "/" {
		return nil
	}
	return strings.Split(clean[1:], "/")
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// find walks to a node; parent and base are valid even if the node is missing but its directory is there.
func (m *Mem) find(name string) (parent *memNode, base string, n *memNode, err error) {
	n = m.root
	parts := memPath(name)
	for i, p := range parts {
		if !n.dir {
			return nil, "", nil, syscall.ENOTDIR
		}
		next := n.entries[p]
		if i == len(parts)-1 {
			return n, p, next, nil
		}
		if next == nil {
			return nil, "", nil, fs.ErrNotExist
		}
		n = next
	}
	return nil, "", n, nil
}

// OpenFile opens or creates a file.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, base, n, err := m.find(name)
	switch {
	case err != nil:
		return nil, pathError("open", name, err)
	case n == nil && flag&os.O_CREATE == 0:
		return nil, pathError("open", name, fs.ErrNotExist)
	case n != nil && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, pathError("open", name, fs.ErrExist)
	case n == nil:
		n = &memNode{mode: perm.Perm(), modTime: time.Now()}
		parent.entries[base] = n
		parent.modTime = n.modTime
	case n.dir && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		return nil, pathError("open", name, syscall.EISDIR)
	}
	if flag&os.O_TRUNC != 0 && !n.dir {
		m.resize(n, 0)
	}
	return &memFile{m: m, n: n, name: name, writable: flag&(os.O_WRONLY|os.O_RDWR) != 0}, nil
}

// unshare gives data an array of its own before something below the end of the synced bytes is written.
func (n *memNode) unshare(off int64) {
	if off < int64(len(n.synced)) && len(n.data) > 0 && &n.synced[0] == &n.data[0] {
		n.data = slices.Clone(n.data)
	}
}

// resize changes a file's length; it never writes into the synced copy.
func (m *Mem) resize(n *memNode, size int64) {
	m.used += size - int64(len(n.data))
	if old := int64(len(n.data)); size <= old {
		n.data = n.data[:size:size]
	} else {
		n.data = append(n.data, make([]byte, size-old)...)
	}
	n.modTime = time.Now()
}

func (m *Mem) Mkdir(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mkdir(name)
}

func (m *Mem) mkdir(name string) error {
	parent, base, n, err := m.find(name)
	if err != nil {
		return pathError("mkdir", name, err)
	}
	if n != nil {
		return pathError("mkdir", name, fs.ErrExist)
	}
	parent.entries[base] = newMemDir()
	return nil
}

func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	prefix := ""
	for _, p := range memPath(name) {
		prefix += "/" + p
		_, _, n, err := m.find(prefix)
		if err == nil && n != nil && n.dir {
			continue
		}
		if n != nil {
			return pathError("mkdir", prefix, syscall.ENOTDIR)
		}
		if err := m.mkdir(prefix); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, base, n, err := m.find(name)
	switch {
	case err != nil:
		return pathError("remove", name, err)
	case n == nil:
		return pathError("remove", name, fs.ErrNotExist)
	case parent == nil:
		return pathError("remove", name, syscall.EBUSY)
	case n.dir && len(n.entries) > 0:
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	m.unlink(parent, base, n)
	return nil
}

func (m *Mem) unlink(parent *memNode, base string, n *memNode) {
	delete(parent.entries, base)
	m.free(n)
}

// free gives back the space of a removed tree. Open files go on existing, uncounted.
func (m *Mem) free(n *memNode) {
	m.used -= int64(len(n.data))
	for _, e := range n.entries {
		m.free(e)
	}
}

func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, base, n, err := m.find(name)
	if err != nil || n == nil || parent == nil {
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return pathError("removeall", name, err)
	}
	m.unlink(parent, base, n)
	return nil
}

func (m *Mem) Rename(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fail := func(err error) error {
		return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: err}
	}
	from, oldBase, n, err := m.find(oldname)
	if err != nil {
		return fail(err)
	}
	if n == nil || from == nil {
		return fail(fs.ErrNotExist)
	}
	to, newBase, target, err := m.find(newname)
	switch {
	case err != nil:
		return fail(err)
	case to == nil:
		return fail(syscall.EBUSY)
	case target == n:
		return nil
	case target != nil && target.dir != n.dir:
		return fail(syscall.EEXIST)
	case target != nil && target.dir && len(target.entries) > 0:
		return fail(syscall.ENOTEMPTY)
	case n.dir && strings.HasPrefix(path.Clean("/"+newname)+"/", path.Clean("/"+oldname)+"/"):
		return fail(syscall.EINVAL)
	}
	if target != nil {
		m.unlink(to, newBase, target)
	}
	delete(from.entries, oldBase)
	to.entries[newBase] = n
	return nil
}

func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _, n, err := m.find(name)
	if err == nil && n == nil {
		err = fs.ErrNotExist
	}
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	out := make([]fs.DirEntry, 0, len(n.entries))
	for base, e := range n.entries {
		out = append(out, fs.FileInfoToDirEntry(e.info(base)))
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, base, n, err := m.find(name)
	if err == nil && n == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return n.info(base), nil
}

// Chtimes sets when a file was last written.
func (m *Mem) Chtimes(name string, mtime time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _, n, err := m.find(name)
	if err == nil && n == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return pathError("chtimes", name, err)
	}
	n.modTime = mtime
	return nil
}

func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _, n, err := m.find(name)
	if err == nil && n == nil {
		err = fs.ErrNotExist
	}
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return pathError("syncdir", name, err)
	}
	n.syncedEntries = make(map[string]*memNode, len(n.entries))
	for base, e := range n.entries {
		n.syncedEntries[base] = e
	}
	return nil
}

// Lock locks a file within this Mem; a crash clone starts without locks.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	n := f.(*memFile).n
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[n] {
		return nil, pathError("lock", name, ErrLocked)
	}
	m.locks[n] = true
	return &memLock{m: m, n: n}, nil
}

type memLock struct {
	m *Mem
	n *memNode
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.n)
	return nil
}

func (m *Mem) Free(string) (free, total int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(0, m.capacity-m.used), m.capacity, nil
}

type memInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
	node    *memNode
}

func (n *memNode) info(name string) fs.FileInfo {
	return memInfo{name, int64(len(n.data)), n.mode, n.modTime, n}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.modTime }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }

// memFile is an open file; it stays usable when its name is removed or replaced.
type memFile struct {
	m        *Mem
	n        *memNode
	name     string
	writable bool
	closed   bool
}

// check is called with the lock held.
func (f *memFile) check(op string, write bool) error {
	if f.closed {
		return pathError(op, f.name, fs.ErrClosed)
	}
	if write && !f.writable {
		return pathError(op, f.name, syscall.EBADF)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", f.name, syscall.EINVAL)
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("write", f.name, syscall.EINVAL)
	}
	full := false
	if grow := off + int64(len(p)) - int64(len(f.n.data)); grow > f.m.capacity-f.m.used && grow > 0 {
		fits := max(0, int64(len(p))-(grow-max(0, f.m.capacity-f.m.used)))
		p, full = p[:fits], true
	}
	if end := off + int64(len(p)); len(p) > 0 && end > int64(len(f.n.data)) {
		f.m.resize(f.n, end)
	}
	n := 0
	if len(p) > 0 {
		f.n.unshare(off)
		n = copy(f.n.data[off:], p)
	}
	f.n.modTime = time.Now()
	if full {
		return n, pathError("write", f.name, syscall.ENOSPC)
	}
	return n, nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), f.check("stat", false)
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", f.name, syscall.EINVAL)
	}
	f.m.resize(f.n, size)
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("sync", false); err != nil {
		return err
	}
	f.n.synced = f.n.data[:len(f.n.data):len(f.n.data)]
	return nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("close", false); err != nil {
		return err
	}
	f.closed = true
	return nil
}

func (f *memFile) Fd() (uintptr, bool) { return 0, false }
func (f *memFile) Name() string        { return f.name }
