// Package gregortest runs a real Kafka broker, with its ZooKeeper, inside a Go test: no container, no Java, no files.
//
//	func TestOrders(t *testing.T) {
//		b := gregortest.Start(t, gregortest.Topic("orders", 3))
//		client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
//		...
//	}
//
// Start takes a few milliseconds, listens on free ports of 127.0.0.1, and stops with the test. Brokers share nothing, so parallel tests may
// each have their own. Everything is in memory unless Dir is given; it is the same broker as the binary's, so what holds in a test holds
// outside, and what Gregor does not have yet (docs/deviations.md) is not here either. Any client of any language may connect.
//
// New is Start without a test: for examples, demonstrations and programs that carry their broker with them.
//
// Owns: one broker, its ZooKeeper and their file system, from New to Close. Guarded by: Close may be called any number of times from any
// goroutine; the rest only reads. Holds always: when New returns, the broker is the controller's and its own, and the topics asked for have
// leaders; after Close no goroutine, descriptor or port of it is left. The one thing shared by a process is GOGC, which a broker lowers
// while a request of several megabytes is at work.
// Imports: broker, broker/config, internal; kmsg. Kafka's counterpart: kafka.utils.TestUtils, EmbeddedKafkaCluster.
package gregortest
