package handlers

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/storage"
	"gregor/wire/record"
)

func fetchRequest(v int16, topic string, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = v, -1, 20, 1, 50<<20
	req.SessionEpoch = -1
	addPartition(req, topic, partition, offset)
	return req
}

func addPartition(req *kmsg.FetchRequest, topic string, partition int32, offset int64) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch = partition, offset, 1<<20, -1, -1
	for i := range req.Topics {
		if req.Topics[i].Topic == topic {
			req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
			return
		}
	}
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
}

// values decodes the records of a fetched partition.
func values(t testing.TB, b []byte) (vs []string) {
	t.Helper()
	for len(b) > 0 {
		raw, rest, err := record.Next(b)
		if err != nil {
			break
		}
		it := record.NewIter(raw, 1<<20)
		for it.Next() {
			vs = append(vs, string(it.Record.Value))
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		b = rest
	}
	return vs
}

func TestFetchAnswersEveryVersion(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 2, 0)
	c := pl.dial()
	c.produce("t", 0, "a", "b")
	for v := int16(0); v <= 12; v++ {
		req := fetchRequest(v, "t", 0, 0)
		addPartition(req, "t", 1, 0)
		addPartition(req, "nope", 0, 0)
		r := c.call(req).(*kmsg.FetchResponse)
		p := r.Topics[0].Partitions[0]
		if got := values(t, p.RecordBatches); fmt.Sprint(got) != "[a b]" || p.HighWatermark != 2 || p.ErrorCode != 0 {
			t.Errorf("v%d: %v %+v", v, got, p)
		}
		if v >= 4 && p.LastStableOffset != 2 || (v >= 5 && p.LogStartOffset != 0) {
			t.Errorf("v%d: %+v", v, p)
		}
		if q := r.Topics[0].Partitions[1]; q.ErrorCode != 0 || q.HighWatermark != 0 || len(q.RecordBatches) != 0 {
			t.Errorf("v%d empty partition: %+v", v, q)
		}
		if q := r.Topics[1].Partitions[0]; q.ErrorCode != 3 || q.HighWatermark != -1 {
			t.Errorf("v%d unknown topic: %+v", v, q)
		}
	}
}

func TestFetchErrors(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 5)
	c := pl.dial()
	c.produce("t", 0, "a")
	for _, q := range []struct {
		offset int64
		epoch  int32
		code   int16
	}{{2, -1, 1}, {-1, -1, 1}, {0, 4, 74}, {0, 6, 75}, {1, 5, 0}} {
		req := fetchRequest(11, "t", 0, q.offset)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = q.epoch
		if q.code != 0 {
			req.MaxWaitMillis = 60_000 // an error ends the wait at once
		}
		if p := c.call(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != q.code {
			t.Errorf("offset %d epoch %d: error %d, want %d", q.offset, q.epoch, p.ErrorCode, q.code)
		}
	}
	// A consumer whose last record's epoch ended earlier learns where.
	req := fetchRequest(12, "t", 0, 1)
	req.Topics[0].Partitions[0].LastFetchedEpoch = 4
	req.MaxWaitMillis = 60_000
	if p := c.call(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 1 && p.DivergingEpoch.EndOffset < 0 {
		t.Errorf("diverging: %+v", p)
	}
}

func TestFetchLimits(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 3, 0)
	c := pl.dial()
	size := len(batch("0123456789"))
	for p := range int32(3) {
		for range 3 {
			c.produce("t", p, "0123456789")
		}
	}
	req := fetchRequest(11, "t", 0, 0)
	addPartition(req, "t", 1, 0)
	addPartition(req, "t", 2, 0)
	sizes := func() (n []int) {
		for _, p := range c.call(req).(*kmsg.FetchResponse).Topics[0].Partitions {
			n = append(n, len(p.RecordBatches))
		}
		return n
	}
	if got := sizes(); fmt.Sprint(got) != fmt.Sprint([]int{3 * size, 3 * size, 3 * size}) {
		t.Error("no limit:", got)
	}
	req.MaxBytes = 1
	if got := sizes(); fmt.Sprint(got) != fmt.Sprint([]int{size, 0, 0}) {
		t.Error("the first batch comes whatever the limit:", got)
	}
	req.MaxBytes = int32(4 * size)
	if got := sizes(); got[0] != 3*size || got[1] != size || got[2] != 0 {
		t.Error("limit of four batches:", got)
	}
	req.MaxBytes = math.MaxInt32
	req.Topics[0].Partitions[0].PartitionMaxBytes = int32(size)
	if got := sizes(); got[0] != size || got[1] != 3*size {
		t.Error("limit of a partition:", got)
	}
}

func TestFetchWaitsForAnAppend(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 2, 0)
	consumer, producer := pl.dial(), pl.dial()
	req := fetchRequest(11, "t", 0, 0)
	addPartition(req, "t", 1, 0)
	req.MaxWaitMillis = 60_000
	consumer.send(req)
	// The request behind it in the connection is answered after it.
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version = 1
	consumer.send(list)
	producer.produce("t", 1, "late")
	r := consumer.recv(req).(*kmsg.FetchResponse)
	if got := values(t, r.Topics[0].Partitions[1].RecordBatches); len(got) != 1 || got[0] != "late" {
		t.Error(got)
	}
	consumer.recv(list)
}

func TestFetchWaitsForMinBytes(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	consumer, producer := pl.dial(), pl.dial()
	req := fetchRequest(11, "t", 0, 0)
	req.MaxWaitMillis, req.MinBytes = 60_000, int32(3*len(batch("x")))
	consumer.send(req)
	for range 3 {
		producer.produce("t", 0, "x")
	}
	r := consumer.recv(req).(*kmsg.FetchResponse)
	if got := values(t, r.Topics[0].Partitions[0].RecordBatches); len(got) != 3 {
		t.Error(got)
	}
}

func TestFetchReturnsWhenTheTimeIsOver(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	req := fetchRequest(11, "t", 0, 0)
	req.MaxWaitMillis = 50
	begin := time.Now()
	c.call(req)
	if d := time.Since(begin); d < 50*time.Millisecond {
		t.Errorf("answered after %v", d)
	}
}

// sessionFetch is a fetch within a session.
func sessionFetch(id, epoch int32) *kmsg.FetchRequest {
	req := fetchRequest(11, "t", 0, 0)
	req.Topics = nil
	req.SessionID, req.SessionEpoch = id, epoch
	req.MaxWaitMillis = 10
	return req
}

// describe lists the partitions of a response with the values they carry.
func describe(t testing.TB, r *kmsg.FetchResponse) (s string) {
	t.Helper()
	if r.ErrorCode != 0 {
		return fmt.Sprint("error ", r.ErrorCode)
	}
	for _, topic := range r.Topics {
		for _, p := range topic.Partitions {
			s += fmt.Sprintf("%s-%d", topic.Topic, p.Partition)
			if p.ErrorCode != 0 {
				s += fmt.Sprintf("!%d", p.ErrorCode)
			}
			s += fmt.Sprint(values(t, p.RecordBatches), " ")
		}
	}
	return s
}

func TestFetchSessionTranscript(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 4, 0)
	c := pl.dial()
	var id, epoch int32
	step := func(want string, change func(*kmsg.FetchRequest)) {
		t.Helper()
		req := sessionFetch(id, epoch)
		if change != nil {
			change(req)
		}
		r := c.call(req).(*kmsg.FetchResponse)
		if got := describe(t, r); got != want {
			t.Fatalf("epoch %d: %q, want %q", epoch, got, want)
		}
		if r.ErrorCode == 0 {
			id = r.SessionID
			epoch++
		}
	}
	at := func(p int32, off int64) func(*kmsg.FetchRequest) {
		return func(r *kmsg.FetchRequest) { addPartition(r, "t", p, off) }
	}
	step("t-0[] t-1[] t-2[] ", func(r *kmsg.FetchRequest) {
		for p := range int32(3) {
			addPartition(r, "t", p, 0)
		}
	})
	if id == 0 {
		t.Fatal("no session")
	}
	step("", nil)
	c.produce("t", 1, "x")
	step("t-1[x] ", nil)
	step("t-1[x] ", nil) // the client has not moved on
	step("", at(1, 1))
	c.produce("t", 0, "a")
	c.produce("t", 1, "y")
	c.produce("t", 3, "not in the session")
	step("t-0[a] t-1[y] ", nil)
	step("t-3[not in the session] ", func(r *kmsg.FetchRequest) {
		addPartition(r, "t", 0, 1)
		addPartition(r, "t", 1, 2)
		addPartition(r, "t", 3, 0)
	})
	step("", func(r *kmsg.FetchRequest) {
		f := kmsg.NewFetchRequestForgottenTopic()
		f.Topic, f.Partitions = "t", []int32{3}
		r.ForgottenTopics = append(r.ForgottenTopics, f)
	})
	step("t-2!1[] ", at(2, 7)) // out of range, said again each time
	step("t-2!1[] ", nil)
	step("t-2[] ", at(2, 0)) // healed: the high watermark is told anew
	step("", nil)

	wrong := sessionFetch(id, epoch+1)
	if got := describe(t, c.call(wrong).(*kmsg.FetchResponse)); got != "error 71" {
		t.Error("wrong epoch:", got)
	}
	if got := describe(t, c.call(sessionFetch(id+1, 1)).(*kmsg.FetchResponse)); got != "error 70" {
		t.Error("unknown session:", got)
	}
	// A final fetch ends the session.
	final := sessionFetch(id, -1)
	if r := c.call(final).(*kmsg.FetchResponse); r.ErrorCode != 0 || r.SessionID != 0 || pl.fetch.Sessions.Len() != 0 {
		t.Errorf("%+v, %d sessions", r, pl.fetch.Sessions.Len())
	}
}

func TestFetchSessionTakesTurns(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 3, 0)
	c := pl.dial()
	for p := range int32(3) {
		for range 3 {
			c.produce("t", p, "v")
		}
	}
	req := sessionFetch(0, 0)
	for p := range int32(3) {
		addPartition(req, "t", p, 0)
	}
	req.MaxBytes = 1
	r := c.call(req).(*kmsg.FetchResponse)
	offsets := [3]int64{1, 0, 0}
	if got := describe(t, r); got != "t-0[v] t-1[] t-2[] " {
		t.Fatal(got)
	}
	turns := ""
	last := int32(0)
	for epoch := int32(1); epoch <= 8; epoch++ {
		req := sessionFetch(r.SessionID, epoch)
		req.MaxBytes = 1
		addPartition(req, "t", last, offsets[last])
		for _, topic := range c.call(req).(*kmsg.FetchResponse).Topics {
			for _, p := range topic.Partitions {
				if n := len(values(t, p.RecordBatches)); n > 0 {
					last = p.Partition
					offsets[last] += int64(n)
					turns += fmt.Sprint(last)
				}
			}
		}
	}
	if offsets != [3]int64{3, 3, 3} || len(turns) != 8 {
		t.Errorf("turns %q, offsets %v: every partition must get its turn", turns, offsets)
	}
	if turns[:3] == "000" || turns[:3] == "111" {
		t.Errorf("turns %q: one partition starves the others", turns)
	}
}

func TestFetchSessionWaits(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c, producer := pl.dial(), pl.dial()
	req := sessionFetch(0, 0)
	addPartition(req, "t", 0, 0)
	id := c.call(req).(*kmsg.FetchResponse).SessionID
	for i := range 20 {
		req = sessionFetch(id, int32(i+1))
		req.MaxWaitMillis = 60_000
		if i > 0 {
			addPartition(req, "t", 0, int64(i))
		}
		c.send(req)
		producer.produce("t", 0, fmt.Sprint(i))
		if got, want := describe(t, c.recv(req).(*kmsg.FetchResponse)), fmt.Sprintf("t-0[%d] ", i); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	// A second request of the session ends the first: over the same connection with nothing new, over another with an error.
	req = sessionFetch(id, 21)
	req.MaxWaitMillis = 60_000
	addPartition(req, "t", 0, 20)
	c.send(req)
	next := sessionFetch(id, 22)
	c.send(next)
	if got := c.recv(req).(*kmsg.FetchResponse); got.SessionID != id || describe(t, got) != "" {
		t.Error(got.SessionID, describe(t, got))
	}
	if got := describe(t, c.recv(next).(*kmsg.FetchResponse)); got != "" {
		t.Error(got)
	}
	req = sessionFetch(id, 23)
	req.MaxWaitMillis = 60_000
	c.send(req)
	other := pl.dial()
	for got := "error 71"; got == "error 71"; { // until the former has arrived
		got = describe(t, other.call(sessionFetch(id, 24)).(*kmsg.FetchResponse))
	}
	if got := describe(t, c.recv(req).(*kmsg.FetchResponse)); got != "error 71" {
		t.Error(got)
	}
}

func TestSessionsAreEvictedByNeed(t *testing.T) {
	c := NewSessionCache(2)
	full := func(parts int, replica int32) int32 {
		op := &fetchOp{replica: replica, parts: make([]fetchPart, parts)}
		for i := range op.parts {
			op.parts[i].topic, op.parts[i].partition = "t", int32(i)
		}
		return c.create(op)
	}
	a, b := full(5, -1), full(3, -1)
	if full(10, -1) != 0 {
		t.Error("a young session was evicted for a consumer")
	}
	if f := full(1, 7); f == 0 || c.sessions[b] != nil || c.sessions[a] == nil {
		t.Error("a follower takes the slot of the consumer with fewest partitions")
	}
	c.sessions[a].lastUsed = time.Now().Add(-2 * sessionIdle)
	if full(1, -1) == 0 || c.sessions[a] != nil {
		t.Error("an idle session must give its slot")
	}
}

func TestFetchAfterDeletionOfThePartition(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	req := fetchRequest(11, "t", 0, 0)
	req.MaxWaitMillis = 60_000
	c.send(req)
	stop := kmsg.NewPtrStopReplicaRequest()
	stop.Version, stop.BrokerEpoch = 3, 100
	st := kmsg.NewStopReplicaRequestTopic()
	st.Topic = "t"
	sp := kmsg.NewStopReplicaRequestTopicPartitionState()
	sp.LeaderEpoch, sp.Delete = -2, true
	st.PartitionStates = append(st.PartitionStates, sp)
	stop.Topics = append(stop.Topics, st)
	if r := pl.dial().call(stop).(*kmsg.StopReplicaResponse); r.ErrorCode != 0 || r.Partitions[0].ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	if p := c.recv(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 3 && p.ErrorCode != 6 {
		t.Errorf("%+v", p)
	}
	if _, ok := pl.storage.Get(storage.TopicPartition{Topic: "t"}); ok {
		t.Error("the log is still there")
	}
}

func TestFetchOfALostClientEnds(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	for i := range 4 {
		c := pl.dial()
		req := fetchRequest(11, "t", 0, 0)
		if i&1 != 0 { // with a session
			first := sessionFetch(0, 0)
			addPartition(first, "t", 0, 0)
			req = sessionFetch(c.call(first).(*kmsg.FetchResponse).SessionID, 1)
		}
		req.MaxWaitMillis = math.MaxInt32
		c.send(req)
		for len(pl.completed) > 0 {
			<-pl.completed
		}
		if i&2 != 0 { // otherwise it closes as any client does
			c.SetLinger(0)
		}
		c.Close()
		if <-pl.completed != kmsg.Fetch.Int16() {
			t.Error("another request was completed")
		}
	}
}

func FuzzFetchAndProduceDecoders(f *testing.F) {
	for v := int16(0); v <= 12; v++ {
		req := fetchRequest(v, "t", 0, 0)
		f.Add(true, byte(v), req.AppendTo(nil))
	}
	for v := int16(0); v <= 8; v++ {
		f.Add(false, byte(v), produceRequest(v, 1, "t", 0, batch("x")).AppendTo(nil))
	}
	h := NewFetch(nil, nil, 0, 0)
	f.Fuzz(func(t *testing.T, fetch bool, v byte, body []byte) {
		r := &server.Request{Body: body}
		if !fetch {
			r.Version = int16(v % 9)
			op := &produceOp{r: r}
			_ = op.decode()
			if len(op.parts) > len(body) {
				t.Fatal("more partitions than bytes")
			}
			return
		}
		r.Version = int16(v % 13)
		op := &fetchOp{h: h, r: r}
		err := op.decode()
		if len(op.parts)+len(op.forgotten) > len(body) {
			t.Fatal("more partitions than bytes")
		}
		// kmsg is the naive twin: what it cannot read must not be read here.
		twin := kmsg.NewPtrFetchRequest()
		twin.Version = r.Version
		if err == nil && twin.ReadFrom(body) != nil {
			t.Logf("kmsg refuses what decode accepts, version %d", r.Version)
		}
	})
}
