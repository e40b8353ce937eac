package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kind says which program a broker is.
type Kind string

// The two kinds of broker that tests compare.
const (
	Kafka  Kind = "kafka"
	Gregor Kind = "gregor"
)

// Brokers of old, whose logs others are to read. Their jars are those of a set of that name.
const (
	Kafka08  Kind = "kafka-0.8.2.2"
	Kafka010 Kind = "kafka-0.10.2.2"
)

func (k Kind) old() bool { return k == Kafka08 || k == Kafka010 }

// jars is the set of a Kafka's jars.
func (k Kind) jars() string {
	if k.old() {
		return string(k)
	}
	return "kafka-2.7.2"
}

// Options says how to start a broker. The zero value of each field is usable, except Kind and Dir.
type Options struct {
	Kind Kind
	// Dir holds the broker's configuration, its output, and unless Config says otherwise its log directory, Dir/logs.
	Dir string
	ID  int
	// ZooKeeper is the connect string. Empty: a Gregor serves its own; a Kafka cannot start.
	ZooKeeper string
	// Embedded: Gregor itself serves the ZooKeeper at ZooKeeper's address, on data under Dir/zookeeper.
	Embedded bool
	// Port is the one to listen on; 0 takes a free one.
	Port int
	// Config overrides the broker's properties.
	Config map[string]string
	// Heap is a JVM's -Xmx (default 384m).
	Heap string
	// Binary is Gregor's (default bin/gregor of the checkout).
	Binary string
	// Env is added to the environment.
	Env []string
}

// Broker is a running broker.
type Broker struct {
	*Process
	Options
	Addr string
	// Started is how long it took from the start of the process to the first answered ApiVersions request.
	Started time.Duration
}

// LogDir is the broker's (first) log directory.
func (b *Broker) LogDir() string { return filepath.Join(b.Dir, "logs") }

// StartBroker starts a broker and waits until it answers requests and knows a controller.
func StartBroker(ctx context.Context, o Options) (*Broker, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	if o.Port == 0 {
		if o.Port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if o.Kind == Gregor && o.ZooKeeper == "" {
		zkPort, err := FreePort()
		if err != nil {
			return nil, err
		}
		o.ZooKeeper = net.JoinHostPort("127.0.0.1", strconv.Itoa(zkPort))
		o.Embedded = true
	}
	config := filepath.Join(o.Dir, "server.properties")
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port))
	if err := writeProperties(config, defaultConfig(o, addr), o.Config); err != nil {
		return nil, err
	}
	argv, err := o.command(config)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	p, err := startProcess(o.Dir, string(o.Kind), o.Env, argv...)
	if err != nil {
		return nil, err
	}
	b := &Broker{Process: p, Options: o, Addr: addr}
	if err := poll(ctx, p, func(ctx context.Context) error { return answers(ctx, addr, o.Kind) }); err != nil {
		b.Close()
		return nil, err
	}
	b.Started = time.Since(began)
	if o.Kind == Kafka08 {
		return b, nil // its answers do not name the controller
	}
	if err := poll(ctx, p, func(ctx context.Context) error { return hasController(ctx, addr) }); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Restart starts the broker anew with the same options, port and data, after a Stop or a Kill. A killed Gregor is to start at once;
// a killed Kafka starts when ZooKeeper has forgotten it.
func (b *Broker) Restart(ctx context.Context) (*Broker, error) {
	if b.Kind != Gregor {
		return StartWhenFree(ctx, b.Options)
	}
	return StartBroker(ctx, b.Options)
}

// StartWhenFree starts a broker again and again for as long as it refuses because ZooKeeper still holds the session of a killed
// broker of its id.
func StartWhenFree(ctx context.Context, o Options) (*Broker, error) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := StartBroker(ctx, o)
		if err == nil || !idInUse(tail(filepath.Join(o.Dir, string(o.Kind)+".log"), 20_000)) {
			return b, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

func idInUse(log string) bool {
	return strings.Contains(log, "NodeExistsException") || strings.Contains(log, "the broker id is in use")
}

func defaultConfig(o Options, addr string) map[string]string {
	config := map[string]string{
		"broker.id": strconv.Itoa(o.ID), "listeners": "PLAINTEXT://" + addr, "zookeeper.connect": o.ZooKeeper,
		"log.dirs": filepath.Join(o.Dir, "logs"), "offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "1",
		"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1", "transaction.state.log.num.partitions": "1",
		"group.initial.rebalance.delay.ms": "0", "zookeeper.session.timeout.ms": "6000", "auto.create.topics.enable": "false",
	}
	if o.Kind == Kafka08 {
		delete(config, "listeners")
		config["port"], config["host.name"] = strconv.Itoa(o.Port), "127.0.0.1"
	}
	if o.Embedded {
		config["gregor.zookeeper.embedded"] = "true"
		config["gregor.zookeeper.data.dir"] = filepath.Join(o.Dir, "zookeeper")
	}
	return config
}

func (o Options) command(config string) (argv []string, err error) {
	switch o.Kind {
	case Kafka, Kafka08, Kafka010:
		cp, err := Classpath(o.Kind.jars())
		if err != nil {
			return nil, err
		}
		logOption, err := writeLog4j(o.Dir, "INFO")
		if err != nil {
			return nil, err
		}
		heap := o.Heap
		if heap == "" {
			heap = "384m"
		}
		// Kafka's own kafka-run-class.sh options, for a fair comparison.
		return []string{
			"java", "-Xmx" + heap, "-Xms" + heap, "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
			"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15",
			"-Djava.awt.headless=true", logOption, "-cp", cp, "kafka.Kafka", config,
		}, nil
	case Gregor:
		bin := o.Binary
		if bin == "" {
			if bin, err = GregorBinary(); err != nil {
				return nil, err
			}
		}
		return []string{bin, "kafka-server-start", config}, nil
	}
	return nil, fmt.Errorf("no such kind of broker: %q", o.Kind)
}

func answers(ctx context.Context, addr string, kind Kind) error {
	c, err := Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if kind == Kafka08 {
		req := kmsg.NewPtrMetadataRequest()
		_, err = c.Request(ctx, req)
		return err
	}
	req := kmsg.NewPtrApiVersionsRequest()
	_, err = c.Request(ctx, req)
	return err
}

func hasController(ctx context.Context, addr string) error {
	c, err := Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 1
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := c.Request(ctx, req)
	if err != nil {
		return err
	}
	m := resp.(*kmsg.MetadataResponse)
	for _, b := range m.Brokers {
		if b.NodeID == m.ControllerID {
			return nil
		}
	}
	return errors.New("no controller among the brokers of its metadata")
}

// Tail is the end of what the broker printed.
func (b *Broker) Tail() string { return tail(b.Log, 4000) }
