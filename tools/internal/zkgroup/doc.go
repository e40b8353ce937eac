// Package zkgroup is a consumer whose group is kept in ZooKeeper, as the high-level consumer of Kafka 0.8 to 0.10 keeps it, and in one group
// with it: members under /consumers/GROUP/ids, owners of partitions under owners, offsets under offsets.
//
// Owns: the member's znodes, which partitions are its own, the positions in them.
// Guarded by: Consumer.gate: held by whoever polls from when records are handed out until the next poll, and by a rebalance; Consumer.mu for
// positions. One goroutine rebalances, one call polls.
// Invariants: a partition is fetched only while its owner znode is this member's; before a partition is given up its offset is stored;
// records of a partition that was given up meanwhile are not handed out.
// Imports: zkmeta, kgo, tools/internal/kclient.
// Kafka counterpart: kafka.consumer.ZookeeperConsumerConnector, kafka.consumer.RangeAssignor.
package zkgroup
