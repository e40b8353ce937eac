// Package configs is kafka-configs.sh: describe and alter the settings of topics, brokers, loggers of brokers, users and clients.
//
// Owns: the command's flags, their conflicts, and what it prints; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: stdout, exit codes and the first line of each failure are those of Apache Kafka 2.7.2. With --zookeeper nothing is written
// that a broker would refuse, and passwords are written encrypted.
// Imports: kmsg for --bootstrap-server, zkmeta for --zookeeper, broker/config for what may be set, tools/internal.
// Kafka counterpart: kafka.admin.ConfigCommand.
package configs
