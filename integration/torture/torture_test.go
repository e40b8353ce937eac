package torture

import (
	"context"
	"os"
	"testing"
	"time"

	"gregor/integration/cluster"
	"gregor/integration/peer"
)

// TestTorture: see doc.go. A failing run is repeated with the SEED that it printed; processes decide the rest.
func TestTorture(t *testing.T) {
	run(t, Options{Seed: 1, For: time.Minute}) // the seed beside the interop tests; else it is the time
}

// TestCoordinatorsTortured is the short choice of the other workloads beside the interop tests. With FULL=1 it is as long as TestTorture.
func TestCoordinatorsTortured(t *testing.T) {
	if os.Getenv("GREGOR_TORTURE") == "1" {
		t.Skip("make torture WORKLOAD=txn")
	}
	for _, workload := range []string{"txn", "groups"} {
		t.Run(workload, func(t *testing.T) {
			// This seed kills a broker, then one that leads a partition of the workload's internal topic, and pauses another such.
			o := Options{Seed: 1423, For: 5 * time.Second, Workload: workload, Faults: []string{"kill", "pause", "elect", "reassign"}}
			if os.Getenv("FULL") == "1" {
				o.For, o.Faults = time.Minute, nil
			}
			run(t, o)
		})
	}
}

func run(t *testing.T, o Options) {
	if os.Getenv("GREGOR_TORTURE") != "1" && os.Getenv("GREGOR_INTEROP") != "1" {
		t.Skip("run by make torture")
	}
	if os.Getenv("GREGOR_TORTURE") == "1" {
		o.Seed = uint64(time.Now().Unix())
	}
	o.Kinds, o.Dir, o.Logf = []peer.Kind{peer.Gregor, peer.Gregor, peer.Gregor, peer.Gregor}, t.TempDir(), t.Logf
	o.Load = cluster.LoadOptions{Producers: 3, Readers: 2, PerSecond: 300}
	o, err := FromEnvironment(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("SEED=%d", o.Seed)
	limit := o.For + 5*time.Minute
	if o.Matrix {
		limit = 3 * time.Hour
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("SEED=%d: %v", o.Seed, r)
	if len(r.Problems) > 0 {
		t.Fail()
	}
}
