package offsetmap

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// The map answers as a Go map does, however full it is.
func TestMapIsAMap(t *testing.T) {
	for _, slots := range []int{8, 100, 1000} {
		r := rand.New(rand.NewPCG(uint64(slots), 1))
		var m Map
		for round := range 3 {
			m.Reset(slots)
			want := map[string]int64{}
			for i := range 4 * slots {
				k := strconv.Itoa(r.IntN(slots * 2))
				_, known := want[k]
				if room := len(want)+1 < slots; !known && !room {
					if m.Put(m.Hash([]byte(k)), int64(i)) {
						t.Fatalf("a new key was taken into a full map of %d slots with %d keys", slots, len(want))
					}
					continue
				}
				if !m.Put(m.Hash([]byte(k)), int64(i)) {
					t.Fatalf("round %d: key %d of %d slots was refused", round, len(want), slots)
				}
				want[k] = int64(i)
			}
			if m.Len() != len(want) {
				t.Errorf("%d keys, want %d", m.Len(), len(want))
			}
			for i := range slots * 2 {
				k := strconv.Itoa(i)
				got, ok := m.Get(m.Hash([]byte(k)))
				if v, there := want[k]; ok != there || got != v {
					t.Fatalf("%s: %d %v, want %d %v", k, got, ok, v, there)
				}
			}
		}
	}
}

func TestAnEmptyKeyIsAKey(t *testing.T) {
	var m Map
	if _, ok := m.Get(m.Hash(nil)); ok {
		t.Error("found in a map without memory")
	}
	m.Reset(10)
	m.Put(m.Hash(nil), 7)
	if o, ok := m.Get(m.Hash([]byte{})); !ok || o != 7 {
		t.Error(o, ok)
	}
	if o, ok := m.Get(m.Hash([]byte{0})); ok {
		t.Error(o)
	}
}

func BenchmarkPutGetAt90Percent(b *testing.B) {
	var m Map
	const slots = 1 << 20
	keys := make([][]byte, slots*9/10)
	for i := range keys {
		keys[i] = []byte("key-" + strconv.Itoa(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(keys) == 0 {
			m.Reset(slots)
		}
		k := keys[i%len(keys)]
		m.Put(m.Hash(k), int64(i))
		m.Get(m.Hash(k))
	}
}
