// Package producerperf is kafka-producer-perf-test: it sends many records and prints how fast that was.
//
// Owns: the command's flags, the figures and their lines; no state beyond one run.
// Guarded by: stats has a lock, because answers come in several goroutines; the rest belongs to the sending one.
// Invariants: the lines have Kafka's words and columns, because scripts cut them apart; payloads are those of Java's random numbers,
// so that compression does as much as with Apache's class.
// Imports: kgo, tools/internal.
// Kafka counterpart: org.apache.kafka.tools.ProducerPerformance.
package producerperf
