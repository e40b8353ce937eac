package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// GregorBinary is the binary under test: $GREGOR_BIN, or bin/gregor of the checkout.
func GregorBinary() (string, error) {
	bin := os.Getenv("GREGOR_BIN")
	if bin == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		bin = filepath.Join(root, "bin", "gregor")
	}
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("run make build first: %w", err)
	}
	return bin, nil
}

// StartGregorZooKeeper starts Gregor's ZooKeeper alone, on data under dir.
func StartGregorZooKeeper(ctx context.Context, dir string) (*ZooKeeper, error) {
	bin, err := GregorBinary()
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
	z := &ZooKeeper{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Dir: dir, start: func() (*Process, error) {
		return startProcess(dir, "gregor-zookeeper", nil, bin, "zookeeper-server-start", config)
	}}
	return z.run(ctx)
}
