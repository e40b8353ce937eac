// Package dumplog compares kafka-dump-log.sh with Apache Kafka 2.7.2's kafka.tools.DumpLogSegments: the golden directories that Apache
// Kafka wrote, what Gregor writes, and hundreds of damaged copies. What Apache's class answered is recorded as digests, so that
// `make test` needs no Java; `make interop` asks it again, and RECORD=1 writes the digests anew.
package dumplog
