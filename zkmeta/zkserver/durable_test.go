package zkserver_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver"
)

// TestMain runs the test binary as a server when the environment says so, for a test to kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ZKSERVER_TEST_DIR"); dir != "" {
		serve(dir)
		return
	}
	os.Exit(m.Run())
}

func serve(dir string) {
	s, err := zkserver.New(zkserver.Options{DataDir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(ln.Addr())
	fmt.Fprintln(os.Stderr, s.Serve(ln))
	os.Exit(1)
}

// process starts a server process and gives its address and a way to kill it.
func process(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ZKSERVER_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), kill
}

func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	dir := t.TempDir()
	next := 0
	for round := range 4 {
		addr, kill := process(t, dir)
		var acked atomic.Int64
		acked.Store(int64(next))
		enough := make(chan struct{})
		done := make(chan struct{})
		r := openRaw(t, addr)
		if round == 0 {
			r.do(jute.OpCreate, create("/m", 0))
		}
		go func() { // answers in order: the count is what is acknowledged
			defer close(done)
			for i := next; ; i++ {
				if _, _, err := r.answer(); err != nil {
					return
				}
				acked.Store(int64(i + 1))
				if i == next+500 {
					close(enough)
				}
			}
		}()
		go func() {
			for i := next; i < next+20000; i++ {
				b := jute.MultiHeader{Op: jute.OpCreate}.Append(nil)
				b = append(b, create("/m/a"+strconv.Itoa(i), 0)...)
				b = jute.MultiHeader{Op: jute.OpCreate}.Append(b)
				b = append(b, create("/m/b"+strconv.Itoa(i), 0)...)
				b = append(jute.RequestHeader{Xid: int32(i), Op: jute.OpMulti}.Append(nil), jute.MultiEnd.Append(b)...)
				if _, err := r.nc.Write(append(jute.AppendInt32(nil, int32(len(b))), b...)); err != nil {
					return
				}
			}
		}()
		<-enough
		kill()
		<-done
		s, err := zkserver.New(zkserver.Options{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		next = verifyPairs(t, s, int(acked.Load()))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func create(path string, flags int32) []byte {
	return (&jute.CreateRequest{Path: path, ACLs: []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: "world", ID: "anyone"}}}, Flags: flags}).Append(nil)
}

// verifyPairs says how many pairs there are: all that were acknowledged, none by half.
func verifyPairs(t *testing.T, s *zkserver.Server, acked int) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	r := openRaw(t, ln.Addr().String())
	_, body := r.do(jute.OpGetChildren, (&jute.PathWatch{Path: "/m"}).Append(nil))
	d := jute.NewDecoder(body)
	there := map[string]bool{}
	for _, k := range d.Views() {
		there[k] = true
	}
	n := 0
	for there["a"+strconv.Itoa(n)] && there["b"+strconv.Itoa(n)] {
		n++
	}
	if n < acked {
		t.Errorf("%d pairs were acknowledged, %d are there", acked, n)
	}
	if len(there) != 2*n {
		t.Errorf("%d znodes, %d whole pairs", len(there), n)
	}
	return n
}

func TestSessionsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	addr, kill := process(t, dir)
	r := openRaw(t, addr)
	r.do(jute.OpCreate, create("/e", 1))
	kill()
	addr, _ = process(t, dir)
	again := dialRaw(t, addr)
	q := jute.ConnectRequest{TimeoutMs: 30000, SessionID: r.resp.SessionID, Password: r.resp.Password}
	if !again.session(q) || again.resp.SessionID != r.resp.SessionID || again.resp.HasReadOnly {
		t.Fatalf("re-attached to %+v", again.resp)
	}
	h, b := again.do(jute.OpGetEphemerals, jute.AppendString(nil, "/"))
	d := jute.NewDecoder(b)
	if v := d.Views(); h.Code != 0 || len(v) != 1 || v[0] != "/e" {
		t.Errorf("ephemerals: %v %q", h, v)
	}
	h, _ = again.do(jute.OpCloseSession, nil)
	if h.Code != 0 {
		t.Errorf("close: %v", h.Code)
	}
	other := openRaw(t, addr)
	if h, _ := other.do(jute.OpExists, (&jute.PathWatch{Path: "/e"}).Append(nil)); h.Code != jute.ErrNoNode {
		t.Errorf("the ephemeral outlived its session: %v", h.Code)
	}
	wrong := dialRaw(t, addr)
	if q.Password = make([]byte, 16); !wrong.session(q) || wrong.resp.SessionID != 0 || wrong.resp.TimeoutMs != 0 {
		t.Errorf("closed session: %+v", wrong.resp)
	}
	ahead := dialRaw(t, addr)
	if ahead.session(jute.ConnectRequest{LastZxidSeen: 1 << 40, TimeoutMs: 30000}) {
		t.Errorf("a client that is ahead was let in: %+v", ahead.resp)
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, zkserver.Options{DataDir: dir})
	if _, err := zkserver.New(zkserver.Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second server: %v", err)
	}
}

func TestApacheDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "version-2"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "version-2", "snapshot.0"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := zkserver.New(zkserver.Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "Apache") {
		t.Errorf("%v", err)
	}
}

// TestReopen checks that a clean stop and a start keep every znode with its stat, data and ACL.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s, err := zkserver.New(zkserver.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ln, _ := net.Listen("tcp", "127.0.0.1:0")
	go func() { _ = s.Serve(ln) }()
	c, _, err := zk.Connect([]string{ln.Addr().String()}, 10*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	mustCreate := func(path string, data []byte, acl []zk.ACL) {
		if _, err := c.Create(path, data, 0, acl); err != nil {
			t.Fatal(path, err)
		}
	}
	mustCreate("/a", nil, everybody)
	mustCreate("/a/b", []byte{}, zk.WorldACL(zk.PermRead|zk.PermAdmin))
	mustCreate("/a-b", []byte("x"), zk.DigestACL(zk.PermAll, "u", "p"))
	for i := range 30 {
		mustCreate(fmt.Sprintf("/a/b%d", i), []byte("x"), everybody)
	}
	if err := c.Delete("/a/b7", -1); err != nil {
		t.Fatal(err)
	}
	_, want, err := c.Get("/a")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if logs, _ := filepath.Glob(filepath.Join(dir, "*.log.*")); len(logs) != 0 {
		t.Errorf("a clean stop left %v", logs)
	}
	_, addr := start(t, zkserver.Options{DataDir: dir})
	c = client(t, addr)
	data, got, err := c.Get("/a")
	if err != nil || len(data) > 0 || *got != *want {
		t.Errorf("%q %+v %v, want %+v", data, got, err, want)
	}
	if acl, _, err := c.GetACL("/a/b"); err != nil || len(acl) != 1 || acl[0].Perms != zk.PermRead|zk.PermAdmin {
		t.Errorf("ACL %v %v", acl, err)
	}
	if _, _, err := c.Get("/a-b"); err != zk.ErrNoAuth {
		t.Errorf("protected: %v", err)
	}
	if err := c.AddAuth("digest", []byte("u:p")); err != nil {
		t.Fatal(err)
	}
	if data, _, err := c.Get("/a-b"); err != nil || string(data) != "x" {
		t.Errorf("with the password: %q %v", data, err)
	}
	if ok, _, _ := c.Exists("/a/b7"); ok {
		t.Error("a deleted znode is back")
	}
}
