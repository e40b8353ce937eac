package tree

import (
	"crypto/sha1" // ZooKeeper's digest scheme is defined with it.
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"

	"gregor/zkmeta/jute"
)

// maxSharedACLs bounds the table of shared ACLs: real trees have a handful, a hostile client could make millions.
const maxSharedACLs = 1024

// acl is an access control list, shared by the nodes that have the same.
type acl struct {
	list []jute.ACL
	open bool // everything to everybody, which needs no look
}

var anyone = jute.ID{Scheme: "world", ID: "anyone"}

// share gives the one acl for a list, whose strings it clones when it keeps them.
func (t *Tree) share(list []jute.ACL) *acl {
	if len(list) == 1 && list[0].ID == anyone && list[0].Perms == jute.PermAll {
		return t.open
	}
	key := string(jute.AppendACLs(nil, list))
	if a := t.acls[key]; a != nil {
		return a
	}
	a := &acl{list: make([]jute.ACL, len(list))}
	for i, e := range list {
		a.list[i] = jute.ACL{Perms: e.Perms, ID: jute.ID{Scheme: strings.Clone(e.ID.Scheme), ID: strings.Clone(e.ID.ID)}}
	}
	if len(t.acls) < maxSharedACLs {
		t.acls[key] = a
	}
	return a
}

// allows says whether whoever has proved to be ids may do one of perms.
func (a *acl) allows(perms int32, ids []jute.ID) bool {
	if a.open || len(a.list) == 0 {
		return true
	}
	for i := range a.list {
		e := &a.list[i]
		if e.Perms&perms == 0 {
			continue
		}
		if e.ID == anyone {
			return true
		}
		for _, id := range ids {
			if id.Scheme == e.ID.Scheme && matches(id, e.ID) {
				return true
			}
		}
	}
	return false
}

func matches(id, want jute.ID) bool {
	switch want.Scheme {
	case "digest":
		return id.ID == want.ID
	case "ip":
		addr, err := netip.ParseAddr(id.ID)
		if err != nil {
			return false
		}
		p, ok := ipPrefix(want.ID)
		return ok && p.Contains(addr.Unmap())
	}
	return false
}

// ipPrefix reads "address" or "address/bits".
func ipPrefix(s string) (netip.Prefix, bool) {
	host, bits, cut := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}, false
	}
	addr = addr.Unmap()
	n := addr.BitLen()
	if cut {
		if n, err = strconv.Atoi(bits); err != nil {
			return netip.Prefix{}, false
		}
	}
	p, err := addr.Prefix(n)
	return p, err == nil
}

// fixACL checks the list that a request brings and puts the client's own identities in place of the scheme "auth".
func (t *Tree) fixACL(list []jute.ACL, ids []jute.ID) (*acl, jute.Code) {
	if len(list) == 1 && list[0].ID == anyone && list[0].Perms == jute.PermAll {
		return t.open, jute.OK
	}
	if len(list) == 0 {
		return nil, jute.ErrInvalidACL
	}
	out := make([]jute.ACL, 0, len(list))
	add := func(a jute.ACL) {
		for _, b := range out {
			if a == b {
				return
			}
		}
		out = append(out, a)
	}
	for _, a := range list {
		switch {
		case a.ID == anyone:
			add(a)
		case a.ID.Scheme == "auth":
			known := false
			for _, id := range ids {
				if id.Scheme == "digest" {
					known = true
					add(jute.ACL{Perms: a.Perms, ID: id})
				}
			}
			if !known {
				return nil, jute.ErrInvalidACL
			}
		case validACLID(a.ID):
			add(a)
		default:
			return nil, jute.ErrInvalidACL
		}
	}
	return t.share(out), jute.OK
}

func validACLID(id jute.ID) bool {
	switch id.Scheme {
	case "digest":
		user, hash, ok := strings.Cut(id.ID, ":")
		return ok && user != "" && hash != "" && !strings.Contains(hash, ":")
	case "ip":
		_, ok := ipPrefix(id.ID)
		return ok
	}
	return false
}

// DigestID is the identity that "user:password" proves under the scheme digest.
func DigestID(auth []byte) jute.ID {
	user, _, _ := strings.Cut(string(auth), ":")
	sum := sha1.Sum(auth)
	return jute.ID{Scheme: "digest", ID: user + ":" + base64.StdEncoding.EncodeToString(sum[:])}
}

// UserName is the part of an identity that may be shown.
func UserName(id jute.ID) string {
	if id.Scheme == "digest" {
		user, _, _ := strings.Cut(id.ID, ":")
		return user
	}
	return id.ID
}
