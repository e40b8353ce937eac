// Package consumerperf is kafka-consumer-perf-test: it reads many records and prints how fast that was.
//
// Owns: the command's flags, the figures and their lines; no state beyond one run.
// Guarded by: test.mu, for the time of a rebalance; else one goroutine reads and prints.
// Invariants: the lines have Kafka's header and columns. The group is joined, and its offsets are committed; rebalance.time.ms is the time
// until partitions were assigned, where Apache's class prints a time of day.
// Imports: kgo, tools/internal.
// Kafka counterpart: kafka.tools.ConsumerPerformance.
package consumerperf

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "messages", Kind: cli.Long, Arg: "count", Doc: "REQUIRED: how many to read."},
		cli.Opt{Name: "reporting-interval", Kind: cli.Int, Arg: "interval_ms", Default: "5000", Doc: "Milliseconds between two lines of --show-detailed-stats."},
		cli.Opt{Name: "date-format", Kind: cli.String, Arg: "date format", Default: "yyyy-MM-dd HH:mm:ss:SSS", Doc: "How times are shown, in the letters of Java's SimpleDateFormat."},
		cli.Opt{Name: "hide-header", Doc: "Leave out the line with the names of the columns."},
		cli.Opt{Name: "broker-list", Kind: cli.String, Arg: "broker-list", Doc: "The old name of --bootstrap-server."},
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "server to connect to", Unless: "broker-list", Doc: "REQUIRED: brokers to connect to."},
		cli.Opt{Name: "topic", Kind: cli.String, Arg: "topic", Doc: "REQUIRED: what to read."},
		cli.Opt{Name: "group", Kind: cli.String, Arg: "gid", Doc: "The consumer group to join. Default: perf-consumer- and a number."},
		cli.Opt{Name: "fetch-size", Kind: cli.Int, Arg: "size", Default: "1048576", Doc: "Bytes to fetch of a partition at once."},
		cli.Opt{Name: "from-latest", Doc: "Begin at the end instead of at the beginning."},
		cli.Opt{Name: "socket-buffer-size", Kind: cli.Int, Arg: "size", Default: "2097152", Doc: "Accepted for old scripts; the system chooses."},
		cli.Opt{Name: "threads", Kind: cli.Int, Arg: "count", Default: "10", Doc: "Deprecated and ignored."},
		cli.Opt{Name: "num-fetch-threads", Kind: cli.Int, Arg: "count", Default: "1", Doc: "Deprecated and ignored."},
		cli.Opt{Name: "consumer.config", Kind: cli.String, Arg: "config file", Doc: "Properties file for the consumer."},
		cli.Opt{Name: "print-metrics", Doc: "Accepted; the client counts nothing beyond the columns."},
		cli.Opt{Name: "show-detailed-stats", Doc: "A line each --reporting-interval instead of one at the end."},
		cli.Opt{Name: "timeout", Kind: cli.Long, Optional: true, Arg: "milliseconds", Default: "10000", Doc: "How long to wait for further records."},
	)...)
}

const moreColumns = ", rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Usage(stderr, err.Error())
	}
	if o.Has("threads") || o.Has("num-fetch-threads") {
		fmt.Fprintln(stdout, "WARNING: option [threads] and [num-fetch-threads] have been deprecated and will be ignored by the test")
	}
	if o.Has("help") || o.Has("version") {
		code, _ := o.HelpOrVersion(stdout, stderr, "This tool reads many records of a topic and prints how fast that was.")
		return code
	}
	if err = o.Require("topic", "messages"); err == nil {
		err = o.Check("topic", "messages", "bootstrap-server", "broker-list", "group", "consumer.config", "timeout", "reporting-interval")
	}
	if err != nil {
		return p.Fail(stderr, err)
	}
	t := &test{out: bufio.NewWriter(stdout), count: o.Int("messages"), timeout: time.Duration(o.Int("timeout")) * time.Millisecond,
		interval: time.Duration(o.Int("reporting-interval")) * time.Millisecond, detailed: o.Has("show-detailed-stats")}
	defer t.out.Flush() //nolint:errcheck // nobody is left to tell
	if err := t.prepare(o, stderr); err != nil {
		t.out.Flush() //nolint:errcheck // see above
		return kclient.Uncaught(stderr, err)
	}
	if err := t.run(context.Background()); err != nil {
		t.consumer.Close()
		t.out.Flush() //nolint:errcheck // see above
		return kclient.Uncaught(stderr, err)
	}
	return 0
}

// test is one run.
type test struct {
	consumer *kclient.Consumer
	out      *bufio.Writer
	count    int64
	timeout  time.Duration
	interval time.Duration
	detailed bool
	date     dateFormat

	now, last sums // all so far, and at the last line
	reported  time.Time

	mu      sync.Mutex
	since   time.Time     // when partitions were lost, or the test began
	joining time.Duration // all waits for an assignment
	joined  time.Duration // those not yet told of in a line
}

type sums struct{ records, bytes int64 }

func (t *test) prepare(o *cli.Options, stderr io.Writer) error {
	p := map[string]string{}
	if o.Has("consumer.config") {
		var err error
		if p, err = props.Load(o.String("consumer.config")); err != nil {
			return err
		}
	}
	p["max.partition.fetch.bytes"] = o.String("fetch-size")
	p["auto.offset.reset"] = "earliest"
	if o.Has("from-latest") {
		p["auto.offset.reset"] = "latest"
	}
	if t.interval <= 0 {
		return kclient.IllegalArgument("Reporting interval must be greater than 0.")
	}
	var err error
	if t.date, err = parseDateFormat(o.String("date-format")); err != nil {
		return err
	}
	if !o.Has("hide-header") {
		first := "start.time, end.time"
		if t.detailed {
			first = "time, threadId"
		}
		fmt.Fprintln(t.out, first+", data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec"+moreColumns)
		t.out.Flush() //nolint:errcheck // nobody is left to tell
	}
	servers := o.String("broker-list")
	if o.Has("bootstrap-server") {
		servers = o.String("bootstrap-server")
	}
	group := o.String("group")
	if group == "" {
		group = "perf-consumer-" + strconv.Itoa(int(time.Now().UnixNano()%100000))
	}
	cfg := kclient.Config{Servers: servers, Props: p, Warn: stderr}.AsConsumer(group)
	t.since = time.Now()
	t.consumer, err = cfg.NewConsumer(kclient.Subscription{Topic: o.String("topic"), Group: group, Assigned: t.assigned, Revoked: t.revoked})
	return err
}

func (t *test) assigned([]kclient.TopicPartition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	waited := time.Since(t.since)
	t.joining += waited
	t.joined += waited
}

func (t *test) revoked([]kclient.TopicPartition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = time.Now()
}

const mega = 1024 * 1024

func (t *test) run(ctx context.Context) error {
	start := time.Now()
	t.reported = start
	if err := t.consume(ctx); err != nil {
		return err
	}
	if t.now.records < t.count {
		fmt.Fprintf(t.out, "WARNING: Exiting before consuming the expected number of messages: timeout (%d ms) exceeded. "+
			"You can use the --timeout option to increase the timeout.\n", t.timeout.Milliseconds())
	}
	end := time.Now()
	t.mu.Lock()
	joining := t.joining
	t.mu.Unlock()
	t.consumer.Close()
	if t.detailed {
		return nil
	}
	all := max(end.Sub(start).Milliseconds(), 1)
	fetch := max(end.Sub(start).Milliseconds()-joining.Milliseconds(), 0)
	mb, n := float64(t.now.bytes)/mega, float64(t.now.records)
	fmt.Fprintf(t.out, "%s, %s, %.4f, %.4f, %d, %.4f, %d, %d, %.4f, %.4f\n", t.date.format(start), t.date.format(end), mb, 1000*mb/float64(all),
		t.now.records, 1000*n/float64(all), joining.Milliseconds(), fetch, 1000*mb/float64(max(fetch, 1)), 1000*n/float64(max(fetch, 1)))
	return nil
}

// consume reads until there is enough, or nothing came for the timeout. Polls are counted whole, as Kafka does.
func (t *test) consume(ctx context.Context) error {
	for t.now.records < t.count {
		wait, cancel := context.WithTimeout(ctx, t.timeout)
		fetches, err := t.consumer.Poll(wait, nil)
		cancel()
		if err != nil {
			return err
		}
		if fetches.NumRecords() == 0 {
			return nil
		}
		at := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			t.now.records++
			t.now.bytes += int64(len(r.Key) + len(r.Value))
			if at.Sub(t.reported) >= t.interval {
				t.report(at)
			}
		})
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				t.consumer.Read(p.Records[n-1])
			}
		})
	}
	return nil
}

// report prints what came since the last line.
func (t *test) report(at time.Time) {
	t.mu.Lock()
	joined := t.joined
	t.joined = 0
	t.mu.Unlock()
	if t.detailed {
		ms := max(at.Sub(t.reported).Milliseconds(), 1)
		fetch := ms - joined.Milliseconds()
		mb, n := float64(t.now.bytes-t.last.bytes)/mega, float64(t.now.records-t.last.records)
		fetchMB, fetchN := 0.0, 0.0
		if fetch > 0 {
			fetchMB, fetchN = 1000*mb/float64(fetch), 1000*n/float64(fetch)
		}
		fmt.Fprintf(t.out, "%s, 0, %.4f, %.4f, %d, %.4f, %d, %d, %.4f, %.4f\n", t.date.format(at), float64(t.now.bytes)/mega, 1000*mb/float64(ms),
			t.now.records, 1000*n/float64(ms), joined.Milliseconds(), fetch, fetchMB, fetchN)
		t.out.Flush() //nolint:errcheck // a closed standard output does not stop the test
	}
	t.reported, t.last = at, t.now
}
