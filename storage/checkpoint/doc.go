// Package checkpoint reads and writes the small text files of a log directory, replacing them atomically: the *-offset-checkpoint
// files, leader-epoch-checkpoint (its numbers; storage/leaderepoch gives them meaning), meta.properties and .kafka_cleanshutdown.
//
// Owns: their formats. Guarded by: nothing; one writer per file at a time. Invariants: a file is written beside its place, synced,
// renamed over, and the directory synced, so a power cut leaves the old content or the new one.
// Imports: internal/vfs. Kafka's counterpart: kafka.server.checkpoints, kafka.server.BrokerMetadataCheckpoint.
package checkpoint
