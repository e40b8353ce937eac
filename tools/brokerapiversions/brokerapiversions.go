// Package brokerapiversions is kafka-broker-api-versions: which requests each broker of a cluster understands, and in which versions.
//
// Owns: the command's flags and output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: a broker that cannot be asked is told of in its place, and the others are still shown.
// Imports: kgo, kmsg, wire for the names and versions of Kafka 2.7, tools/internal.
// Kafka counterpart: kafka.admin.BrokerApiVersionsCommand.
package brokerapiversions

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
	"gregor/wire"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "server(s) to use for bootstrapping", Doc: "REQUIRED: a broker to ask for the others."},
		cli.Opt{Name: "command-config", Kind: cli.String, Arg: "command config property file", Doc: "Properties file for the client."},
	)...)
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	t := kclient.Tool{Parser: newParser(), About: "This tool helps to retrieve broker version information.",
		Required: []string{"bootstrap-server"}, Once: []string{"bootstrap-server", "command-config"}, Run: run}
	return t.Main(args, stdout, stderr)
}

func run(ctx context.Context, o *cli.Options, out *bufio.Writer, stderr io.Writer) error {
	cfg := kclient.Config{Servers: o.String("bootstrap-server"), ClientID: "admin-1", Name: "LegacyAdminClient clientId=admin-1", Warn: stderr}
	if o.Has("command-config") {
		var err error
		if cfg.Props, err = props.Load(o.String("command-config")); err != nil {
			return err
		}
	}
	opts, err := cfg.Options()
	if err != nil {
		return err
	}
	timeout, err := cfg.Millis("request.timeout.ms", 5*time.Second)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.RequestRetries(0), kgo.RetryTimeout(timeout), kgo.RequestTimeoutOverhead(max(timeout, 100*time.Millisecond)))...)
	if err != nil {
		return kclient.Wrap(err, "make a client")
	}
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return &kclient.APIError{Class: "java.lang.RuntimeException", Message: "Request METADATA failed on brokers " + seeds(cfg.Servers)}
	}
	for i := range resp.Brokers {
		b := &resp.Brokers[i]
		rack := "null"
		if b.Rack != nil {
			rack = *b.Rack
		}
		fmt.Fprintf(out, "%s:%d (id: %d rack: %s) -> %s\n", b.Host, b.Port, b.NodeID, rack, versions(ctx, client, b.NodeID))
	}
	return nil
}

func seeds(list string) string {
	hosts, err := kclient.Servers(list)
	if err != nil {
		return list
	}
	for i, h := range hosts {
		hosts[i] = fmt.Sprintf("%s (id: %d rack: null)", h, -1-i)
	}
	return "List(" + strings.Join(hosts, ", ") + ")"
}

func versions(ctx context.Context, client *kgo.Client, broker int32) string {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "gregor", "2.7.2"
	answer, err := client.Broker(int(broker)).Request(ctx, req)
	resp, ok := answer.(*kmsg.ApiVersionsResponse)
	if err == nil && !ok {
		err = fmt.Errorf("unexpected response %T", answer)
	}
	if err == nil {
		err = kclient.Error(resp.ErrorCode, nil)
	}
	var api *kclient.APIError
	switch {
	case errors.As(err, &api):
		return "ERROR: " + api.Trace()
	case err != nil:
		return "ERROR: org.apache.kafka.common.errors.DisconnectException: " + err.Error()
	}
	return render(resp.ApiKeys)
}

// javaNames are those that Java's clients know by another name than the protocol's own.
var javaNames = map[int16]string{
	2: "ListOffsets", 52: "Vote", 53: "BeginQuorumEpoch", 54: "EndQuorumEpoch", 55: "DescribeQuorum", 58: "Envelope",
}

func name(key int16) string {
	if n, ok := javaNames[key]; ok {
		return n
	}
	if _, _, ok := wire.Versions(key); !ok {
		return "" // it came after 2.7
	}
	return wire.APIName(key)
}

// lastKey is beyond all requests of Kafka 2.7.
const lastKey = 58

// render lists what the broker has, and what Kafka 2.7 has and the broker does not.
func render(keys []kmsg.ApiVersionsResponseApiKey) string {
	lines := map[int16]string{}
	for i := range keys {
		k := &keys[i]
		lines[k.ApiKey] = line(k.ApiKey, k.MinVersion, k.MaxVersion)
	}
	for key := range int16(lastKey) {
		if _, there := lines[key]; !there {
			if _, _, ok := wire.Versions(key); ok {
				lines[key] = fmt.Sprintf("%s(%d): UNSUPPORTED", name(key), key)
			}
		}
	}
	order := make([]int16, 0, len(lines))
	for key := range lines {
		order = append(order, key)
	}
	slices.Sort(order)
	text := make([]string, len(order))
	for i, key := range order {
		text[i] = lines[key]
	}
	return "(\n\t" + strings.Join(text, ",\n\t") + "\n)"
}

func line(key, lo, hi int16) string {
	n := name(key)
	known := n != ""
	if !known {
		n = "UNKNOWN"
	}
	s := fmt.Sprintf("%s(%d): %d", n, key, lo)
	if hi != lo {
		s += fmt.Sprintf(" to %d", hi)
	}
	if !known {
		return s
	}
	oldest, latest, _ := wire.Versions(key)
	switch {
	case latest < lo:
		return s + " [unusable: node too new]"
	case hi < oldest:
		return s + " [unusable: node too old]"
	}
	return s + fmt.Sprintf(" [usable: %d]", min(latest, hi))
}
