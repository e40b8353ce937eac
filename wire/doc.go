// Package wire reads the framing and headers of Kafka's protocol and bounds what decoding a request may allocate.
//
// Owns: nothing; functions of byte slices. Guarded by: values are used by one goroutine at a time.
// Invariants: no function here allocates in proportion to a length or count it reads, only to bytes it has; decoded strings
// and byte fields alias the input.
// Imports: the standard library. Kafka's counterpart: org.apache.kafka.common.protocol and requests.RequestHeader.
package wire
