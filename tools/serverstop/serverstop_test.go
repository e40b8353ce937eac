package serverstop

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fakeProc makes a process list: exe and arguments by process id.
func fakeProc(t *testing.T, procs map[int][]string) string {
	t.Helper()
	dir := t.TempDir()
	for pid, p := range procs {
		d := filepath.Join(dir, strconv.Itoa(pid))
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if p[0] != "" {
			if err := os.Symlink(p[0], filepath.Join(d, "exe")); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(d, "cmdline"), []byte(strings.Join(p[1:], "\x00")+"\x00"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOnlyServersAreSignalled(t *testing.T) {
	proc := fakeProc(t, map[int][]string{
		1:  {"/opt/gregor/bin/gregor", "/opt/gregor/bin/gregor", "kafka-server-start", "server.properties"},
		2:  {"/opt/gregor/bin/gregor (deleted)", "bin/gregor"},
		3:  {"/opt/gregor/bin/gregor", "gregor", "zookeeper-server-start", "zoo.cfg"},
		4:  {"/opt/gregor/bin/gregor", "gregor", "kafka-topics", "--topic", "kafka-server-start"},
		5:  {"/bin/dash", "sh", "kafka-server-start.sh"},
		6:  {"/usr/bin/vim", "vim", "gregor", "kafka-server-start"},
		7:  {"/usr/bin/java", "java", "-cp", "x", "kafka.Kafka", "server.properties"},
		8:  {"", "gregor", "kafka-server-start"},
		9:  {"/opt/gregor/bin/gregor", "gregor", "kafka-run-class", "kafka.Kafka", "server.properties"},
		10: {"/opt/gregor/bin/gregor", "/usr/bin/kafka-server-start.sh", "server.properties"},
		11: {"/opt/gregor/bin/gregor", "gregor", "kafka-server-stop"},
	})
	for _, c := range []struct {
		server Server
		want   []int
	}{{Kafka, []int{1, 2, 9, 10}}, {ZooKeeper, []int{3}}} {
		var got []int
		kill := func(pid int, sig syscall.Signal) error {
			if sig != syscall.SIGTERM {
				t.Errorf("signal %v", sig)
			}
			got = append(got, pid)
			return nil
		}
		var out bytes.Buffer
		if code := c.server.stop(proc, "", kill, &out, &out); code != 0 || out.Len() > 0 || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: code %d, said %q, signalled %v, want %v", c.server.Command, code, &out, got, c.want)
		}
	}
}

func TestNothingToStopIsKafkasMessage(t *testing.T) {
	for _, c := range []struct {
		server Server
		want   string
	}{{Kafka, "No kafka server to stop\n"}, {ZooKeeper, "No zookeeper server to stop\n"}} {
		var out, errs bytes.Buffer
		code := c.server.stop(fakeProc(t, nil), "", nil, &out, &errs)
		if code != 1 || out.String() != c.want || errs.Len() > 0 {
			t.Errorf("%d %q %q", code, &out, &errs)
		}
	}
}

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]syscall.Signal{"": syscall.SIGTERM, "KILL": syscall.SIGKILL, "sigint": syscall.SIGINT, "9": syscall.SIGKILL} {
		if got, err := parseSignal(name); err != nil || got != want {
			t.Errorf("%q: %v %v", name, got, err)
		}
	}
	if _, err := parseSignal("NOPE"); err == nil {
		t.Error("NOPE was taken for a signal")
	}
}
