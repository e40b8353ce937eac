// Package txnindex reads and writes a segment's .txnindex: the aborted transactions whose markers lie in the segment.
//
// Owns: the format of its 34-byte entries. Guarded by: the log's lock for changes. Invariants: last offsets increase strictly; the
// file appears with the first aborted transaction. Imports: internal/vfs. Kafka's counterpart: kafka.log.TransactionIndex.
package txnindex
