package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// blockingConn is a TCP connection outside Go's poller: a thread that reads is woken by the system and by nothing else, so that a client
// that measures does not measure the runtime's scheduling.
type blockingConn struct{ fd int }

func dialBlocking(ctx context.Context, addr string) (*blockingConn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return newBlocking(c.(*net.TCPConn))
}

// newBlocking takes over c's socket; c itself can be closed.
func newBlocking(c *net.TCPConn) (*blockingConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &blockingConn{fd: -1}
	var dupErr error
	if err := raw.Control(func(fd uintptr) { b.fd, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, fmt.Errorf("duplicate a socket: %w", dupErr)
	}
	return b, unix.SetNonblock(b.fd, false)
}

func (b *blockingConn) Read(p []byte) (int, error) {
	for {
		switch n, err := unix.Read(b.fd, p); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (b *blockingConn) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n, err := unix.Write(b.fd, p[done:])
		if err != nil && !errors.Is(err, unix.EINTR) {
			return done, err
		}
		done += max(n, 0)
	}
	return len(p), nil
}

// stop ends reads and writes in progress; Close must follow when they are over.
func (b *blockingConn) stop() { _ = unix.Shutdown(b.fd, unix.SHUT_RDWR) }

// Close closes the descriptor, which nobody may be using.
func (b *blockingConn) Close() error { return unix.Close(b.fd) }
