package peer

import (
	"context"
	"net"
	"os"
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

// StartGregorZooKeeper starts Gregor's ZooKeeper alone, on data under dir.
func StartGregorZooKeeper(ctx context.Context, dir string) (*ZooKeeper, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "zookeeper.properties")
	err = writeProperties(config, map[string]string{
		"clientPort": strconv.Itoa(port), "clientPortAddress": "127.0.0.1", "dataDir": filepath.Join(dir, "data"), "tickTime": "2000",
		"maxClientCnxns": "0", "4lw.commands.whitelist": "*",
	})
	if err != nil {
		return nil, err
	}
	p, err := startProcess(dir, "gregor-zookeeper", nil, filepath.Join(root, "bin", "gregor"), "zookeeper-server-start", config)
	if err != nil {
		return nil, err
	}
	z := &ZooKeeper{Process: p, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Dir: dir}
	if err := z.waitServing(ctx); err != nil {
		z.Close()
		return nil, err
	}
	return z, nil
}
