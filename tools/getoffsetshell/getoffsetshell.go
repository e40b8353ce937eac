// Package getoffsetshell is kafka.tools.GetOffsetShell: the offsets of a topic's partitions at a time, or at their ends.
//
// Owns: the command's flags and output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: one line `topic:partition:offset` a partition, sorted; nothing after the last colon where no record is that young.
// Imports: kgo, kmsg, tools/internal.
// Kafka counterpart: kafka.tools.GetOffsetShell.
package getoffsetshell

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

func newParser() *cli.Parser {
	return cli.New(
		cli.Opt{Name: "broker-list", Kind: cli.String, Arg: "hostname:port,...,hostname:port", Doc: "REQUIRED: brokers to ask."},
		cli.Opt{Name: "topic", Kind: cli.String, Arg: "topic", Doc: "REQUIRED: the topic whose offsets are asked for."},
		cli.Opt{Name: "partitions", Kind: cli.String, Arg: "partition ids", HasDef: true, Doc: "Only these partitions, as 0,1,2. Default: all."},
		cli.Opt{Name: "time", Kind: cli.Long, Arg: "timestamp/-1(latest)/-2(earliest)", Default: "-1", Doc: "The offset of the first record that is not older than this, in milliseconds; nothing is printed after the last colon when there is none."},
		cli.Opt{Name: "offsets", Kind: cli.Int, Arg: "count", Default: "1", Doc: "Deprecated and ignored."},
		cli.Opt{Name: "max-wait-ms", Kind: cli.Int, Arg: "ms", Default: "1000", Doc: "Deprecated and ignored."},
	)
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	if len(args) == 0 || len(args) == 1 && args[0] == "--help" {
		return p.Usage(stderr, "An interactive shell for getting topic offsets.")
	}
	o, err := p.Parse(args)
	if err == nil {
		err = o.Require("broker-list", "topic")
	}
	if err == nil {
		err = o.Check("broker-list", "topic", "partitions", "time")
	}
	if err != nil {
		return p.Fail(stderr, err)
	}
	for hp := range strings.SplitSeq(o.String("broker-list"), ",") {
		if !kclient.ValidHostPort(hp) {
			return p.Usage(stderr, "Please provide valid host:port like host1:9091,host2:9092\n ")
		}
	}
	wanted, err := partitionIDs(o.String("partitions"))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	s, err := newShell(o, wanted, stdout, stderr)
	if err == nil {
		defer s.client.Close()
		defer s.out.Flush() //nolint:errcheck // nobody is left to tell
		err = s.run()
	}
	switch e := err.(type) { //nolint:errorlint // made by this package, not wrapped
	case nil:
		return 0
	case plainError:
		fmt.Fprintln(stderr, string(e))
	case *kclient.APIError:
		fmt.Fprintln(stderr, `Exception in thread "main" `+e.Trace())
	default:
		fmt.Fprintln(stderr, `Exception in thread "main" `+e.Error())
	}
	return 1
}

// plainError is told as it is.
type plainError string

func (e plainError) Error() string { return string(e) }

func partitionIDs(list string) ([]int32, error) {
	if list == "" {
		return nil, nil
	}
	var ids []int32
	for word := range strings.SplitSeq(strings.TrimRight(list, ","), ",") {
		n, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return nil, plainError("--partitions expects a comma separated list of numeric partition ids, but received: " + list)
		}
		if !slices.Contains(ids, int32(n)) {
			ids = append(ids, int32(n))
		}
	}
	return ids, nil
}

type shell struct {
	client *kgo.Client
	topic  string
	time   int64
	wanted []int32
	out    *bufio.Writer
	stderr io.Writer
	cfg    kclient.Config
}

func newShell(o *cli.Options, wanted []int32, stdout, stderr io.Writer) (*shell, error) {
	s := &shell{topic: o.String("topic"), time: o.Int("time"), wanted: wanted, out: bufio.NewWriter(stdout), stderr: stderr,
		cfg: kclient.Config{Servers: o.String("broker-list"), ClientID: "GetOffsetShell", Name: "Consumer clientId=GetOffsetShell, groupId=null", Warn: stderr}}
	opts, err := s.cfg.Options()
	if err != nil {
		return nil, err
	}
	s.client, err = kgo.NewClient(opts...)
	return s, kclient.Wrap(err, "make a client")
}

func (s *shell) run() error {
	timeout, err := s.cfg.Timeout()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	ids, err := s.partitions(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	if s.time < -2 {
		return kclient.IllegalArgument(fmt.Sprintf("The target time for partition %s-%d is %d. The target time cannot be negative.", s.topic, ids[0], s.time))
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = s.topic
	for _, id := range ids {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = id, s.time
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return timedOut(ctx, err, "Failed to get offsets by times in %dms", timeout.Milliseconds())
	}
	offsets := map[int32]int64{}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			if err := kclient.Error(p.ErrorCode, nil); err != nil {
				return err
			}
			offsets[p.Partition] = p.Offset
		}
	}
	for _, id := range ids {
		offset := ""
		if n, ok := offsets[id]; ok && n >= 0 {
			offset = strconv.FormatInt(n, 10)
		}
		fmt.Fprintf(s.out, "%s:%d:%s\n", s.topic, id, offset)
	}
	return nil
}

// partitions finds those that are asked for and have a leader, sorted.
func (s *shell) partitions(ctx context.Context) ([]int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &s.topic
	req.Topics = append(req.Topics, rt)
	answer, err := kclient.Request(ctx, s.client, req)
	if err != nil {
		return nil, timedOut(ctx, err, "Timeout expired while fetching topic metadata")
	}
	resp, ok := answer.(*kmsg.MetadataResponse)
	if !ok {
		return nil, kclient.Wrap(fmt.Errorf("unexpected response %T", answer), "find the topic's partitions")
	}
	if len(resp.Topics) == 0 || resp.Topics[0].ErrorCode != 0 && resp.Topics[0].ErrorCode != kerr.LeaderNotAvailable.Code {
		return nil, plainError("Topic " + s.topic + " does not exist")
	}
	leaders := map[int32]int32{}
	var have []int32
	for i := range resp.Topics[0].Partitions {
		p := &resp.Topics[0].Partitions[i]
		if s.wanted == nil || slices.Contains(s.wanted, p.Partition) {
			leaders[p.Partition] = p.Leader
			have = append(have, p.Partition)
		}
	}
	if len(have) == 0 {
		if s.wanted == nil {
			return nil, plainError("Topic " + s.topic + " does not exist")
		}
		words := make([]string, len(s.wanted))
		for i, id := range s.wanted {
			words[i] = strconv.Itoa(int(id))
		}
		return nil, plainError("Topic " + s.topic + " does not have any of the requested partitions " + strings.Join(words, ","))
	}
	for _, id := range s.wanted {
		if _, ok := leaders[id]; !ok {
			fmt.Fprintf(s.stderr, "Error: partition %d does not exist\n", id)
		}
	}
	slices.Sort(have)
	var ids []int32
	for _, id := range have {
		if leaders[id] < 0 {
			fmt.Fprintf(s.stderr, "Error: partition %d does not have a leader. Skip getting offsets\n", id)
			continue
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func timedOut(ctx context.Context, err error, format string, args ...any) error {
	if ctx.Err() != nil {
		return &kclient.APIError{Class: "org.apache.kafka.common.errors.TimeoutException", Message: fmt.Sprintf(format, args...)}
	}
	return kclient.Wrap(err, "list offsets")
}
