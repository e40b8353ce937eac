package topicrules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, legal := range map[string]bool{"a": true, "": false, ".": false, "..": false, "...": true, "a.b_c-D9": true, "a b": false, "ä": false,
		strings.Repeat("x", 249): true, strings.Repeat("x", 250): false, "a/b": false} {
		if err := ValidateName(name); (err == nil) != legal {
			t.Errorf("%q: %v", name, err)
		}
	}
	if !Collide("a.b_c", "a_b.c") || Collide("ab", "a.") || Collide("a.b", "a.bc") || !Collide("x", "x") {
		t.Error("Collide")
	}
}

func racks(of ...string) []Broker {
	var out []Broker
	for i, r := range of {
		b := Broker{ID: int32(i)}
		if r != "" {
			b.Rack = &r
		}
		out = append(out, b)
	}
	return out
}

// The two examples that Kafka documents for its algorithm.
func TestAssignmentsAreKafkas(t *testing.T) {
	got, err := Assign(racks("", "", "", "", ""), 10, 3, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range [][]int32{{0, 1, 2}, {1, 2, 3}, {2, 3, 4}, {3, 4, 0}, {4, 0, 1}, {0, 2, 3}, {1, 3, 4}, {2, 4, 0}, {3, 0, 1}, {4, 1, 2}} {
		if !slices.Equal(got[int32(p)], want) {
			t.Errorf("partition %d: %v, want %v", p, got[int32(p)], want)
		}
	}
	got, err = Assign(racks("rack1", "rack3", "rack3", "rack2", "rack2", "rack1"), 7, 3, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range [][]int32{{0, 3, 1}, {3, 1, 5}, {1, 5, 4}, {5, 4, 2}, {4, 2, 0}, {2, 0, 3}, {0, 4, 2}} {
		if !slices.Equal(got[int32(p)], want) {
			t.Errorf("partition %d: %v, want %v", p, got[int32(p)], want)
		}
	}
}

func TestAssignmentsAreSpread(t *testing.T) {
	for _, brokers := range [][]Broker{racks("", "", ""), racks("a", "b", "c"), racks("a", "a", "b"), racks("")} {
		for rf := 1; rf <= len(brokers); rf++ {
			got, err := Assign(brokers, 50, rf, 3, Random)
			if err != nil {
				t.Fatal(err)
			}
			for p := int32(3); p < 53; p++ {
				if len(got[p]) != rf || hasDuplicates(got[p]) {
					t.Errorf("%d brokers, rf %d: partition %d on %v", len(brokers), rf, p, got[p])
				}
			}
		}
	}
}

func TestAssignmentErrors(t *testing.T) {
	for _, c := range []struct {
		brokers []Broker
		n, rf   int
		want    string
	}{
		{racks(""), 0, 1, "Number of partitions must be larger than 0."},
		{racks(""), 1, 0, "Replication factor must be larger than 0."},
		{racks(""), 1, 2, "Replication factor: 2 larger than available brokers: 1."},
		{racks("a", ""), 1, 1, "Not all brokers have rack information for replica rack aware assignment."},
	} {
		if _, err := Assign(c.brokers, c.n, c.rf, 0, Random); err == nil || err.Error() != c.want {
			t.Errorf("%v", err)
		}
	}
	for want, a := range map[string]map[int32][]int32{
		"All partitions should have the same number of replicas":              {0: {1}, 1: {1, 2}},
		"partitions should be a consecutive 0-based integer sequence":         {0: {1}, 2: {1}},
		"Duplicate replica assignment found: HashMap(0 -> ArrayBuffer(1, 1))": {0: {1, 1}},
		"": {0: {1}, 1: {2}},
	} {
		if err := CheckReplicas(a); (err != nil || want != "") && fmt.Sprint(err) != want {
			t.Errorf("%v: %v", a, err)
		}
	}
}
