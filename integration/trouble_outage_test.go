package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/clients"
	"gregor/integration/peer"
	"gregor/wire/record"
)

type silent struct{}

func (silent) Printf(string, ...any) {}

// zkClient connects a client that is not Gregor's own.
func zkClient(t *testing.T, addr string) *zk.Conn {
	t.Helper()
	c, _, err := zk.Connect([]string{addr}, 10*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// registration waits until the broker is registered and the controller, in a session other than former, and returns its epoch and session.
func registration(t *testing.T, ctx context.Context, c *zk.Conn, id int, former int64) (epoch, session int64) {
	t.Helper()
	eventually(t, ctx, time.Minute, "the registration", func() error {
		_, own, err := c.Get(fmt.Sprintf("/brokers/ids/%d", id))
		if err != nil {
			return err
		}
		data, ctl, err := c.Get("/controller")
		if err != nil {
			return err
		}
		var v struct{ BrokerID int }
		if err := json.Unmarshal(data, &v); err != nil || v.BrokerID != id {
			return fmt.Errorf("the controller is %s", data)
		}
		if own.EphemeralOwner == former || ctl.EphemeralOwner != own.EphemeralOwner {
			return fmt.Errorf("registered by session 0x%x, controller by 0x%x, formerly 0x%x", own.EphemeralOwner, ctl.EphemeralOwner, former)
		}
		epoch, session = own.Czxid, own.EphemeralOwner
		return nil
	})
	return epoch, session
}

// controlCodes sends the three control requests with a broker epoch and returns their error codes.
func controlCodes(t *testing.T, ctx context.Context, b *peer.Broker, epoch int64) [3]int16 {
	t.Helper()
	conn := dialBroker(t, ctx, b)
	lead := kmsg.NewPtrLeaderAndISRRequest()
	lead.Version, lead.ControllerID, lead.ControllerEpoch, lead.BrokerEpoch = 4, int32(b.ID), 1000, epoch
	stop := kmsg.NewPtrStopReplicaRequest()
	stop.Version, stop.ControllerID, stop.ControllerEpoch, stop.BrokerEpoch = 3, int32(b.ID), 1000, epoch
	update := kmsg.NewPtrUpdateMetadataRequest()
	update.Version, update.ControllerID, update.ControllerEpoch, update.BrokerEpoch = 6, int32(b.ID), 1000, epoch
	return [3]int16{ask[*kmsg.LeaderAndISRResponse](t, ctx, conn, lead).ErrorCode, ask[*kmsg.StopReplicaResponse](t, ctx, conn, stop).ErrorCode,
		ask[*kmsg.UpdateMetadataResponse](t, ctx, conn, update).ErrorCode}
}

// link is a way to a server that can be cut: what goes through it then is refused or closed.
type link struct {
	t          *testing.T
	addr, dest string

	mu    sync.Mutex
	ln    net.Listener
	conns []net.Conn
}

func startLink(t *testing.T, dest string) *link {
	t.Helper()
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	l := &link{t: t, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dest: dest}
	l.heal()
	t.Cleanup(l.cut)
	return l
}

func (l *link) heal() {
	l.t.Helper()
	ln, err := net.Listen("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	l.ln = ln
	l.mu.Unlock()
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", l.dest)
			if err != nil {
				near.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, near, far)
			l.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					near.Close()
					far.Close()
				}()
			}
		}
	}()
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ln.Close()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// TestZooKeeperLostForAMinute: killed, or out of reach for longer than the session lives: records are written and read as if nothing were,
// and all heals without a restart: the registration with a new epoch, the controller, new topics.
func TestZooKeeperLostForAMinute(t *testing.T) {
	trouble(t, time.Minute)
	for name, start := range map[string]func(context.Context, string) (*peer.ZooKeeper, error){
		"embedded server": peer.StartGregorZooKeeper, "Apache ZooKeeper": peer.StartZooKeeper} {
		for _, how := range []string{"killed", "out of reach"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				ctx := trouble(t, 5*time.Minute)
				z, err := start(ctx, t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { z.Close() })
				way := startLink(t, z.Addr)
				b := troubled(t, ctx, peer.Options{ZooKeeper: way.addr, ID: 5})
				c := zkClient(t, z.Addr)
				oldEpoch, oldSession := registration(t, ctx, c, b.ID, 0)
				by := startBystander(t, ctx, b, "bystander")
				log := logFrom(b)
				former := oldSession
				if how == "killed" {
					z.Kill()
					former = 0 // the server gives sessions that it finds on its disk their full time again
				} else {
					way.cut()
				}
				<-time.After(time.Minute)
				if how == "killed" {
					n, err := z.Restart(ctx)
					if err != nil {
						t.Fatal(err)
					}
					z = n
				} else {
					way.heal()
				}
				back := time.Now()
				createHealed(t, ctx, b, "after")
				t.Logf("%s for a minute: a topic could be made %v after its return; %d lines logged meanwhile", how,
					time.Since(back).Round(time.Millisecond), len(log.lines()))
				by.unharmed(t, 3*time.Second)
				epoch, session := registration(t, ctx, c, b.ID, former)
				if (session != oldSession) != (epoch > oldEpoch) {
					t.Errorf("epoch %d by session 0x%x, formerly %d by 0x%x", epoch, session, oldEpoch, oldSession)
				}
				stale := kerr.StaleBrokerEpoch.Code
				if got := controlCodes(t, ctx, b, oldEpoch); epoch != oldEpoch && got != [3]int16{stale, stale, stale} {
					t.Errorf("control requests for the former registration: %v", got)
				}
				if n := len(log.lines()); n > 400 {
					t.Errorf("%d lines logged in a minute", n)
				}
				stop(t, b)
			})
		}
	}
}

// TestFrozenBroker: a broker that stands still for longer than its session lives finds, when it goes on, what happened meanwhile: a topic
// that others made, settings that others changed.
func TestFrozenBroker(t *testing.T) {
	ctx := trouble(t, 2*time.Minute)
	z, err := peer.StartGregorZooKeeper(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Close)
	b := troubled(t, ctx, peer.Options{ZooKeeper: z.Addr, ID: 5, Config: map[string]string{"zookeeper.session.timeout.ms": "4000"}})
	c := zkClient(t, z.Addr)
	oldEpoch, oldSession := registration(t, ctx, c, b.ID, 0)
	b.Pause()
	eventually(t, ctx, time.Minute, "the end of the session", func() error {
		if _, _, err := c.Get("/brokers/ids/5"); !errors.Is(err, zk.ErrNoNode) {
			return fmt.Errorf("still registered: %v", err)
		}
		return nil
	})
	everybody := zk.WorldACL(zk.PermAll)
	for path, data := range map[string]string{
		"/config/topics/t":             `{"version":1,"config":{"max.message.bytes":"1000"}}`,
		"/brokers/topics/made":         `{"version":2,"partitions":{"0":[5]},"adding_replicas":{},"removing_replicas":{}}`,
		"/admin/delete_topics/notable": "",
	} {
		if _, err := c.Create(path, []byte(data), 0, everybody); errors.Is(err, zk.ErrNodeExists) {
			_, err = c.Set(path, []byte(data), -1)
			if err != nil {
				t.Fatal(path, err)
			}
		} else if err != nil {
			t.Fatal(path, err)
		}
	}
	if _, err := c.Create("/config/changes/config_change_", []byte(`{"version":2,"entity_path":"topics/t"}`), zk.FlagSequence, everybody); err != nil {
		t.Fatal(err)
	}
	b.Resume()
	resumed := time.Now()
	epoch, _ := registration(t, ctx, c, b.ID, oldSession)
	t.Logf("registered again %v after it went on", time.Since(resumed).Round(time.Millisecond))
	if epoch <= oldEpoch {
		t.Errorf("epoch %d, formerly %d", epoch, oldEpoch)
	}
	stale := kerr.StaleBrokerEpoch.Code
	if got := controlCodes(t, ctx, b, oldEpoch); got != [3]int16{stale, stale, stale} {
		t.Errorf("control requests for the former registration: %v", got)
	}
	conn := dialBroker(t, ctx, b)
	eventually(t, ctx, 20*time.Second, "writing to the topic that others made", func() error {
		if code, _ := produceCode(t, ctx, conn, "made", batch(t, record.NewBuilder(), []byte("x"))); code != 0 {
			return errors.New(kafkaError(code))
		}
		return nil
	})
	eventually(t, ctx, 20*time.Second, "the settings that others changed", func() error {
		if code, _ := produceCode(t, ctx, conn, "t", batch(t, record.NewBuilder(), make([]byte, 5000))); code != kerr.MessageTooLarge.Code {
			return errors.New("a record beyond the topic's new limit is taken: " + kafkaError(code))
		}
		return nil
	})
	eventually(t, ctx, 20*time.Second, "the deletion that others ordered of a topic that is not there", func() error {
		if ok, _, err := c.Exists("/admin/delete_topics/notable"); ok || err != nil {
			return fmt.Errorf("still there (%v)", err)
		}
		return nil
	})
}

// slowStop starts a broker whose clean stop takes seconds, because its ZooKeeper does not answer and a client's request waits for it.
func slowStop(t *testing.T, ctx context.Context) (*peer.Broker, *peer.ZooKeeper) {
	t.Helper()
	z, err := peer.StartGregorZooKeeper(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Close)
	b := troubled(t, ctx, peer.Options{ZooKeeper: z.Addr, Config: map[string]string{"zookeeper.session.timeout.ms": "30000"}})
	z.Pause()
	t.Cleanup(z.Resume)
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version, create.TimeoutMillis = 5, 60_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "waits", 1, 1
	create.Topics = append(create.Topics, topic)
	conn := dialBroker(t, ctx, b)
	if _, err := conn.Write(conn.Frame(create)); err != nil {
		t.Fatal(err)
	}
	return b, z
}

// TestSecondSignal: a second SIGTERM stops at once what the first one stops in order.
func TestSecondSignal(t *testing.T) {
	ctx := trouble(t, time.Minute)
	b, _ := slowStop(t, ctx)
	log := logFrom(b)
	term := func() {
		if err := syscall.Kill(b.PID(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	term()
	log.wait(t, ctx, "shutting down")
	began := time.Now()
	term()
	code := exits(t, b, 5*time.Second)
	t.Logf("ended %v after the second signal, code %d", time.Since(began).Round(time.Millisecond), code)
	if took := time.Since(began); took > 500*time.Millisecond || code != 143 {
		t.Errorf("it took %v, code %d", took, code)
	}
	log.wait(t, ctx, "second signal")
}

// TestStoppingBrokerRefuses: from the beginning of a stop on, new connections are refused, not accepted and closed.
func TestStoppingBrokerRefuses(t *testing.T) {
	ctx := trouble(t, 2*time.Minute)
	b, z := slowStop(t, ctx)
	idle := dialBroker(t, ctx, b)
	log := logFrom(b)
	if err := syscall.Kill(b.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := closedAfter(t, idle, nil); len(got) > 0 {
		t.Errorf("an idle connection got %x", got)
	}
	refused := 0
	for range 50 {
		c, err := net.DialTimeout("tcp", b.Addr, time.Second)
		if err == nil {
			c.Close()
			t.Fatal("a new connection is accepted")
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			refused++
		}
	}
	if b.Exited() || refused != 50 || len(log.lines("shutting down")) == 0 {
		t.Errorf("%d of 50 refused while it stops; it has ended: %v", refused, b.Exited())
	}
	exits(t, b, 30*time.Second)
	z.Resume()
	b = restart(t, ctx, b)
	if err := clients.CreateTopic(ctx, b.Addr, "after", 1, nil); err != nil {
		t.Error(err)
	}
}
