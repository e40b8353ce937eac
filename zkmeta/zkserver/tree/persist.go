package tree

import (
	"bytes"
	"fmt"

	"gregor/zkmeta/jute"
)

// changes is what a store has not seen yet.
type changes struct {
	on       bool
	dirty    []*node
	deleted  []string
	sessions map[int64]struct{}
}

func (t *Tree) changed(n *node) {
	if t.track.on && !n.dirty {
		n.dirty = true
		t.track.dirty = append(t.track.dirty, n)
	}
}

func (t *Tree) removed(n *node) {
	if t.track.on {
		t.track.deleted = append(t.track.deleted, n.path())
	}
}

func (t *Tree) sessionChanged(id int64) {
	if !t.track.on {
		return
	}
	if t.track.sessions == nil {
		t.track.sessions = map[int64]struct{}{}
	}
	t.track.sessions[id] = struct{}{}
}

// Pending counts the changes that TakeChanges would give.
func (t *Tree) Pending() int {
	return len(t.track.dirty) + len(t.track.deleted) + len(t.track.sessions)
}

// Changes is the difference between two moments, encoded: the deletions come first, since a path may be in both lists.
type Changes struct {
	Zxid            int64 // of the later moment
	Deleted         []string
	Paths           []string
	Nodes           [][]byte
	Sessions        []Session
	DeletedSessions []int64
}

// TakeChanges gives what changed since the last call and forgets it.
func (t *Tree) TakeChanges() Changes {
	c := Changes{Zxid: t.zxid, Deleted: t.track.deleted}
	live := 0
	for _, n := range t.track.dirty {
		if !n.dead {
			live++
		}
	}
	c.Paths = make([]string, 0, live)
	c.Nodes = make([][]byte, 0, live)
	for _, n := range t.track.dirty {
		n.dirty = false
		if !n.dead {
			c.Paths = append(c.Paths, n.path())
			c.Nodes = append(c.Nodes, t.encode(n))
		}
	}
	for id := range t.track.sessions {
		if s, ok := t.sessions[id]; ok {
			c.Sessions = append(c.Sessions, *s)
		} else {
			c.DeletedSessions = append(c.DeletedSessions, id)
		}
	}
	t.track.dirty, t.track.deleted, t.track.sessions = nil, nil, nil
	return c
}

func (t *Tree) encode(n *node) []byte {
	b := make([]byte, 0, 72+len(n.data))
	for _, v := range [...]int64{n.czxid, n.mzxid, n.pzxid, n.ctime, n.mtime, n.owner} {
		b = jute.AppendInt64(b, v)
	}
	for _, v := range [...]int32{n.version, n.aversion, n.creates} {
		b = jute.AppendInt32(b, v)
	}
	b = jute.AppendBuffer(b, n.data)
	if n.acl == t.open {
		return b
	}
	return jute.AppendACLs(b, n.acl.list)
}

// Restorer rebuilds a tree from what TakeChanges gave: nodes in the order of their paths, then Finish.
type Restorer struct {
	t          *Tree
	parentPath string
	parent     *node
}

// NewRestorer starts an empty tree.
func NewRestorer() *Restorer {
	t := New(false)
	*t.root = node{data: []byte{}, acl: t.open}
	t.nodes = 1
	return &Restorer{t: t, parentPath: "", parent: t.root}
}

// Node adds one znode, whose parent must be there.
func (r *Restorer) Node(path, value []byte) error {
	t := r.t
	d := jute.NewDecoder(value)
	n := &node{
		czxid: d.Int64(), mzxid: d.Int64(), pzxid: d.Int64(), ctime: d.Int64(), mtime: d.Int64(), owner: d.Int64(),
		version: d.Int32(), aversion: d.Int32(), creates: d.Int32(), data: bytes.Clone(d.Buffer()), acl: t.open,
	}
	if len(d.Rest()) > 0 {
		n.acl = t.share(d.ACLs())
	}
	if d.Err() != nil {
		return fmt.Errorf("znode %q: %w", path, d.Err())
	}
	if string(path) == "/" {
		kids := t.root.kids
		*t.root = *n
		t.root.kids = kids
		return nil
	}
	i := bytes.LastIndexByte(path, '/')
	if i < 0 || i == len(path)-1 {
		return fmt.Errorf("znode %q: not a path", path)
	}
	if up := path[:i]; string(up) != r.parentPath {
		parent := t.lookup(string(up))
		if parent == nil {
			return fmt.Errorf("znode %q: its parent is missing", path)
		}
		r.parentPath, r.parent = string(up), parent
	}
	n.name = t.name(string(path[i+1:]))
	if r.parent.child(n.name) != nil {
		return fmt.Errorf("znode %q: stored twice", path)
	}
	t.link(r.parent, n)
	return nil
}

// Session adds one session.
func (r *Restorer) Session(s Session) { r.t.sessions[s.ID] = &s }

// Finish gives the tree, which from now on keeps its changes.
func (r *Restorer) Finish(zxid int64) *Tree {
	r.t.zxid = zxid
	r.t.track.on = true
	return r.t
}
