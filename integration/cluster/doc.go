// Package cluster starts clusters of brokers as processes on one ZooKeeper, of Gregor, Apache Kafka 2.7.2 or both, and does to them what
// clusters suffer: processes are killed, paused and stopped, links are cut one way and both.
//
// Owns: the processes, and with Links the proxies that stand between brokers and between each broker and ZooKeeper. Guarded by: a Cluster
// is safe for concurrent use; each Node's lock serialises its starts and ends. Holds always: Close leaves no process and no listener.
// Imports: integration/peer and franz-go. Kafka's counterpart: tests/kafkatest/services/kafka.
package cluster
