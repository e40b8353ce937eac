package zkserver_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver"
)

// BenchmarkOpen opens a store of 250,000 znodes, once from its checkpoint and once from its log.
func BenchmarkOpen(b *testing.B) {
	for _, from := range []string{"checkpoint", "log"} {
		b.Run(from, func(b *testing.B) {
			dir := b.TempDir()
			fill(b, dir, from == "checkpoint")
			var heap runtime.MemStats
			for b.Loop() {
				copied := b.TempDir()
				if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
					b.Fatal(err)
				}
				begun := time.Now()
				s, err := zkserver.New(zkserver.Options{DataDir: copied})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms/open")
				runtime.GC()
				runtime.ReadMemStats(&heap)
				b.ReportMetric(float64(heap.HeapAlloc)/(1<<20), "MB-heap")
				_ = s.Close()
			}
		})
	}
}

// fill makes 125 topics of 1,000 partitions with their states.
func fill(b *testing.B, dir string, clean bool) {
	b.Helper()
	s, err := zkserver.New(zkserver.Options{DataDir: dir})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	r := openRaw(b, ln.Addr().String())
	state := []byte(`{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1]}`)
	for topic := range 125 {
		for _, p := range []string{"", "/partitions"} {
			r.do(jute.OpCreate, create(fmt.Sprintf("/topic-%d%s", topic, p), 0))
		}
		var m []byte
		for p := range 1000 {
			path := fmt.Sprintf("/topic-%d/partitions/%d", topic, p)
			m = append(jute.MultiHeader{Op: jute.OpCreate}.Append(m), create(path, 0)...)
			q := jute.CreateRequest{Path: path + "/state", Data: state, ACLs: []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: "world", ID: "anyone"}}}}
			m = q.Append(jute.MultiHeader{Op: jute.OpCreate}.Append(m))
		}
		if h, _ := r.do(jute.OpMulti, jute.MultiEnd.Append(m)); h.Code != 0 {
			b.Fatal(h.Code)
		}
	}
	if !clean {
		// What a killed server leaves: the log, copied before the clean stop turns it into a checkpoint.
		saved := b.TempDir()
		if err := os.CopyFS(saved, os.DirFS(dir)); err != nil {
			b.Fatal(err)
		}
		defer func() {
			if err := os.RemoveAll(dir); err != nil {
				b.Fatal(err)
			}
			if err := os.CopyFS(dir, os.DirFS(saved)); err != nil {
				b.Fatal(err)
			}
		}()
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
