package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"gregor/storage/offsetmap"
	"gregor/storage/producerstate"
	"gregor/storage/txnindex"
	"gregor/wire/compress"
	"gregor/wire/record"
)

// cleanStats is what a cleaning did.
type cleanStats struct {
	mapBytes, mapRecords       int64
	readBytes, readRecords     int64
	writtenBytes, keptRecords  int64
	withoutKey                 int64
	bufferUse                  float64 // share of the map's slots
	began, mapped, ended       time.Time
	cleanableLogs, delayedLogs int
	maxDelayMs                 int64
}

// washer cleans one log at a time; it holds the buffers of a cleaner thread.
type washer struct {
	maxSlots   int // of the map: what its share of log.cleaner.dedupe.buffer.size holds
	loadFactor float64
	ioSize     int
	throttle   func(n int)  // waits until n more bytes may be read or written
	stopped    func() error // not nil once the thread should end
	nowMs      func() int64

	offsets offsetmap.Map
	in      []byte
	hashes  []offsetmap.Hash // of the keys of one batch
	keyed   []int64          // and the offsets
	filter  record.Filter
	stats   cleanStats

	truncations uint32 // of the log, when its cleaning began
}

// wash is one cleaning of one log.
type wash struct {
	*washer
	l         *Log
	latest    int64 // last offset that the map knows: nothing after it is touched
	txns      *cleanTxns
	horizon   int64 // segments last written up to it (ms) lose their tombstones and markers
	producers map[int64]producerstate.LastRecord
}

// clean cleans a log and returns the first offset that it has not been over.
func (w *washer) clean(c cleanable) (end int64, err error) {
	l := c.log
	w.stats = cleanStats{began: time.Now()}
	w.truncations = l.truncations.Load()
	v := &wash{washer: w, l: l, latest: -1}
	end, err = v.run(c)
	if err != nil && v.goOn() != nil {
		err = v.goOn() // whatever was met is because of that
	}
	return end, err
}

func (v *wash) run(c cleanable) (end int64, err error) {
	l, w := v.l, v.washer
	l.m.opt.CleanerLog.Infof("%v: cleaning: building the offset map of offsets %d to %d", l.tp, c.dirty, c.end)
	segs := l.segments()
	if v.horizon, err = deleteHorizon(l, between(segs, 0, c.dirty)); err != nil {
		return 0, err
	}
	if err := v.buildMap(segs, c.dirty, c.end); err != nil {
		return 0, err
	}
	end = max(v.latest+1, c.dirty)
	w.stats.mapped = time.Now()
	// What supersedes older records must not be lost after they are gone; and past the recovery point gaps look like losses.
	if err := l.settleBelow(end); err != nil {
		return 0, err
	}
	cfg := l.cfg.Load()
	groups, err := groupSegments(between(segs, 0, end), cfg.SegmentBytes, cfg.SegmentIndexBytes, c.end)
	if err != nil {
		return 0, err
	}
	v.txns = newCleanTxns()
	for i, g := range groups {
		next := c.end
		if i+1 < len(groups) {
			next = groups[i+1][0].base
		}
		if err := v.cleanGroup(g, segs, next); err != nil {
			return 0, err
		}
	}
	w.stats.bufferUse = float64(w.offsets.Len()) / float64(w.maxSlots)
	w.stats.ended = time.Now()
	return end, nil
}

// deleteHorizon is delete.retention.ms before the newest clean segment was written.
func deleteHorizon(l *Log, clean []*segment) (int64, error) {
	if len(clean) == 0 {
		return 0, nil
	}
	t, err := clean[len(clean)-1].written()
	if err != nil {
		return 0, err
	}
	return t.UnixMilli() - l.cfg.Load().DeleteRetentionMs, nil
}

// written is when the segment's log was written last; of a cleaned one, the newest of those it was made from.
func (s *segment) written() (time.Time, error) {
	st, err := s.log.m.fs.Stat(s.path(suffixLog))
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

// settleBelow makes everything below offset durable, and the recovery point that says so.
func (l *Log) settleBelow(offset int64) error {
	if err := l.flushTo(offset); err != nil {
		return err
	}
	l.dir.checkpointMu.Lock()
	defer l.dir.checkpointMu.Unlock()
	if l.recWritten >= offset {
		return nil
	}
	return l.m.checkpointRecoveryPointsLocked(l.dir)
}

// goOn fails when the cleaning is to be given up.
func (v *wash) goOn() error {
	if err := v.stopped(); err != nil {
		return err
	}
	if v.l.usable() != nil || v.l.truncations.Load() != v.truncations || !v.l.cfg.Load().Compact {
		return errCleaningAborted
	}
	return nil
}

// each hands over the batches of a sealed segment, from a position on, until f says that it has enough.
func (v *wash) each(s *segment, pos int32, f func(b []byte, h *record.Header) (enough bool, err error)) error {
	size := s.size.Load()
	file, err := s.openLog()
	if err != nil {
		return err
	}
	defer file.Release()
	if len(v.in) != v.ioSize {
		v.in = make([]byte, v.ioSize)
	}
	buf := v.in
	for pos < size {
		if err := v.goOn(); err != nil {
			return err
		}
		n := min(int(size-pos), len(buf))
		if err := readFull(file, buf[:n], int64(pos)); err != nil {
			return err
		}
		v.throttle(n)
		rest := buf[:n]
		for len(rest) > 0 {
			b, after, err := record.Next(rest)
			if errors.Is(err, record.ErrShort) {
				break
			}
			if err != nil {
				return fmt.Errorf("segment %d, position %d: %w", s.base, int(pos)+n-len(rest), err)
			}
			h, err := record.ParseHeader(b)
			if err == nil && !validCRC(b, &h) {
				err = &record.CorruptError{Reason: fmt.Sprintf("the stored crc of the batch at offset %d is wrong", h.BaseOffset)}
			}
			enough := false
			if err == nil {
				enough, err = f(b, &h)
			}
			if err != nil {
				return fmt.Errorf("segment %d, position %d: %w", s.base, int(pos)+n-len(rest), err)
			}
			if enough {
				return nil
			}
			rest = after
		}
		if read := n - len(rest); read > 0 {
			pos += int32(read)
			continue
		}
		h, err := record.ParseHeader(rest)
		if err != nil || int64(h.Size()) > int64(size-pos) {
			return &record.CorruptError{Reason: fmt.Sprintf("segment %d ends within the batch at position %d", s.base, pos)}
		}
		buf = make([]byte, h.Size()) // for this segment only
	}
	return nil
}

func validCRC(b []byte, h *record.Header) bool {
	if h.Magic >= 2 {
		return record.Batch(b).ValidCRC()
	}
	return record.ValidLegacyCRC(b)
}

// buildMap notes the newest offset of each key in [start, end), or as much of it as there is room for.
func (v *wash) buildMap(segs []*segment, start, end int64) error {
	v.offsets.Reset(int(min(int64(v.maxSlots), (end-start)/2*3+16)))
	most := int(float64(v.maxSlots) * v.loadFactor)
	dirty := between(segs, start, end)
	aborted, err := v.l.collectAborted(between(segs, start, math.MaxInt64), start, end)
	if err != nil {
		return err
	}
	v.txns = newCleanTxns()
	v.txns.expect(aborted)
	var it record.Iter
	defer it.Close()
	full := false
	for i, s := range dirty {
		pos := int32(0)
		if start > s.base {
			if pos, err = s.indexed(start); err != nil {
				return err
			}
		}
		err := v.each(s, pos, func(b []byte, h *record.Header) (bool, error) {
			v.stats.mapBytes += int64(len(b))
			if h.IsControl() {
				_, _, err := v.txns.marker(b)
				return false, err
			}
			if !v.txns.data(h) {
				it.Reset(b, maxDecompressed)
				v.hashes, v.keyed = v.hashes[:0], v.keyed[:0]
				for it.Next() {
					v.stats.mapRecords++
					if r := &it.Record; r.Key != nil && r.Offset >= start {
						v.hashes, v.keyed = append(v.hashes, v.offsets.Hash(r.Key)), append(v.keyed, r.Offset)
					}
				}
				if err := it.Err(); err != nil {
					return false, err
				}
				v.offsets.Fetch(v.hashes)
				for i, key := range v.hashes {
					if full = v.offsets.Len() >= most || !v.offsets.Put(key, v.keyed[i]); full {
						return true, nil
					}
					v.latest = v.keyed[i]
				}
			}
			if h.LastOffset() >= start {
				v.latest = h.LastOffset()
			}
			return false, nil
		})
		if err != nil || full {
			return err
		}
		v.latest = end - 1
		if i+1 < len(dirty) {
			v.latest = dirty[i+1].base - 1
		}
	}
	return nil
}

// cleanGroup makes one segment of several, or more if the offsets lie too far apart for one index, and swaps it in.
func (v *wash) cleanGroup(group, segs []*segment, next int64) error {
	l := v.l
	g := &groupWash{wash: v}
	for _, s := range group {
		g.withTxnIndex = g.withTxnIndex || s.hasTxnIndex.Load()
	}
	l.mu.Lock()
	v.producers = l.producers.LastRecords()
	l.mu.Unlock()
	err := g.into(group, segs, next)
	if err == nil {
		fresh := g.done
		if err = l.replaceSegments(group, fresh, v.truncations); err == nil {
			for _, s := range fresh {
				s.release()
			}
			return nil
		}
	}
	for _, s := range g.done {
		if derr := s.discard(); derr != nil && err == nil {
			err = derr
		}
	}
	return err
}

// groupWash writes what a group of segments becomes.
type groupWash struct {
	*wash
	withTxnIndex bool
	done         []*cleanedSegment // the last one is being written
	keepDeletes  bool
	first        record.Iter // finds the first offset within a compressed message
}

func (g *groupWash) out() *cleanedSegment { return g.done[len(g.done)-1] }

func (g *groupWash) open(base int64) error {
	s, err := g.l.newCleaned(base, g.nowMs())
	if err == nil {
		g.done = append(g.done, s)
	}
	return err
}

func (g *groupWash) into(group, segs []*segment, next int64) error {
	if err := g.open(group[0].base); err != nil {
		return err
	}
	var mtime time.Time
	for i, s := range group {
		upTo := next
		if i+1 < len(group) {
			upTo = group[i+1].base
		}
		aborted, err := g.l.collectAborted(between(segs, s.base, math.MaxInt64), s.base, upTo)
		if err != nil {
			return err
		}
		g.txns.expect(aborted)
		if mtime, err = s.written(); err != nil {
			return err
		}
		g.keepDeletes = mtime.UnixMilli() > g.horizon
		if err := g.each(s, 0, func(b []byte, h *record.Header) (bool, error) { return false, g.batch(b, h) }); err != nil {
			return err
		}
	}
	for _, s := range g.done {
		if err := s.complete(g.withTxnIndex, mtime); err != nil {
			return err
		}
		g.throttle(int(s.size.Load()))
	}
	return nil
}

// batch writes what stays of a batch.
func (g *groupWash) batch(b []byte, h *record.Header) error {
	g.stats.readBytes += int64(len(b))
	discard := false
	var ends *txnindex.Aborted
	if h.IsControl() {
		var err error
		if discard, ends, err = g.txns.marker(b); err != nil {
			return err
		}
		discard = discard && !g.keepDeletes
	} else {
		discard = g.txns.data(h)
	}
	// A compressed message of an old format tells only its last offset; what it holds is looked at one by one.
	untouched := h.BaseOffset > g.latest && (h.Magic >= 2 || h.Codec() == compress.None)
	last := h.HasProducerID() && g.isLast(h)
	if discard && !last && !untouched {
		g.stats.readRecords += int64(h.Count)
		return nil
	}
	if err := g.makeRoom(b, h); err != nil {
		return err
	}
	s := g.out()
	before := len(s.buf)
	switch {
	case untouched, h.IsControl() && !discard && h.Count > 0:
		s.buf = append(s.buf, b...)
		g.stats.readRecords += max(int64(h.Count), 1)
		g.stats.keptRecords += max(int64(h.Count), 1)
	case !discard && !h.IsControl():
		out, kept, total, err := g.filter.Batch(s.buf, b, maxDecompressed, g.choose)
		s.buf = out
		g.stats.readRecords += int64(total)
		g.stats.keptRecords += int64(kept)
		if err != nil {
			return err
		}
	}
	if len(s.buf) == before && last {
		s.buf = record.AppendEmpty(s.buf, b)
	}
	if ends != nil {
		s.abort(ends)
	}
	n := len(s.buf) - before
	if n == 0 {
		return nil
	}
	g.stats.writtenBytes += int64(n)
	if err := s.added(n); err != nil {
		return err
	}
	if len(s.buf) >= g.ioSize {
		return s.write()
	}
	return nil
}

// isLast reports whether a batch is what remembers its producer's sequence, or its epoch.
func (g *groupWash) isLast(h *record.Header) bool {
	r, ok := g.producers[h.ProducerID]
	if !ok {
		return false
	}
	if r.Offset >= 0 {
		return h.LastOffset() == r.Offset
	}
	return h.IsControl() && h.ProducerEpoch == r.Epoch
}

// choose marks the records that stay.
func (g *groupWash) choose(records []record.Record, keep []bool) {
	g.hashes = g.hashes[:0]
	for i := range records {
		g.hashes = append(g.hashes, g.offsets.Hash(records[i].Key))
	}
	g.offsets.Fetch(g.hashes)
	for i := range records {
		r := &records[i]
		switch {
		case r.Offset > g.latest:
			keep[i] = true
		case r.Key == nil:
			g.stats.withoutKey++
		default:
			newest, ok := g.offsets.Get(g.hashes[i])
			keep[i] = (!ok || r.Offset >= newest) && (r.Value != nil || g.keepDeletes)
		}
	}
}

// makeRoom begins another segment if the batch's offsets, or its bytes, do not fit the present one.
func (g *groupWash) makeRoom(b []byte, h *record.Header) error {
	s := g.out()
	if s.fits(h.LastOffset()) && s.end()+int64(len(b))+slack < math.MaxInt32 {
		return nil
	}
	base := h.BaseOffset
	if h.Magic < 2 && h.Codec() != compress.None {
		g.first.Reset(b, maxDecompressed)
		if !g.first.Next() {
			return cmp.Or(g.first.Err(), errors.New("a compressed message holds none"))
		}
		base = g.first.Record.Offset
		g.first.Close()
	}
	if err := s.write(); err != nil {
		return err
	}
	return g.open(base)
}

// slack is by how much a batch may grow when it is compressed anew.
const slack = 1 << 20

// isIOError tells errors of the disk from what a log's contents, or a limit, may be wrong with.
func isIOError(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	return errors.As(err, &path) || errors.As(err, &link)
}
