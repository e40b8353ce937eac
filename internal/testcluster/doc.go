// Package testcluster is a network in memory, between hosts that can be cut off from each other, killed and switched off. With it, and with
// vfs.Mem as disks, whole clusters run in one process, inside a testing/synctest bubble: this package's tests do that, with many seeds.
//
// Owns: connections, listeners and what is on its way between them. Guarded by: Network.mu; whoever waits does so on a condition of it, so
// that a bubble's time goes on. Holds always: bytes of a connection arrive in order, each once, or not at all once it has ended; nothing
// arrives over a link that is cut; a host that was killed sends nothing more.
//
// Imports: the standard library. Kafka's counterpart: kafka.utils.TestUtils, and Trogdor's NetworkPartitionFault.
package testcluster
