package storage

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"gregor/internal/rawio"
	"gregor/internal/vfs"
)

// OpenFile is a reference-counted open file. The descriptor stays open, and the bytes below the segment's published size do not
// change, until the last reference is released.
type OpenFile struct {
	f    vfs.File
	fd   uintptr // f's, if it has one
	real bool
	refs atomic.Int32
	used atomic.Bool // touched since the clock hand last passed
	slot *cachedFile
	at   int // index in the cache's ring, -1 once out of it; guarded by fileCache.mu
}

// smallIO is up to which size reads and writes of the page cache are too short to tell the scheduler of them.
const smallIO = 32 << 10

// ReadAt reads from the file at an explicit offset.
func (o *OpenFile) ReadAt(p []byte, off int64) (int, error) {
	if o.real && len(p) <= smallIO && rawio.PreadCached(o.fd, p, off) {
		return len(p), nil
	}
	return o.f.ReadAt(p, off)
}

// writeAt writes to the file at an explicit offset.
func (o *OpenFile) writeAt(p []byte, off int64) error {
	if o.real && len(p) <= smallIO {
		if n, ok, err := rawio.Pwrite(o.fd, p, off); ok {
			if err != nil {
				return &fs.PathError{Op: "write", Path: o.f.Name(), Err: err}
			}
			if p, off = p[n:], off+int64(n); len(p) == 0 {
				return nil
			}
		}
	}
	_, err := o.f.WriteAt(p, off)
	return err
}

// Fd is the descriptor for sendfile; ok is false for files in memory.
func (o *OpenFile) Fd() (fd uintptr, ok bool) { return o.fd, o.real }

// Release gives the reference back; the last one closes the file.
func (o *OpenFile) Release() {
	if o.refs.Add(-1) == 0 {
		o.f.Close() // read or written through and synced elsewhere: nothing is lost by a failing close
	}
}

// tryRef takes a reference unless the file is being closed.
func (o *OpenFile) tryRef() bool {
	for {
		n := o.refs.Load()
		if n == 0 {
			return false
		}
		if o.refs.CompareAndSwap(n, n+1) {
			if !o.used.Load() {
				o.used.Store(true)
			}
			return true
		}
	}
}

// cachedFile is a file that is open at most once, and only while it is used: one word in whoever owns it.
type cachedFile struct{ cur atomic.Pointer[OpenFile] }

// hot returns the open file with a reference, nil if it must be opened.
func (c *cachedFile) hot() *OpenFile {
	if o := c.cur.Load(); o != nil && o.tryRef() {
		return o
	}
	return nil
}

// fileCache bounds the descriptors that all logs together hold. Which file is closed is decided by a clock: one bit per file, set on
// use. An ordered list would have to be touched, under its lock, by every append and read.
type fileCache struct {
	fs    vfs.FS
	limit int

	mu   sync.Mutex
	ring []*OpenFile
	hand int
}

func newFileCache(fs vfs.FS, limit int) *fileCache {
	return &fileCache{fs: fs, limit: limit}
}

// open returns the file of c with a reference, opening it under its present name if it is not open. It is the slow path behind hot.
func (fc *fileCache) open(c *cachedFile, path func() string, flag int) (*OpenFile, error) {
	if o := c.hot(); o != nil {
		return o, nil
	}
	name := path()
	f, err := fc.fs.OpenFile(name, flag, 0o644)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		// Connections took more descriptors than expected: make do with fewer, and try once more.
		fc.shrink()
		f, err = fc.fs.OpenFile(name, flag, 0o644)
	}
	if err != nil {
		return nil, err
	}
	// A name may have passed to another file meanwhile: the cleaner's takes that of the one it replaces.
	for now := path(); now != name; now = path() {
		f.Close()
		name = now
		if f, err = fc.fs.OpenFile(name, flag, 0o644); err != nil {
			return nil, err
		}
	}
	o := &OpenFile{f: f, slot: c, at: -1}
	o.fd, o.real = f.Fd()
	o.refs.Store(2) // the cache's and the caller's
	o.used.Store(true)

	fc.mu.Lock()
	if other := c.hot(); other != nil { // somebody was faster
		fc.mu.Unlock()
		f.Close()
		return other, nil
	}
	var victim *OpenFile
	if len(fc.ring) >= fc.limit {
		victim = fc.evictLocked()
	}
	o.at = len(fc.ring)
	fc.ring = append(fc.ring, o)
	c.cur.Store(o)
	fc.mu.Unlock()
	if victim != nil {
		victim.Release()
	}
	return o, nil
}

// evictLocked takes one file out of the cache and returns it for release. Files that somebody holds would stay open anyway, so they
// are passed over while there are others; if there are none the limit is exceeded by what is held.
func (fc *fileCache) evictLocked() *OpenFile {
	for range 2*len(fc.ring) + 1 {
		if fc.hand >= len(fc.ring) {
			fc.hand = 0
		}
		o := fc.ring[fc.hand]
		if o.used.Swap(false) || o.refs.Load() > 1 {
			fc.hand++
			continue
		}
		fc.removeLocked(o)
		return o
	}
	return nil
}

// shrink closes a quarter of the files, at least one.
func (fc *fileCache) shrink() {
	for range fc.count()/4 + 1 {
		fc.mu.Lock()
		o := fc.evictLocked()
		fc.mu.Unlock()
		if o == nil {
			return
		}
		o.Release()
	}
}

func (fc *fileCache) removeLocked(o *OpenFile) {
	last := len(fc.ring) - 1
	fc.ring[o.at] = fc.ring[last]
	fc.ring[o.at].at = o.at
	fc.ring[last] = nil
	fc.ring = fc.ring[:last]
	o.at = -1
	o.slot.cur.CompareAndSwap(o, nil)
}

// drop closes the file of c as soon as nobody holds it.
func (fc *fileCache) drop(c *cachedFile) {
	if c.cur.Load() == nil {
		return
	}
	fc.mu.Lock()
	o := c.cur.Load()
	if o == nil || o.at < 0 {
		fc.mu.Unlock()
		return
	}
	fc.removeLocked(o)
	fc.mu.Unlock()
	o.Release()
}

// count is the number of files the cache holds open.
func (fc *fileCache) count() int {
	fc.mu.Lock()
	defer fc.mu.Unlock()
	return len(fc.ring)
}

const (
	flagRead   = os.O_RDWR
	flagCreate = os.O_RDWR | os.O_CREATE
)
