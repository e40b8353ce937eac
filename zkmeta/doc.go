// Package zkmeta is what Gregor knows of ZooKeeper: the session, and every znode of Apache Kafka 2.7 with its path, its JSON and its
// access control list.
//
// It owns the client's session and the bytes of every znode. A Client may be used from any number of goroutines; its session state is
// guarded by Client.mu, and the callbacks of the ZooKeeper library only put events on a queue that one dispatcher goroutine empties.
//
// What always holds:
//   - One connection object of the library serves exactly one session: no request crosses from an expired session into the next.
//   - After each reconnect an event says so, and whoever watches something reads it again: the events of the library are hints.
//   - JSON is written byte for byte as Kafka writes it; fields that this program does not know survive a rewrite.
//   - A write with an unknown outcome (the connection was lost) is tried again only where doing it twice can be told from a conflict.
//
// It imports the ZooKeeper client library and nothing of the project but zkmeta/jute.
// Kafka's counterparts are zk/ZkData.scala, zk/KafkaZkClient.scala, zk/AdminZkClient.scala and zookeeper/ZooKeeperClient.scala.
package zkmeta
