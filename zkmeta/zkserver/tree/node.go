package tree

import (
	"strings"

	"gregor/zkmeta/jute"
)

// fewChildren is up to how many children a name is looked for one by one: most znodes have one (a partition its state), and
// a map for each would triple the memory of a tree of partitions.
const fewChildren = 12

// node is one znode.
type node struct {
	name   string
	parent *node
	kids   *kids // nil without children
	data   []byte
	acl    *acl

	czxid, mzxid, pzxid int64
	ctime, mtime        int64
	owner               int64 // session of an ephemeral, else 0
	version, aversion   int32
	creates             int32 // creations below this node: the sequential suffix
	dirty               bool  // in Tree.dirty
	dead                bool  // detached
}

// kids holds children in a deterministic order: that of creation, save that a removal moves the last into the gap.
type kids struct {
	list  []*node
	index map[string]int32 // nil while there are few
}

func (n *node) numChildren() int {
	if n.kids == nil {
		return 0
	}
	return len(n.kids.list)
}

func (n *node) child(name string) *node {
	k := n.kids
	if k == nil {
		return nil
	}
	if k.index != nil {
		if i, ok := k.index[name]; ok {
			return k.list[i]
		}
		return nil
	}
	for _, c := range k.list {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (n *node) attach(c *node) {
	if n.kids == nil {
		n.kids = &kids{}
	}
	k := n.kids
	k.list = append(k.list, c)
	switch {
	case k.index != nil:
		k.index[c.name] = int32(len(k.list) - 1)
	case len(k.list) > fewChildren:
		k.index = make(map[string]int32, 2*len(k.list))
		for i, c := range k.list {
			k.index[c.name] = int32(i)
		}
	}
	c.parent, c.dead = n, false
}

func (n *node) detach(c *node) {
	k := n.kids
	at := -1
	if k.index != nil {
		at = int(k.index[c.name])
		delete(k.index, c.name)
	} else {
		for i := range k.list {
			if k.list[i] == c {
				at = i
				break
			}
		}
	}
	last := len(k.list) - 1
	if at != last {
		k.list[at] = k.list[last]
		if k.index != nil {
			k.index[k.list[at].name] = int32(at)
		}
	}
	k.list[last] = nil
	k.list = k.list[:last]
	if last == 0 {
		n.kids = nil
	}
	c.dead = true
}

// path builds the node's path.
func (n *node) path() string {
	if n.parent == nil {
		return "/"
	}
	size := 0
	for m := n; m.parent != nil; m = m.parent {
		size += 1 + len(m.name)
	}
	b := make([]byte, size)
	for m := n; m.parent != nil; m = m.parent {
		size -= len(m.name)
		copy(b[size:], m.name)
		size--
		b[size] = '/'
	}
	return string(b)
}

func (n *node) stat() jute.Stat {
	return jute.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Ctime: n.ctime, Mtime: n.mtime, Version: n.version,
		// What clients see counts creations and deletions below the node.
		Cversion: n.creates*2 - int32(n.numChildren()),
		Aversion: n.aversion, EphemeralOwner: n.owner, DataLength: int32(len(n.data)),
		NumChildren: int32(n.numChildren()), Pzxid: n.pzxid,
	}
}

// lookup finds a node by its path; "" is the root, as it is in ZooKeeper.
func (t *Tree) lookup(path string) *node {
	if path == "" || path == "/" {
		return t.root
	}
	if path[0] != '/' {
		return nil
	}
	n, rest := t.root, path[1:]
	for n != nil {
		name, more, found := strings.Cut(rest, "/")
		n = n.child(name)
		if !found {
			return n
		}
		rest = more
	}
	return nil
}

// split cuts a path into its parent's and its name.
func split(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}

func parentPath(path string) string {
	p, _, _ := split(path)
	if p == "" {
		return "/"
	}
	return p
}

// validPath says whether a znode may have the path: ZooKeeper's PathUtils, which judges UTF-16 units.
func validPath(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	if len(path) == 1 {
		return true
	}
	if path[len(path)-1] == '/' {
		return false
	}
	for name := range strings.SplitSeq(path[1:], "/") {
		if name == "" || name == "." || name == ".." {
			return false
		}
	}
	for _, r := range path {
		switch {
		case r <= 0x1f, r >= 0x7f && r <= 0x9f, r >= 0xd800 && r <= 0xf8ff, r >= 0xfff0:
			return false
		}
	}
	return true
}
