package producerstate

import "fmt"

// OutOfOrderSequenceError is OUT_OF_ORDER_SEQUENCE_NUMBER (45).
type OutOfOrderSequenceError struct {
	ProducerID int64
	Offset     int64
	Epoch      int16 // of the batch
	Got, Last  int32 // first sequence of the batch; last one known, -1 if none
	NewEpoch   bool  // the batch opens a new epoch, which must begin at 0
}

func (e *OutOfOrderSequenceError) Error() string {
	if e.NewEpoch {
		return fmt.Sprintf("producer %d at offset %d: epoch %d begins with sequence %d instead of 0", e.ProducerID, e.Offset, e.Epoch, e.Got)
	}
	return fmt.Sprintf("producer %d at offset %d: sequence %d does not follow %d", e.ProducerID, e.Offset, e.Got, e.Last)
}

// InvalidProducerEpochError is INVALID_PRODUCER_EPOCH (47): a newer instance of the producer has written already.
type InvalidProducerEpochError struct {
	ProducerID int64
	Offset     int64
	Got, Last  int16
}

func (e *InvalidProducerEpochError) Error() string {
	return fmt.Sprintf("producer %d at offset %d: epoch %d is older than the last seen %d", e.ProducerID, e.Offset, e.Got, e.Last)
}

// InvalidTxnStateError is INVALID_TXN_STATE (48): a non-transactional batch inside the producer's open transaction.
type InvalidTxnStateError struct {
	ProducerID int64
	Offset     int64
}

func (e *InvalidTxnStateError) Error() string {
	return fmt.Sprintf("producer %d at offset %d: expected a transactional batch while its transaction is open", e.ProducerID, e.Offset)
}

// CoordinatorFencedError is TRANSACTION_COORDINATOR_FENCED (52): a marker from a deposed transaction coordinator.
type CoordinatorFencedError struct {
	ProducerID int64
	Offset     int64
	Got, Last  int32
}

func (e *CoordinatorFencedError) Error() string {
	return fmt.Sprintf("producer %d at offset %d: marker of coordinator epoch %d, but %d was seen", e.ProducerID, e.Offset, e.Got, e.Last)
}
