// Package dumplog is kafka-dump-log.sh: it prints what log segments, their indexes and producer snapshots hold.
//
// Owns: the command's flags and output; it only reads files, and needs no broker.
// Guarded by: nothing; one call, one goroutine.
// Invariants: memory is bounded by the largest batch, not by the file; stdout, exit code and the findings on stderr are Apache Kafka 2.7.2's.
// Imports: wire/record, wire/compress, storage/producerstate, storage/txnindex, kmsg (contents of internal topics), tools/internal.
// Kafka counterpart: kafka.tools.DumpLogSegments.
package dumplog
