// Package handlers holds one file per family of request types: decode, authorise, call, encode.
//
// Owns: fetch sessions; nothing else outlives a request. Each family is a struct of the small interfaces it needs, with a method
// APIs that returns its rows of the table of request types.
// Guarded by: each session by its own mutex, the session cache by another that is taken first.
// Invariants: a request is completed exactly once; errors become Kafka's codes in errors.go alone.
// Imports: broker/server, broker/metadata, replication, storage, wire; never package broker. Kafka's counterpart:
// kafka.server.KafkaApis.
package handlers
