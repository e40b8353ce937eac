// Package logdirs is kafka-log-dirs: the directories of brokers and the size of each replica in them, as one line of JSON.
//
// Owns: the command's flags and output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: the JSON has Kafka's keys in Kafka's order, and lists in the order in which Kafka's hash tables hold them, so that
// outputs compare byte for byte.
// Imports: kmsg, tools/internal.
// Kafka counterpart: kafka.admin.LogDirsCommand.
package logdirs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/internal/jvm"
	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "The server(s) to use for bootstrapping", Doc: "REQUIRED: brokers to connect to."},
		cli.Opt{Name: "command-config", Kind: cli.String, Arg: "Admin client property file", Doc: "Properties file for the admin client."},
		cli.Opt{Name: "describe", Doc: "REQUIRED: show the directories."},
		cli.Opt{Name: "topic-list", Kind: cli.String, Arg: "Topic list", HasDef: true, Doc: "Only these topics, as topic1,topic2. Default: all."},
		cli.Opt{Name: "broker-list", Kind: cli.String, Arg: "Broker list", Doc: "Only these brokers, as 0,1,2. Default: all."},
	)...)
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	t := kclient.Tool{Parser: newParser(), About: "This tool helps to query log directory usage on the specified brokers.",
		Required: []string{"bootstrap-server", "describe"}, Once: []string{"bootstrap-server", "command-config", "topic-list", "broker-list"}, Run: run}
	return t.Main(args, stdout, stderr)
}

func run(ctx context.Context, o *cli.Options, out *bufio.Writer, stderr io.Writer) error {
	admin, err := kclient.NewAdmin(o, "log-dirs-tool", stderr)
	if err != nil {
		return err
	}
	defer admin.Close()
	ids, err := brokers(ctx, admin, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Querying brokers for log directories information")
	out.Flush() //nolint:errcheck // shown while the brokers work
	topics := map[string]bool{}
	for t := range strings.SplitSeq(o.String("topic-list"), ",") {
		if t != "" {
			topics[t] = true
		}
	}
	words := make([]string, len(ids))
	found := map[int32]*kmsg.DescribeLogDirsResponse{}
	var order []int32
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
		if found[id] != nil {
			continue
		}
		order = append(order, id)
		if found[id], err = kclient.AskBroker[*kmsg.DescribeLogDirsResponse](ctx, admin, id, kmsg.NewPtrDescribeLogDirsRequest(), "describeLogDirs"); err != nil {
			return kclient.Executed(err)
		}
	}
	answer := jsonAnswer{Version: 1, Brokers: []jsonBroker{}}
	jvm.ScalaOrder(order, func(id int32) int32 { return id })
	for _, id := range order {
		answer.Brokers = append(answer.Brokers, jsonBroker{id, directories(found[id], topics)})
	}
	fmt.Fprintf(out, "Received log directory information from brokers %s\n", strings.Join(words, ","))
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return enc.Encode(answer)
}

func brokers(ctx context.Context, admin *kclient.Admin, o *cli.Options) ([]int32, error) {
	var ids []int32
	if o.Has("broker-list") {
		for word := range strings.SplitSeq(o.String("broker-list"), ",") {
			if word == "" {
				continue
			}
			id, err := strconv.ParseInt(word, 10, 32)
			if err != nil {
				return nil, kclient.NumberFormat(word)
			}
			ids = append(ids, int32(id))
		}
		return ids, nil
	}
	resp, err := admin.Cluster(ctx)
	if err != nil {
		return nil, kclient.Executed(err)
	}
	for i := range resp.Brokers {
		ids = append(ids, resp.Brokers[i].NodeID)
	}
	return ids, nil
}

type jsonAnswer struct {
	Version int          `json:"version"`
	Brokers []jsonBroker `json:"brokers"`
}

type jsonBroker struct {
	Broker  int32     `json:"broker"`
	LogDirs []jsonDir `json:"logDirs"`
}

type jsonDir struct {
	LogDir     string          `json:"logDir"`
	Error      *string         `json:"error"`
	Partitions []jsonPartition `json:"partitions"`
}

type jsonPartition struct {
	Partition string `json:"partition"`
	Size      int64  `json:"size"`
	OffsetLag int64  `json:"offsetLag"`
	IsFuture  bool   `json:"isFuture"`
}

func directories(resp *kmsg.DescribeLogDirsResponse, topics map[string]bool) []jsonDir {
	byPath := map[string]*kmsg.DescribeLogDirsResponseDir{}
	var paths []string
	for i := range resp.Dirs {
		d := &resp.Dirs[i]
		if byPath[d.Dir] == nil {
			paths = append(paths, d.Dir)
		}
		byPath[d.Dir] = d
	}
	out := []jsonDir{}
	for _, path := range kclient.HashOrder(paths, len(paths)) {
		d := byPath[path]
		dir := jsonDir{LogDir: path, Partitions: replicas(d, topics)}
		var api *kclient.APIError
		if errors.As(kclient.Error(d.ErrorCode, nil), &api) {
			dir.Error = &api.Class
		}
		out = append(out, dir)
	}
	return out
}

func replicas(d *kmsg.DescribeLogDirsResponseDir, topics map[string]bool) []jsonPartition {
	found := map[kclient.TopicPartition]jsonPartition{}
	var keys []kclient.TopicPartition
	for i := range d.Topics {
		t := &d.Topics[i]
		if len(topics) > 0 && !topics[t.Topic] {
			continue
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			tp := kclient.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			if _, ok := found[tp]; !ok {
				keys = append(keys, tp)
			}
			found[tp] = jsonPartition{tp.String(), p.Size, p.OffsetLag, p.IsFuture}
		}
	}
	out := make([]jsonPartition, 0, len(keys))
	kclient.ScalaOrder(keys)
	for _, tp := range keys {
		out = append(out, found[tp])
	}
	return out
}
