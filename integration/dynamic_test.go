package integration

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
)

// dynamic is a client that alters one broker and waits until that is in effect.
type dynamic struct {
	t      *testing.T
	ctx    context.Context
	client *kgo.Client
}

func newDynamic(t *testing.T, ctx context.Context, addr string) *dynamic {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordRetries(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(900_000), kgo.DefaultProduceTopic("dynamic"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &dynamic{t, ctx, c}
}

// alter replaces the settings of the broker, or of all with an empty name.
func (d *dynamic) alter(name string, settings map[string]string) {
	d.t.Helper()
	req := kmsg.NewPtrAlterConfigsRequest()
	r := kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: name}
	for k, v := range settings {
		r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: k, Value: &v})
	}
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(d.ctx, d.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Resources[0].ErrorCode)
	}
	if err != nil {
		d.t.Fatalf("altering %v: %v", settings, err)
	}
}

// until waits for something to become true of the running broker.
func (d *dynamic) until(what string, is func() bool) {
	d.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(end) {
			d.t.Fatalf("%s did not come true", what)
		}
		<-tick.C
	}
}

func (d *dynamic) produce(size int) error {
	return d.client.ProduceSync(d.ctx, kgo.StringRecord(strings.Repeat("x", size))).FirstErr()
}

// TestDynamicSettingsHaveTheirEffect: what is altered while a broker runs holds at once, for topics that were there before too, and still
// does after a restart.
func TestDynamicSettingsHaveTheirEffect(t *testing.T) {
	_, ctx := interop(t, 3*time.Minute)
	b := startBroker(t, ctx, peer.Options{Kind: peer.Gregor, Dir: t.TempDir(), ID: 7})
	d := newDynamic(t, ctx, b.Addr)
	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = 20_000
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "dynamic", NumPartitions: 1, ReplicationFactor: 1}}
	if _, err := create.RequestWith(ctx, d.client); err != nil {
		t.Fatal(err)
	}
	d.until("the topic", func() bool { return d.produce(1000) == nil })

	tooLarge := func() bool { return errors.Is(d.produce(1000), kerr.MessageTooLarge) }
	accepted := func() bool { return d.produce(1000) == nil }
	d.alter("", map[string]string{"message.max.bytes": "500"})
	d.until("message.max.bytes of all brokers", tooLarge)
	d.alter("7", map[string]string{"message.max.bytes": "5000"})
	d.until("message.max.bytes of this broker, over that of all", accepted)
	d.alter("7", nil)
	d.until("message.max.bytes of all brokers again", tooLarge)

	stop(t, b)
	b, err := b.Restart(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	d = newDynamic(t, ctx, b.Addr)
	if !tooLarge() {
		t.Error("message.max.bytes does not hold after a restart")
	}
	d.alter("", nil)
	d.until("the default of message.max.bytes", accepted)

	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	added := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	d.alter("7", map[string]string{"listeners": "PLAINTEXT://" + b.Addr + ",ADDED://" + added, "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,ADDED:PLAINTEXT"})
	other := newDynamic(t, ctx, added)
	d.until("a new listener, which tells its clients its own address", func() bool {
		resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, other.client)
		return err == nil && len(resp.Brokers) == 1 && resp.Brokers[0].Port == int32(port)
	})
	d.alter("7", nil)
	d.until("the listener is closed", func() bool {
		c, err := net.Dial("tcp", added)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if err := d.produce(10); err != nil {
		t.Errorf("over the listener that stayed: %v", err)
	}
}
