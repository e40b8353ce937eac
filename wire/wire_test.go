package wire_test

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire"
)

// everyRequest calls f with each request type and version that Apache Kafka 2.7 serves and kmsg knows.
func everyRequest(f func(req kmsg.Request)) {
	for key := int16(0); key < 60; key++ {
		lo, hi, ok := wire.Versions(key)
		if !ok {
			continue
		}
		for v := lo; v <= hi; v++ {
			if req := kmsg.RequestForKey(key); req != nil {
				req.SetVersion(v)
				f(req)
			}
		}
	}
}

func TestCheckAcceptsWhatKmsgEncodes(t *testing.T) {
	n := 0
	everyRequest(func(req kmsg.Request) {
		n++
		if d, ok := req.(interface{ Default() }); ok {
			d.Default()
		}
		body := req.AppendTo(nil)
		if err := wire.Check(req.Key(), req.GetVersion(), body); err != nil {
			t.Errorf("%s v%d: %v", wire.APIName(req.Key()), req.GetVersion(), err)
		}
		if got := wire.Flexible(req.Key(), req.GetVersion()); got != req.IsFlexible() {
			t.Errorf("%s v%d: flexible %v, kmsg says %v", wire.APIName(req.Key()), req.GetVersion(), got, req.IsFlexible())
		}
		// Trailing bytes are ignored.
		if err := wire.Check(req.Key(), req.GetVersion(), append(body, 1, 2, 3)); err != nil {
			t.Error(err)
		}
		for cut := range body {
			if err := wire.Check(req.Key(), req.GetVersion(), body[:cut]); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("%s v%d cut to %d of %d bytes: %v", wire.APIName(req.Key()), req.GetVersion(), cut, len(body), err)
			}
		}
	})
	if n < 150 {
		t.Errorf("only %d request versions", n)
	}
}

func TestCheckWalksNestedArrays(t *testing.T) {
	req := kmsg.NewPtrCreateTopicsRequest()
	for v := int16(0); v <= 6; v++ {
		req.SetVersion(v)
		req.Topics = nil
		for _, name := range []string{"a", "b"} {
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic = name
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Replicas = []int32{1, 2, 3}
			topic.ReplicaAssignment = append(topic.ReplicaAssignment, a)
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name = "k"
			topic.Configs = append(topic.Configs, c)
			req.Topics = append(req.Topics, topic)
		}
		body := req.AppendTo(nil)
		if err := wire.Check(req.Key(), v, body); err != nil {
			t.Fatalf("v%d: %v", v, err)
		}
	}
}

// A request may not cost much more than it weighs: counts must be covered by bytes before anything is allocated for them.
func TestLyingCountsAreRefusedWithoutAllocating(t *testing.T) {
	body := make([]byte, 20<<20)
	binary.BigEndian.PutUint32(body, uint32(len(body)-4))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := wire.Check(kmsg.CreateTopics.Int16(), 0, body)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, wire.ErrMalformed) {
		t.Fatal(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestHeader(t *testing.T) {
	id := "client"
	for _, flexible := range []bool{false, true} {
		req := kmsg.NewPtrMetadataRequest()
		req.SetVersion(4)
		if flexible {
			req.SetVersion(9)
		}
		b := kmsg.NewRequestFormatter(kmsg.FormatterClientID(id)).AppendRequest(nil, req, 42)
		h, body, err := wire.ParseHeader(b[4:])
		if err != nil || h.Key != 3 || h.Version != req.Version || h.CorrelationID != 42 || string(h.ClientID) != id {
			t.Fatal(h, err)
		}
		if err := wire.Check(h.Key, h.Version, body); err != nil {
			t.Fatal(err)
		}
		for cut := range len(b) - 4 - len(body) {
			if _, _, err := wire.ParseHeader(b[4 : 4+cut]); err == nil {
				t.Fatalf("header cut to %d bytes passed", cut)
			}
		}
	}
}

func TestReaderBounds(t *testing.T) {
	r := wire.NewReader([]byte{0x7f, 0xff, 0xff, 0xff, 0})
	if n := r.ArrayLen(false, 1); n != 0 || r.Err() == nil {
		t.Error("count beyond the input:", n)
	}
	r = wire.NewReader([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x01})
	if r.Uvarint(); r.Err() == nil {
		t.Error("varint of six bytes passed")
	}
	r = wire.NewReader(binary.AppendUvarint(nil, math.MaxUint32))
	if r.Bytes(true); r.Err() == nil {
		t.Error("length of 4 GB passed")
	}
	for n, passes := range map[int]bool{math.MaxInt16: true, math.MaxInt16 + 1: false} {
		r = wire.NewReader(append(binary.AppendUvarint(nil, uint64(n)+1), make([]byte, n)...))
		if got := r.String(true); (r.Err() == nil) != passes || passes && len(got) != n {
			t.Errorf("a compact string of %d bytes: %v", n, r.Err())
		}
	}
	r = wire.NewReader([]byte{0xff, 0xff})
	if r.String(false); r.Err() == nil {
		t.Error("null passed as a string")
	}
	r = wire.NewReader([]byte{0xff, 0xff, 0xff, 0xfe})
	if r.ArrayLen(false, 1); r.Err() == nil {
		t.Error("count of -2 passed")
	}
}

func FuzzHeaderAndCheck(f *testing.F) {
	everyRequest(func(req kmsg.Request) {
		f.Add(kmsg.NewRequestFormatter(kmsg.FormatterClientID("x")).AppendRequest(nil, req, 1)[4:])
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, err := wire.ParseHeader(b)
		if err != nil || wire.Check(h.Key, h.Version, body) != nil {
			return
		}
		req := kmsg.RequestForKey(h.Key)
		if req == nil {
			return
		}
		req.SetVersion(h.Version)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		defer func() {
			if d := time.Since(begin); d > 3*time.Second {
				t.Fatalf("%s v%d: decoding %d bytes took %v: %x", wire.APIName(h.Key), h.Version, len(body), d, body)
			}
		}()
		if err := req.ReadFrom(body); err != nil {
			t.Logf("kmsg refuses what Check accepts: %s v%d: %v", wire.APIName(h.Key), h.Version, err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(body))*200+1<<20 {
			t.Fatalf("%s v%d: %d bytes of request cost %d", wire.APIName(h.Key), h.Version, len(body), n)
		}
	})
}
