package testcluster_test

import (
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// TestSeeds lets clusters in one process suffer, each what its seed decides: kills in the middle of operations, losses of power, cuts one way
// and both, delays, full disks, a ZooKeeper that dies, moves and elections. Nothing acknowledged may be lost, doubled or moved, and at the
// end all replicas are the same.
//
//	SEEDS=500      how many (default 6, or 1 under the race detector); FIRST=1 the first
//	SEED=17        one, with the brokers' logs
//	SIM_SECONDS=40 how long each suffers, in its own time
//	IBP=2.0        inter.broker.protocol.version; a seed has 2.7 or 2.6 otherwise
//
// A seed decides settings, the faults and their times, and the delays of the network; the order of goroutines it does not decide. So a failing seed
// usually fails again, and if not, then with -count=20.
func TestSeeds(t *testing.T) { runSeeds(t, false) }

// TestTransactionSeeds lets such clusters serve transactions: tellers transfer money between two partitions, abort, and are fenced by their
// successors. No reader of committed records may see half of a transfer, one that was aborted, or miss one that was committed.
func TestTransactionSeeds(t *testing.T) { runSeeds(t, true) }

func runSeeds(t *testing.T, bank bool) {
	number := func(name string, def int) int {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatalf("%s=%s: %v", name, s, err)
			}
			return n
		}
		return def
	}
	count, first := number("SEEDS", seeds), number("FIRST", 1)
	if one := number("SEED", 0); one != 0 {
		count, first = 1, one
	}
	lasts := time.Duration(number("SIM_SECONDS", 40)) * time.Second
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			s := &sim{seed: uint64(seed), extra: map[string]string{}, bank: bank}
			if bank {
				maps.Copy(s.extra, map[string]string{"transaction.state.log.num.partitions": "2", "transaction.state.log.replication.factor": "3",
					"transaction.state.log.min.isr": "2", "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"})
			}
			if os.Getenv("SEED") != "" {
				s.logs = os.Stderr
			}
			if v := os.Getenv("IBP"); v != "" {
				s.extra["inter.broker.protocol.version"] = v
			}
			// In a bubble nothing takes long: if it does, somebody waits for a mutex whose holder waits for time to pass.
			stuck := time.AfterFunc(stuckAfter, func() {
				for _, line := range s.tell() {
					fmt.Fprintln(os.Stderr, line)
				}
				debug.SetTraceback("all")
				panic(fmt.Sprintf("SEED=%d hangs", seed))
			})
			defer stuck.Stop()
			synctest.Test(t, func(*testing.T) { s.run(lasts) })
			if len(s.problems) > 0 {
				for _, line := range s.story {
					t.Log(line)
				}
				t.Errorf("replay with SEED=%d", seed)
			} else {
				t.Log(s.story[len(s.story)-1])
			}
		})
	}
}

// stuckAfter is in real time: a seed takes a second or two of a processor.
const stuckAfter = 3 * time.Minute
