// Package integration tests whole brokers as processes, with clients that no one here wrote. `make interop` runs it; without
// GREGOR_INTEROP=1 its tests are skipped, so that `make test` needs Go only.
//
//	FULL=1              each producer with each codec and each consumer, not a pairwise choice
//	INTEROP_BROKER      gregor (default) or kafka: which broker the same tests run against
//	SUITE=sarama        with FULL=1: only this library's own tests; SUITE_LOG=/tmp/suite is where they are left, as suite-SUITE-BROKER
//	INTEROP_PART=20     only each 20th file of the tree
//
// Owns: nothing but tests. Kafka's counterpart: tests/kafkatest.
package integration
