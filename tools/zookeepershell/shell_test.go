package zookeepershell

import (
	"bytes"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"
)

func TestLinesAreSplitAsByZkCli(t *testing.T) {
	for line, want := range map[string][]string{
		`set /a "two words"`:  {"set", "/a", "two words"},
		`  create /a '' -e `:  {"create", "/a", "", "-e"},
		`get /a"b`:            {"get", `/a"b`},
		`set /a {"b":1}`:      {"set", "/a", `{"b":1}`},
		`set /a '{"b": "c"}'`: {"set", "/a", `{"b": "c"}`},
	} {
		if got := split(line); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestOptionsStandAnywhereAndTogether(t *testing.T) {
	c := &command{flags: "sev:"}
	in, err := c.parse([]string{"/a", "-se", "x", "-v", "3"})
	if err != nil || !in.has('s') || !in.has('e') || in.flags['v'] != "3" || !reflect.DeepEqual(in.args, []string{"/a", "x"}) {
		t.Errorf("%v %v", in, err)
	}
	for words, want := range map[string]string{
		"-x":  "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -x",
		"-sx": "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -sx",
		"-v":  "org.apache.commons.cli.MissingArgumentException: Missing argument for option: v",
	} {
		if _, err := c.parse(strings.Fields(words)); fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", words, err, want)
		}
	}
}

func TestPathsAreCheckedBeforeTheyAreSent(t *testing.T) {
	sh := &shell{root: "/kafka"}
	for path, want := range map[string]string{
		"/": "/kafka", "/a/b": "/kafka/a/b",
		"":        "Path length must be > 0",
		"a":       "Path must start with / character",
		"/a/":     "Path must not end with / character",
		"/a//b":   `Invalid path string "/a//b" caused by empty node name specified @3`,
		"/a/../b": `Invalid path string "/a/../b" caused by relative paths not allowed @4`,
	} {
		got, err := sh.path(path)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestAccessListsAreReadAndWritten(t *testing.T) {
	var errs strings.Builder
	sh := &shell{err: &errs}
	got := sh.acl("world:anyone:r,digest:u:p:cdrwa,nonsense,ip:1.2.3.4:x")
	want := []zk.ACL{{Perms: zk.PermRead, Scheme: "world", ID: "anyone"}, {Perms: zk.PermAll, Scheme: "digest", ID: "u:p"}, {Scheme: "ip", ID: "1.2.3.4"}}
	if !reflect.DeepEqual(got, want) || permString(got[1].Perms) != "cdrwa" {
		t.Errorf("%v", got)
	}
	if want := "nonsense does not have the form scheme:id:perm\nUnknown perm type: x\n"; errs.String() != want {
		t.Errorf("%q, want %q", errs.String(), want)
	}
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	var stdout, stderr bytes.Buffer
	code := Main([]string{addr, "ls", "/"}, strings.NewReader(""), &stdout, &stderr)
	want := "gregor: no ZooKeeper answers at " + addr + "; check the address and that the server runs\nKeeperErrorCode = ConnectionLoss for /\n"
	if code != 1 || stderr.String() != want {
		t.Errorf("exit code %d, %q, want 1, %q", code, &stderr, want)
	}
}
