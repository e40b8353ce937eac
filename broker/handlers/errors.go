package handlers

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/replication"
	"gregor/storage"
	"gregor/storage/producerstate"
	"gregor/wire/record"
)

// sentinels are the errors that stand for one code each.
var sentinels = []struct {
	err  error
	code *kerr.Error
}{
	{replication.ErrUnknownPartition, kerr.UnknownTopicOrPartition},
	{replication.ErrNotLeader, kerr.NotLeaderForPartition},
	{replication.ErrOffline, kerr.KafkaStorageError},
	{replication.ErrFencedLeaderEpoch, kerr.FencedLeaderEpoch},
	{replication.ErrUnknownLeaderEpoch, kerr.UnknownLeaderEpoch},
	{replication.ErrNotEnoughReplicas, kerr.NotEnoughReplicas},
	{replication.ErrNotEnoughReplicasAfterAppend, kerr.NotEnoughReplicasAfterAppend},
	{replication.ErrOffsetNotAvailable, kerr.OffsetNotAvailable},
	{replication.ErrStaleControllerEpoch, kerr.StaleControllerEpoch},
	{replication.ErrStaleLeaderEpoch, kerr.StaleControllerEpoch},
	{replication.ErrPolicyViolation, kerr.PolicyViolation},
	{replication.ErrTimedOut, kerr.RequestTimedOut},
	{storage.ErrDeleted, kerr.NotLeaderForPartition},
	{storage.ErrClosed, kerr.NotLeaderForPartition},
	{storage.ErrNoDirs, kerr.KafkaStorageError},
	{storage.ErrOpensTxn, kerr.InvalidTxnState},
}

// ErrorCode is errorCode, for coordinators.
func ErrorCode(err error) int16 { return errorCode(err) }

// errorCode is the one place where errors become Kafka's codes; nil is 0 and what is not known is UNKNOWN_SERVER_ERROR.
func errorCode(err error) int16 {
	if err == nil {
		return 0
	}
	for i := range sentinels {
		if errors.Is(err, sentinels[i].err) {
			return sentinels[i].code.Code
		}
	}
	if code := storageCode(err); code != nil {
		return code.Code
	}
	if code := recordCode(err); code != nil {
		return code.Code
	}
	var k *kerr.Error
	if errors.As(err, &k) {
		return k.Code
	}
	return kerr.UnknownServerError.Code
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func storageCode(err error) *kerr.Error {
	switch {
	case is[*storage.OffsetOutOfRangeError](err):
		return kerr.OffsetOutOfRange
	case is[*storage.DirOfflineError](err):
		return kerr.KafkaStorageError
	case is[*storage.NoSpaceError](err):
		// Every client retries this code, knows that nothing was written, and keeps to its leader; that is less sure of
		// KAFKA_STORAGE_ERROR, which also makes clients ask for the metadata each time.
		return kerr.NotEnoughReplicas
	case is[*storage.BatchTooLargeError](err):
		return kerr.RecordListTooLarge
	case is[*producerstate.OutOfOrderSequenceError](err):
		return kerr.OutOfOrderSequenceNumber
	case is[*producerstate.InvalidProducerEpochError](err):
		return kerr.InvalidProducerEpoch
	case is[*producerstate.InvalidTxnStateError](err):
		return kerr.InvalidTxnState
	case is[*producerstate.CoordinatorFencedError](err):
		return kerr.TransactionCoordinatorFenced
	}
	return nil
}

func recordCode(err error) *kerr.Error {
	switch {
	case is[*record.CorruptError](err):
		return kerr.CorruptMessage
	case is[*record.InvalidRecordError](err):
		return kerr.InvalidRecord
	case is[*record.InvalidTimestampError](err):
		return kerr.InvalidTimestamp
	case is[*record.UnsupportedForMessageFormatError](err):
		return kerr.UnsupportedForMessageFormat
	case is[*record.UnsupportedCompressionError](err):
		return kerr.UnsupportedCompressionType
	case is[*record.RecordTooLargeError](err):
		return kerr.MessageTooLarge
	}
	return nil
}

// recordErrors are the records that a batch was refused for, and the message for all; Kafka sends a message only with records.
func recordErrors(err error) ([]record.RecordError, string) {
	var inv *record.InvalidRecordError
	var ts *record.InvalidTimestampError
	switch {
	case errors.As(err, &inv) && len(inv.Records) > 0:
		return inv.Records, inv.Message
	case errors.As(err, &ts) && len(ts.Records) > 0:
		return ts.Records, ts.Message
	}
	return nil, ""
}
