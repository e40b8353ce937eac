package record

import (
	"errors"

	"gregor/wire/compress"
)

// KeepCodec as ValidateOptions.Codec is compression.type=producer: the batch stays as it came.
const KeepCodec compress.Codec = -1

// ValidateOptions is what an append asks of Analyze. The zero value checks nothing that settings ask for.
type ValidateOptions struct {
	Topic     string // for messages only
	Partition int32  // for messages only

	FromClient       bool           // full checks: a producer's request, not a coordinator's batch
	Compacted        bool           // every record needs a key
	TimestampType    TimestampType  // message.timestamp.type
	MaxTimestampDiff int64          // message.timestamp.difference.max.ms; math.MaxInt64 for none
	Now              int64          // the broker's clock, ms
	Codec            compress.Codec // compression.type; KeepCodec for "producer"
	MaxBatchBytes    int            // max.message.bytes; 0 for no limit
}

// Analysis is a checked batch that awaits its offset. It is a value: keep it on the stack.
type Analysis struct {
	Batch    Batch // the bytes to write; the caller's own unless Replaced
	Replaced bool  // recompressed or rewritten into a new buffer
	Count    int32

	opt          ValidateOptions
	maxTimestamp int64
	deltaOfMax   int64 // offset of the (first) record with the max timestamp, relative to the base offset
}

// Validated is what an append learns about the batch it is about to write.
type Validated struct {
	Batch                Batch
	Replaced             bool
	FirstOffset          int64
	LastOffset           int64
	MaxTimestamp         int64
	OffsetOfMaxTimestamp int64
	LogAppendTime        int64 // NoTimestamp unless the topic uses it
	Count                int32
}

// Analyze does everything that needs no log lock: splits off the one batch, checks its CRC and its records, and recompresses it
// if the topic asks for it. Nothing in records is changed.
func Analyze(records []byte, opt ValidateOptions) (Analysis, error) {
	return Analysis{}, errors.New("record: not there yet")
}

// Assign stamps offset, leader epoch and, where the topic or a wrong max timestamp asks for it, the timestamp into the batch in
// place. now is the append time for LogAppendTime; take it under the log's lock so that timestamps follow offsets.
func (a *Analysis) Assign(baseOffset int64, leaderEpoch int32, now int64) Validated {
	return Validated{}
}

// Validate is Analyze and Assign in one.
func Validate(records []byte, opt ValidateOptions, baseOffset int64, leaderEpoch int32) (Validated, error) {
	a, err := Analyze(records, opt)
	if err != nil {
		return Validated{}, err
	}
	return a.Assign(baseOffset, leaderEpoch, opt.Now), nil
}

// Produce is what a produce request's parser must know about one partition's records.
type Produce struct {
	Magic         int8
	Codec         compress.Codec
	Transactional bool
	HasProducerID bool
}

// InspectProduce looks at the first batch as Apache Kafka does while parsing the request: a *MalformedRequestError means that
// the connection is closed without an answer (null, empty, truncated, unknown magic).
func InspectProduce(records []byte) (Produce, error) {
	return Produce{}, errors.New("record: not there yet")
}

// CheckProduceVersion applies the rules that hold per version of the produce request, before any log is touched: exactly one
// batch of magic 2 from version 3 on, zstd from version 7 on.
func CheckProduceVersion(version int16, records []byte) error {
	return errors.New("record: not there yet")
}
