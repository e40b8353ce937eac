//go:build interop

package zkserver_test

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"

	"gregor/zkmeta/jute"
)

// step is one request of a random sequence.
type step struct {
	client int
	op     jute.Op
	body   []byte
	text   string
}

// randomStep makes a request that often meets what earlier ones left.
func randomStep(r *rand.Rand, clients int) step {
	s := step{client: r.IntN(clients)}
	path := randomPath(r)
	version := int32(r.IntN(5) - 1)
	switch n := r.IntN(100); {
	case n < 25:
		s.op, s.body = randomCreate(r, path)
	case n < 35:
		s.op, s.body = jute.OpSetData, (&jute.SetDataRequest{Path: path, Data: randomData(r), Version: version}).Append(nil)
	case n < 45:
		s.op, s.body = jute.OpDelete, (&jute.PathVersion{Path: path, Version: version - version%2*2}).Append(nil)
	case n < 70:
		s.op = []jute.Op{jute.OpExists, jute.OpGetData, jute.OpGetChildren, jute.OpGetChildren2}[r.IntN(4)]
		s.body = (&jute.PathWatch{Path: path, Watch: r.IntN(2) == 0}).Append(nil)
	case n < 82:
		s.op, s.body = jute.OpMulti, randomMulti(r)
	case n < 85:
		s.op, s.body = jute.OpMultiRead, randomMultiRead(r)
	case n < 88:
		s.op, s.body = jute.OpSetACL, (&jute.SetACLRequest{Path: path, ACLs: randomACL(r), Version: version}).Append(nil)
	case n < 90:
		s.op, s.body = jute.OpGetACL, jute.AppendString(nil, path)
	case n < 91:
		s.op, s.body = jute.OpGetEphemerals, jute.AppendString(nil, []string{"", "/", "/a", path}[r.IntN(4)])
	case n < 92:
		s.op, s.body = jute.OpGetChildrenTotal, jute.AppendString(nil, "/a")
	case n < 95:
		// Not OpCheckWatches: ZooKeeper 3.8 says yes to whatever anybody watches.
		s.op = jute.OpRemoveWatches
		s.body = (&jute.PathMode{Path: path, Mode: int32(1 + r.IntN(3))}).Append(nil)
	case n < 97:
		s.op, s.body = jute.OpAddWatch, (&jute.PathMode{Path: "/p" + path, Mode: int32(r.IntN(2))}).Append(nil)
	case n < 98:
		s.op, s.body = jute.OpSync, jute.AppendString(nil, path)
	default:
		zxid := int64(r.IntN(500))
		s.op = jute.OpSetWatches
		s.body = (&jute.SetWatches{
			RelativeZxid: zxid, Data: []string{randomPath(r)}, Exist: []string{randomPath(r)}, Child: []string{randomPath(r)},
		}).Append(nil, false)
	}
	s.text = fmt.Sprintf("client %d %v %q", s.client, s.op, s.body)
	return s
}

var oddPaths = []string{"", "/", "a", "//", "/a/", "/a//b", "/a/./b", "/a/../b", "/\x01", "/a\x00b", "/zookeeper", "/zookeeper/quota",
	"/zookeeper/config", "/none/a", "/ü", "/\ufffd", "/.a", "/a..", "/..."}

func randomPath(r *rand.Rand) string {
	if r.IntN(25) == 0 {
		return oddPaths[r.IntN(len(oddPaths))]
	}
	var b strings.Builder
	if r.IntN(6) == 0 {
		b.WriteString("/p")
	}
	for range 1 + r.IntN(3) {
		b.WriteString([]string{"/a", "/b", "/c"}[r.IntN(3)])
	}
	return b.String()
}

func randomData(r *rand.Rand) []byte {
	switch r.IntN(4) {
	case 0:
		return nil
	case 1:
		return []byte{}
	}
	return []byte(strings.Repeat("x", r.IntN(20)))
}

func randomACL(r *rand.Rand) []jute.ACL {
	id := func(scheme, id string, perms int32) jute.ACL {
		return jute.ACL{Perms: perms, ID: jute.ID{Scheme: scheme, ID: id}}
	}
	switch r.IntN(12) {
	case 0:
		return nil
	case 1:
		return []jute.ACL{id("auth", "", jute.PermAll)}
	case 2:
		return []jute.ACL{id("digest", "u:hash", jute.PermAll), id("world", "anyone", jute.PermRead)}
	case 3:
		return []jute.ACL{id("ip", "127.0.0.1", jute.PermAll)}
	case 4:
		return []jute.ACL{id("ip", "127.0.0.0/8", jute.PermAll), id("ip", "127.0.0.0/8", jute.PermAll)}
	case 5:
		return []jute.ACL{id("world", "anyone", int32(r.IntN(32)))}
	case 6:
		return []jute.ACL{id([]string{"digest", "ip", "sasl", "world", ""}[r.IntN(5)], []string{"x", "a:b:c", "1.2.3", "10.0.0.1/40"}[r.IntN(4)], 31)}
	}
	return []jute.ACL{id("world", "anyone", jute.PermAll)}
}

func randomCreate(r *rand.Rand, path string) (jute.Op, []byte) {
	flags := int32(0)
	if r.IntN(3) == 0 {
		flags = int32(r.IntN(4))
	}
	if r.IntN(40) == 0 {
		flags = []int32{-2, -1, 7, 8}[r.IntN(4)] // containers and times to live are not there
	}
	op := jute.OpCreate
	if r.IntN(3) == 0 {
		op = jute.OpCreate2
	}
	return op, (&jute.CreateRequest{Path: path, Data: randomData(r), ACLs: randomACL(r), Flags: flags}).Append(nil)
}

func randomMulti(r *rand.Rand) []byte {
	var b []byte
	for range r.IntN(5) {
		path := randomPath(r)
		switch r.IntN(4) {
		case 0:
			op, body := randomCreate(r, path)
			b = append(jute.MultiHeader{Op: op, Code: -1}.Append(b), body...)
		case 1:
			b = (&jute.PathVersion{Path: path, Version: -1}).Append(jute.MultiHeader{Op: jute.OpDelete, Code: -1}.Append(b))
		case 2:
			b = (&jute.SetDataRequest{Path: path, Data: randomData(r), Version: -1}).Append(jute.MultiHeader{Op: jute.OpSetData, Code: -1}.Append(b))
		case 3:
			b = (&jute.PathVersion{Path: path, Version: int32(r.IntN(3) - 1)}).Append(jute.MultiHeader{Op: jute.OpCheckVersion, Code: -1}.Append(b))
		}
	}
	return jute.MultiEnd.Append(b)
}

func randomMultiRead(r *rand.Rand) []byte {
	var b []byte
	for range r.IntN(4) {
		op := []jute.Op{jute.OpGetData, jute.OpGetChildren}[r.IntN(2)]
		b = (&jute.PathWatch{Path: randomPath(r), Watch: r.IntN(2) == 0}).Append(jute.MultiHeader{Op: op, Code: -1}.Append(b))
	}
	return jute.MultiEnd.Append(b)
}

// shown is an answer as text, with what differs between servers (times, session ids) taken out.
type shown struct{ sessions map[int64]int }

func (s shown) stat(d *jute.Decoder) string {
	var st jute.Stat
	st.Decode(d)
	owner := fmt.Sprint(st.EphemeralOwner)
	if i, ok := s.sessions[st.EphemeralOwner]; ok {
		owner = fmt.Sprintf("client%d", i)
	}
	return fmt.Sprintf("{cz %d mz %d pz %d v %d cv %d av %d own %s len %d kids %d same %v}", st.Czxid, st.Mzxid, st.Pzxid, st.Version,
		st.Cversion, st.Aversion, owner, st.DataLength, st.NumChildren, st.Ctime == st.Mtime || st.Version > 0)
}

func (s shown) strings(d *jute.Decoder) string {
	v := append([]string(nil), d.Views()...)
	sort.Strings(v)
	return fmt.Sprintf("%q", v)
}

func (s shown) body(op jute.Op, b []byte) string {
	d := jute.NewDecoder(b)
	if len(b) == 0 {
		return "-"
	}
	out := s.result(op, &d)
	if d.Err() != nil || len(d.Rest()) > 0 {
		out += fmt.Sprintf(" (%v, %x left)", d.Err(), d.Rest())
	}
	return out
}

func (s shown) result(op jute.Op, d *jute.Decoder) string {
	switch op {
	case jute.OpCreate, jute.OpSync:
		return d.Clone()
	case jute.OpCreate2:
		return d.Clone() + s.stat(d)
	case jute.OpSetData, jute.OpExists, jute.OpSetACL:
		return s.stat(d)
	case jute.OpGetData:
		return fmt.Sprintf("%#v ", d.Buffer()) + s.stat(d)
	case jute.OpGetChildren, jute.OpGetEphemerals:
		return s.strings(d)
	case jute.OpGetChildren2:
		return s.strings(d) + s.stat(d)
	case jute.OpGetACL:
		return fmt.Sprint(d.ACLs()) + s.stat(d)
	case jute.OpGetChildrenTotal, jute.OpAddWatch:
		return fmt.Sprint(d.Int32())
	case jute.OpMulti, jute.OpMultiRead:
		var parts []string
		for d.Err() == nil {
			var h jute.MultiHeader
			h.Decode(d)
			if h.Done {
				return fmt.Sprint(parts, h)
			}
			switch h.Op {
			case jute.OpError:
				parts = append(parts, fmt.Sprintf("%+v:%d", h, d.Int32()))
			case jute.OpDelete, jute.OpCheckVersion:
				parts = append(parts, fmt.Sprintf("%+v", h))
			default:
				parts = append(parts, fmt.Sprintf("%+v:%s", h, s.result(h.Op, d)))
			}
		}
		return fmt.Sprint(parts)
	}
	return fmt.Sprintf("%x", d.Rest())
}
