// Package reassign is kafka-reassign-partitions: it proposes where partitions could lie, moves them there, between brokers and between
// the log directories of a broker, and says how far that is.
//
// Owns: the command's flags, the grammar of its files and its output; no state. What throttles it sets stand in the cluster's
// configuration until --verify or --cancel removes them.
// Guarded by: nothing; one call, one goroutine.
// Invariants: a file that is not understood changes nothing. Throttles are set before anything moves, and removed only when nothing
// moves any more.
// Imports: kmsg, internal/{jvm,topicrules}, zkmeta, tools/internal.
// Kafka counterpart: kafka.admin.ReassignPartitionsCommand.
package reassign
