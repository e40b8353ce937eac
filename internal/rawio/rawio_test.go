package rawio

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// With one processor none may be risked.
	if n, ok, err := Pwrite(f.Fd(), []byte("hello"), 3); !ok {
		f.WriteAt([]byte("hello"), 3)
	} else if n != 5 || err != nil {
		t.Fatal(n, err)
	}
	b := make([]byte, 5)
	if !PreadCached(f.Fd(), b, 3) {
		t.Skip("this file system does not tell what is cached")
	}
	if string(b) != "hello" {
		t.Fatalf("%q", b)
	}
	if PreadCached(f.Fd(), b, 4) {
		t.Fatal("four bytes passed for five")
	}
	if !PreadCached(f.Fd(), nil, 0) {
		t.Fatal("nothing was not read")
	}
	if n := testing.AllocsPerRun(100, func() { PreadCached(f.Fd(), b, 3) }); n != 0 {
		t.Fatal(n, "allocations")
	}
}

func TestPwriteSaysWhyItFails(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok, err := Pwrite(f.Fd(), []byte("x"), 0); ok && err != unix.EBADF {
		t.Fatal(err)
	}
}

func TestSocket(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b := uintptr(fds[0]), uintptr(fds[1])
	buf := make([]byte, 1<<16)
	if _, err := Read(a, buf); err != unix.EAGAIN {
		t.Fatal(err)
	}
	for err = nil; err == nil; {
		_, err = Write(b, buf)
	}
	if err != unix.EAGAIN {
		t.Fatal(err)
	}
	if n, err := Read(a, buf[:7]); n != 7 || err != nil {
		t.Fatal(n, err)
	}
	unix.Close(fds[0])
	if _, err := Write(b, buf); err != unix.EPIPE {
		t.Fatal(err)
	}
	unix.Close(fds[1])
}
