package kclient

import (
	"slices"
	"strconv"
	"strings"

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

// HashOrder sorts keys, given in the order they were put, as a java.util.HashMap with that initial capacity (0: the default of 16)
// iterates them. Kafka's tools print some lists in this order.
func HashOrder(keys []string, initialCapacity int) []string {
	return javaOrder(keys, stringHash, initialCapacity)
}

// HashOrderPartitions is HashOrder for partitions.
func HashOrderPartitions(keys []TopicPartition, initialCapacity int) []TopicPartition {
	return javaOrder(keys, TopicPartition.hash, initialCapacity)
}

// ScalaOrder sorts partitions as a scala.collection.mutable.HashMap that was filled one by one iterates them.
func ScalaOrder(keys []TopicPartition) {
	jvm.ScalaOrder(keys, func(tp TopicPartition) int32 { return int32(tp.hash()) })
}

// ScalaSet is the order of an immutable Set that the partitions were added to.
func ScalaSet(keys []TopicPartition) []TopicPartition {
	return jvm.ScalaSet(keys, func(tp TopicPartition) int32 { return int32(tp.hash()) })
}

// ScalaDuplicates are the partitions that occur more than once.
func ScalaDuplicates(keys []TopicPartition) []TopicPartition {
	return jvm.ScalaDuplicates(keys, func(tp TopicPartition) int32 { return int32(tp.hash()) })
}

// JoinPartitions writes partitions one after the other.
func JoinPartitions(keys []TopicPartition, sep string) string {
	names := make([]string, len(keys))
	for i, tp := range keys {
		names[i] = tp.String()
	}
	return strings.Join(names, sep)
}

func javaOrder[K any](keys []K, hash func(K) uint32, initialCapacity int) []K {
	table := 16
	if initialCapacity > 0 {
		table = 1
		for table < initialCapacity {
			table <<= 1
		}
	}
	for len(keys)*4 > table*3 {
		table <<= 1
	}
	buckets := make([][]K, table)
	for _, k := range keys {
		h := hash(k)
		i := int(h^h>>16) & (table - 1)
		buckets[i] = append(buckets[i], k)
	}
	return slices.Concat(buckets...)
}

func stringHash(s string) uint32 { return uint32(jvm.StringHash(s)) }

// ScalaOrderStrings sorts strings as a scala.collection.mutable.HashMap that was filled one by one iterates them.
func ScalaOrderStrings(keys []string) { jvm.ScalaOrder(keys, jvm.StringHash) }

// ScalaSetStrings is the order of an immutable Set, or of the keys of an immutable Map, that the strings were added to.
func ScalaSetStrings(keys []string) []string { return jvm.ScalaSet(keys, jvm.StringHash) }

// ScalaSetSpecs is the order of an immutable Set of jopt-simple's options of these names, whose hash is that of a list of one string.
func ScalaSetSpecs(names []string) []string {
	return jvm.ScalaSet(names, func(s string) int32 { return 31 + jvm.StringHash(s) })
}
