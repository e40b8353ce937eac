package replication

import (
	"slices"
	"testing"

	"gregor/wire/record"
)

// Of two fetches under way the second may bring again what the first brought.
func TestRepeatedBatchesAreLeftOut(t *testing.T) {
	var all []byte
	var starts []int
	for i := range 3 {
		b := record.Batch(slices.Clone(one(t)))
		b.SetBaseOffset(int64(10 + i))
		starts = append(starts, len(all))
		all = append(all, b...)
	}
	for offset, from := range map[int64]int{5: 0, 10: 0, 11: starts[1], 12: starts[2], 13: len(all), 99: len(all)} {
		if got := skipBefore(all, offset); len(got) != len(all)-from {
			t.Errorf("from %d on: %d bytes, want %d", offset, len(got), len(all)-from)
		}
	}
	if got := skipBefore(all[:starts[1]-1], 20); len(got) != starts[1]-1 {
		t.Error("half a batch is not for this function to judge")
	}
}
