package handlers

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/coordinator/group"
	groupfsm "gregor/coordinator/group/fsm"
	"gregor/coordinator/led/ledtest"
	"gregor/coordinator/txn"
	"gregor/coordinator/txn/fsm"
	"gregor/internal/testcluster"
	"gregor/internal/vfs"
	"gregor/replication"
	"gregor/storage"
	"gregor/wire"
)

// What an input finds when its requests arrive: any of these.
const (
	hasMember     byte = 1 << iota // group t has a member t
	hasAssignment                  // which has its assignment
	hasInstance                    // and is static, as t
	hasTxn                         // producer 1, epoch 1, of the transactional id t has added t-1 and the offsets of group t
	hasTxnOffsets                  // and has committed an offset
	groupsHeld                     // what groups record is not replicated
	txnsHeld                       // nor what transactions do
	notLed                         // this broker is nobody's coordinator
)

// coordinators are the handlers of groups and transactions with real coordinators, whose logs are in memory, behind a server.
type coordinators struct {
	t                 testing.TB
	groups            *group.Coordinator
	txns              *txn.Coordinator
	groupLog, txnsLog ledtest.Log
	host              *testcluster.Host
}

// zkOffsets are the offsets of consumers from before there was a coordinator.
type zkOffsets struct{}

func (zkOffsets) SetConsumerOffset(context.Context, string, string, int32, int64) error { return nil }

func (zkOffsets) ConsumerOffset(context.Context, string, string, int32) (int64, bool, error) {
	return 1, true, nil
}

// ledReplicas leads partitions that nobody else has.
func ledReplicas(t testing.TB, parts ...storage.TopicPartition) *replication.Manager {
	log, _ := test.NewNullLogger()
	st, err := storage.Open(context.Background(), storage.Options{FS: vfs.NewMem(), Dirs: []string{"/d"}, BrokerID: self, Defaults: storage.DefaultConfig(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close(context.Background()) })
	m := replication.New(replication.Options{BrokerID: self, Logs: st, TopicConfig: func(string) storage.Config { return storage.DefaultConfig() },
		MinISR: func(string) int { return 1 }, Known: func(string, int32) bool { return false }, Log: log})
	req := &replication.LeaderAndIsr{}
	for _, tp := range parts {
		req.Partitions = append(req.Partitions, replication.PartitionState{TopicPartition: tp,
			State: replication.State{Leader: self, ISR: []int32{self}, Replicas: []int32{self}, IsNew: true}})
	}
	if err := m.BecomeLeaderOrFollower(req); err != nil {
		t.Fatal(err)
	}
	return m
}

// coordinatorAPIs puts the handlers together; c may be nil if only their table is wanted.
func coordinatorAPIs(t testing.TB, c *coordinators) []server.API {
	log, _ := test.NewNullLogger()
	a, cluster := fakeAdmin(t)
	for topic, partitions := range map[string]map[int32][]int32{"t": {0: {1}, 1: {1}}, offsetsTopic: {0: {1}}} {
		_ = cluster.CreateTopic(context.Background(), topic, partitions, nil)
	}
	cluster.done.Wait()
	replicas := ledReplicas(t, storage.TopicPartition{Topic: "t"}, storage.TopicPartition{Topic: "t", Partition: 1}, storage.TopicPartition{Topic: offsetsTopic})
	c.groups = group.New(group.Options{
		Groups:     groupfsm.Config{MinSession: 1, MaxSession: math.MaxInt32, InitialDelay: 3000, MaxSize: math.MaxInt32, MaxMetadata: 4096, Retention: math.MaxInt32},
		Partitions: func() int32 { return 1 }, OffsetValue: 3, GroupValue: 3, Acks: -1, CommitTimeout: 5 * time.Second, LoadBuffer: 5 << 20,
		CheckInterval: 24 * time.Hour, ErrorCode: ErrorCode, Log: log,
	})
	markers := &Markers{Replicas: replicas, Groups: c.groups, Timeout: 30 * time.Second, Log: log}
	ids := &InitProducerID{IDs: &idBlocks{}, BrokerID: self, Log: log}
	c.txns = txn.New(txn.Options{
		Txns: fsm.Config{MaxTimeout: 900_000, Expiration: math.MaxInt32}, Partitions: func() int32 { return 1 }, LoadBuffer: 5 << 20,
		AbortInterval: time.Hour, ExpireInterval: 24 * time.Hour, RequestTimeout: 30 * time.Second, ErrorCode: ErrorCode, NewProducerID: ids.Take, Log: log,
		Brokers: txn.Brokers{ID: self, Write: markers.Write,
			Leader: func(tp fsm.TP) (int32, bool) {
				_, known := a.Metadata.Partition(tp.Topic, tp.Partition)
				return self, known
			},
			Gone:     func(context.Context, fsm.TP) (bool, error) { return true, nil },
			Endpoint: func(int32) (string, bool) { return "", false },
		},
	})
	ids.Coordinator = c.txns
	groups := &Groups{Coordinator: c.groups, Metadata: a.Metadata, TxnPartition: c.txns.PartitionFor, CreateTopic: a.CreateInternalTopic,
		StaticMembers: true, Offsets0: zkOffsets{}, MaxMetadata: 4096, Log: log}
	var rows []server.API
	for _, h := range []interface{ APIs() []server.API }{groups, ids, &TransactionAdmin{Coordinator: c.txns, Replicas: replicas},
		&Transactions{Coordinator: c.txns, Groups: c.groups, Metadata: a.Metadata, Markers: markers, Log: log}} {
		rows = append(rows, h.APIs()...)
	}
	return rows
}

// newCoordinators must be called in a bubble.
func newCoordinators(t *testing.T, state byte) *coordinators {
	c := &coordinators{t: t}
	rows := coordinatorAPIs(t, c)
	log, _ := test.NewNullLogger()
	c.host = testcluster.New(1, func(*rand.Rand) time.Duration { return time.Millisecond }).Host("b")
	srv, err := server.New(server.Options{APIs: rows, Log: log, Listen: c.host.Listen, Metrics: server.NewMetrics(), ErrorsOf: ErrorsOf,
		Listeners: []server.ListenerConfig{{Name: "PLAINTEXT", Addr: "b:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	srv.Serve()
	go func() { _ = c.groups.Run(t.Context()) }()
	go func() { _ = c.txns.Run(t.Context()) }()
	t.Cleanup(func() { _ = srv.Close() })
	c.groups.Lead(0, &c.groupLog)
	c.txns.Lead(0, 1, &c.txnsLog)
	synctest.Wait()
	c.prepare(state)
	return c
}

func (c *coordinators) prepare(state byte) {
	name := "t"
	if state&hasMember != 0 {
		j := &groupfsm.Join{NewID: "t", Rebalance: 60_000, Session: 60_000, ProtocolType: "t", Protocols: []groupfsm.Protocol{{Name: "t"}}}
		if state&hasInstance != 0 {
			j.Instance = &name
		}
		joined := make(chan *groupfsm.JoinResult, 1)
		c.groups.Join("t", j, func(r *groupfsm.JoinResult) { joined <- r })
		if r := <-joined; r.Code != 0 || r.Generation != 1 {
			c.t.Fatalf("%+v", r)
		}
	}
	if state&hasMember != 0 && state&hasAssignment != 0 {
		synced := make(chan *groupfsm.SyncResult, 1)
		c.groups.Sync("t", &groupfsm.Sync{MemberID: "t", Generation: 1, Assignments: map[string][]byte{"t": []byte("x")}}, func(r *groupfsm.SyncResult) { synced <- r })
		if r := <-synced; r.Code != 0 {
			c.t.Fatalf("%+v", r)
		}
	}
	if state&hasTxn != 0 {
		c.begin(state&hasTxnOffsets != 0)
	}
	if state&groupsHeld != 0 {
		c.groupLog.Hold()
	}
	if state&txnsHeld != 0 {
		c.txnsLog.Hold()
	}
	if state&notLed != 0 {
		c.groups.Resign(0)
		c.txns.Resign(0)
	}
}

// begin begins a transaction of producer 1, epoch 1, as each number of the seeds is 1.
func (c *coordinators) begin(offsets bool) {
	var p fsm.Producer
	for id := range int64(2) { // the id t takes 1; its second producer has epoch 1
		name := "t"
		if id == 0 {
			name = "another"
		}
		for range id + 1 {
			c.txns.Init(c.t.Context(), name, 60_000, nil, func(r txn.InitResult) { p = r.Producer })
		}
	}
	want := fsm.Producer{ID: 1, Epoch: 1}
	parts := []fsm.TP{{Topic: "t", Partition: 1}, {Topic: offsetsTopic}}
	c.txns.AddPartitions("t", p, parts, func(code int16) {
		if code != 0 || p != want {
			c.t.Fatalf("%v: %d", p, code)
		}
	})
	if offsets {
		commits := []groupfsm.Commit{{TP: groupfsm.TP{Topic: "t", Partition: 1}, Offset: groupfsm.Offset{Offset: 1, LeaderEpoch: -1, ExpireTime: -1}}}
		c.groups.CommitTxn("t", "", nil, -1, groupfsm.Txn{Producer: p.ID, Epoch: p.Epoch}, commits, func() {})
	}
}

// asked is one request on a connection of its own.
type asked struct {
	key, version int16
	answer       chan error
	body         []byte
}

func (c *coordinators) ask(key, version int16, body []byte) *asked {
	conn, err := c.host.Dial(c.t.Context(), "tcp", "b:1")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	header := binary.BigEndian.AppendUint16(nil, uint16(key))
	header = binary.BigEndian.AppendUint16(header, uint16(version))
	header = append(header, 0, 0, 0, 7, 0xff, 0xff) // the correlation id, and no client id
	req := kmsg.RequestForKey(key)
	if req.SetVersion(version); req.IsFlexible() {
		header = append(header, 0)
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(header)+len(body)))
	if _, err := conn.Write(append(append(frame, header...), body...)); err != nil {
		c.t.Fatal(err)
	}
	a := &asked{key: key, version: version, answer: make(chan error, 1)}
	go func() { a.answer <- a.read(conn) }()
	return a
}

func (a *asked) read(conn net.Conn) error {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	a.body = make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(conn, a.body)
	return err
}

// longest is longer than any rebalance: its time-out has 31 bits of milliseconds.
const longest = 60 * 24 * time.Hour

// check waits for the answer, which must come, and be one that can be read.
func (a *asked) check(t *testing.T) {
	select {
	case err := <-a.answer:
		if err != nil {
			t.Fatalf("%s version %d was not answered: %v", wire.APIName(a.key), a.version, err)
		}
	case <-time.After(longest):
		t.Fatalf("%s version %d waits for ever", wire.APIName(a.key), a.version)
	}
	body := a.body[4:] // after the correlation id
	if wire.ResponseHeaderVersion(a.key, a.version) > 0 {
		body = body[1:]
	}
	resp := kmsg.ResponseForKey(a.key)
	resp.SetVersion(a.version)
	if err := resp.ReadFrom(body); err != nil {
		t.Fatalf("the answer to %s version %d: %v", wire.APIName(a.key), a.version, err)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
		t.Fatalf("the answer to %s version %d has %d bytes, and %d when it is encoded again", wire.APIName(a.key), a.version, len(body), len(again))
	}
}

// FuzzCoordinators: of two requests that the decoder takes, in any state of their group and transaction, each is answered, with something
// that can be read. JoinGroup and SyncGroup wait as long as their time-outs say, which is of no account: the clock is not a real one.
func FuzzCoordinators(f *testing.F) {
	table := map[int16]server.API{}
	for _, api := range coordinatorAPIs(f, new(coordinators)) {
		table[api.Key.Int16()] = api
	}
	served := func(key, version int16, body []byte) bool {
		api, ok := table[key]
		if !ok || version < api.MinVersion || version > api.MaxVersion || wire.Check(key, version, body) != nil {
			return false
		}
		msg := kmsg.RequestForKey(key)
		msg.SetVersion(version)
		return msg.ReadFrom(body) == nil
	}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.MemberID = "t", "t"
	for key, api := range table {
		for v := api.MinVersion; v <= api.MaxVersion; v++ {
			req := kmsg.RequestForKey(key)
			fill(reflect.ValueOf(req).Elem())
			req.SetVersion(v)
			for i, state := range []byte{0, hasMember, hasMember | hasAssignment | hasTxn | hasTxnOffsets, hasMember | hasAssignment | hasInstance | hasTxn,
				hasMember | hasTxn | groupsHeld | txnsHeld, notLed} {
				f.Add(state, byte(key), byte(v), req.AppendTo(nil), byte(kmsg.LeaveGroup), byte(0), leave.AppendTo(nil))
				if i == 2 {
					f.Add(state, byte(key), byte(v), req.AppendTo(nil), byte(key), byte(v), req.AppendTo(nil))
				}
			}
			for _, n := range []int64{-1, 0, math.MaxInt32} {
				each(reflect.ValueOf(req).Elem(), n)
				f.Add(hasMember|hasAssignment|hasTxn, byte(key), byte(v), req.AppendTo(nil), byte(0), byte(0), []byte(nil))
			}
		}
	}
	f.Fuzz(func(t *testing.T, state, key, v byte, body []byte, key2, v2 byte, body2 []byte) {
		if !served(int16(key), int16(v), body) {
			return
		}
		began := time.Now()
		synctest.Test(t, func(t *testing.T) {
			c := newCoordinators(t, state)
			first := c.ask(int16(key), int16(v), body)
			synctest.Wait()
			if served(int16(key2), int16(v2), body2) {
				c.ask(int16(key2), int16(v2), body2).check(t)
			}
			first.check(t)
		})
		if took := time.Since(began); took > 10*time.Second {
			t.Fatalf("%s version %d took %v", wire.APIName(int16(key)), v, took)
		}
	})
}
