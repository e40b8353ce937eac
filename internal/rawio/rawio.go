// Package rawio makes system calls that cannot wait without telling Go's scheduler of them.
//
// A call that may wait is announced to the scheduler, so that another thread can take over. In a process that is mostly idle each such
// announcement also wakes the runtime's monitor thread, which then looks around every 20 microseconds for a while: at some thousand
// requests a second it cost more than the requests. Calls on non-blocking sockets, and reads that the page cache answers, do not wait.
//
// Holds always: nothing here waits for a peer or a disk, except Pwrite, which says how that is bounded. Imports: x/sys.
package rawio

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads from a non-blocking descriptor.
func Read(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
}

// Receive is Read for the function that a socket's RawConn.Read calls: again says that nothing is there yet, the end is io.EOF, and other errors
// are as package net words them.
func Receive(fd uintptr, p []byte) (n int, again bool, err error) {
	n, err = Read(fd, p)
	switch {
	case err == unix.EAGAIN:
		return 0, true, nil
	case err != nil:
		return 0, false, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
	case n == 0:
		return 0, false, io.EOF
	}
	return n, false, nil
}

// Write writes to a non-blocking descriptor.
func Write(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
}

// PreadCached reads what the page cache holds. If that is not all of p, or the file system cannot tell, it returns false: read it the
// ordinary way then.
func PreadCached(fd uintptr, p []byte, off int64) bool {
	if len(p) == 0 {
		return true
	}
	v := unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
	n, _, errno := unix.RawSyscall6(unix.SYS_PREADV2, fd, uintptr(unsafe.Pointer(&v)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
	return errno == 0 && int(n) == len(p)
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN:
		return 0, unix.EAGAIN // without an allocation
	}
	return 0, errno
}

// A write into the page cache does not wait for the disk as a rule, but it may: for room when too much is dirty, or for the file system's
// journal.
const (
	// slow is when a write has waited, and pause how long writes are announced to the scheduler after that.
	slow  = int64(time.Millisecond)
	pause = int64(time.Second)
)

var (
	pending  atomic.Int32
	resumeAt atomic.Int64
	began    = time.Now()
)

// Pwrite writes a little to a file through the page cache. If it returns false it wrote nothing, and the write is to be made the ordinary
// way: half of the processors are in such a write already, or one of them had to wait a moment ago. So a disk that does not keep up takes
// at most half of the processors, and only until their present writes are done.
func Pwrite(fd uintptr, p []byte, off int64) (n int, ok bool, err error) {
	start := int64(time.Since(began))
	if start < resumeAt.Load() {
		return 0, false, nil
	}
	if int(pending.Add(1)) > runtime.GOMAXPROCS(0)/2 {
		pending.Add(-1)
		return 0, false, nil
	}
	w, _, errno := unix.RawSyscall6(unix.SYS_PWRITE64, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(off), 0, 0)
	pending.Add(-1)
	if end := int64(time.Since(began)); end-start > slow {
		resumeAt.Store(end + pause)
	}
	if errno == unix.EINTR {
		return 0, false, nil
	}
	n, err = result(w, errno)
	return n, true, err
}
