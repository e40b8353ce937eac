package handlers

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/coordinator/txn"
	txnfsm "gregor/coordinator/txn/fsm"
	"gregor/replication"
	"gregor/storage"
	"gregor/wire/record"
)

// plane is the data plane of a broker, without a controller: tests send its requests themselves.
type plane struct {
	t        testing.TB
	logs     *test.Hook
	storage  *storage.Manager
	replicas *replication.Manager
	fetch    *Fetch
	server   *server.Server
	addr     string
	config   atomic.Pointer[storage.Config]
	minISR   atomic.Int32
	dir      string
	// completed gets the type of each completed request, as long as there is room.
	completed chan int16
}

const self int32 = 1

type noMetadata struct{ got []*kmsg.UpdateMetadataRequest }

func (m *noMetadata) Apply(r *kmsg.UpdateMetadataRequest) []storage.TopicPartition {
	m.got = append(m.got, r)
	return nil
}

type idBlocks struct{ next int64 }

func (b *idBlocks) ProducerIDBlock(context.Context, int32) (int64, int64, error) {
	b.next += 2
	return b.next - 2, b.next - 1, nil
}

func newPlane(t testing.TB) *plane {
	t.Helper()
	log, hook := test.NewNullLogger()
	log.SetLevel(logrus.InfoLevel)
	pl := &plane{t: t, logs: hook, dir: t.TempDir(), completed: make(chan int16, 16)}
	cfg := storage.DefaultConfig()
	pl.config.Store(&cfg)
	pl.minISR.Store(1)
	topicConfig := func(string) storage.Config { return *pl.config.Load() }
	var err error
	pl.storage, err = storage.Open(context.Background(), storage.Options{Dirs: []string{pl.dir}, BrokerID: self, Defaults: cfg,
		TopicConfig: topicConfig, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	// UNCOUNTED=1 lets benchmarks show what counting costs.
	counts := struct {
		requests *server.Metrics
		topics   *replication.Counters
		waiting  *Waiting
	}{server.NewMetrics(), &replication.Counters{}, &Waiting{}}
	if os.Getenv("UNCOUNTED") == "1" {
		counts.requests, counts.topics, counts.waiting = nil, nil, nil
	}
	pl.replicas = replication.New(replication.Options{Counters: counts.topics, BrokerID: self, Logs: pl.storage, TopicConfig: topicConfig,
		MinISR: func(string) int { return int(pl.minISR.Load()) },
		Known:  func(topic string, _ int32) bool { return topic == "elsewhere" }, Log: log})
	pl.fetch = NewFetch(pl.replicas, log, 0, 0)
	pl.fetch.Waiting = counts.waiting
	var rows []server.API
	for _, f := range []interface{ APIs() []server.API }{
		&Produce{Replicas: pl.replicas, Log: log, Waiting: counts.waiting}, pl.fetch, &ListOffsets{Replicas: pl.replicas, Log: log},
		&OffsetForLeaderEpoch{Replicas: pl.replicas}, &DeleteRecords{Replicas: pl.replicas, Log: log},
		&InitProducerID{IDs: &idBlocks{}, Coordinator: noTxns(), Log: log},
		&Control{Replicas: pl.replicas, Metadata: &noMetadata{}, BrokerEpoch: func() int64 { return 100 }, Log: log},
	} {
		rows = append(rows, f.APIs()...)
	}
	pl.server, err = server.New(server.Options{APIs: WithApiVersions(rows), Log: log, Metrics: counts.requests, ErrorsOf: ErrorsOf,
		Complete: func(c server.Completion) (int32, time.Duration) {
			select {
			case pl.completed <- c.Request.Key:
			default:
			}
			return 0, 0
		},
		Listeners: []server.ListenerConfig{{Name: "PLAINTEXT", Addr: "127.0.0.1:0"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := pl.server.Listen(); err != nil {
		t.Fatal(err)
	}
	pl.server.Serve()
	pl.addr = pl.server.Addr("PLAINTEXT").String()
	t.Cleanup(func() {
		pl.server.Close()
		pl.storage.Close(context.Background())
	})
	return pl
}

// lead makes this broker the leader of partitions 0 to n-1.
func (pl *plane) lead(topic string, n int32, epoch int32, isr ...int32) {
	pl.t.Helper()
	if isr == nil {
		isr = []int32{self}
	}
	req := &replication.LeaderAndIsr{}
	for i := range n {
		req.Partitions = append(req.Partitions, replication.PartitionState{
			TopicPartition: storage.TopicPartition{Topic: topic, Partition: i},
			State:          replication.State{Leader: self, LeaderEpoch: epoch, ISR: isr, Replicas: isr, IsNew: true}})
	}
	if err := pl.replicas.BecomeLeaderOrFollower(req); err != nil {
		pl.t.Fatal(err)
	}
	for _, p := range req.Partitions {
		if p.Err != nil {
			pl.t.Fatal(p.Err)
		}
	}
}

// client speaks to a plane, one message at a time or pipelined.
type client struct {
	t testing.TB
	*net.TCPConn
	corr int32
}

func (pl *plane) dial() *client {
	c, err := net.Dial("tcp", pl.addr)
	if err != nil {
		pl.t.Fatal(err)
	}
	pl.t.Cleanup(func() { c.Close() })
	return &client{t: pl.t, TCPConn: c.(*net.TCPConn)}
}

func (c *client) send(req kmsg.Request) {
	c.t.Helper()
	c.corr++
	if _, err := c.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, c.corr)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) recv(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		c.t.Fatalf("no response to %T: %v", req, err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	b = b[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != 18 {
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		c.t.Fatalf("response to %T version %d: %v", req, req.GetVersion(), err)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, b) {
		c.t.Fatalf("response to %T version %d has %d bytes, kmsg would write %d", req, req.GetVersion(), len(b), len(again))
	}
	return resp
}

func (c *client) call(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	c.send(req)
	return c.recv(req)
}

func (c *client) expectClosed() {
	c.t.Helper()
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		c.t.Fatal("the connection is still open")
	}
}

func batch(values ...string) []byte {
	b := record.NewBuilder()
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v))
	}
	out, err := b.Build()
	if err != nil {
		panic(err)
	}
	return out
}

func produceRequest(v int16, acks int16, topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = v, acks, 1000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func (c *client) produce(topic string, partition int32, values ...string) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	r := c.call(produceRequest(8, -1, topic, partition, batch(values...))).(*kmsg.ProduceResponse)
	return r.Topics[0].Partitions[0]
}

func TestProduceAnswersEveryVersion(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	for v := int16(0); v <= 8; v++ {
		for _, acks := range []int16{1, -1} {
			want, _ := pl.storage.Get(storage.TopicPartition{Topic: "t", Partition: 0})
			end := want.LogEndOffset()
			r := c.call(produceRequest(v, acks, "t", 0, batch("a", "b"))).(*kmsg.ProduceResponse)
			p := r.Topics[0].Partitions[0]
			if p.ErrorCode != 0 || p.BaseOffset != end {
				t.Errorf("v%d acks %d: error %d base offset %d, want %d", v, acks, p.ErrorCode, p.BaseOffset, end)
			}
			if v >= 5 && p.LogStartOffset != 0 {
				t.Errorf("v%d: log start %d", v, p.LogStartOffset)
			}
		}
	}
}

func transactionalBatch() []byte {
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = 7, 0, 0, true
	b.Append(1, nil, []byte("x"))
	out, _ := b.Build()
	return out
}

func TestProduceErrors(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	pl.lead("__consumer_offsets", 1, 0)
	badCRC := batch("x")
	badCRC[record.HeaderSize]++
	old := batch("x")
	old[16] = 1
	gap := batch("x")
	binary.BigEndian.PutUint64(gap, 5)
	for name, q := range map[string]struct {
		req  *kmsg.ProduceRequest
		code int16
	}{
		"unknown topic":    {produceRequest(8, 1, "nope", 0, batch("x")), 3},
		"not here":         {produceRequest(8, 1, "elsewhere", 0, batch("x")), 6},
		"acks":             {produceRequest(8, 2, "t", 0, batch("x")), 21},
		"acks, unknown":    {produceRequest(8, 2, "nope", 0, batch("x")), 3},
		"internal topic":   {produceRequest(8, 1, "__consumer_offsets", 0, batch("x")), 17},
		"internal, absent": {produceRequest(8, 1, "__transaction_state", 0, batch("x")), 3},
		"transactional":    {produceRequest(8, 1, "t", 0, transactionalBatch()), 53},
		"crc":              {produceRequest(8, 1, "t", 0, badCRC), 2},
		"old format in v3": {produceRequest(3, 1, "t", 0, old), 87},
		"base offset":      {produceRequest(8, 1, "t", 0, gap), 87},
		"two batches":      {produceRequest(8, 1, "t", 0, append(batch("x"), batch("y")...)), 87},
	} {
		r := pl.dial().call(q.req).(*kmsg.ProduceResponse)
		if p := r.Topics[0].Partitions[0]; p.ErrorCode != q.code || p.BaseOffset != -1 {
			t.Errorf("%s: error %d base offset %d, want %d", name, p.ErrorCode, p.BaseOffset, q.code)
		}
	}
	pl.minISR.Store(2)
	if p := pl.dial().produce("t", 0, "x"); p.ErrorCode != 19 {
		t.Errorf("too few in sync: error %d, want 19", p.ErrorCode)
	}
	if r := pl.dial().call(produceRequest(8, 1, "t", 0, batch("x"))).(*kmsg.ProduceResponse); r.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Error("acks=1 must not care for min.insync.replicas")
	}
}

func TestRecordsThatAreNoneCloseTheConnection(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	magic := batch("x")
	magic[16] = 9
	pl.logs.Reset()
	for name, records := range map[string][]byte{"null": nil, "empty": {}, "short": batch("x")[:30], "magic": magic} {
		c := pl.dial()
		c.send(produceRequest(8, 1, "t", 0, records))
		c.expectClosed()
		if len(pl.logs.AllEntries()) != 1 {
			t.Errorf("%s: log lines %v", name, pl.logs.AllEntries())
		}
		pl.logs.Reset()
	}
}

func TestProduceWithoutAcks(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	c.send(produceRequest(8, 0, "t", 0, batch("x")))
	if p := c.produce("t", 0, "y"); p.BaseOffset != 1 {
		t.Errorf("base offset %d after a silent one", p.BaseOffset)
	}
	c.send(produceRequest(8, 0, "nope", 0, batch("x")))
	c.expectClosed()
}

func TestProduceWaitsForReplicas(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0, self, 2)
	c := pl.dial()
	c.send(produceRequest(8, -1, "t", 0, batch("x")))
	// The follower fetches from the end: the record is replicated.
	f := pl.dial()
	fr := fetchRequest(11, "t", 0, 0)
	fr.ReplicaID = 2
	if got := f.call(fr).(*kmsg.FetchResponse).Topics[0].Partitions[0]; got.ErrorCode != 0 || len(got.RecordBatches) == 0 {
		t.Fatalf("follower got %+v", got)
	}
	fr.Topics[0].Partitions[0].FetchOffset = 1
	fr.MaxWaitMillis = 0
	f.call(fr)
	if p := c.recv(produceRequest(8, -1, "t", 0, nil)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Fatalf("%+v", p)
	}
	// Nobody follows: the time is over.
	q := produceRequest(8, -1, "t", 0, batch("y"))
	q.TimeoutMillis = 20
	if p := c.call(q).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 7 {
		t.Fatalf("%+v", p)
	}
	// The leader is deposed while a request waits.
	q = produceRequest(8, -1, "t", 0, batch("z"))
	q.TimeoutMillis = 60_000
	c.send(q)
	log, _ := pl.storage.Get(storage.TopicPartition{Topic: "t"})
	for log.LogEndOffset() < 3 {
		f.call(fr)
	}
	pl.replicas.BecomeLeaderOrFollower(&replication.LeaderAndIsr{Partitions: []replication.PartitionState{{
		TopicPartition: storage.TopicPartition{Topic: "t"}, State: replication.State{Leader: 2, LeaderEpoch: 1, ISR: []int32{2}, Replicas: []int32{1, 2}}}}})
	if p := c.recv(q).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 6 {
		t.Fatalf("%+v", p)
	}
}

func TestApiVersions(t *testing.T) {
	pl := newPlane(t)
	c := pl.dial()
	for v := int16(0); v <= 3; v++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = v, "a", "1"
		r := c.call(req).(*kmsg.ApiVersionsResponse)
		if r.ErrorCode != 0 || len(r.ApiKeys) != 10 || r.ApiKeys[0].MaxVersion != 8 {
			t.Errorf("v%d: %+v", v, r)
		}
	}
	bad := kmsg.NewPtrApiVersionsRequest()
	bad.Version, bad.ClientSoftwareName = 3, "-x"
	if r := c.call(bad).(*kmsg.ApiVersionsResponse); r.ErrorCode != 42 {
		t.Errorf("software name: %+v", r)
	}
	future := kmsg.NewPtrApiVersionsRequest()
	future.Version = 4
	c.send(future)
	future.Version = 0
	if r := c.recv(future).(*kmsg.ApiVersionsResponse); r.ErrorCode != 35 || len(r.ApiKeys) != 1 || r.ApiKeys[0].MaxVersion != 3 {
		t.Errorf("future version: %+v", r)
	}
}

func TestInitProducerID(t *testing.T) {
	c := newPlane(t).dial()
	for v := int16(0); v <= 4; v++ {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version = v
		if r := c.call(req).(*kmsg.InitProducerIDResponse); r.ErrorCode != 0 || r.ProducerID != int64(v) || r.ProducerEpoch != 0 {
			t.Errorf("v%d: %+v", v, r)
		}
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 4, kmsg.StringPtr("x"), 1000
	if r := c.call(req).(*kmsg.InitProducerIDResponse); r.ErrorCode != 16 {
		t.Errorf("a broker that leads no partition of __transaction_state says %+v", r)
	}
}

// noTxns is a transaction coordinator that leads nothing.
func noTxns() *txn.Coordinator {
	return txn.New(txn.Options{Txns: txnfsm.Config{MaxTimeout: 900_000}, Partitions: func() int32 { return 50 }})
}

func TestListOffsetsDeleteRecordsAndEpochs(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 3)
	c := pl.dial()
	c.produce("t", 0, "a", "b", "c")
	list := func(v int16, ts int64, epoch int32) kmsg.ListOffsetsResponseTopicPartition {
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version, req.ReplicaID = v, -1
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Timestamp, rp.CurrentLeaderEpoch, rp.MaxNumOffsets = ts, epoch, 10
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return c.call(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	}
	for v := int16(1); v <= 5; v++ {
		if p := list(v, -1, -1); p.ErrorCode != 0 || p.Offset != 3 {
			t.Errorf("v%d latest: %+v", v, p)
		}
		if p := list(v, -2, -1); p.ErrorCode != 0 || p.Offset != 0 {
			t.Errorf("v%d earliest: %+v", v, p)
		}
		if p := list(v, time.Now().UnixMilli()+10_000, -1); p.ErrorCode != 0 || p.Offset != -1 {
			t.Errorf("v%d future: %+v", v, p)
		}
	}
	if p := list(0, -1, -1); len(p.OldStyleOffsets) != 2 || p.OldStyleOffsets[0] != 3 || p.OldStyleOffsets[1] != 0 {
		t.Errorf("v0: %+v", p)
	}
	if p := list(4, -1, 2); p.ErrorCode != 74 {
		t.Errorf("old epoch: %+v", p)
	}
	if p := list(4, -1, 4); p.ErrorCode != 75 {
		t.Errorf("future epoch: %+v", p)
	}

	del := func(off int64) kmsg.DeleteRecordsResponseTopicPartition {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version, req.TimeoutMillis = 2, 100
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewDeleteRecordsRequestTopicPartition()
		rp.Offset = off
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return c.call(req).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
	}
	if p := del(2); p.ErrorCode != 0 || p.LowWatermark != 2 {
		t.Errorf("delete: %+v", p)
	}
	if p := del(9); p.ErrorCode != 1 {
		t.Errorf("delete past the end: %+v", p)
	}
	if p := del(-1); p.ErrorCode != 0 || p.LowWatermark != 3 {
		t.Errorf("delete all: %+v", p)
	}
	if p := list(5, -2, -1); p.Offset != 3 {
		t.Errorf("earliest after deletion: %+v", p)
	}

	for v := int16(0); v <= 3; v++ {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.Version = v
		rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.CurrentLeaderEpoch, rp.LeaderEpoch = 3, 3
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		if p := c.call(req).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.EndOffset != 3 || (v >= 1 && p.LeaderEpoch != 3) {
			t.Errorf("v%d: %+v", v, p)
		}
	}
}

func TestControllerRequests(t *testing.T) {
	pl := newPlane(t)
	c := pl.dial()
	lead := func(v int16, controllerEpoch, leaderEpoch int32, brokerEpoch int64) *kmsg.LeaderAndISRResponse {
		req := kmsg.NewPtrLeaderAndISRRequest()
		req.Version, req.ControllerEpoch, req.BrokerEpoch = v, controllerEpoch, brokerEpoch
		p := kmsg.NewLeaderAndISRRequestTopicPartition()
		p.Topic, p.Leader, p.LeaderEpoch, p.ISR, p.Replicas, p.IsNew = "t", self, leaderEpoch, []int32{self}, []int32{self}, true
		if v < 2 {
			req.PartitionStates = append(req.PartitionStates, p)
		} else {
			ts := kmsg.NewLeaderAndISRRequestTopicState()
			ts.Topic, ts.PartitionStates = "t", []kmsg.LeaderAndISRRequestTopicPartition{p}
			req.TopicStates = append(req.TopicStates, ts)
		}
		return c.call(req).(*kmsg.LeaderAndISRResponse)
	}
	for v := int16(0); v <= 4; v++ {
		if r := lead(v, 1, int32(v), 100); r.ErrorCode != 0 || r.Partitions[0].ErrorCode != 0 || r.Partitions[0].Topic != "t" {
			t.Errorf("v%d: %+v", v, r)
		}
	}
	if r := lead(4, 1, 4, 100); r.ErrorCode != 0 || r.Partitions[0].ErrorCode != 11 {
		t.Errorf("the same leader epoch again: %+v", r)
	}
	if r := lead(4, 0, 9, 100); r.ErrorCode != 11 || r.Partitions[0].ErrorCode != 11 {
		t.Errorf("older controller: %+v", r)
	}
	if r := lead(4, 1, 9, 99); r.ErrorCode != 77 {
		t.Errorf("older broker epoch: %+v", r)
	}
	if p := c.produce("t", 0, "x"); p.ErrorCode != 0 {
		t.Errorf("%+v", p)
	}

	update := kmsg.NewPtrUpdateMetadataRequest()
	update.ControllerEpoch, update.BrokerEpoch = 2, 100
	for v := int16(0); v <= 6; v++ {
		update.Version = v
		if r := c.call(update).(*kmsg.UpdateMetadataResponse); r.ErrorCode != 0 {
			t.Errorf("v%d: %+v", v, r)
		}
	}
	update.ControllerEpoch = 1
	if r := c.call(update).(*kmsg.UpdateMetadataResponse); r.ErrorCode != 11 {
		t.Errorf("older controller: %+v", r)
	}

	stop := kmsg.NewPtrStopReplicaRequest()
	stop.ControllerEpoch, stop.BrokerEpoch = 2, 100
	st := kmsg.NewStopReplicaRequestTopic()
	st.Topic, st.Partitions = "t", []int32{0}
	sp := kmsg.NewStopReplicaRequestTopicPartitionState()
	sp.LeaderEpoch = 3
	st.PartitionStates = append(st.PartitionStates, sp)
	stop.Topics = append(stop.Topics, st)
	stop.Version = 3
	if r := c.call(stop).(*kmsg.StopReplicaResponse); r.Partitions[0].ErrorCode != 74 {
		t.Errorf("older leader epoch: %+v", r)
	}
	for v := int16(0); v <= 2; v++ {
		stop.Version, stop.DeletePartitions = v, v == 2
		if r := c.call(stop).(*kmsg.StopReplicaResponse); r.ErrorCode != 0 || r.Partitions[0].ErrorCode != 0 {
			t.Errorf("v%d: %+v", v, r)
		}
	}
	if p := c.produce("t", 0, "x"); p.ErrorCode != 3 {
		t.Errorf("after deletion: %+v", p)
	}
}

func TestFailedDirectoryTakesItsPartitionsOffline(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	c.produce("t", 0, "x")
	waiting := pl.dial()
	req := fetchRequest(11, "t", 0, 1)
	req.MaxWaitMillis = 60_000
	waiting.send(req)
	pl.replicas.DirFailed(pl.dir)
	if p := waiting.recv(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 56 {
		t.Errorf("fetch: %+v", p)
	}
	if p := c.produce("t", 0, "x"); p.ErrorCode != 56 {
		t.Errorf("produce: %+v", p)
	}
	if p := c.call(fetchRequest(4, "t", 0, 0)).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 6 {
		t.Errorf("old clients do not know the storage error: %+v", p)
	}
}
