// Command golden records storage/testdata/golden from Apache Kafka 2.7.2: it sends Produce requests, keeps them and their answers,
// stops the broker, and keeps its directory. It runs by `make golden`; arguments choose cases by name.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"gregor/integration/peer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "golden:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	root, err := peer.Root()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "gregor-golden-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	zk, err := peer.StartZooKeeper(ctx, filepath.Join(tmp, "zookeeper"))
	if err != nil {
		return err
	}
	defer zk.Close()
	for _, p := range plans() {
		if len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		began := time.Now()
		r := &recorder{plan: p, zk: zk.Addr, tmp: filepath.Join(tmp, p.Name), out: filepath.Join(root, "storage", "testdata", "golden", p.Name)}
		if err := r.record(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		fmt.Printf("%-28s %d steps, %d bytes, %.1f s\n", p.Name, len(r.Steps), r.bytes, time.Since(began).Seconds())
	}
	return nil
}
