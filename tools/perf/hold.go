package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// leftFree is the memory that a measurement leaves to brokers, page cache and client: three of Kafka's brokers at work take about 7 GB.
const leftFree = 8 << 30

// holdMemory takes all memory but leftFree until the process ends, so that page cache is recycled as on a machine that has run for long. A
// virtual machine that has plenty of memory gives pages back to its host as soon as they are free, and each one that is taken again is paid to
// the host, up to three times what the copy into it costs: in what three replicas write that was more than half of a broker's CPU.
func holdMemory() error {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return nil // not Linux: nothing to even out
	}
	defer f.Close()
	var available int64
	for available == 0 {
		var key, unit string
		var n int64
		if _, err := fmt.Fscanf(f, "%s %d %s\n", &key, &n, &unit); err != nil {
			return fmt.Errorf("no MemAvailable in /proc/meminfo: %w", err)
		}
		if key == "MemAvailable:" {
			available = n << 10
		}
	}
	if available <= leftFree {
		return nil
	}
	b, err := unix.Mmap(-1, 0, int(available-leftFree), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map %d MB to hold: %w", (available-leftFree)>>20, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // faster, no more
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	return nil
}
