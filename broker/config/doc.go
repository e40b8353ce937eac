// Package config owns what a broker is told: server.properties, --override arguments and KAFKA_* environment variables, and the settings
// of topics.
//
// A Broker is built once by Load (or derived by WithDynamic) and never changes after; it may be read by any goroutine without a lock.
// Whoever applies a dynamic change swaps the pointer.
//
// Invariants: every key of Kafka 2.7 is in the tables (a test compares them with a recording of Kafka's own definitions); a Broker in
// hand passed every range and cross-check; a key that would protect something which Gregor cannot protect yet is never accepted, because
// a broker that ignores it would be an open door.
//
// Imports: storage for the type that a topic's settings are converted into, and the standard library.
//
// Kafka's counterparts: KafkaConfig, LogConfig, ConfigDef, DynamicBrokerConfig (precedence and synonyms only), ApiVersion.
//
// Java properties are read by a parser of our own. Viper lowercases keys (zookeeper.clientCnxnSocket, listener names), takes the dot for a
// path and gives it up only for another character, and its properties codec expands ${...}, which Kafka leaves alone: with all three
// switched off nothing of it would be left in use.
package config
