package replication

import (
	"fmt"
	"slices"

	"gregor/storage"
	"gregor/wire/record"
)

// Isolation bounds how far a reader sees.
type Isolation uint8

const (
	// ReadUncommitted ends at the high watermark.
	ReadUncommitted Isolation = iota
	// ReadCommitted ends at the last stable offset.
	ReadCommitted
	// ReadLogEnd is for followers and administration.
	ReadLogEnd
)

// ReadRequest is one partition of a fetch.
type ReadRequest struct {
	Offset int64
	// LeaderEpoch is what the reader believes, NoEpoch if it does not say.
	LeaderEpoch int32
	// LastFetchedEpoch is the epoch of the reader's last record, NoEpoch if it does not say.
	LastFetchedEpoch int32
	MaxBytes         int
	MinOne           bool
	Isolation        Isolation
	LeaderOnly       bool
}

// ReadResult is what was read. Its Slice holds a reference to a file when it is not empty.
type ReadResult struct {
	HighWatermark, LastStable, LogStart, LogEnd int64
	Slice                                       storage.Slice
	Aborted                                     []storage.AbortedTxn
	// More says that there is something to read at the offset, whether or not it was read.
	More bool
	// Diverging is set when the reader's last record is not in this log: the reader must truncate to DivergingEnd.
	Diverging       bool
	DivergingEpoch  int32
	DivergingEnd    int64
	CompressionType int8
	// Magic and DownConvert are the topic's message format, and whether readers that know older ones only may be served.
	Magic       int8
	DownConvert bool
}

// noneAborted is an empty list, which a read of committed records has and any other has not.
var noneAborted = []storage.AbortedTxn{}

// Read reads from the partition without waiting. Whatever res held before is forgotten, not released.
func (p *Partition) Read(q *ReadRequest, res *ReadResult) error {
	*res = ReadResult{}
	if q.Isolation == ReadCommitted {
		res.Aborted = noneAborted
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.usable(q.LeaderEpoch, q.LeaderOnly)
	if err != nil {
		return err
	}
	// The order matters: each bound is read before the next larger one, so that start <= LSO <= HW <= end holds in the answer.
	res.LogStart = log.LogStartOffset()
	res.LastStable = log.LastStableOffset()
	res.HighWatermark = log.HighWatermark()
	res.LogEnd = log.LogEndOffset()
	cfg := log.Config()
	res.CompressionType, res.Magic, res.DownConvert = cfg.Compression, cfg.Magic, cfg.DownConvert
	if q.LastFetchedEpoch != NoEpoch {
		epoch, end := p.endOfEpoch(log, q.LastFetchedEpoch)
		if epoch == NoEpoch || end < 0 {
			return &storage.OffsetOutOfRangeError{Partition: p.tp, Offset: q.Offset, LogStart: res.LogStart, LogEnd: res.LogEnd}
		}
		if epoch < q.LastFetchedEpoch || end < q.Offset {
			res.Diverging, res.DivergingEpoch, res.DivergingEnd = true, epoch, end
			return nil
		}
	}
	upTo := res.HighWatermark
	switch q.Isolation {
	case ReadCommitted:
		upTo = res.LastStable
	case ReadLogEnd:
		upTo = res.LogEnd
	case ReadUncommitted:
	}
	if q.Offset < res.LogStart || q.Offset > res.LogEnd {
		return &storage.OffsetOutOfRangeError{Partition: p.tp, Offset: q.Offset, LogStart: res.LogStart, LogEnd: res.LogEnd}
	}
	if q.Offset >= upTo {
		return nil
	}
	res.More = true
	if q.MaxBytes <= 0 && !q.MinOne {
		return nil
	}
	res.Slice, err = log.Read(q.Offset, q.MaxBytes, q.MinOne, upTo)
	if err != nil {
		return p.m.readFailed(p, err)
	}
	if q.Isolation == ReadCommitted {
		aborted, err := log.AbortedTxns(&res.Slice)
		if err != nil {
			res.Slice.Release()
			res.Slice = storage.Slice{}
			return p.m.readFailed(p, err)
		}
		if len(aborted) > 0 {
			res.Aborted = aborted
		}
	}
	return nil
}

// endOfEpoch finds the largest epoch not above epoch and where it ends; -1, -1 if the log cannot tell. An epoch enters the log's
// own list with its first record only, so the leader's present epoch is looked at here.
func (p *Partition) endOfEpoch(log *storage.Log, epoch int32) (int32, int64) {
	if !log.KeepsEpochs() {
		return NoEpoch, -1
	}
	latest, ok := log.LatestEpoch()
	if p.mu.leading {
		switch {
		case epoch == p.mu.LeaderEpoch:
			return epoch, log.LogEndOffset()
		case epoch > p.mu.LeaderEpoch:
			return NoEpoch, -1
		case ok && epoch > latest && latest < p.mu.LeaderEpoch:
			return latest, p.mu.epochStart
		case !ok: // what this leader will write is the first that has an epoch
			return epoch, p.mu.epochStart
		}
	}
	found, end, ok := log.EndOffsetForEpoch(epoch)
	if !ok {
		return NoEpoch, -1
	}
	return found, end
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch.
func (p *Partition) EndOffsetForEpoch(current, epoch int32, leaderOnly bool) (int32, int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.usable(current, leaderOnly)
	if err != nil {
		return NoEpoch, -1, err
	}
	e, end := p.endOfEpoch(log, epoch)
	return e, end, nil
}

// Timestamps with a meaning in ListOffsets.
const (
	LatestTimestamp   int64 = -1
	EarliestTimestamp int64 = -2
)

// OffsetByTimestamp answers ListOffsets from version 1 on. client is false for replicas and debugging consumers, which see the log's
// end. found is false when no record is that young.
func (p *Partition) OffsetByTimestamp(ts int64, iso Isolation, client bool, current int32, leaderOnly bool) (storage.TimestampOffset, bool, error) {
	none := storage.TimestampOffset{Timestamp: -1, Offset: -1, LeaderEpoch: NoEpoch}
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.usable(current, leaderOnly)
	if err != nil {
		return none, false, err
	}
	last := log.LogEndOffset()
	if client {
		last = log.HighWatermark()
		if iso == ReadCommitted {
			last = log.LastStableOffset()
		}
	}
	// After an election the high watermark may be behind what the former leader acknowledged.
	var lagging error
	if client && p.mu.leading && p.mu.epochStart > log.HighWatermark() {
		lagging = ErrOffsetNotAvailable
	}
	switch ts {
	case LatestTimestamp:
		return storage.TimestampOffset{Timestamp: -1, Offset: last, LeaderEpoch: p.mu.LeaderEpoch}, lagging == nil, lagging
	case EarliestTimestamp:
		epoch := NoEpoch
		if e, ok := log.EarliestEpoch(); ok {
			epoch = e
		} else if p.mu.leading && log.KeepsEpochs() && log.LogEndOffset() == log.LogStartOffset() {
			epoch = p.mu.LeaderEpoch // what the first record will have; Kafka notes a leader's epoch before there is one
		}
		return storage.TimestampOffset{Timestamp: -1, Offset: log.LogStartOffset(), LeaderEpoch: epoch}, true, nil
	}
	if log.Config().Magic == 0 {
		return none, false, &record.UnsupportedForMessageFormatError{Reason: fmt.Sprintf("offsets of %v cannot be searched by timestamp, as its message format has none", p.tp)}
	}
	found, ok, err := log.OffsetByTimestamp(ts)
	if err != nil {
		return none, false, p.m.readFailed(p, err)
	}
	if !ok || found.Offset >= last {
		return none, false, lagging
	}
	return found, true, nil
}

// OffsetsBefore answers ListOffsets version 0: at most limit segment ends, newest first.
func (p *Partition) OffsetsBefore(ts int64, limit int, client, leaderOnly bool) ([]int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.usable(NoEpoch, leaderOnly)
	if err != nil {
		return nil, err
	}
	offs, err := log.OffsetsBefore(ts, limit, p.m.opt.now())
	if err != nil {
		return nil, err
	}
	if !client {
		return offs, nil
	}
	hw := log.HighWatermark()
	if i := slices.IndexFunc(offs, func(o int64) bool { return o <= hw }); i != 0 && len(offs) > 0 {
		if i < 0 {
			i = len(offs)
		}
		offs = append([]int64{hw}, offs[i:]...)
	}
	return offs, nil
}

// DeleteRecords raises the log start of the partition this broker leads; -1 means up to the high watermark. It returns the lowest
// log start of the replicas so far, and the offset that was meant.
func (p *Partition) DeleteRecords(upTo int64) (low, target int64, err error) {
	p.mu.RLock()
	log, err := p.usable(NoEpoch, true)
	if err != nil {
		p.mu.RUnlock()
		return -1, -1, err
	}
	if !log.Config().Delete {
		p.mu.RUnlock()
		return -1, -1, ErrPolicyViolation
	}
	if upTo == -1 {
		upTo = log.HighWatermark()
	}
	if upTo < 0 {
		p.mu.RUnlock()
		return -1, -1, &storage.OffsetOutOfRangeError{Partition: p.tp, Offset: upTo, LogStart: log.LogStartOffset(), LogEnd: log.LogEndOffset()}
	}
	err = log.DeleteRecords(upTo)
	low = p.lowWatermark(log)
	p.mu.RUnlock()
	if err != nil {
		return -1, -1, p.m.readFailed(p, err)
	}
	p.notify(nil)
	return low, upTo, nil
}

// LowWatermark is the lowest log start of the leader and its live followers.
func (p *Partition) LowWatermark() (int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.usable(NoEpoch, true)
	if err != nil {
		return -1, err
	}
	return p.lowWatermark(log), nil
}

func (p *Partition) lowWatermark(log *storage.Log) int64 {
	p.hw.Lock()
	defer p.hw.Unlock()
	return p.mu.isr.FollowerStart(log.LogStartOffset(), p.m.opt.alive)
}
