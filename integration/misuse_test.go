package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
)

// misuse is a broker that somebody treats badly.
type misuse struct {
	t    *testing.T
	ctx  context.Context
	addr string
	// kafka: it is Apache's. many is how much is a lot.
	kafka bool
	many  int
}

// on asks on a connection of its own; an answer that does not come is "closed".
func (m *misuse) on(c *peer.Conn, v int16, req kmsg.Request) kmsg.Response {
	req.SetVersion(v)
	resp, err := c.Request(m.ctx, req)
	if err != nil {
		if m.ctx.Err() != nil || strings.Contains(err.Error(), "timeout") {
			m.t.Fatalf("%s is not answered: %v", kmsg.NameForKey(req.Key()), err)
		}
		return nil
	}
	return resp
}

func (m *misuse) dial() *peer.Conn {
	c, err := peer.Dial(m.ctx, m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return c
}

func (m *misuse) ask(v int16, req kmsg.Request) kmsg.Response {
	c := m.dial()
	defer c.Close()
	return m.on(c, v, req)
}

// code is an answer's only error code.
func code(resp kmsg.Response) string {
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		return fmt.Sprint("join ", r.ErrorCode, " generation ", r.Generation, " members ", len(r.Members))
	case *kmsg.SyncGroupResponse:
		return fmt.Sprint("sync ", r.ErrorCode, " of ", len(r.MemberAssignment))
	case *kmsg.HeartbeatResponse:
		return fmt.Sprint("heartbeat ", r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		return fmt.Sprint("leave ", r.ErrorCode, " members ", len(r.Members))
	case *kmsg.OffsetCommitResponse:
		return "commit " + tally(r.Topics, func(t kmsg.OffsetCommitResponseTopic) (codes []int16) {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
			return codes
		})
	case *kmsg.OffsetFetchResponse:
		return fmt.Sprint("fetch ", r.ErrorCode, " ", tally(r.Topics, func(t kmsg.OffsetFetchResponseTopic) (codes []int16) {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
			return codes
		}))
	case *kmsg.DescribeGroupsResponse:
		return "describe " + tally(r.Groups, func(g kmsg.DescribeGroupsResponseGroup) []int16 { return []int16{g.ErrorCode} }) + " " + r.Groups[0].State +
			" members " + fmt.Sprint(len(r.Groups[0].Members))
	case *kmsg.DeleteGroupsResponse:
		return "delete " + tally(r.Groups, func(g kmsg.DeleteGroupsResponseGroup) []int16 { return []int16{g.ErrorCode} })
	case *kmsg.FindCoordinatorResponse:
		return fmt.Sprint("find ", r.ErrorCode)
	case *kmsg.ListGroupsResponse:
		return fmt.Sprint("list ", r.ErrorCode)
	case *kmsg.InitProducerIDResponse:
		return fmt.Sprint("init ", r.ErrorCode, " epoch ", r.ProducerEpoch)
	case *kmsg.EndTxnResponse:
		return fmt.Sprint("end ", r.ErrorCode)
	case *kmsg.AddOffsetsToTxnResponse:
		return fmt.Sprint("add offsets ", r.ErrorCode)
	case *kmsg.AddPartitionsToTxnResponse:
		return "add " + tally(r.Topics, func(t kmsg.AddPartitionsToTxnResponseTopic) (codes []int16) {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
			return codes
		})
	case *kmsg.TxnOffsetCommitResponse:
		return "txn commit " + tally(r.Topics, func(t kmsg.TxnOffsetCommitResponseTopic) (codes []int16) {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
			return codes
		})
	case nil:
		return "closed"
	}
	return fmt.Sprintf("%T", resp)
}

// tally counts the codes of an answer.
func tally[T any](list []T, codes func(T) []int16) string {
	n := map[int16]int{}
	for _, x := range list {
		for _, c := range codes(x) {
			n[c]++
		}
	}
	return fmt.Sprint(n)
}

const longest = math.MaxInt16

func joinOf(group, member string) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Group, r.MemberID, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = group, member, 60_000, 60_000, "consumer"
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0}}}
	return r
}

func commitOf(group, topic, metadata string, partitions ...int32) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.Generation = group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	for _, n := range partitions {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = n, 1, &metadata
		t.Partitions = append(t.Partitions, p)
	}
	r.Topics = append(r.Topics, t)
	return r
}

func fetchOf(group, topic string, partitions ...int32) *kmsg.OffsetFetchRequest {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Group = group
	r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: partitions}}
	return r
}

func leaveOf(group, member string) *kmsg.LeaveGroupRequest {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Group, r.MemberID = group, member
	return r
}

func describeOf(groups ...string) *kmsg.DescribeGroupsRequest {
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Groups = groups
	return r
}

func initOf(id string, timeout int32) *kmsg.InitProducerIDRequest {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.TransactionalID, r.TransactionTimeoutMillis = &id, timeout
	return r
}

func upTo(n int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i)
	}
	return list
}

// flood sends n requests before it reads an answer, and counts these.
func (m *misuse) flood(v int16, n int, req func(i int) kmsg.Request) string {
	c := m.dial()
	defer c.Close()
	reqs := make([]kmsg.Request, n)
	for i := range reqs {
		reqs[i] = req(i)
		reqs[i].SetVersion(v)
	}
	go func() {
		for _, r := range reqs {
			if _, err := c.Write(c.Frame(r)); err != nil {
				return
			}
		}
	}()
	count := map[string]int{}
	for _, r := range reqs {
		resp, err := c.Receive(r)
		if err != nil {
			resp = nil
		}
		count[code(resp)]++
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(count)) {
		out = append(out, fmt.Sprintf("%d times %s", count[k], k))
	}
	return strings.Join(out, ", ")
}

// with is a connection whose client id is so long.
func (m *misuse) withClient(id string, v int16, req kmsg.Request) string {
	c := m.dial()
	defer c.Close()
	req.SetVersion(v)
	return m.raw(c, kmsg.NewRequestFormatter(kmsg.FormatterClientID(id)).AppendRequest(nil, req, 1))
}

// raw says whether there is an answer at all.
func (m *misuse) raw(c *peer.Conn, frame []byte) string {
	ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
	defer cancel()
	_, err := c.RoundTrip(ctx, frame)
	switch {
	case err == nil:
		return "answered"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing"
	}
	return "closed"
}

type abuse struct {
	name string
	do   func(m *misuse) []string
}

func codesOf(list ...kmsg.Response) (out []string) {
	for _, r := range list {
		out = append(out, code(r))
	}
	return out
}

var abuses = []abuse{
	{"half a request", func(m *misuse) []string {
		c := m.dial()
		r := joinOf("half", "")
		r.Version = 3
		f := c.Frame(r)
		_, _ = c.Write(f[:len(f)/2])
		_ = c.Close()
		return codesOf(m.ask(3, describeOf("half")))
	}},
	{"a member whose connection ends while it waits", func(m *misuse) []string {
		first := m.on(m.dial(), 3, joinOf("gone", "")).(*kmsg.JoinGroupResponse)
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group, sync.MemberID, sync.Generation = "gone", first.MemberID, first.Generation
		out := codesOf(m.ask(3, sync))
		c := m.dial()
		r := joinOf("gone", "")
		r.Version = 3
		_, _ = c.Write(c.Frame(r))
		eventually(m.t, m.ctx, time.Minute, "the second member waits", func() error {
			d := m.ask(3, describeOf("gone")).(*kmsg.DescribeGroupsResponse)
			if n := len(d.Groups[0].Members); n != 2 {
				return fmt.Errorf("%d members", n)
			}
			return nil
		})
		_ = c.Close()
		out = append(out, codesOf(m.ask(3, describeOf("gone")), m.ask(3, joinOf("gone", first.MemberID)))...)
		return append(out, codesOf(m.ask(3, describeOf("gone")))...)
	}},
	{"10,000 members that nobody knows", func(m *misuse) []string {
		return append([]string{m.flood(3, 10_000, func(i int) kmsg.Request { return joinOf("strangers", fmt.Sprint("m-", i)) })}, codesOf(m.ask(3, describeOf("strangers")))...)
	}},
	{"10,000 members that never come back", func(m *misuse) []string {
		flood := m.flood(5, 10_000, func(int) kmsg.Request {
			r := joinOf("pending", "")
			r.SessionTimeoutMillis = 6000
			return r
		})
		return append([]string{flood}, codesOf(m.ask(3, describeOf("pending")))...)
	}},
	{"an assignment of 50 MB", func(m *misuse) []string {
		c := m.dial()
		j := m.on(c, 3, joinOf("heavy", "")).(*kmsg.JoinGroupResponse)
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group, sync.MemberID, sync.Generation = "heavy", j.MemberID, j.Generation
		sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: j.MemberID, MemberAssignment: make([]byte, 50<<20)}}
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Group, beat.MemberID, beat.Generation = "heavy", j.MemberID, j.Generation
		return codesOf(j, m.on(c, 3, sync), m.on(c, 3, beat), m.on(c, 3, describeOf("heavy")), m.on(c, 2, leaveOf("heavy", j.MemberID)))
	}},
	{"metadata of a subscription of 20 MB", func(m *misuse) []string {
		r := joinOf("wordy", "")
		r.Protocols[0].Metadata = make([]byte, 20<<20)
		j := m.ask(3, r).(*kmsg.JoinGroupResponse)
		return codesOf(j, m.ask(3, describeOf("wordy")), m.ask(2, leaveOf("wordy", j.MemberID)))
	}},
	{"metadata of an offset", func(m *misuse) []string {
		return codesOf(m.ask(7, commitOf("words", "t", strings.Repeat("x", longest), 0)), m.ask(8, commitOf("words", "t", strings.Repeat("x", longest), 0)),
			m.ask(8, commitOf("words", "t", strings.Repeat("x", longest+1), 0)), m.ask(8, commitOf("words", "t", strings.Repeat("x", 1<<20), 0)))
	}},
	{"long names of groups", func(m *misuse) (out []string) {
		for _, n := range []int{0, longest, longest + 1, 1 << 20} {
			g := strings.Repeat("g", n)
			beat := kmsg.NewPtrHeartbeatRequest()
			beat.Group = g
			find := kmsg.NewPtrFindCoordinatorRequest()
			find.CoordinatorKey = g
			del := kmsg.NewPtrDeleteGroupsRequest()
			del.Groups = []string{g}
			out = append(out, fmt.Sprint(n, ":"))
			out = append(out, codesOf(m.ask(3, find), m.ask(6, joinOf(g, "")), m.ask(4, beat), m.ask(8, commitOf(g, "t", "", 0)), m.ask(7, fetchOf(g, "t", 0)),
				m.ask(5, describeOf(g)), m.ask(2, del), m.ask(0, kmsg.NewPtrListGroupsRequest()))...)
		}
		return out
	}},
	{"long names of members", func(m *misuse) (out []string) {
		for _, n := range []int{0, longest - 37, longest} {
			if n == longest && m.kafka {
				continue // it makes an id that fits into no answer, and gives none
			}
			id := strings.Repeat("i", n)
			group := func(what string) string { return fmt.Sprint(what, "-", n) }
			static := joinOf(group("static"), "")
			static.InstanceID = &id
			out = append(out, code(m.ask(5, static)))
			for _, v := range []int16{3, 5, 6} {
				out = append(out, m.withClient(id, v, joinOf(group(fmt.Sprint("client", v)), "")))
			}
			for _, v := range []int16{0, 4, 5} {
				out = append(out, codesOf(m.ask(v, describeOf(group("static"))), m.ask(v, describeOf(group("client3"))))...)
			}
		}
		return out
	}},
	{"many of everything", func(m *misuse) []string {
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group = "many"
		for i := range m.many {
			leave.Members = append(leave.Members, kmsg.LeaveGroupRequestMember{MemberID: fmt.Sprint(i)})
		}
		names := make([]string, m.many)
		for i := range names {
			names[i] = fmt.Sprint("many-", i%(m.many/2))
		}
		del := kmsg.NewPtrDeleteGroupsRequest()
		del.Groups = names[:m.many/5]
		return codesOf(m.ask(7, commitOf("many", "t", "", upTo(m.many)...)), m.ask(7, commitOf("many", "t", "", make([]int32, m.many)...)), m.ask(6, fetchOf("many", "t", upTo(m.many)...)),
			m.ask(4, leave), m.ask(4, describeOf(names...)), m.ask(1, del))
	}},
	{"a transaction of many partitions", func(m *misuse) []string {
		p := m.ask(1, initOf("wide", 60_000)).(*kmsg.InitProducerIDResponse)
		add := kmsg.NewPtrAddPartitionsToTxnRequest()
		add.TransactionalID, add.ProducerID, add.ProducerEpoch = "wide", p.ProducerID, p.ProducerEpoch
		add.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "t", Partitions: upTo(m.many)}}
		out := codesOf(p, m.ask(2, add))
		add.Topics[0].Partitions = make([]int32, m.many)
		return append(out, codesOf(m.ask(2, add))...)
	}},
	{"long transactional ids", func(m *misuse) (out []string) {
		for _, n := range []int{0, longest, longest + 1, 1 << 20} {
			id := strings.Repeat("x", n)
			out = append(out, fmt.Sprint(n, ":"))
			p := m.ask(2, initOf(id, 60_000))
			out = append(out, code(p))
			q, ok := p.(*kmsg.InitProducerIDResponse)
			if !ok {
				continue
			}
			add := kmsg.NewPtrAddPartitionsToTxnRequest()
			add.TransactionalID, add.ProducerID, add.ProducerEpoch = id, q.ProducerID, q.ProducerEpoch
			add.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "t", Partitions: []int32{0}}}
			offsets := kmsg.NewPtrAddOffsetsToTxnRequest()
			offsets.TransactionalID, offsets.ProducerID, offsets.ProducerEpoch, offsets.Group = id, q.ProducerID, q.ProducerEpoch, "g"
			end := kmsg.NewPtrEndTxnRequest()
			end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = id, q.ProducerID, q.ProducerEpoch, true
			c := m.dial()
			out = append(out, codesOf(m.on(c, 1, add), m.on(c, 1, offsets), m.on(c, 1, end))...)
		}
		return out
	}},
	{"EndTxn with wrong epochs", func(m *misuse) []string {
		p := m.ask(1, initOf("flooded", 60_000)).(*kmsg.InitProducerIDResponse)
		return []string{m.flood(2, 10_000, func(i int) kmsg.Request {
			end := kmsg.NewPtrEndTxnRequest()
			end.TransactionalID, end.ProducerID, end.ProducerEpoch = "flooded", p.ProducerID, int16(i%3+1)
			if i%3 == 0 {
				end.ProducerEpoch = -1
			}
			return end
		})}
	}},
	{"time-outs of transactions", func(m *misuse) (out []string) {
		for _, ms := range []int32{-1, 0, math.MinInt32, math.MaxInt32, 900_000, 900_001, 1} {
			out = append(out, code(m.ask(3, initOf("timed", ms))))
		}
		return out
	}},
	{"time-outs of members", func(m *misuse) (out []string) {
		for i, ms := range []int32{-1, 0, math.MinInt32, math.MaxInt32} {
			r := joinOf(fmt.Sprint("time", i), "")
			r.RebalanceTimeoutMillis = ms
			s := joinOf(fmt.Sprint("session", i), "")
			s.SessionTimeoutMillis = ms
			out = append(out, codesOf(m.ask(3, r), m.ask(3, s))...)
		}
		return out
	}},
}

// TestMisuse: what clients should not do to groups and transactions is answered as Apache Kafka answers it, and leaves nothing behind.
func TestMisuse(t *testing.T) {
	ctx := trouble(t, 8*time.Minute)
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	metrics := fmt.Sprint("127.0.0.1:", port)
	brokers := make([]*misuse, 2)
	for i, o := range []peer.Options{{Kind: peer.Kafka, Heap: "1g"}, {Kind: peer.Gregor, Config: map[string]string{"metrics.listener": metrics}}} {
		b := startBroker(t, ctx, o)
		createTopic(t, ctx, b, "t", 1, nil)
		m := &misuse{t: t, ctx: ctx, addr: b.Addr, kafka: o.Kind == peer.Kafka, many: 10_000}
		if full() {
			m.many = 100_000
		}
		m.coordinated()
		brokers[i] = m
	}
	goroutines, heap := inUse(t, ctx, metrics)
	for _, a := range abuses {
		kafka, gregor := a.do(brokers[0]), a.do(brokers[1])
		if len(kafka) > len(gregor) || !slices.Equal(kafka, gregor[:len(kafka)]) || slices.Contains(gregor, "nothing") || slices.Contains(gregor[len(kafka):], "closed") {
			t.Errorf("%s:\nkafka  %s\ngregor %s", a.name, strings.Join(kafka, "\n       "), strings.Join(gregor, "\n       "))
		}
	}
	eventually(t, ctx, 2*time.Minute, "the last members are forgotten", func() error {
		if g, h := inUse(t, ctx, metrics); g > goroutines+10 || h > heap+16<<20 {
			return fmt.Errorf("%d goroutines and %d bytes in use, %d and %d before", g, h, goroutines, heap)
		}
		return nil
	})
}

// coordinated waits until there are both coordinators.
func (m *misuse) coordinated() {
	eventually(m.t, m.ctx, 2*time.Minute, "both coordinators serve", func() error {
		find := kmsg.NewPtrFindCoordinatorRequest()
		m.ask(1, find)
		find.CoordinatorType = 1
		m.ask(1, find)
		d, _ := m.ask(3, describeOf("x")).(*kmsg.DescribeGroupsResponse)
		p, _ := m.ask(1, initOf("first", 1000)).(*kmsg.InitProducerIDResponse)
		if d == nil || d.Groups[0].ErrorCode != 0 || p == nil || p.ErrorCode != 0 {
			return fmt.Errorf("groups %+v, transactions %+v", d, p)
		}
		return nil
	})
}

// inUse is what a broker's profiles count: goroutines, and bytes of the heap after a collection.
func inUse(t *testing.T, ctx context.Context, metrics string) (goroutines, heap int) {
	t.Helper()
	for what, scan := range map[string]func(line string) error{
		"goroutine?debug=1": func(line string) error {
			_, err := fmt.Sscanf(line, "goroutine profile: total %d", &goroutines)
			return err
		},
		"heap?debug=1&gc=1": func(line string) error {
			n := 0
			_, err := fmt.Sscanf(line, "heap profile: %d: %d", &n, &heap)
			return err
		},
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metrics+"/debug/pprof/"+what, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err == nil {
			err = errors.Join(resp.Body.Close(), scan(string(b)))
		}
		if err != nil {
			t.Fatal(what, err)
		}
	}
	return goroutines, heap
}
