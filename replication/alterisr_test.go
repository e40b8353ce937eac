package replication

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/storage"
)

// answerAlterIsr serves one request on a connection: every change is granted.
func answerAlterIsr(t *testing.T, ln net.Listener) {
	conn, err := ln.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		t.Error(err)
		return
	}
	body := make([]byte, binary.BigEndian.Uint32(head))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Error(err)
		return
	}
	req := kmsg.NewPtrAlterPartitionRequest()
	client := int(binary.BigEndian.Uint16(body[8:]))
	if err := req.ReadFrom(body[10+client+1:]); err != nil {
		t.Error(err)
		return
	}
	resp := kmsg.NewPtrAlterPartitionResponse()
	for _, in := range req.Topics {
		out := kmsg.NewAlterPartitionResponseTopic()
		out.Topic = in.Topic
		for _, p := range in.Partitions {
			rp := kmsg.NewAlterPartitionResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.ISR, rp.PartitionEpoch = p.Partition, p.LeaderEpoch, p.NewISR, p.PartitionEpoch+1
			out.Partitions = append(out.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, out)
	}
	frame := append([]byte{0, 0, 0, 0}, body[4:8]...)
	frame = resp.AppendTo(append(frame, 0))
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	if _, err := conn.Write(frame); err != nil {
		t.Error(err)
	}
}

// A controller that was paused or cut off never answers: its successor is asked, long before the request times out. Of two wishes for a
// partition, of which the first belongs to a leadership that is over, only the second is asked for.
func TestAlterIsrGoesToTheNextController(t *testing.T) {
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		return ln
	}
	silent, next := listen(), listen()
	var controller atomic.Value
	controller.Store(silent.Addr().String())
	log, _ := test.NewNullLogger()
	a := NewAlterISR(AlterISROptions{BrokerID: self, BrokerEpoch: func() int64 { return 1 }, Dial: (&net.Dialer{}).DialContext, Log: log,
		Controller: func() (string, bool) { return controller.Load().(string), true }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	tp := storage.TopicPartition{Topic: "t"}
	got := make(chan ISRAnswer, 2)
	a.Propose(ISRChange{TopicPartition: tp, LeaderEpoch: 1, ISR: []int32{self}}, func(ISRAnswer) { t.Error("a wish of a former leadership was answered") })
	a.Propose(ISRChange{TopicPartition: tp, LeaderEpoch: 2, ISR: []int32{self, 2}, Version: 7}, func(ans ISRAnswer) { got <- ans })
	go func() { defer close(ended); a.Run(ctx) }()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 20)); err != nil { // it has the request
		t.Fatal(err)
	}
	controller.Store(next.Addr().String())
	answerAlterIsr(t, next)
	if ans := <-got; ans.LeaderEpoch != 2 || ans.Version != 8 || len(ans.ISR) != 2 {
		t.Errorf("%+v", ans)
	}
	cancel()
	<-ended
	conn.Close()
}
