package gcpace

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// present is GOGC as it is now.
func present() int {
	p := debug.SetGCPercent(100)
	debug.SetGCPercent(p)
	return p
}

func TestPercentFallsAsTheHeapGrows(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 200}, {10 << 20, 200}, {64 << 20, 200}, {128 << 20, 100}, {200 << 20, 64}, {256 << 20, 50}, {8 << 30, 50}} {
		if got := percent(c.live); got != c.want {
			t.Errorf("%d MB live: %d, not %d", c.live>>20, got, c.want)
		}
	}
}

func TestHoldWithoutFollowRestoresWhatWasThere(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(150))
	a, b := Hold(), Hold()
	if p := present(); p != eager {
		t.Errorf("held: %d", p)
	}
	a()
	if p := present(); p != eager {
		t.Errorf("still held by another: %d", p)
	}
	b()
	if p := present(); p != 150 {
		t.Errorf("released: %d", p)
	}
}

func TestFollow(t *testing.T) {
	defer debug.SetGCPercent(present())
	Follow()
	if p := present(); p != most {
		t.Fatalf("at first: %d", p)
	}
	held := make([]byte, 300<<20)
	// The finalizer runs some time after the collection that finds its object.
	for p := most; p == most; p = present() {
		runtime.GC()
	}
	if p := present(); p != least {
		t.Errorf("with 300 MB live: %d", p)
	}
	release := Hold()
	adjust(1 << 20)
	if p := present(); p != eager {
		t.Errorf("held while the heap shrinks: %d", p)
	}
	release()
	if p := present(); p != most {
		t.Errorf("released: %d", p)
	}
	runtime.KeepAlive(held)
}
