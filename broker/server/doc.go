// Package server is the broker's front door: listeners, connections, framing, the table of request types and the order of responses.
//
// Owns: every client connection, the buffers requests and responses lie in, and the limits on both. It knows nothing of what
// requests mean: rows of the table (API) bring their own functions.
//
// Guarded by: each connection has a reader goroutine, which decodes and starts requests in arrival order; conn.mu guards the queue
// of requests in flight. Whoever sets conn.writing owns the socket's write side: the reader itself when responses are ready as it
// is about to wait for input, otherwise a writer goroutine that lives only while responses are ready. An idle connection is one
// goroutine and no buffer.
//
// Invariants: responses leave in the order of their requests; every FileRange is released exactly once; what the peer claims is
// allocated only as it arrives; a connection ends with at most one log line.
//
// Imports: wire, and kmsg for decoding. Kafka's counterpart: kafka.network.SocketServer and RequestChannel.
package server
