//go:build interop

package zkserver_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"gregor/zkmeta/zkserver"
)

const zkCliScript = `create /x hello
get -s /x
ls -s /
set /x v2
create -e -s /x/e data
ls -R /
getAllChildrenNumber /
getEphemerals
whoami
addauth digest u:p
whoami
create /acl d auth:u:p:cdrwa
getAcl /acl
setAcl /x world:anyone:r
getAcl -s /x
addWatch -m PERSISTENT_RECURSIVE /y
create /y
create /y/z
deleteall /y
removewatches /y
delete /none
set -v 7 /acl e
sync /
quit
`

// varying is what differs from one run to the next.
var varying = regexp.MustCompile(`(?m)^(Connecting to|ctime =|mtime =|ephemeralOwner = 0x.{2,}).*$|^\s*$`)

// TestZkCli runs Apache's own shell on both servers and compares what it prints.
func TestZkCli(t *testing.T) {
	const shell = "/usr/share/zookeeper/bin/zkCli.sh"
	if _, err := os.Stat(shell); err != nil {
		t.Skip("zkCli.sh is not installed: apt-get install zookeeper")
	}
	_, ours := start(t, zkserver.Options{DataDir: t.TempDir()})
	run := func(addr string) string {
		cmd := exec.Command(shell, "-server", addr)
		cmd.Stdin = strings.NewReader(zkCliScript)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("zkCli.sh: %v", err)
		}
		return varying.ReplaceAllString(string(out), "$1")
	}
	want, got := run(apache(t)), run(ours)
	if want != got {
		t.Errorf("on Apache ZooKeeper:\n%s\non ours:\n%s", want, got)
	}
	if !strings.Contains(got, "dataVersion") || !strings.Contains(got, "NodeDeleted") {
		t.Errorf("the shell did not run:\n%s", got)
	}
}

// TestKazoo runs the recipes of Python's client: locks, queues, elections, transactions, digests.
func TestKazoo(t *testing.T) {
	if err := exec.Command("python3", "-c", "import kazoo").Run(); err != nil {
		t.Skip("kazoo is not installed: pip install kazoo")
	}
	_, addr := start(t, zkserver.Options{DataDir: t.TempDir()})
	out, err := exec.Command("python3", "testdata/kazoo_recipes.py", addr).CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "done\n") {
		t.Errorf("%v\n%s", err, out)
	}
}
