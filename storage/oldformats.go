package storage

import "gregor/wire/record"

// recordMagic is where a batch, or a message, says which format it has.
const recordMagic = record.PrefixSize - 1

// oldFormatLocked follows an append in message format v0 or v1: truncation must go by the high watermark again.
func (l *Log) oldFormatLocked() {
	if l.epochs.Clear() {
		l.m.log.Warnf("%v: the leader epochs are forgotten after an append in an old message format", l.tp)
		l.epochsDirty = true
	}
}

// addRecent remembers where each of the messages just appended ended.
func (s *segment) addRecent(messages []byte) {
	r := s.recent.Load()
	pos := s.size.Load() - int32(len(messages))
	for rest := messages; len(rest) > 0; {
		b, next, err := record.Next(rest)
		if err != nil {
			return // what is not remembered is looked up
		}
		pos += int32(len(b))
		r.add(record.Batch(b).BaseOffset()+1, pos)
		rest = next
	}
}

// makeTimeless gives a segment of message format v0 an empty time index: a Kafka before 0.10 wrote none, and there are no timestamps in it.
// done is false for other segments.
func (s *segment) makeTimeless() (done bool, err error) {
	h, err := s.headerAt(0)
	if err != nil || h.Magic > 0 {
		if isRecordError(err) {
			err = nil
		}
		return false, err
	}
	s.tidx.restart(0)
	s.maxTs.Store(NoTimestamp)
	s.maxTsOffset.Store(s.base)
	s.lastIndexedTs = NoTimestamp
	return true, s.tidx.writeTail(timeIndex, s.makeTimeIndex)
}
