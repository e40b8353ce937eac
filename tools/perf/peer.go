package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gregor/integration/peer"
)

// A row is one line of the comparison: how it is measured on one broker, and what Gregor is to reach.
type row struct {
	name string
	// measure runs the load and returns named figures; the first is the one that goal speaks of.
	measure func(ctx context.Context, s *session) ([]figure, error)
}

type figure struct {
	name  string
	value float64
	unit  string
	// goal is the most (or, for a rate, the least) that Gregor's figure may be of Kafka's; 0: only shown.
	goal float64
	// most is an absolute bound for Gregor's figure; 0: none.
	most float64
}

// session is one broker under measurement.
type session struct {
	broker  *peer.Broker
	seconds time.Duration
	warm    time.Duration
	franz   bool
	topics  int // made so far, for names
	cpu     time.Duration
}

func (s *session) begin() error {
	u, err := s.broker.Usage()
	s.cpu = -u.CPU
	return err
}

func (s *session) end() error {
	u, err := s.broker.Usage()
	s.cpu += u.CPU
	return err
}

func (s *session) names(n int) []string {
	var names []string
	for range n {
		s.topics++
		names = append(names, fmt.Sprintf("perf-%d", s.topics))
	}
	return names
}

func runPeer(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("perf peer", flag.ContinueOnError)
	seconds := flags.Int("seconds", 20, "how long each row is measured (latency: three times as long)")
	client := flags.String("client", "raw", "raw or franz-go, for the produce rows")
	kinds := flags.String("brokers", "kafka,gregor", "which brokers")
	dir := flags.String("dir", "", "where the brokers' data goes (default: a new directory under ./data/perf)")
	heap := flags.String("heap", "1g", "Kafka's heap")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := rows()
	if flags.NArg() > 0 {
		chosen = slices.DeleteFunc(chosen, func(r row) bool { return !slices.Contains(flags.Args(), r.name) })
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no such row: %s", strings.Join(flags.Args(), " "))
	}
	root, err := peer.Root()
	if err != nil {
		return err
	}
	if *dir == "" {
		parent := filepath.Join(root, "data", "perf")
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return err
		}
		if *dir, err = os.MkdirTemp(parent, "run-"); err != nil {
			return err
		}
		defer os.RemoveAll(*dir)
	}
	results := map[peer.Kind]map[string]result{}
	for name := range strings.SplitSeq(*kinds, ",") {
		if err := touchMemory(); err != nil {
			return err
		}
		kind := peer.Kind(name)
		r := runner{
			kind: kind, dir: filepath.Join(*dir, name), heap: *heap, seconds: time.Duration(*seconds) * time.Second,
			franz: *client == "franz-go", out: out,
		}
		results[kind], err = r.run(ctx, chosen)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	printTable(out, chosen, results)
	return nil
}

type result struct {
	figures []figure
	err     error
}

// runner measures the rows on one kind of broker.
type runner struct {
	kind    peer.Kind
	dir     string
	heap    string
	seconds time.Duration
	franz   bool
	out     io.Writer
}

func (r runner) run(ctx context.Context, chosen []row) (map[string]result, error) {
	var zk string
	if r.kind == peer.Kafka {
		z, err := peer.StartZooKeeper(ctx, filepath.Join(r.dir, "zookeeper"))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		zk = z.Addr
	}
	o := peer.Options{Kind: r.kind, Dir: r.dir, ZooKeeper: zk, Heap: r.heap, Config: map[string]string{
		// Enough room for the loads without retention at work; and a deleted topic gives its disk back soon.
		"log.segment.delete.delay.ms": "1000", "log.retention.check.interval.ms": "600000",
	}}
	b, err := peer.StartBroker(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { b.Close() }()
	s := &session{broker: b, seconds: r.seconds, warm: max(2*time.Second, r.seconds/4), franz: r.franz}
	results := map[string]result{}
	for _, row := range chosen {
		figures, err := row.measure(ctx, s)
		b = s.broker
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		results[row.name] = result{figures, err}
		fmt.Fprintf(r.out, "%s %s:", r.kind, row.name)
		for _, f := range figures {
			fmt.Fprintf(r.out, "  %s %s", f.name, format(f.value, f.unit))
		}
		if err != nil {
			fmt.Fprintf(r.out, "  %v", err)
			if b.Exited() {
				return nil, errors.Join(err, errors.New(b.Tail()))
			}
		}
		fmt.Fprintln(r.out)
	}
	stop, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return results, b.Stop(stop)
}

func format(v float64, unit string) string {
	if unit == "ms" {
		return fmt.Sprintf("%.3g ms", v)
	}
	switch {
	case v >= 1e6 && unit != "MB":
		return fmt.Sprintf("%.2f M%s", v/1e6, unit)
	case v >= 1e4:
		return fmt.Sprintf("%.0f k%s", v/1e3, unit)
	case v >= 100:
		return fmt.Sprintf("%.0f %s", v, unit)
	}
	return fmt.Sprintf("%.3g %s", v, unit)
}

// printTable prints Kafka's and Gregor's figures side by side.
func printTable(out io.Writer, chosen []row, results map[peer.Kind]map[string]result) {
	fmt.Fprintf(out, "\n%-18s %-26s %14s %14s %8s  %s\n", "row", "figure", "Kafka 2.7.2", "Gregor", "ratio", "goal")
	for _, row := range chosen {
		k, g := results[peer.Kafka][row.name], results[peer.Gregor][row.name]
		n := max(len(k.figures), len(g.figures))
		for i := range n {
			var kv, gv string
			var ratio, goal string
			f := figure{}
			if i < len(k.figures) {
				f = k.figures[i]
				kv = format(f.value, f.unit)
			}
			if i < len(g.figures) {
				f = g.figures[i]
				gv = format(f.value, f.unit)
			}
			if kv != "" && gv != "" && k.figures[i].value != 0 {
				x := g.figures[i].value / k.figures[i].value
				ratio = fmt.Sprintf("%.3f", x)
				goal = verdict(f, x)
			} else if gv != "" {
				goal = verdict(f, 0)
			}
			fmt.Fprintf(out, "%-18s %-26s %14s %14s %8s  %s\n", row.name, f.name, kv, gv, ratio, goal)
		}
		for kind, r := range map[peer.Kind]result{peer.Kafka: k, peer.Gregor: g} {
			if r.err != nil {
				fmt.Fprintf(out, "%-18s %s: %v\n", row.name, kind, r.err)
			}
		}
	}
}

func verdict(f figure, ratio float64) string {
	var parts []string
	met := true
	if f.goal != 0 && ratio != 0 {
		parts = append(parts, fmt.Sprintf("<= %.3f", f.goal))
		met = met && ratio <= f.goal
	}
	if f.most != 0 {
		parts = append(parts, "<= "+format(f.most, f.unit))
		met = met && f.value <= f.most
	}
	if len(parts) == 0 {
		return ""
	}
	word := "met"
	if !met {
		word = "MISSED"
	}
	return strings.Join(parts, ", ") + ": " + word
}
