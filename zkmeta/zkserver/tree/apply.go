package tree

import (
	"bytes"
	"fmt"
	"strings"

	"gregor/zkmeta/jute"
)

// Apply runs the next transaction. The response's body is appended to out.
func (t *Tree) Apply(x *Txn, out []byte) Result {
	t.zxid = x.Zxid
	t.events = t.events[:0]
	switch x.Op {
	case jute.OpCreateSession:
		return t.openSession(x, out)
	case jute.OpCloseSession:
		t.closeSession(x)
		return Result{Body: out, Events: t.events}
	}
	if _, ok := t.sessions[x.Session]; !ok {
		return Result{Code: jute.ErrSessionExpired, Body: out}
	}
	if x.Op == jute.OpMulti {
		return t.multi(x, out)
	}
	d := jute.NewDecoder(x.Body)
	var p part
	if !p.decode(x.Op, &d) {
		return Result{Code: jute.ErrMarshalling, Body: out}
	}
	n := len(out)
	out, code := t.run(x, &p, out)
	if code != jute.OK {
		out = out[:n]
	}
	return Result{Code: code, Body: out, Events: t.events}
}

func (t *Tree) openSession(x *Txn, out []byte) Result {
	d := jute.NewDecoder(x.Body)
	s := &Session{ID: x.Session, TimeoutMs: d.Int32()}
	copy(s.Password[:], d.Rest())
	t.sessions[s.ID] = s
	t.sessionChanged(s.ID)
	return Result{Body: out}
}

func (t *Tree) closeSession(x *Txn) {
	if _, ok := t.sessions[x.Session]; !ok {
		return
	}
	for _, path := range t.Ephemerals(x.Session) {
		t.remove(x, t.lookup(path), path)
	}
	delete(t.sessions, x.Session)
	t.sessionChanged(x.Session)
}

// part is one decoded write, alone or in a multi.
type part struct {
	op      jute.Op
	create  jute.CreateRequest
	set     jute.SetDataRequest
	setACL  jute.SetACLRequest
	version jute.PathVersion
}

func (p *part) decode(op jute.Op, d *jute.Decoder) bool {
	p.op = op
	switch op {
	case jute.OpCreate, jute.OpCreate2:
		p.create.Decode(d)
	case jute.OpDelete, jute.OpCheckVersion:
		p.version.Decode(d)
	case jute.OpSetData:
		p.set.Decode(d)
	case jute.OpSetACL:
		p.setACL.Decode(d)
	case jute.OpCreateContainer, jute.OpCreateTTL:
		p.create.Decode(d)
		if op == jute.OpCreateTTL {
			d.Int64()
		}
	default:
		return false
	}
	return d.Err() == nil
}

// run does one write and appends its response.
func (t *Tree) run(x *Txn, p *part, out []byte) ([]byte, jute.Code) {
	switch p.op {
	case jute.OpCreate, jute.OpCreate2:
		n, path, code := t.create(x, &p.create)
		if code != jute.OK {
			return out, code
		}
		out = jute.AppendString(out, path)
		if p.op == jute.OpCreate2 && x.Op == jute.OpCreate2 { // in a multi it answers as create does
			out = appendStat(out, n)
		}
		return out, jute.OK
	case jute.OpDelete:
		return out, t.delete(x, &p.version)
	case jute.OpSetData:
		n, code := t.setData(x, &p.set)
		if code != jute.OK {
			return out, code
		}
		return appendStat(out, n), jute.OK
	case jute.OpSetACL:
		n, code := t.setACL(x, &p.setACL)
		if code != jute.OK {
			return out, code
		}
		return appendStat(out, n), jute.OK
	case jute.OpCheckVersion:
		n, code := t.check(x, &p.version)
		if code != jute.OK {
			return out, code
		}
		if x.Op == jute.OpCheckVersion {
			out = appendStat(out, n)
		}
		return out, jute.OK
	}
	return out, jute.ErrUnimplemented
}

func appendStat(b []byte, n *node) []byte {
	s := n.stat()
	return s.Append(b)
}

func (t *Tree) create(x *Txn, r *jute.CreateRequest) (*node, string, jute.Code) {
	switch {
	case r.Flags >= 4 && r.Flags <= 6: // containers and nodes with a time to live
		return nil, "", jute.ErrUnimplemented
	case r.Flags < 0 || r.Flags > 6:
		return nil, "", jute.ErrBadArguments
	}
	path := r.Path
	up, name, ok := split(path)
	if !ok || strings.IndexByte(path, 0) >= 0 {
		return nil, "", jute.ErrBadArguments
	}
	acl, code := t.fixACL(r.ACLs, x.IDs)
	if code != jute.OK {
		return nil, "", code
	}
	parent := t.lookup(up)
	if parent == nil {
		return nil, "", jute.ErrNoNode
	}
	if !parent.acl.allows(jute.PermCreate, x.IDs) {
		return nil, "", jute.ErrNoAuth
	}
	if r.Flags&jute.FlagSequential != 0 {
		suffix := fmt.Sprintf("%010d", parent.creates)
		path, name = path+suffix, name+suffix
	}
	if !validPath(path) {
		return nil, "", jute.ErrBadArguments
	}
	if path == "/" || parent.child(name) != nil {
		return nil, "", jute.ErrNodeExists
	}
	if parent.owner != 0 {
		return nil, "", jute.ErrNoChildrenForEphemerals
	}
	n := &node{
		name: t.name(name), data: bytes.Clone(r.Data), acl: acl,
		czxid: x.Zxid, mzxid: x.Zxid, pzxid: x.Zxid, ctime: x.Time, mtime: x.Time,
	}
	if r.Flags&jute.FlagEphemeral != 0 {
		n.owner = x.Session
	}
	t.keep(parent)
	parent.creates++
	parent.pzxid = x.Zxid
	t.link(parent, n)
	if t.inUndo {
		t.undo = append(t.undo, undo{n: n, kind: undoCreate})
	}
	t.event(jute.NodeCreated, path, n)
	t.event(jute.NodeChildrenChanged, parentPath(path), parent)
	return n, path, jute.OK
}

// special znodes cannot be deleted.
func special(path string) bool {
	switch path {
	case "", "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config":
		return true
	}
	return false
}

func (t *Tree) delete(x *Txn, r *jute.PathVersion) jute.Code {
	up, name, ok := split(r.Path)
	if !ok || strings.IndexByte(r.Path, 0) >= 0 || special(r.Path) {
		return jute.ErrBadArguments
	}
	parent := t.lookup(up)
	if parent == nil {
		return jute.ErrNoNode
	}
	if !parent.acl.allows(jute.PermDelete, x.IDs) {
		return jute.ErrNoAuth
	}
	n := parent.child(name)
	if n == nil {
		return jute.ErrNoNode
	}
	if r.Version != -1 && r.Version != n.version {
		return jute.ErrBadVersion
	}
	if n.numChildren() > 0 {
		return jute.ErrNotEmpty
	}
	t.remove(x, n, r.Path)
	return jute.OK
}

// remove takes a childless node away and tells the watchers.
func (t *Tree) remove(x *Txn, n *node, path string) {
	parent := n.parent
	t.keep(parent)
	parent.pzxid = x.Zxid
	if t.inUndo {
		t.undo = append(t.undo, undo{n: n, kind: undoDelete, was: *n})
	}
	t.unlink(n)
	t.event(jute.NodeDeleted, path, n)
	t.event(jute.NodeChildrenChanged, parentPath(path), parent)
}

func (t *Tree) setData(x *Txn, r *jute.SetDataRequest) (*node, jute.Code) {
	n, code := t.checked(r.Path, jute.PermWrite, x.IDs)
	if code != jute.OK {
		return nil, code
	}
	if r.Version != -1 && r.Version != n.version {
		return nil, jute.ErrBadVersion
	}
	t.keep(n)
	t.dataSize += int64(len(r.Data) - len(n.data))
	n.data = bytes.Clone(r.Data)
	n.version++
	n.mzxid, n.mtime = x.Zxid, x.Time
	t.event(jute.NodeDataChanged, r.Path, n)
	return n, jute.OK
}

func (t *Tree) setACL(x *Txn, r *jute.SetACLRequest) (*node, jute.Code) {
	if !validPath(r.Path) {
		return nil, jute.ErrBadArguments
	}
	acl, code := t.fixACL(r.ACLs, x.IDs)
	if code != jute.OK {
		return nil, code
	}
	n, code := t.checked(r.Path, jute.PermAdmin, x.IDs)
	if code != jute.OK {
		return nil, code
	}
	if r.Version != -1 && r.Version != n.aversion {
		return nil, jute.ErrBadVersion
	}
	t.keep(n)
	n.acl = acl
	n.aversion++
	return n, jute.OK
}

func (t *Tree) check(x *Txn, r *jute.PathVersion) (*node, jute.Code) {
	n, code := t.checked(r.Path, jute.PermRead, x.IDs)
	if code == jute.OK && r.Version != -1 && r.Version != n.version {
		return nil, jute.ErrBadVersion
	}
	return n, code
}

// checked finds a node by a path that must be valid, and checks its ACL.
func (t *Tree) checked(path string, perm int32, ids []jute.ID) (*node, jute.Code) {
	n := t.lookup(path)
	switch {
	case n == nil && !validPath(path), path == "":
		return nil, jute.ErrBadArguments
	case n == nil:
		return nil, jute.ErrNoNode
	case !n.acl.allows(perm, ids):
		return nil, jute.ErrNoAuth
	}
	return n, jute.OK
}

// multi does all of its parts or none. When one fails, those before it answer 0, it its code, those after it -2.
func (t *Tree) multi(x *Txn, out []byte) Result {
	start := len(out)
	size := t.dataSize
	t.inUndo, t.undo = true, t.undo[:0]
	failed, code, parts := -1, jute.OK, 0
	d := jute.NewDecoder(x.Body)
	var p part
	for ; ; parts++ {
		var h jute.MultiHeader
		h.Decode(&d)
		if d.Err() == nil && h.Done {
			break
		}
		if d.Err() != nil || h.Op == jute.OpSetACL || !p.decode(h.Op, &d) {
			t.endMulti(true, size)
			return Result{Code: jute.ErrMarshalling, Body: out[:start]}
		}
		if failed >= 0 {
			continue
		}
		op := h.Op
		if op == jute.OpCreate2 {
			op = jute.OpCreate
		}
		out = jute.MultiHeader{Op: op}.Append(out)
		if out, code = t.run(x, &p, out); code != jute.OK {
			failed = parts
		}
	}
	if failed < 0 {
		t.endMulti(false, size)
		return Result{Body: jute.MultiEnd.Append(out), Events: t.events}
	}
	t.endMulti(true, size)
	out = out[:start]
	for i := range parts {
		switch {
		case i < failed:
			out = jute.AppendMultiError(out, jute.OK)
		case i == failed:
			out = jute.AppendMultiError(out, code)
		default:
			out = jute.AppendMultiError(out, jute.ErrRuntimeInconsistency)
		}
	}
	return Result{Body: jute.MultiEnd.Append(out)}
}

func (t *Tree) endMulti(back bool, size int64) {
	t.inUndo = false
	if back {
		t.rollback()
		t.dataSize = size
		t.events = t.events[:0]
	}
	clear(t.undo)
	t.undo = t.undo[:0]
}
