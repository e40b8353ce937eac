// Package compare sends the same requests to Apache Kafka 2.7.2 and to Gregor and compares the decoded answers: each request type, in each
// version, on its error paths. It owns the cases and the table in docs/compatibility.md that is generated from them.
//
// It speaks the wire itself (kmsg over TCP), since a client library would hide versions and errors. Both brokers have the same broker.id and
// otherwise default settings; what must differ (addresses, cluster ids, directories, wording of documentation) is masked.
//
//	COMPARE_KAFKA=127.0.0.1:9092 COMPARE_GREGOR=127.0.0.1:9093 go test -tags interop ./integration/compare -v
//
// With one of the addresses only, that broker's answers are recorded (COMPARE_RECORD=file). COMPARE_WRITE=docs/compatibility.md writes the
// table.
//
// Imports: kmsg and kerr; nothing of the project.
package compare
