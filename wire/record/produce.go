package record

import (
	"errors"
	"fmt"

	"gregor/wire/compress"
)

// Produce is what a produce request's parser must know about one partition's records.
type Produce struct {
	Magic         int8
	Codec         compress.Codec
	Transactional bool
	HasProducerID bool
}

// InspectProduce looks at the first batch as Apache Kafka does while parsing the request: a *MalformedRequestError means that
// the connection is closed without an answer (null, empty, truncated, impossible size, unknown magic).
func InspectProduce(records []byte) (Produce, error) {
	raw, _, err := Next(records)
	if err != nil {
		reason := "no whole batch"
		if !errors.Is(err, ErrShort) {
			reason = err.Error()
		}
		return Produce{}, &MalformedRequestError{reason}
	}
	b := Batch(raw)
	if b.Magic() < 2 {
		if b.Magic() == 0 && len(b) < posLegacyAttributes+1 || b.Magic() == 1 && len(b) < posLegacyTimestamp+8 {
			return Produce{}, &MalformedRequestError{"entry ends inside its header"}
		}
		return Produce{Magic: b.Magic(), Codec: compress.Codec(b[posLegacyAttributes] & AttrCodecMask)}, nil
	}
	if len(b) < posProducerEpoch {
		return Produce{}, &MalformedRequestError{"batch ends inside its header"}
	}
	return Produce{Magic: 2, Codec: b.Codec(), Transactional: b.IsTransactional(), HasProducerID: b.HasProducerID()}, nil
}

// CheckProduceVersion applies the rules that hold per version of the produce request, before any log is touched: exactly one
// batch of magic 2 from version 3 on, zstd from version 7 on. An error here is the partition's, not the request's.
func CheckProduceVersion(version int16, records []byte) error {
	if version < 3 {
		return nil
	}
	raw, rest, err := Next(records)
	if errors.Is(err, ErrShort) {
		return &InvalidRecordError{Message: fmt.Sprintf("Produce requests with version %d must have at least one record batch", version)}
	}
	if err != nil {
		return err
	}
	if raw[posMagic] != 2 {
		return &InvalidRecordError{Message: fmt.Sprintf("Produce requests with version %d are only allowed to contain record batches with magic version 2", version)}
	}
	if version < 7 && len(raw) > posAttributes+1 && !Batch(raw).Codec().Valid() {
		return &UndecodableError{Reason: fmt.Sprintf("unknown compression type id %d", Batch(raw).Codec())}
	}
	if version < 7 && len(raw) > posAttributes+1 && Batch(raw).Codec() == compress.Zstd {
		return &UnsupportedCompressionError{fmt.Sprintf("Produce requests with version %d are not allowed to use ZStandard compression", version)}
	}
	switch _, _, err := Next(rest); {
	case err == nil:
		return &InvalidRecordError{Message: fmt.Sprintf("Produce requests with version %d are only allowed to contain exactly one record batch", version)}
	case !errors.Is(err, ErrShort):
		return err
	}
	return nil
}
