package zkserver_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"gregor/zkmeta/zkserver"
)

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// start runs a server on a free port until the test ends.
func start(t testing.TB, o zkserver.Options) (*zkserver.Server, string) {
	t.Helper()
	s, err := zkserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, zkserver.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, ln.Addr().String()
}

// client connects and waits for the session.
func client(t testing.TB, addr string) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect([]string{addr}, 10*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for e := range events {
		if e.State == zk.StateHasSession {
			break
		}
	}
	return c
}

var everybody = zk.WorldACL(zk.PermAll)

func TestClientSeesAZooKeeper(t *testing.T) {
	for _, memory := range []bool{true, false} {
		t.Run(fmt.Sprint("memory=", memory), func(t *testing.T) {
			_, addr := start(t, zkserver.Options{InMemory: memory, DataDir: t.TempDir()})
			c, other := client(t, addr), client(t, addr)
			if _, err := c.Create("/a", []byte("1"), 0, everybody); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Create("/a", nil, 0, everybody); err != zk.ErrNodeExists {
				t.Errorf("create again: %v", err)
			}
			data, stat, events, err := other.GetW("/a")
			if err != nil || string(data) != "1" || stat.Version != 0 {
				t.Fatalf("get: %q %+v %v", data, stat, err)
			}
			if _, err := c.Set("/a", []byte("2"), 0); err != nil {
				t.Fatal(err)
			}
			if e := <-events; e.Type != zk.EventNodeDataChanged || e.Path != "/a" {
				t.Errorf("event %+v", e)
			}
			if _, err := c.Set("/a", []byte("2"), 0); err != zk.ErrBadVersion {
				t.Errorf("old version: %v", err)
			}
			if p, err := c.Create("/a/s-", nil, zk.FlagSequence|zk.FlagEphemeral, everybody); err != nil || p != "/a/s-0000000000" {
				t.Errorf("sequential: %q %v", p, err)
			}
			kids, stat, events, err := other.ChildrenW("/a")
			if err != nil || len(kids) != 1 || stat.Cversion != 1 {
				t.Errorf("children: %v %+v %v", kids, stat, err)
			}
			c.Close()
			if e := <-events; e.Type != zk.EventNodeChildrenChanged {
				t.Errorf("event %+v", e)
			}
			res, err := other.Multi(&zk.CheckVersionRequest{Path: "/a", Version: 1}, &zk.CreateRequest{Path: "/b", Acl: everybody},
				&zk.DeleteRequest{Path: "/none", Version: -1}, &zk.DeleteRequest{Path: "/a", Version: -1})
			if err != zk.ErrNoNode || len(res) != 4 || res[1].Error != nil || res[2].Error != zk.ErrNoNode {
				t.Errorf("multi: %+v %v", res, err)
			}
			if ok, _, _ := other.Exists("/b"); ok {
				t.Error("a failed multi left a znode")
			}
		})
	}
}
