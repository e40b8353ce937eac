// Package broker is the composition root: it starts the parts of a broker in order, wires what crosses between them, and stops them in
// the reverse order.
//
// Owns: the lifetime of all the others, and nothing else. Guarded by: Start and Close are called by one goroutine each; what crosses
// between parts is guarded by the part it belongs to. Holds always: no connection is served before the broker is registered; log
// directories stay locked until every log is closed; a part is stopped before what it uses. Imports: everything below tools.
// Kafka's counterpart: kafka.server.KafkaServer.
package broker
