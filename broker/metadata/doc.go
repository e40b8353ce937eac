// Package metadata owns a broker's picture of the cluster: which brokers are alive, who leads each partition. It is told by the
// controller's UpdateMetadata requests and by nothing else, and may lag behind the controller.
//
// One RWMutex guards the maps; what hangs in them (topics, brokers) is immutable and replaced whole, so that a request reads one consistent
// picture under a read lock and keeps what it took after the lock is gone. An update copies only the topics it names.
//
// Invariants: a topic in the cache has at least one partition; its partitions are sorted by number; Changed's channel is closed after the
// update it announces can be read.
//
// Imports: storage (TopicPartition), internal/topicrules, kmsg.
//
// Kafka's counterpart: MetadataCache.
package metadata
