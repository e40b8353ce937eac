// Package replicaverification is kafka-replica-verification: it reads all replicas of partitions at the same offsets, from each broker
// itself, and tells of batches that differ.
//
// Owns: the command's flags and output, and where in each partition it is.
// Guarded by: nothing; brokers are asked side by side, what they answer is compared by one goroutine.
// Invariants: only what lies below a replica's high watermark is compared; a partition goes on when all its replicas agreed.
// Imports: kmsg, tools/internal, tools/topics for the filter.
// Kafka counterpart: kafka.tools.ReplicaVerificationTool.
package replicaverification

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/topics"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "broker-list", Kind: cli.String, Arg: "hostname:port,...,hostname:port", Doc: "REQUIRED: brokers to connect to."},
		cli.Opt{Name: "fetch-size", Kind: cli.Int, Arg: "bytes", Default: "1048576", Doc: "How much to read at a time from each replica."},
		cli.Opt{Name: "max-wait-ms", Kind: cli.Int, Arg: "ms", Default: "1000", Doc: "How long to wait for records."},
		cli.Opt{Name: "topic-white-list", Kind: cli.String, Arg: "Java regex (String)", Default: ".*", Doc: "Which topics. Default: all."},
		cli.Opt{Name: "time", Kind: cli.Long, Arg: "timestamp/-1(latest)/-2(earliest)", Default: "-1", Doc: "Where to begin."},
		cli.Opt{Name: "report-interval-ms", Kind: cli.Long, Arg: "ms", Default: "30000", Doc: "How often to tell how far replicas lag."},
	)...)
}

// Main runs the command, until it is interrupted or replicas lie at different offsets, and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Fail(stderr, err)
	}
	if code, done := o.HelpOrVersion(stdout, stderr, "Validate that all replicas for a set of topics have the same data."); done {
		return code
	}
	if err = o.Require("broker-list"); err == nil {
		err = o.Check("broker-list", "fetch-size", "max-wait-ms", "topic-white-list", "time", "report-interval-ms")
	}
	if err != nil {
		return p.Fail(stderr, err)
	}
	filter, err := topics.IncludeList(o.String("topic-white-list"))
	if err != nil {
		return kclient.Uncaught(stderr, err)
	}
	for s := range strings.SplitSeq(o.String("broker-list"), ",") {
		if !kclient.ValidHostPort(s) {
			return p.Usage(stderr, "Please provide valid host:port like host1:9091,host2:9092\n ")
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	admin, err := kclient.OpenAdmin(o.String("broker-list"), map[string]string{}, "adminclient-1", stderr)
	if err != nil {
		return kclient.Uncaught(stderr, err)
	}
	defer admin.Close()
	v := &verifier{admin: admin, out: out, opts: o, byBroker: map[int32][]kclient.TopicPartition{},
		replicas: map[kclient.TopicPartition][]int32{}}
	if err := v.find(ctx, filter.MatchString); err != nil {
		return kclient.Uncaught(stderr, err)
	}
	if len(v.replicas) == 0 {
		cli.Log(stderr, "ERROR", "kafka.tools.ReplicaVerificationTool$",
			"No topics found. [topic-white-list] if specified, is either filtering out all topics or there is no topic.")
		return 1
	}
	if err := v.begin(ctx); err != nil {
		return kclient.Uncaught(stderr, err)
	}
	return v.run(ctx)
}

type verifier struct {
	admin    *kclient.Admin
	out      *bufio.Writer
	opts     *cli.Options
	replicas map[kclient.TopicPartition][]int32
	byBroker map[int32][]kclient.TopicPartition
	next     map[kclient.TopicPartition]int64 // the offset that is compared next
	order    []kclient.TopicPartition
}

// debugging is the replica id of a reader that every replica serves, up to its log's end.
const debugging = -2

func now() string { return time.Now().Format("2006-01-02 15:04:05,000") }

// find asks which partitions there are.
func (v *verifier) find(ctx context.Context, match func(string) bool) error {
	resp, err := kclient.Ask[*kmsg.MetadataResponse](ctx, v.admin, kmsg.NewPtrMetadataRequest(), "describeTopics")
	if err != nil {
		return kclient.Executed(err)
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic == nil || !match(*t.Topic) {
			continue
		}
		for j := range t.Partitions {
			tp := kclient.TopicPartition{Topic: *t.Topic, Partition: t.Partitions[j].Partition}
			v.replicas[tp] = t.Partitions[j].Replicas
			v.order = append(v.order, tp)
			for _, id := range t.Partitions[j].Replicas {
				v.byBroker[id] = append(v.byBroker[id], tp)
			}
		}
	}
	return nil
}

// begin asks for the offsets to begin at.
func (v *verifier) begin(ctx context.Context) error {
	next, err := v.admin.ListOffsets(ctx, v.order, v.opts.Int("time"))
	v.next = next
	return err
}

// answer is what one replica holds from an offset on.
type answer struct {
	highWatermark int64
	batches       []byte
}

// run reads and compares until ctx ends.
func (v *verifier) run(ctx context.Context) int {
	fmt.Fprintln(v.out, now()+": verification process is started.")
	last := time.Now()
	interval := time.Duration(v.opts.Int("report-interval-ms")) * time.Millisecond
	for {
		v.out.Flush() //nolint:errcheck // nobody is left to tell
		found := v.fetch(ctx)
		if ctx.Err() != nil {
			return 143
		}
		lag, at, worst := int64(-1), int64(-1), kclient.TopicPartition{}
		for _, tp := range v.order {
			high, ok := v.compare(tp, found[tp])
			if !ok {
				return 1
			}
			if high-v.next[tp] > lag {
				lag, at, worst = high-v.next[tp], v.next[tp], tp
			}
		}
		if time.Since(last) > interval {
			last = time.Now()
			fmt.Fprintf(v.out, "%s: max lag is %d for partition %s at offset %d among %d partitions\n", now(), lag, worst, at, len(v.order))
		}
	}
}

// fetch asks all brokers at once. One that does not answer has nothing.
func (v *verifier) fetch(ctx context.Context) map[kclient.TopicPartition]map[int32]answer {
	out := map[kclient.TopicPartition]map[int32]answer{}
	for _, tp := range v.order {
		out[tp] = map[int32]answer{}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for id, tps := range v.byBroker {
		wg.Go(func() {
			got := v.fetchFrom(ctx, id, tps)
			mu.Lock()
			defer mu.Unlock()
			for _, tp := range tps {
				a, ok := got[tp]
				if !ok {
					a.highWatermark = -1
				}
				out[tp][id] = a
			}
		})
	}
	wg.Wait()
	return out
}

func (v *verifier) fetchFrom(ctx context.Context, id int32, tps []kclient.TopicPartition) map[kclient.TopicPartition]answer {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes = debugging, int32(v.opts.Int("max-wait-ms")), 1
	req.MaxBytes = 0x7fffffff
	req.SessionEpoch = -1
	at := map[string]int{}
	for _, tp := range tps {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			t := kmsg.NewFetchRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = tp.Partition, v.next[tp], int32(v.opts.Int("fetch-size"))
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	out := map[kclient.TopicPartition]answer{}
	answered, err := v.admin.Client.Broker(int(id)).Request(ctx, req)
	resp, ok := answered.(*kmsg.FetchResponse)
	if err != nil || !ok {
		timer := time.NewTimer(time.Second) // the broker is away: the others are not to be asked all the time
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return out
	}
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			out[kclient.TopicPartition{Topic: resp.Topics[i].Topic, Partition: p.Partition}] = answer{p.HighWatermark, p.RecordBatches}
		}
	}
	return out
}

// compare goes through the batches of all replicas side by side. It returns the highest high watermark, and false where replicas hold
// different offsets, which ends the command.
func (v *verifier) compare(tp kclient.TopicPartition, found map[int32]answer) (high int64, ok bool) {
	high = -1
	var ids []int32
	rest := map[int32][]byte{}
	for id, a := range found {
		high = max(high, a.highWatermark)
		ids = append(ids, id)
		rest[id] = a.batches
	}
	slices.Sort(ids)
	for len(ids) > 0 {
		var first *batch
		var from int32
		all := true
		for _, id := range ids {
			b, after, whole := nextBatch(rest[id])
			rest[id] = after
			switch {
			case !whole || b.last >= found[id].highWatermark:
				all = false
			case first == nil:
				first, from = &b, id
			case first.last != b.last:
				fmt.Fprintf(v.out, "%s: partition %s: replica %d's offset %d doesn't match replica %d's offset %d\n", now(), tp, from, first.last, id, b.last)
				return high, false
			case first.checksum != b.checksum:
				fmt.Fprintf(v.out, "%s: partition %s has unmatched checksum at offset %d; replica %d's checksum %d; replica %d's checksum %d\n",
					now(), tp, b.last, from, first.checksum, id, b.checksum)
			}
		}
		if !all {
			break
		}
		v.next[tp] = first.last + 1
	}
	return high, true
}
