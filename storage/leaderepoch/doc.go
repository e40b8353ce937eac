// Package leaderepoch keeps, per log, the first offset of each leader epoch, from which followers learn where logs diverge.
//
// Owns: the entries and the leader-epoch-checkpoint file. Guarded by: the log's lock for changes; reads need none, they see an
// immutable list. Invariants: epochs and start offsets both increase strictly; the file exists only once there is an entry; an
// empty cache is one word. Imports: internal/vfs, storage/checkpoint. Kafka's counterpart: kafka.server.epoch.LeaderEpochFileCache.
package leaderepoch
