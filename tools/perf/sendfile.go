package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sendfileServer is the bare loop that fetch is compared with: for each request of sendfileRequest bytes, fetchMax bytes of the file,
// by sendfile on a blocking socket, nothing else. It serves one connection and prints its address.
func sendfileServer(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	// File makes a descriptor of its own; out of the poller it blocks.
	sock, err := c.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	c.Close()
	fd := int(sock.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		return err
	}
	runtime.LockOSThread()
	req := make([]byte, sendfileRequest)
	offset := int64(0)
	for {
		for have := 0; have < len(req); {
			n, err := unix.Read(fd, req[have:])
			if err != nil || n == 0 {
				return err
			}
			have += n
		}
		if offset+fetchMax > fi.Size() {
			offset = 0
		}
		for left := fetchMax; left > 0; {
			n, err := unix.Sendfile(fd, int(f.Fd()), &offset, left)
			if err != nil {
				return err
			}
			left -= n
		}
	}
}

const sendfileRequest = 90

// bareSendfile is a process that serves the largest segment of a log directory, and its client.
type bareSendfile struct {
	*child
	c     net.Conn
	req   []byte
	buf   []byte
	bytes int64
}

func startBareSendfile(ctx context.Context, partitionDir string) (*bareSendfile, error) {
	file, err := largestLog(partitionDir)
	if err != nil {
		return nil, err
	}
	server, err := startChild(ctx, "sendfile-server", file)
	if err != nil {
		return nil, err
	}
	b := &bareSendfile{child: server, req: make([]byte, sendfileRequest), buf: make([]byte, fetchMax)}
	if b.c, err = net.Dial("tcp", server.addr); err != nil {
		server.close()
		return nil, err
	}
	return b, nil
}

func (b *bareSendfile) close() {
	b.c.Close()
	b.child.close()
}

func (b *bareSendfile) step() error {
	if _, err := b.c.Write(b.req); err != nil {
		return err
	}
	n, err := io.ReadFull(b.c, b.buf)
	b.bytes += int64(n)
	return err
}

// measure has it serve for about d and returns the CPU time of that.
func (b *bareSendfile) measure(ctx context.Context, d time.Duration) (time.Duration, error) {
	before, err := b.cpu()
	if err != nil {
		return 0, err
	}
	if err := slice(ctx, d, b.step); err != nil {
		return 0, err
	}
	after, err := b.cpu()
	return after - before, err
}

func largestLog(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var (
		name string
		size int64
	)
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".log") && fi.Size() > size {
			name, size = filepath.Join(dir, e.Name()), fi.Size()
		}
	}
	if size < fetchMax {
		return "", errors.New("no segment of a megabyte in " + dir)
	}
	return name, nil
}
