package zookeepershell

import (
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"
)

// perms are the letters of the permissions, in the order in which they are shown.
var perms = []struct {
	letter byte
	perm   int32
}{{'c', zk.PermCreate}, {'d', zk.PermDelete}, {'r', zk.PermRead}, {'w', zk.PermWrite}, {'a', zk.PermAdmin}}

// acl reads scheme:id:perm,... and says what it cannot read.
func (sh *shell) acl(text string) []zk.ACL {
	var out []zk.ACL
	for item := range strings.SplitSeq(text, ",") {
		first, last := strings.IndexByte(item, ':'), strings.LastIndexByte(item, ':')
		if first == last {
			fmt.Fprintln(sh.err, item+" does not have the form scheme:id:perm")
			continue
		}
		a := zk.ACL{Scheme: item[:first], ID: item[first+1 : last]}
	letters:
		for i := last + 1; i < len(item); i++ {
			for _, p := range perms {
				if p.letter == item[i] {
					a.Perms |= p.perm
					continue letters
				}
			}
			fmt.Fprintf(sh.err, "Unknown perm type: %c\n", item[i])
		}
		out = append(out, a)
	}
	return out
}

func permString(perm int32) string {
	var b strings.Builder
	for _, p := range perms {
		if perm&p.perm != 0 {
			b.WriteByte(p.letter)
		}
	}
	return b.String()
}

func getACL(sh *shell, in input) error {
	path := in.args[0]
	conn, full, err := sh.at(path)
	if err != nil {
		return explain(err, path)
	}
	acl, st, err := conn.GetACL(full)
	if err != nil {
		return explain(err, path)
	}
	for _, a := range acl {
		sh.out.printf("'%s,'%s\n: %s\n", a.Scheme, a.ID, permString(a.Perms))
	}
	if in.has('s') {
		sh.out.printf("%s", statText(st))
	}
	return nil
}

func setACL(sh *shell, in input) error {
	path := in.args[0]
	version, err := in.version()
	if err != nil {
		return err
	}
	acl := sh.acl(in.args[1])
	if len(acl) == 0 {
		return refusal("Acl is not valid : " + path)
	}
	conn, full, err := sh.at(path)
	if err != nil {
		return explain(err, path)
	}
	if in.has('R') {
		return sh.setACLs(conn, full, path, acl, version)
	}
	st, err := conn.SetACL(full, acl, version)
	if err != nil {
		return explain(err, path)
	}
	if in.has('s') {
		sh.out.printf("%s", statText(st))
	}
	return nil
}

// setACLs goes on where one node refuses, and says so.
func (sh *shell) setACLs(conn *zk.Conn, full, path string, acl []zk.ACL, version int32) error {
	var found []string
	if err := walk(conn, full, func(p string) { found = append(found, p) }); err != nil {
		return explain(err, path)
	}
	for _, p := range found {
		if _, err := conn.SetACL(p, acl, version); err != nil {
			sh.out.printf("%s", keeper(err, sh.relative(p)))
		}
	}
	return nil
}

func addAuth(sh *shell, in input) error {
	conn, err := sh.session()
	if err != nil {
		return explain(err, "auth")
	}
	var auth []byte
	if len(in.args) > 1 {
		auth = []byte(in.args[1])
	}
	return explain(conn.AddAuth(in.args[0], auth), "auth")
}
