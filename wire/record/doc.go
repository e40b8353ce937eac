// Package record reads, checks, patches and converts record batches as bytes: the message format v2, and the older v0 and v1.
//
// Owns: the layout of batches and records. Guarded by: nothing; a batch belongs to who holds the slice.
// Invariants: no function here keeps a slice it was given beyond its return values, reads past it, or allocates in proportion to
// a length or count that the bytes merely claim. Base offset and leader epoch lie outside a v2 batch's CRC and are patched freely;
// everything else goes through a setter that keeps the CRC right.
// Imports: wire/compress. Kafka's counterpart: o.a.k.common.record, kafka.log.LogValidator and Log.analyzeAndValidateRecords.
package record
