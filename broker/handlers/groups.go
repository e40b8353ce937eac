package handlers

import (
	"bytes"
	"context"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/metadata"
	"gregor/broker/server"
	"gregor/coordinator/group"
	"gregor/coordinator/group/fsm"
	"gregor/internal/topicrules"
	"gregor/wire"
)

// Groups serves what consumers and their administrators ask the group coordinator: FindCoordinator (0 to 3), JoinGroup (0 to 7), SyncGroup
// (0 to 5), Heartbeat and LeaveGroup (0 to 4), OffsetCommit (0 to 8), OffsetFetch (0 to 7), OffsetDelete (0), ListGroups (0 to 4),
// DescribeGroups (0 to 5) and DeleteGroups (0 to 2). JoinGroup, SyncGroup and what is recorded are answered when their time has come.
type Groups struct {
	Coordinator *group.Coordinator
	Metadata    *metadata.Cache
	// TxnPartition is the partition of __transaction_state that keeps a transactional id.
	TxnPartition func(id string) int32
	// CreateTopic creates a coordinator's topic when the first one asks for a coordinator; *Admin has it.
	CreateTopic func(ctx context.Context, name string) int16
	// StaticMembers: the inter.broker.protocol.version allows group.instance.id.
	StaticMembers bool
	// Offsets0 keeps the offsets that version 0 of OffsetCommit and OffsetFetch mean; without it these versions are not served.
	Offsets0 ConsumerOffsets
	// MaxMetadata is offset.metadata.max.bytes, for version 0; the coordinator knows it itself.
	MaxMetadata int
	Log         logrus.FieldLogger
}

// ConsumerOffsets are the offsets of consumers from before there was a group coordinator.
type ConsumerOffsets interface {
	SetConsumerOffset(ctx context.Context, group, topic string, partition int32, offset int64) error
	ConsumerOffset(ctx context.Context, group, topic string, partition int32) (offset int64, ok bool, err error)
}

// APIs returns the rows.
func (h *Groups) APIs() []server.API {
	offsets := int16(1)
	if h.Offsets0 != nil {
		offsets = 0
	}
	return []server.API{
		{Key: kmsg.FindCoordinator, MaxVersion: 3, Handle: handle(h.findCoordinator)},
		{Key: kmsg.JoinGroup, MaxVersion: 7, Start: h.join},
		{Key: kmsg.SyncGroup, MaxVersion: 5, Start: h.sync},
		{Key: kmsg.Heartbeat, MaxVersion: 4, Handle: handle(h.heartbeat)},
		{Key: kmsg.LeaveGroup, MaxVersion: 4, Handle: handle(h.leave)},
		{Key: kmsg.OffsetCommit, MinVersion: offsets, MaxVersion: 8, Start: h.commit},
		{Key: kmsg.OffsetFetch, MinVersion: offsets, MaxVersion: 7, Handle: handle(h.fetchOffsets)},
		{Key: kmsg.OffsetDelete, MaxVersion: 0, Start: h.deleteOffsets},
		{Key: kmsg.ListGroups, MaxVersion: 4, Handle: handle(h.list)},
		{Key: kmsg.DescribeGroups, MaxVersion: 5, Handle: handle(h.describe)},
		{Key: kmsg.DeleteGroups, MaxVersion: 2, Start: h.delete},
	}
}

// decode reads a request whose handler completes it later.
func decode[R kmsg.Request](r *server.Request, into R) (R, error) {
	if err := wire.Check(r.Key, r.Version, r.Body); err != nil {
		return into, err
	}
	into.SetVersion(r.Version)
	return into, into.ReadFrom(r.Body)
}

// joining is a JoinGroup request that is answered later, by the coordinator or because nobody waits for it any more. What it needs until then is in
// it, for a group may have thousands that wait; what the group keeps for longer is not.
type joining struct {
	r    *server.Request
	over atomic.Bool
	join fsm.Join
	resp kmsg.JoinGroupResponse
}

// syncing is a SyncGroup request that is answered later.
type syncing struct {
	r    *server.Request
	over atomic.Bool
	sync fsm.Sync
	resp kmsg.SyncGroupResponse
}

// await lets a request's bytes go and has it answered by c if its client leaves first: what it asked for goes on without it, as in Kafka, and is
// ended by the member's time-outs.
func await(r *server.Request, c server.Closer) {
	r.ReleaseBody()
	r.Waits()
	r.OnClose(c, 0)
}

// The messages of requests, which are not needed any more when the coordinator has been asked.
var (
	joinRequests = sync.Pool{New: func() any { return new(kmsg.JoinGroupRequest) }}
	syncRequests = sync.Pool{New: func() any { return new(kmsg.SyncGroupRequest) }}
)

func (h *Groups) join(_ context.Context, r *server.Request) error {
	req := joinRequests.Get().(*kmsg.JoinGroupRequest)
	defer func() {
		*req = kmsg.JoinGroupRequest{}
		joinRequests.Put(req)
	}()
	if _, err := decode(r, req); err != nil {
		return err
	}
	w := &joining{r: r}
	w.take(req)
	await(r, w)
	if w.join.Instance != nil && !h.StaticMembers {
		w.answer(&fsm.JoinResult{Code: kerr.UnsupportedVersion.Code, Generation: -1})
		return nil
	}
	h.Coordinator.Join(req.Group, &w.join, w.answer)
	return nil
}

// take keeps what the coordinator is to know, apart from the request's bytes.
func (w *joining) take(req *kmsg.JoinGroupRequest) {
	r, j := w.r, &w.join
	*j = fsm.Join{
		MemberID: req.MemberID, Instance: req.InstanceID, RequireID: r.Version >= 4 && req.InstanceID == nil, Client: clientID(r), Host: clientHost(r),
		Session: req.SessionTimeoutMillis, Rebalance: req.RebalanceTimeoutMillis, ProtocolType: req.ProtocolType,
	}
	if r.Version == 0 {
		j.Rebalance = j.Session
	}
	if len(req.Protocols) > 0 {
		j.Protocols = make([]fsm.Protocol, len(req.Protocols))
	}
	for i := range req.Protocols {
		j.Protocols[i] = fsm.Protocol{Name: req.Protocols[i].Name, Metadata: bytes.Clone(req.Protocols[i].Metadata)}
	}
	if j.MemberID == "" {
		prefix := j.Client
		if j.Instance != nil {
			prefix = *j.Instance
		}
		j.NewID = newMemberID(prefix)
	}
}

// newMemberID is the prefix, or as much of it as answers with 16 bits for a length have room for, and what nobody else has.
func newMemberID(prefix string) string {
	unique := "-" + uuid.NewString()
	room := min(len(prefix), math.MaxInt16-len(unique))
	for room > 0 && room < len(prefix) && !utf8.RuneStart(prefix[room]) {
		room--
	}
	return prefix[:room] + unique
}

// RequestClosed is called when the client is gone, or the broker stops.
func (w *joining) RequestClosed(uint64) {
	w.answer(&fsm.JoinResult{Code: kerr.NotCoordinator.Code, Generation: -1, MemberID: w.join.MemberID})
}

func (w *joining) answer(res *fsm.JoinResult) {
	if !w.over.CompareAndSwap(false, true) {
		return
	}
	resp := &w.resp
	resp.ErrorCode, resp.Generation, resp.LeaderID, resp.MemberID = res.Code, res.Generation, res.Leader, res.MemberID
	resp.ProtocolType, resp.Protocol = res.ProtocolType, res.Protocol
	if len(res.Members) > 0 {
		resp.Members = make([]kmsg.JoinGroupResponseMember, len(res.Members))
	}
	for i := range res.Members {
		m := &resp.Members[i]
		m.MemberID, m.InstanceID, m.ProtocolMetadata = res.Members[i].ID, res.Members[i].Instance, res.Members[i].Metadata
	}
	w.r.CompleteMessageHere(resp)
}

func (h *Groups) sync(_ context.Context, r *server.Request) error {
	req := syncRequests.Get().(*kmsg.SyncGroupRequest)
	defer func() {
		*req = kmsg.SyncGroupRequest{}
		syncRequests.Put(req)
	}()
	if _, err := decode(r, req); err != nil {
		return err
	}
	w := &syncing{r: r}
	q := &w.sync
	*q = fsm.Sync{MemberID: req.MemberID, Instance: req.InstanceID, Generation: req.Generation, ProtocolType: req.ProtocolType, Protocol: req.Protocol}
	if len(req.GroupAssignment) > 0 {
		q.Assignments = cloneAssignments(req.GroupAssignment)
	}
	await(r, w)
	switch {
	case q.Instance != nil && !h.StaticMembers:
		w.answer(&fsm.SyncResult{Code: kerr.UnsupportedVersion.Code})
	case r.Version >= 5 && (q.ProtocolType == nil || q.Protocol == nil):
		w.answer(&fsm.SyncResult{Code: kerr.InconsistentGroupProtocol.Code})
	default:
		h.Coordinator.Sync(req.Group, q, w.answer)
	}
	return nil
}

// cloneAssignments copies a leader's assignments, together: they are let go together, when the next ones come.
func cloneAssignments(list []kmsg.SyncGroupRequestGroupAssignment) map[string][]byte {
	size := 0
	for i := range list {
		size += len(list[i].MemberAssignment)
	}
	all := make([]byte, 0, size)
	out := make(map[string][]byte, len(list))
	for i := range list {
		from := len(all)
		all = append(all, list[i].MemberAssignment...)
		out[list[i].MemberID] = all[from:len(all):len(all)]
	}
	return out
}

// RequestClosed is called when the client is gone, or the broker stops.
func (w *syncing) RequestClosed(uint64) { w.answer(&fsm.SyncResult{Code: kerr.NotCoordinator.Code}) }

func (w *syncing) answer(res *fsm.SyncResult) {
	if !w.over.CompareAndSwap(false, true) {
		return
	}
	resp := &w.resp
	resp.ErrorCode, resp.ProtocolType, resp.Protocol, resp.MemberAssignment = res.Code, res.ProtocolType, res.Protocol, res.Assignment
	if resp.MemberAssignment == nil {
		resp.MemberAssignment = []byte{}
	}
	w.r.CompleteMessageHere(resp)
}

func (h *Groups) heartbeat(_ context.Context, _ *server.Request, req *kmsg.HeartbeatRequest) kmsg.Response {
	resp := kmsg.NewPtrHeartbeatResponse()
	if req.InstanceID != nil && !h.StaticMembers {
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		return resp
	}
	resp.ErrorCode = h.Coordinator.Heartbeat(req.Group, req.MemberID, req.InstanceID, req.Generation)
	return resp
}

func (h *Groups) leave(_ context.Context, r *server.Request, req *kmsg.LeaveGroupRequest) kmsg.Response {
	var members []fsm.Leaving
	if r.Version < 3 {
		members = []fsm.Leaving{{MemberID: req.MemberID}}
	} else {
		for _, m := range req.Members {
			members = append(members, fsm.Leaving{MemberID: m.MemberID, Instance: m.InstanceID})
		}
	}
	resp := kmsg.NewPtrLeaveGroupResponse()
	resp.ErrorCode = h.Coordinator.Leave(req.Group, members)
	if resp.ErrorCode != 0 {
		return resp
	}
	if r.Version < 3 {
		resp.ErrorCode = members[0].Code
		return resp
	}
	for i := range members {
		m := kmsg.NewLeaveGroupResponseMember()
		m.MemberID, m.InstanceID, m.ErrorCode = members[i].MemberID, members[i].Instance, members[i].Code
		resp.Members = append(resp.Members, m)
	}
	return resp
}

func clientID(r *server.Request) string {
	if r.ClientID == nil {
		return ""
	}
	return *r.ClientID
}

// clientHost is the client's address as Java prints it.
func clientHost(r *server.Request) string {
	if a, ok := r.RemoteAddr.(*net.TCPAddr); ok && a.Zone == "" {
		var buf [64]byte
		buf[0] = '/'
		return string(a.AddrPort().Addr().Unmap().AppendTo(buf[:1]))
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr.String())
	if err != nil {
		host = r.RemoteAddr.String()
	}
	return "/" + host
}

func (h *Groups) list(_ context.Context, _ *server.Request, req *kmsg.ListGroupsRequest) kmsg.Response {
	resp := kmsg.NewPtrListGroupsResponse()
	groups, code := h.Coordinator.List(req.StatesFilter)
	resp.ErrorCode = code
	for _, g := range groups {
		l := kmsg.NewListGroupsResponseGroup()
		l.Group, l.ProtocolType, l.GroupState = g.Group, g.ProtocolType, g.State
		resp.Groups = append(resp.Groups, l)
	}
	return resp
}

// groupOperations is what anyone may do with a group while there is no authorizer: read, delete, describe.
const groupOperations int32 = 1<<3 | 1<<6 | 1<<8

func (h *Groups) describe(_ context.Context, r *server.Request, req *kmsg.DescribeGroupsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	for _, name := range req.Groups {
		d := h.Coordinator.Describe(name)
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.ErrorCode, g.Group, g.State, g.ProtocolType, g.Protocol = d.Code, name, d.State, d.ProtocolType, d.Protocol
		if r.Version >= 3 && d.Code == 0 && req.IncludeAuthorizedOperations {
			g.AuthorizedOperations = groupOperations
		}
		for _, m := range d.Members {
			rm := kmsg.NewDescribeGroupsResponseGroupMember()
			rm.MemberID, rm.InstanceID, rm.ClientID, rm.ClientHost = m.ID, m.Instance, m.Client, m.Host
			rm.ProtocolMetadata, rm.MemberAssignment = m.Metadata, m.Assignment
			g.Members = append(g.Members, rm)
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func (h *Groups) delete(_ context.Context, r *server.Request) error {
	req, err := decode(r, kmsg.NewPtrDeleteGroupsRequest())
	if err != nil {
		return err
	}
	var names []string
	for _, name := range req.Groups {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(names))
	w := newAll(len(names), func() { r.CompleteMessage(resp) })
	for i, name := range names {
		g := &resp.Groups[i]
		g.Default()
		g.Group = name
		h.Coordinator.Delete(name, func(code int16) {
			g.ErrorCode = code
			w.done()
		})
	}
	return nil
}

// all calls then when n things are done.
type all struct {
	left atomic.Int64
	then func()
}

func newAll(n int, then func()) *all {
	a := &all{then: then}
	a.left.Store(int64(n))
	if n == 0 {
		then()
	}
	return a
}

func (a *all) done() {
	if a.left.Add(-1) == 0 {
		a.then()
	}
}

const noNodeID = -1

func (h *Groups) findCoordinator(ctx context.Context, r *server.Request, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	fail := func(e *kerr.Error, message string) kmsg.Response {
		resp.ErrorCode, resp.ErrorMessage = e.Code, &message
		resp.NodeID, resp.Host, resp.Port = noNodeID, "", -1
		return resp
	}
	const unavailable = "The coordinator is not available."
	topic, partition := offsetsTopic, h.Coordinator.PartitionFor
	switch req.CoordinatorType {
	case 0:
	case 1:
		topic, partition = topicrules.TransactionTopic, h.TxnPartition
	default:
		return fail(kerr.InvalidRequest, "Unknown coordinator type in FindCoordinator request")
	}
	leader, at, known, ok := h.Metadata.LeaderEndpoint(topic, partition(req.CoordinatorKey), r.Listener)
	if !known && !h.Metadata.Contains(topic) {
		if code := h.CreateTopic(ctx, topic); code != kerr.LeaderNotAvailable.Code && code != kerr.CoordinatorNotAvailable.Code {
			h.Log.Errorf("Creating %s for the coordinator of %q failed: %v", topic, req.CoordinatorKey, kerr.ErrorForCode(code))
		}
	}
	if !ok {
		return fail(kerr.CoordinatorNotAvailable, unavailable)
	}
	none := "NONE" // which is what Kafka has to say
	resp.ErrorMessage = &none
	resp.NodeID, resp.Host, resp.Port = leader, at.Host, at.Port
	return resp
}
