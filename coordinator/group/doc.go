// Package group is the group coordinator: it keeps the groups of the __consumer_offsets partitions that this broker leads.
//
// Owns: a shard per led partition with its groups; the timers of all of them; loading and unloading.
// Guarded by: a shard's mutex covers its groups and the order of its appends; Coordinator.mu covers which shards there are; the timers have
// a mutex of their own, which is taken last. Answers are given and commits waited for with no lock held.
// Invariants: an answer that promises something leaves after its record is committed; a partition that is still being read answers
// COORDINATOR_LOAD_IN_PROGRESS and nothing of it; the goroutines are one for timers, one for expiry, and the loaders of partitions just gained;
// of an OffsetCommit request that has been answered nothing is kept but the names of topics.
// Imports: coordinator/group/fsm, which decides; wire. The log is an interface that this package declares. Kafka's counterparts:
// GroupCoordinator and GroupMetadataManager in kafka.coordinator.group.
package group
