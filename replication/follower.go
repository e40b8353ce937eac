package replication

import (
	"fmt"

	"gregor/storage"
)

// following, with mu held, returns the log of a partition that follows in the leader epoch.
func (p *Partition) following(epoch int32) (*storage.Log, error) {
	switch {
	case p.mu.offline:
		return nil, ErrOffline
	case p.mu.deleted || p.mu.log == nil:
		return nil, ErrUnknownPartition
	case p.mu.leading || p.mu.LeaderEpoch != epoch:
		return nil, fmt.Errorf("%w: epoch %d is over", ErrFencedLeaderEpoch, epoch)
	}
	return p.mu.log, nil
}

// position is where a follower's log ends, and the epoch of its last record.
type position struct {
	end, start int64
	lastEpoch  int32 // NoEpoch if the log knows none
}

func positionOf(log *storage.Log) position {
	pos := position{end: log.LogEndOffset(), start: log.LogStartOffset(), lastEpoch: NoEpoch}
	if e, ok := log.LatestEpoch(); ok {
		pos.lastEpoch = e
	}
	return pos
}

// position returns where to fetch from in the leader epoch.
func (p *Partition) position(epoch int32) (position, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.following(epoch)
	if err != nil {
		return position{}, err
	}
	return positionOf(log), nil
}

// fromLeader is one partition of a fetch's answer.
type fromLeader struct {
	offset                  int64 // what was asked for
	records                 []byte
	highWatermark, logStart int64
}

// replicate appends what the leader of the epoch sent, and follows its high watermark and log start.
func (p *Partition) replicate(epoch int32, in *fromLeader) (position, error) {
	p.mu.RLock()
	pos, moved, err := p.replicateLocked(epoch, in)
	p.mu.RUnlock()
	if moved {
		p.notify(nil)
	}
	return pos, err
}

func (p *Partition) replicateLocked(epoch int32, in *fromLeader) (pos position, moved bool, err error) {
	log, err := p.following(epoch)
	if err != nil {
		return position{}, false, err
	}
	if end := log.LogEndOffset(); end != in.offset {
		return position{}, false, &storage.UnexpectedOffsetError{Partition: p.tp, FirstOffset: in.offset, LastOffset: in.offset, LogEnd: end}
	}
	if len(in.records) > 0 {
		if _, err := log.AppendAsFollower(in.records); err != nil {
			return position{}, false, p.m.appendFailed(p, err)
		}
		if c := p.Counters(); c != nil {
			c.ReplicationBytesIn.Add(int64(len(in.records)))
		}
		moved = true
	}
	if p.raise(log, min(in.highWatermark, log.LogEndOffset()), nil) {
		moved = true
	}
	if in.logStart > log.LogStartOffset() && in.logStart <= log.HighWatermark() {
		if err := log.DeleteRecords(in.logStart); err != nil {
			return position{}, moved, p.m.appendFailed(p, err)
		}
		moved = true
	}
	return positionOf(log), moved, nil
}

// truncate removes what lies past offset, when the leader of the epoch does not have it.
func (p *Partition) truncate(epoch int32, offset int64) (position, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := p.following(epoch)
	if err != nil {
		return position{}, err
	}
	if hw := log.HighWatermark(); offset < hw {
		p.m.opt.Log.Warnf("[ReplicaFetcher replicaId=%d] Truncating %v to %d below its high watermark %d", p.m.opt.BrokerID, p.tp, offset, hw)
	}
	if err := log.TruncateTo(offset); err != nil {
		return position{}, p.m.appendFailed(p, err)
	}
	if err := p.truncateFuture(offset); err != nil {
		return position{}, p.m.appendFailed(p, err)
	}
	return positionOf(log), nil
}

// truncateToHighWatermark is for logs that know no epochs: their only common ground with the leader.
func (p *Partition) truncateToHighWatermark(epoch int32) (position, error) {
	p.mu.RLock()
	log, err := p.following(epoch)
	p.mu.RUnlock()
	if err != nil {
		return position{}, err
	}
	return p.truncate(epoch, log.HighWatermark())
}

// startAt empties the log: the leader has nothing before offset.
func (p *Partition) startAt(epoch int32, offset int64) (position, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := p.following(epoch)
	if err != nil {
		return position{}, err
	}
	if err := log.TruncateFullyAndStartAt(offset); err != nil {
		return position{}, p.m.appendFailed(p, err)
	}
	if f := p.mu.future; f != nil {
		if err := f.TruncateFullyAndStartAt(offset); err != nil {
			return position{}, p.m.appendFailed(p, err)
		}
	}
	return positionOf(log), nil
}

// diverge truncates to where this log and the leader's part, given the leader's largest epoch that is not above the one asked about, and
// where it ends there. again says that the leader must be asked about the remaining last epoch once more.
func (p *Partition) diverge(epoch, leaderEpoch int32, leaderEnd int64) (pos position, again bool, err error) {
	p.mu.RLock()
	log, err := p.following(epoch)
	if err != nil {
		p.mu.RUnlock()
		return position{}, false, err
	}
	end := log.LogEndOffset()
	to, again := divergence(log, leaderEpoch, leaderEnd, end)
	p.mu.RUnlock()
	if to < end {
		p.m.opt.Log.Infof("[ReplicaFetcher replicaId=%d] Truncating partition %v to %d: the leader's epoch %d ends at %d", p.m.opt.BrokerID, p.tp, to, leaderEpoch, leaderEnd)
	}
	pos, err = p.truncate(epoch, to)
	return pos, again, err
}

// divergence is the offset to truncate to (KIP-101, KIP-279).
func divergence(log *storage.Log, leaderEpoch int32, leaderEnd, end int64) (to int64, again bool) {
	switch {
	case leaderEnd < 0: // the leader cannot tell
		return min(log.HighWatermark(), end), false
	case leaderEpoch < 0: // it speaks a version that does not name the epoch
		return min(leaderEnd, end), false
	}
	own, ownEnd, ok := log.EndOffsetForEpoch(leaderEpoch)
	switch {
	case !ok:
		return min(leaderEnd, end), false
	case own != leaderEpoch: // the leader's epoch is not known here: what came before it is common at most
		return min(ownEnd, end), true
	}
	return min(ownEnd, leaderEnd, end), false
}
