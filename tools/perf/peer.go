package main

import (
	"context"
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
	name    string
	measure func(ctx context.Context, s *session) ([]figure, error)
	// once: it is not repeated in each round.
	once bool
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

// session is one broker under measurement, or three of a cluster.
type session struct {
	broker  *peer.Broker
	others  []*peer.Broker // of the cluster
	seconds time.Duration
	warm    time.Duration
	franz   bool
	topics  int // made so far, for names
	cpu     time.Duration
	up      time.Time // when the last of its brokers had started
}

// retentionBegins is how long after a broker's start its first deletions come, Kafka's InitialTaskDelayMs (kafka/log/LogManager.scala at 2.7.2),
// and a little more.
const retentionBegins = 32 * time.Second

// settle waits until retention is at work: until then logs grow, and their pages are the memory's next ones, or the host's.
func (s *session) settle(ctx context.Context) error {
	return wait(ctx, time.Until(s.up.Add(retentionBegins)))
}

func (s *session) brokers() []*peer.Broker { return append([]*peer.Broker{s.broker}, s.others...) }

// used is the CPU time of all brokers so far.
func (s *session) used() (time.Duration, error) {
	var sum time.Duration
	for _, b := range s.brokers() {
		u, err := b.Usage()
		if err != nil {
			return 0, err
		}
		sum += u.CPU
	}
	return sum, nil
}

func (s *session) begin() error {
	u, err := s.used()
	s.cpu = -u
	return err
}

func (s *session) end() error {
	u, err := s.used()
	s.cpu += u
	return err
}

// create makes topics, of a cluster with a replica on each broker, led by the first.
func (s *session) create(ctx context.Context, names []string, partitions int32) error {
	return s.createWith(ctx, names, partitions, nil)
}

// createRolling makes topics to be written for long: they keep half a GB together, of which segments are a half, and retention is at work.
// Otherwise logs would grow, and their pages would be the memory's next ones, or the host's.
func (s *session) createRolling(ctx context.Context, names []string, partitions int32) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	segment := max(256<<20/(len(names)*int(partitions)), 16<<20)
	return s.createWith(ctx, names, partitions, map[string]string{
		"segment.bytes": fmt.Sprint(segment), "retention.bytes": fmt.Sprint(2 * segment),
	})
}

// createWith is create with settings of the topics' own.
func (s *session) createWith(ctx context.Context, names []string, partitions int32, config map[string]string) error {
	var replicas []int32
	if len(s.others) > 0 {
		for i := range s.brokers() {
			replicas = append(replicas, int32(i))
		}
	}
	return createReplicated(ctx, s.broker.Addr, names, partitions, replicas, config)
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
	seconds := flags.Int("seconds", 21, "how long each row is measured on each broker, over all rounds (latency: three times as long)")
	rounds := flags.Int("rounds", 3, "how often the brokers take turns; medians are printed")
	client := flags.String("client", "raw", "raw or franz-go, for the produce rows")
	kinds := flags.String("brokers", "kafka,gregor", "which brokers")
	dir := flags.String("dir", "", "where the brokers' data goes (default: a new directory under ./data/perf)")
	heap := flags.String("heap", "1g", "Kafka's heap")
	cluster := flags.Bool("cluster", false, "three brokers of each kind, on one ZooKeeper, one kind at a time; topics have three replicas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := rows()
	if *cluster {
		chosen = clusterRows()
	}
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
	r := runner{dir: *dir, heap: *heap, rounds: max(1, *rounds), franz: *client == "franz-go", out: out}
	r.seconds = max(time.Second, time.Duration(*seconds)*time.Second/time.Duration(r.rounds))
	for name := range strings.SplitSeq(*kinds, ",") {
		r.kinds = append(r.kinds, peer.Kind(name))
	}
	measure := r.run
	if *cluster {
		measure = r.runClusters
	}
	results, err := measure(ctx, chosen)
	if err != nil {
		return err
	}
	printTable(out, chosen, results)
	return nil
}

type result struct {
	figures []figure
	err     error
}

// runner measures the rows on the brokers, which are all up at once and take turns: what else the machine does meanwhile falls on all.
type runner struct {
	kinds   []peer.Kind
	dir     string
	heap    string
	rounds  int
	seconds time.Duration // of one round
	franz   bool
	out     io.Writer
}

func (r runner) run(ctx context.Context, chosen []row) (map[peer.Kind]map[string]result, error) {
	sessions := map[peer.Kind]*session{}
	results := map[peer.Kind]map[string]result{}
	if err := holdMemory(); err != nil {
		return nil, err
	}
	for _, kind := range r.kinds {
		b, stop, err := r.start(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		defer stop()
		s := &session{broker: b, seconds: r.seconds, warm: max(2*time.Second, r.seconds/4), franz: r.franz, up: time.Now()}
		defer func() { s.broker.Close() }() // a row may have started it anew
		sessions[kind], results[kind] = s, map[string]result{}
	}
	for _, row := range chosen {
		rounds := r.rounds
		if row.once {
			rounds = 1
		}
		all := map[peer.Kind][][]figure{}
		for range rounds {
			for _, kind := range r.kinds {
				figures, err := row.measure(ctx, sessions[kind])
				r.report(kind, row.name, figures, err)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if b := sessions[kind].broker; b.Exited() {
					return nil, fmt.Errorf("%s has ended; the end of its log:\n%s", kind, b.Tail())
				}
				if err != nil {
					results[kind][row.name] = result{err: err}
					continue
				}
				all[kind] = append(all[kind], figures)
			}
		}
		for kind, rounds := range all {
			results[kind][row.name] = result{medians(rounds), results[kind][row.name].err}
		}
	}
	return results, nil
}

func (r runner) start(ctx context.Context, kind peer.Kind) (*peer.Broker, func(), error) {
	o := peer.Options{Kind: kind, Dir: filepath.Join(r.dir, string(kind)), Heap: r.heap, Config: map[string]string{
		// Retention at work, as in a broker that has run for long: pages of deleted segments are written again. With logs that only grow, a
		// virtual machine pays the host for each page's first touch, three times what the copy costs, and hides the difference of brokers.
		"log.segment.bytes": "268435456", "log.retention.bytes": "536870912", "log.retention.check.interval.ms": "500",
		"log.segment.delete.delay.ms":  "0",
		"offsets.topic.num.partitions": "50", "transaction.state.log.num.partitions": "50", // Kafka's defaults
	}}
	stop := func() {}
	if kind == peer.Kafka {
		z, err := peer.StartZooKeeper(ctx, filepath.Join(o.Dir, "zookeeper"))
		if err != nil {
			return nil, nil, err
		}
		stop = z.Close
		o.ZooKeeper = z.Addr
	}
	b, err := peer.StartBroker(ctx, o)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return b, stop, nil
}

func (r runner) report(kind peer.Kind, name string, figures []figure, err error) {
	fmt.Fprintf(r.out, "%s %s:", kind, name)
	for _, f := range figures {
		fmt.Fprintf(r.out, "  %s %s", f.name, format(f.value, f.unit))
	}
	if err != nil {
		fmt.Fprintf(r.out, "  %v", err)
	}
	fmt.Fprintln(r.out)
}

// medians takes each figure's median over the rounds.
func medians(rounds [][]figure) []figure {
	m := slices.Clone(rounds[0])
	for i := range m {
		var values []float64
		for _, figures := range rounds {
			values = append(values, figures[i].value)
		}
		slices.Sort(values)
		m[i].value = values[len(values)/2]
	}
	return m
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
