package record

import (
	"errors"
	"fmt"
)

// ErrShort says that the bytes end before the header or batch does; more bytes might complete it.
var ErrShort = errors.New("record: not enough bytes for the batch")

// MalformedRequestError marks records in a produce request on which Apache Kafka fails while it parses the request: it answers
// nothing and closes the connection.
type MalformedRequestError struct{ Reason string }

func (e *MalformedRequestError) Error() string {
	return "malformed records in produce request: " + e.Reason
}

// CorruptError is CORRUPT_MESSAGE (2): a bad CRC, size or magic.
type CorruptError struct{ Reason string }

func (e *CorruptError) Error() string { return "corrupt record batch: " + e.Reason }

// RecordError names one record that failed, by its index in the batch.
type RecordError struct {
	Index   int32
	Message string
}

// InvalidRecordError is INVALID_RECORD (87): the batch as a whole, or the listed records, break a rule.
type InvalidRecordError struct {
	Message string
	Records []RecordError
}

func (e *InvalidRecordError) Error() string { return "invalid record: " + e.Message }

// InvalidTimestampError is INVALID_TIMESTAMP (32), with every record that failed (for whatever reason).
type InvalidTimestampError struct {
	Message string
	Records []RecordError
}

func (e *InvalidTimestampError) Error() string { return "invalid timestamp: " + e.Message }

// UnsupportedForMessageFormatError is UNSUPPORTED_FOR_MESSAGE_FORMAT (43).
type UnsupportedForMessageFormatError struct{ Reason string }

func (e *UnsupportedForMessageFormatError) Error() string {
	return "unsupported for message format: " + e.Reason
}

// UnsupportedCompressionError is UNSUPPORTED_COMPRESSION_TYPE (76).
type UnsupportedCompressionError struct{ Reason string }

func (e *UnsupportedCompressionError) Error() string { return "unsupported compression: " + e.Reason }

// RecordTooLargeError is MESSAGE_TOO_LARGE (10).
type RecordTooLargeError struct{ Size, Max int }

func (e *RecordTooLargeError) Error() string {
	return fmt.Sprintf("record batch of %d bytes exceeds the maximum of %d (max.message.bytes)", e.Size, e.Max)
}

// UndecodableError is what Apache Kafka answers with UNKNOWN_SERVER_ERROR (-1): compressed data that its decompressor rejects, an
// unknown codec, or a record whose bytes make its reader throw something other than an invalid record.
type UndecodableError struct {
	Reason string
	Err    error
}

func (e *UndecodableError) Error() string {
	if e.Err != nil {
		return "undecodable record batch: " + e.Reason + ": " + e.Err.Error()
	}
	return "undecodable record batch: " + e.Reason
}

func (e *UndecodableError) Unwrap() error { return e.Err }
