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
	if os.Getenv("GREGOR_TORTURE") != "1" && os.Getenv("GREGOR_INTEROP") != "1" {
		t.Skip("run by make torture")
	}
	seed := uint64(1) // the short choice beside the interop tests
	if os.Getenv("GREGOR_TORTURE") == "1" {
		seed = uint64(time.Now().Unix())
	}
	o, err := FromEnvironment(Options{
		Seed: seed, For: time.Minute, Kinds: []peer.Kind{peer.Gregor, peer.Gregor, peer.Gregor, peer.Gregor},
		Load: cluster.LoadOptions{Producers: 3, Readers: 2, PerSecond: 300}, Dir: t.TempDir(), Logf: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("SEED=%d", o.Seed)
	ctx, cancel := context.WithTimeout(t.Context(), o.For+5*time.Minute)
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
