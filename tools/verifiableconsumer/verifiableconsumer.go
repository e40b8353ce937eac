// Package verifiableconsumer is kafka-verifiable-consumer: it reads a topic and prints what came, as events.
//
// Owns: the command's flags and its events; no state beyond one run.
// Guarded by: nothing; one goroutine reads and prints.
// Invariants: all partitions are assigned directly; offsets are committed for the group by hand, and what came of it is told.
// Imports: kgo, kmsg, tools/internal.
// Kafka counterpart: org.apache.kafka.tools.VerifiableConsumer.
package verifiableconsumer

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/argparse"
	"gregor/tools/internal/cli"
	"gregor/tools/internal/events"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

const (
	servers       = "HOST1:PORT1[,HOST2:PORT2[...]]"
	rangeAssignor = "org.apache.kafka.clients.consumer.RangeAssignor"
)

// assignors are Kafka's own; they mean nothing while no group is joined.
var assignors = []string{rangeAssignor, "org.apache.kafka.clients.consumer.RoundRobinAssignor", "org.apache.kafka.clients.consumer.StickyAssignor",
	"org.apache.kafka.clients.consumer.CooperativeStickyAssignor"}

func newParser() *argparse.Parser {
	return &argparse.Parser{Prog: "verifiable-consumer", About: "Reads a topic and prints what came, as JSON.", Args: []argparse.Arg{
		{Name: "--topic", Meta: "TOPIC", Required: true, Doc: "what to read"},
		{Name: "--group-id", Meta: "GROUP_ID", Required: true, Doc: "the group whose offsets are committed"},
		{Name: "--group-instance-id", Meta: "GROUP_INSTANCE_ID", Doc: "accepted; no group is joined"},
		{Name: "--max-messages", Kind: argparse.Int, Meta: "MAX-MESSAGES", Default: "-1", Doc: "how many; -1: until a signal comes"},
		{Name: "--session-timeout", Kind: argparse.Int, Meta: "TIMEOUT_MS", Default: "30000", Doc: "accepted; no group is joined"},
		{Name: "--verbose", Kind: argparse.Flag, Doc: "an event for each record too"},
		{Name: "--enable-autocommit", Kind: argparse.Flag, Doc: "do not commit after each batch"},
		{Name: "--reset-policy", Meta: "RESETPOLICY", Default: "earliest", Doc: "where to begin: earliest, latest or none"},
		{Name: "--assignment-strategy", Meta: "ASSIGNMENTSTRATEGY", Default: rangeAssignor, Doc: "accepted; no group is joined"},
		{Name: "--consumer.config", Meta: "CONFIG_FILE", Doc: "properties file for the consumer"},
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
	r := &run{out: &events.Writer{W: stdout}, stderr: stderr, group: o.String("--group-id"), limit: o.Int("--max-messages"),
		verbose: o.Has("--verbose"), commit: !o.Has("--enable-autocommit")}
	cfg, err := properties(o)
	if err != nil {
		return p.Fail(stderr, err)
	}
	cfg.Warn = stderr
	if r.reader, err = cfg.NewReader(o.String("--topic")); err == nil {
		err = checkAssignor(o.String("--assignment-strategy"))
	}
	if err != nil {
		return kclient.Uncaught(stderr, err)
	}
	return r.main()
}

func checkAssignor(list string) error {
	for class := range strings.SplitSeq(list, ",") {
		known := false
		for _, a := range assignors {
			known = known || a == strings.TrimSpace(class)
		}
		if !known {
			missing := &kclient.APIError{Class: "java.lang.ClassNotFoundException", Message: class}
			return &kclient.CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to construct kafka consumer",
				Cause: &kclient.CausedError{Class: "org.apache.kafka.common.KafkaException", Message: class + " ClassNotFoundException exception occurred", Cause: missing}}
		}
	}
	return nil
}

func properties(o *argparse.Options) (kclient.Config, error) {
	p := map[string]string{}
	if o.Has("--consumer.config") {
		var err error
		if p, err = props.Load(o.String("--consumer.config")); err != nil {
			return kclient.Config{}, argparse.Error(strings.TrimPrefix(err.Error(), "java.nio.file.NoSuchFileException: "))
		}
	}
	p["auto.offset.reset"] = o.String("--reset-policy")
	list := o.String("--broker-list")
	if o.Has("--bootstrap-server") {
		list = o.String("--bootstrap-server")
	}
	group := o.String("--group-id")
	id := "consumer-" + group + "-1"
	return kclient.Config{Servers: list, Props: p, ClientID: id, Name: "Consumer clientId=" + id + ", groupId=" + group}, nil
}

// run is one run.
type run struct {
	out      *events.Writer
	stderr   io.Writer
	reader   *kclient.Reader
	group    string
	limit    int64
	verbose  bool
	commit   bool
	consumed int64
}

func (r *run) main() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	code := make(chan int, 1)
	go func() {
		select {
		case sig := <-signals:
			signal.Stop(signals) // a second one ends the process at once
			if n, ok := sig.(syscall.Signal); ok {
				code <- 128 + int(n)
			}
			stop()
		case <-ctx.Done():
		}
	}()
	r.out.Print("startup_complete")
	if err := r.consume(ctx); err != nil && ctx.Err() == nil {
		text := err.Error()
		var api *kclient.APIError
		if errors.As(err, &api) {
			text = api.Trace()
		}
		cli.Log(r.stderr, "ERROR", "org.apache.kafka.tools.VerifiableConsumer", "Error during processing, terminating consumer process: \n"+text)
	}
	if r.reader.Partitions != nil {
		r.out.Print("partitions_revoked", events.Field{Name: "partitions", Value: r.partitions()})
	}
	r.reader.Client.Close()
	r.out.Print("shutdown_complete")
	select {
	case c := <-code:
		return c
	default:
		return 0
	}
}

func (r *run) finished() bool { return r.limit >= 0 && r.consumed >= r.limit }

func (r *run) consume(ctx context.Context) error {
	if r.finished() {
		return nil
	}
	if err := r.reader.Assign(ctx); err != nil {
		return err
	}
	r.out.Print("partitions_assigned", events.Field{Name: "partitions", Value: r.partitions()})
	for !r.finished() {
		fetches, err := r.reader.Poll(ctx)
		if err != nil || ctx.Err() != nil {
			return err
		}
		next := r.received(fetches)
		if r.commit {
			r.store(ctx, next)
		}
	}
	return nil
}

func (r *run) partitions() events.Raw {
	keys := make([]kclient.TopicPartition, len(r.reader.Partitions))
	for i, p := range r.reader.Partitions {
		keys[i] = kclient.TopicPartition{Topic: r.reader.Topic, Partition: p}
	}
	var out []events.Raw
	for _, tp := range kclient.HashOrderPartitions(keys, 0) {
		out = append(out, events.Object(place(tp)...))
	}
	return events.Array(out)
}

func place(tp kclient.TopicPartition) []events.Field {
	return []events.Field{{Name: "topic", Value: tp.Topic}, {Name: "partition", Value: tp.Partition}}
}

// mark is how far a partition was read.
type mark struct {
	kclient.TopicPartition
	next int64
}

// received tells of records and returns where to go on; what is beyond --max-messages counts as not read.
func (r *run) received(fetches kgo.Fetches) []mark {
	var marks []mark
	var sums []events.Raw
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		records := p.Records
		if left := r.limit - r.consumed; r.limit >= 0 && int64(len(records)) > left {
			records = records[:left]
		}
		if len(records) == 0 {
			return
		}
		tp := kclient.TopicPartition{Topic: p.Topic, Partition: p.Partition}
		first, last := records[0].Offset, records[len(records)-1].Offset
		if r.verbose {
			for _, rec := range records {
				r.out.Print("record_data", append([]events.Field{{Name: "key", Value: rec.Key}, {Name: "value", Value: rec.Value}},
					append(place(tp), events.Field{Name: "offset", Value: rec.Offset})...)...)
			}
		}
		sums = append(sums, events.Object(append(place(tp), events.Field{Name: "count", Value: len(records)},
			events.Field{Name: "minOffset", Value: first}, events.Field{Name: "maxOffset", Value: last})...))
		marks = append(marks, mark{tp, last + 1})
		r.consumed += int64(len(records))
	})
	r.out.Print("records_consumed", events.Field{Name: "count", Value: fetches.NumRecords()}, events.Field{Name: "partitions", Value: events.Array(sums)})
	return marks
}

// commitLimit is how long a commit may take.
const commitLimit = 10 * time.Second

// store commits the offsets for the group, as a consumer does that has its partitions assigned by hand.
func (r *run) store(ctx context.Context, marks []mark) {
	ctx, cancel := context.WithTimeout(ctx, commitLimit)
	defer cancel()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = r.group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = r.reader.Topic
	var list []events.Raw
	for _, m := range marks {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = m.Partition, m.next
		t.Partitions = append(t.Partitions, p)
		list = append(list, events.Object(append(place(m.TopicPartition), events.Field{Name: "offset", Value: m.next})...))
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, r.reader.Client)
	if err == nil {
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				if e := kclient.Error(resp.Topics[i].Partitions[j].ErrorCode, nil); e != nil {
					err = e
				}
			}
		}
	}
	fields := []events.Field{{Name: "offsets", Value: events.Array(list)}}
	if err != nil {
		fields = append(fields, events.Field{Name: "error", Value: kclient.Wrap(err, "commit offsets").Error()})
	}
	r.out.Print("offsets_committed", append(fields, events.Field{Name: "success", Value: err == nil})...)
}
