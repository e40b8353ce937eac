package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
)

// cutter is a dialer whose connections can be cut, and whose dialing can be refused.
type cutter struct {
	mu     sync.Mutex
	conns  []net.Conn
	refuse bool
}

func (d *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	refuse := d.refuse
	d.mu.Unlock()
	if refuse {
		return nil, errors.New("refused by the test")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		d.mu.Lock()
		d.conns = append(d.conns, conn)
		d.mu.Unlock()
	}
	return conn, err
}

func (d *cutter) cut(refuse bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = refuse
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.conns = nil
}

func dialTest(t testing.TB, opt Options) *Client {
	t.Helper()
	if opt.Connect == "" {
		opt.Connect = startZooKeeper(t) + "/" + strings.ReplaceAll(fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano()), "/", "_") + "/kafka"
	}
	c, err := Dial(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func events(c *Client) <-chan Event {
	ch := make(chan Event, 1000)
	c.Subscribe(func(ev Event) { ch <- ev })
	return ch
}

func wait(t testing.TB, ch <-chan Event, what string, ok func(Event) bool) Event {
	t.Helper()
	for {
		select {
		case ev := <-ch:
			if ok(ev) {
				return ev
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no event: %s", what)
		}
	}
}

func TestAFreshClusterIsMadeOnceAndFoundAgain(t *testing.T) {
	c := dialTest(t, Options{})
	ctx := t.Context()
	for range 2 {
		if err := c.EnsurePaths(ctx); err != nil {
			t.Fatal(err)
		}
	}
	id, err := c.ClusterID(ctx)
	if err != nil || len(id) != 22 {
		t.Fatalf("cluster id %q, %v", id, err)
	}
	if again, _ := c.ClusterID(ctx); again != id {
		t.Errorf("cluster id %s became %s", id, again)
	}
	for i := range 3 {
		start, end, err := c.ProducerIDBlock(ctx, 1)
		if err != nil || start != int64(i)*1000 || end != start+999 {
			t.Errorf("block %d: %d-%d, %v", i, start, end, err)
		}
		n, err := c.GenerateBrokerID(ctx, 1000)
		if err != nil || n != int32(1001+i) {
			t.Errorf("broker id %d, %v", n, err)
		}
	}
	if err := errors.Join(c.EnableFeatures(ctx), c.EnableFeatures(ctx)); err != nil {
		t.Error(err)
	}
}

func TestABrokerRegistersOnceAndAnotherOneIsRefused(t *testing.T) {
	c := dialTest(t, Options{})
	ctx := t.Context()
	if err := c.EnsurePaths(ctx); err != nil {
		t.Fatal(err)
	}
	b := BrokerInfo{ID: 1, JmxPort: -1, Endpoints: []Endpoint{{"PLAINTEXT", "PLAINTEXT", "localhost", 9092}}}
	epoch, err := c.RegisterBroker(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.RegisterBroker(ctx, b); err != nil || again != epoch {
		t.Errorf("registered again: %d (was %d), %v", again, epoch, err)
	}
	_, st, err := c.Get(ctx, PathBroker(1))
	if err != nil || st.Version != 1 || st.Czxid != epoch || st.EphemeralOwner != c.SessionID() {
		t.Errorf("stat %+v, %v", st, err)
	}
	other := dialTest(t, Options{Connect: c.opt.Connect})
	if _, err := other.RegisterBroker(ctx, b); !errors.Is(err, ErrBrokerIDInUse) {
		t.Errorf("second broker: %v", err)
	}
	// The same broker, restarted after kill -9: its former session still owns the znode.
	if gone, err := other.ClearStale(ctx, 1, 12345); err != nil || len(gone) != 0 {
		t.Errorf("a foreign session's znode was removed: %v, %v", gone, err)
	}
	if gone, err := other.ClearStale(ctx, 1, c.SessionID()); err != nil || !reflect.DeepEqual(gone, []string{PathBroker(1)}) {
		t.Errorf("removed %v, %v", gone, err)
	}
	epoch2, err := other.RegisterBroker(ctx, b)
	if err != nil || epoch2 <= epoch {
		t.Errorf("epoch %d after %d, %v", epoch2, epoch, err)
	}
	bs, err := c.Brokers(ctx)
	if err != nil || len(bs) != 1 || bs[0].Epoch != epoch2 || !reflect.DeepEqual(bs[0].Endpoints, b.Endpoints) {
		t.Errorf("brokers %+v, %v", bs, err)
	}
}

func TestTopicsAreMadeGrownAndMarkedForDeletion(t *testing.T) {
	c := dialTest(t, Options{})
	ctx := t.Context()
	if err := c.EnsurePaths(ctx); err != nil {
		t.Fatal(err)
	}
	asg := map[int32][]int32{0: {1, 2}, 1: {2, 1}}
	if err := c.CreateTopic(ctx, "t", asg, map[string]string{"retention.ms": "5"}); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(ctx, "t", asg, nil); !errors.Is(err, ErrTopicExists) {
		t.Errorf("created twice: %v", err)
	}
	if cfg, err := c.TopicConfig(ctx, "t"); err != nil || !reflect.DeepEqual(cfg, map[string]string{"retention.ms": "5"}) {
		t.Errorf("config %v, %v", cfg, err)
	}
	// A newer program's members survive.
	_, err := c.Set(ctx, PathTopic("t"), []byte(`{"version":3,"partitions":{"0":[1,2],"1":[2,1]},"topic_id":"AAA"}`), AnyVersion)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddPartitions(ctx, "t", map[int32][]int32{0: {9}, 2: {1, 2}}); err != nil {
		t.Fatal(err)
	}
	data, _, _ := c.Get(ctx, PathTopic("t"))
	if want := `{"version":3,"partitions":{"0":[1,2],"1":[2,1],"2":[1,2]},"adding_replicas":{},"removing_replicas":{},"topic_id":"AAA"}`; string(data) != want {
		t.Errorf("got %s\nwant %s", data, want)
	}
	if err := c.DeleteTopic(ctx, "t"); err != nil {
		t.Error(err)
	}
	if err := c.DeleteTopic(ctx, "t"); !errors.Is(err, ErrTopicMarkedForDeletion) {
		t.Error(err)
	}
	if err := c.DeleteTopic(ctx, "none"); !errors.Is(err, ErrUnknownTopic) {
		t.Error(err)
	}
	if err := c.CreateTopic(ctx, "t", asg, nil); !errors.Is(err, ErrTopicMarkedForDeletion) {
		t.Errorf("created while being deleted: %v", err)
	}
	// A configuration left behind does not hinder.
	if err := c.SetTopicConfig(ctx, "u", map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(ctx, "u", asg, nil); err != nil {
		t.Error(err)
	}
	if cfg, _ := c.TopicConfig(ctx, "u"); len(cfg) != 0 {
		t.Errorf("config left behind: %v", cfg)
	}
}

func TestConfigurationChangesAreTold(t *testing.T) {
	c := dialTest(t, Options{})
	ctx := t.Context()
	if err := c.EnsurePaths(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.SetEntityConfig(ctx, EntityTopics, "before", map[string]string{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	go c.WatchConfigChanges(ctx, func(p string) { got <- p })
	if p := <-got; p != "topics/before" {
		t.Errorf("got %s", p)
	}
	if err := c.SetEntityConfig(ctx, EntityUsers, "alice/clients/c1", map[string]string{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	if p := <-got; p != "users/alice/clients/c1" {
		t.Errorf("got %s", p)
	}
	if _, err := c.CreateSequential(ctx, PathConfigChanges+"/config_change_", []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	if err := c.NotifyConfigChange(ctx, "topics/after"); err != nil {
		t.Fatal(err)
	}
	if p := <-got; p != "topics/after" {
		t.Errorf("got %s", p)
	}
	if m, err := c.EntityConfig(ctx, EntityUsers, "alice/clients/c1"); err != nil || m["a"] != "1" {
		t.Errorf("config %v, %v", m, err)
	}
}

func TestElectionCountsTheEpochAndFencesTheFormerController(t *testing.T) {
	c := dialTest(t, Options{})
	ctx := t.Context()
	first, err := c.ElectController(ctx, 1)
	if err != nil || first.Epoch != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	other := dialTest(t, Options{Connect: c.opt.Connect})
	if _, err := other.ElectController(ctx, 2); !errors.Is(err, ErrControllerMoved) {
		t.Fatalf("elected beside another: %v", err)
	}
	// KAFKA-13407: owning /controller always starts the controller, under an epoch of its own.
	again, err := c.ElectController(ctx, 1)
	if err != nil || again.Epoch != 2 || again.ZkVersion != first.ZkVersion+1 {
		t.Fatalf("%+v, %v", again, err)
	}
	evs := events(other)
	if id, ok, err := other.ControllerIDW(ctx); id != 1 || !ok || err != nil {
		t.Errorf("controller %d %v %v", id, ok, err)
	}
	if err := c.ResignController(ctx, again); err != nil {
		t.Fatal(err)
	}
	wait(t, evs, "/controller deleted", func(ev Event) bool { return ev.Kind == NodeDeleted && ev.Path == PathController })
	second, err := other.ElectController(ctx, 2)
	if err != nil || second.Epoch != 3 {
		t.Fatalf("%+v, %v", second, err)
	}
	_, err = c.Multi(ctx, []Op{again.Check(), {Kind: OpCreate, Path: "/x"}})
	var me *MultiError
	if !errors.As(err, &me) || me.Index != 0 || !errors.Is(err, ErrBadVersion) {
		t.Errorf("a deposed controller's write: %v", err)
	}
	if err := c.ResignController(ctx, again); err != nil {
		t.Error(err)
	}
	if ok, err := other.OwnsController(ctx, 2, second); !ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	// An operator deposes the controller by writing another id.
	if _, err := c.Set(ctx, PathController, EncodeController(99, time.Unix(0, 0)), AnyVersion); err != nil {
		t.Fatal(err)
	}
	if ok, err := other.OwnsController(ctx, 2, second); ok || err != nil {
		t.Errorf("deposed: %v %v", ok, err)
	}
}

func TestWatchesAreReadAgainAfterAReconnectInTheSameSession(t *testing.T) {
	d := &cutter{}
	c := dialTest(t, Options{Dialer: d.dial})
	ctx := t.Context()
	evs := events(c)
	id := c.SessionID()
	if _, _, err := c.GetW(ctx, "/a"); !errors.Is(err, ErrNoNode) {
		t.Fatal(err)
	}
	if err := c.Create(ctx, "/a", nil); err != nil {
		t.Fatal(err)
	}
	wait(t, evs, "creation", func(ev Event) bool { return ev == Event{Kind: NodeCreated, Path: "/a"} })
	d.cut(false)
	wait(t, evs, "reconnection", func(ev Event) bool { return ev.Kind == Reconnected })
	if c.SessionID() != id {
		t.Errorf("session %x became %x", id, c.SessionID())
	}
	for range 3 { // set again and again, the watch fires once
		if _, _, err := c.ChildrenW(ctx, "/a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Create(ctx, "/a/b", nil); err != nil {
		t.Fatal(err)
	}
	wait(t, evs, "child", func(ev Event) bool { return ev == Event{Kind: ChildrenChanged, Path: "/a"} })
}

func TestRequestsWaitForTheConnectionAndNoLongerThanTheirContext(t *testing.T) {
	d := &cutter{}
	c := dialTest(t, Options{Dialer: d.dial})
	evs := events(c)
	d.cut(true)
	wait(t, evs, "disconnection", func(ev Event) bool { return ev.Kind == Disconnected })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := c.Get(ctx, "/"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	res := make(chan error, 1)
	go func() { _, _, err := c.Get(t.Context(), "/"); res <- err }()
	d.cut(false)
	if err := <-res; err != nil {
		t.Error(err)
	}
}

func TestAfterExpiryANewSessionRegistersAgain(t *testing.T) {
	d := &cutter{}
	c := dialTest(t, Options{Dialer: d.dial, SessionTimeout: time.Second})
	ctx := t.Context()
	if err := c.EnsurePaths(ctx); err != nil {
		t.Fatal(err)
	}
	b := BrokerInfo{ID: 1, Endpoints: []Endpoint{{"PLAINTEXT", "PLAINTEXT", "localhost", 9092}}}
	epoch, err := c.RegisterBroker(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	watcher := dialTest(t, Options{Connect: c.opt.Connect})
	seen := events(watcher)
	if _, err := watcher.BrokerIDsW(ctx); err != nil {
		t.Fatal(err)
	}
	evs := events(c)
	again := make(chan [2]int64, 1)
	go c.KeepRegistered(ctx, func() BrokerInfo { return b }, func(epoch, session int64) { again <- [2]int64{epoch, session} })
	old := c.SessionID()
	d.cut(true)
	wait(t, evs, "the client's own timer", func(ev Event) bool { return ev.Kind == MaybeExpired })
	wait(t, seen, "the server's expiry", func(ev Event) bool { return ev.Path == PathBrokerIDs })
	d.cut(false)
	wait(t, evs, "expiry", func(ev Event) bool { return ev.Kind == Expired && ev.Session == old })
	wait(t, evs, "new session", func(ev Event) bool { return ev.Kind == NewSession && ev.Session != old })
	if got := <-again; got[0] <= epoch || got[1] != c.SessionID() {
		t.Errorf("epoch %d after %d, session %x of %x", got[0], epoch, got[1], c.SessionID())
	}
}

func TestManyZnodesAreReadInOneGo(t *testing.T) {
	c := dialTest(t, Options{})
	ctx := t.Context()
	var ops []Op
	var paths []string
	const n = 3000
	for i := range n {
		p := fmt.Sprintf("/n%d", i)
		paths = append(paths, p, p+"-none")
		ops = append(ops, Op{Kind: OpCreate, Path: p, Data: []byte(p)})
	}
	if _, err := c.Multi(ctx, ops); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		nodes, err := c.GetMany(ctx, paths)
		if err != nil {
			t.Fatal(err)
		}
		for i, nd := range nodes {
			if i%2 == 0 && (nd.Err != nil || string(nd.Data) != paths[i]) || i%2 == 1 && !errors.Is(nd.Err, ErrNoNode) {
				t.Fatalf("%s: %q %v", paths[i], nd.Data, nd.Err)
			}
		}
		c.mu.Lock()
		c.mu.multiRead = readPipelined // the second time as of a ZooKeeper older than 3.6
		c.mu.Unlock()
	}
}

func TestDialSaysWhatItTried(t *testing.T) {
	_, err := Dial(t.Context(), Options{Connect: "127.0.0.1:1/x", ConnectTimeout: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1/x") || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("got %v", err)
	}
	for s, want := range map[string]string{"a:1,b/c/d": "[a:1 b:2181] /c/d", "h": "[h:2181] ", "h:1/": "[h:1] ", "[::1]:5/x/": "[[::1]:5] /x"} {
		servers, chroot, err := ParseConnect(s)
		if got := fmt.Sprint(servers, " ", chroot); err != nil || got != want {
			t.Errorf("%s: %s, %v", s, got, err)
		}
	}
}

func TestALostConnectionAndItsReturnAreLogged(t *testing.T) {
	log, lines := test.NewNullLogger()
	d := &cutter{}
	c := dialTest(t, Options{Dialer: d.dial, Log: log})
	evs := events(c)
	d.cut(false)
	wait(t, evs, "reconnection", func(ev Event) bool { return ev.Kind == Reconnected })
	var said []string
	for _, e := range lines.AllEntries() {
		if e.Level <= logrus.InfoLevel {
			said = append(said, e.Message)
		}
	}
	if len(said) != 2 || !strings.HasPrefix(said[0], "lost the connection to ZooKeeper at ") || !strings.HasPrefix(said[1], "connected to ZooKeeper at ") {
		t.Errorf("the log says %q", said)
	}
}

// Who only looks leaves nothing behind where there is nothing.
func TestAMissingChrootIsNotMadeWhereItMustExist(t *testing.T) {
	server := startZooKeeper(t)
	path := fmt.Sprintf("/missing-%d", time.Now().UnixNano())
	if c, err := Dial(t.Context(), Options{Connect: server + path, MustExist: true}); err == nil || !strings.Contains(err.Error(), "there is no "+path) {
		if c != nil {
			c.Close()
		}
		t.Fatalf("%v", err)
	}
	root := dialTest(t, Options{Connect: server})
	if there, _, err := root.Exists(t.Context(), path); err != nil || there {
		t.Errorf("%s is there: %t, %v", path, there, err)
	}
	dialTest(t, Options{Connect: server + path})
	c := dialTest(t, Options{Connect: server + path, MustExist: true})
	if err := c.SetConsumerOffset(t.Context(), "g", "t", 3, 7); err != nil {
		t.Fatal(err)
	}
	if at, ok, err := c.ConsumerOffset(t.Context(), "g", "t", 3); err != nil || !ok || at != 7 {
		t.Errorf("%d %t %v", at, ok, err)
	}
	if _, ok, err := c.ConsumerOffset(t.Context(), "g", "t", 4); err != nil || ok {
		t.Errorf("%t %v", ok, err)
	}
	if _, err := c.Set(t.Context(), PathConsumerOffset("g", "t", 3), []byte("x"), AnyVersion); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ConsumerOffset(t.Context(), "g", "t", 3); err == nil {
		t.Error("x is taken for an offset")
	}
	if err := c.DeleteAll(t.Context(), PathConsumer("g")); err != nil {
		t.Fatal(err)
	}
	if there, _, err := c.Exists(t.Context(), PathConsumer("g")); err != nil || there {
		t.Errorf("the group is there: %t, %v", there, err)
	}
}
