// Package gcpace sets how often the garbage collector runs, for the whole process: seldom while the heap is small, so that collecting costs
// little CPU, and more often as it grows, so that a broker with 100,000 partitions does not take three times the memory that it holds.
//
// Owns: GOGC of the process, once Follow was called. Guarded by: mu. Imports: the standard library. Kafka's counterpart: the options of the
// JVM in kafka-run-class.sh.
package gcpace

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// most is GOGC of a small heap, least of a large one. In between, garbage may come to room bytes.
	most  = 200
	least = 50
	room  = 128 << 20
	// eager is GOGC while somebody holds it low.
	eager = 20
)

var (
	mu        sync.Mutex
	holds     int
	normal    int // GOGC when nobody holds it low; valid while holds > 0 or following
	following bool
)

// Follow lets GOGC depend on the live heap from here on, which is looked at after each collection.
func Follow() {
	mu.Lock()
	defer mu.Unlock()
	if following {
		return
	}
	following = true
	setLocked(most)
	// An object that nothing refers to is found by each collection, and its finalizer makes it such an object again.
	type mark struct{ self *mark }
	var again func(*mark)
	again = func(m *mark) {
		adjust(live())
		runtime.SetFinalizer(m, again)
	}
	runtime.SetFinalizer(new(mark), again)
}

// live is what the last collection left, in bytes.
func live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func percent(live uint64) int {
	return int(min(most, max(least, room*100/max(live, 1))))
}

func adjust(live uint64) {
	mu.Lock()
	defer mu.Unlock()
	// Setting it stops the world for a moment: not for a trifle.
	if p := percent(live); p > normal+normal/8 || p < normal-normal/8 {
		setLocked(p)
	}
}

func setLocked(p int) {
	normal = p
	if holds == 0 {
		debug.SetGCPercent(p)
	}
}

// Hold has the collector run often until release is called, which may be done once. It works without Follow too.
func Hold() (release func()) {
	mu.Lock()
	defer mu.Unlock()
	if holds++; holds == 1 {
		before := debug.SetGCPercent(eager)
		if !following {
			normal = before
		}
	}
	return func() {
		mu.Lock()
		defer mu.Unlock()
		if holds--; holds == 0 {
			debug.SetGCPercent(normal)
		}
	}
}
