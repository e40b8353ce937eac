package broker

import (
	"slices"
	"testing"
)

func TestThrottledReplicas(t *testing.T) {
	for list, want := range map[string]struct {
		all        bool
		partitions []int32
	}{
		"": {}, "*": {all: true}, "0:1,1:2,3:1": {partitions: []int32{0, 3}}, " 5:1 , 6:1": {partitions: []int32{5, 6}}, "x,1:": {}, "0:2": {},
	} {
		if all, partitions := throttledReplicas(list, 1); all != want.all || !slices.Equal(partitions, want.partitions) {
			t.Errorf("%q: %v %v", list, all, partitions)
		}
	}
}
