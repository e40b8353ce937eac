// Package fsm decides what happens to one transactional id: which producer may use it, which partitions its transaction has, whether that
// commits or aborts. Events go in, with the time; answers, records to append and markers to send come out.
//
// Owns: the state of one Txn. Guarded by: its caller, one event at a time.
// Invariants: a waiter handed in is answered exactly once; a state counts when its record is committed, and one record is on its way at a
// time; markers go out after the record of the decision is committed, all of one kind, and the completion is recorded after all of them; the
// epoch of a producer id never falls, and is not given to two producers.
// Imports: no clock, goroutine, lock, log or I/O. Kafka's counterparts: TransactionMetadata and the deciding half of
// TransactionCoordinator, TransactionStateManager and TransactionMarkerRequestCompletionHandler in kafka.coordinator.transaction.
package fsm
