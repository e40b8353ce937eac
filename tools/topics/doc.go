// Package topics is kafka-topics.sh: create, list, describe, alter and delete topics.
//
// Owns: the command's flags, their conflicts, and what it prints; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: stdout, exit codes and the first line of each failure are those of Apache Kafka 2.7.2.
// Imports: kgo and kmsg for --bootstrap-server, zkmeta for --zookeeper, tools/internal.
// Kafka counterpart: kafka.admin.TopicCommand.
package topics
