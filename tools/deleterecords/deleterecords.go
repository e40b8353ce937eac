// Package deleterecords is kafka-delete-records: it moves the first offset of partitions forward, as a JSON file says.
//
// Owns: the command's flags, the file's grammar and the output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: a file that is not understood changes nothing; a partition that fails does not keep the others from being done.
// Imports: kgo, kmsg, tools/internal.
// Kafka counterpart: kafka.admin.DeleteRecordsCommand.
package deleterecords

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/scalajson"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "server(s) to use for bootstrapping", Doc: "REQUIRED: brokers to connect to."},
		cli.Opt{Name: "offset-json-file", Kind: cli.String, Arg: "Offset json file path", Doc: "REQUIRED: a file that names an offset for each partition; " +
			"all records before it are deleted, -1 means all there are:\n{\"partitions\":\n  [{\"topic\": \"foo\", \"partition\": 1, \"offset\": 1}],\n \"version\":1\n}"},
		cli.Opt{Name: "command-config", Kind: cli.String, Arg: "command config property file path", Doc: "Properties file for the admin client."},
	)...)
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	t := kclient.Tool{Parser: newParser(), About: "This tool helps to delete records of the given partitions down to the specified offset.",
		Required: []string{"bootstrap-server", "offset-json-file"}, Once: []string{"bootstrap-server", "offset-json-file", "command-config"}, Run: run}
	return t.Main(args, stdout, stderr)
}

func run(ctx context.Context, o *cli.Options, out *bufio.Writer, stderr io.Writer) error {
	admin, err := kclient.NewAdmin(o, "adminclient-1", stderr)
	if err != nil {
		return err
	}
	defer admin.Close()
	text, err := scalajson.ReadFile(o.String("offset-json-file"))
	if err != nil {
		return err
	}
	targets, err := parse(text)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Executing records delete operation")
	out.Flush() //nolint:errcheck // shown while the brokers work
	answers := remove(ctx, admin, targets)
	fmt.Fprintln(out, "Records delete operation completed:")
	keys := make([]kclient.TopicPartition, len(targets))
	for i, t := range targets {
		keys[i] = t.TopicPartition
	}
	for _, tp := range kclient.HashOrderPartitions(keys, len(keys)*4/3+1) {
		if a := answers[tp]; a.err != nil {
			fmt.Fprintf(out, "partition: %s\terror: %s\n", tp, told(a.err))
		} else {
			fmt.Fprintf(out, "partition: %s\tlow_watermark: %d\n", tp, a.low)
		}
	}
	return nil
}

type answer struct {
	low int64
	err error
}

// remove asks the leaders; the client splits the request among them.
func remove(ctx context.Context, admin *kclient.Admin, targets []target) map[kclient.TopicPartition]answer {
	answers := map[kclient.TopicPartition]answer{}
	if len(targets) == 0 {
		return answers
	}
	unled, err := leaders(ctx, admin, targets)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = requestTimeoutMillis
	var asked []kclient.TopicPartition
	for _, t := range targets {
		why := err
		if why == nil {
			why = unled[t.TopicPartition]
		}
		answers[t.TopicPartition] = answer{err: why}
		if why != nil {
			continue
		}
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = t.Topic
		rp := kmsg.NewDeleteRecordsRequestTopicPartition()
		rp.Partition, rp.Offset = t.Partition, t.offset
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		asked = append(asked, t.TopicPartition)
	}
	if len(asked) == 0 {
		return answers
	}
	resp, err := kclient.Ask[*kmsg.DeleteRecordsResponse](ctx, admin, req, "deleteRecords")
	if err != nil {
		for _, tp := range asked {
			answers[tp] = answer{err: err}
		}
		return answers
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			answers[kclient.TopicPartition{Topic: resp.Topics[i].Topic, Partition: p.Partition}] = answer{p.LowWatermark, kclient.Error(p.ErrorCode, nil)}
		}
	}
	return answers
}

// requestTimeoutMillis is how long a leader may wait for its followers.
const requestTimeoutMillis = 30000

// leaders finds out which partitions have none to ask, and why.
func leaders(ctx context.Context, admin *kclient.Admin, targets []target) (map[kclient.TopicPartition]error, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	asked := map[string]bool{}
	unled := map[kclient.TopicPartition]error{}
	for _, t := range targets {
		unled[t.TopicPartition] = kclient.Error(kerr.LeaderNotAvailable.Code, nil)
		if !asked[t.Topic] {
			asked[t.Topic] = true
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = &t.Topic
			req.Topics = append(req.Topics, rt)
		}
	}
	resp, err := kclient.Ask[*kmsg.MetadataResponse](ctx, admin, req, "topicsMetadata")
	if err != nil {
		return nil, err
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		if rt.Topic == nil {
			continue
		}
		if rt.ErrorCode != 0 {
			for tp := range unled {
				if tp.Topic == *rt.Topic {
					unled[tp] = kclient.Error(rt.ErrorCode, nil)
				}
			}
			continue
		}
		for j := range rt.Partitions {
			if rt.Partitions[j].Leader >= 0 {
				delete(unled, kclient.TopicPartition{Topic: *rt.Topic, Partition: rt.Partitions[j].Partition})
			}
		}
	}
	return unled, nil
}

func told(err error) string {
	var api *kclient.APIError
	if errors.As(err, &api) {
		return api.Trace()
	}
	return err.Error()
}
