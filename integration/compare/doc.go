// Package compare sends the same requests to Apache Kafka 2.7.2 and to Gregor and compares the answers: each request type that Gregor
// serves, in each version, on its error paths; bytes that are no valid request, and whether the connection ends; what the produce cases left
// in the logs on disk. It owns the cases and the table in docs/compatibility.md that is generated from them.
//
// It speaks the wire itself (kmsg over TCP), since a client library would hide versions and errors. Both brokers are started by the test on
// one ZooKeeper, each under a chroot of its own, with the same broker.id; what must differ (addresses, cluster ids, directories, wording
// of documentation) is masked. At the end the znodes of topics and settings are compared, access lists included. A case on which Gregor answers otherwise on purpose says why; every other difference fails the test.
//
//	GREGOR_INTEROP=1 go test -count=1 ./integration/compare           part of make interop
//	COMPARE_WRITE=docs/compatibility.md (an absolute path)            writes the table
//	COMPARE_RECORD=file                                               writes down Apache Kafka's answers
//	COMPARE_ONLY=regexp                                               only cases whose name matches, and those that prepare them
//
// Imports: kmsg and kerr, the ZooKeeper library; integration/peer; wire/compress, to compress what is sent.
package compare
