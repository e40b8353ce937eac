package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime/debug"

	"gregor/wire/compress"
)

// convert builds what is stored in the place of a set: a batch or messages of the topic's format, compressed as the topic asks for.
func (s *oldSet) convert() (Analysis, error) {
	a := Analysis{Count: s.walk.seen, timestampType: s.opt.TimestampType, Replaced: true}
	var err error
	switch {
	case s.opt.Magic >= 2:
		a.Batch, a.maxTimestamp, err = s.toBatch()
		a.indexOfMax = a.Count - 1
	case s.opt.Magic == 0 && s.target != compress.None:
		a.old, a.compressed, a.late = true, true, s
		a.maxTimestamp, a.indexOfMax = NoTimestamp, -1
	default:
		a.old, a.compressed = true, s.target != compress.None
		a.Batch, a.maxTimestamp, a.indexOfMax, err = s.toMessages(0)
	}
	if err != nil {
		return Analysis{}, err
	}
	return a, nil
}

// each calls f with every record of the set, checked already.
func (s *oldSet) each(f func(r *Record) error) error {
	for rest := s.records; len(rest) > 0; {
		b, next, err := Next(rest)
		if err != nil {
			return err
		}
		if err := eachRecord(&s.it, b, f); err != nil {
			return err
		}
		rest = next
	}
	return nil
}

// eachRecord calls f with every record of a batch or message. What unpacks to much is held by one goroutine at a time.
func eachRecord(it *Iter, b []byte, f func(r *Record) error) error {
	defer it.Close()
	it.Reset(b, easyRewritten)
	if errors.Is(it.Err(), compress.ErrTooLarge) {
		hugeRewrite.Lock()
		defer hugeRewrite.Unlock()
		defer debug.FreeOSMemory()
		it.resetHuge(b)
	}
	for it.Next() {
		if err := f(&it.Record); err != nil {
			return err
		}
	}
	return it.Err()
}

// checkTimestamp refuses what Apache Kafka's builder does.
func checkTimestamp(ts int64) error {
	if ts < 0 && ts != NoTimestamp {
		return &UndecodableError{Reason: fmt.Sprintf("invalid negative timestamp %d", ts)}
	}
	return nil
}

// toBatch makes a v2 batch of messages.
func (s *oldSet) toBatch() (b Batch, maxTimestamp int64, err error) {
	nb := NewBuilder()
	nb.Codec = s.target
	nb.grow(len(s.records))
	err = s.each(func(r *Record) error {
		if err := checkTimestamp(r.Timestamp); err != nil {
			return err
		}
		nb.Append(r.Timestamp, r.Key, r.Value)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if b, err = nb.Build(); err != nil {
		return nil, 0, err
	}
	return b, nb.maxTimestamp, s.fits(b)
}

// toMessages makes messages of an old format, the first of which has the offset base.
func (s *oldSet) toMessages(base int64) (set Batch, maxTimestamp int64, indexOfMax int32, err error) {
	var b setBuilder
	var dst []byte
	if s.target == compress.None && s.source == compress.None {
		dst = make([]byte, 0, len(s.records)+int(s.walk.seen)*(legacyHeadV1+8))
	}
	if err := b.begin(dst, s.opt.Magic, s.target, s.opt.TimestampType, s.opt.Now, base); err != nil {
		return nil, 0, 0, err
	}
	offset := base
	err = s.each(func(r *Record) error {
		switch {
		case r.Headers.Len() > 0:
			return &UndecodableError{Reason: fmt.Sprintf("Magic v%d does not support record headers", s.opt.Magic)}
		case b.w.Len() > maxRewritten:
			return &UndecodableError{Reason: "converting to an old message format", Err: compress.ErrTooLarge}
		}
		if err := checkTimestamp(r.Timestamp); err != nil {
			return err
		}
		offset++
		return b.add(offset-1, r.Timestamp, r.Key, r.Value)
	})
	if err != nil {
		return nil, 0, 0, err
	}
	out, err := b.end()
	if err != nil {
		return nil, 0, 0, err
	}
	return out, b.maxTimestamp, b.indexOfMax, s.fits(out)
}

// fits checks the sizes anew: a message of the topic's format may be larger than it was.
func (s *oldSet) fits(set []byte) error {
	for rest := set; len(rest) > 0 && s.opt.MaxBatchBytes > 0; {
		b, next, err := Next(rest)
		if err != nil {
			return err
		}
		if len(b) > s.opt.MaxBatchBytes {
			return &RecordTooLargeError{Size: len(b), Max: s.opt.MaxBatchBytes}
		}
		rest = next
	}
	return nil
}

// assignOld is Assign for messages of an old format.
func (a *Analysis) assignOld(baseOffset, now int64) (Validated, error) {
	if a.late != nil {
		var err error
		if a.Batch, _, _, err = a.late.toMessages(baseOffset); err != nil {
			return Validated{}, err
		}
	}
	v := Validated{
		Batch:                a.Batch,
		Old:                  true,
		Replaced:             a.Replaced,
		FirstOffset:          baseOffset,
		LastOffset:           baseOffset + int64(a.Count) - 1,
		MaxTimestamp:         a.maxTimestamp,
		OffsetOfMaxTimestamp: -1,
		LogAppendTime:        NoTimestamp,
		Count:                a.Count,
	}
	if a.timestampType == LogAppendTime {
		v.MaxTimestamp, v.LogAppendTime, v.OffsetOfMaxTimestamp = now, now, baseOffset
	} else if a.indexOfMax >= 0 {
		v.OffsetOfMaxTimestamp = baseOffset + int64(a.indexOfMax)
	}
	if a.compressed {
		v.OffsetOfMaxTimestamp = v.LastOffset
		setOffset(a.Batch, v.LastOffset)
		setTimestamp(a.Batch, v.MaxTimestamp, a.timestampType)
		return v, nil
	}
	offset := baseOffset
	for rest := []byte(a.Batch); len(rest) > 0; offset++ {
		b, next, err := Next(rest)
		if err != nil {
			return Validated{}, err
		}
		setOffset(b, offset)
		ts := now
		if a.timestampType == CreateTime && Batch(b).Magic() > 0 {
			ts = max(int64(binary.BigEndian.Uint64(b[posLegacyTimestamp:])), NoTimestamp)
		}
		setTimestamp(b, ts, a.timestampType)
		rest = next
	}
	return v, nil
}

func setOffset(message []byte, offset int64) { binary.BigEndian.PutUint64(message, uint64(offset)) }

// setTimestamp writes timestamp and timestamp type into a message, if its format has them, and keeps its CRC right. Like Apache Kafka
// it changes nothing, unknown attribute bits included, if both are already so.
func setTimestamp(message []byte, ts int64, typ TimestampType) {
	if Batch(message).Magic() == 0 {
		return
	}
	attrs := message[posLegacyAttributes]
	was := CreateTime
	if attrs&AttrLogAppendTime != 0 {
		was = LogAppendTime
	}
	if was == typ && int64(binary.BigEndian.Uint64(message[posLegacyTimestamp:])) == ts {
		return
	}
	attrs &= AttrCodecMask
	if typ == LogAppendTime {
		attrs |= AttrLogAppendTime
	}
	message[posLegacyAttributes] = attrs
	binary.BigEndian.PutUint64(message[posLegacyTimestamp:], uint64(ts))
	binary.BigEndian.PutUint32(message[posLegacyCRC:], crc32.ChecksumIEEE(message[posMagic:]))
}
