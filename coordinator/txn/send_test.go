package txn

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/coordinator/led/ledtest"
	"gregor/coordinator/txn/fsm"
)

// remote is another broker: it answers WriteTxnMarkers with what answer says, or not at all.
type remote struct {
	answer   func(m *kmsg.WriteTxnMarkersRequestMarker, tp fsm.TP) int16
	cut      int  // connections that end when the next request has come
	silent   bool // requests are read and not answered
	dials    int
	requests int
	got      []kmsg.WriteTxnMarkersRequestMarker
	// states answer DescribeTransactions; nil: the request is not known here, and the connection ends.
	states map[string]kmsg.DescribeTransactionsResponseTransactionState
	asked  []string
}

func (r *remote) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, frame); err != nil {
			return
		}
		r.requests++
		if binary.BigEndian.Uint16(frame) == 65 {
			out, ok := r.describe(frame)
			if !ok {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
			continue
		}
		body := frame[10+int(binary.BigEndian.Uint16(frame[8:])):]
		req := kmsg.NewPtrWriteTxnMarkersRequest()
		if err := req.ReadFrom(body); err != nil {
			return
		}
		if r.silent {
			continue
		}
		if r.cut > 0 {
			r.cut--
			return
		}
		out := append([]byte{0, 0, 0, 0}, frame[4:8]...)
		out = r.respond(req).AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func (r *remote) describe(frame []byte) ([]byte, bool) {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	if err := req.ReadFrom(frame[11+int(binary.BigEndian.Uint16(frame[8:])):]); err != nil || r.states == nil {
		return nil, false
	}
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	for _, id := range req.TransactionalIDs {
		r.asked = append(r.asked, id)
		s, ok := r.states[id]
		if !ok {
			s.ErrorCode = kerr.TransactionalIDNotFound.Code
		}
		s.TransactionalID = id
		resp.TransactionStates = append(resp.TransactionStates, s)
	}
	out := append([]byte{0, 0, 0, 0}, frame[4:8]...)
	out = resp.AppendTo(append(out, 0))
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out, true
}

func (r *remote) respond(req *kmsg.WriteTxnMarkersRequest) *kmsg.WriteTxnMarkersResponse {
	resp := kmsg.NewPtrWriteTxnMarkersResponse()
	for i := range req.Markers {
		m := &req.Markers[i]
		r.got = append(r.got, *m)
		rm := kmsg.NewWriteTxnMarkersResponseMarker()
		rm.ProducerID = m.ProducerID
		for _, t := range m.Topics {
			rt := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				code := int16(0)
				if r.answer != nil {
					code = r.answer(m, tp(t.Topic, p))
				}
				rt.Partitions = append(rt.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: p, ErrorCode: code})
			}
			rm.Topics = append(rm.Topics, rt)
		}
		resp.Markers = append(resp.Markers, rm)
	}
	return resp
}

// connect makes brokers 2 and 3 reachable.
func (c *cluster) connect(two, three *remote) {
	c.addrs[2], c.addrs[3] = "two", "three"
	brokers := map[string]*remote{"two": two, "three": three}
	c.dial = func(_ context.Context, _, addr string) (net.Conn, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		r := brokers[addr]
		if r == nil {
			return nil, errors.New("nobody listens")
		}
		r.dials++
		mine, theirs := net.Pipe()
		go r.serve(theirs)
		return mine, nil
	}
}

func TestMarkersGoToTheLeadersOfTheirPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl, two, three := newCluster(), new(remote), new(remote)
		cl.connect(two, three)
		cl.lead(1, tp("t", 0))
		cl.lead(2, tp("t", 1), tp("u", 0))
		cl.lead(3, tp("t", 2))
		c, stop := start(t, testOptions(cl), new(ledtest.Log))
		defer stop()
		for _, id := range []string{"a", "b"} {
			p := begin(t, c, id)
			add(c, id, p, tp("t", 0), tp("t", 1), tp("t", 2), tp("u", 0))
			end(c, id, p, true)
		}
		synctest.Wait()
		for _, id := range []string{"a", "b"} {
			if d := c.Describe(id); d.State != fsm.CompleteCommit {
				t.Errorf("%s is %v", id, d)
			}
		}
		if len(two.got) != 2 || len(three.got) != 2 || two.dials != 1 || len(cl.ends(tp("t", 0))) != 2 {
			t.Errorf("broker 2 got %d markers over %d connections, 3 got %d", len(two.got), two.dials, len(three.got))
		}
		if m := two.got[0]; len(m.Topics) != 2 || !m.Committed || m.CoordinatorEpoch != 1 {
			t.Errorf("broker 2 got %+v", m)
		}
		time.Sleep(2 * senderIdle)
		synctest.Wait()
		if n := len(c.senders.queues); n != 0 {
			t.Errorf("%d connections are kept though idle", n)
		}
	})
}

func TestMarkersFollowALeaderThatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl, two, three := newCluster(), new(remote), new(remote)
		cl.connect(two, three)
		a, b := tp("t", 0), tp("t", 1)
		cl.lead(2, a, b)
		two.answer = func(_ *kmsg.WriteTxnMarkersRequestMarker, at fsm.TP) int16 {
			if at == b {
				cl.lead(3, b)
				return kerr.NotLeaderForPartition.Code
			}
			return 0
		}
		c, stop := start(t, testOptions(cl), new(ledtest.Log))
		defer stop()
		p := begin(t, c, "id")
		add(c, "id", p, a, b)
		end(c, "id", p, false)
		time.Sleep(time.Second)
		synctest.Wait()
		if d := c.Describe("id"); d.State != fsm.CompleteAbort {
			t.Fatalf("it is %v", d)
		}
		if len(two.got) != 1 || len(three.got) != 1 || !slices.Equal(three.got[0].Topics[0].Partitions, []int32{1}) {
			t.Errorf("broker 2 got %v, broker 3 %v", two.got, three.got)
		}
	})
}

func TestMarkersSurviveBrokenConnectionsAndDeadBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl, two, three := newCluster(), &remote{cut: 3}, new(remote)
		cl.connect(two, three)
		a := tp("t", 0)
		cl.lead(2, a)
		c, stop := start(t, testOptions(cl), new(ledtest.Log))
		defer stop()
		p := begin(t, c, "id")
		add(c, "id", p, a)
		end(c, "id", p, true)
		time.Sleep(time.Second)
		synctest.Wait()
		if d := c.Describe("id"); d.State != fsm.CompleteCommit || two.dials != 4 {
			t.Fatalf("it is %v after %d connections", d, two.dials)
		}
		two.silent = true // it is paused
		add(c, "id", p, a)
		end(c, "id", p, true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if d := c.Describe("id"); d.State != fsm.PrepareCommit {
			t.Fatalf("it is %v", d)
		}
		cl.mu.Lock()
		delete(cl.addrs, 2)
		cl.leaders[a] = 3
		cl.mu.Unlock()
		time.Sleep(time.Second) // not the 30 of a request's time-out
		synctest.Wait()
		if d := c.Describe("id"); d.State != fsm.CompleteCommit || len(three.got) != 1 {
			t.Errorf("it is %v", d)
		}
	})
}

func TestMarkersOfAPartitionThatIsGivenUpAreNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl, two := newCluster(), new(remote)
		cl.connect(two, new(remote))
		a := tp("t", 0)
		two.answer = func(*kmsg.WriteTxnMarkersRequestMarker, fsm.TP) int16 { return kerr.NotEnoughReplicas.Code }
		cl.lead(2, a)
		c, stop := start(t, testOptions(cl), new(ledtest.Log))
		defer stop()
		p := begin(t, c, "id")
		add(c, "id", p, a)
		end(c, "id", p, true)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		c.Resign(0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		n := two.requests
		time.Sleep(time.Minute)
		synctest.Wait()
		if n == 0 || two.requests != n {
			t.Errorf("%d requests before the resignation, %d after it", n, two.requests-n)
		}
	})
}

func TestAnotherCoordinatorIsAskedAboutAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl, two := newCluster(), new(remote)
		cl.connect(two, new(remote))
		a, p := tp("t", 1), fsm.Producer{ID: 7, Epoch: 2}
		two.states = map[string]kmsg.DescribeTransactionsResponseTransactionState{
			"open": {State: "Ongoing", ProducerID: 7, ProducerEpoch: 2, Topics: []kmsg.DescribeTransactionsResponseTransactionStateTopic{{Topic: "t", Partitions: []int32{0, 1}}}},
			"over": {State: "CompleteCommit", ProducerID: 7, ProducerEpoch: 2}, "moved": {ErrorCode: kerr.NotCoordinator.Code}, "strange": {State: "Undecided"},
		}
		c, stop := start(t, testOptions(cl), new(ledtest.Log))
		defer stop()
		if _, known := c.Ask("open"); known {
			t.Error("without a coordinator something is known")
		}
		cl.lead(2, tp("__transaction_state", 0))
		for id, want := range map[string]Verdict{"open": Within, "over": Without, "nobody": Without, "moved": Unknown, "strange": Unknown} {
			d, known := c.Ask(id)
			got := Unknown
			if known {
				got = d.Verify(p, a)
			}
			if got != want {
				t.Errorf("%s: %v, want %v", id, got, want)
			}
		}
		d, _ := c.Ask("open")
		if d.Verify(p, tp("t", 2)) != Without || d.Verify(fsm.Producer{ID: 7, Epoch: 3}, a) != Without {
			t.Error("another partition or epoch is within")
		}
		// One that does not know the question is left alone for a while.
		two.states = nil
		for range 3 {
			if _, known := c.Ask("open"); known {
				t.Error("a broker that knows nothing of it answers")
			}
		}
		n := two.requests
		time.Sleep(firstDeaf + time.Second)
		c.Ask("open")
		synctest.Wait()
		if n != 7 || two.requests != 8 {
			t.Errorf("%d requests, then %d", n, two.requests)
		}
		// One that is silent holds nobody up for long.
		time.Sleep(3 * firstDeaf)
		two.states = map[string]kmsg.DescribeTransactionsResponseTransactionState{}
		two.silent = true
		cl.dial = func(context.Context, string, string) (net.Conn, error) {
			mine, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			return mine, nil
		}
		begun := time.Now()
		if _, known := c.Ask("open"); known || time.Since(begun) > askTimeout {
			t.Errorf("known %v after %v", known, time.Since(begun))
		}
		time.Sleep(2 * askTimeout)
	})
}
