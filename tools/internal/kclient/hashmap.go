package kclient

import "gregor/internal/jvm"

// HashOrder sorts keys, given in the order they were put, as a java.util.HashMap with that initial capacity (0: the default of 16)
// iterates them. Kafka's tools print some lists in this order.
func HashOrder(keys []string, initialCapacity int) []string {
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
	buckets := make([][]string, table)
	for _, k := range keys {
		h := uint32(jvm.StringHash(k))
		i := int(h^h>>16) & (table - 1)
		buckets[i] = append(buckets[i], k)
	}
	out := make([]string, 0, len(keys))
	for _, b := range buckets {
		out = append(out, b...)
	}
	return out
}
