package controller

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/zkmeta"
)

// fakeBroker is registered, answers control requests, and remembers what it was told.
type fakeBroker struct {
	id    int32
	zk    *zkmeta.Client
	ln    net.Listener
	epoch int64

	mu      sync.Mutex
	roles   map[string]kmsg.LeaderAndISRRequestTopicPartition
	meta    map[string]kmsg.UpdateMetadataRequestTopicPartition
	deleted map[string]bool
	brokers int
	epochs  []int32 // controller epochs seen
	refuse  int16   // the code for StopReplica
	change  chan struct{}
}

func startFake(t testing.TB, connect string, id int32) *fakeBroker {
	t.Helper()
	zk, err := zkmeta.Dial(t.Context(), zkmeta.Options{Connect: connect})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeBroker{id: id, zk: zk, ln: ln, roles: map[string]kmsg.LeaderAndISRRequestTopicPartition{},
		meta: map[string]kmsg.UpdateMetadataRequestTopicPartition{}, deleted: map[string]bool{}, change: make(chan struct{})}
	if err := zk.EnsurePaths(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.register(t)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go f.serve(conn)
		}
	}()
	t.Cleanup(f.kill)
	return f
}

func (f *fakeBroker) register(t testing.TB) {
	addr := f.ln.Addr().(*net.TCPAddr)
	epoch, err := f.zk.RegisterBroker(t.Context(), zkmeta.BrokerInfo{ID: f.id, JmxPort: -1,
		Endpoints: []zkmeta.Endpoint{{Listener: "INTERNAL", Protocol: "PLAINTEXT", Host: "127.0.0.1", Port: int32(addr.Port)}}})
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.epoch = epoch
	f.mu.Unlock()
}

func (f *fakeBroker) kill() {
	_ = f.ln.Close()
	f.zk.Close()
}

func (f *fakeBroker) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		var head [12]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[:])-8)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		req := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(head[4:])))
		req.SetVersion(int16(binary.BigEndian.Uint16(head[6:])))
		skip := 2 + int(binary.BigEndian.Uint16(body)) // client id
		if req.IsFlexible() {
			skip++
		}
		if err := req.ReadFrom(body[skip:]); err != nil {
			return
		}
		resp := f.answer(req)
		resp.SetVersion(req.GetVersion())
		out := append(make([]byte, 4, 64), head[8:12]...)
		if req.IsFlexible() {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func (f *fakeBroker) answer(req kmsg.Request) kmsg.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { close(f.change); f.change = make(chan struct{}) }()
	switch req := req.(type) {
	case *kmsg.LeaderAndISRRequest:
		f.epochs = append(f.epochs, req.ControllerEpoch)
		resp := &kmsg.LeaderAndISRResponse{}
		for _, ts := range req.TopicStates {
			for _, p := range ts.PartitionStates {
				f.roles[fmt.Sprintf("%s-%d", ts.Topic, p.Partition)] = p
				resp.Partitions = append(resp.Partitions, kmsg.LeaderAndISRResponseTopicPartition{Topic: ts.Topic, Partition: p.Partition})
			}
		}
		if req.BrokerEpoch != f.epoch {
			resp.ErrorCode = 77
		}
		return resp
	case *kmsg.UpdateMetadataRequest:
		f.brokers = len(req.LiveBrokers)
		for _, ts := range req.TopicStates {
			for _, p := range ts.PartitionStates {
				key := fmt.Sprintf("%s-%d", ts.Topic, p.Partition)
				if p.Leader == -2 {
					delete(f.meta, key)
				} else {
					f.meta[key] = p
				}
			}
		}
		return &kmsg.UpdateMetadataResponse{}
	case *kmsg.StopReplicaRequest:
		resp := &kmsg.StopReplicaResponse{}
		for _, ts := range req.Topics {
			for _, p := range ts.PartitionStates {
				key := fmt.Sprintf("%s-%d", ts.Topic, p.Partition)
				if p.Delete && f.refuse == 0 {
					f.deleted[key] = true
					delete(f.roles, key)
				}
				resp.Partitions = append(resp.Partitions, kmsg.StopReplicaResponsePartition{Topic: ts.Topic, Partition: p.Partition, ErrorCode: f.refuse})
			}
		}
		return resp
	}
	panic("unexpected request")
}

// until waits until ok, which is called with the broker's lock held.
func (f *fakeBroker) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.After(60 * time.Second)
	for {
		f.mu.Lock()
		done, change := ok(), f.change
		f.mu.Unlock()
		if done {
			return
		}
		select {
		case <-change:
		case <-limit:
			t.Fatalf("broker %d: not in time: %s", f.id, what)
		}
	}
}

func (f *fakeBroker) leads(topic string, partitions int) func() bool {
	return func() bool {
		n := 0
		for k, m := range f.meta {
			if strings.HasPrefix(k, topic+"-") && m.Leader == f.id && f.roles[k].Leader == f.id {
				n++
			}
		}
		return n == partitions
	}
}

func runController(t testing.TB, f *fakeBroker) (c *Controller, stop func()) {
	t.Helper()
	c = New(Options{ZK: f.zk, BrokerID: f.id, Config: Config{DeleteTopics: true, Listener: "INTERNAL"}, Log: testLog(t)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { _ = c.Run(ctx); close(done) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return c, stop
}
