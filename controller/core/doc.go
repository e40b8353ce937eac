// Package core decides what a controller does: Apply takes one event and returns a Plan of ZooKeeper writes and of requests to brokers.
//
// It owns the controller's view of the cluster: brokers, topics, the state of each partition, deletions under way. It is a value that
// one goroutine (the controller's loop) holds; it has no lock, goroutine, clock, randomness, logger or I/O, and imports only the
// standard library.
//
// What always holds:
//   - The leadership of a partition that brokers are told is one that stands in ZooKeeper: a request about it is planned only
//     when the event WritesDone has said so.
//   - A partition has at most one write under way; what happens meanwhile is looked at when it returns.
//   - A leader epoch only grows, and each change of leader or ISR has an epoch of its own.
//   - A leader is alive and in the ISR when it is chosen; the ISR never becomes empty.
//   - A topic's znodes are deleted only when each of its replicas has answered that its files are gone.
//
// Its counterparts in Kafka are controller/{ControllerContext,PartitionStateMachine,ReplicaStateMachine,Election,TopicDeletionManager}.scala.
// Where Kafka has a state machine per replica and per partition, here one function, settle, computes what a partition's
// leadership should be from who is alive; the writes come out the same, in one step instead of two or three.
package core
