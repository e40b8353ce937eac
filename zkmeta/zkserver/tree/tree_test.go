package tree

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"gregor/zkmeta/jute"
)

// twin is a ZooKeeper told in the simplest words: a map from path to znode, copied whole before every multi.
type twin struct {
	nodes map[string]twinNode
	zxid  int64
}

type twinNode struct {
	data                       string
	version, changes, creates  int32
	czxid, mzxid, pzxid, owner int64
}

func newTwin() *twin {
	return &twin{nodes: map[string]twinNode{"/": {}, "/zookeeper": {}, "/zookeeper/quota": {}, "/zookeeper/config": {}}}
}

func (w *twin) kids(path string) []string {
	var out []string
	prefix := strings.TrimSuffix(path, "/") + "/"
	for p := range w.nodes {
		if rest, ok := strings.CutPrefix(p, prefix); ok && rest != "" && !strings.Contains(rest, "/") {
			out = append(out, rest)
		}
	}
	sort.Strings(out)
	return out
}

func (w *twin) create(session int64, path string, data string, flags int32) (string, jute.Code) {
	up := parentPath(path)
	parent, ok := w.nodes[up]
	if !ok {
		return "", jute.ErrNoNode
	}
	if flags&jute.FlagSequential != 0 {
		path += fmt.Sprintf("%010d", parent.creates)
	}
	if _, ok := w.nodes[path]; ok {
		return "", jute.ErrNodeExists
	}
	if parent.owner != 0 {
		return "", jute.ErrNoChildrenForEphemerals
	}
	n := twinNode{data: data, czxid: w.zxid, mzxid: w.zxid, pzxid: w.zxid}
	if flags&jute.FlagEphemeral != 0 {
		n.owner = session
	}
	parent.creates++
	parent.changes++
	parent.pzxid = w.zxid
	w.nodes[up], w.nodes[path] = parent, n
	return path, jute.OK
}

func (w *twin) delete(path string, version int32) jute.Code {
	n, ok := w.nodes[path]
	switch {
	case !ok:
		return jute.ErrNoNode
	case version != -1 && version != n.version:
		return jute.ErrBadVersion
	case len(w.kids(path)) > 0:
		return jute.ErrNotEmpty
	}
	delete(w.nodes, path)
	up := parentPath(path)
	parent := w.nodes[up]
	parent.changes++
	parent.pzxid = w.zxid
	w.nodes[up] = parent
	return jute.OK
}

func (w *twin) set(path, data string, version int32) jute.Code {
	n, ok := w.nodes[path]
	switch {
	case !ok:
		return jute.ErrNoNode
	case version != -1 && version != n.version:
		return jute.ErrBadVersion
	}
	n.data, n.version, n.mzxid = data, n.version+1, w.zxid
	w.nodes[path] = n
	return jute.OK
}

// same compares every znode, and that the machine has no others.
func (w *twin) same(t *testing.T, tr *Tree) {
	t.Helper()
	if tr.Nodes() != len(w.nodes) {
		t.Fatalf("%d znodes, the twin has %d", tr.Nodes(), len(w.nodes))
	}
	for p, want := range w.nodes {
		n := tr.lookup(p)
		if n == nil {
			t.Fatalf("%s is missing", p)
		}
		s := n.stat()
		if strings.HasPrefix(p, "/zookeeper") {
			continue
		}
		kids := w.kids(p)
		wantC := want.changes
		if p == "/" {
			wantC-- // /zookeeper is there without having been created
		}
		if string(n.data) != want.data || s.Version != want.version || s.Cversion != wantC || s.NumChildren != int32(len(kids)) ||
			s.Czxid != want.czxid || s.Mzxid != want.mzxid || s.Pzxid != want.pzxid || s.EphemeralOwner != want.owner {
			t.Fatalf("%s: %q %+v, the twin has %+v and children %v", p, n.data, s, want, kids)
		}
		if n.path() != p {
			t.Fatalf("%s calls itself %s", p, n.path())
		}
	}
}

var openACL = []jute.ACL{{Perms: jute.PermAll, ID: anyone}}

// op is one random write for both.
type op struct {
	op      jute.Op
	path    string
	data    string
	flags   int32
	version int32
}

func randomOp(r *rand.Rand) op {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		fmt.Fprintf(&b, "/%c", 'a'+rune(r.IntN(20)*r.IntN(2)))
	}
	o := op{path: b.String(), data: strings.Repeat("x", r.IntN(5)), version: int32(r.IntN(3) - 1)}
	switch r.IntN(4) {
	case 0, 1:
		o.op, o.flags = jute.OpCreate, int32(r.IntN(4)*r.IntN(2))
	case 2:
		o.op = jute.OpDelete
	case 3:
		o.op = jute.OpSetData
	}
	return o
}

func (o op) body() []byte {
	switch o.op {
	case jute.OpCreate:
		return (&jute.CreateRequest{Path: o.path, Data: []byte(o.data), ACLs: openACL, Flags: o.flags}).Append(nil)
	case jute.OpDelete:
		return (&jute.PathVersion{Path: o.path, Version: o.version}).Append(nil)
	}
	return (&jute.SetDataRequest{Path: o.path, Data: []byte(o.data), Version: o.version}).Append(nil)
}

func (o op) twin(w *twin, session int64) jute.Code {
	switch o.op {
	case jute.OpCreate:
		_, code := w.create(session, o.path, o.data, o.flags)
		return code
	case jute.OpDelete:
		return w.delete(o.path, o.version)
	}
	return w.set(o.path, o.data, o.version)
}

// TestSameAsTwin runs random writes, multis, ended sessions and restarts on the machine and on its naive twin.
func TestSameAsTwin(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			tr, w := New(true), newTwin()
			stored := map[string][]byte{}
			sessions := map[int64]Session{}
			apply := func(session int64, o jute.Op, body []byte) Result {
				w.zxid++
				return tr.Apply(&Txn{Zxid: w.zxid, Session: session, Op: o, Body: body}, nil)
			}
			for id := range int64(3) {
				apply(id+1, jute.OpCreateSession, NewSessionBody(1000, [PasswordSize]byte{}))
			}
			for step := range 600 {
				session := int64(1 + r.IntN(3))
				switch n := r.IntN(100); {
				case n < 70:
					o := randomOp(r)
					got := apply(session, o.op, o.body())
					if want := o.twin(w, session); got.Code != want {
						t.Fatalf("step %d, %+v: %v, the twin says %v", step, o, got.Code, want)
					}
				case n < 90:
					multiBoth(t, r, w, session, apply)
				case n < 93:
					apply(session, jute.OpCloseSession, nil)
					for _, p := range slices.Sorted(maps.Keys(w.nodes)) {
						if w.nodes[p].owner == session {
							w.delete(p, -1)
						}
					}
					apply(session, jute.OpCreateSession, NewSessionBody(1000, [PasswordSize]byte{}))
				case n < 97:
					store(tr, stored, sessions)
				default:
					store(tr, stored, sessions)
					tr = restore(t, stored, sessions, w.zxid)
				}
				if step%20 == 0 {
					w.same(t, tr)
				}
			}
			w.same(t, tr)
		})
	}
}

func multiBoth(t *testing.T, r *rand.Rand, w *twin, session int64, apply func(int64, jute.Op, []byte) Result) {
	t.Helper()
	var b []byte
	ops := make([]op, r.IntN(5))
	for i := range ops {
		ops[i] = randomOp(r)
		b = append(jute.MultiHeader{Op: ops[i].op}.Append(b), ops[i].body()...)
	}
	got := apply(session, jute.OpMulti, jute.MultiEnd.Append(b))
	before := maps.Clone(w.nodes)
	for _, o := range ops {
		if code := o.twin(w, session); code != jute.OK {
			w.nodes = before
			if len(got.Events) != 0 {
				t.Fatalf("a failed multi has events %v", got.Events)
			}
			return
		}
	}
}

// store keeps what changed as the server's checkpoint does.
func store(tr *Tree, nodes map[string][]byte, sessions map[int64]Session) {
	c := tr.TakeChanges()
	for _, p := range c.Deleted {
		delete(nodes, p)
	}
	for i, p := range c.Paths {
		nodes[p] = c.Nodes[i]
	}
	for _, id := range c.DeletedSessions {
		delete(sessions, id)
	}
	for _, s := range c.Sessions {
		sessions[s.ID] = s
	}
}

func restore(t *testing.T, nodes map[string][]byte, sessions map[int64]Session, zxid int64) *Tree {
	t.Helper()
	rs := NewRestorer()
	for _, p := range slices.Sorted(maps.Keys(nodes)) {
		if err := rs.Node([]byte(p), nodes[p]); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range sessions {
		rs.Session(s)
	}
	return rs.Finish(zxid)
}

// FuzzApply: no request body makes the machine panic, and a request that fails changes nothing.
func FuzzApply(f *testing.F) {
	f.Add(int32(jute.OpMulti), jute.MultiEnd.Append(append(jute.MultiHeader{Op: jute.OpCreate}.Append(nil),
		(&jute.CreateRequest{Path: "/a", ACLs: openACL}).Append(nil)...)))
	f.Add(int32(jute.OpCreate), (&jute.CreateRequest{Path: "/a", ACLs: openACL, Flags: 3}).Append(nil))
	f.Add(int32(jute.OpSetWatches2), (&jute.SetWatches{Data: []string{"/"}, Recursive: []string{"/"}}).Append(nil, true))
	f.Fuzz(func(t *testing.T, o int32, body []byte) {
		tr := New(true)
		tr.Apply(&Txn{Zxid: 1, Session: 1, Op: jute.OpCreateSession, Body: NewSessionBody(1, [PasswordSize]byte{})}, nil)
		before := tr.Nodes()
		if op := jute.Op(o); IsWrite(op) {
			if r := tr.Apply(&Txn{Zxid: 2, Session: 1, Op: op, Body: body}, nil); r.Code != jute.OK && tr.Nodes() != before {
				t.Errorf("%v failed with %v and changed %d znodes to %d", op, r.Code, before, tr.Nodes())
			}
			return
		}
		_, _ = tr.Read(jute.Op(o), body, &Reader{Session: 1, Watches: NewWatches(), Fire: func(Event) {}}, nil)
	})
}
