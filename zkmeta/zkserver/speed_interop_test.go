//go:build interop

package zkserver_test

import (
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver"
)

// TestSpeedBesideApache prints the same work on both servers, one after the other.
func TestSpeedBesideApache(t *testing.T) {
	_, ours := start(t, zkserver.Options{DataDir: t.TempDir()})
	theirs := apache(t)
	t.Logf("%-44s %12s %12s %6s", "operations per second", "Apache", "ours", "ratio")
	for _, w := range []struct {
		name  string
		count int
		each  int // operations in one request
		depth int
		req   func(i int) (jute.Op, []byte)
	}{
		{"create, 1 in flight", 1000, 1, 1, func(i int) (jute.Op, []byte) { return jute.OpCreate, create("/one"+strconv.Itoa(i), 0) }},
		{"create, 1,000 in flight", 20000, 1, 1000, func(i int) (jute.Op, []byte) { return jute.OpCreate, create("/many"+strconv.Itoa(i), 0) }},
		{"multi of 1,000 creates, 16 in flight", 100, 1000, 16, func(i int) (jute.Op, []byte) { return jute.OpMulti, multiCreate(i) }},
		{"conditional set, 1 in flight", 2000, 1, 1, func(i int) (jute.Op, []byte) {
			return jute.OpSetData, (&jute.SetDataRequest{Path: "/one0", Data: make([]byte, 80), Version: int32(i)}).Append(nil)
		}},
		{"get, 1 in flight", 5000, 1, 1, get},
		{"get, 1,000 in flight", 200000, 1, 1000, get},
		{"multi-read of 1,000, 4 in flight", 200, 1000, 4, func(i int) (jute.Op, []byte) {
			paths := make([]string, 1000)
			for j := range paths {
				paths[j] = fmt.Sprintf("/part-%d-%d", i%100, j)
			}
			return jute.OpMultiRead, jute.AppendMultiRead(nil, paths)
		}},
		{"multi of 1,000 sets, 16 in flight", 200, 1000, 16, func(i int) (jute.Op, []byte) {
			var b []byte
			for j := range 1000 {
				b = (&jute.SetDataRequest{Path: fmt.Sprintf("/part-%d-%d", i%100, j), Data: make([]byte, 80), Version: -1}).Append(jute.MultiHeader{Op: jute.OpSetData}.Append(b))
			}
			return jute.OpMulti, jute.MultiEnd.Append(b)
		}},
	} {
		var rate [2]float64
		for i, addr := range []string{theirs, ours} {
			rate[i] = float64(w.count*w.each) / pipeline(t, addr, w.count, w.depth, w.req).Seconds()
		}
		t.Logf("%-44s %12.0f %12.0f %6.1f", w.name, rate[0], rate[1], rate[1]/rate[0])
	}
}

func get(i int) (jute.Op, []byte) {
	return jute.OpGetData, (&jute.PathWatch{Path: "/one" + strconv.Itoa(i%1000)}).Append(nil)
}

func multiCreate(i int) []byte {
	var b []byte
	for j := range 1000 {
		b = append(jute.MultiHeader{Op: jute.OpCreate}.Append(b), create(fmt.Sprintf("/part-%d-%d", i, j), 0)...)
	}
	return jute.MultiEnd.Append(b)
}

// pipeline sends count requests with depth in flight and waits for all answers, which must be good.
func pipeline(t *testing.T, addr string, count, depth int, req func(int) (jute.Op, []byte)) time.Duration {
	t.Helper()
	r := openRaw(t, addr)
	frames := make([][]byte, count)
	for i := range frames {
		op, body := req(i)
		b := append(jute.RequestHeader{Xid: int32(i + 1), Op: op}.Append(nil), body...)
		frames[i] = append(jute.AppendInt32(nil, int32(len(b))), b...)
	}
	room := make(chan struct{}, depth)
	begun := time.Now()
	go func() {
		for i := 0; i < count; {
			room <- struct{}{}
			batch := append([]byte(nil), frames[i]...)
			for i++; i < count && len(batch) < 64<<10; i++ { // whatever there is room for goes in one write
				select {
				case room <- struct{}{}:
					batch = append(batch, frames[i]...)
					continue
				default:
				}
				break
			}
			if _, err := r.nc.Write(batch); err != nil {
				return
			}
		}
	}()
	in := &reader{r: r.nc, buf: make([]byte, 0, 1<<20)}
	for i := range count {
		b, err := in.frame()
		if err != nil {
			t.Fatal(err)
		}
		d := jute.NewDecoder(b)
		var h jute.ReplyHeader
		h.Decode(&d)
		if h.Code != 0 || h.Xid != int32(i+1) {
			t.Fatalf("answer %d: %+v", i, h)
		}
		<-room
	}
	return time.Since(begun)
}

// reader reads frames with few system calls.
type reader struct {
	r   io.Reader
	buf []byte
	at  int
}

func (r *reader) frame() ([]byte, error) {
	for {
		if rest := r.buf[r.at:]; len(rest) >= 4 {
			d := jute.NewDecoder(rest)
			if n := int(d.Int32()); len(rest) >= 4+n {
				r.at += 4 + n
				return rest[4 : 4+n], nil
			}
		}
		if r.at > 0 {
			r.buf = append(r.buf[:0], r.buf[r.at:]...)
			r.at = 0
		}
		if len(r.buf) == cap(r.buf) {
			r.buf = append(r.buf, 0)[:len(r.buf)]
		}
		n, err := r.r.Read(r.buf[len(r.buf):cap(r.buf)])
		if err != nil {
			return nil, err
		}
		r.buf = r.buf[:len(r.buf)+n]
	}
}
