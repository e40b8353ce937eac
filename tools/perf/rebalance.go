package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"gregor/integration/clients"
)

// The group of the rebalance rows.
const rebalanceMembers, rebalancePartitions = 1000, 10_000

// rebalance is a group of bare members, a connection each, whose leader shares partitions out. The coordinator looks neither at topics nor at
// assignments, so there is no topic.
//
// All members act at once, as threads of their own would that never wait for each other: one goroutine writes everybody's heartbeat, then reads
// the answers, and so with JoinGroup and SyncGroup. A request is one write and one read of a blocking socket, its bytes are made beforehand where
// they do not depend on an answer, and of an answer only what counts is decoded: with a goroutine for each member, and a heartbeat after the
// other, more than half of the time was the client's own.
type rebalance struct {
	group       string
	cooperative bool
	members     []*rebalanceMember
	fmt         *kmsg.RequestFormatter
	buf         []byte // of the answer that was read last
	assignment  []byte // the leader's SyncGroup
}

type rebalanceMember struct {
	*blockingConn
	id               string
	generation       int32
	owned, before    []int32 // before: in the generation that ended
	join, sync, beat []byte  // whole frames
}

const rebalanceTopic, rebalanceClient = "shared", "peer"

func (r *rebalance) protocol() string {
	if r.cooperative {
		return "cooperative-sticky"
	}
	return "range"
}

// add connects another member.
func (r *rebalance) add(ctx context.Context, addr string) error {
	c, err := dialBlocking(ctx, addr)
	if err != nil {
		return err
	}
	r.members = append(r.members, &rebalanceMember{blockingConn: c})
	return unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60})
}

// identify takes over a member's id, of which its requests are made.
func (r *rebalance) identify(m *rebalanceMember, id string) {
	m.id = id
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Version, beat.Group, beat.MemberID = 3, r.group, id
	m.beat = r.fmt.AppendRequest(m.beat[:0], beat, 0)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.MemberID = 3, r.group, id
	m.sync = r.fmt.AppendRequest(m.sync[:0], sync, 0)
	r.encodeJoin(m)
}

func (r *rebalance) encodeJoin(m *rebalanceMember) {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{rebalanceTopic}
	if r.cooperative {
		meta.Version = 1
		meta.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: rebalanceTopic, Partitions: m.owned}}
	}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType = 5, r.group, m.id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 300_000, 300_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: r.protocol(), Metadata: meta.AppendTo(nil)}}
	m.join = r.fmt.AppendRequest(m.join[:0], req, 0)
}

// setGeneration writes a generation into the requests that begin with the group and it.
func (r *rebalance) setGeneration(m *rebalanceMember, generation int32) {
	m.generation = generation
	at := 4 + 2 + 2 + 4 + 2 + len(rebalanceClient) + 2 + len(r.group)
	binary.BigEndian.PutUint32(m.beat[at:], uint32(generation))
	binary.BigEndian.PutUint32(m.sync[at:], uint32(generation))
}

// answer reads one answer from behind the correlation id. It is good until the next.
func (r *rebalance) answer(m *rebalanceMember) (kbin.Reader, error) {
	for n, size := 0, 8; ; {
		if n == len(r.buf) {
			r.buf = append(r.buf, make([]byte, max(len(r.buf), 64<<10))...)
		}
		got, err := m.Read(r.buf[n:])
		if err != nil {
			return kbin.Reader{}, err
		}
		if n += got; n >= 8 {
			size = 4 + int(binary.BigEndian.Uint32(r.buf))
		}
		switch {
		case n > size || size < 8:
			return kbin.Reader{}, fmt.Errorf("%d bytes of an answer of %d", n, size)
		case n == size:
			return kbin.Reader{Src: r.buf[8:n]}, nil
		}
	}
}

// step has some members join, and the others when they are told, until nobody has given something up.
func (r *rebalance) step(ctx context.Context, first, others []*rebalanceMember) error {
	if err := r.identifyAll(ctx, first); err != nil {
		return err
	}
	for {
		if err := r.joinAll(first); err != nil {
			return err
		}
		if err := r.told(ctx, others); err != nil {
			return err
		}
		if err := r.joinAll(others); err != nil {
			return err
		}
		members := slices.Concat(first, others)
		leader, err := r.joined(members)
		if err != nil {
			return err
		}
		if first, others, err = r.syncAll(members, leader); err != nil {
			return err
		}
		if len(first) == 0 {
			return nil
		}
	}
}

// identifyAll gets ids for members without one.
func (r *rebalance) identifyAll(ctx context.Context, members []*rebalanceMember) error {
	for _, m := range members {
		for m.id == "" {
			r.encodeJoin(m)
			if _, err := m.Write(m.join); err != nil {
				return err
			}
			b, err := r.answer(m)
			if err != nil {
				return err
			}
			j := readJoin(&b)
			switch err := kerr.ErrorForCode(j.code); {
			case errors.Is(err, kerr.MemberIDRequired):
				r.identify(m, string(j.memberID))
			case !kerr.IsRetriable(err):
				return fmt.Errorf("joining without an id: %w", cmp.Or(err, errors.New("there was no error")))
			default:
				if err := wait(ctx, 10*time.Millisecond); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *rebalance) joinAll(members []*rebalanceMember) error {
	for _, m := range members {
		if _, err := m.Write(m.join); err != nil {
			return fmt.Errorf("joining: %w", err)
		}
	}
	return nil
}

// joinedAnswer is a JoinGroup answer up to its members; the slices alias it.
type joinedAnswer struct {
	code             int16
	generation       int32
	leader, memberID []byte
}

func readJoin(b *kbin.Reader) (j joinedAnswer) {
	b.Int32() // throttle_time_ms
	j.code, j.generation = b.Int16(), b.Int32()
	b.Span(int(b.Int16())) // the protocol
	j.leader = b.Span(int(b.Int16()))
	j.memberID = b.Span(int(b.Int16()))
	return j
}

// joined reads what all were answered, and has the leader's assignment made.
func (r *rebalance) joined(members []*rebalanceMember) (leader *rebalanceMember, err error) {
	for i, m := range members {
		b, err := r.answer(m)
		if err != nil {
			return nil, fmt.Errorf("joining: %w", err)
		}
		j := readJoin(&b)
		if err := kerr.ErrorForCode(j.code); err != nil {
			return nil, fmt.Errorf("joining: %w", err)
		}
		r.setGeneration(m, j.generation)
		if m.generation != members[0].generation {
			return nil, fmt.Errorf("member %d is in generation %d, the first in %d", i, m.generation, members[0].generation)
		}
		if string(j.leader) != m.id {
			continue
		}
		leader = m
		list := make([]sharer, b.ArrayLen())
		for i := range list {
			list[i].id = b.Span(int(b.Int16()))
			b.NullableString() // the instance
			if metadata := b.Bytes(); r.cooperative {
				list[i].owned = ownedBy(metadata)
			}
		}
		if !b.Ok() || len(list) != len(members) {
			return nil, fmt.Errorf("the leader's answer has %d members, not %d", len(list), len(members))
		}
		r.assign(m, list)
	}
	if leader == nil {
		return nil, errors.New("nobody is the leader")
	}
	return leader, nil
}

// syncAll sends everybody's SyncGroup, the leader's with the assignment, and reads what each was given. Cooperatively, a partition that was taken
// away goes to somebody else in another round, which the members begin that gave something up: these are more.
func (r *rebalance) syncAll(members []*rebalanceMember, leader *rebalanceMember) (more, content []*rebalanceMember, err error) {
	for _, m := range members {
		frame := m.sync
		if m == leader {
			frame = r.assignment
		}
		if _, err := m.Write(frame); err != nil {
			return nil, nil, fmt.Errorf("synchronising: %w", err)
		}
	}
	for _, m := range members {
		b, err := r.answer(m)
		if err != nil {
			return nil, nil, fmt.Errorf("synchronising: %w", err)
		}
		b.Int32() // throttle_time_ms
		if err := kerr.ErrorForCode(b.Int16()); err != nil {
			return nil, nil, fmt.Errorf("synchronising: %w", err)
		}
		m.before, m.owned = m.owned, m.before[:0]
		a := kbin.Reader{Src: b.Bytes()}
		a.Int16()
		m.owned = readPartitions(&a, m.owned)
		if !b.Ok() || !a.Ok() {
			return nil, nil, errors.New("synchronising: an assignment is cut short")
		}
		if !r.cooperative || slices.Equal(m.before, m.owned) {
			content = append(content, m)
			continue
		}
		r.encodeJoin(m)
		if slices.ContainsFunc(m.before, func(p int32) bool { return !slices.Contains(m.owned, p) }) {
			more = append(more, m)
		} else {
			content = append(content, m)
		}
	}
	return more, content, nil
}

// readPartitions adds the partitions of a list of topics.
func readPartitions(b *kbin.Reader, to []int32) []int32 {
	for topics := b.ArrayLen(); topics > 0 && b.Ok(); topics-- {
		b.Span(int(b.Int16()))
		for n := b.ArrayLen(); n > 0 && b.Ok(); n-- {
			to = append(to, b.Int32())
		}
	}
	return to
}

// ownedBy is what a member's metadata says that it has.
func ownedBy(metadata []byte) []int32 {
	b := kbin.Reader{Src: metadata}
	b.Int16()
	for topics := b.ArrayLen(); topics > 0 && b.Ok(); topics-- {
		b.Span(int(b.Int16()))
	}
	b.NullableBytes()
	return readPartitions(&b, nil)
}

// sharer is a member as its leader sees it.
type sharer struct {
	id    []byte
	owned []int32
}

// assign shares the partitions out evenly; who has some keeps them up to its share, and what somebody had is not given to another member at once if the
// protocol is cooperative. The leader's SyncGroup is made of it.
func (r *rebalance) assign(leader *rebalanceMember, members []sharer) {
	taken := make([]bool, rebalancePartitions)
	share, more := rebalancePartitions/len(members), rebalancePartitions%len(members)
	slices.SortFunc(members, func(a, b sharer) int { return bytes.Compare(a.id, b.id) })
	for i := range members {
		for _, p := range members[i].owned {
			taken[p] = true // until its owner has given it up
		}
	}
	b := append(r.assignment[:0], leader.sync[:len(leader.sync)-4]...) // but the number of members
	b = kbin.AppendArrayLen(b, len(members))
	next := 0
	for i := range members {
		quota := share
		if i < more {
			quota++
		}
		given := members[i].owned[:min(quota, len(members[i].owned))]
		for len(given) < quota && next < len(taken) {
			if !taken[next] {
				given = append(given, int32(next))
			}
			next++
		}
		b = kbin.AppendInt16(b, int16(len(members[i].id)))
		b = append(b, members[i].id...)
		b = kbin.AppendInt32(b, int32(2+4+2+len(rebalanceTopic)+4+4*len(given)+4))
		b = kbin.AppendInt16(b, 0)
		b = kbin.AppendArrayLen(b, 1)
		b = kbin.AppendString(b, rebalanceTopic)
		b = kbin.AppendArrayLen(b, len(given))
		for _, p := range given {
			b = kbin.AppendInt32(b, p)
		}
		b = kbin.AppendNullableBytes(b, nil)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	r.assignment = b
}

// told asks as the first member until the group rebalances, and then as each of the others.
func (r *rebalance) told(ctx context.Context, members []*rebalanceMember) error {
	if len(members) == 0 {
		return nil
	}
	for told := false; !told; {
		if _, err := members[0].Write(members[0].beat); err != nil {
			return err
		}
		var err error
		if told, err = r.beaten(members[0]); err != nil {
			return err
		}
		if !told {
			if err := wait(ctx, time.Millisecond); err != nil {
				return err
			}
		}
	}
	for _, m := range members[1:] {
		if _, err := m.Write(m.beat); err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
	}
	for _, m := range members[1:] {
		if told, err := r.beaten(m); err != nil || !told {
			return cmp.Or(err, errors.New("only some members are told that the group rebalances"))
		}
	}
	return nil
}

// beaten reads the answer to a heartbeat and says whether it is that the group rebalances.
func (r *rebalance) beaten(m *rebalanceMember) (bool, error) {
	b, err := r.answer(m)
	if err != nil {
		return false, fmt.Errorf("heartbeat: %w", err)
	}
	b.Int32() // throttle_time_ms
	switch err := kerr.ErrorForCode(b.Int16()); {
	case errors.Is(err, kerr.RebalanceInProgress):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("heartbeat: %w", err)
	}
	return false, nil
}

func (r *rebalance) close() {
	for _, m := range r.members {
		m.Close()
	}
}

// rebalanceRow makes a group of a thousand members, has another one join and leave, and times how long it takes until all have
// synchronised again.
func rebalanceRow(cooperative bool) func(context.Context, *session) ([]figure, error) {
	return func(ctx context.Context, s *session) ([]figure, error) {
		r := &rebalance{group: s.names(1)[0], cooperative: cooperative, fmt: kmsg.NewRequestFormatter(kmsg.FormatterClientID(rebalanceClient))}
		at, err := clients.FindCoordinator(ctx, s.broker.Addr, clients.OfGroups, r.group)
		if err != nil {
			return nil, err
		}
		defer r.close()
		for range rebalanceMembers + 1 {
			if err := r.add(ctx, at); err != nil {
				return nil, err
			}
		}
		guest, stay := r.members[0], r.members[1:]
		if err := r.gather(ctx, stay); err != nil {
			return nil, fmt.Errorf("gathering %d members: %w", len(stay), err)
		}
		if _, err := r.comeAndGo(ctx, stay, guest); err != nil { // what is measured is not the first
			return nil, err
		}
		var times latencies
		var cpu time.Duration
		for began := time.Now(); len(times) < 2 || time.Since(began) < s.seconds; {
			if err := s.begin(); err != nil {
				return nil, err
			}
			took, err := r.comeAndGo(ctx, stay, guest)
			if err != nil {
				return nil, err
			}
			if err := s.end(); err != nil {
				return nil, err
			}
			cpu += s.cpu
			times = append(times, took...)
		}
		if err := r.leave(stay); err != nil { // so that they do not wait for their sessions to end
			return nil, err
		}
		slices.Sort(times)
		return []figure{
			{"time, median", float64(times.at(0.5).Microseconds()) / 1000, "ms", third, 0},
			{"CPU a rebalance", float64(cpu.Microseconds()) / 1000 / float64(len(times)), "ms", third, 0},
			{"rebalances", float64(len(times)), "", 0, 0},
		}, nil
	}
}

// gather makes a group of the members: the first is alone in its first generation.
func (r *rebalance) gather(ctx context.Context, members []*rebalanceMember) error {
	if err := r.step(ctx, members[:1], nil); err != nil {
		return err
	}
	return r.step(ctx, members[1:], members[:1])
}

// comeAndGo has the guest join and leave.
func (r *rebalance) comeAndGo(ctx context.Context, stay []*rebalanceMember, guest *rebalanceMember) (took []time.Duration, err error) {
	began := time.Now()
	if err := r.step(ctx, []*rebalanceMember{guest}, stay); err != nil {
		return nil, err
	}
	if len(guest.owned) == 0 {
		return nil, errors.New("the member that came was given nothing")
	}
	took = append(took, time.Since(began))
	began = time.Now()
	if err := r.leave([]*rebalanceMember{guest}); err != nil {
		return nil, err
	}
	if err := r.step(ctx, nil, stay); err != nil {
		return nil, err
	}
	return append(took, time.Since(began)), nil
}

// leave takes members out in one request.
func (r *rebalance) leave(members []*rebalanceMember) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 3, r.group
	for _, m := range members {
		lm := kmsg.NewLeaveGroupRequestMember()
		lm.MemberID = m.id
		req.Members = append(req.Members, lm)
		m.id, m.owned, m.generation = "", m.owned[:0], 0
	}
	if _, err := members[0].Write(r.fmt.AppendRequest(nil, req, 0)); err != nil {
		return fmt.Errorf("leaving: %w", err)
	}
	b, err := r.answer(members[0])
	if err != nil {
		return fmt.Errorf("leaving: %w", err)
	}
	b.Int32() // throttle_time_ms
	if err := kerr.ErrorForCode(b.Int16()); err != nil {
		return fmt.Errorf("leaving: %w", err)
	}
	for n := b.ArrayLen(); n > 0 && b.Ok(); n-- {
		b.Span(int(b.Int16()))
		b.NullableString() // the instance
		if err := kerr.ErrorForCode(b.Int16()); err != nil {
			return fmt.Errorf("leaving: %w", err)
		}
	}
	return nil
}
