// Package led is what the coordinators share: each keeps its state in the partitions of an internal topic that this broker leads.
//
// Owns: which partitions are led, with a shard of its coordinator for each; the goroutines that load them; timers. What is in a shard is its
// coordinator's.
// Guarded by: Set.mu covers which shards there are, Timers.mu the timers; both are taken last, and nothing is called with them held. A Gate is
// the mutex of a shard, which its coordinator holds over what it does there.
// Invariants: a shard is loaded once and unloaded once, and never comes back: a partition that is led again gets another; after Close no
// goroutine of a Set is left.
// Imports: wire. Kafka's counterparts: the loading halves of GroupMetadataManager and TransactionStateManager.
package led
