package zkserver_test

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver"
)

func TestEventComesBeforeTheAnswerThatShowsIt(t *testing.T) {
	_, addr := start(t, zkserver.Options{DataDir: t.TempDir()})
	a, b := openRaw(t, addr), openRaw(t, addr)
	a.do(jute.OpCreate, create("/x", 0))
	for range 200 {
		b.do(jute.OpGetData, (&jute.PathWatch{Path: "/x", Watch: true}).Append(nil))
		a.ask(jute.OpSetData, (&jute.SetDataRequest{Path: "/x", Version: -1}).Append(nil))
		h, _, err := a.answer()
		if err != nil || h.Code != 0 {
			t.Fatal(h, err)
		}
		b.do(jute.OpExists, (&jute.PathWatch{Path: "/x"}).Append(nil))
		if len(b.events) != 1 || b.events[0] != "event 3 3 /x zxid=-1" {
			t.Fatalf("before the answer: %q", b.events)
		}
	}
}

func TestAnswersKeepTheOrderOfASession(t *testing.T) {
	_, addr := start(t, zkserver.Options{DataDir: t.TempDir()})
	r := openRaw(t, addr)
	const n = 500
	for range n { // each read must see the write before it and not the one after it
		r.ask(jute.OpCreate, create("/s-", 2))
		r.ask(jute.OpExists, (&jute.PathWatch{Path: "/"}).Append(nil))
	}
	for i := range n {
		for part := range 2 {
			h, body, err := r.answer()
			if err != nil || h.Xid != int32(2*i+part+1) || h.Code != 0 {
				t.Fatalf("answer %d.%d: %+v %v", i, part, h, err)
			}
			if part == 1 {
				d := jute.NewDecoder(body)
				var st jute.Stat
				if st.Decode(&d); st.NumChildren != int32(i+2) {
					t.Fatalf("the read after write %d sees %d children", i, st.NumChildren)
				}
			}
		}
	}
}

func TestSilentSessionExpires(t *testing.T) {
	_, addr := start(t, zkserver.Options{InMemory: true, TickTime: 50 * time.Millisecond})
	watcher := openRaw(t, addr)
	silent := dialRaw(t, addr)
	if !silent.session(jute.ConnectRequest{TimeoutMs: 100, Password: make([]byte, 16)}) || silent.resp.TimeoutMs != 100 {
		t.Fatalf("%+v", silent.resp)
	}
	if watcher.resp.TimeoutMs != 1000 {
		t.Errorf("30 s were asked for, 20 ticks are allowed: %d ms", watcher.resp.TimeoutMs)
	}
	silent.do(jute.OpCreate, create("/e", 1))
	watcher.do(jute.OpExists, (&jute.PathWatch{Path: "/e", Watch: true}).Append(nil))
	b, err := watcher.frame()
	if err != nil || !strings.HasSuffix(string(b), "/e") {
		t.Fatalf("%x %v", b, err)
	}
	if _, err := silent.frame(); err == nil {
		t.Error("the connection of an expired session is open")
	}
}

func TestMalformedFramesCloseOneConnection(t *testing.T) {
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.InfoLevel)
	_, addr := start(t, zkserver.Options{InMemory: true, Log: log})
	good := openRaw(t, addr)
	for name, bytes := range map[string][]byte{
		"huge length":     {0x7f, 0xff, 0xff, 0xff},
		"negative length": {0xff, 0xff, 0xff, 0xfe},
		"over the limit":  binary.BigEndian.AppendUint32(nil, jute.MaxBuffer+1),
		"short connect":   {0, 0, 0, 4, 0, 0, 0, 0},
		"http":            []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			hook.Reset()
			r := dialRaw(t, addr)
			if _, err := r.nc.Write(bytes); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r.nc); len(b) > 0 {
				t.Errorf("%x %v", b, err)
			}
			found := false
			for _, e := range hook.AllEntries() {
				found = found || strings.Contains(e.Message, r.nc.LocalAddr().String())
			}
			if !found {
				t.Error("no log line names the peer")
			}
		})
	}
	if h, _ := good.do(jute.OpCreate, []byte{0, 0, 0, 99}); h.Code != jute.ErrMarshalling {
		t.Errorf("a request that ends early: %v", h.Code)
	}
	if h, _ := good.do(jute.OpReconfig, nil); h.Code != jute.ErrUnimplemented {
		t.Errorf("reconfig: %v", h.Code)
	}
	if h, _ := good.do(99, nil); h.Code != jute.ErrUnimplemented {
		t.Errorf("unknown request: %v", h.Code)
	}
	if _, err := good.frame(); err == nil {
		t.Error("the connection is open after an unknown request")
	}
}

// TestSlowClientIsBounded asks for far more than a client may have waiting and reads nothing; others are served meanwhile,
// and the answers come once it reads.
func TestSlowClientIsBounded(t *testing.T) {
	_, addr := start(t, zkserver.Options{InMemory: true})
	r, other := openRaw(t, addr), openRaw(t, addr)
	b := (&jute.CreateRequest{Path: "/big", Data: make([]byte, 1<<19), ACLs: []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: "world", ID: "anyone"}}}}).Append(nil)
	r.do(jute.OpCreate, b)
	const n = 300 // 150 MB of answers
	for range n {
		r.ask(jute.OpGetData, (&jute.PathWatch{Path: "/big"}).Append(nil))
	}
	if h, _ := other.do(jute.OpExists, (&jute.PathWatch{Path: "/big"}).Append(nil)); h.Code != 0 {
		t.Error(h.Code)
	}
	for i := range n {
		if h, body, err := r.answer(); err != nil || h.Code != 0 || len(body) < 1<<19 {
			t.Fatalf("answer %d: %+v %v", i, h, err)
		}
	}
}

func TestConnectionsOfOneHostAreBounded(t *testing.T) {
	_, addr := start(t, zkserver.Options{InMemory: true, MaxClientCnxns: 2})
	openRaw(t, addr)
	openRaw(t, addr)
	r := dialRaw(t, addr)
	if b, _ := io.ReadAll(r.nc); len(b) > 0 {
		t.Errorf("%x", b)
	}
}

func TestFourLetterWords(t *testing.T) {
	_, addr := start(t, zkserver.Options{InMemory: true, Words: []string{"ruok", "srvr", "wchs", "dump", "cons", "mntr"}})
	r := openRaw(t, addr)
	r.do(jute.OpCreate, create("/e", 1))
	r.do(jute.OpGetData, (&jute.PathWatch{Path: "/e", Watch: true}).Append(nil))
	for word, want := range map[string]string{
		"ruok": "imok", "srvr": "Mode: standalone\nNode count: 5\n", "wchs": "1 connections watching 1 paths\nTotal watches:1\n",
		"dump": "\t/e\n", "cons": "lop=GETD", "mntr": "zk_ephemerals_count\t1\n", "isro": "isro is not executed because it is not in the whitelist.\n",
	} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(nc, word); err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(nc); !strings.Contains(string(b), want) {
			t.Errorf("%s: %q has no %q", word, b, want)
		}
		_ = nc.Close()
	}
}

func TestLoadConfig(t *testing.T) {
	load := func(text string) (*zkserver.Config, error) {
		path := filepath.Join(t.TempDir(), "zoo.cfg")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return zkserver.LoadConfig(path)
	}
	c, err := load("# comment\ndataDir=/tmp/zookeeper\nclientPort = 2181\nmaxClientCnxns: 0\nadmin.enableServer=false\ntickTime 2000\n" +
		"clientPortAddress=127.0.0.1\nautopurge.purgeInterval=1\nfoo=bar\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Address != "127.0.0.1:2181" || c.DataDir != "/tmp/zookeeper" || c.TickTime != 2*time.Second || c.MaxClientCnxns != 0 || c.Words != nil ||
		len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "foo") {
		t.Errorf("%+v", c)
	}
	base := "dataDir=/x\nclientPort=1\n"
	for text, want := range map[string]string{
		"clientPort=1\n":                                    "dataDir",
		"dataDir=/x\n":                                      "clientPort",
		base + "tickTime=fast\n":                            "tickTime=fast",
		base + "secureClientPort=2":                         "secureClientPort",
		base + "server.1=a:1:2\nserver.2=b:1:2":             "ensemble",
		base + "clientPort=99999\n":                         "65535",
		base + "minSessionTimeout=9\nmaxSessionTimeout=8\n": "maxSessionTimeout",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
	if c, err := load(base); err != nil || c.MaxClientCnxns != 60 {
		t.Errorf("defaults: %+v %v", c, err)
	}
}
