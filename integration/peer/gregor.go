package peer

import (
	"path/filepath"
	"strconv"
)

// gregorCommand is how Gregor's broker is started from a configuration file.
func gregorCommand(bin, config string) []string {
	return []string{bin, "kafka-server-start", config}
}

// embeddedZooKeeperEnv makes a Gregor serve ZooKeeper itself.
func embeddedZooKeeperEnv(dir string, port int) []string {
	return []string{
		"GREGOR_ZOOKEEPER_PORT=" + strconv.Itoa(port),
		"GREGOR_ZOOKEEPER_DIR=" + filepath.Join(dir, "zookeeper"),
	}
}
