// Package consoleproducer is kafka-console-producer.sh: each line of standard input becomes a record.
//
// Owns: the command's flags, the reading of lines and keys, the options of its producer.
// Guarded by: one goroutine reads and sends; kgo calls back with failures, which go to stderr under its own lock.
// Invariants: bytes pass as they are, also where they are no UTF-8 (Apache's tool replaces those); a line ends with LF, CR LF or CR as
// Java's readLine has it; input blocks are never reused, records point into them.
// Imports: kgo, tools/internal.
// Kafka counterpart: kafka.tools.ConsoleProducer.
package consoleproducer
