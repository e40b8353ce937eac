// Package streamsreset is kafka-streams-application-reset: it lets a Kafka Streams application begin anew. Offsets of its input topics go
// back, intermediate topics are skipped, and the topics that Streams made for it are deleted.
//
// Owns: the command's flags and output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: nothing is written with --dry-run, nor while the application's group has members unless --force removes them; a topic is
// deleted only if its name begins with the application's id and ends as Streams' own do, and it was not named as input.
// Imports: tools/internal.
// Kafka counterpart: kafka.tools.StreamsResetter.
package streamsreset
