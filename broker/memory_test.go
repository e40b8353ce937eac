package broker_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker"
	"gregor/broker/config"
	"gregor/internal/vfs"
)

// runOn starts an embedded ZooKeeper and a broker on fsys, runs f with the broker's address, and stops both.
func runOn(t *testing.T, fsys vfs.FS, f func(ctx context.Context, addr string)) {
	t.Helper()
	runWith(t, fsys, nil, func(ctx context.Context, b *broker.Broker) { f(ctx, b.Addr("PLAINTEXT").String()) })
}

// runWith is runOn with more settings.
func runWith(t *testing.T, fsys vfs.FS, settings map[string]string, f func(ctx context.Context, b *broker.Broker)) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	runLogged(t, fsys, settings, log, f)
}

// runLogged is runWith with a log.
func runLogged(t *testing.T, fsys vfs.FS, settings map[string]string, log *logrus.Logger, f func(ctx context.Context, b *broker.Broker)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	props := map[string]string{
		"zookeeper.connect": ln.Addr().String(), "gregor.zookeeper.embedded": "true", "gregor.zookeeper.data.dir": "/memory/zk",
		"log.dirs": "/memory/a,/memory/b", "listeners": "PLAINTEXT://127.0.0.1:0", "broker.id": "0",
	}
	maps.Copy(props, settings)
	cfg, err := config.New(props)
	if err != nil {
		t.Fatal(err)
	}
	zk, err := broker.StartZooKeeper(broker.Options{
		Config: cfg, FS: fsys, Log: log, Listen: func(string, string) (net.Listener, error) { return ln, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer zk.Close()
	b, err := broker.Start(ctx, broker.Options{Config: cfg, FS: fsys, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	f(ctx, b)
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

// A whole broker with its ZooKeeper runs on a file system in memory, and finds everything again after a stop.
func TestInMemory(t *testing.T) {
	fsys := vfs.NewMem()
	const records = 100
	runOn(t, fsys, func(ctx context.Context, addr string) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("t"))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		create := kmsg.NewPtrCreateTopicsRequest()
		create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "t", NumPartitions: 3, ReplicationFactor: 1}}
		create.TimeoutMillis = 10_000
		if resp, err := create.RequestWith(ctx, cl); err != nil || resp.Topics[0].ErrorCode != 0 {
			t.Fatalf("%+v %v", resp, err)
		}
		for i := range records {
			if err := cl.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint("r", i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, name := range []string{"/memory/a/.kafka_cleanshutdown", "/memory/b/replication-offset-checkpoint", "/memory/zk/gregor-zk.db"} {
		if _, err := fsys.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := fsys.Stat("/memory/a/.gregor.session"); err == nil {
		t.Error("a clean stop left its session")
	}
	for _, again := range []vfs.FS{fsys, fsys.CrashClone()} {
		runOn(t, again, func(ctx context.Context, addr string) {
			cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("t"))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			for n := 0; n < records; {
				got := cl.PollFetches(ctx)
				if err := got.Err(); err != nil {
					t.Fatal(err)
				}
				n += got.NumRecords()
			}
		})
	}
	if _, err := os.Stat("/memory"); err == nil {
		t.Error("a directory was made on the real file system")
	}
}

// More partitions than a znode can name are refused with an answer that says so, and nothing is left behind.
func TestATopicThatFitsIntoNoZnode(t *testing.T) {
	const many = 99_000
	runOn(t, vfs.NewMem(), func(ctx context.Context, addr string) {
		client, err := kgo.NewClient(kgo.SeedBrokers(addr))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		create := func(name string, partitions int32) (code int16, message string) {
			req := kmsg.NewPtrCreateTopicsRequest()
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
			req.Topics, req.TimeoutMillis = append(req.Topics, topic), 30_000
			resp, err := req.RequestWith(ctx, client)
			if err != nil {
				t.Fatal(err)
			}
			if m := resp.Topics[0].ErrorMessage; m != nil {
				message = *m
			}
			return resp.Topics[0].ErrorCode, message
		}
		if code, message := create("large", many); code != kerr.InvalidPartitions.Code || !strings.Contains(message, "do not fit into one znode") {
			t.Errorf("error %d, %q", code, message)
		}
		if code, message := create("large", 1); code != 0 {
			t.Errorf("a smaller one afterwards: error %d, %q", code, message)
		}
		req := kmsg.NewPtrCreatePartitionsRequest()
		grown := kmsg.NewCreatePartitionsRequestTopic()
		grown.Topic, grown.Count = "large", many
		req.Topics, req.TimeoutMillis = append(req.Topics, grown), 30_000
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		if code := resp.Topics[0].ErrorCode; code != kerr.InvalidPartitions.Code {
			t.Errorf("growing it: error %d", code)
		}
		if code, message := create("small", 1); code != 0 {
			t.Errorf("another one: error %d, %q", code, message)
		}
	})
}
