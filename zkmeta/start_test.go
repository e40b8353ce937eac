package zkmeta

import (
	"os"
	"testing"
)

func startZooKeeper(t testing.TB) string {
	addr := os.Getenv("GREGOR_TEST_ZOOKEEPER")
	if addr == "" {
		t.Skip("no ZooKeeper")
	}
	return addr
}
