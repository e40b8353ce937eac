package storage

import (
	"errors"
	"fmt"
)

// OffsetOutOfRangeError says that an offset lies outside of what the log holds.
type OffsetOutOfRangeError struct {
	Partition  TopicPartition
	Offset     int64
	LogStart   int64 // first offset that may be read
	LogEnd     int64 // next offset to be written
	HighWater  int64 // set when the limit was the high watermark (DeleteRecords)
	DeleteOnly bool
}

func (e *OffsetOutOfRangeError) Error() string {
	if e.DeleteOnly {
		return fmt.Sprintf("cannot raise the log start offset of %v to %d: the high watermark is %d", e.Partition, e.Offset, e.HighWater)
	}
	return fmt.Sprintf("offset %d of %v is out of range: the log holds offsets %d to %d", e.Offset, e.Partition, e.LogStart, e.LogEnd)
}

// DirOfflineError says that the log directory of a partition has failed: the partition is offline until the disk is repaired and the
// broker restarted. (Kafka: KafkaStorageException.)
type DirOfflineError struct {
	Dir string
	Op  string // what was tried
	Err error  // the I/O error that took the directory offline
}

func (e *DirOfflineError) Error() string {
	if e.Op == "" {
		return fmt.Sprintf("log directory %s is offline: %v", e.Dir, e.Err)
	}
	return fmt.Sprintf("log directory %s is offline: %s: %v", e.Dir, e.Op, e.Err)
}

func (e *DirOfflineError) Unwrap() error { return e.Err }

// BatchTooLargeError says that a set of batches is larger than a whole segment may be. (Kafka: RecordBatchTooLargeException, 18.)
type BatchTooLargeError struct {
	Partition TopicPartition
	Size      int
	Limit     int32
}

func (e *BatchTooLargeError) Error() string {
	return fmt.Sprintf("record batches of %d bytes for %v exceed the segment size of %d (segment.bytes)", e.Size, e.Partition, e.Limit)
}

// UnexpectedOffsetError is a follower's append that does not continue its log: it starts below the log end offset.
type UnexpectedOffsetError struct {
	Partition   TopicPartition
	FirstOffset int64
	LastOffset  int64
	LogEnd      int64
}

func (e *UnexpectedOffsetError) Error() string {
	return fmt.Sprintf("append of offsets %d to %d to %v does not continue the log, which ends at %d", e.FirstOffset, e.LastOffset, e.Partition, e.LogEnd)
}

// OutOfOrderError is a follower's append whose batches do not ascend in offset.
type OutOfOrderError struct {
	Partition TopicPartition
	Offset    int64
	After     int64
}

func (e *OutOfOrderError) Error() string {
	return fmt.Sprintf("append to %v has offset %d after offset %d", e.Partition, e.Offset, e.After)
}

// MetadataError says that the meta.properties files of the log directories contradict each other or the configuration.
type MetadataError struct{ Reason string }

func (e *MetadataError) Error() string { return e.Reason }

var (
	// ErrClosed is returned once the manager, or the log, has been closed.
	ErrClosed = errors.New("the log is closed")
	// ErrDeleted is returned by operations on a log that has been deleted.
	ErrDeleted = errors.New("the partition's log has been deleted")
	// ErrOpensTxn says that a batch would open a transaction that AppendInTxn does not allow.
	ErrOpensTxn = errors.New("the batch is not in a transaction that is open here, and may not open one")
	// ErrNoDirs is returned when no log directory is left online.
	ErrNoDirs = errors.New("no log directory is online")
	// ErrUnknownDir is returned for a directory that is not among the configured log.dirs.
	ErrUnknownDir = errors.New("not a configured log directory")
)
