// Package offsetmap finds the newest offset of each key for the log cleaner, in a fixed amount of memory.
//
// Owns: its slots. Guarded by: nothing, one goroutine uses a Map. Invariants: an entry is the hash of a key and the last offset put for
// it; the hash is a keyed one of 128 bits, so that nobody can make keys that are taken for one another (a record would be lost); the
// memory never exceeds the slots asked for. Imports: dchest/siphash. Kafka's counterpart: kafka.log.SkimpyOffsetMap, whose hash is MD5.
package offsetmap

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"

	"github.com/dchest/siphash"
)

// BytesPerEntry is what a key takes, as in Kafka: settings of people mean the same number of keys.
const BytesPerEntry = 24

type slot struct {
	hi, lo uint64 // both 0: empty
	offset int64
}

// Map is an open-addressed table in which entries that are far from their home displace those that are near it (Robin Hood), so that
// a look-up ends early even when the table is nearly full.
type Map struct {
	k0, k1 uint64
	slots  []slot
	n      int

	fetched uint64 // of no meaning: without it the compiler would see that Fetch is for nothing
}

// Reset empties the map and gives it room for the given number of slots, reusing its memory if that is enough and not far too much.
func (m *Map) Reset(slots int) {
	if m.k0 == 0 && m.k1 == 0 {
		var b [16]byte
		rand.Read(b[:])
		m.k0, m.k1 = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	}
	m.n = 0
	slots = max(slots, 8)
	if cap(m.slots) < slots || cap(m.slots)/4 > slots {
		m.slots = make([]slot, slots)
		return
	}
	m.slots = m.slots[:slots]
	clear(m.slots)
}

// Release gives the memory back.
func (m *Map) Release() { m.slots, m.n = nil, 0 }

// Len is the number of keys, Slots the number there is room for.
func (m *Map) Len() int   { return m.n }
func (m *Map) Slots() int { return len(m.slots) }

// Hash is what the map knows of a key.
type Hash struct{ hi, lo uint64 }

// Hash computes a key's hash, which holds for as long as the map.
func (m *Map) Hash(key []byte) Hash {
	hi, lo := siphash.Hash128(m.k0, m.k1, key)
	if hi|lo == 0 {
		lo = 1
	}
	return Hash{hi, lo}
}

// Fetch has the processor load the places of many keys at once. A look-up of one after the other would wait for the memory each time,
// which is most of what it costs in a large map.
func (m *Map) Fetch(keys []Hash) {
	if len(m.slots) == 0 {
		return
	}
	for _, h := range keys {
		m.fetched += m.slots[m.home(h.hi)].hi
	}
}

// home is where an entry would be in an empty table.
func (m *Map) home(hi uint64) int {
	h, _ := bits.Mul64(hi, uint64(len(m.slots)))
	return int(h)
}

// distance is how far position pos is from an entry's home.
func (m *Map) distance(pos int, hi uint64) int {
	d := pos - m.home(hi)
	if d < 0 {
		d += len(m.slots)
	}
	return d
}

// Put notes the offset of a key, in place of an older one. It returns false, and changes nothing, if there is no room for a new key.
func (m *Map) Put(key Hash, offset int64) bool {
	hi, lo := key.hi, key.lo
	e := slot{hi, lo, offset}
	pos, dist, placed := m.home(hi), 0, false
	for {
		s := &m.slots[pos]
		if s.hi|s.lo == 0 {
			if m.n+1 >= len(m.slots) && !placed {
				return false
			}
			*s = e
			m.n++
			return true
		}
		if !placed && s.hi == hi && s.lo == lo {
			s.offset = offset
			return true
		}
		if d := m.distance(pos, s.hi); d < dist {
			if !placed && m.n+1 >= len(m.slots) {
				return false
			}
			*s, e = e, *s
			dist, placed = d, true
		}
		dist++
		if pos++; pos == len(m.slots) {
			pos = 0
		}
	}
}

// Get is the newest offset of a key; ok is false if none was put.
func (m *Map) Get(key Hash) (offset int64, ok bool) {
	if m.n == 0 {
		return 0, false
	}
	hi, lo := key.hi, key.lo
	for pos, dist := m.home(hi), 0; ; dist++ {
		s := &m.slots[pos]
		if s.hi == hi && s.lo == lo {
			return s.offset, true
		}
		if s.hi|s.lo == 0 || m.distance(pos, s.hi) < dist {
			return 0, false
		}
		if pos++; pos == len(m.slots) {
			pos = 0
		}
	}
}
