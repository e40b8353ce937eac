// Package verifiableproducer is kafka-verifiable-producer: it writes 0, 1, 2, ... to a topic and prints what became of each.
//
// Owns: the command's flags and its events; no state beyond one run.
// Guarded by: the count of answers is atomic, because they come in several goroutines; events have a lock of their own.
// Invariants: every record that was sent has one event, printed before shutdown_complete; a signal ends the run as its end does.
// Imports: kgo, tools/internal.
// Kafka counterpart: org.apache.kafka.tools.VerifiableProducer.
package verifiableproducer

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/argparse"
	"gregor/tools/internal/events"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

const servers = "HOST1:PORT1[,HOST2:PORT2[...]]"

func newParser() *argparse.Parser {
	return &argparse.Parser{Prog: "verifiable-producer", About: "Writes growing numbers to a topic and prints what became of each, as JSON.", Args: []argparse.Arg{
		{Name: "--topic", Meta: "TOPIC", Required: true, Doc: "where to"},
		{Name: "--max-messages", Kind: argparse.Int, Meta: "MAX-MESSAGES", Default: "-1", Doc: "how many; -1: until a signal comes"},
		{Name: "--throughput", Kind: argparse.Int, Meta: "THROUGHPUT", Default: "-1", Doc: "about how many a second; -1: as many as possible"},
		{Name: "--acks", Kind: argparse.Int, Meta: "ACKS", Default: "-1", Choices: []string{"0", "1", "-1"}, Doc: "who has to have a record before it counts"},
		{Name: "--producer.config", Meta: "CONFIG_FILE", Doc: "properties file for the producer"},
		{Name: "--message-create-time", Kind: argparse.Long, Meta: "CREATETIME", Default: "-1", Doc: "timestamp of the first record, in milliseconds"},
		{Name: "--value-prefix", Kind: argparse.Int, Meta: "VALUE-PREFIX", Doc: "put this and a dot before each number"},
		{Name: "--repeating-keys", Kind: argparse.Int, Meta: "REPEATING-KEYS", Doc: "give the records the keys 0 to this, over and over"},
		{Name: "--bootstrap-server", Meta: servers, Group: true, Doc: "brokers to connect to"},
		{Name: "--broker-list", Meta: servers, Group: true, Doc: "the old name of --bootstrap-server"},
	}}
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	if len(args) == 0 {
		p.Help(stdout)
		return 0
	}
	o, err := p.Parse(args)
	if err == nil && o.Help {
		p.Help(stdout)
		return 1
	}
	if err != nil {
		return p.Fail(stderr, err)
	}
	cfg, err := properties(o)
	if err != nil {
		return p.Fail(stderr, err)
	}
	cfg.Warn = stderr
	r := &run{o: o, out: &events.Writer{W: stdout}, topic: o.String("--topic")}
	var extra []kgo.Opt
	if o.Int("--message-create-time") != -1 {
		extra = append(extra, kgo.RecordDeliveryTimeout(0)) // kgo counts it from the record's timestamp
	}
	if r.producer, err = cfg.NewProducer(r.topic, 1<<10, extra...); err != nil {
		return kclient.Uncaught(stderr, err)
	}
	return r.main()
}

func properties(o *argparse.Options) (kclient.Config, error) {
	p := map[string]string{"acks": o.String("--acks"), "retries": "0"}
	if o.Has("--producer.config") {
		file, err := props.Load(o.String("--producer.config"))
		if err != nil {
			return kclient.Config{}, argparse.Error(strings.TrimPrefix(err.Error(), "java.nio.file.NoSuchFileException: "))
		}
		for k, v := range file {
			p[k] = v
		}
	}
	list := o.String("--broker-list")
	if o.Has("--bootstrap-server") {
		list = o.String("--bootstrap-server")
	}
	return kclient.Config{Servers: list, Props: p, ClientID: "producer-1", Name: "Producer clientId=producer-1"}, nil
}

// run is one run.
type run struct {
	o        *argparse.Options
	out      *events.Writer
	topic    string
	producer *kclient.Producer
	sent     int64
	acked    atomic.Int64
}

func (r *run) main() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan struct{})
	start := time.Now()
	go func() { defer close(done); r.produce(ctx, start) }()
	code := 0
	select {
	case <-done:
	case sig := <-signals:
		signal.Stop(signals) // a second one ends the process at once
		if n, ok := sig.(syscall.Signal); ok {
			code = 128 + int(n)
		}
		stop()
		<-done
	}
	r.producer.Client.Flush(context.Background()) //nolint:errcheck // what failed has had its event
	r.producer.Client.Close()
	r.out.Print("shutdown_complete")
	acked := r.acked.Load()
	r.out.Print("tool_data", events.Field{Name: "sent", Value: r.sent}, events.Field{Name: "acked", Value: acked},
		events.Field{Name: "target_throughput", Value: r.o.Int("--throughput")},
		events.Field{Name: "avg_throughput", Value: 1000 * (float64(acked) / float64(max(time.Since(start).Milliseconds(), 1)))})
	return code
}

// produce sends until there is enough or ctx ends.
func (r *run) produce(ctx context.Context, start time.Time) {
	r.out.Print("startup_complete")
	limit, created := r.o.Int("--max-messages"), r.o.Int("--message-create-time")
	prefix := ""
	if r.o.Has("--value-prefix") {
		prefix = r.o.String("--value-prefix") + "."
	}
	keys, key := r.o.Int("--repeating-keys"), int64(0)
	throttle := kclient.Throttle{Rate: r.o.Int("--throughput"), Start: start}
	for i := int64(0); (limit < 0 || i < limit) && ctx.Err() == nil; i++ {
		now := time.Now()
		rec := &kgo.Record{Value: strconv.AppendInt([]byte(prefix), i, 10)}
		if r.o.Has("--repeating-keys") {
			rec.Key = strconv.AppendInt(nil, key, 10)
			if key++; key == keys {
				key = 0
			}
		}
		if created != -1 {
			rec.Timestamp = time.UnixMilli(created)
			created += now.UnixMilli() - start.UnixMilli()
		}
		r.sent++
		if err := r.producer.Ready(ctx, rec); err != nil {
			if ctx.Err() == nil {
				r.failed(rec, err)
			} else {
				r.sent--
			}
			continue
		}
		r.producer.Client.Produce(context.Background(), rec, r.answered)
		throttle.Pause(ctx, i, now)
	}
}

func (r *run) answered(rec *kgo.Record, err error) {
	if err != nil {
		r.failed(rec, r.producer.Explain(rec, err))
		return
	}
	r.acked.Add(1)
	r.out.Print("producer_send_success", events.Field{Name: "key", Value: rec.Key}, events.Field{Name: "value", Value: rec.Value},
		events.Field{Name: "offset", Value: rec.Offset}, events.Field{Name: "topic", Value: rec.Topic}, events.Field{Name: "partition", Value: rec.Partition})
}

func (r *run) failed(rec *kgo.Record, err error) {
	class := "org.apache.kafka.common.KafkaException"
	var api *kclient.APIError
	if errors.As(err, &api) {
		class = api.Class
	}
	r.out.Print("producer_send_error", events.Field{Name: "key", Value: rec.Key}, events.Field{Name: "value", Value: rec.Value},
		events.Field{Name: "exception", Value: "class " + class}, events.Field{Name: "message", Value: err.Error()}, events.Field{Name: "topic", Value: r.topic})
}
