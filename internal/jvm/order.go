package jvm

import (
	"sort"
	"unicode/utf16"
)

// StringHash is String.hashCode.
func StringHash(s string) int32 {
	var h int32
	for i := range len(s) {
		if s[i] >= 0x80 {
			return hashUnits(utf16.Encode([]rune(s)))
		}
		h = 31*h + int32(s[i])
	}
	return h
}

func hashUnits(units []uint16) int32 {
	var h int32
	for _, u := range units {
		h = 31*h + int32(u)
	}
	return h
}

func spread(h int32) int32 { return h ^ int32(uint32(h)>>16) }

// ScalaOrder sorts items as a scala.collection.mutable.HashMap or HashSet (2.13) that they were added to one after the other
// iterates them. hash is the item's hashCode; items of the same hash keep the order in which they were added.
func ScalaOrder[T any](items []T, hash func(T) int32) {
	size := 16
	for n := 1; n <= len(items); n++ {
		if n >= size*3/4 {
			size *= 2
		}
	}
	sortByBucket(items, size, func(v T) int32 { return spread(hash(v)) }, func(a, b hashed[T]) bool { return a.hash < b.hash })
}

// PropertiesOrder sorts keys as a java.util.Properties of Java 9 and later iterates them. Within a bucket Java keeps the order of
// arrival, which nobody knows any more: there it is the order of names.
func PropertiesOrder(keys []string) {
	size := 16
	for len(keys) >= size*3/4 {
		size *= 2
	}
	sortByBucket(keys, size, func(k string) int32 { return spread(StringHash(k)) & 0x7fffffff },
		func(a, b hashed[string]) bool { return a.item < b.item })
}

type hashed[T any] struct {
	item T
	hash int32
}

// sortByBucket orders items by the bucket of their hash, within a bucket by less.
func sortByBucket[T any](items []T, size int, hash func(T) int32, less func(a, b hashed[T]) bool) {
	hs := make([]hashed[T], len(items))
	for i, v := range items {
		hs[i] = hashed[T]{v, hash(v)}
	}
	mask := int32(size - 1)
	sort.SliceStable(hs, func(i, j int) bool {
		if a, b := hs[i].hash&mask, hs[j].hash&mask; a != b {
			return a < b
		}
		return less(hs[i], hs[j])
	})
	for i := range hs {
		items[i] = hs[i].item
	}
}

// ScalaSet removes what occurs twice and sorts the rest as a scala.collection.immutable.Set (2.13) that the items were added to one
// after the other iterates them: up to four stay in the order of their arrival.
func ScalaSet[T comparable](items []T, hash func(T) int32) []T {
	out := unique(items)
	if len(out) > 4 {
		sortByTrie(out, hash)
	}
	return out
}

// ScalaDuplicates are the items that occur more than once, as scala's groupBy orders them.
func ScalaDuplicates[T comparable](items []T, hash func(T) int32) []T {
	n := map[T]int{}
	for _, v := range items {
		n[v]++
	}
	var out []T
	for _, v := range unique(items) {
		if n[v] > 1 {
			out = append(out, v)
		}
	}
	sortByTrie(out, hash)
	return out
}

func unique[T comparable](items []T) []T {
	seen := make(map[T]bool, len(items))
	var out []T
	for _, v := range items {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

// sortByTrie orders items as an immutable HashMap or HashSet (2.13) iterates them: a trie that takes five bits of the hash, the lowest
// first, at each level; what ends in a node comes before what lies deeper.
func sortByTrie[T any](items []T, hash func(T) int32) {
	hs := make([]hashed[T], len(items))
	for i, v := range items {
		hs[i] = hashed[T]{v, improve(hash(v))}
	}
	out := walk(hs, 0, make([]hashed[T], 0, len(hs)))
	for i := range out {
		items[i] = out[i].item
	}
}

func walk[T any](in []hashed[T], shift int, out []hashed[T]) []hashed[T] {
	if len(in) < 2 || shift > 31 {
		return append(out, in...)
	}
	var slots [32][]hashed[T]
	for _, h := range in {
		i := uint32(h.hash) >> shift & 31
		slots[i] = append(slots[i], h)
	}
	for _, s := range slots {
		if len(s) == 1 {
			out = append(out, s[0])
		}
	}
	for _, s := range slots {
		if len(s) > 1 {
			out = walk(s, shift+5, out)
		}
	}
	return out
}

// improve is how Scala's immutable tables spread a hash.
func improve(h int32) int32 {
	u := uint32(h)
	u += ^(u << 9)
	u ^= u >> 14
	u += u << 4
	return int32(u ^ u>>10)
}
