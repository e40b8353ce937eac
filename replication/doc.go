// Package replication decides what a partition of this broker is: its role, leader epoch, in-sync replicas and high watermark, and
// who waits for it to move.
//
// Owns: the set of partitions this broker hosts (Manager) and each one's role (Partition); the fetchers, a goroutine and a connection for
// each leading broker and num.replica.fetchers, while there is a partition to follow; the moves between log directories, a goroutine
// each; the requests that change in-sync replicas. Logs belong to package storage; who is in sync is decided by the pure package
// replication/isr.
//
// Guarded by: Manager.state serialises requests of the controller; Manager.mu the map of partitions; Partition.mu the role: appends
// and reads hold it shared, role changes exclusively, so no append with an old leader epoch happens after the change. Lock order:
// Manager.state, Manager.mu, Partition.mu, Partition.hw, the log's own lock, Partition.watch, WatchSet.mu; Counters.mu is taken last. Whoever waits is
// resumed never under these locks: in a goroutine of its own, or by the caller of Append or FollowerFetched, who gets the list.
//
// Invariants: the high watermark does not fall while leading; it is the log end when the leader alone is in sync; requests with an
// older controller epoch or leader epoch change nothing; what a fetcher appends belongs to the leader epoch it follows, checked under the
// partition's lock, so that nothing of a former leader is appended after a change of role.
//
// Imports: storage. Kafka's counterpart: kafka.server.ReplicaManager and kafka.cluster.Partition.
package replication
