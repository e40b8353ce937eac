package zkserver_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"gregor/zkmeta/jute"
)

// raw speaks to a server frame by frame, so that a test sees every byte and its place.
type raw struct {
	t    testing.TB
	nc   net.Conn
	xid  int32
	resp jute.ConnectResponse
	// events that came before the last answer
	events []string
}

func dialRaw(t testing.TB, addr string) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	return &raw{t: t, nc: nc}
}

// session connects with a request; false when the server closed the connection instead of answering.
func (r *raw) session(q jute.ConnectRequest) bool {
	r.t.Helper()
	r.send(q.Append(nil))
	b, err := r.frame()
	if err != nil {
		return false
	}
	d := jute.NewDecoder(b)
	r.resp.Decode(&d)
	if d.Err() != nil {
		r.t.Fatal(d.Err())
	}
	return true
}

func openRaw(t testing.TB, addr string) *raw {
	t.Helper()
	r := dialRaw(t, addr)
	if !r.session(jute.ConnectRequest{TimeoutMs: 30000, Password: make([]byte, 16), HasReadOnly: true}) || r.resp.SessionID == 0 {
		t.Fatalf("no session: %+v", r.resp)
	}
	return r
}

func (r *raw) send(body []byte) {
	r.t.Helper()
	if _, err := r.nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *raw) frame() ([]byte, error) {
	var n [4]byte
	if _, err := io.ReadFull(r.nc, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(n[:]))
	_, err := io.ReadFull(r.nc, b)
	return b, err
}

// ask sends a request without waiting.
func (r *raw) ask(op jute.Op, body []byte) int32 {
	r.t.Helper()
	r.xid++
	r.send(append(jute.RequestHeader{Xid: r.xid, Op: op}.Append(nil), body...))
	return r.xid
}

// answer reads the next answer, noting the events before it.
func (r *raw) answer() (jute.ReplyHeader, []byte, error) {
	r.events = nil
	for {
		b, err := r.frame()
		if err != nil {
			return jute.ReplyHeader{}, nil, err
		}
		d := jute.NewDecoder(b)
		var h jute.ReplyHeader
		h.Decode(&d)
		if h.Xid == jute.XidEvent {
			typ, state, path := d.Int32(), d.Int32(), d.Clone()
			r.events = append(r.events, fmt.Sprintf("event %d %d %s zxid=%d", typ, state, path, h.Zxid))
			continue
		}
		return h, d.Rest(), d.Err()
	}
}

// do asks and waits.
func (r *raw) do(op jute.Op, body []byte) (jute.ReplyHeader, []byte) {
	r.t.Helper()
	xid := r.ask(op, body)
	h, b, err := r.answer()
	if err != nil {
		r.t.Fatalf("%v: %v", op, err)
	}
	if h.Xid != xid {
		r.t.Fatalf("%v: answer to %d, not to %d", op, h.Xid, xid)
	}
	return h, b
}
