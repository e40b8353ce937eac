package replication

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/storage"
	"gregor/wire/peer"
	"gregor/wire/record"
)

// fetch makes a round: a request, its answer, the appends. While the leader keeps the request waiting, partitions that have been added
// meanwhile are named by a second request on the same connection, at which a leader of this kind answers the first; another answers it in
// its own time.
func (f *fetcher) fetch() error {
	conn, err := f.connect()
	if err != nil {
		return err
	}
	if sent, err := f.send(conn); err != nil {
		return err
	} else if !sent {
		f.sleep(f.untilNext())
		return nil
	}
	for len(f.inFlight) > 0 {
		until, more := f.inFlight[0].limit, len(f.inFlight) == 1 && !f.inFlight[0].whole
		if next := time.Now().Add(f.untilNext()); more && next.Before(until) {
			until = next
		}
		arrived, err := conn.Await(until)
		if err != nil {
			return err
		}
		switch {
		case arrived:
			err = f.receive(conn)
		case !time.Now().Before(f.inFlight[0].limit):
			err = fmt.Errorf("no answer within %v: %w", f.m.opt.Fetching.Timeout, os.ErrDeadlineExceeded)
		case f.ctx.Err() != nil:
			err = f.ctx.Err()
		case more:
			f.prepare()
			_, err = f.send(conn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// send sends what there is to ask, unless that is nothing.
func (f *fetcher) send(conn *peer.Conn) (sent bool, err error) {
	e := f.request()
	e.gather()
	if e.empty() {
		f.spare = append(f.spare, e)
		return false, nil
	}
	if err := conn.Send(fetchKey, e.v, e.append); err != nil {
		return false, err
	}
	e.sent()
	f.inFlight = append(f.inFlight, e)
	return true, nil
}

// request is the next request, empty.
func (f *fetcher) request() *fetchRequest {
	e := &fetchRequest{}
	if n := len(f.spare); n > 0 {
		e, f.spare = f.spare[n-1], f.spare[:n-1]
	}
	f.rounds++
	clear(e.list)
	clear(e.gone)
	opt := &f.m.opt.Fetching
	*e = fetchRequest{v: opt.Versions.Fetch, f: f, number: f.rounds, limit: time.Now().Add(opt.Timeout), list: e.list[:0], gone: e.gone[:0],
		whole: opt.Versions.Fetch < 7 || f.session.epoch == 0}
	return e
}

// receive takes in the answer to the oldest request.
func (f *fetcher) receive(conn *peer.Conn) error {
	e := f.inFlight[0]
	body, err := conn.Receive(fetchKey, e.v, peer.MaxResponse)
	if err != nil {
		return err
	}
	f.inFlight = append(f.inFlight[:0], f.inFlight[1:]...)
	defer func() { f.spare = append(f.spare, e) }()
	if e.void {
		return nil
	}
	d := fetchAnswer{v: e.v}
	if err := d.decode(body, func(in *partitionAnswer) { f.answered(e, in) }); err != nil {
		return fmt.Errorf("the answer to a fetch: %w", err)
	}
	if d.code != 0 {
		// The session is gone at the leader: begin another.
		if e.whole {
			return kerr.ErrorForCode(d.code)
		}
		f.log.Infof(f.name+"Node %d was unable to process the fetch request with (sessionId=%d, epoch=%d): %v", f.id.broker, f.session.id, e.epoch, kerr.ErrorForCode(d.code))
		f.endSession(d.code != kerr.FetchSessionIDNotFound.Code)
		return nil
	}
	f.failures = 0
	e.settle(d.session)
	return nil
}

// answered takes in one partition of the answer to a request.
func (f *fetcher) answered(e *fetchRequest, in *partitionAnswer) {
	part := f.parts[storage.TopicPartition{Topic: in.topic, Partition: in.partition}]
	if part == nil || !part.inSession || part.named > e.number || part.lost {
		return
	}
	switch in.code {
	case 0:
		part.refusals = 0
		f.took(part, in)
	case kerr.OffsetOutOfRange.Code:
		part.lost = true
		f.lost = append(f.lost, part)
	case kerr.FencedLeaderEpoch.Code:
		f.log.Infof(f.name+"Partition %v has an older epoch (%d) than the current leader. Will await the new LeaderAndIsr state before resuming fetching.", part.p.tp, part.epoch)
		f.drop(part)
	case kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code, kerr.UnknownLeaderEpoch.Code:
		f.log.Debugf(f.name+"Fetching %v: %v", part.p.tp, kerr.ErrorForCode(in.code))
		f.early(part)
	default:
		f.log.Debugf(f.name+"Fetching %v: %v", part.p.tp, kerr.ErrorForCode(in.code))
		f.delay(part)
	}
}

func (f *fetcher) took(part *followed, in *partitionAnswer) {
	if in.diverging {
		pos, _, err := part.p.diverge(part.epoch, in.divergingEpoch, in.divergingEnd)
		if err != nil {
			f.broken(part, err)
			return
		}
		part.pos = pos
		f.change(part)
		return
	}
	was := part.pos
	in.offset, in.records = was.end, skipBefore(in.records, was.end)
	pos, err := part.p.replicate(part.epoch, &in.fromLeader)
	if err != nil {
		f.broken(part, err)
		return
	}
	if part.pos = pos; pos != was {
		f.change(part)
	}
	part.caughtUp = in.highWatermark <= pos.end
	if t := f.m.opt.FollowerThrottle; len(in.records) > 0 && t.covers(part.p.tp) {
		t.Record(len(in.records), time.Now())
		f.throttled(part)
	}
}

// skipBefore leaves out batches that end before offset: of two requests under way, the answer to the second may repeat the first's.
func skipBefore(records []byte, offset int64) []byte {
	for {
		h, err := record.ParseHeader(records)
		if err != nil || h.BaseOffset+int64(h.LastOffsetDelta) >= offset || h.Size() > len(records) {
			return records
		}
		records = records[h.Size():]
	}
}

// findLost asks for offsets that the leader does not have: a log is longer than the leader's, after an unclean election, or ends before
// the leader's begins. No fetch may be under way.
func (f *fetcher) findLost() {
	for _, part := range f.lost {
		part.lost = false
		if !part.removed && part.until.IsZero() {
			f.outOfRange(part)
		}
	}
	clear(f.lost)
	f.lost = f.lost[:0]
}

func (f *fetcher) outOfRange(part *followed) {
	pos, err := f.backInRange(part)
	var code *kerr.Error
	switch {
	case errors.As(err, &code):
		f.log.Warnf(f.name+"Asking the leader of %v where its log begins and ends: %v", part.p.tp, err)
		f.delay(part)
	case err != nil:
		f.broken(part, err)
	default:
		part.pos = pos
		f.change(part)
	}
}

func (f *fetcher) backInRange(part *followed) (position, error) {
	end, err := f.leaderOffset(part, LatestTimestamp)
	if err != nil {
		return position{}, err
	}
	if end < part.pos.end {
		f.log.Warnf(f.name+"Reset fetch offset for partition %v from %d to current leader's latest offset %d", part.p.tp, part.pos.end, end)
		return part.p.truncate(part.epoch, end)
	}
	start, err := f.leaderOffset(part, EarliestTimestamp)
	if err != nil {
		return position{}, err
	}
	f.log.Warnf(f.name+"Reset fetch offset for partition %v from %d to current leader's start offset %d", part.p.tp, part.pos.end, start)
	if start > part.pos.end {
		return part.p.startAt(part.epoch, start)
	}
	return part.p.position(part.epoch)
}
