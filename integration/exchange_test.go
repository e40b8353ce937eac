package integration

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// TestDirectoriesAreExchanged: what one broker wrote, the other opens, reads, adds to, and gives back, on one data directory and one
// ZooKeeper, after clean stops and after kill -9.
func TestDirectoriesAreExchanged(t *testing.T) {
	_, ctx := interop(t, 30*time.Minute)
	tr := sourceTree(t).Part(10)
	for _, c := range []struct {
		name          string
		first, second peer.Kind
		embedded      bool // on Gregor's ZooKeeper instead of Debian's
		unclean       bool
	}{
		{"gregor to kafka", peer.Gregor, peer.Kafka, false, false},
		{"kafka to gregor", peer.Kafka, peer.Gregor, false, false},
		{"gregor to kafka killed", peer.Gregor, peer.Kafka, false, true},
		{"kafka to gregor killed", peer.Kafka, peer.Gregor, false, true},
		{"gregor to kafka on Gregor's ZooKeeper", peer.Gregor, peer.Kafka, true, false},
		{"kafka to gregor on Gregor's ZooKeeper", peer.Kafka, peer.Gregor, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := exchange{ctx: ctx, tree: tr, unclean: c.unclean, dir: t.TempDir()}
			if c.embedded {
				zk, err := peer.StartGregorZooKeeper(ctx, t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(zk.Close)
				x.zooKeeper = zk.Addr
			} else {
				x.zooKeeper = startZooKeeper(t, ctx).Addr
			}
			x.turn(t, c.first)
			x.turn(t, c.second)
			x.turn(t, c.first)
			x.turn(t, c.second)
		})
	}
}

type exchange struct {
	ctx       context.Context
	tree      *clients.Tree
	unclean   bool
	dir       string
	zooKeeper string

	topics []clients.Job // written so far
}

// turn starts a broker on the directory, reads all that is there, adds topics, and stops.
func (x *exchange) turn(t *testing.T, kind peer.Kind) {
	t.Helper()
	o := peer.Options{Kind: kind, Dir: x.dir, ZooKeeper: x.zooKeeper, ID: 1, Config: map[string]string{
		"log.segment.bytes": "1048576", "log.index.interval.bytes": "512",
	}}
	b, err := peer.StartWhenFree(x.ctx, o)
	if err != nil {
		t.Fatalf("turn %d: %v", len(x.topics), err)
	}
	defer b.Close()
	t.Logf("%s has opened it in %.2f s", kind, b.Started.Seconds())
	for i := range x.topics {
		x.topics[i].Addr = b.Addr
		name := "java-2.7.2"
		if i%2 == 1 {
			name = "kcat"
		}
		consume(t, x.ctx, consumer(t, name), x.topics[i], x.tree)
	}
	if !x.unclean {
		mustNotRepair(t, b)
	}
	codec := clients.Codecs[len(x.topics)%len(clients.Codecs)]
	j := clients.Job{Addr: b.Addr, Topic: string(kind) + "-" + codec, Codec: codec, Idempotent: true}
	if err := clients.CreateTopic(x.ctx, b.Addr, j.Topic, partitions, nil); err != nil {
		t.Fatal(err)
	}
	produce(t, x.ctx, producer(t, "franz-go"), j, x.tree)
	x.topics = append(x.topics, j)
	if x.unclean {
		b.Kill()
		return
	}
	stop(t, b)
}

// mustNotRepair: after a clean stop there is nothing to recover and no index to rebuild.
func mustNotRepair(t *testing.T, b *peer.Broker) {
	t.Helper()
	log, err := os.ReadFile(b.Log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		for _, sign := range []string{"Found a corrupted index", "Recovering unflushed segment", "Could not find offset index", "Rebuilding", " ERROR "} {
			if strings.Contains(line, sign) {
				t.Errorf("%s: %s", b.Kind, line)
			}
		}
	}
}
