package jute

import (
	"bytes"
	"reflect"
	"testing"
)

func TestRequestsRoundTrip(t *testing.T) {
	type record interface {
		Append([]byte) []byte
		Decode(*Decoder)
	}
	acls := []ACL{{Perms: 3, ID: ID{"digest", "u:h"}}, {Perms: 31, ID: ID{"world", "anyone"}}}
	for _, c := range []struct{ in, out record }{
		{&ConnectRequest{Version: 1, LastZxidSeen: 2, TimeoutMs: 3, SessionID: 4, Password: []byte("p")}, &ConnectRequest{}},
		{&ConnectRequest{Password: []byte{}, HasReadOnly: true, ReadOnly: true}, &ConnectRequest{}},
		{&ConnectResponse{TimeoutMs: 3, SessionID: 4, Password: []byte("p"), HasReadOnly: true}, &ConnectResponse{}},
		{&CreateRequest{Path: "/a", ACLs: acls, Flags: 3}, &CreateRequest{}},
		{&CreateRequest{Path: "/a", Data: []byte{}}, &CreateRequest{}},
		{&SetDataRequest{Path: "/a", Data: []byte("x"), Version: -1}, &SetDataRequest{}},
		{&SetACLRequest{Path: "/a", ACLs: acls, Version: 7}, &SetACLRequest{}},
		{&PathVersion{"/ü", 5}, &PathVersion{}},
		{&PathWatch{"/a", true}, &PathWatch{}},
		{&PathMode{"/a", 1}, &PathMode{}},
		{&AuthPacket{Scheme: "digest", Auth: []byte("u:p")}, &AuthPacket{}},
		{&Stat{Czxid: 1, Mzxid: 2, Ctime: 3, Mtime: 4, Version: 5, Cversion: 6, Aversion: 7, EphemeralOwner: 8, DataLength: 9, NumChildren: 10, Pzxid: 11}, &Stat{}},
	} {
		b := c.in.Append(nil)
		d := NewDecoder(b)
		c.out.Decode(&d)
		if d.Err() != nil || len(d.Rest()) != 0 || !reflect.DeepEqual(c.in, c.out) {
			t.Errorf("%+v read as %+v (%v, %d bytes left)", c.in, c.out, d.Err(), len(d.Rest()))
		}
		for n := range b {
			if cr, ok := c.in.(*ConnectRequest); ok && cr.HasReadOnly && n == len(b)-1 {
				continue // its last byte may be absent
			}
			if cr, ok := c.in.(*ConnectResponse); ok && cr.HasReadOnly && n == len(b)-1 {
				continue
			}
			d := NewDecoder(b[:n])
			c.out.Decode(&d)
			if d.Err() == nil {
				t.Errorf("%T cut at %d of %d is taken", c.in, n, len(b))
			}
		}
	}
}

func TestCountsAreBoundedByWhatIsLeft(t *testing.T) {
	d := NewDecoder(append(AppendInt32(nil, 1<<30), make([]byte, 100)...))
	if v := d.Views(); v != nil || d.Err() == nil {
		t.Errorf("a vector that cannot be there: %d, %v", len(v), d.Err())
	}
	allocated := testing.AllocsPerRun(10, func() {
		d := NewDecoder(append(AppendInt32(nil, 20), make([]byte, 100)...))
		_ = d.ACLs()
	})
	if allocated > 8 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestMultiReadAnswers(t *testing.T) {
	b := MultiHeader{Op: OpGetData}.Append(nil)
	b = (&Stat{Version: 7}).Append(AppendBuffer(b, []byte("x")))
	b = AppendMultiError(b, ErrNoNode)
	b = MultiEnd.Append(b)
	var got []ReadResult
	if err := DecodeMultiRead(b, func(_ int, r *ReadResult) { got = append(got, *r) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || string(got[0].Data) != "x" || got[0].Stat.Version != 7 || got[1].Code != ErrNoNode {
		t.Errorf("%+v", got)
	}
	if err := DecodeMultiRead(b[:len(b)-3], func(int, *ReadResult) {}); err == nil {
		t.Error("a cut answer is taken")
	}
}

// FuzzDecode: no input makes a decoder panic or read past its end, and what a decoder takes encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add((&CreateRequest{Path: "/a", Data: []byte("x"), ACLs: []ACL{{31, ID{"world", "anyone"}}}}).Append(nil))
	f.Add((&SetWatches{RelativeZxid: 1, Data: []string{"/a"}}).Append(nil, true))
	f.Add(AppendMultiRead(nil, []string{"/a", "/b"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := NewDecoder(b)
		var c CreateRequest
		if c.Decode(&d); d.Err() == nil {
			used := b[:len(b)-len(d.Rest())]
			var again CreateRequest
			d := NewDecoder(c.Append(nil))
			if again.Decode(&d); d.Err() != nil || again.Path != c.Path || !bytes.Equal(again.Data, c.Data) || len(c.Append(nil)) > len(used) {
				t.Errorf("%x reads as %+v, then %+v", used, c, again)
			}
		}
		d = NewDecoder(b)
		var w SetWatches
		w.Decode(&d, true)
		d = NewDecoder(b)
		var q ConnectRequest
		q.Decode(&d)
		_ = DecodeMultiRead(b, func(int, *ReadResult) {})
	})
}
