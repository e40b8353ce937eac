package controller

import (
	"net"
	"os"
	"testing"
	"time"

	"gregor/zkmeta/zkserver"
)

// startZooKeeper starts an embedded server of the test's own, or names the one that GREGOR_TEST_ZOOKEEPER=host:port says.
func startZooKeeper(t testing.TB) string {
	t.Helper()
	if addr := os.Getenv("GREGOR_TEST_ZOOKEEPER"); addr != "" {
		return addr
	}
	s, err := zkserver.New(zkserver.Options{InMemory: true, TickTime: 200 * time.Millisecond, MaxSessionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	return ln.Addr().String()
}
