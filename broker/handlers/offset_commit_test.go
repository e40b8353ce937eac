package handlers

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"gregor/broker/metadata"
	"gregor/broker/server"
	"gregor/coordinator/group"
	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led"
	"gregor/internal/topicrules"
	"gregor/replication"
	"gregor/storage"
	"gregor/wire"
)

// partitionLog is a partition that the coordinator keeps its groups in.
type partitionLog struct {
	led.Log
	p *replication.Partition
}

func (l partitionLog) Append(batch []byte, acks int16, now time.Time) (first, last int64, err error) {
	info, err := l.p.Append(batch, acks, storage.FromCoordinator, now, nil)
	return info.FirstOffset, info.LastOffset, err
}
func (l partitionLog) Committed(offset int64) (bool, error) { return l.p.Replicated(offset) }
func (l partitionLog) WhenCommitted(offset int64, done func(error)) func() bool {
	return l.p.WhenReplicated(offset, done)
}
func (l partitionLog) Bounds() (start, end int64, err error) { return 0, 0, nil }

// known is a cluster that has one topic, t with 20 partitions.
func known() *metadata.Cache {
	c := metadata.New("cluster")
	u := kmsg.NewPtrUpdateMetadataRequest()
	u.SetVersion(6)
	u.LiveBrokers = []kmsg.UpdateMetadataRequestLiveBroker{{ID: self}}
	ts := kmsg.UpdateMetadataRequestTopicState{Topic: "t"}
	for p := range int32(20) {
		ts.PartitionStates = append(ts.PartitionStates, kmsg.UpdateMetadataRequestTopicPartition{Partition: p, Leader: self, Replicas: []int32{self}, ISR: []int32{self}})
	}
	u.TopicStates = append(u.TopicStates, ts)
	c.Apply(u)
	return c
}

// commitPlane is a server with a group coordinator on a partition that replicas, if any are named, have to follow.
type commitPlane struct {
	*plane
	c *group.Coordinator
}

func newCommitPlane(t testing.TB, isr ...int32) *commitPlane {
	pl := newPlane(t)
	pl.lead(topicrules.OffsetsTopic, 1, 0, isr...)
	p, err := pl.replicas.Lookup(topicrules.OffsetsTopic, 0)
	if err != nil {
		t.Fatal(err)
	}
	log, _ := test.NewNullLogger()
	c := group.New(group.Options{
		Groups:     fsm.Config{MinSession: 10, MaxSession: 1 << 30, MaxSize: 1 << 30, MaxMetadata: 4096, Retention: 7 * 24 * 3600 * 1000},
		Partitions: func() int32 { return 1 }, OffsetValue: 3, GroupValue: 3, Acks: -1, CommitTimeout: 5 * time.Second, LoadBuffer: 1 << 20,
		CheckInterval: time.Hour, Log: log, ErrorCode: ErrorCode,
	})
	t.Cleanup(c.Close)
	c.Lead(0, partitionLog{p: p})
	for c.Heartbeat("g", "nobody", nil, 1) != kerr.UnknownMemberID.Code { // until it is loaded: code 0
		runtime.Gosched()
	}
	h := &Groups{Coordinator: c, Metadata: known(), StaticMembers: true, MaxMetadata: 4096, Log: log}
	srv, err := server.New(server.Options{APIs: h.APIs(), Log: log, ErrorsOf: ErrorsOf, Metrics: server.NewMetrics(),
		Listeners: []server.ListenerConfig{{Name: "PLAINTEXT", Addr: "127.0.0.1:0"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	srv.Serve()
	t.Cleanup(func() { srv.Close() })
	pl.addr = srv.Addr("PLAINTEXT").String()
	return &commitPlane{pl, c}
}

func commitRequest(version int16, groupID string, topics ...string) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.SetVersion(version)
	req.Group, req.Generation = groupID, -1
	for i, topic := range topics {
		rt := kmsg.OffsetCommitRequestTopic{Topic: topic}
		for p := range int32(10) {
			text := fmt.Sprint("m", i)
			rt.Partitions = append(rt.Partitions, kmsg.OffsetCommitRequestTopicPartition{Partition: p, Offset: int64(p) + 100, LeaderEpoch: 3, Timestamp: -1, Metadata: &text})
		}
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func TestEveryVersionOfACommitIsAnsweredAsKmsgWould(t *testing.T) {
	pl := newCommitPlane(t)
	cl := pl.dial()
	for v := int16(1); v <= 8; v++ {
		id := fmt.Sprint("g", v)
		req := commitRequest(v, id, "unknown", "neither", "t")
		gone := req.Topics[2].Partitions[9]
		gone.Partition = 20
		long, wordy := strings.Repeat("x", 4097), gone
		wordy.Partition, wordy.Metadata = 12, &long
		req.Topics[2].Partitions = append(req.Topics[2].Partitions, gone, wordy)
		want := kmsg.NewPtrOffsetCommitResponse()
		want.SetVersion(v)
		for i, rt := range req.Topics {
			wt := kmsg.OffsetCommitResponseTopic{Topic: rt.Topic}
			for j, p := range rt.Partitions {
				wp := kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition}
				switch {
				case i < 2 || j == 10:
					wp.ErrorCode = kerr.UnknownTopicOrPartition.Code
				case j == 11:
					wp.ErrorCode = kerr.OffsetMetadataTooLarge.Code
				}
				wt.Partitions = append(wt.Partitions, wp)
			}
			want.Topics = append(want.Topics, wt)
		}
		cl.send(req)
		if got := cl.recv(req); !bytes.Equal(got.AppendTo(nil), want.AppendTo(nil)) {
			t.Errorf("version %d: %+v, want %+v", v, got, want)
		}
		list, code := pl.c.Fetch(id, nil, true, false)
		if code != 0 || len(list) != 10 {
			t.Fatalf("version %d: %d offsets, code %d", v, len(list), code)
		}
		for p, f := range list {
			wantEpoch, wantText := int32(-1), "m2"
			if v >= 6 {
				wantEpoch = 3
			}
			if f.Offset.Offset != int64(p)+100 || f.Offset.LeaderEpoch != wantEpoch || f.Offset.Metadata != wantText {
				t.Errorf("version %d, partition %d: %+v", v, p, f.Offset)
			}
		}
	}
}

// Of a partition that is named more than once the last mention counts, and it is answered once, where it was named first.
func TestACommitThatNamesPartitionsTwice(t *testing.T) {
	pl := newCommitPlane(t)
	cl := pl.dial()
	commit := func(p int32, offset int64) kmsg.OffsetCommitRequestTopicPartition {
		return kmsg.OffsetCommitRequestTopicPartition{Partition: p, Offset: offset}
	}
	req := commitRequest(7, "g", "t", "unknown", "t")
	req.Topics[0].Partitions = []kmsg.OffsetCommitRequestTopicPartition{commit(3, 1), commit(1, 2), commit(3, 3)}
	req.Topics[1].Partitions = nil
	req.Topics[2].Partitions = []kmsg.OffsetCommitRequestTopicPartition{commit(1, 4), commit(2, 5)}
	cl.send(req)
	resp := cl.recv(req).(*kmsg.OffsetCommitResponse)
	var answered []int32
	for _, p := range resp.Topics[0].Partitions {
		answered = append(answered, p.Partition)
	}
	if len(resp.Topics) != 1 || !slices.Equal(answered, []int32{3, 1, 2}) {
		t.Errorf("%+v", resp.Topics)
	}
	list, _ := pl.c.Fetch("g", nil, true, false)
	got := map[int32]int64{}
	for _, f := range list {
		got[f.Partition] = f.Offset.Offset
	}
	if want := map[int32]int64{1: 4, 2: 5, 3: 3}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// What a group keeps of a request must not lie in the request's bytes, which others write over.
func TestACommitKeepsNothingOfItsRequest(t *testing.T) {
	pl := newCommitPlane(t)
	cl := pl.dial()
	for i := range 50 {
		req := commitRequest(7, fmt.Sprint("group-", i), "t")
		cl.send(req)
		cl.recv(req)
	}
	for i := range 50 {
		list, code := pl.c.Fetch(fmt.Sprint("group-", i), nil, true, false)
		if code != 0 || len(list) != 10 || list[3].Topic != "t" || list[3].Offset.Metadata != "m0" {
			t.Fatalf("group-%d: code %d, %+v", i, code, list)
		}
	}
}

func TestCommitsThatWaitForAReplicaAreAnsweredInTheirOrder(t *testing.T) {
	pl := newCommitPlane(t, self, self+1)
	cl := pl.dial()
	p, err := pl.replicas.Lookup(topicrules.OffsetsTopic, 0)
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	var reqs []*kmsg.OffsetCommitRequest
	for i := range n {
		reqs = append(reqs, commitRequest(int16(1+i%8), "g", "t"))
		reqs[i].Topics[0].Partitions[0].Offset = int64(i)
		cl.send(reqs[i])
	}
	for p.Log().LogEndOffset() < n*10 {
		runtime.Gosched()
	}
	if list, _ := pl.c.Fetch("g", nil, true, false); len(list) != 0 {
		t.Fatalf("%d offsets count before their records are replicated", len(list))
	}
	p.FollowerFetched(self+1, n*10, 0, n*10, time.Now(), nil)
	for i := range n {
		resp := cl.recv(reqs[i]).(*kmsg.OffsetCommitResponse)
		if got := resp.Topics; len(got) != 1 || len(got[0].Partitions) != 10 || got[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("commit %d: %+v", i, got)
		}
	}
	if list, _ := pl.c.Fetch("g", nil, true, true); len(list) != 10 || list[0].Code != 0 || list[0].Offset.Offset != n-1 {
		t.Fatalf("the last commit does not count: %+v", list)
	}
}

// FuzzOffsetCommit: the decoder takes what kmsg takes after wire.Check, and sees the same in it.
func FuzzOffsetCommit(f *testing.F) {
	for v := int16(0); v <= 8; v++ {
		req := commitRequest(v, "g", "t", "u")
		text := "i"
		req.InstanceID, req.MemberID, req.RetentionTimeMillis = &text, "m", 7
		req.Topics[0].Partitions[1].Metadata = nil
		f.Add(v, req.AppendTo(nil))
	}
	h := &Groups{Metadata: known(), StaticMembers: true}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < 0 || version > 8 {
			return
		}
		r := &server.Request{Key: kmsg.OffsetCommit.Int16(), Version: version, Body: body, ReceivedAt: time.UnixMilli(1000)}
		op := newCommitOp(h, r)
		defer op.free()
		err := op.decode()
		want := kmsg.NewPtrOffsetCommitRequest()
		want.SetVersion(version)
		wantErr := wire.Check(r.Key, version, body)
		if wantErr == nil {
			wantErr = want.ReadFrom(body)
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, want %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if op.q.Group != want.Group || op.q.MemberID != want.MemberID || op.q.Generation != want.Generation || !reflect.DeepEqual(op.q.Instance, want.InstanceID) {
			t.Fatalf("%+v, want %+v", op.q, want)
		}
		if len(op.topics) != len(want.Topics) {
			t.Fatalf("%d topics, want %d", len(op.topics), len(want.Topics))
		}
		for i, rt := range want.Topics {
			parts := op.parts[op.topics[i].from:op.topics[i].to]
			if op.topics[i].name != rt.Topic || len(parts) != len(rt.Partitions) {
				t.Fatalf("topic %q with %d partitions, want %q with %d", op.topics[i].name, len(parts), rt.Topic, len(rt.Partitions))
			}
			for j := range rt.Partitions {
				compareCommit(t, op, &parts[j], want, rt.Topic, &rt.Partitions[j])
			}
		}
	})
}

func compareCommit(t *testing.T, op *commitOp, part *commitPart, req *kmsg.OffsetCommitRequest, topic string, p *kmsg.OffsetCommitRequestTopicPartition) {
	known := topic == "t" && p.Partition >= 0 && p.Partition < 20
	if part.partition != p.Partition || known != (part.at >= 0) || known != (part.code == 0) {
		t.Fatalf("%+v, want partition %d", part, p.Partition)
	}
	if !known {
		return
	}
	want := fsm.Commit{TP: fsm.TP{Topic: topic, Partition: p.Partition}, Offset: fsm.Offset{Offset: p.Offset, LeaderEpoch: -1, CommitTime: 1000, ExpireTime: -1}}
	if p.Metadata != nil {
		want.Offset.Metadata = *p.Metadata
	}
	if req.Version >= 6 {
		want.Offset.LeaderEpoch = p.LeaderEpoch
	}
	if req.Version == 1 && p.Timestamp != -1 {
		want.Offset.CommitTime = p.Timestamp
	}
	if req.Version >= 2 && req.Version <= 4 && req.RetentionTimeMillis != -1 {
		want.Offset.ExpireTime = 1000 + req.RetentionTimeMillis
	}
	if got := op.q.Commits[part.at]; got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

// commitFrame is a request of ten offsets, not in the order of their partitions, as it goes over the wire, and the length of its answer.
func commitFrame(groupID string) (frame []byte, answer int) {
	req := commitRequest(8, groupID, "t")
	slices.Reverse(req.Topics[0].Partitions)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 1), 4 + 4 + 1 + 4 + 1 + 2 + 1 + 10*7 + 1 + 1
}

// A commit of ten offsets, from its arrival at the connection to its answer, with its record in the log and committed.
func TestACommitAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("pools do not keep everything under the race detector")
	}
	pl := newCommitPlane(t)
	cl := pl.dial()
	frame, answer := commitFrame("g")
	resp := make([]byte, answer)
	once := func() {
		if _, err := cl.Write(frame); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(resp); {
			m, err := cl.Read(resp[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
	}
	once()
	if code := binary.BigEndian.Uint16(resp[len(resp)-4:]); code != 0 {
		t.Fatalf("code %d", code)
	}
	if n := testing.AllocsPerRun(500, once); n >= 1 {
		t.Errorf("a commit allocates %v times", n)
	}
}

// BenchmarkReplicatedCommit commits ten offsets, one request at a time, that a replica has to have.
func BenchmarkReplicatedCommit(b *testing.B) {
	pl := newCommitPlane(b, self, self+1)
	p, err := pl.replicas.Lookup(topicrules.OffsetsTopic, 0)
	if err != nil {
		b.Fatal(err)
	}
	fd := rawDial(b, pl.addr)
	frame, answer := commitFrame("g")
	resp := make([]byte, answer)
	var woken replication.Woken
	b.ReportAllocs()
	b.ResetTimer()
	for i := range int64(b.N) {
		rawAll(b, unix.Write, fd, frame)
		for p.Log().LogEndOffset() < (i+1)*10 {
			runtime.Gosched()
		}
		p.FollowerFetched(self+1, (i+1)*10, 0, (i+1)*10, time.Now(), &woken)
		for _, w := range woken.Waiters {
			w.Resume()
		}
		woken.Waiters = woken.Waiters[:0]
		rawAll(b, unix.Read, fd, resp)
	}
}

// BenchmarkOffsetCommit commits ten offsets at a time over 32 connections with one request in flight each. CPU is client and broker together.
func BenchmarkOffsetCommit(b *testing.B) {
	for _, conns := range []int{1, 32} {
		b.Run(fmt.Sprint("connections=", conns), func(b *testing.B) {
			pl := newCommitPlane(b)
			fds := make([]int, conns)
			for i := range fds {
				fds[i] = rawDial(b, pl.addr)
			}
			b.ReportAllocs()
			b.ResetTimer()
			begin := cpu()
			var wg sync.WaitGroup
			for i, fd := range fds {
				wg.Go(func() {
					frame, answer := commitFrame(fmt.Sprint("g", i))
					resp := make([]byte, answer)
					for n := i; n < b.N; n += conns {
						rawAll(b, unix.Write, fd, frame)
						rawAll(b, unix.Read, fd, resp)
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64((cpu()-begin).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}
