package testcluster_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gregor/internal/testcluster"
)

// pair connects two hosts.
func pair(t *testing.T, n *testcluster.Network) (a, b *testcluster.Host, client, server net.Conn) {
	t.Helper()
	a, b = n.Host("a"), n.Host("b")
	ln, err := b.Listen("tcp", "b:1")
	if err != nil {
		t.Fatal(err)
	}
	if client, err = a.Dial(t.Context(), "tcp", "b:1"); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	return a, b, client, server
}

func read(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBytesArriveInOrderAndLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testcluster.New(1, func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(1000)) * time.Millisecond })
		_, _, client, server := pair(t, n)
		began := time.Now()
		var sent []byte
		go func() {
			defer client.Close()
			for i := range 100_000 {
				sent = append(sent, byte(i*i>>3))
			}
			for rest := sent; len(rest) > 0; {
				k := min(len(rest), 1+len(rest)%1777)
				if _, err := client.Write(rest[:k]); err != nil {
					t.Error(err)
				}
				rest = rest[k:]
			}
		}()
		got, err := io.ReadAll(server)
		if err != nil || string(got) != string(sent) {
			t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
		}
		if time.Since(began) < 500*time.Millisecond {
			t.Errorf("all in %v", time.Since(began))
		}
		if _, err := server.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("writing to who has closed: %v", err)
		}
	})
}

func TestACutLinkHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testcluster.New(1, nil)
		_, _, client, server := pair(t, n)
		n.Cut("a", "b")
		if _, err := client.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Write([]byte("the other way")); err != nil {
			t.Fatal(err)
		}
		if got := read(t, client, 13); got != "the other way" {
			t.Error(got)
		}
		if err := server.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read over a cut link: %v", err)
		}
		if err := server.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { n.Heal("a", "b", false) })
		if got := read(t, server, 4); got != "late" {
			t.Error(got)
		}
		n.Cut("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host("a").Dial(ctx, "tcp", "b:1"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("dial over a cut link: %v", err)
		}
		n.Heal("a", "b", true)
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a connection that was lost: %v", err)
		}
	})
}

func TestADeadProcessIsHeardNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testcluster.New(1, nil)
		a, _, client, server := pair(t, n)
		if _, err := client.Write([]byte("last words")); err != nil {
			t.Fatal(err)
		}
		a.Kill()
		if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a dead process writes: %v", err)
		}
		if got := read(t, server, 10); got != "last words" {
			t.Error(got)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after the death of the peer: %v", err)
		}
		if _, err := a.Dial(t.Context(), "tcp", "b:1"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a dead process dials: %v", err)
		}
		if _, err := n.Host("a").Dial(t.Context(), "tcp", "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens there: %v", err)
		}
	})
}

func TestALossOfPowerIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testcluster.New(1, nil)
		a, _, client, server := pair(t, n)
		if _, err := client.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
		a.PowerOff()
		if err := server.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("from a machine without power: %v", err)
		}
		n.Host("a") // the machine is back, and knows nothing of the connection
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after its return: %v", err)
		}
	})
}
