package tree

import (
	"strings"

	"gregor/zkmeta/jute"
)

// Reader is who reads: what was proved, where watches go, whose ephemerals are asked for.
type Reader struct {
	Session int64
	IDs     []jute.ID
	Watcher WatcherID
	Watches *Watches
	// Fire is given the events that a SetWatches finds to be overdue.
	Fire func(Event)
}

// Read answers a request that changes no znode; watches that it asks for are registered. The response's body is appended
// to out.
func (t *Tree) Read(op jute.Op, body []byte, who *Reader, out []byte) ([]byte, jute.Code) {
	if _, ok := t.sessions[who.Session]; !ok {
		return out, jute.ErrSessionExpired
	}
	d := jute.NewDecoder(body)
	n := len(out)
	var code jute.Code
	switch op {
	case jute.OpExists, jute.OpGetData, jute.OpGetChildren, jute.OpGetChildren2:
		var r jute.PathWatch
		r.Decode(&d)
		if d.Err() == nil {
			out, code = t.get(op, &r, who, out)
		}
	case jute.OpMultiRead:
		out, code = t.multiRead(&d, who, out)
	case jute.OpGetACL:
		if path := d.View(); d.Err() == nil {
			out, code = t.getACL(path, who, out)
		}
	case jute.OpSync:
		out = jute.AppendString(out, d.View())
	case jute.OpSetWatches, jute.OpSetWatches2:
		var r jute.SetWatches
		r.Decode(&d, op == jute.OpSetWatches2)
		if d.Err() == nil {
			t.setWatches(&r, who)
		}
	case jute.OpCheckWatches, jute.OpRemoveWatches, jute.OpAddWatch:
		var r jute.PathMode
		r.Decode(&d)
		if d.Err() == nil {
			out, code = watchOp(op, &r, who, out)
		}
	case jute.OpGetEphemerals:
		prefix := d.View()
		out = t.getEphemerals(prefix, who, out)
	case jute.OpGetChildrenTotal:
		if path := d.View(); d.Err() == nil {
			out, code = t.childrenTotal(path, who, out)
		}
	case jute.OpWhoAmI:
		out = jute.AppendInt32(out, int32(len(who.IDs)))
		for _, id := range who.IDs {
			out = jute.AppendString(jute.AppendString(out, id.Scheme), UserName(id))
		}
	default:
		return out, jute.ErrUnimplemented
	}
	if d.Err() != nil {
		code = jute.ErrMarshalling
	}
	if code != jute.OK {
		out = out[:n]
	}
	return out, code
}

// get answers the four reads that may leave a watch.
func (t *Tree) get(op jute.Op, r *jute.PathWatch, who *Reader, out []byte) ([]byte, jute.Code) {
	n := t.lookup(r.Path)
	if op == jute.OpExists {
		if strings.IndexByte(r.Path, 0) >= 0 {
			return out, jute.ErrBadArguments
		}
		if r.Watch {
			who.Watches.AddData(r.Path, who.Watcher)
		}
		if n == nil {
			return out, jute.ErrNoNode
		}
		return appendStat(out, n), jute.OK
	}
	if n == nil {
		return out, jute.ErrNoNode
	}
	if !n.acl.allows(jute.PermRead, who.IDs) {
		return out, jute.ErrNoAuth
	}
	if op == jute.OpGetData {
		if r.Watch {
			who.Watches.AddData(r.Path, who.Watcher)
		}
		return appendStat(jute.AppendBuffer(out, n.data), n), jute.OK
	}
	if r.Watch {
		who.Watches.AddChild(r.Path, who.Watcher)
	}
	out = jute.AppendInt32(out, int32(n.numChildren()))
	if n.kids != nil {
		for _, c := range n.kids.list {
			out = jute.AppendString(out, c.name)
		}
	}
	if op == jute.OpGetChildren2 {
		out = appendStat(out, n)
	}
	return out, jute.OK
}

func (t *Tree) multiRead(d *jute.Decoder, who *Reader, out []byte) ([]byte, jute.Code) {
	for {
		var h jute.MultiHeader
		h.Decode(d)
		if d.Err() != nil {
			return out, jute.ErrMarshalling
		}
		if h.Done {
			return jute.MultiEnd.Append(out), jute.OK
		}
		var r jute.PathWatch
		r.Decode(d)
		if d.Err() != nil || h.Op != jute.OpGetData && h.Op != jute.OpGetChildren {
			return out, jute.ErrMarshalling
		}
		start := len(out)
		var code jute.Code
		r.Watch = false // as in ZooKeeper, which drops the flag
		out, code = t.get(h.Op, &r, who, jute.MultiHeader{Op: h.Op}.Append(out))
		if code != jute.OK {
			out = jute.AppendMultiError(out[:start], code)
		}
	}
}

// getACL shows a node's ACL; the hashes in it only to who may change it.
func (t *Tree) getACL(path string, who *Reader, out []byte) ([]byte, jute.Code) {
	n := t.lookup(path)
	if n == nil {
		return out, jute.ErrNoNode
	}
	if !n.acl.allows(jute.PermRead|jute.PermAdmin, who.IDs) {
		return out, jute.ErrNoAuth
	}
	list := n.acl.list
	if !n.acl.allows(jute.PermAdmin, who.IDs) {
		list = make([]jute.ACL, len(n.acl.list))
		for i, a := range n.acl.list {
			if a.ID.Scheme == "digest" {
				a.ID.ID = UserName(a.ID) + ":x"
			}
			list[i] = a
		}
	}
	return appendStat(jute.AppendACLs(out, list), n), jute.OK
}

// setWatches registers what a client watched before it reconnected. What changed meanwhile fires at once.
func (t *Tree) setWatches(r *jute.SetWatches, who *Reader) {
	w := who.Watches
	for _, p := range r.Data {
		switch n := t.lookup(p); {
		case n == nil:
			who.Fire(Event{Type: jute.NodeDeleted, Path: p})
		case n.mzxid > r.RelativeZxid:
			who.Fire(Event{Type: jute.NodeDataChanged, Path: p})
		default:
			w.AddData(p, who.Watcher)
		}
	}
	for _, p := range r.Exist {
		if t.lookup(p) != nil {
			who.Fire(Event{Type: jute.NodeCreated, Path: p})
		} else {
			w.AddData(p, who.Watcher)
		}
	}
	for _, p := range r.Child {
		switch n := t.lookup(p); {
		case n == nil:
			who.Fire(Event{Type: jute.NodeDeleted, Path: p})
		case n.pzxid > r.RelativeZxid:
			who.Fire(Event{Type: jute.NodeChildrenChanged, Path: p})
		default:
			w.AddChild(p, who.Watcher)
		}
	}
	for _, p := range r.Persistent {
		w.AddPersistent(p, who.Watcher, false)
	}
	for _, p := range r.Recursive {
		w.AddPersistent(p, who.Watcher, true)
	}
}

func watchOp(op jute.Op, r *jute.PathMode, who *Reader, out []byte) ([]byte, jute.Code) {
	switch op {
	case jute.OpAddWatch:
		if r.Mode != jute.AddPersistent && r.Mode != jute.AddPersistentRecursive {
			return out, jute.ErrBadArguments
		}
		who.Watches.AddPersistent(r.Path, who.Watcher, r.Mode == jute.AddPersistentRecursive)
		return jute.AppendInt32(out, 0), jute.OK // ErrorResponse(0)
	case jute.OpCheckWatches, jute.OpRemoveWatches:
		if r.Mode < jute.WatchersChildren || r.Mode > jute.WatchersAny {
			return out, jute.ErrMarshalling
		}
		found := false
		if op == jute.OpCheckWatches {
			found = who.Watches.Has(r.Path, who.Watcher, r.Mode)
		} else {
			found = who.Watches.Remove(r.Path, who.Watcher, r.Mode)
		}
		if !found {
			return out, jute.ErrNoWatcher
		}
	}
	return out, jute.OK
}

func (t *Tree) getEphemerals(prefix string, who *Reader, out []byte) []byte {
	prefix = strings.TrimFunc(prefix, func(r rune) bool { return r <= ' ' })
	var list []string
	for _, p := range t.Ephemerals(who.Session) {
		if prefix == "" || prefix == "/" || strings.HasPrefix(p, prefix) {
			list = append(list, p)
		}
	}
	return jute.AppendStrings(out, list)
}

// childrenTotal counts everything below a node.
func (t *Tree) childrenTotal(path string, who *Reader, out []byte) ([]byte, jute.Code) {
	n := t.lookup(path)
	if n == nil {
		return out, jute.ErrNoNode
	}
	if !n.acl.allows(jute.PermRead, who.IDs) {
		return out, jute.ErrNoAuth
	}
	return jute.AppendInt32(out, n.below()), jute.OK
}

func (n *node) below() int32 {
	if n.kids == nil {
		return 0
	}
	total := int32(len(n.kids.list))
	for _, c := range n.kids.list {
		total += c.below()
	}
	return total
}
