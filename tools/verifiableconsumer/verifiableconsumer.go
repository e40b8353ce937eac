// Package verifiableconsumer is kafka-verifiable-consumer: it reads a topic and prints what came, as events.
//
// Owns: the command's flags and its events; no state beyond one run.
// Guarded by: nothing; one goroutine reads and prints, and the consumer's own tells of assignments while the first one polls.
// Invariants: events come in the order in which things happened; without --enable-autocommit what was told of is committed before the
// next poll, and what came of it is told.
// Imports: kgo, kerr, tools/internal.
// Kafka counterpart: org.apache.kafka.tools.VerifiableConsumer.
package verifiableconsumer

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/argparse"
	"gregor/tools/internal/cli"
	"gregor/tools/internal/events"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

const servers = "HOST1:PORT1[,HOST2:PORT2[...]]"

func newParser() *argparse.Parser {
	return &argparse.Parser{Prog: "verifiable-consumer", About: "Reads a topic and prints what came, as JSON.", Args: []argparse.Arg{
		{Name: "--topic", Meta: "TOPIC", Required: true, Doc: "what to read"},
		{Name: "--group-id", Meta: "GROUP_ID", Required: true, Doc: "the consumer group to join"},
		{Name: "--group-instance-id", Meta: "GROUP_INSTANCE_ID", Doc: "be a static member of this name"},
		{Name: "--max-messages", Kind: argparse.Int, Meta: "MAX-MESSAGES", Default: "-1", Doc: "how many; -1: until a signal comes"},
		{Name: "--session-timeout", Kind: argparse.Int, Meta: "TIMEOUT_MS", Default: "30000", Doc: "how long the group waits for a member that is silent"},
		{Name: "--verbose", Kind: argparse.Flag, Doc: "an event for each record too"},
		{Name: "--enable-autocommit", Kind: argparse.Flag, Doc: "commit from time to time, not after each batch"},
		{Name: "--reset-policy", Meta: "RESETPOLICY", Default: "earliest", Doc: "where to begin: earliest, latest or none"},
		{Name: "--assignment-strategy", Meta: "ASSIGNMENTSTRATEGY", Default: kclient.RangeAssignor, Doc: "how partitions are shared out, by the names of Kafka's classes"},
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
	r := &run{started: make(chan struct{}), out: &events.Writer{W: stdout}, stderr: stderr, limit: o.Int("--max-messages"),
		verbose: o.Has("--verbose"), commit: !o.Has("--enable-autocommit")}
	cfg, err := properties(o)
	if err != nil {
		return p.Fail(stderr, err)
	}
	cfg.Warn = stderr
	s := kclient.Subscription{Topic: o.String("--topic"), Group: o.String("--group-id"),
		Assigned: func(tps []kclient.TopicPartition) { r.tell("partitions_assigned", tps) },
		Revoked:  func(tps []kclient.TopicPartition) { r.tell("partitions_revoked", tps) }}
	if r.finished() {
		s.Direct = map[int32]kgo.Offset{} // Java's joins with its first poll, which there is none of
	}
	// Before there is a consumer: it joins its group at once, and who sees that may end this command.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	r.consumer, err = cfg.NewConsumer(s)
	if err != nil {
		return kclient.Uncaught(stderr, err)
	}
	return r.main(signals)
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
	p["enable.auto.commit"] = strconv.FormatBool(o.Has("--enable-autocommit"))
	p["session.timeout.ms"] = o.String("--session-timeout")
	p["partition.assignment.strategy"] = o.String("--assignment-strategy")
	if o.Has("--group-instance-id") {
		p["group.instance.id"] = o.String("--group-instance-id")
	}
	list := o.String("--broker-list")
	if o.Has("--bootstrap-server") {
		list = o.String("--bootstrap-server")
	}
	return kclient.Config{Servers: list, Props: p}.AsConsumer(o.String("--group-id")), nil
}

// run is one run.
type run struct {
	out      *events.Writer
	stderr   io.Writer
	consumer *kclient.Consumer
	started  chan struct{}
	limit    int64
	verbose  bool
	commit   bool
	consumed int64
}

func (r *run) main(signals chan os.Signal) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
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
	close(r.started)
	if err := r.consume(ctx); err != nil && ctx.Err() == nil {
		cli.Log(r.stderr, "ERROR", "org.apache.kafka.tools.VerifiableConsumer", "Error during processing, terminating consumer process: ")
		kclient.PrintTrace(r.stderr, err)
	}
	r.consumer.Close()
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
	for !r.finished() {
		fetches, err := r.consumer.Poll(ctx, nil)
		if err != nil || ctx.Err() != nil {
			return err
		}
		next := r.received(fetches)
		if !r.commit {
			continue
		}
		if err := r.store(next); err != nil {
			return err
		}
	}
	return nil
}

// tell prints an event about partitions; the consumer may have joined before anything else was printed.
func (r *run) tell(event string, tps []kclient.TopicPartition) {
	<-r.started
	list := []events.Raw{}
	for _, tp := range tps {
		list = append(list, events.Object(place(tp)...))
	}
	r.out.Print(event, events.Field{Name: "partitions", Value: events.Array(list)})
}

func place(tp kclient.TopicPartition) []events.Field {
	return []events.Field{{Name: "topic", Value: tp.Topic}, {Name: "partition", Value: tp.Partition}}
}

// received tells of records and returns where to go on; what is beyond --max-messages counts as not read.
func (r *run) received(fetches kgo.Fetches) map[kclient.TopicPartition]kgo.EpochOffset {
	next := map[kclient.TopicPartition]kgo.EpochOffset{}
	var sums []events.Raw
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		records := p.Records
		if n := len(records); n > 0 {
			r.consumer.Read(records[n-1])
		}
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
		next[tp] = kgo.EpochOffset{Epoch: -1, Offset: last + 1}
		r.consumed += int64(len(records))
	})
	r.out.Print("records_consumed", events.Field{Name: "count", Value: fetches.NumRecords()}, events.Field{Name: "partitions", Value: events.Array(sums)})
	return next
}

// commitLimit is how long a commit may take; a signal does not end it.
const commitLimit = time.Minute

// store commits offsets and tells what came of it; only one who was replaced does not go on.
func (r *run) store(next map[kclient.TopicPartition]kgo.EpochOffset) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
	defer cancel()
	err := r.consumer.Commit(ctx, next)
	var api *kclient.APIError
	if errors.As(err, &api) && api.Code == kerr.FencedInstanceID.Code {
		return err
	}
	var keys []kclient.TopicPartition
	for tp := range next {
		keys = append(keys, tp)
	}
	slices.SortFunc(keys, func(a, b kclient.TopicPartition) int { return int(a.Partition) - int(b.Partition) })
	list := []events.Raw{}
	for _, tp := range kclient.HashOrderPartitions(keys, 0) {
		list = append(list, events.Object(append(place(tp), events.Field{Name: "offset", Value: next[tp].Offset})...))
	}
	fields := []events.Field{{Name: "offsets", Value: events.Array(list)}}
	if err != nil {
		fields = append(fields, events.Field{Name: "error", Value: err.Error()})
	}
	r.out.Print("offsets_committed", append(fields, events.Field{Name: "success", Value: err == nil})...)
	return nil
}
