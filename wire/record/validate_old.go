package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime/debug"

	"gregor/wire/compress"
)

// oldSet is what a request appends where format v0 or v1 has a part in it: messages of these, or a v2 batch for a topic of these.
type oldSet struct {
	opt     *ValidateOptions
	records []byte // whole batches or messages
	count   int    // of them
	magic   int8   // of the first
	source  compress.Codec
	target  compress.Codec
	same    bool // all have the first one's format

	// What the records come to, one by one.
	walk     walk
	inOrder  bool // the offsets within a compressed message are 0, 1, 2, ...
	position int32
	it       Iter
}

// analyzeOld is Analyze where an old format has a part. It takes the options by value, so that those of Analyze stay on the stack.
func analyzeOld(records []byte, opt ValidateOptions) (Analysis, error) {
	s := &oldSet{opt: &opt, same: true, inOrder: true}
	if err := s.scan(records); err != nil {
		return Analysis{}, err
	}
	if s.count > 1 && (s.magic >= 2 || s.source != compress.None) {
		return Analysis{}, errSeveralBatches
	}
	if err := s.validate(); err != nil {
		return Analysis{}, err
	}
	plain := s.source == compress.None && s.target == compress.None
	if s.same && s.magic == opt.Magic && (plain || s.source == s.target && s.magic > 0 && s.inOrder) {
		return Analysis{Batch: s.records, Count: s.walk.seen, timestampType: opt.TimestampType,
			maxTimestamp: s.walk.maxTimestamp, indexOfMax: s.walk.indexOfMax, old: true, compressed: !plain}, nil
	}
	return s.convert()
}

// scan is what Apache Kafka does with each batch or message before it looks at their records. Bytes behind the last whole one are
// ignored.
func (s *oldSet) scan(records []byte) error {
	for rest := records; ; s.count++ {
		raw, next, err := Next(rest)
		if errors.Is(err, ErrShort) {
			if s.count == 0 {
				return &MalformedRequestError{"no whole batch"}
			}
			s.records = records[:len(records)-len(rest)]
			break
		}
		if err != nil {
			return err
		}
		b := Batch(raw)
		if err := checkEntry(b, s.opt); err != nil {
			return err
		}
		codec := entryCodec(b)
		if !codec.Valid() {
			return &UndecodableError{Reason: fmt.Sprintf("unknown compression type id %d", codec)}
		}
		if codec != compress.None {
			s.source = codec
		}
		if s.count == 0 {
			s.magic = b.Magic()
		}
		s.same = s.same && b.Magic() == s.magic
		rest = next
	}
	if s.target = s.opt.Codec; s.target == KeepCodec {
		s.target = s.source
	}
	return nil
}

// checkEntry is what Apache Kafka asks of each batch or message of an append, whatever its format.
func checkEntry(b Batch, opt *ValidateOptions) error {
	old := b.Magic() < 2
	if !old && opt.FromClient && b.BaseOffset() != 0 {
		return &InvalidRecordError{Message: fmt.Sprintf("The baseOffset of the record batch in the append to %s-%d should be 0, but it is %d",
			opt.Topic, opt.Partition, b.BaseOffset())}
	}
	if opt.MaxBatchBytes > 0 && len(b) > opt.MaxBatchBytes {
		return &RecordTooLargeError{Size: len(b), Max: opt.MaxBatchBytes}
	}
	if old {
		if len(b) < posLegacyAttributes+1 || !ValidLegacyCRC(b) {
			return &CorruptError{fmt.Sprintf("stored crc of a message in format v%d does not match, in topic partition %s-%d", b.Magic(), opt.Topic, opt.Partition)}
		}
		return nil
	}
	if len(b) < HeaderSize {
		return &CorruptError{fmt.Sprintf("size %d is smaller than a batch header (%d)", len(b), HeaderSize)}
	}
	if crc := b.ComputeCRC(); crc != b.CRC() {
		return &CorruptError{fmt.Sprintf("stored crc %d, computed %d, in topic partition %s-%d", b.CRC(), crc, opt.Topic, opt.Partition)}
	}
	return nil
}

// entryCodec is the codec of a batch or message of any format, whose header is whole.
func entryCodec(b Batch) compress.Codec {
	if b.Magic() < 2 {
		return compress.Codec(b[posLegacyAttributes] & AttrCodecMask)
	}
	return b.Codec()
}

// validate holds each record to the topic's rules.
func (s *oldSet) validate() error {
	if s.magic >= 2 {
		if err := checkBatch(s.records, s.opt); err != nil {
			return err
		}
		s.walk = newWalk(s.records, s.opt)
		return s.walk.batch(s.records)
	}
	s.walk = newRules(s.opt)
	for rest := s.records; len(rest) > 0; {
		b, next, err := Next(rest)
		if err != nil {
			return err
		}
		if magic := Batch(b).Magic(); magic != s.magic {
			return &InvalidRecordError{Message: fmt.Sprintf("Batch magic %d is not the same as the first batch'es magic byte %d in topic partition %s-%d.",
				magic, s.magic, s.opt.Topic, s.opt.Partition)}
		}
		if err := s.message(b); err != nil {
			return err
		}
		if err := s.walk.result(); err != nil {
			return err
		}
		rest = next
	}
	return nil
}

// message validates one message, or those that it holds.
func (s *oldSet) message(b []byte) error {
	var m legacyMessage
	if err := m.parse(b[LogOverhead:]); err != nil {
		return &CorruptError{err.Error()}
	}
	stamped := m.magic > 0 && m.attrs&AttrLogAppendTime != 0
	if m.codec() == compress.None {
		s.record(0, &m, stamped)
		return nil
	}
	if m.codec() == compress.Zstd {
		return errLegacyZstd
	}
	if m.value == nil {
		return &InvalidRecordError{Message: "Found invalid compressed record set with null value"}
	}
	return unpacked(m.innerCodec(), m.value, func(inner []byte) error {
		return s.held(inner, int64(binary.BigEndian.Uint64(b)), &m, stamped)
	})
}

// unpacked calls f with what packed holds. What is large is held by one goroutine at a time.
func unpacked(codec compress.Codec, packed []byte, f func(raw []byte) error) error {
	pooled := rewriteBuffers.Get().(*[]byte)
	defer rewriteBuffers.Put(pooled)
	raw, err := compress.Decompress((*pooled)[:0], codec, packed, easyRewritten)
	if cap(raw) <= easyRewritten {
		*pooled = raw
	}
	if errors.Is(err, compress.ErrTooLarge) {
		hugeRewrite.Lock()
		defer hugeRewrite.Unlock()
		defer debug.FreeOSMemory()
		raw, err = unpackHuge(codec, packed)
	}
	if err != nil {
		return &UndecodableError{Reason: codec.String(), Err: err}
	}
	return f(raw)
}

// held validates the messages that a compressed one held.
func (s *oldSet) held(inner []byte, outer int64, wrapper *legacyMessage, stamped bool) error {
	base, err := innerBase(inner, wrapper.magic, outer)
	if err != nil {
		return err
	}
	for rest := inner; ; {
		var e []byte
		if e, rest, err = nextInner(rest); err != nil {
			return err
		}
		if e == nil {
			return nil
		}
		index := s.position
		s.position++
		attrs, magic := int8(e[posLegacyAttributes]), int8(e[posMagic])
		switch {
		case attrs&AttrCodecMask != 0:
			return &InvalidRecordError{Message: "Inner messages must not be compressed"}
		case magic != wrapper.magic:
			s.walk.fail(index, fmt.Sprintf("Record's magic %d does not match outer magic %d in topic partition %s-%d.", magic, wrapper.magic, s.opt.Topic, s.opt.Partition))
			continue
		case crc32.ChecksumIEEE(e[posMagic:]) != binary.BigEndian.Uint32(e[posLegacyCRC:]):
			return &CorruptError{fmt.Sprintf("stored crc of a message within a compressed one does not match, in topic partition %s-%d", s.opt.Topic, s.opt.Partition)}
		}
		var m legacyMessage
		if err := m.parse(e[LogOverhead:]); err != nil {
			return &CorruptError{err.Error()}
		}
		if stamped {
			m.timestamp = wrapper.timestamp
		}
		if int64(binary.BigEndian.Uint64(e))+base != int64(s.walk.seen) {
			s.inOrder = false
		}
		s.record(index, &m, stamped)
	}
}

// record validates one message and takes it in. index is the one in its batch, as errors name it.
func (s *oldSet) record(index int32, m *legacyMessage, stamped bool) {
	w := &s.walk
	w.rejectBatch = stamped
	w.special(index, m.timestamp, w.seen, m.key != nil)
	if m.magic > 0 && s.opt.Magic > 0 && m.timestamp > w.maxTimestamp {
		w.maxTimestamp, w.indexOfMax = m.timestamp, w.seen
	}
	w.seen++
}
