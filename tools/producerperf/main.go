package producerperf

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/argparse"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

func newParser() *argparse.Parser {
	return &argparse.Parser{Prog: "producer-performance", About: "Sends many records and prints how fast that was.", Args: []argparse.Arg{
		{Name: "--throughput", Kind: argparse.Int, Meta: "THROUGHPUT", Required: true, Doc: "about how many a second; -1: as many as possible"},
		{Name: "--topic", Meta: "TOPIC", Required: true, Doc: "where to"},
		{Name: "--num-records", Kind: argparse.Long, Meta: "NUM-RECORDS", Required: true, Doc: "how many"},
		{Name: "--payload-delimiter", Meta: "PAYLOAD-DELIMITER", Default: `\n`, Doc: "what separates the payloads of --payload-file: a regular expression"},
		{Name: "--producer-props", Kind: argparse.Many, Meta: "PROP-NAME=PROP-VALUE", Doc: "properties of the producer, bootstrap.servers among them; they win over --producer.config"},
		{Name: "--producer.config", Meta: "CONFIG-FILE", Doc: "properties file for the producer"},
		{Name: "--print-metrics", Kind: argparse.Flag, Doc: "print the client's own counters at the end"},
		{Name: "--transactional-id", Meta: "TRANSACTIONAL-ID", Default: "performance-producer-default-transactional-id", Doc: "for --transaction-duration-ms"},
		{Name: "--transaction-duration-ms", Kind: argparse.Long, Meta: "TRANSACTION-DURATION", Default: "0", Doc: "commit after this time; 0: no transactions"},
		{Name: "--record-size", Kind: argparse.Int, Meta: "RECORD-SIZE", Group: true, Doc: "bytes of each record"},
		{Name: "--payload-file", Meta: "PAYLOAD-FILE", Group: true, Doc: "text file whose lines are sent, in random order"},
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
	if err == nil && !o.Has("--producer-props") && !o.Has("--producer.config") {
		err = argparse.Errorf("Either --producer-props or --producer.config must be specified.")
	}
	if err != nil {
		return p.Fail(stderr, err)
	}
	t := &test{topic: o.String("--topic"), count: o.Int("--num-records"), rate: o.Int("--throughput"), metrics: o.Has("--print-metrics"),
		transaction: time.Duration(o.Int("--transaction-duration-ms")) * time.Millisecond, out: bufio.NewWriter(stdout), stderr: stderr}
	defer t.out.Flush() //nolint:errcheck // nobody is left to tell
	if err := t.prepare(o); err != nil {
		return kclient.Uncaught(stderr, err)
	}
	defer t.producer.Client.Close()
	if err := t.run(context.Background()); err != nil {
		return kclient.Uncaught(stderr, err)
	}
	return 0
}

// test is one run.
type test struct {
	topic       string
	count       int64
	rate        int64
	metrics     bool
	transaction time.Duration
	payloads    payloads
	producer    *kclient.Producer
	counters    counters
	stats       *stats
	out         *bufio.Writer
	stderr      io.Writer
	errMu       sync.Mutex
}

func (t *test) prepare(o *argparse.Options) error {
	if o.Has("--payload-file") {
		if err := t.payloads.load(o.String("--payload-file"), o.String("--payload-delimiter"), t.out); err != nil {
			return err
		}
		t.out.Flush() //nolint:errcheck // nobody is left to tell
	}
	p := map[string]string{}
	if o.Has("--producer.config") {
		var err error
		if p, err = props.Load(o.String("--producer.config")); err != nil {
			return err
		}
	}
	for _, word := range o.Values("--producer-props") {
		k, v, ok := strings.Cut(word, "=")
		if !ok || v == "" || strings.Contains(v, "=") {
			return kclient.IllegalArgument("Invalid property: " + word)
		}
		p[k] = v
	}
	if t.transaction > 0 {
		p["transactional.id"] = o.String("--transactional-id")
	}
	if o.Has("--record-size") && o.Int("--record-size") < 0 {
		return &kclient.APIError{Class: "java.lang.NegativeArraySizeException", Message: o.String("--record-size")}
	}
	id := p["client.id"]
	if id == "" {
		if id = "producer-1"; t.transaction > 0 {
			id = "producer-" + p["transactional.id"]
		}
	}
	cfg := kclient.Config{Servers: p["bootstrap.servers"], Props: p, ClientID: id, Name: "Producer clientId=" + id, Warn: t.stderr}
	t.counters.client = id
	largest := max(int(o.Int("--record-size")), t.payloads.largest)
	var err error
	if t.producer, err = cfg.NewProducer(t.topic, largest, kgo.WithHooks(&t.counters)); err != nil {
		return err
	}
	if o.Has("--record-size") {
		t.payloads.make(int(o.Int("--record-size")))
	}
	return nil
}

// load reads the payloads of a file.
func (p *payloads) load(path, delimiter string, out io.Writer) error {
	full, err := filepath.Abs(path)
	if err != nil {
		full = path
	}
	fmt.Fprintln(out, "Reading payloads from: "+full)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return &kclient.APIError{Class: "java.io.IOException", Message: err.Error()}
	}
	if len(text) == 0 {
		return kclient.IllegalArgument("File does not exist or empty file provided.")
	}
	if delimiter == `\n` {
		delimiter = "\n"
	}
	re, err := regexp.Compile(delimiter)
	if err != nil {
		return &kclient.APIError{Class: "java.util.regex.PatternSyntaxException", Message: err.Error()}
	}
	for _, s := range re.Split(string(text), -1) {
		p.texts = append(p.texts, []byte(s))
		p.largest = max(p.largest, len(s))
	}
	for len(p.texts) > 1 && len(p.texts[len(p.texts)-1]) == 0 {
		p.texts = p.texts[:len(p.texts)-1]
	}
	fmt.Fprintf(out, "Number of messages read: %d\n", len(p.texts))
	return nil
}

// run sends all records and prints the figures.
func (t *test) run(ctx context.Context) error {
	if t.transaction > 0 {
		if err := t.producer.Start(ctx); err != nil {
			return err
		}
	}
	if t.count <= 0 {
		return &kclient.APIError{Class: "java.lang.ArithmeticException", Message: "/ by zero"}
	}
	t.stats = newStats(t.count, t.out)
	throttle := kclient.Throttle{Rate: t.rate, Start: t.stats.start}
	if t.payloads.random.state == 0 {
		t.payloads.random.seed(0)
	}
	began := time.Time{} // of the transaction
	for i := range t.count {
		if t.transaction > 0 && began.IsZero() {
			if err := t.producer.Client.BeginTransaction(); err != nil {
				return kclient.Wrap(err, "begin a transaction")
			}
			began = time.Now()
		}
		now := time.Now()
		t.send(ctx, i, now)
		if t.transaction > 0 && now.Sub(began) >= t.transaction {
			if err := t.commit(ctx); err != nil {
				return err
			}
			began = time.Time{}
		}
		throttle.Pause(ctx, i, now)
	}
	if t.transaction > 0 && !began.IsZero() {
		if err := t.commit(ctx); err != nil {
			return err
		}
	}
	if err := t.producer.Client.Flush(ctx); err != nil {
		return kclient.Wrap(err, "flush")
	}
	t.stats.total()
	if t.metrics {
		t.counters.print(t.out)
	}
	return nil
}

func (t *test) commit(ctx context.Context) error {
	if err := t.producer.Client.Flush(ctx); err != nil {
		return kclient.Wrap(err, "flush")
	}
	return kclient.Wrap(t.producer.Client.EndTransaction(ctx, kgo.TryCommit), "commit a transaction")
}

func (t *test) send(ctx context.Context, i int64, now time.Time) {
	r := &kgo.Record{Value: t.payloads.next()}
	if err := t.producer.Ready(ctx, r); err != nil {
		t.done(i, now, r, err)
		return
	}
	t.producer.Client.Produce(ctx, r, func(r *kgo.Record, err error) { t.done(i, now, r, t.producer.Explain(r, err)) })
}

func (t *test) done(i int64, sent time.Time, r *kgo.Record, err error) {
	t.stats.record(i, sent, len(r.Value))
	if err == nil {
		return
	}
	var api *kclient.APIError
	text := err.Error()
	if errors.As(err, &api) {
		text = api.Trace()
	}
	t.errMu.Lock()
	defer t.errMu.Unlock()
	fmt.Fprintln(t.stderr, text)
}
