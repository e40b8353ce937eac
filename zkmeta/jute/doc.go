// Package jute is the codec of ZooKeeper's wire protocol: the primitives of its "jute" serialisation, and the requests and
// responses that clients and servers exchange with it.
//
// Owns: bytes and nothing else. Both directions are here, because the embedded server decodes what zkmeta's MultiRead
// encodes, and the reverse.
//
// Guarded by: nothing; a Decoder belongs to one goroutine, everything else is a function of its arguments.
//
// Holds always: a Decoder never reads past its buffer and never lets a count that the sender chose decide an allocation: a
// vector's count is bounded by the bytes that are left. Strings and buffers are views of the input unless the name says
// Clone; who keeps one clones it. The first failure sticks, later reads give zero values.
//
// Imports: the standard library.
//
// Kafka's counterpart: none; ZooKeeper's are org.apache.jute and org.apache.zookeeper.proto.
package jute
