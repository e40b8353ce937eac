package handlers

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/broker/server"
	"gregor/coordinator/group"
	"gregor/coordinator/group/fsm"
	"gregor/wire"
)

// commitOp is one OffsetCommit request at work, decoded and encoded by hand: it costs no allocation. It returns to the pool when the response
// is handed over.
type commitOp struct {
	h        *Groups
	r        *server.Request
	q        group.OffsetCommit
	instance string
	topics   []commitTopic
	parts    []commitPart
}

type commitTopic struct {
	name     string // aliases the request
	from, to int    // its partitions in parts
}

type commitPart struct {
	partition int32
	at        int32 // its commit in q.Commits, -1 if none is asked for: then code says why
	code      int16
}

var commitPool sync.Pool // of *commitOp

func newCommitOp(h *Groups, r *server.Request) *commitOp {
	op, ok := commitPool.Get().(*commitOp)
	if !ok {
		op = new(commitOp)
		op.q.Done = op.answer
	}
	op.h, op.r = h, r
	return op
}

func (h *Groups) commit(ctx context.Context, r *server.Request) error {
	op := newCommitOp(h, r)
	if err := op.decode(); err != nil {
		op.free()
		return err
	}
	if op.repeats() {
		op.once()
	}
	switch {
	case r.Version == 0:
		op.commit0(ctx)
		op.answer()
	case len(op.q.Commits) == 0:
		op.answer()
	default:
		h.Coordinator.Commit(&op.q)
	}
	return nil
}

func (op *commitOp) decode() error {
	v, compact := op.r.Version, op.r.Version >= 8
	b := wire.NewReader(op.r.Body)
	op.q.Group = b.String(compact)
	op.q.Generation = -1
	if v >= 1 {
		op.q.Generation, op.q.MemberID = b.Int32(), b.String(compact)
	}
	if v >= 7 {
		var given bool
		if op.instance, given = b.OptionalString(compact); given {
			op.q.Instance = &op.instance
		}
	}
	now := op.r.ReceivedAt.UnixMilli()
	expires := int64(-1)
	if v >= 2 && v <= 4 {
		if retention := b.Int64(); retention != -1 {
			expires = now + retention
		}
	}
	for n := b.RequiredArrayLen(compact, 2); n > 0 && b.Err() == nil; n-- {
		op.topic(&b, now, expires)
	}
	if compact {
		b.Tags()
	}
	return b.Err()
}

// topic decodes a topic, and looks up which of its partitions are there.
func (op *commitOp) topic(b *wire.Reader, now, expires int64) {
	v, compact := op.r.Version, op.r.Version >= 8
	t := commitTopic{name: b.String(compact), from: len(op.parts)}
	known, _ := op.h.Metadata.Topic(t.name)
	for m := b.RequiredArrayLen(compact, 13); m > 0 && b.Err() == nil; m-- {
		part := commitPart{partition: b.Int32(), at: -1}
		o := fsm.Offset{Offset: b.Int64(), LeaderEpoch: -1, CommitTime: now, ExpireTime: expires}
		if v >= 6 {
			o.LeaderEpoch = b.Int32()
		}
		if v == 1 {
			if at := b.Int64(); at != -1 {
				o.CommitTime = at
			}
		}
		o.Metadata, _ = b.OptionalString(compact)
		if compact {
			b.Tags()
		}
		switch {
		case op.q.Instance != nil && !op.h.StaticMembers:
			part.code = kerr.UnsupportedVersion.Code
		case !known.Has(part.partition):
			part.code = kerr.UnknownTopicOrPartition.Code
		default:
			part.at = int32(len(op.q.Commits))
			op.q.Commits = append(op.q.Commits, fsm.Commit{TP: fsm.TP{Topic: known.Name(), Partition: part.partition}, Offset: o})
		}
		op.parts = append(op.parts, part)
	}
	if compact {
		b.Tags()
	}
	t.to = len(op.parts)
	op.topics = append(op.topics, t)
}

// So few topics, and so few partitions of one that are not in order, are compared with each other; of more a map is made.
const (
	fewTopics     = 16
	fewPartitions = 64
)

// repeats says whether once has anything to do, or may have. It costs no allocation.
func (op *commitOp) repeats() bool {
	if len(op.topics) > fewTopics {
		return true
	}
	for i, t := range op.topics {
		if t.from == t.to || slices.ContainsFunc(op.topics[:i], func(u commitTopic) bool { return u.name == t.name }) {
			return true
		}
		if repeats(op.parts[t.from:t.to]) {
			return true
		}
	}
	return false
}

func repeats(parts []commitPart) bool {
	rises := true
	for i := 1; i < len(parts); i++ {
		rises = rises && parts[i].partition > parts[i-1].partition
	}
	if rises || len(parts) > fewPartitions {
		return !rises
	}
	for i := range parts {
		if slices.ContainsFunc(parts[:i], func(p commitPart) bool { return p.partition == parts[i].partition }) {
			return true
		}
	}
	return false
}

// once keeps one mention of each partition.
func (op *commitOp) once() {
	type mention struct {
		topic string
		parts []commitPart
	}
	topics := make([]mention, len(op.topics))
	for i, t := range op.topics {
		topics[i] = mention{t.name, op.parts[t.from:t.to]}
	}
	topics = once(topics, func(m *mention) (string, *[]commitPart) { return m.topic, &m.parts }, func(p *commitPart) int32 { return p.partition })
	commits := op.q.Commits
	op.topics, op.parts, op.q.Commits = nil, nil, nil
	for _, m := range topics {
		from := len(op.parts)
		for _, part := range m.parts {
			if part.at >= 0 {
				op.q.Commits = append(op.q.Commits, commits[part.at])
				part.at = int32(len(op.q.Commits)) - 1
			}
			op.parts = append(op.parts, part)
		}
		op.topics = append(op.topics, commitTopic{name: m.topic, from: from, to: len(op.parts)})
	}
}

// commit0 keeps the offsets in ZooKeeper, as version 0 means it.
func (op *commitOp) commit0(ctx context.Context) {
	h := op.h
	for i := range op.q.Commits {
		c := &op.q.Commits[i]
		if len(c.Offset.Metadata) > h.MaxMetadata {
			c.Code = kerr.OffsetMetadataTooLarge.Code
		} else if err := h.Offsets0.SetConsumerOffset(ctx, op.q.Group, c.Topic, c.Partition, c.Offset.Offset); err != nil {
			h.Log.Errorf("Storing the offset of group %s for %s-%d in ZooKeeper failed: %v", op.q.Group, c.Topic, c.Partition, err)
			c.Code = kerr.UnknownServerError.Code
		}
	}
}

// answer is called once, by the coordinator too.
func (op *commitOp) answer() {
	r := op.r
	p := r.NewResponse()
	op.encode(p)
	op.free()
	r.CompleteHere(p)
}

func (op *commitOp) encode(p *server.Response) {
	v, compact := op.r.Version, op.r.Version >= 8
	if v >= 3 {
		p.AppendThrottle()
	}
	fine := 0
	b := appendCount(p.B, len(op.topics), compact)
	for _, t := range op.topics {
		if compact {
			b = append(binary.AppendUvarint(b, uint64(len(t.name))+1), t.name...)
		} else {
			b = appendString(b, t.name)
		}
		b = appendCount(b, t.to-t.from, compact)
		for i := t.from; i < t.to; i++ {
			part := &op.parts[i]
			code := part.code
			if part.at >= 0 {
				code = op.q.Commits[part.at].Code
			}
			b = binary.BigEndian.AppendUint32(b, uint32(part.partition))
			b = binary.BigEndian.AppendUint16(b, uint16(code))
			b = appendNoTags(b, compact)
			if code == 0 {
				fine++
			} else {
				op.r.CountErrors(code, 1)
			}
		}
		b = appendNoTags(b, compact)
	}
	p.B = appendNoTags(b, compact)
	op.r.CountErrors(0, fine)
}

func appendCount(b []byte, n int, compact bool) []byte {
	if compact {
		return binary.AppendUvarint(b, uint64(n)+1)
	}
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

func appendNoTags(b []byte, compact bool) []byte {
	if compact {
		return append(b, 0)
	}
	return b
}

func (op *commitOp) free() {
	if cap(op.parts) > maxPooledParts || cap(op.topics) > maxPooledParts {
		return
	}
	clear(op.topics)
	clear(op.q.Commits)
	op.h, op.r, op.instance = nil, nil, ""
	op.q.Group, op.q.MemberID, op.q.Instance = "", "", nil
	op.topics, op.parts, op.q.Commits = op.topics[:0], op.parts[:0], op.q.Commits[:0]
	commitPool.Put(op)
}
