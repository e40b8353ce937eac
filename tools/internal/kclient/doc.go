// Package kclient is what the tools that speak the wire share: client properties turned into kgo options, broker errors with the
// names and texts of Java's exceptions, and the iteration order of Java's hash map, which some outputs show.
//
// Owns: the mapping from Kafka's client property names to kgo; the rest is values.
// Guarded by: nothing; a client belongs to one call of one tool.
// Invariants: a property that would protect something (TLS, SASL) and is not supported is refused, never ignored.
// Imports: franz-go and tools/internal.
// Kafka counterpart: org.apache.kafka.clients.CommonClientConfigs, org.apache.kafka.common.protocol.Errors.
package kclient
