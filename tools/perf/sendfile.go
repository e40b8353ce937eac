package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gregor/integration/peer"
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

// bareSendfile has a process of its own serve the largest segment of a log directory, and measures it as fetches are measured.
func bareSendfile(ctx context.Context, partitionDir string, warm, d time.Duration) (rate, time.Duration, error) {
	file, err := largestLog(partitionDir)
	if err != nil {
		return rate{}, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return rate{}, 0, err
	}
	cmd := exec.CommandContext(ctx, self, "sendfile-server", file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return rate{}, 0, err
	}
	if err := cmd.Start(); err != nil {
		return rate{}, 0, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		return rate{}, 0, err
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return rate{}, 0, err
	}
	defer c.Close()
	var (
		bytes       int64
		before, end peer.Usage
		req         = make([]byte, sendfileRequest)
		buf         = make([]byte, fetchMax)
	)
	r, err := pump(ctx, warm, d,
		func() (err error) { before, err = peer.ReadUsage(cmd.Process.Pid); return err },
		func() (err error) { end, err = peer.ReadUsage(cmd.Process.Pid); return err },
		&bytes, func() error {
			if _, err := c.Write(req); err != nil {
				return err
			}
			n, err := io.ReadFull(c, buf)
			bytes += int64(n)
			return err
		})
	return r, end.CPU - before.CPU, err
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
