// Package tree is the embedded ZooKeeper as a pure state machine: the znodes, the sessions with their ephemeral znodes, and
// the watches. It changes only by Apply, which runs one transaction of an ordered stream; the same stream gives the same
// tree, the same answers and the same events, whoever replays it.
//
// A transaction is a client's request as it came, with the facts that the machine may not find out by itself: its zxid, the
// time, the session, who the client has proved to be. Validation happens inside Apply. ZooKeeper validates before it logs
// and keeps a second, speculative view for that; validating at the point of application needs one view, and is what a
// replicated log will need. A request that fails is a transaction too, takes its zxid, and changes nothing.
//
// Owns: the znodes (Tree), the table of watches (Watches).
//
// Guarded by: nothing; one goroutine, the server's loop, owns both.
//
// Holds always: no goroutine, clock, randomness or I/O; zxids grow by one; a multi is applied whole or not at all; events
// come in the order ZooKeeper fires them, and are complete before Apply returns, so that whoever sends them first sends
// every event before an answer that shows its change.
//
// Imports: zkmeta/jute.
//
// Kafka's counterpart: none; ZooKeeper's are DataTree, PrepRequestProcessor, FinalRequestProcessor, WatchManager.
package tree
