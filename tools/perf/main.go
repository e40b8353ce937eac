package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("what? One of: peer, produce, fetch, latency")
	}
	switch args[0] {
	case "peer":
		return runPeer(ctx, args[1:], out)
	case "produce", "fetch", "latency":
		return runLoad(ctx, args[0], args[1:], out)
	case "soak":
		return runSoak(ctx, args[1:], out)
	case "sendfile-server":
		return sendfileServer(args[1])
	case "produce-floor":
		return produceFloor(args[1])
	case "latency-floor":
		return latencyFloor(args[1])
	case "cluster-floor":
		return clusterFloor(ctx, args[1], args[2:])
	}
	return fmt.Errorf("no such command: %s", args[0])
}

// runLoad puts one load on a broker that runs already.
func runLoad(ctx context.Context, what string, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("perf "+what, flag.ContinueOnError)
	addr := flags.String("bootstrap", "127.0.0.1:9092", "the broker")
	topics := flags.String("topics", "perf", "topics, separated by commas; they must exist")
	partitions := flags.Int("partitions", 1, "partitions of each")
	size := flags.Int("size", 1000, "bytes of a record's value")
	batch := flags.Int("batch", 900_000, "bytes of a batch")
	conns := flags.Int("conns", 1, "connections")
	inFlight := flags.Int("in-flight", 5, "requests in flight on each")
	seconds := flags.Int("seconds", 10, "how long")
	perSecond := flags.Int("rate", 5000, "records a second, for latency")
	client := flags.String("client", "raw", "raw or franz-go")
	create := flags.Bool("create", false, "create the topics first")
	end := flags.Int64("end", 1<<62, "offset at which fetch begins anew")
	if err := flags.Parse(args); err != nil {
		return err
	}
	d := time.Duration(*seconds) * time.Second
	names := strings.Split(*topics, ",")
	if *create {
		if err := createTopics(ctx, *addr, names, int32(*partitions)); err != nil {
			return err
		}
	}
	nothing := func() error { return nil }
	switch what {
	case "produce":
		l := produceLoad{names, int32(*partitions), *size, *batch, *conns, *inFlight, *client == "franz-go", 0}
		r, err := l.run(ctx, *addr, time.Second, d, nothing, nothing)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%.0f records/s, %.1f MB/s\n", r.perSecond(), r.mbPerSecond())
	case "fetch":
		f, err := dialFetcher(ctx, *addr, names[0])
		if err != nil {
			return err
		}
		defer f.c.Close()
		loop := &fetchLoop{fetcher: f, end: *end}
		if err := slice(ctx, d, loop.step); err != nil {
			return err
		}
		fmt.Fprintf(out, "%.1f MB/s\n", rate{bytes: loop.bytes, took: d}.mbPerSecond())
	case "latency":
		got, err := latencyLoad{names[0], *perSecond, max(8, *size)}.run(ctx, *addr, time.Second, d, nothing, nothing)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "p50 %v  p99 %v  p99.9 %v  worst %v\n", got.at(0.5), got.at(0.99), got.at(0.999), got.at(1))
	}
	return nil
}
