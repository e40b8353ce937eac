// Package consumergroups is kafka-consumer-groups: it lists and describes consumer groups, deletes them and resets their offsets.
//
// Owns: the command's flags and the output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: offsets are written with --execute only, and only of groups without members.
// Imports: kgo, kadm, tools/internal.
// Kafka counterpart: kafka.admin.ConsumerGroupCommand.
package consumergroups
