//go:build interop

package zkserver_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver"
)

// apache starts a real ZooKeeper (Debian's package zookeeper) and waits until it serves.
func apache(t testing.TB) string {
	t.Helper()
	const jars = "/usr/share/java/"
	if _, err := os.Stat(jars + "zookeeper.jar"); err != nil {
		t.Skip("Apache ZooKeeper is not installed: apt-get install zookeeper")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	port := ln.Addr().(*net.TCPAddr).Port
	_ = ln.Close()
	dir := t.TempDir()
	cfg := filepath.Join(dir, "zoo.cfg")
	text := "clientPortAddress=127.0.0.1\nclientPort=" + strconv.Itoa(port) + "\ndataDir=" + dir +
		"\ntickTime=2000\n4lw.commands.whitelist=*\nadmin.enableServer=false\nmaxClientCnxns=0\n"
	if err := os.WriteFile(cfg, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "out.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("java", "-Xmx512m", "-cp", strings.Join([]string{dir, jars + "zookeeper.jar", jars + "slf4j-log4j12.jar",
		jars + "log4j-1.2.jar", jars + "servlet-api.jar"}, ":"), "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		if strings.Contains(word(addr, "srvr"), "Mode:") {
			return addr
		}
		if time.Now().After(deadline) {
			b, _ := os.ReadFile(log.Name())
			t.Fatalf("Apache ZooKeeper does not serve: %s", b)
		}
	}
}

func word(addr, w string) string {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return ""
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(nc, w)
	b, _ := io.ReadAll(nc)
	return string(b)
}

// side is one of the two servers that are compared.
type side struct {
	clients []*raw
	shown   shown
}

func newSide(t *testing.T, addr string, clients int) *side {
	s := &side{shown: shown{map[int64]int{}}}
	for i := range clients {
		c := openRaw(t, addr)
		s.clients = append(s.clients, c)
		s.shown.sessions[c.resp.SessionID] = i
	}
	auth := jute.AuthPacket{Scheme: "digest", Auth: []byte("user:secret")}
	s.clients[0].do(jute.OpAuth, auth.Append(nil))
	return s
}

// run does one step and gives all that the clients see of it. Everybody asks something afterwards, so that their events are in.
func (s *side) run(st step) string {
	c := s.clients[st.client]
	h, body := c.do(st.op, st.body)
	out := []string{fmt.Sprintf("%v zxid %d %s", h.Code, h.Zxid, s.shown.body(st.op, body))}
	for i, c := range s.clients {
		events := c.events
		if i != st.client {
			events = nil
		}
		c.do(jute.OpSync, jute.AppendString(nil, "/"))
		events = append(events, c.events...)
		if st.op == jute.OpSetWatches {
			sort.Strings(events)
		}
		out = append(out, fmt.Sprintf("  %d saw %q", i, events))
	}
	return strings.Join(out, "\n")
}

// TestSameAsApache sends random requests to both servers and compares every answer, stat and event.
func TestSameAsApache(t *testing.T) {
	steps := 5000
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	_, ours := start(t, zkserver.Options{InMemory: true})
	a, b := newSide(t, apache(t), 3), newSide(t, ours, 3)
	r := rand.New(rand.NewPCG(seed, 1))
	bad := 0
	for i := range steps {
		st := randomStep(r, 3)
		want, got := a.run(st), b.run(st)
		if want != got {
			t.Errorf("step %d: %s\nApache: %s\nours:   %s", i, st.text, want, got)
			if bad++; bad > 10 {
				t.FailNow()
			}
		}
	}
}
