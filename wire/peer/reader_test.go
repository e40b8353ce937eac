package peer

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// sockets are both ends of a connection over loopback.
func sockets(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := Dial(context.Background(), (&net.Dialer{}).DialContext, ln.Addr().String(), "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); theirs.Close() })
	return c, theirs
}

// TestLargeAndSmallAnswers: what the system was told to collect of a large answer does not keep a small one that follows.
func TestLargeAndSmallAnswers(t *testing.T) {
	c, theirs := sockets(t)
	go func() {
		for i := range uint32(40) {
			answer(t, theirs, i+1, strings.Repeat("x", int(i%4)*777_777))
		}
	}()
	for i := range 40 {
		c.correlation++ // as if it had been asked
		if arrived, err := c.Await(time.Now().Add(time.Hour)); !arrived || err != nil {
			t.Fatal(i, arrived, err)
		}
		if got, err := c.Receive(int16(kmsg.Fetch), 11, 10<<20); err != nil || len(got) != i%4*777_777 {
			t.Fatalf("answer %d has %d bytes, %v", i, len(got), err)
		}
	}
}

func TestAwaitOfASocketEnds(t *testing.T) {
	c, theirs := sockets(t)
	if arrived, err := c.Await(time.Now().Add(time.Millisecond)); arrived || err != nil {
		t.Fatal("the time is over:", arrived, err)
	}
	for i := range 100 {
		go c.Interrupt() // before, while, or after it waits
		if arrived, err := c.Await(time.Now().Add(time.Hour)); arrived || err != nil {
			t.Fatal(i, arrived, err)
		}
	}
	// In the middle of a large answer the peer goes.
	c.correlation++
	if _, err := theirs.Write([]byte{0, 15, 0, 0, 0, 0, 0, 1, 'x'}); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if _, err := c.Receive(int16(kmsg.Fetch), 11, 10<<20); err == nil {
		t.Fatal("half an answer was taken")
	}
}

// TestWakesOfALargeAnswer: the reader is not woken for each piece of it.
func TestWakesOfALargeAnswer(t *testing.T) {
	c, theirs := sockets(t)
	r, ok := newReader(c.conn).(*reader)
	if !ok {
		t.Fatal("a TCP connection is not read as one")
	}
	p := make([]byte, 900_000)
	if err := c.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	raw, err := c.conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	lowWater := func() (n int) {
		if err := raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := lowWater(); n < 128<<10 {
		t.Errorf("the system wakes for %d bytes", n)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(p[:100]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if n := lowWater(); n != 1 {
		t.Errorf("for a small answer the system waits for %d bytes", n)
	}
	if _, err := theirs.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(p[:100]); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}
