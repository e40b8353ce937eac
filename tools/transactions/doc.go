// Package transactions is kafka-transactions: it lists and describes transactions and producers, finds transactions that hang, and aborts
// them.
//
// Owns: the command's grammar and output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: only abort writes, and only a marker for the one producer and partition that it names. A transaction hangs if it is older than
// any may be and no coordinator will end it.
// Imports: kmsg, tools/internal.
// Kafka counterpart: org.apache.kafka.tools.TransactionsCommand of Kafka 3.0, the first that has it; its flags, words and columns.
package transactions
