// Package controller makes a broker the cluster's controller when it is elected: it reads ZooKeeper, lets controller/core decide, writes
// what was decided, and tells the brokers.
//
// It owns the election on /controller, one term at a time, and one channel per broker. The goroutine of Run owns all of its state; watches,
// answers, results of writes and timers only put events on its queue. Writers and channels have goroutines of their own and share nothing
// but that queue.
//
// What always holds:
//   - Every write carries a check of /controller_epoch's version, so that a deposed controller changes nothing; a write that is fenced
//     ends the term.
//   - Owning /controller always starts a term, however it came to be owned (KAFKA-13407).
//   - When ZooKeeper may have expired the session, the term ends before another controller can be elected.
//   - A broker gets its requests in the order in which they were planned, one at a time, until its registration changes.
//
// It imports controller/core, zkmeta and kmsg. Kafka's counterparts are controller/{KafkaController,ControllerChannelManager,ControllerEventManager}.scala.
package controller
