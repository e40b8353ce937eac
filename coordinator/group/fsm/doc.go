// Package fsm decides what happens to one consumer group: who is a member, which generation it is in, what each waiting request is
// answered, which offsets are committed. Events go in, with the time; answers, timers to set and records to append come out.
//
// Owns: the state of one Group. Guarded by: its caller, one event at a time.
// Invariants: a waiter handed in is answered exactly once; a member has at most one JoinGroup and one SyncGroup waiting; every member of a
// generation got the same protocol and one leader; an offset is seen by readers only after its record was committed, and an older record
// never replaces a younger one.
// Imports: no clock, goroutine, lock, log or I/O. Kafka's counterparts: GroupMetadata, MemberMetadata and the deciding half of
// GroupCoordinator in kafka.coordinator.group.
package fsm
