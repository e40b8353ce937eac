// Package clients drives Kafka clients that no one here wrote: each is a program (or franz-go, in this process) that takes records in
// or gives them out, behind one small interface, so that a test can choose any producer, codec and consumer.
//
// Owns: nothing. Guarded by: a Tree is immutable; a Check is for one goroutine. Holds always: a record crosses as key and value, byte
// for byte. Imports: integration/peer, franz-go. Kafka's counterpart: tests/kafkatest/services (console_consumer, verifiable_producer).
package clients
