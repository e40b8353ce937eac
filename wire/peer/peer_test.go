package peer

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// dial connects to a peer whose side of the connection the test plays.
func dial(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	c, err := Dial(context.Background(), func(context.Context, string, string) (net.Conn, error) { return ours, nil }, "", "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); theirs.Close() })
	return c, theirs
}

func answer(t *testing.T, w io.Writer, correlation uint32, body string) {
	t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	b = append(binary.BigEndian.AppendUint32(b, correlation), body...)
	if _, err := w.Write(b); err != nil {
		t.Error(err)
	}
}

func TestAnswersComeInTheOrderOfTheRequests(t *testing.T) {
	c, theirs := dial(t)
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	for range 2 {
		if err := c.Send(int16(kmsg.Fetch), 11, func(b []byte) []byte { return append(b, "ask"...) }); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		answer(t, theirs, 1, "first")
		answer(t, theirs, 2, "second")
		answer(t, theirs, 9, "not asked")
	}()
	for _, want := range []string{"first", "second"} {
		if arrived, err := c.Await(time.Now().Add(time.Hour)); !arrived || err != nil {
			t.Fatal(arrived, err)
		}
		if got, err := c.Receive(int16(kmsg.Fetch), 11, 100); err != nil || string(got) != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	if got, err := c.Receive(int16(kmsg.Fetch), 11, 100); err == nil {
		t.Errorf("%q: an answer to nothing", got)
	}
}

func TestInterruptEndsAwaitAndLosesNothing(t *testing.T) {
	c, theirs := dial(t)
	c.Interrupt() // before it waits
	for i := range 100 {
		if arrived, err := c.Await(time.Now().Add(time.Hour)); arrived || err != nil {
			t.Fatal(i, arrived, err)
		}
		go c.Interrupt() // before, while, or instead of it
	}
	if arrived, err := c.Await(time.Now().Add(time.Hour)); arrived || err != nil {
		t.Fatal(arrived, err)
	}
	if arrived, err := c.Await(time.Now().Add(time.Millisecond)); arrived || err != nil {
		t.Fatal("the time is over:", arrived, err)
	}
	c.correlation = 1
	go answer(t, theirs, 1, "body")
	for {
		arrived, err := c.Await(time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if arrived {
			break
		}
	}
	if got, err := c.Receive(int16(kmsg.Fetch), 11, 100); err != nil || string(got) != "body" {
		t.Errorf("%q %v", got, err)
	}
}
