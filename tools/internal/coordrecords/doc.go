// Package coordrecords prints what the coordinators' topics hold: __consumer_offsets and __transaction_state.
//
// Owns: the text of a record, as the decoders of kafka-dump-log.sh print it (DumpOffsets, DumpTransaction) and as the console consumer's
// formatters do (FormatOffset, FormatGroup, FormatTransaction); the bytes are kmsg's business.
// Guarded by: nothing; pure functions.
// Invariants: text, order of members and partitions, and the class of an error are Apache Kafka 2.7.2's; a version that 2.7 does not know
// is an error, never a guess.
// Imports: kmsg, internal/jvm, tools/internal/{javatext,kclient}.
// Kafka counterpart: kafka.coordinator.group.GroupMetadataManager, kafka.coordinator.transaction.TransactionLog (their formatters).
package coordrecords
