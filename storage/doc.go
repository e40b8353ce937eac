// Package storage keeps the logs of a broker: the bytes and offsets of every partition, on disk exactly as Apache Kafka 2.7.2
// has them.
//
// Owns: the log directories (log.dirs) with everything in them: TOPIC-N directories with .log, .index, .timeindex, .txnindex and
// .snapshot files and leader-epoch-checkpoint, the offset checkpoint files, meta.properties, .lock and .kafka_cleanshutdown.
//
// Guarded by: one mutex per Log for whatever changes its end (append, roll, truncation, removal of segments). Readers take no lock:
// the log end offset, the high watermark and the segment list are published atomically; the list is immutable and swapped whole.
// The cleaner works on sealed segments without a lock, and swaps in what it wrote under flushMu, with the log's lock for the renames.
// Lock order: Manager before Log before the descriptor cache. No callback is made with a lock held.
//
// Invariants:
//   - log start offset <= last stable offset <= high watermark <= log end offset, once replication has set the high watermark;
//   - a reader never sees bytes at or past the offset it names as its limit, nor past the log end offset it can read;
//   - what lies below the recovery point has been synced, index entries included; a crash leaves a valid prefix above it;
//   - the cleaner removes only what a durable record below the high watermark supersedes; a crash leaves the old segments or the new;
//   - nothing is open, and no goroutine or timer runs, for a log that nobody reads or writes;
//   - an I/O error takes the whole directory offline, as in Kafka; the others go on.
//
// Imports: wire/*, internal/vfs and storage's own subpackages.
//
// Kafka's counterpart: kafka.log.{LogManager, Log, LogCleaner, LogCleanerManager, LogSegment, OffsetIndex, TimeIndex} and o.a.k.common.record.FileRecords.
package storage
