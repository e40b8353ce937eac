package consoleproducer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

// Main runs the command and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Usage(stderr, err.Error())
	}
	if code, done := o.HelpOrVersion(stdout, stderr, "This tool helps to read data from standard input and publish it to Kafka."); done {
		return code
	}
	s, err := parse(o)
	if err == nil {
		var pr *producer
		if pr, err = newProducer(s, stderr); err == nil {
			return pr.run(stdin, stdout)
		}
	}
	return fail(p, stderr, err)
}

// fail shows what Apache's tool throws, without the stack.
func fail(p *cli.Parser, stderr io.Writer, err error) int {
	var usage *cli.UsageError
	var opt *cli.OptionError
	var api *kclient.APIError
	var caused *kclient.CausedError
	switch {
	case errors.As(err, &usage):
		return p.Usage(stderr, usage.Message)
	case errors.As(err, &opt):
		fmt.Fprintln(stderr, opt.Message)
	case errors.As(err, &caused):
		fmt.Fprintf(stderr, "%s: %s\n", caused.Class, caused.Message)
	case errors.As(err, &api):
		fmt.Fprintln(stderr, api.Trace())
	default:
		fmt.Fprintln(stderr, err)
	}
	return 1
}

type producer struct {
	*settings
	client *kgo.Client
	stderr io.Writer
	errMu  sync.Mutex // kgo calls back from several goroutines
	sent   bool       // the topic was found
	slab   []kgo.Record
	lineNo int
	// batchMax is read by kgo when it first meets a partition, which is after the first send has set it.
	batchMax int32
}

func newProducer(s *settings, stderr io.Writer) (*producer, error) {
	s.cfg.Warn = stderr
	opts, err := s.cfg.Options()
	if err != nil {
		return nil, err
	}
	p := &producer{settings: s, stderr: stderr, batchMax: s.maxRequest}
	opts = append(opts, s.kgo...)
	opts = append(opts, kgo.ProducerBatchMaxBytesFn(func(string) int32 { return p.batchMax }))
	if p.client, err = kgo.NewClient(opts...); err != nil {
		return nil, &kclient.APIError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to construct kafka producer: " + err.Error()}
	}
	return p, nil
}

func (p *producer) run(stdin io.Reader, stdout io.Writer) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan error, 1)
	go func() { done <- p.pump(ctx, stdin, stdout) }()
	code := 0
	select {
	case err := <-done:
		if err != nil {
			code = fail(nil, p.stderr, err)
		}
	case sig := <-signals:
		signal.Stop(signals) // a second one ends the process at once
		if n, ok := sig.(syscall.Signal); ok {
			code = 128 + int(n)
		}
	}
	if err := p.client.Flush(ctx); err != nil {
		return fail(nil, p.stderr, err)
	}
	p.client.Close()
	return code
}

// pump turns lines into records until the input ends.
func (p *producer) pump(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	prompt := bufio.NewWriterSize(stdout, 32<<10)
	flush := func() { prompt.Flush() } //nolint:errcheck // a closed stdout does not stop the producer
	defer flush()
	lines := &lineReader{r: stdin, idle: flush}
	for {
		p.lineNo++
		prompt.WriteByte('>') //nolint:errcheck // see flush
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		r, err := p.record(line)
		if err != nil {
			return err
		}
		if err := p.send(ctx, r); err != nil {
			return err
		}
	}
}

// record makes a record of a line. Records come from slabs: one allocation for many.
func (p *producer) record(line []byte) (*kgo.Record, error) {
	if len(p.slab) == 0 {
		p.slab = make([]kgo.Record, 128)
	}
	r := &p.slab[0]
	p.slab = p.slab[1:]
	r.Value = line[:len(line):len(line)]
	if r.Value == nil {
		r.Value = []byte{}
	}
	if !p.parseKey {
		return r, nil
	}
	i := bytes.Index(line, p.separator)
	if i < 0 {
		if p.ignoreErr {
			return r, nil
		}
		return nil, &kclient.APIError{Class: "org.apache.kafka.common.KafkaException",
			Message: "No key found on line " + strconv.Itoa(p.lineNo) + ": " + string(line)}
	}
	r.Key = line[:i:i]
	if r.Key == nil {
		r.Key = []byte{}
	}
	r.Value = r.Value[i+len(p.separator):]
	return r, nil
}

func (p *producer) send(ctx context.Context, r *kgo.Record) error {
	if !p.sent {
		if err := p.findTopic(ctx); err != nil {
			if p.sync {
				return kclient.Executed(err)
			}
			p.report(r, err)
			return nil
		}
		p.sent = true
		p.limitBatches(ctx)
	}
	if p.sync {
		return kclient.Executed(p.explain(r, p.client.ProduceSync(ctx, r).FirstErr()))
	}
	p.client.Produce(ctx, r, p.acknowledged)
	return nil
}

func (p *producer) acknowledged(r *kgo.Record, err error) {
	if err != nil {
		p.report(r, p.explain(r, err))
	}
}

// findTopic waits until the topic has a leader for each partition, which a topic that is just being made has not yet.
func (p *producer) findTopic(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.maxBlock)
	defer cancel()
	var warned time.Time
	for try := 0; ; try++ {
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = true
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &p.topic
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, p.client)
		if err == nil && len(resp.Topics) == 1 {
			code := resp.Topics[0].ErrorCode
			switch code {
			case 0:
				return nil
			case kerr.InvalidTopicException.Code:
				return &kclient.APIError{Code: code, Class: "org.apache.kafka.common.errors.InvalidTopicException", Message: "Invalid topics: [" + p.topic + "]"}
			case kerr.TopicAuthorizationFailed.Code:
				return &kclient.APIError{Code: code, Class: "org.apache.kafka.common.errors.TopicAuthorizationException", Message: "Not authorized to access topics: [" + p.topic + "]"}
			}
			if time.Since(warned) > time.Second {
				warned = time.Now()
				p.warn("WARN", "org.apache.kafka.clients.NetworkClient", fmt.Sprintf("[%s] Error while fetching metadata with correlation id %d : {%s=%s}",
					p.cfg.Name, try+1, p.topic, kerr.TypedErrorForCode(code).Message))
			}
		}
		timer := time.NewTimer(min(100*time.Millisecond, time.Duration(try+1)*10*time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return &kclient.APIError{Class: "org.apache.kafka.common.errors.TimeoutException",
				Message: fmt.Sprintf("Topic %s not present in metadata after %d ms.", p.topic, p.maxBlock.Milliseconds())}
		case <-timer.C:
		}
	}
}

// limitBatches keeps batches within the topic's max.message.bytes where that is smaller than a request may be: they fill whole requests,
// not Java's 16 KB. A broker that does not tell leaves the larger bound.
func (p *producer) limitBatches(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req := kmsg.NewPtrDescribeConfigsRequest()
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName, res.ConfigNames = kmsg.ConfigResourceTypeTopic, p.topic, []string{"max.message.bytes"}
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(ctx, p.client)
	if err != nil || len(resp.Resources) != 1 {
		return
	}
	for _, c := range resp.Resources[0].Configs {
		if c.Name != "max.message.bytes" || c.Value == nil {
			continue
		}
		if n, err := strconv.ParseInt(*c.Value, 10, 32); err == nil {
			p.batchMax = max(min(int32(n), p.maxRequest), leastBatch)
		}
	}
}

// leastBatch is the smallest bound that kgo takes.
const leastBatch = 512

// explain gives kgo's errors the words of Java's.
func (p *producer) explain(r *kgo.Record, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge) && len(r.Key)+len(r.Value) > int(p.maxRequest)-128:
		return &kclient.APIError{Class: "org.apache.kafka.common.errors.RecordTooLargeException", Message: fmt.Sprintf(
			"The message is %d bytes when serialized which is larger than %d, which is the value of the max.request.size configuration.",
			len(r.Key)+len(r.Value)+serializedOverhead, p.maxRequest)}
	case errors.Is(err, kgo.ErrRecordTimeout):
		ms, _ := p.cfg.Int("delivery.timeout.ms", 120000) // checked at start
		return &kclient.APIError{Class: "org.apache.kafka.common.errors.TimeoutException", Message: fmt.Sprintf(
			"Expiring 1 record(s) for %s-%d:%d ms has passed since batch creation", p.topic, r.Partition, ms)}
	}
	return kclient.Wrap(err, "produce to "+p.topic)
}

// serializedOverhead is what Java's estimate adds to key and value: the batch header and a record's largest header.
const serializedOverhead = 61 + 21 + 6

// report tells of a record that is lost, as Java's ErrorLoggingCallback does.
func (p *producer) report(r *kgo.Record, err error) {
	key := "null"
	if r.Key != nil {
		key = strconv.Itoa(len(r.Key)) + " bytes"
	}
	var api *kclient.APIError
	trace := err.Error()
	if errors.As(err, &api) {
		trace = api.Trace()
	}
	p.errMu.Lock()
	defer p.errMu.Unlock()
	cli.Log(p.stderr, "ERROR", "org.apache.kafka.clients.producer.internals.ErrorLoggingCallback", fmt.Sprintf(
		"Error when sending message to topic %s with key: %s, value: %d bytes with error:", p.topic, key, len(r.Value)))
	fmt.Fprintln(p.stderr, trace)
}

func (p *producer) warn(level, logger, message string) {
	p.errMu.Lock()
	defer p.errMu.Unlock()
	cli.Log(p.stderr, level, logger, message)
}
