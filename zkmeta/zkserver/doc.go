// Package zkserver is a ZooKeeper inside the process: listeners, connections, sessions and a durable store around the pure
// state machine of package tree. Clients see a ZooKeeper 3.8 that runs alone.
//
// Owns: the connections, the sessions' clocks, the transaction log and its checkpoints.
//
// Guarded by: one goroutine, the loop, owns the tree, the watches and every session. A connection has two goroutines, a
// reader that hands frames to the loop and a writer that sends what the loop has put into the connection's buffer. A fourth
// kind, one per server, writes batches of transactions to the log and syncs them, while the loop goes on answering reads and
// gathers the next batch.
//
// Holds always:
//   - a transaction is applied, and so seen and answered, only after it is on disk; what was seen is never unseen by a crash;
//   - a session's requests are answered in its order; a read waits for that session's own writes and for nobody else's;
//   - an event is in a connection's buffer before any answer that shows its change;
//   - a connection holds at most maxInFlight requests, maxInFlightBytes of them and about maxUnsent bytes of answers;
//   - the checkpoint (bbolt) and the log files after it hold every acknowledged transaction, whatever moment the process dies.
//
// Why a log beside bbolt: a bbolt commit syncs twice and rewrites every touched page; the log appends and syncs once, for
// everything that is waiting. bbolt takes what changed in the background when the log has grown, so that a start reads at
// most checkpointBytes of log. On a file system that is not the operating system's (Options.FS), where bbolt cannot work, the
// checkpoint is a plain file.
//
// Imports: internal/vfs, zkmeta/jute, zkmeta/zkserver/tree.
//
// Kafka's counterpart: none (bin/zookeeper-server-start.sh starts ZooKeeper's QuorumPeerMain).
package zkserver
