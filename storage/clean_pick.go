package storage

import (
	"math"
	"time"
)

// cleanable is what the cleaner could do for a log.
type cleanable struct {
	log        *Log
	dirty      int64 // first offset that was not cleaned yet
	end        int64 // base of the first segment that must not be cleaned yet
	cleanBytes int64
	dirtyBytes int64
	late       int64 // ms by which max.compaction.lag.ms has passed
}

func (c *cleanable) ratio() float64 {
	if total := c.cleanBytes + c.dirtyBytes; total > 0 {
		return float64(c.dirtyBytes) / float64(total)
	}
	return 0
}

// due reports whether enough is dirty, or has waited too long.
func (c *cleanable) due() bool {
	return c.dirtyBytes > 0 && (c.late > 0 || c.ratio() > c.log.cfg.Load().MinCleanableDirtyRatio)
}

// between is the segments that hold [from, to), the first of which may begin before.
func between(segs []*segment, from, to int64) []*segment {
	if from >= to || len(segs) == 0 {
		return nil
	}
	i := max(floorSegment(segs, from), 0)
	j := i
	for j < len(segs) && segs[j].base < to {
		j++
	}
	return segs[i:j]
}

func totalSize(segs []*segment) int64 {
	var n int64
	for _, s := range segs {
		n += int64(s.size.Load())
	}
	return n
}

// cleanable finds what the cleaner may clean: from where it ended last to the first segment that is active, holds an offset that is
// not stable, or is younger than min.compaction.lag.ms.
func (l *Log) cleanable(now time.Time) (cleanable, error) {
	c := cleanable{log: l}
	segs := l.segments()
	if len(segs) == 0 {
		return c, nil
	}
	cfg := l.cfg.Load()
	nowMs := now.UnixMilli()
	active := segs[len(segs)-1].base
	start, leo := l.start.Load(), l.leo.Load()
	c.dirty = l.cleaned.Load()
	switch {
	case c.dirty < 0:
		c.dirty = start
	case c.dirty < start:
		if !cfg.Delete {
			l.m.opt.CleanerLog.Warnf("%v: cleaning begins at the log start offset %d: the cleaner's checkpoint names %d, which is gone", l.tp, start, c.dirty)
		}
		c.dirty = start
		l.cleaned.Store(start)
	case c.dirty > leo:
		l.m.opt.CleanerLog.Warnf("%v: cleaning begins at the log start offset %d: the cleaner's checkpoint names %d, which lies past the log end offset %d",
			l.tp, start, c.dirty, leo)
		c.dirty = start
		l.cleaned.Store(start)
	}
	unclean := min(l.LastStableOffset(), active)
	sealed := between(segs, c.dirty, active)
	if lag := cfg.MinCompactionLagMs; lag > 0 {
		for _, s := range sealed {
			ts, err := s.largestTimestamp()
			if err != nil {
				return c, err
			}
			if ts > nowMs-lag {
				unclean = min(unclean, s.base)
				break
			}
		}
	}
	unclean = max(unclean, c.dirty)
	c.end = active
	if s := between(segs, unclean, active); len(s) > 0 {
		c.end = s[0].base
	}
	c.cleanBytes = totalSize(between(segs, -1, c.dirty))
	c.dirtyBytes = totalSize(between(segs, min(c.dirty, c.end), c.end))
	var err error
	c.late, err = late(sealed, cfg.MaxCompactionLagMs, nowMs)
	return c, err
}

// late is by how many milliseconds the first record of a segment is older than lag.
func late(segs []*segment, lag, nowMs int64) (int64, error) {
	until := nowMs - max(lag, 0)
	if until <= 0 {
		return 0, nil // also the default, for ever: nobody need look
	}
	first := int64(math.MaxInt64)
	for _, s := range segs {
		if s.size.Load() == 0 {
			continue
		}
		h, err := s.headerAt(0)
		if err != nil {
			return 0, err
		}
		if h.MaxTimestamp > 0 {
			first = min(first, h.MaxTimestamp)
		}
	}
	if first >= until {
		return 0, nil
	}
	return until - first, nil
}

// groupSegments divides segments into groups of which each becomes one segment: together no larger than a segment or its indexes may
// be, with offsets that fit one index. end is the offset after the last segment.
func groupSegments(segs []*segment, maxSize, maxIndex int32, end int64) ([][]*segment, error) {
	var groups [][]*segment
	for len(segs) > 0 {
		size, oidx, tidx := int64(0), int64(0), int64(0)
		n := 0
		for ; n < len(segs); n++ {
			s := segs[n]
			if err := s.loadIndexes(); err != nil {
				if err = s.mend(err); err != nil {
					return nil, err
				}
			}
			last := end - 1
			if n+1 < len(segs) {
				last = segs[n+1].base - 1
			}
			size += int64(s.size.Load())
			oidx += int64(max(s.oidx.count(), 0)) * offsetEntrySize
			tidx += int64(max(s.tidx.count(), 0)) * timeEntrySize
			if n > 0 && (size > int64(maxSize) || oidx > int64(maxIndex) || tidx > int64(maxIndex) || last-segs[0].base > math.MaxInt32) {
				break
			}
		}
		groups = append(groups, segs[:n:n])
		segs = segs[n:]
	}
	return groups, nil
}
