package kclient

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListedGroup is a group as ListGroups shows it.
type ListedGroup struct{ Name, State string }

// Group is a consumer group as its coordinator describes it.
type Group struct {
	Name, State, Assignor string
	NodeID, Port          int32 // of the coordinator
	Host                  string
	Members               []Member
}

// Member is a member of a group.
type Member struct {
	ID, Instance, ClientID, Host string
	Partitions                   []TopicPartition // as a java.util.HashSet of them is iterated
}

// Committed is an offset that a group has stored.
type Committed struct {
	TopicPartition
	Offset int64
}

func (c Committed) String() string {
	return c.TopicPartition.String() + "@" + strconv.FormatInt(c.Offset, 10)
}

const consumerProtocol = "consumer"

// findCoordinator is Java's name of the call in which requests about groups wait for brokers.
const findCoordinator = "findCoordinator"

// WithTimeout returns the same client with another limit for each call.
func (a *Admin) WithTimeout(d time.Duration) *Admin {
	return &Admin{Client: a.Client, timeout: max(d, 0)}
}

// moved tells that a coordinator is to be looked for again.
func moved(code int16) bool {
	switch code {
	case kerr.CoordinatorLoadInProgress.Code, kerr.CoordinatorNotAvailable.Code, kerr.NotCoordinator.Code:
		return true
	}
	return false
}

// pause waits a moment between two tries.
func pause(ctx context.Context) error {
	timer := time.NewTimer(reconnectPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// coordinator finds the broker that serves a group or a transactional id.
func (a *Admin) coordinator(ctx context.Context, kind int8, key string) (*kmsg.FindCoordinatorResponse, error) {
	for {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey, req.CoordinatorType = key, kind
		resp, err := Ask[*kmsg.FindCoordinatorResponse](ctx, a, req, findCoordinator)
		if err != nil {
			return nil, err
		}
		if resp.ErrorCode == 0 {
			return resp, nil
		}
		if !moved(resp.ErrorCode) {
			return nil, Error(resp.ErrorCode, nil)
		}
		if err := pause(ctx); err != nil {
			return nil, Wrap(err, findCoordinator)
		}
	}
}

// askCoordinator sends a request to a group's coordinator, again while that moves or loads: code finds the error in the answer.
func askCoordinator[R kmsg.Response](ctx context.Context, a *Admin, group string, req kmsg.Request, call string, code func(R) int16) (R, *kmsg.FindCoordinatorResponse, error) {
	return askCoordinatorOf(ctx, a, 0, group, req, call, code)
}

func askCoordinatorOf[R kmsg.Response](ctx context.Context, a *Admin, kind int8, key string, req kmsg.Request, call string, code func(R) int16) (R, *kmsg.FindCoordinatorResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var none R
	for {
		at, err := a.coordinator(ctx, kind, key)
		if err != nil {
			return none, nil, err
		}
		resp, err := AskBroker[R](ctx, a, at.NodeID, req, call)
		if err != nil {
			return none, nil, err
		}
		c := code(resp)
		if c == 0 || !moved(c) {
			return resp, at, Error(c, nil)
		}
		if err := pause(ctx); err != nil {
			return none, nil, Wrap(err, call)
		}
	}
}

// ListGroups lists the consumer groups of all brokers in the order of Java's admin client; with states only those in one of them.
func (a *Admin) ListGroups(ctx context.Context, states []string) ([]ListedGroup, error) {
	if _, err := a.Cluster(ctx); err != nil {
		return nil, &CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to find brokers to send ListGroups", Cause: err}
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	for {
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter = states
		resp, err := Ask[*kmsg.ListGroupsResponse](ctx, a, req, "listConsumerGroups")
		if err != nil {
			return nil, err
		}
		if resp.ErrorCode == 0 {
			return listed(resp), nil
		}
		if !moved(resp.ErrorCode) {
			return nil, Error(resp.ErrorCode, nil)
		}
		if err := pause(ctx); err != nil {
			return nil, Wrap(err, "listConsumerGroups")
		}
	}
}

func listed(resp *kmsg.ListGroupsResponse) []ListedGroup {
	found := map[string]string{}
	var names []string
	for _, g := range resp.Groups {
		if g.ProtocolType != consumerProtocol && g.ProtocolType != "" {
			continue
		}
		if _, twice := found[g.Group]; !twice {
			names = append(names, g.Group)
		}
		found[g.Group] = g.GroupState
	}
	out := make([]ListedGroup, 0, len(names))
	for _, name := range HashOrder(names, 0) {
		out = append(out, ListedGroup{name, found[name]})
	}
	return out
}

// DescribeGroup asks a group's coordinator about it.
func (a *Admin) DescribeGroup(ctx context.Context, name string) (*Group, error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{name}
	resp, at, err := askCoordinator(ctx, a, name, req, "describeConsumerGroups", func(r *kmsg.DescribeGroupsResponse) int16 {
		if len(r.Groups) != 1 {
			return kerr.InvalidGroupID.Code
		}
		return r.Groups[0].ErrorCode
	})
	if err != nil {
		return nil, err
	}
	d := &resp.Groups[0]
	if d.ProtocolType != consumerProtocol && d.ProtocolType != "" {
		return nil, IllegalArgument("GroupId " + name + " is not a consumer group (" + d.ProtocolType + ").")
	}
	g := &Group{Name: name, State: d.State, Assignor: d.Protocol, NodeID: at.NodeID, Host: at.Host, Port: at.Port}
	for i := range d.Members {
		m := &d.Members[i]
		out := Member{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost, Partitions: assigned(m.MemberAssignment)}
		if m.InstanceID != nil {
			out.Instance = *m.InstanceID
		}
		g.Members = append(g.Members, out)
	}
	return g, nil
}

// assigned reads a consumer's assignment; bytes that are none assign nothing.
func assigned(b []byte) []TopicPartition {
	if len(b) == 0 {
		return nil
	}
	var a kmsg.ConsumerMemberAssignment
	if a.ReadFrom(b) != nil {
		return nil
	}
	var tps []TopicPartition
	seen := map[TopicPartition]bool{}
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			if tp := (TopicPartition{t.Topic, p}); !seen[tp] {
				seen[tp] = true
				tps = append(tps, tp)
			}
		}
	}
	return HashOrderPartitions(tps, max(len(tps)*4/3+1, 16))
}

// Committed are the offsets that a group has stored, as a java.util.HashMap of them is iterated.
func (a *Admin) Committed(ctx context.Context, group string) ([]Committed, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	resp, _, err := askCoordinator(ctx, a, group, req, "listConsumerGroupOffsets", func(r *kmsg.OffsetFetchResponse) int16 { return r.ErrorCode })
	if err != nil {
		return nil, err
	}
	offsets := map[TopicPartition]int64{}
	var tps []TopicPartition
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			tp := TopicPartition{resp.Topics[i].Topic, p.Partition}
			if p.ErrorCode != 0 || p.Offset < 0 {
				continue
			}
			if _, twice := offsets[tp]; !twice {
				tps = append(tps, tp)
			}
			offsets[tp] = p.Offset
		}
	}
	out := make([]Committed, 0, len(tps))
	for _, tp := range HashOrderPartitions(tps, 0) {
		out = append(out, Committed{tp, offsets[tp]})
	}
	return out, nil
}

// Commit stores offsets for a group that has no members.
func (a *Admin) Commit(ctx context.Context, group string, offsets []Committed) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	at := map[string]int{}
	for _, o := range offsets {
		i, ok := at[o.Topic]
		if !ok {
			i = len(req.Topics)
			at[o.Topic] = i
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic = o.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		metadata := ""
		p.Partition, p.Offset, p.Metadata = o.Partition, o.Offset, &metadata
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	resp, _, err := askCoordinator(ctx, a, group, req, "commitOffsets", func(r *kmsg.OffsetCommitResponse) int16 {
		for i := range r.Topics {
			for _, p := range r.Topics[i].Partitions {
				if moved(p.ErrorCode) {
					return p.ErrorCode
				}
			}
		}
		return 0
	})
	if err != nil {
		return err
	}
	var failed []TopicPartition
	code := int16(0)
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			if p.ErrorCode != 0 {
				code = p.ErrorCode
				failed = append(failed, TopicPartition{resp.Topics[i].Topic, p.Partition})
			}
		}
	}
	if code == 0 {
		return nil
	}
	message := "Failed altering consumer group offsets for the following partitions: [" + JoinPartitions(HashOrderPartitions(failed, 0), ", ") + "]"
	return Error(code, &message)
}

// DeleteGroup deletes a group.
func (a *Admin) DeleteGroup(ctx context.Context, group string) error {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	_, _, err := askCoordinator(ctx, a, group, req, "deleteConsumerGroups", func(r *kmsg.DeleteGroupsResponse) int16 {
		if len(r.Groups) != 1 {
			return kerr.UnknownServerError.Code
		}
		return r.Groups[0].ErrorCode
	})
	return err
}

// DeleteOffsets removes offsets of a group; the errors are those of partitions, nil where it was done.
func (a *Admin) DeleteOffsets(ctx context.Context, group string, tps []TopicPartition) (map[TopicPartition]error, error) {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	at := map[string]int{}
	for _, tp := range tps {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			t := kmsg.NewOffsetDeleteRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewOffsetDeleteRequestTopicPartition()
		p.Partition = tp.Partition
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	resp, _, err := askCoordinator(ctx, a, group, req, "deleteConsumerGroupOffsets", func(r *kmsg.OffsetDeleteResponse) int16 { return r.ErrorCode })
	if err != nil {
		return nil, err
	}
	out := map[TopicPartition]error{}
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			out[TopicPartition{resp.Topics[i].Topic, p.Partition}] = Error(p.ErrorCode, nil)
		}
	}
	return out, nil
}

// RemoveMembers makes members leave a group: by their instance if they have one.
func (a *Admin) RemoveMembers(ctx context.Context, g *Group) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = g.Name
	for i := range g.Members {
		m := kmsg.NewLeaveGroupRequestMember()
		if id := g.Members[i].Instance; id != "" {
			m.InstanceID = &id
		} else {
			m.MemberID = g.Members[i].ID
		}
		req.Members = append(req.Members, m)
	}
	resp, _, err := askCoordinator(ctx, a, g.Name, req, "leaveGroup", func(r *kmsg.LeaveGroupResponse) int16 { return r.ErrorCode })
	if err != nil {
		return err
	}
	for _, m := range resp.Members {
		if m.ErrorCode != 0 {
			return &CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Encounter exception when trying to remove: " + m.MemberID, Cause: Error(m.ErrorCode, nil)}
		}
	}
	return nil
}

// transactions is the type of a transaction coordinator in FindCoordinator; 0 is a group's.
const transactions int8 = 1

// AskTransactions asks a transactional id's coordinator about it, and returns who that is.
func (a *Admin) AskTransactions(ctx context.Context, id string, req *kmsg.DescribeTransactionsRequest) (*kmsg.DescribeTransactionsResponse, int32, error) {
	resp, at, err := askCoordinatorOf(ctx, a, transactions, id, req, "describeTransactions", func(r *kmsg.DescribeTransactionsResponse) int16 {
		for i := range r.TransactionStates {
			if c := r.TransactionStates[i].ErrorCode; moved(c) {
				return c
			}
		}
		return 0
	})
	if err != nil {
		return nil, 0, err
	}
	return resp, at.NodeID, nil
}
