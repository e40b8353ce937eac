package consoleconsumer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Usage(stderr, err.Error())
	}
	if code, done := o.HelpOrVersion(stdout, stderr, "This tool helps to read data from Kafka topics and outputs it to standard output."); done {
		return code
	}
	s, err := parse(o)
	if err != nil {
		var usage *cli.UsageError
		var conflict *conflictError
		var opt *cli.OptionError
		switch {
		case errors.As(err, &opt):
			return p.Fail(stderr, err)
		case errors.As(err, &usage):
			return p.Usage(stderr, usage.Message)
		case errors.As(err, &conflict):
			fmt.Fprintln(stderr, conflict.message)
		default:
			fmt.Fprintln(stderr, `Exception in thread "main" `+kclient.Trace(err))
		}
		return 1
	}
	return s.run(stdout, stderr)
}

func (s *settings) run(stdout, stderr io.Writer) int {
	signal.Ignore(syscall.SIGPIPE) // a reader that went away is an error to report, not a death
	s.cfg.Warn = stderr
	consumer, err := s.open(stderr)
	var old *oldGroupError
	if errors.As(err, &old) {
		fmt.Fprintln(stderr, old)
		return 1
	}
	if err != nil {
		logError(stderr, "Unknown error when running consumer: ", err)
		return 1
	}
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case sig := <-signals:
			signal.Stop(signals) // a second one ends the process at once
			stop(stopError{sig})
		case <-ctx.Done():
		}
	}()
	p := &printer{settings: s, consumer: consumer, out: bufio.NewWriterSize(stdout, 256<<10), stderr: stderr}
	code := p.loop(ctx)
	p.flush()
	consumer.Close()
	if s.zk != nil {
		s.zk.cleanUp(stderr)
	}
	fmt.Fprintf(stderr, "Processed a total of %d messages\n", p.count)
	if p.broken != nil {
		logError(stderr, "Unknown error when running consumer: ", p.broken)
	}
	if s.systest {
		fmt.Fprintln(stdout, "shutdown_complete")
	}
	return code
}

// source is where records come from: a group of brokers' or of ZooKeeper's.
type source interface {
	// Poll waits for records until ctx ends; then there are none, and no error.
	Poll(ctx context.Context, warn func(topic string, err *kerr.Error)) (kgo.Fetches, error)
	// Read notes that a record was printed.
	Read(r *kgo.Record)
	Close()
}

func (s *settings) open(stderr io.Writer) (source, error) {
	if s.zk != nil {
		return s.zk.open(stderr)
	}
	return s.cfg.NewConsumer(s.what, kgo.MaxConcurrentFetches(2)) // what is read ahead stays small, however slow stdout is
}

// stopError is a signal that ends the command.
type stopError struct{ sig os.Signal }

func (e stopError) Error() string { return e.sig.String() }

type printer struct {
	*settings
	consumer source
	out      *bufio.Writer
	stderr   io.Writer
	count    int64
	warned   map[string]time.Time
	broken   error // a record that could not be printed
}

// loop prints records until something ends it, and returns the exit code.
func (p *printer) loop(ctx context.Context) int {
	for p.max == -1 || p.count < p.max {
		fetches, err := p.poll(ctx)
		if err != nil {
			return p.ended(ctx, err)
		}
		code, end := p.print(fetches)
		if end {
			return code
		}
		if p.flush() {
			return 0
		}
	}
	return 0
}

func (p *printer) ended(ctx context.Context, err error) int {
	var stop stopError
	if errors.As(context.Cause(ctx), &stop) {
		if n, ok := stop.sig.(syscall.Signal); ok {
			return 128 + int(n)
		}
		return 0
	}
	p.flush()
	logError(p.stderr, "Error processing message, terminating consumer process: ", err)
	return 0
}

// poll waits for records: for as long as --timeout-ms allows.
func (p *printer) poll(ctx context.Context) (kgo.Fetches, error) {
	deadline := ctx
	if p.timeout >= 0 {
		var cancel context.CancelFunc
		deadline, cancel = context.WithTimeout(ctx, p.timeout)
		defer cancel()
	}
	fetches, err := p.consumer.Poll(deadline, func(topic string, err *kerr.Error) {
		if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.LeaderNotAvailable) {
			p.warn(fmt.Sprintf("Error while fetching metadata with correlation id 2 : {%s=%s}", topic, err.Message))
		}
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil && fetches.NumRecords() == 0:
		return nil, &kclient.APIError{Class: "org.apache.kafka.common.errors.TimeoutException"}
	}
	return fetches, err
}

func (p *printer) warn(message string) {
	if p.warned == nil {
		p.warned = map[string]time.Time{}
	}
	if time.Since(p.warned[message]) < time.Second {
		return
	}
	p.warned[message] = time.Now()
	cli.Log(p.stderr, "WARN", "org.apache.kafka.clients.NetworkClient", "["+p.cfg.Name+"] "+message)
}

// print writes the records; end is true when the command is over.
func (p *printer) print(fetches kgo.Fetches) (code int, end bool) {
	for i := range fetches {
		for j := range fetches[i].Topics {
			for k := range fetches[i].Topics[j].Partitions {
				code, end = p.records(fetches[i].Topics[j].Partitions[k].Records)
				if end {
					return code, true
				}
			}
		}
	}
	return 0, false
}

func (p *printer) records(rs []*kgo.Record) (code int, end bool) {
	var last *kgo.Record
	defer func() {
		if last != nil {
			p.consumer.Read(last)
		}
	}()
	for _, r := range rs {
		if p.max != -1 && p.count >= p.max {
			return 0, true
		}
		last = r
		p.count++
		if err := p.format.write(p.out, r); err != nil {
			if !p.skipErrors {
				p.broken = err
				return 1, true
			}
			logError(p.stderr, "Error processing message, skipping this message: ", err)
		}
	}
	return 0, false
}

// flush brings everything out; true when nobody reads any more.
func (p *printer) flush() bool {
	if p.out.Flush() == nil {
		return false
	}
	fmt.Fprintln(p.stderr, "Unable to write to standard out, closing consumer.")
	p.out.Reset(io.Discard)
	return true
}
