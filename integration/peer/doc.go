// Package peer starts whole brokers as processes: Apache Kafka 2.7.2 (and older ones), a real ZooKeeper, and Gregor. Interop tests, the golden
// recorder and bench-peer drive them through it.
//
// Owns: the processes it started, their directories and ports. Guarded by: a Process is safe for concurrent use; everything else is
// immutable once started. Holds always: a started process is waited for exactly once, and Close leaves none behind.
// Imports: the standard library and kmsg. Kafka's counterpart: tests/kafkatest/services.
package peer
