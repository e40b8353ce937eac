// Package txn is the transaction coordinator: it keeps the transactional ids of the __transaction_state partitions that this broker leads,
// and has the markers of their transactions written wherever the partitions of a transaction are led.
//
// Owns: a shard per led partition with its transactional ids; the markers on their way, with a connection to each broker that is to write
// some; loading and unloading.
// Guarded by: a shard's mutex covers its ids and the order of its appends; senders.mu covers the queues of markers. Nothing is answered,
// waited for, written elsewhere or called with one of them held, but the append to the shard's own log.
// Invariants: an answer that promises something leaves after its record is committed, and markers after the decision's; a partition that is
// still being read answers COORDINATOR_LOAD_IN_PROGRESS and nothing of it; markers carry the leader epoch under which their partition of
// __transaction_state was loaded, so that those of a deposed coordinator are refused.
// Imports: coordinator/txn/fsm, which decides; coordinator/led; wire. The log and the brokers are functions and interfaces that the caller
// gives. Kafka's counterparts: TransactionCoordinator, TransactionStateManager and TransactionMarkerChannelManager in
// kafka.coordinator.transaction.
package txn
