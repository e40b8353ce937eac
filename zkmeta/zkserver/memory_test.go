package zkserver_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"gregor/internal/vfs"
	"gregor/zkmeta/zkserver"
)

// serveMem runs f with a client of a server on fsys, and stops the server cleanly if asked.
func serveMem(t *testing.T, fsys vfs.FS, f func(c *zk.Conn)) *zkserver.Server {
	t.Helper()
	s, err := zkserver.New(zkserver.Options{FS: fsys, DataDir: "/memory/zk"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
	c, _, err := zk.Connect([]string{ln.Addr().String()}, 10*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	f(c)
	c.Close()
	return s
}

// In memory a server keeps everything over a clean stop and over a power cut, locks its directory, and touches no file.
func TestOnMemory(t *testing.T) {
	mem := vfs.NewMem()
	s := serveMem(t, mem, func(c *zk.Conn) {
		for i := range 50 {
			if _, err := c.Create(fmt.Sprintf("/z%d", i), []byte("x"), 0, everybody); err != nil {
				t.Fatal(err)
			}
		}
	})
	if _, err := zkserver.New(zkserver.Options{FS: mem, DataDir: "/memory/zk"}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second server: %v", err)
	}
	count := func(c *zk.Conn) int {
		names, _, err := c.Children("/")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	crashed := mem.CrashClone() // only the log is there
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, fsys := range map[string]vfs.FS{"clean": mem, "crashed": crashed, "crashed after the checkpoint": mem.CrashClone()} {
		serveMem(t, fsys, func(c *zk.Conn) {
			if n := count(c); n != 51 { // and /zookeeper
				t.Errorf("%s: %d znodes", name, n)
			}
			if err := c.Delete("/z0", -1); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}).Close()
		serveMem(t, fsys, func(c *zk.Conn) {
			if n := count(c); n != 50 {
				t.Errorf("%s, started again: %d znodes", name, n)
			}
		})
	}
	if _, err := os.Stat("/memory"); err == nil {
		t.Error("a directory was made on the real file system")
	}
}
