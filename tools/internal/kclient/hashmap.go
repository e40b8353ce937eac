package kclient

import (
	"slices"
	"strconv"

	"gregor/internal/jvm"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is the name as Kafka writes it, and as its directory is called.
func (tp TopicPartition) String() string { return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) }

func (tp TopicPartition) hash() uint32 { return 31*(31+uint32(tp.Partition)) + stringHash(tp.Topic) }

const (
	defaultTable = 16
	maxTable     = 1 << 30
)

// HashOrder sorts keys, given in the order they were put, as a java.util.HashMap with that initial capacity (0: the default of 16)
// iterates them. Kafka's tools print some lists in this order.
func HashOrder(keys []string, initialCapacity int) []string {
	return javaOrder(keys, stringHash, initialCapacity)
}

// HashOrderPartitions is HashOrder for partitions.
func HashOrderPartitions(keys []TopicPartition, initialCapacity int) []TopicPartition {
	return javaOrder(keys, TopicPartition.hash, initialCapacity)
}

// ScalaOrderPartitions sorts partitions as a scala.collection.mutable.HashMap that was filled one by one iterates them.
func ScalaOrderPartitions(keys []TopicPartition) []TopicPartition {
	return scalaOrder(keys, TopicPartition.hash, defaultTable)
}

// ScalaOrderInts sorts numbers as a scala.collection.mutable.HashMap that was made of a collection of known size iterates them.
func ScalaOrderInts(keys []int32) []int32 {
	want := len(keys) + len(keys)/3 + 1
	table := defaultTable
	for table < want {
		table <<= 1
	}
	return scalaOrder(keys, func(k int32) uint32 { return uint32(k) }, table)
}

func javaOrder[K any](keys []K, hash func(K) uint32, initialCapacity int) []K {
	table := defaultTable
	if initialCapacity > 0 {
		table = 1
		for table < initialCapacity {
			table <<= 1
		}
	}
	for len(keys)*4 > table*3 {
		table <<= 1
	}
	return gather(keys, hash, table)
}

func scalaOrder[K any](keys []K, hash func(K) uint32, table int) []K {
	for table < maxTable && len(keys) >= table*3/4 {
		table <<= 1
	}
	sorted := slices.Clone(keys) // a chain is sorted by the spread hash, as a signed number
	slices.SortStableFunc(sorted, func(a, b K) int {
		x, y := int32(spread(hash(a))), int32(spread(hash(b)))
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return gather(sorted, hash, table)
}

// gather walks the buckets of a table.
func gather[K any](keys []K, hash func(K) uint32, table int) []K {
	buckets := make([][]K, table)
	for _, k := range keys {
		i := int(spread(hash(k))) & (table - 1)
		buckets[i] = append(buckets[i], k)
	}
	return slices.Concat(buckets...)
}

func spread(h uint32) uint32 { return h ^ h>>16 }

func stringHash(s string) uint32 { return uint32(jvm.StringHash(s)) }
