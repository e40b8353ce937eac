package handlers

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"gregor/broker/server"
	"gregor/coordinator/group"
	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led/ledtest"
)

// benchMembers is how many members the group of BenchmarkRebalance has.
const benchMembers = 1000

// benchGroup is a group whose members have a connection each.
type benchGroup struct {
	b            *testing.B
	fds          []int
	joins, syncs [][]byte // whole frames
	buf          []byte
	beat         []byte // of the second
	genAt        int    // where a SyncGroup or a Heartbeat has its generation
}

func newBenchGroup(b *testing.B) *benchGroup {
	log := logrus.New()
	log.SetOutput(io.Discard)
	coordinator := group.New(group.Options{
		Groups:     fsm.Config{MinSession: 10, MaxSession: 1 << 30, MaxSize: 1 << 30, MaxMetadata: 4096, Retention: 1 << 40},
		Partitions: func() int32 { return 1 }, OffsetValue: 3, GroupValue: 3, Acks: -1, CommitTimeout: 5 * time.Second, LoadBuffer: 5 << 20,
		CheckInterval: 10 * time.Minute, Log: log, ErrorCode: ErrorCode,
	})
	coordinator.Lead(0, new(ledtest.Log))
	go func() { _ = coordinator.Run(b.Context()) }()
	h := &Groups{Coordinator: coordinator, StaticMembers: true, Log: log}
	s, err := server.New(server.Options{APIs: WithApiVersions(h.APIs()), Log: log, Metrics: server.NewMetrics(), ErrorsOf: ErrorsOf,
		Listeners: []server.ListenerConfig{{Name: "PLAINTEXT", Addr: "127.0.0.1:0"}}})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		b.Fatal(err)
	}
	s.Serve()
	b.Cleanup(func() { s.Close() })
	g := &benchGroup{b: b, buf: make([]byte, 1<<20), genAt: 4 + 2 + 2 + 4 + 2 + len("bench") + 2 + len("g")}
	for range benchMembers {
		g.fds = append(g.fds, rawDial(b, s.Addr("PLAINTEXT").String()))
	}
	return g
}

func (g *benchGroup) frame(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 1)
}

func (g *benchGroup) join(id string) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version, meta.Topics = 1, []string{"shared"}
	meta.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "shared", Partitions: make([]int32, 10)}}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType = 5, "g", id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 300_000, 300_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: meta.AppendTo(nil)}}
	return g.frame(req)
}

// answer reads the answer of a member from behind its size.
func (g *benchGroup) answer(member int) []byte {
	rawAll(g.b, unix.Read, g.fds[member], g.buf[:4])
	n := int(binary.BigEndian.Uint32(g.buf))
	rawAll(g.b, unix.Read, g.fds[member], g.buf[:n])
	return g.buf[4:n]
}

func errorOf(answer []byte) *kerr.Error {
	return kerr.TypedErrorForCode(int16(binary.BigEndian.Uint16(answer[4:])))
}

// fine is answer, which must be without an error.
func (g *benchGroup) fine(member int) []byte {
	a := g.answer(member)
	if err := errorOf(a); err != nil {
		g.b.Fatalf("member %d: %v", member, err)
	}
	return a
}

// gather makes the members: each gets an id, which its requests are made of.
func (g *benchGroup) gather() {
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group = 3, "g"
	var assignments []kmsg.SyncGroupRequestGroupAssignment
	for i := range g.fds {
		rawAll(g.b, unix.Write, g.fds[i], g.join(""))
		var resp kmsg.JoinGroupResponse
		resp.Version = 5
		if err := resp.ReadFrom(g.answer(i)); err != nil {
			g.b.Fatal(err)
		}
		g.joins = append(g.joins, g.join(resp.MemberID))
		sync.MemberID = resp.MemberID
		g.syncs = append(g.syncs, g.frame(sync))
		assignments = append(assignments, kmsg.SyncGroupRequestGroupAssignment{MemberID: resp.MemberID, MemberAssignment: make([]byte, 64)})
	}
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Version, beat.Group, beat.MemberID = 3, "g", assignments[1].MemberID
	g.beat = g.frame(beat)
	sync.MemberID, sync.GroupAssignment = assignments[0].MemberID, assignments
	g.syncs[0] = g.frame(sync)
}

// alone has the first member join and synchronise: it leads those who come later.
func (g *benchGroup) alone() {
	rawAll(g.b, unix.Write, g.fds[0], g.joins[0])
	copy(g.syncs[0][g.genAt:], g.fine(0)[6:10])
	rawAll(g.b, unix.Write, g.fds[0], g.syncs[0])
	g.fine(0)
}

// rebalance has the leader join, and the others when one of them is told; then all synchronise.
func (g *benchGroup) rebalance(told bool) {
	rawAll(g.b, unix.Write, g.fds[0], g.joins[0])
	for !told {
		rawAll(g.b, unix.Write, g.fds[1], g.beat)
		told = errorOf(g.answer(1)) == kerr.RebalanceInProgress
	}
	for i, fd := range g.fds[1:] {
		rawAll(g.b, unix.Write, fd, g.joins[1+i])
	}
	for i := range g.fds {
		copy(g.syncs[i][g.genAt:], g.fine(i)[6:10])
	}
	copy(g.beat[g.genAt:], g.syncs[1][g.genAt:g.genAt+4])
	for i, fd := range g.fds {
		rawAll(g.b, unix.Write, fd, g.syncs[i])
	}
	for i := range g.fds {
		g.fine(i)
	}
}

// BenchmarkRebalance is a group of 1,000 members that all join and synchronise again. CPU is clients and broker together; nothing but the broker
// allocates.
func BenchmarkRebalance(b *testing.B) {
	g := newBenchGroup(b)
	g.gather()
	g.alone()
	g.rebalance(true)
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	for range b.N {
		g.rebalance(false)
	}
	b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
}
