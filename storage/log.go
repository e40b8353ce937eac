package storage

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"gregor/storage/leaderepoch"
	"gregor/storage/producerstate"
	"gregor/storage/txnindex"
	"gregor/wire/compress"
	"gregor/wire/record"
)

// noUnstable stands for "no transaction is open".
const noUnstable int64 = math.MaxInt64

// Log is one partition's log. An idle one costs a few hundred bytes: no descriptor, no goroutine, no timer.
type Log struct {
	m   *Manager
	dir *logDir
	tp  TopicPartition

	cfg  atomic.Pointer[Config]
	name atomic.Pointer[string]     // of its directory, once that is not TOPIC-N
	segs atomic.Pointer[[]*segment] // ascending, never changed in place; none while nothing was ever written

	leo      atomic.Int64 // log end offset: next to be written
	hw       atomic.Int64 // high watermark, exclusive; set by replication
	start    atomic.Int64 // log start offset: first that may be read
	recovery atomic.Int64 // recovery point: first offset that may not have been synced
	unstable atomic.Int64 // first offset of the earliest undecided transaction, noUnstable if none

	closed atomic.Pointer[error] // why the log takes no more operations
	queued atomic.Bool           // in the flusher's queue

	truncations atomic.Uint32
	cleaned     atomic.Int64 // first offset that the cleaner has not been over, -1 if it never came
	cleaning    atomic.Bool  // a cleaner is at work
	uncleanable atomic.Bool  // the cleaner met an error and leaves the log aside

	flushMu sync.Mutex // one flush at a time; before mu
	madeDir bool       // the log's own directory entry may not be durable; under flushMu

	mu            sync.Mutex // guards what follows, and every change of the above but hw
	producers     producerstate.Manager
	epochs        leaderepoch.Cache // reads need no lock
	epochsDirty   bool              // the file lags behind; written before the recovery point passes it
	snapsCleaned  int64             // snapshots below were removed
	snapshotted   int64             // offset of the newest snapshot on disk
	midSnapshot   int64             // offset of a snapshot inside of the active segment
	epochsPending bool              // the last epoch was assigned, but nothing was written in it yet
	ends          int64             // transactions that ended since the log was opened
	lastFlush     int64             // ms
	hwWritten     int64             // last checkpointed; under the directory's checkpointMu
	recWritten    int64             // the recovery point that was last checkpointed; under the directory's checkpointMu
}

// Partition returns the partition's name.
func (l *Log) Partition() TopicPartition { return l.tp }

// Dir returns the configured log directory that holds the log.
func (l *Log) Dir() string { return l.dir.path }

// Config returns the present settings; they must not be changed.
func (l *Log) Config() *Config { return l.cfg.Load() }

// LogEndOffset is the next offset to be written (LEO).
func (l *Log) LogEndOffset() int64 { return l.leo.Load() }

// LogStartOffset is the first offset that may be read.
func (l *Log) LogStartOffset() int64 { return l.start.Load() }

// HighWatermark is the exclusive bound of what is replicated (HW).
func (l *Log) HighWatermark() int64 { return l.hw.Load() }

// RecoveryPoint is the first offset that may not have been flushed.
func (l *Log) RecoveryPoint() int64 { return l.recovery.Load() }

// LastStableOffset is the first offset of the first undecided transaction, or the high watermark (LSO).
func (l *Log) LastStableOffset() int64 {
	return min(l.unstable.Load(), l.hw.Load())
}

// SetHighWatermark publishes a new high watermark, bounded by the log's start and end; it returns what was set.
func (l *Log) SetHighWatermark(hw int64) int64 {
	hw = max(hw, l.start.Load())
	hw = min(hw, l.leo.Load())
	l.hw.Store(hw)
	if l.unstable.Load() != noUnstable {
		l.mu.Lock()
		l.updateUnstableLocked()
		l.mu.Unlock()
	}
	return hw
}

// updateUnstableLocked publishes the first unstable offset, which is never below the log's start. What was read back from a snapshot and
// the log does not know yet which markers lie below the high watermark.
func (l *Log) updateUnstableLocked() {
	l.producers.OnHighWatermark(l.hw.Load())
	off, ok := l.producers.FirstUnstable()
	if !ok {
		off = noUnstable
	} else {
		off = max(off, l.start.Load())
	}
	if l.unstable.Load() != off {
		l.unstable.Store(off)
	}
}

// Producers lists what is known of the producers that have written to the log, by id.
func (l *Log) Producers() []producerstate.SnapshotEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.producers.Entries()
}

func (l *Log) segments() []*segment {
	if p := l.segs.Load(); p != nil {
		return *p
	}
	return nil
}

func (l *Log) setSegments(s []*segment) { l.segs.Store(&s) }

// active is the segment that takes appends, nil if there is none yet.
func (l *Log) active() *segment {
	s := l.segments()
	if len(s) == 0 {
		return nil
	}
	return s[len(s)-1]
}

// floorSegment is the index of the segment that would hold offset, -1 if all begin after it.
func floorSegment(segs []*segment, offset int64) int {
	lo, hi := 0, len(segs)
	for lo < hi {
		mid := (lo + hi) / 2
		if segs[mid].base <= offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// Size is the number of bytes in all segments.
func (l *Log) Size() int64 {
	var n int64
	for _, s := range l.segments() {
		n += int64(s.size.Load())
	}
	return n
}

// Segments is the number of segments.
func (l *Log) Segments() int { return len(l.segments()) }

// dirName is the present name of the log's directory, path its full name.
func (l *Log) dirName() string {
	if p := l.name.Load(); p != nil {
		return *p
	}
	return l.tp.String()
}

func (l *Log) path() string { return l.dir.path + "/" + l.dirName() }

// usable fails once the log was deleted, closed, or its directory failed.
func (l *Log) usable() error {
	if p := l.closed.Load(); p != nil {
		return *p
	}
	if e := l.dir.offline.Load(); e != nil {
		return e
	}
	return nil
}

// ioError takes the log's directory offline because of err, unless err says that the log was closed anyway.
func (l *Log) ioError(op string, err error) error {
	if e := l.usable(); e != nil {
		return e
	}
	return l.dir.fail(fmt.Sprintf("%s of %v", op, l.tp), err)
}

// TxnOf says whether a producer has a transaction open in this log under an epoch, and how many transactions have ended here so far.
func (l *Log) TxnOf(producer int64, epoch int16) (open bool, ends int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.producers.InTxn(producer, epoch), l.ends
}

const (
	// AnyTxn lets a batch open a transaction, NoTxn does not.
	AnyTxn int64 = -2
	NoTxn  int64 = -1
)

// AppendAsLeader assigns offsets and the leader epoch to the batch where it lies, checks it as Kafka does, and writes it once. Records of
// another message format than the log's (message.format.version) are converted. The records may be patched even if the append fails. The errors are those of package record, of producerstate, *BatchTooLargeError,
// *NoSpaceError and *DirOfflineError.
func (l *Log) AppendAsLeader(records []byte, leaderEpoch int32, origin Origin, now time.Time) (AppendInfo, error) {
	return l.AppendInTxn(records, leaderEpoch, origin, now, AnyTxn)
}

// AppendInTxn is AppendAsLeader, but the batch opens a transaction only if no other has ended since TxnOf returned ends: otherwise the error
// is ErrOpensTxn, and the caller has to find out again whether the batch may do that.
func (l *Log) AppendInTxn(records []byte, leaderEpoch int32, origin Origin, now time.Time, ends int64) (AppendInfo, error) {
	cfg := l.cfg.Load()
	nowMs := now.UnixMilli()
	opt := record.ValidateOptions{
		Topic:            l.tp.Topic,
		Partition:        l.tp.Partition,
		FromClient:       origin == FromClient,
		Compacted:        cfg.Compact,
		MaxTimestampDiff: cfg.TimestampDifferenceMaxMs,
		Now:              nowMs,
		Codec:            compress.Codec(cfg.Compression), // CompressionProducer is record.KeepCodec
		MaxBatchBytes:    int(cfg.MaxMessageBytes),
		Magic:            cfg.Magic,
	}
	if cfg.LogAppendTime {
		opt.TimestampType = record.LogAppendTime
	}
	a, err := record.Analyze(records, opt)
	if err != nil {
		return AppendInfo{FirstOffset: -1, LastOffset: -1, LogAppendTime: NoTimestamp, LogStartOffset: l.start.Load()}, err
	}

	l.mu.Lock()
	info, err := l.appendLeaderLocked(&a, cfg, leaderEpoch, origin, nowMs, ends)
	unflushed := l.leo.Load() - l.recovery.Load()
	l.mu.Unlock()
	if err == nil && unflushed >= cfg.FlushMessages && !info.Duplicate {
		err = l.Flush()
	}
	return info, err
}

func (l *Log) appendLeaderLocked(a *record.Analysis, cfg *Config, leaderEpoch int32, origin Origin, nowMs, ends int64) (AppendInfo, error) {
	info := AppendInfo{FirstOffset: -1, LastOffset: -1, LogAppendTime: NoTimestamp, LogStartOffset: l.start.Load()}
	if err := l.usable(); err != nil {
		return info, err
	}
	v, err := a.Assign(l.leo.Load(), leaderEpoch, nowMs)
	if err != nil {
		return info, err
	}
	if v.Old {
		l.oldFormatLocked()
	} else {
		l.assignEpochLocked(leaderEpoch, v.FirstOffset)
	}
	if len(v.Batch) > int(cfg.SegmentBytes) {
		return info, &BatchTooLargeError{Partition: l.tp, Size: len(v.Batch), Limit: cfg.SegmentBytes}
	}
	seg, err := l.rollIfNeededLocked(cfg, len(v.Batch), v.FirstOffset, v.LastOffset, v.MaxTimestamp, nowMs)
	if err != nil {
		return info, err
	}

	var pending producerstate.Pending
	hasProducer := !v.Old && v.Batch.HasProducerID()
	if hasProducer {
		pending, err = l.producers.Check(v.Batch, producerstate.Origin(origin))
		if err != nil {
			return info, err
		}
		if pending.IsDuplicate {
			d := &pending.Duplicate
			info.Duplicate = true
			info.FirstOffset, info.LastOffset = d.FirstOffset, d.LastOffset
			info.MaxTimestamp, info.LogAppendTime = d.Timestamp, d.Timestamp
			return info, nil
		}
		if pending.OpensTxn() && ends != AnyTxn && ends != l.ends {
			return info, ErrOpensTxn
		}
	}
	if origin == FromClient {
		if err := l.dir.room(len(v.Batch)); err != nil {
			return info, err
		}
	}
	if err := seg.append(v.Batch, v.LastOffset, v.MaxTimestamp, v.OffsetOfMaxTimestamp); err != nil {
		if errors.Is(err, errNotAppended) && l.m.opt.MinFreeBytes > 0 {
			return info, l.dir.outOfSpace()
		}
		return info, l.ioError("append", err)
	}
	next := v.LastOffset + 1
	if v.Old {
		seg.addRecent(v.Batch)
	} else {
		seg.recent.Load().add(next, seg.size.Load())
	}
	l.leo.Store(next)
	if hasProducer {
		if err := l.applyProducerLocked(seg, &pending); err != nil {
			return info, err
		}
	}
	l.producers.SetMapEnd(next)

	info.FirstOffset, info.LastOffset = v.FirstOffset, v.LastOffset
	info.MaxTimestamp, info.OffsetOfMaxTimestamp = v.MaxTimestamp, v.OffsetOfMaxTimestamp
	info.LogAppendTime = v.LogAppendTime
	info.Bytes, info.Records = len(v.Batch), int(v.Count)
	if v.Replaced {
		info.Converted = info.Records
	}
	return info, nil
}

// applyProducerLocked follows a written batch in the producer state, and indexes the transaction it may have aborted.
func (l *Log) applyProducerLocked(seg *segment, p *producerstate.Pending) error {
	txn, completed := l.producers.Apply(p)
	if completed {
		l.ends++
		if txn.Aborted {
			err := txnindex.Append(l.m.fs, seg.path(suffixTxnIndex), txnindex.Aborted{
				ProducerID:       txn.ProducerID,
				FirstOffset:      txn.FirstOffset,
				LastOffset:       txn.LastOffset,
				LastStableOffset: l.producers.LastStableOffset(txn),
			})
			if err != nil {
				return l.ioError("append to the transaction index", err)
			}
			seg.hasTxnIndex.Store(true)
		}
		l.producers.Complete(txn)
	}
	l.updateUnstableLocked()
	return nil
}

// AppendAsFollower writes batches that carry their offsets, as a leader sent them. A last batch that is cut short is left out. The
// batches must ascend and continue the log; they may leave gaps.
func (l *Log) AppendAsFollower(records []byte) (AppendInfo, error) {
	info := AppendInfo{FirstOffset: -1, LastOffset: -1, MaxTimestamp: NoTimestamp, LogAppendTime: NoTimestamp, LogStartOffset: l.start.Load()}
	records, err := l.analyzeFollower(records, &info)
	if err != nil || info.Records == 0 {
		return info, err
	}
	cfg := l.cfg.Load()
	l.mu.Lock()
	err = l.appendFollowerLocked(records, &info, cfg)
	unflushed := l.leo.Load() - l.recovery.Load()
	l.mu.Unlock()
	if err == nil && unflushed >= cfg.FlushMessages {
		err = l.Flush()
	}
	return info, err
}

// analyzeFollower checks the batches and sums them up in info, where Records counts batches; it returns the whole ones.
func (l *Log) analyzeFollower(records []byte, info *AppendInfo) ([]byte, error) {
	rest := records
	for {
		b, next, err := record.Next(rest)
		if err != nil {
			if errors.Is(err, record.ErrShort) {
				break
			}
			return nil, err
		}
		h, err := record.ParseHeader(b)
		if err != nil {
			return nil, err
		}
		if !validCRC(b, &h) {
			return nil, &record.CorruptError{Reason: fmt.Sprintf("stored crc %d of the batch at offset %d of %v does not match", h.CRC, h.BaseOffset, l.tp)}
		}
		if info.Records == 0 {
			info.FirstOffset = h.BaseOffset
		} else if info.LastOffset >= h.LastOffset() {
			return nil, &OutOfOrderError{Partition: l.tp, Offset: h.LastOffset(), After: info.LastOffset}
		}
		info.LastOffset = h.LastOffset()
		if h.MaxTimestamp > info.MaxTimestamp {
			info.MaxTimestamp, info.OffsetOfMaxTimestamp = h.MaxTimestamp, h.LastOffset()
		}
		info.Records++
		rest = next
	}
	info.Bytes = len(records) - len(rest)
	return records[:info.Bytes], nil
}

func (l *Log) appendFollowerLocked(records []byte, info *AppendInfo, cfg *Config) error {
	if err := l.usable(); err != nil {
		return err
	}
	if info.FirstOffset < l.leo.Load() {
		return &UnexpectedOffsetError{Partition: l.tp, FirstOffset: info.FirstOffset, LastOffset: info.LastOffset, LogEnd: l.leo.Load()}
	}
	if len(records) > int(cfg.SegmentBytes) {
		return &BatchTooLargeError{Partition: l.tp, Size: len(records), Limit: cfg.SegmentBytes}
	}
	for rest := records; len(rest) > 0; {
		b, next, _ := record.Next(rest) // analyzeFollower has been over them
		if v := record.Batch(b); v.Magic() >= 2 {
			l.assignEpochLocked(v.LeaderEpoch(), v.BaseOffset())
		} else {
			l.oldFormatLocked()
		}
		rest = next
	}
	first := info.FirstOffset
	if records[recordMagic] < 2 {
		// A compressed message tells only its last offset, and none of those that it holds lies further before.
		first = info.LastOffset - math.MaxInt32
	}
	seg, err := l.rollIfNeededLocked(cfg, len(records), first, info.LastOffset, info.MaxTimestamp, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	pos := seg.size.Load()
	if err := seg.append(records, info.LastOffset, info.MaxTimestamp, info.OffsetOfMaxTimestamp); err != nil {
		return l.ioError("append", err)
	}
	recent := seg.recent.Load()
	for rest := records; len(rest) > 0; {
		b, next, _ := record.Next(rest)
		h, err := record.ParseHeader(b)
		if err != nil {
			return err
		}
		pos += int32(len(b))
		recent.add(h.NextOffset(), pos)
		if h.HasProducerID() {
			pending, err := l.producers.Check(b, producerstate.FromReplication)
			if err != nil {
				return err
			}
			if err := l.applyProducerLocked(seg, &pending); err != nil {
				return err
			}
		}
		rest = next
	}
	l.leo.Store(info.LastOffset + 1)
	l.producers.SetMapEnd(info.LastOffset + 1)
	return nil
}

// rollIfNeededLocked returns the segment that takes the next append.
func (l *Log) rollIfNeededLocked(cfg *Config, n int, first, last, maxTs, nowMs int64) (*segment, error) {
	s := l.active()
	if s == nil {
		return l.firstSegmentLocked(cfg, nowMs)
	}
	if s.recent.Load() == nil {
		if err := s.prepareAppend(); err != nil {
			return nil, l.ioError("opening the active segment", err)
		}
	}
	roll, err := s.shouldRoll(cfg, n, last, maxTs, nowMs)
	if err != nil {
		return nil, l.ioError("reading the active segment", err)
	}
	if !roll {
		return s, nil
	}
	return l.rollLocked(first, cfg, nowMs)
}

// firstSegmentLocked makes the files of a log that was only a directory.
func (l *Log) firstSegmentLocked(cfg *Config, nowMs int64) (*segment, error) {
	s := newSegment(l, l.leo.Load(), cfg, nowMs)
	if err := l.addSegmentLocked(s); err != nil {
		return nil, err
	}
	return s, nil
}

func (l *Log) addSegmentLocked(s *segment) error {
	if err := s.create(); err != nil {
		return l.ioError("creating a segment", err)
	}
	if err := s.prepareAppend(); err != nil {
		return l.ioError("creating a segment", err)
	}
	segs := l.segments()
	l.setSegments(append(segs[:len(segs):len(segs)], s))
	return nil
}

// rollLocked ends the active segment and starts one at the log's end, or at expected if that is further on. What it leaves behind is
// synced by the flusher, not here: producers are waiting.
func (l *Log) rollLocked(expected int64, cfg *Config, nowMs int64) (*segment, error) {
	base := max(expected, l.leo.Load())
	old := l.active()
	if old.base == base && old.size.Load() == 0 {
		return old, nil // an index that can hold nothing makes every segment full
	}
	if old.recent.Load() == nil {
		if err := old.prepareAppend(); err != nil {
			return nil, l.ioError("opening the active segment", err)
		}
	}
	if err := old.finish(); err != nil {
		return nil, l.ioError("writing the indexes of a full segment", err)
	}
	l.producers.SetMapEnd(base)
	if err := l.producers.TakeSnapshot(l.m.fs, l.path()); err != nil {
		return nil, l.ioError("writing a producer snapshot", err)
	}
	s := newSegment(l, base, cfg, nowMs)
	if err := l.addSegmentLocked(s); err != nil {
		return nil, err
	}
	old.seal()
	l.m.flusher.add(l)
	l.m.log.Debugf("%v: rolled a segment at offset %d", l.tp, base)
	return s, nil
}

// Roll starts a new segment, unless the active one is empty.
func (l *Log) Roll(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if s := l.active(); s == nil || s.size.Load() == 0 {
		return nil
	}
	_, err := l.rollLocked(0, l.cfg.Load(), now.UnixMilli())
	return err
}
