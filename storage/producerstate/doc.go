// Package producerstate remembers, per log, what idempotent and transactional producers wrote: epochs, the last five batches of
// each for recognising duplicates, open transactions and with them the first unstable offset.
//
// Owns: the state and its .snapshot files. Guarded by: the log's lock; nothing here locks.
// Invariants: a producer's window holds at most five batches of its current epoch, in order, without a gap; an open transaction
// belongs to exactly one producer; MapEnd is the log end offset that the state reflects. A log that never saw a producer id holds
// no maps: the zero Manager is ready to use and 24 bytes.
// Imports: internal/vfs, wire/record. Kafka's counterpart: kafka.log.ProducerStateManager.
package producerstate
