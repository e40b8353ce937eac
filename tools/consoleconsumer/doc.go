// Package consoleconsumer is kafka-console-consumer.sh: records of a topic go to standard output.
//
// Owns: the command's flags, where reading starts, the formatters.
// Guarded by: nothing; one goroutine polls and prints, a signal cancels its context.
// Invariants: keys and values are written byte for byte unless a deserializer is asked for; exactly --max-messages are printed;
// the count on stderr is the last thing said; what is committed was printed.
// Imports: kgo, kerr, tools/internal.
// Kafka counterpart: kafka.tools.ConsoleConsumer, kafka.tools.DefaultMessageFormatter.
package consoleconsumer
