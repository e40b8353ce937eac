package record

import (
	"fmt"

	"gregor/wire/compress"
)

// KeepCodec as ValidateOptions.Codec is compression.type=producer: the batch stays as it came.
const KeepCodec compress.Codec = -1

// maxDecompressed bounds what one batch may decompress to. Checking needs a small buffer only, so this bounds time; rewriting
// (compression.type, odd offsets) holds it all, so that has a bound of its own.
const (
	maxDecompressed = 1 << 30
	maxRewritten    = 256 << 20
)

// ValidateOptions is what an append asks of Analyze. The zero value checks nothing that settings ask for, but MaxTimestampDiff must then
// be math.MaxInt64, and Magic says which format is stored.
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
	Magic            int8           // message.format.version: the format in which the records are stored, 0 to 2
}

// Analysis is a checked batch that awaits its offset. It is a value: keep it on the stack.
type Analysis struct {
	Batch    Batch // the bytes to write; the caller's own unless Replaced. Of formats v0 and v1 they are a set of one or more messages
	Replaced bool  // recompressed or rewritten into a new buffer
	Count    int32

	timestampType TimestampType
	maxTimestamp  int64
	indexOfMax    int32 // index of the record whose offset goes with the max timestamp, -1 for none

	old        bool    // Batch is a set of v0 or v1
	compressed bool    // which is one message that holds the others
	late       *oldSet // Batch can be made only when its offsets are known
}

// Validated is what an append learns about the batch it is about to write.
type Validated struct {
	Batch                Batch // of formats v0 and v1, a set of messages
	Old                  bool  // it is such a set
	Replaced             bool
	FirstOffset          int64
	LastOffset           int64
	MaxTimestamp         int64
	OffsetOfMaxTimestamp int64
	LogAppendTime        int64 // NoTimestamp unless the topic uses it
	Count                int32
}

// Analyze does everything that needs no log lock: splits off the one batch, or the messages of an old format, checks CRCs and records,
// and recompresses them or converts their format if the topic asks for it. Nothing in records is changed.
func Analyze(records []byte, opt ValidateOptions) (Analysis, error) {
	if opt.Magic < 2 || len(records) >= PrefixSize && records[posMagic] < 2 {
		return analyzeOld(records, opt)
	}
	b, err := soleBatch(records, &opt)
	if err != nil {
		return Analysis{}, err
	}
	source := b.Codec()
	if !source.Valid() {
		return Analysis{}, &UndecodableError{Reason: fmt.Sprintf("unknown compression type id %d", source)}
	}
	if err := checkBatch(b, &opt); err != nil {
		return Analysis{}, err
	}
	target := opt.Codec
	if target == KeepCodec || source == compress.None && b.IsControl() {
		target = source // control batches are not compressed unless they came so
	}
	a := Analysis{Batch: b, Count: b.Count(), timestampType: opt.TimestampType}
	w := newWalk(b, &opt)
	if err := w.batch(b); err != nil {
		return Analysis{}, err
	}
	a.maxTimestamp, a.indexOfMax = w.maxTimestamp, w.indexOfMax
	if source != target || source != compress.None && w.outOfOrder {
		if a.Batch, err = rewrite(b, target, &opt); err != nil {
			return Analysis{}, err
		}
		a.Replaced = true
	}
	if source != compress.None || target != compress.None || opt.TimestampType == LogAppendTime {
		a.indexOfMax = a.Count - 1
	}
	return a, nil
}

// Assign stamps offset, leader epoch and, where the topic or a wrong max timestamp asks for it, the timestamp into the batch in
// place. now is the append time for LogAppendTime; take it under the log's lock so that timestamps follow offsets. Only what becomes
// compressed messages of format v0 can fail here.
func (a *Analysis) Assign(baseOffset int64, leaderEpoch int32, now int64) (Validated, error) {
	if a.old {
		return a.assignOld(baseOffset, now)
	}
	b := a.Batch
	v := Validated{
		Batch:                b,
		Replaced:             a.Replaced,
		FirstOffset:          baseOffset,
		LastOffset:           baseOffset + int64(a.Count) - 1,
		MaxTimestamp:         a.maxTimestamp,
		OffsetOfMaxTimestamp: -1,
		LogAppendTime:        NoTimestamp,
		Count:                a.Count,
	}
	if a.indexOfMax >= 0 {
		v.OffsetOfMaxTimestamp = baseOffset + int64(a.indexOfMax)
	}
	if a.timestampType == LogAppendTime {
		v.MaxTimestamp, v.LogAppendTime = now, now
	}
	b.SetBaseOffset(v.LastOffset - int64(b.LastOffsetDelta()))
	b.SetLeaderEpoch(leaderEpoch)
	b.SetMaxTimestamp(v.MaxTimestamp, a.timestampType)
	return v, nil
}

// Validate is Analyze and Assign in one.
func Validate(records []byte, opt ValidateOptions, baseOffset int64, leaderEpoch int32) (Validated, error) {
	a, err := Analyze(records, opt)
	if err != nil {
		return Validated{}, err
	}
	return a.Assign(baseOffset, leaderEpoch, opt.Now)
}

// soleBatch does what Apache Kafka does per batch of an append (base offset, size, CRC) and demands that there be one. Bytes
// behind it that could only be the start of another batch are ignored.
func soleBatch(records []byte, opt *ValidateOptions) (Batch, error) {
	var first Batch
	for n, rest := 0, records; ; n++ {
		raw, next, err := Next(rest)
		if err == ErrShort {
			if n == 0 {
				return nil, &MalformedRequestError{"no whole batch"}
			}
			if n > 1 {
				return nil, errSeveralBatches
			}
			return first, nil
		}
		if err != nil {
			return nil, err
		}
		if err := checkEntry(raw, opt); err != nil {
			return nil, err
		}
		if n == 0 {
			first = raw
		}
		rest = next
	}
}

var errSeveralBatches = &InvalidRecordError{Message: "Compressed outer record has more than one batch"}

// checkBatch holds the header to what a producer may send.
func checkBatch(b Batch, opt *ValidateOptions) error {
	count := b.Count()
	if !opt.FromClient {
		if count < 0 {
			return &InvalidRecordError{Message: fmt.Sprintf("Found invalid record count %d in magic v2 batch", count)}
		}
		return fitsFormat(b, opt.Magic)
	}
	fromOffsets := int64(b.LastOffsetDelta()) + 1
	var msg string
	switch {
	case fromOffsets <= 0:
		msg = fmt.Sprintf("Batch has an invalid offset range: [%d, %d]", b.BaseOffset(), b.LastOffset())
	case count <= 0:
		msg = fmt.Sprintf("Invalid reported count for record batch: %d", count)
	case fromOffsets != int64(count):
		msg = fmt.Sprintf("Inconsistent batch offset range [%d, %d] and count of records %d", b.BaseOffset(), b.LastOffset(), count)
	case b.IsControl():
		msg = "Clients are not allowed to write control records"
	case b.HasProducerID() && b.BaseSequence() < 0:
		msg = fmt.Sprintf("Invalid sequence number %d in record batch with producerId %d", b.BaseSequence(), b.ProducerID())
	default:
		return fitsFormat(b, opt.Magic)
	}
	return &InvalidRecordError{Message: fmt.Sprintf("%s in topic partition %s-%d.", msg, opt.Topic, opt.Partition)}
}

// fitsFormat refuses what the old formats have no place for.
func fitsFormat(b Batch, magic int8) error {
	switch {
	case magic >= 2:
		return nil
	case b.IsTransactional():
		return &UnsupportedForMessageFormatError{fmt.Sprintf("Transactional records cannot be used with magic version %d", magic)}
	case b.HasProducerID():
		return &UnsupportedForMessageFormatError{fmt.Sprintf("Idempotent records cannot be used with magic version %d", magic)}
	}
	return nil
}
