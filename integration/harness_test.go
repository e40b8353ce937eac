package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// interop skips the test unless it was asked for, and returns the broker under test and a context that ends with the test.
func interop(t *testing.T, limit time.Duration) (peer.Kind, context.Context) {
	t.Helper()
	if os.Getenv("GREGOR_INTEROP") != "1" {
		t.Skip("run by make interop")
	}
	kind := peer.Gregor
	if k := os.Getenv("INTEROP_BROKER"); k != "" {
		kind = peer.Kind(k)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return kind, ctx
}

func full() bool { return os.Getenv("FULL") == "1" }

var tree = sync.OnceValues(func() (*clients.Tree, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	tr, err := clients.ReadTree(filepath.Join(strings.TrimSpace(string(goroot)), "src"))
	if err != nil {
		return nil, err
	}
	if n, _ := strconv.Atoi(os.Getenv("INTEROP_PART")); n > 1 {
		tr = tr.Part(n)
	}
	return tr, nil
})

func sourceTree(t *testing.T) *clients.Tree {
	t.Helper()
	tr, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func tools(t *testing.T) *clients.Tools {
	t.Helper()
	tl, err := clients.New()
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// startBroker starts a broker; a Kafka gets a real ZooKeeper unless o says which.
func startBroker(t *testing.T, ctx context.Context, o peer.Options) *peer.Broker {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Kind == peer.Kafka && o.ZooKeeper == "" {
		o.ZooKeeper = startZooKeeper(t, ctx).Addr
	}
	b, err := peer.StartBroker(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		if t.Failed() {
			t.Logf("the end of the broker's log:\n%s", b.Tail())
		}
	})
	return b
}

func startZooKeeper(t *testing.T, ctx context.Context) *peer.ZooKeeper {
	t.Helper()
	zk, err := peer.StartZooKeeper(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(zk.Close)
	return zk
}

// stop ends a broker cleanly.
func stop(t *testing.T, b *peer.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// produce and consume run a client over the tree's records and fail the test if it fails.
func produce(t *testing.T, ctx context.Context, p clients.Producer, j clients.Job, tr *clients.Tree) {
	t.Helper()
	began := time.Now()
	if err := p.Produce(ctx, j, tr.Each); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d records by %s, %s: %.1f s", j.Topic, tr.Records, p.Name, j.Codec, time.Since(began).Seconds())
}

func consume(t *testing.T, ctx context.Context, c clients.Consumer, j clients.Job, tr *clients.Tree) {
	t.Helper()
	began := time.Now()
	check := clients.NewCheck(tr)
	if err := c.Consume(ctx, j, check.Add); err != nil {
		t.Error(err)
		return
	}
	if err := check.Result(); err != nil {
		t.Errorf("%s read by %s: %v", j.Topic, c.Name, err)
		return
	}
	t.Logf("%s: %d records by %s: %.1f s", j.Topic, check.Records, c.Name, time.Since(began).Seconds())
}

func find[T any](t *testing.T, all []T, name func(T) string, want string) T {
	t.Helper()
	for _, x := range all {
		if name(x) == want {
			return x
		}
	}
	t.Fatalf("no client named %s", want)
	panic("unreachable")
}

func producer(t *testing.T, name string) clients.Producer {
	t.Helper()
	return find(t, tools(t).Producers(), func(p clients.Producer) string { return p.Name }, name)
}

func consumer(t *testing.T, name string) clients.Consumer {
	t.Helper()
	return find(t, tools(t).Consumers(), func(c clients.Consumer) string { return c.Name }, name)
}
