// Package compress is the broker's door to the five codecs a record batch may use, in the framings Apache Kafka's Java client
// writes and reads: gzip members, xerial-framed snappy (raw snappy is read too), LZ4 frames of independent 64 KB blocks, and zstd.
//
// Owns: pools of encoders and decoders. Guarded by: sync.Pool; every function is safe for concurrent use.
// Invariants: a decoder never holds more than its codec's window plus one block, and never produces more than the caller's limit;
// truncated or malformed input is an error, never a short result without one.
// Imports: the standard library, klauspost/compress and pierrec/lz4. Kafka's counterpart: o.a.k.common.record.CompressionType.
package compress
