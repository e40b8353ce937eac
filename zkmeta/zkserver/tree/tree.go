package tree

import (
	"sort"
	"strings"

	"gregor/zkmeta/jute"
)

// Event is what Apply made watchers see.
type Event struct {
	Type jute.EventType
	Path string
	acl  *acl // of the node that the watch is on; nil lets everybody see the event
}

// Visible says whether who has proved to be ids may learn of the event: it takes the right to read the node.
func (e *Event) Visible(ids []jute.ID) bool { return e.acl == nil || e.acl.allows(jute.PermRead, ids) }

// Result is what a transaction came to.
type Result struct {
	Code   jute.Code
	Body   []byte  // the response after its header
	Events []Event // valid until the next Apply
}

// Tree is the znodes and sessions.
type Tree struct {
	root     *node
	zxid     int64
	nodes    int
	dataSize int64
	open     *acl
	acls     map[string]*acl
	names    map[string]string // names that many nodes have

	sessions   map[int64]*Session
	ephemerals map[int64]map[*node]struct{}

	events []Event
	undo   []undo
	inUndo bool // a multi keeps what it changes

	track changes
}

// maxNames bounds the table of shared names.
const maxNames = 4096

// New makes the tree that a ZooKeeper starts with. With track it keeps what changes for TakeChanges.
func New(track bool) *Tree {
	t := &Tree{
		open: &acl{open: true, list: []jute.ACL{{Perms: jute.PermAll, ID: anyone}}},
		acls: map[string]*acl{}, names: map[string]string{}, sessions: map[int64]*Session{},
		ephemerals: map[int64]map[*node]struct{}{},
	}
	t.track.on = track
	t.root = &node{data: []byte{}, acl: t.open}
	t.nodes = 1
	zk := t.seed(t.root, "zookeeper")
	t.seed(zk, "quota")
	cfg := t.seed(zk, "config")
	cfg.acl, cfg.aversion = t.share([]jute.ACL{{Perms: jute.PermRead, ID: anyone}}), -1
	t.changed(t.root)
	return t
}

func (t *Tree) seed(parent *node, name string) *node {
	n := &node{name: name, data: []byte{}, acl: t.open}
	parent.attach(n)
	t.nodes++
	t.changed(n)
	return n
}

// Zxid is that of the last transaction.
func (t *Tree) Zxid() int64 { return t.zxid }

// Nodes counts the znodes, the root included.
func (t *Tree) Nodes() int { return t.nodes }

// DataSize is about how many bytes names and data have.
func (t *Tree) DataSize() int64 { return t.dataSize }

// Session finds an open session.
func (t *Tree) Session(id int64) (*Session, bool) {
	s, ok := t.sessions[id]
	return s, ok
}

// Sessions calls f with each open session in the order of their ids.
func (t *Tree) Sessions(f func(*Session)) {
	ids := make([]int64, 0, len(t.sessions))
	for id := range t.sessions {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	for _, id := range ids {
		f(t.sessions[id])
	}
}

// Ephemerals gives the sorted paths of a session's ephemeral znodes.
func (t *Tree) Ephemerals(session int64) []string {
	out := make([]string, 0, len(t.ephemerals[session]))
	for n := range t.ephemerals[session] {
		out = append(out, n.path())
	}
	sort.Strings(out)
	return out
}

// EphemeralCount counts the ephemeral znodes of all sessions, and the sessions that have any.
func (t *Tree) EphemeralCount() (nodes, sessions int) {
	for _, m := range t.ephemerals {
		nodes += len(m)
	}
	return nodes, len(t.ephemerals)
}

// name gives a string for a node's name that does not keep the request alive, the same for nodes named alike.
func (t *Tree) name(s string) string {
	if v, ok := t.names[s]; ok {
		return v
	}
	s = strings.Clone(s)
	if len(t.names) < maxNames && len(s) <= 16 {
		t.names[s] = s
	}
	return s
}

func (t *Tree) event(typ jute.EventType, path string, n *node) {
	t.events = append(t.events, Event{typ, path, n.acl})
}

// undo is one step back.
type undo struct {
	n    *node
	kind undoKind
	was  node // the fields before, without children and place
}

type undoKind uint8

const (
	undoFields undoKind = iota
	undoCreate
	undoDelete
)

// keep remembers a node's fields before a multi changes them.
func (t *Tree) keep(n *node) {
	if t.inUndo {
		t.undo = append(t.undo, undo{n: n, kind: undoFields, was: *n})
	}
	t.changed(n)
}

func (t *Tree) rollback() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		u := &t.undo[i]
		switch u.kind {
		case undoFields:
			n := u.n
			n.data, n.acl = u.was.data, u.was.acl
			n.mzxid, n.pzxid, n.mtime = u.was.mzxid, u.was.pzxid, u.was.mtime
			n.version, n.aversion, n.creates = u.was.version, u.was.aversion, u.was.creates
		case undoCreate:
			t.unlink(u.n)
		case undoDelete:
			t.link(u.was.parent, u.n)
		}
	}
}

// link puts a node under its parent.
func (t *Tree) link(parent, n *node) {
	parent.attach(n)
	t.nodes++
	t.dataSize += int64(len(n.name) + len(n.data))
	if n.owner != 0 {
		m := t.ephemerals[n.owner]
		if m == nil {
			m = map[*node]struct{}{}
			t.ephemerals[n.owner] = m
		}
		m[n] = struct{}{}
	}
	t.changed(n)
}

// unlink takes a childless node out.
func (t *Tree) unlink(n *node) {
	t.removed(n)
	n.parent.detach(n)
	t.nodes--
	t.dataSize -= int64(len(n.name) + len(n.data))
	if n.owner != 0 {
		m := t.ephemerals[n.owner]
		delete(m, n)
		if len(m) == 0 {
			delete(t.ephemerals, n.owner)
		}
	}
}
