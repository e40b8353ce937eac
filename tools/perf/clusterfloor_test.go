package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gregor/wire/record"
)

// smallFloorLog is a log in a directory of its own that rolls each 64 KB and keeps 128.
func smallFloorLog(t *testing.T) *floorLog {
	l := newFloorLog(t.TempDir())
	l.segment, l.retention = 64<<10, 128<<10
	return l
}

// contents is what a log's files hold, in order, and how many there are.
func contents(t *testing.T, l *floorLog) (all []byte, files int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(l.dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all, len(names)
}

func TestFloorLogRollsSyncsAndDeletes(t *testing.T) {
	l := smallFloorLog(t)
	var want []byte
	var old *floorSegment
	for i := range 100 {
		b := bytes.Repeat([]byte{byte(i)}, 10<<10)
		s, pos, err := l.append(b)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(b))
		if _, err := s.f.ReadAt(got, pos); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("what append %d wrote is not where it says: %v", i, err)
		}
		if i == 0 {
			old = s
		}
		want = append(want, b...)
	}
	if got, files := contents(t, l); files != 17 || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes in %d files, want %d in 17", len(got), files, len(want))
	}
	count := func(one func() bool) (n int) {
		for one() {
			n++
		}
		return n
	}
	if n := count(l.syncOne); n != 16 {
		t.Errorf("%d segments were synced, want the 16 that were rolled", n)
	}
	// Six frames fill a segment; the last has four. Three segments have 160 KB, two have 100.
	if n := count(l.deleteOne); n != 14 {
		t.Errorf("%d segments were deleted, want 14", n)
	}
	if got, files := contents(t, l); files != 3 || !bytes.HasSuffix(want, got) || len(got) != 160<<10 {
		t.Errorf("%d bytes in %d files are left, want the last 160 KB in 3", len(got), files)
	}
	if _, err := old.f.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a deleted segment is still open")
	}
	if l.mu.err != nil {
		t.Error(l.mu.err)
	}
}

// floorCluster runs a leader and its followers here rather than in processes of their own.
type floorCluster struct {
	addr  string
	logs  []*floorLog // the leader's is the first
	ended chan error
}

func startFloorCluster(t *testing.T) *floorCluster {
	t.Helper()
	c := &floorCluster{ended: make(chan error, 1+floorFollowers)}
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		return ln
	}
	var addrs []string
	c.logs = append(c.logs, smallFloorLog(t))
	for range floorFollowers {
		ln, l := listen(), smallFloorLog(t)
		c.logs = append(c.logs, l)
		addrs = append(addrs, ln.Addr().String())
		go func() { c.ended <- followFloor(ln, l) }()
	}
	r, err := dialFloorFollowers(t.Context(), c.logs[0], addrs)
	if err != nil {
		t.Fatal(err)
	}
	ln := listen()
	c.addr = ln.Addr().String()
	go func() {
		err := r.serve(ln)
		r.close()
		c.ended <- err
	}()
	return c
}

// wait returns the first error with which one of them ended, once all have.
func (c *floorCluster) wait(t *testing.T) (first error) {
	t.Helper()
	for range cap(c.ended) {
		select {
		case err := <-c.ended:
			if first == nil {
				first = err
			}
		case <-time.After(time.Minute):
			t.Fatal("a process of the floor has not ended")
		}
	}
	return first
}

func TestClusterFloorWritesAllThreeTimes(t *testing.T) {
	c := startFloorCluster(t)
	p, err := dialPipe(t.Context(), c.addr, 5)
	if err != nil {
		t.Fatal(err)
	}
	// A small frame behind a large one must not be waited for as if it were large.
	var batches []record.Batch
	for _, size := range []int{50_000, 100, 3000} {
		b, _, err := plainBatch(100, size, 1)
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, b)
	}
	const n = 60
	var want []byte
	for i := range n {
		want = append(want, batches[i%len(batches)]...)
	}
	sent := make(chan error, 1)
	go func() {
		var head []byte
		for i := range n {
			var err error
			if head, err = p.send(context.Background(), head, "topic", 0, batches[i%len(batches)]); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range n {
		if err := p.receive(); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	// What is answered, all have.
	for i, l := range c.logs {
		if got, _ := contents(t, l); !bytes.Equal(got, want) {
			t.Errorf("log %d has %d bytes, or others than the %d that were sent", i, len(got), len(want))
		}
	}
	p.c.Close()
	if err := c.wait(t); err != nil {
		t.Error(err)
	}
}

// Half of a frame is there when the reader comes, and the rest, less than the reader had the system wait for, when that half was taken.
func TestFloorConnReadsWhatComesInTwo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c, err := acceptFloor(ln)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := bytes.Repeat([]byte("0123456789"), 6_000)
	if _, err := out.Write(want[:40_000]); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	read := make(chan error, 1)
	go func() { read <- c.readFull(got) }()
	for left := -1; left != 0; runtime.Gosched() {
		if left, err = unix.IoctlGetInt(c.fd, unix.TIOCINQ); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := out.Write(want[40_000:]); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-read:
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read something else: %v", err)
		}
	case <-time.After(time.Minute):
		c.stop()
		t.Error("the second half was not read")
		<-read
	}
}

func TestClusterFloorTakesTheCRC(t *testing.T) {
	c := startFloorCluster(t)
	p, err := dialPipe(t.Context(), c.addr, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer p.c.Close()
	b, _, err := plainBatch(100, 50_000, 1)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1]++
	if _, err := p.send(t.Context(), nil, "topic", 0, b); err != nil {
		t.Fatal(err)
	}
	if err := c.wait(t); err == nil || !strings.Contains(err.Error(), "wrong CRC") {
		t.Errorf("the leader ended with %v", err)
	}
}
