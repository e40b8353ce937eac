package replication

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/storage"
	"gregor/wire"
)

const fetchKey = int16(kmsg.Fetch)

// fetchRequest is one request of a fetcher: everything for a new session, what changed for one that exists.
type fetchRequest struct {
	v    int16
	f    *fetcher
	list []*followed
	gone []storage.TopicPartition

	number int64
	epoch  int32     // of the session
	limit  time.Time // when it has failed without an answer
	whole  bool      // it names everything
	void   bool      // its session has ended: the answer means nothing
}

// gather decides what the request names.
func (e *fetchRequest) gather() {
	f := e.f
	if e.whole {
		f.forget = f.forget[:0]
		for _, part := range f.parts {
			if e.fetchable(part) {
				e.list = append(e.list, part)
			}
		}
	} else {
		for _, part := range f.changed {
			if e.fetchable(part) {
				e.list = append(e.list, part)
			}
		}
		for _, tp := range f.forget {
			if p := f.parts[tp]; p == nil || !p.changed || !e.fetchable(p) {
				e.gone = append(e.gone, tp)
			}
		}
	}
	slices.SortFunc(e.list, func(a, b *followed) int { return compareTP(a.p.tp, b.p.tp) })
	slices.SortFunc(e.gone, compareTP)
}

// empty says that there is nothing to ask: nobody to follow, or nothing that the request under way does not ask already.
func (e *fetchRequest) empty() bool {
	return (e.whole || len(e.f.inFlight) > 0) && len(e.list)+len(e.gone) == 0
}

func (e *fetchRequest) fetchable(part *followed) bool {
	return !part.removed && part.ready && !part.asks && !part.lost && part.until.IsZero()
}

func compareTP(a, b storage.TopicPartition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// sent notes that the request is on its way: what it names is in the session.
func (e *fetchRequest) sent() {
	f := e.f
	keep := f.changed[:0]
	for _, part := range f.changed {
		if !part.removed && !e.fetchable(part) && part.until.IsZero() {
			keep = append(keep, part) // not ready yet
			continue
		}
		part.changed = false
	}
	clear(f.changed[len(keep):])
	f.changed = keep
	f.forget = f.forget[:0]
	for _, part := range e.list {
		if !part.inSession {
			part.inSession, part.named = true, e.number
		}
	}
	if e.epoch = f.session.epoch; !e.whole {
		if f.session.epoch++; f.session.epoch < 0 {
			f.session.epoch = 1
		}
	}
}

// settle goes on with the session that the answer names.
func (e *fetchRequest) settle(session int32) {
	f := e.f
	switch {
	case !e.whole && session == 0: // it has ended: the next request names everything again
		f.endSession(false)
	case e.whole:
		f.session.id, f.session.epoch, f.session.refused = session, 0, session == 0
		if session != 0 {
			f.session.epoch = 1
		}
	}
}

// wait is how long the leader may keep the request until there is something to say. The one that begins a session is answered at once,
// because nothing can be added before the session is known.
func (e *fetchRequest) wait() time.Duration {
	if e.whole && e.v >= 7 && !e.f.session.refused {
		return 0
	}
	return e.f.m.opt.Fetching.MaxWait
}

func (e *fetchRequest) append(b []byte) []byte {
	opt := &e.f.m.opt.Fetching
	flex := e.v >= 12
	b = binary.BigEndian.AppendUint32(b, uint32(e.f.m.opt.BrokerID))
	b = binary.BigEndian.AppendUint32(b, uint32(e.wait().Milliseconds()))
	b = binary.BigEndian.AppendUint32(b, uint32(opt.MinBytes))
	if e.v >= 3 {
		b = binary.BigEndian.AppendUint32(b, uint32(opt.MaxBytes))
	}
	if e.v >= 4 {
		b = append(b, 0) // read_uncommitted
	}
	if e.v >= 7 {
		b = binary.BigEndian.AppendUint32(b, uint32(e.f.session.id))
		b = binary.BigEndian.AppendUint32(b, uint32(e.f.session.epoch))
	}
	b = appendTopics(b, flex, e.list, func(part *followed) storage.TopicPartition { return part.p.tp }, e.appendPartition)
	if e.v >= 7 {
		b = appendTopics(b, flex, e.gone, func(tp storage.TopicPartition) storage.TopicPartition { return tp },
			func(b []byte, tp storage.TopicPartition) []byte {
				return binary.BigEndian.AppendUint32(b, uint32(tp.Partition))
			})
	}
	if e.v >= 11 {
		b = appendString(b, flex, "")
	}
	if flex {
		b = append(b, 0)
	}
	return b
}

func (e *fetchRequest) appendPartition(b []byte, part *followed) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(part.p.tp.Partition))
	if e.v >= 9 {
		b = binary.BigEndian.AppendUint32(b, uint32(part.epoch))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(part.pos.end))
	if e.v >= 12 {
		b = binary.BigEndian.AppendUint32(b, uint32(part.pos.lastEpoch))
	}
	if e.v >= 5 {
		b = binary.BigEndian.AppendUint64(b, uint64(part.pos.start))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(e.f.m.opt.Fetching.PartitionBytes))
	if e.v >= 12 {
		b = append(b, 0)
	}
	return b
}

// appendTopics writes an array of topics, each with its partitions, of a list that is sorted by topic.
func appendTopics[T any](b []byte, flex bool, list []T, name func(T) storage.TopicPartition, partition func([]byte, T) []byte) []byte {
	topics := 0
	for i := range list {
		if i == 0 || name(list[i]).Topic != name(list[i-1]).Topic {
			topics++
		}
	}
	b = appendCount(b, flex, topics)
	for from := 0; from < len(list); {
		topic := name(list[from]).Topic
		to := from + 1
		for to < len(list) && name(list[to]).Topic == topic {
			to++
		}
		b = appendString(b, flex, topic)
		b = appendCount(b, flex, to-from)
		for _, part := range list[from:to] {
			b = partition(b, part)
		}
		if flex {
			b = append(b, 0)
		}
		from = to
	}
	return b
}

func appendCount(b []byte, flex bool, n int) []byte {
	if flex {
		return binary.AppendUvarint(b, uint64(n)+1)
	}
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

func appendString(b []byte, flex bool, s string) []byte {
	if flex {
		b = binary.AppendUvarint(b, uint64(len(s))+1)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	}
	return append(b, s...)
}

// fetchAnswer decodes the answer to a fetch.
type fetchAnswer struct {
	v       int16
	code    int16
	session int32
}

// partitionAnswer is one partition of it. Its topic and records are good until the next round.
type partitionAnswer struct {
	fromLeader
	topic     string
	partition int32
	code      int16

	diverging      bool
	divergingEpoch int32
	divergingEnd   int64
}

func (d *fetchAnswer) decode(body []byte, each func(*partitionAnswer)) error {
	flex := d.v >= 12
	b := wire.NewReader(body)
	if d.v >= 1 {
		b.Int32() // throttle time
	}
	if d.v >= 7 {
		d.code, d.session = b.Int16(), b.Int32()
	}
	var in partitionAnswer
	for n := b.RequiredArrayLen(flex, 6); n > 0 && b.Err() == nil; n-- {
		topic := b.String(flex)
		for m := b.RequiredArrayLen(flex, 16); m > 0 && b.Err() == nil; m-- {
			in = partitionAnswer{topic: topic}
			d.partition(&b, &in)
			if b.Err() == nil {
				each(&in)
			}
		}
		if flex {
			b.Tags()
		}
	}
	return b.Err()
}

func (d *fetchAnswer) partition(b *wire.Reader, in *partitionAnswer) {
	flex := d.v >= 12
	in.partition, in.code, in.highWatermark, in.logStart = b.Int32(), b.Int16(), b.Int64(), -1
	if d.v >= 4 {
		b.Int64() // last stable offset
	}
	if d.v >= 5 {
		in.logStart = b.Int64()
	}
	if d.v >= 4 {
		for n := b.ArrayLen(flex, 16); n > 0 && b.Err() == nil; n-- {
			b.Int64()
			b.Int64()
			if flex {
				b.Tags()
			}
		}
	}
	if d.v >= 11 {
		b.Int32() // preferred read replica
	}
	in.records = b.Bytes(flex)
	if flex {
		b.EachTag(func(tag uint32, field []byte) {
			if tag != 0 {
				return
			}
			r := wire.NewReader(field)
			in.divergingEpoch, in.divergingEnd = r.Int32(), r.Int64()
			in.diverging = r.Err() == nil && in.divergingEpoch >= 0
		})
	}
}

// leaderOffset asks the leader where its log begins or ends.
func (f *fetcher) leaderOffset(part *followed, timestamp int64) (int64, error) {
	conn, err := f.connect()
	if err != nil {
		return 0, err
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = f.m.opt.Fetching.Versions.ListOffsets, f.m.opt.BrokerID
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.CurrentLeaderEpoch, rp.Timestamp, rp.MaxNumOffsets = part.p.tp.Partition, part.epoch, timestamp, 1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: part.p.tp.Topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{rp}}}
	msg, err := conn.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	resp := msg.(*kmsg.ListOffsetsResponse)
	if len(resp.Topics) == 0 || len(resp.Topics[0].Partitions) == 0 {
		return 0, kerr.UnknownServerError
	}
	p := &resp.Topics[0].Partitions[0]
	switch {
	case p.ErrorCode != 0:
		return 0, kerr.ErrorForCode(p.ErrorCode)
	case req.Version == 0 && len(p.OldStyleOffsets) > 0:
		return p.OldStyleOffsets[0], nil
	}
	return p.Offset, nil
}

// askEpochs asks the leader where the last epochs of this broker's logs end, and truncates to where the logs part (KIP-101). From version
// 12 on fetches do it on their own.
func (f *fetcher) askEpochs() error {
	if len(f.asking) == 0 {
		return nil
	}
	conn, err := f.connect()
	if err != nil {
		return err
	}
	list := f.asking
	f.asking = nil
	again := func(part *followed) {
		part.asks = true
		f.asking = append(f.asking, part)
	}
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.Version, req.ReplicaID = f.m.opt.Fetching.Versions.OffsetForLeaderEpoch, f.m.opt.BrokerID
	asked := map[storage.TopicPartition]*followed{}
	for _, part := range list {
		if part.removed || !part.until.IsZero() {
			part.asks = false
			continue
		}
		tp := part.p.tp
		asked[tp] = part
		n := len(req.Topics)
		if n == 0 || req.Topics[n-1].Topic != tp.Topic {
			req.Topics = append(req.Topics, kmsg.OffsetForLeaderEpochRequestTopic{Topic: tp.Topic})
			n++
		}
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.Partition, rp.CurrentLeaderEpoch, rp.LeaderEpoch = tp.Partition, part.epoch, part.pos.lastEpoch
		req.Topics[n-1].Partitions = append(req.Topics[n-1].Partitions, rp)
	}
	if len(asked) == 0 {
		return nil
	}
	msg, err := conn.RoundTrip(req)
	if err != nil {
		for _, part := range asked {
			again(part)
		}
		return err
	}
	for _, t := range msg.(*kmsg.OffsetForLeaderEpochResponse).Topics {
		for _, rp := range t.Partitions {
			if part := asked[storage.TopicPartition{Topic: t.Topic, Partition: rp.Partition}]; part != nil {
				part.asks = false
				f.epochAnswered(part, rp.ErrorCode, rp.LeaderEpoch, rp.EndOffset, again)
			}
		}
	}
	return nil
}

func (f *fetcher) epochAnswered(part *followed, code int16, epoch int32, end int64, again func(*followed)) {
	switch code {
	case 0:
	case kerr.FencedLeaderEpoch.Code:
		f.drop(part)
		return
	default:
		f.delay(part)
		return
	}
	pos, more, err := part.p.diverge(part.epoch, epoch, end)
	if err != nil {
		f.broken(part, err)
		return
	}
	part.pos = pos
	if more && pos.lastEpoch != NoEpoch {
		again(part)
	}
}
