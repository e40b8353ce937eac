package main

import (
	"fmt"
	"io"
)

// serveZooKeeper is `gregor zookeeper-server-start zookeeper.properties`.
//
// TO BE REPLACED by tools/zookeeperserver's Main.
func serveZooKeeper(_ []string, _ io.Reader, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "gregor: this build has no ZooKeeper")
	return 1
}
