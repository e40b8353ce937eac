package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// The group of the rebalance rows.
const rebalanceMembers, rebalancePartitions = 1000, 10_000

// rebalance is a group of bare members, a connection each, whose leader shares partitions out. The coordinator looks neither at topics nor at
// assignments, so there is no topic.
type rebalance struct {
	group       string
	cooperative bool
	members     []*rebalanceMember
}

type rebalanceMember struct {
	c          *peer.Conn
	id         string
	generation int32
	owned      []int32
}

const rebalanceTopic = "shared"

func (r *rebalance) protocol() string {
	if r.cooperative {
		return "cooperative-sticky"
	}
	return "range"
}

// round is what a member was given in one generation.
type round struct {
	generation int32
	members    int // as its leader counted, 0 of the others
	again      bool
	err        error
}

// gather has all members join, each as often as it is told to, until they are in one generation: the first is alone in its first one.
func (r *rebalance) gather(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	state := make([]round, len(r.members))
	done := make(chan struct{})
	settled := func(i int, res round) {
		mu.Lock()
		defer mu.Unlock()
		state[i] = res
		count := 0
		for _, s := range state {
			if s.again || s.generation == 0 || s.generation != state[0].generation {
				return
			}
			count = max(count, s.members)
		}
		if count == len(state) {
			close(done)
		}
	}
	var all sync.WaitGroup
	for i, m := range r.members {
		all.Go(func() {
			for ctx.Err() == nil {
				res := r.turn(ctx, m)
				if res.err != nil {
					cancel(res.err)
					return
				}
				settled(i, res)
				for told := res.again; !told; {
					select {
					case <-done:
						return
					case <-ctx.Done():
						return
					case <-time.After(100 * time.Millisecond):
					}
					var err error
					if told, err = r.beat(ctx, m); err != nil {
						cancel(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// step has some members join, and the others when they are told, until nobody has given something up.
func (r *rebalance) step(ctx context.Context, first, others []*rebalanceMember) error {
	for {
		members := slices.Concat(first, others)
		rounds := make([]round, len(members))
		var all sync.WaitGroup
		for i, m := range first {
			all.Go(func() { rounds[i] = r.turn(ctx, m) })
		}
		if err := r.told(ctx, others); err != nil {
			r.close()
			all.Wait()
			return err
		}
		for i, m := range others {
			all.Go(func() { rounds[len(first)+i] = r.turn(ctx, m) })
		}
		all.Wait()
		first, others = nil, nil
		for i, m := range members {
			switch {
			case rounds[i].err != nil:
				return rounds[i].err
			case rounds[i].again:
				first = append(first, m)
			default:
				others = append(others, m)
			}
		}
		if len(first) == 0 {
			return nil
		}
	}
}

// turn joins and synchronises once. again says that there must be another round: the generation ended, or, cooperatively, partitions were
// given up.
func (r *rebalance) turn(ctx context.Context, m *rebalanceMember) round {
	join, err := r.join(ctx, m)
	if err != nil {
		return round{err: err}
	}
	m.generation = join.Generation
	res := round{generation: join.Generation}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.MemberID, sync.Generation = 3, r.group, m.id, m.generation
	if join.LeaderID == m.id {
		res.members = len(join.Members)
		if sync.GroupAssignment, err = r.assign(join.Members); err != nil {
			return round{err: err}
		}
	}
	resp, err := m.c.Request(ctx, sync)
	if err != nil {
		return round{err: err}
	}
	s := resp.(*kmsg.SyncGroupResponse)
	switch err := kerr.ErrorForCode(s.ErrorCode); {
	case errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.IllegalGeneration):
		res.again = true
		return res
	case err != nil:
		return round{err: fmt.Errorf("synchronising: %w", err)}
	}
	a := kmsg.NewConsumerMemberAssignment()
	if err := a.ReadFrom(s.MemberAssignment); err != nil {
		return round{err: err}
	}
	before := m.owned
	m.owned = nil
	if len(a.Topics) > 0 {
		m.owned = a.Topics[0].Partitions
	}
	if r.cooperative {
		// One that was taken away goes to somebody else in another round, which a member begins that gave something up.
		for _, p := range before {
			res.again = res.again || !slices.Contains(m.owned, p)
		}
	}
	return res
}

func (r *rebalance) join(ctx context.Context, m *rebalanceMember) (*kmsg.JoinGroupResponse, error) {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{rebalanceTopic}
	if r.cooperative {
		meta.Version = 1
		meta.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: rebalanceTopic, Partitions: m.owned}}
	}
	for {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.MemberID, req.ProtocolType = 5, r.group, m.id, "consumer"
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 300_000, 300_000
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: r.protocol(), Metadata: meta.AppendTo(nil)}}
		resp, err := m.c.Request(ctx, req)
		if err != nil {
			return nil, err
		}
		j := resp.(*kmsg.JoinGroupResponse)
		switch err := kerr.ErrorForCode(j.ErrorCode); {
		case err == nil:
			m.id = j.MemberID
			return j, nil
		case errors.Is(err, kerr.MemberIDRequired):
			m.id = j.MemberID
		case !kerr.IsRetriable(err):
			return nil, fmt.Errorf("joining: %w", err)
		default:
			if err := wait(ctx, 10*time.Millisecond); err != nil {
				return nil, err
			}
		}
	}
}

// assign shares the partitions out evenly; who has some keeps them up to its share, and what somebody had is not given to another member at once if the
// protocol is cooperative.
func (r *rebalance) assign(members []kmsg.JoinGroupResponseMember) ([]kmsg.SyncGroupRequestGroupAssignment, error) {
	taken := make([]bool, rebalancePartitions)
	share, more := rebalancePartitions/len(members), rebalancePartitions%len(members)
	quota := func(i int) int {
		if i < more {
			return share + 1
		}
		return share
	}
	given := make([][]int32, len(members))
	slices.SortFunc(members, func(a, b kmsg.JoinGroupResponseMember) int {
		return slices.Compare([]byte(a.MemberID), []byte(b.MemberID))
	})
	if r.cooperative {
		for i := range members {
			meta := kmsg.NewConsumerMemberMetadata()
			if err := meta.ReadFrom(members[i].ProtocolMetadata); err != nil {
				return nil, err
			}
			for _, t := range meta.OwnedPartitions {
				for n, p := range t.Partitions {
					taken[p] = true // until its owner has given it up
					if n < quota(i) {
						given[i] = append(given[i], p)
					}
				}
			}
		}
	}
	next := 0
	for i := range given {
		for len(given[i]) < quota(i) {
			for next < len(taken) && taken[next] {
				next++
			}
			if next == len(taken) {
				break
			}
			taken[next] = true
			given[i] = append(given[i], int32(next))
		}
	}
	out := make([]kmsg.SyncGroupRequestGroupAssignment, len(members))
	for i := range out {
		a := kmsg.NewConsumerMemberAssignment()
		a.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: rebalanceTopic, Partitions: given[i]}}
		out[i] = kmsg.SyncGroupRequestGroupAssignment{MemberID: members[i].MemberID, MemberAssignment: a.AppendTo(nil)}
	}
	return out, nil
}

// beat sends a heartbeat and says whether its answer is that the group rebalances.
func (r *rebalance) beat(ctx context.Context, m *rebalanceMember) (bool, error) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 3, r.group, m.id, m.generation
	resp, err := m.c.Request(ctx, req)
	if err != nil {
		return false, err
	}
	switch err := kerr.ErrorForCode(resp.(*kmsg.HeartbeatResponse).ErrorCode); {
	case errors.Is(err, kerr.RebalanceInProgress):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("heartbeat: %w", err)
	}
	return false, nil
}

// told asks as the first member until the group rebalances, and then as each of the others.
func (r *rebalance) told(ctx context.Context, members []*rebalanceMember) error {
	for i, m := range members {
		for {
			rebalances, err := r.beat(ctx, m)
			if err != nil {
				return err
			}
			if rebalances {
				break
			}
			if i > 0 {
				return errors.New("only some members are told that the group rebalances")
			}
			if err := wait(ctx, time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *rebalance) close() {
	for _, m := range r.members {
		m.c.Close()
	}
}

// rebalanceRow makes a group of a thousand members, has another one join and leave, and times how long it takes until all have
// synchronised again.
func rebalanceRow(cooperative bool) func(context.Context, *session) ([]figure, error) {
	return func(ctx context.Context, s *session) ([]figure, error) {
		r := &rebalance{group: s.names(1)[0], cooperative: cooperative}
		at, err := clients.FindCoordinator(ctx, s.broker.Addr, clients.OfGroups, r.group)
		if err != nil {
			return nil, err
		}
		defer r.close()
		for range rebalanceMembers {
			c, err := peer.Dial(ctx, at)
			if err != nil {
				return nil, err
			}
			r.members = append(r.members, &rebalanceMember{c: c})
		}
		stay := r.members
		if err := r.gather(ctx); err != nil {
			return nil, fmt.Errorf("gathering %d members: %w", len(stay), err)
		}
		c, err := peer.Dial(ctx, at)
		if err != nil {
			return nil, err
		}
		guest := &rebalanceMember{c: c}
		r.members = append(stay, guest)
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
		if err := r.empty(ctx); err != nil {
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
	if err := r.leave(ctx, guest); err != nil {
		return nil, err
	}
	if err := r.step(ctx, nil, stay); err != nil {
		return nil, err
	}
	return append(took, time.Since(began)), nil
}

func (r *rebalance) leave(ctx context.Context, m *rebalanceMember) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group, req.MemberID = 2, r.group, m.id
	resp, err := m.c.Request(ctx, req)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.(*kmsg.LeaveGroupResponse).ErrorCode); err != nil {
		return fmt.Errorf("leaving: %w", err)
	}
	m.id, m.owned, m.generation = "", nil, 0
	return nil
}

// empty takes all members out in one request, so that they do not wait for their sessions to end.
func (r *rebalance) empty(ctx context.Context) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 3, r.group
	for _, m := range r.members {
		if m.id != "" {
			lm := kmsg.NewLeaveGroupRequestMember()
			lm.MemberID = m.id
			req.Members = append(req.Members, lm)
		}
	}
	resp, err := r.members[0].c.Request(ctx, req)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.(*kmsg.LeaveGroupResponse).ErrorCode)
}
