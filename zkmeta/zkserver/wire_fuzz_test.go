package zkserver_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver"
)

// FuzzConnection: no bytes from a client bring the server down or out of step with another client.
func FuzzConnection(f *testing.F) {
	frame := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	hello := frame((&jute.ConnectRequest{TimeoutMs: 4000, Password: make([]byte, 16), HasReadOnly: true}).Append(nil))
	request := func(op jute.Op, body []byte) []byte {
		return frame(append(jute.RequestHeader{Xid: 1, Op: op}.Append(nil), body...))
	}
	for op := jute.Op(-11); op <= 110; op++ {
		f.Add(true, request(op, (&jute.CreateRequest{Path: "/a", Flags: 3}).Append(nil)))
	}
	f.Add(true, request(jute.OpMulti, jute.MultiEnd.Append(nil)))
	f.Add(true, request(jute.OpSetWatches, (&jute.SetWatches{Data: []string{"/"}, Child: []string{"/a"}}).Append(nil, false)))
	f.Add(false, []byte("mntr"))
	f.Add(false, hello[:20])
	_, addr := start(f, zkserver.Options{InMemory: true})
	witness := openRaw(f, addr)
	f.Fuzz(func(t *testing.T, connected bool, data []byte) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if connected {
			data = append(hello[:len(hello):len(hello)], data...)
		}
		_, _ = c.Write(data)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		witness.t = t
		_ = witness.nc.SetDeadline(time.Now().Add(10 * time.Second))
		xid := witness.ask(jute.OpPing, nil)
		if h, _, err := witness.answer(); err != nil || h.Xid != xid {
			t.Fatal("another client:", h, err)
		}
	})
}
