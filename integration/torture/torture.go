package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gregor/integration/cluster"
	"gregor/integration/peer"
)

const partitions = 6

// Options of one run.
type Options struct {
	Seed uint64
	For  time.Duration
	// Matrix: every fault and every pair once, however long that takes.
	Matrix bool
	// Workload is what goes on meanwhile: "" or produce, txn, groups.
	Workload string
	Faults   []string // none: all
	Kinds    []peer.Kind
	Debian   bool
	Version  string // inter.broker.protocol.version
	Dir      string
	Load     cluster.LoadOptions
	Logf     func(format string, args ...any)
}

// Report is what came of a run.
type Report struct {
	Faults   map[string]int
	Records  int64
	Progress []string
	Bytes    int64
	Failover map[string][]time.Duration // the longest time without progress of any part of the load, by what happened alone
	Problems []string
}

type torture struct {
	ctx   context.Context
	opt   Options
	c     *cluster.Cluster
	loads []cluster.Workload
	// partitions are those of the load and, if it has coordinators, of their topics: what is moved, and whose leaders are victims.
	partitions []topicPartition
	began      time.Time
	later      sync.WaitGroup // what goes on after a fault

	mu     sync.Mutex
	report Report
	// victims are of the faults under way, if each must have its own: nobody may start a broker whose files are being damaged.
	victims map[int]bool
}

type topicPartition struct {
	topic string
	id    int32
}

// topics are those of t.partitions.
func (t *torture) topics() []string {
	var names []string
	for _, p := range t.partitions {
		if p.id == 0 {
			names = append(names, p.topic)
		}
	}
	return names
}

func (t *torture) logf(format string, args ...any) {
	t.opt.Logf("%6.2f %s", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

func (t *torture) problem(format string, args ...any) {
	t.logf("PROBLEM: "+format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Problems = append(t.report.Problems, fmt.Sprintf(format, args...))
}

// Run starts a cluster, lets it suffer, and looks what is left.
func Run(ctx context.Context, o Options) (*Report, error) {
	t := &torture{ctx: ctx, opt: o, began: time.Now()}
	t.report.Faults, t.report.Failover = map[string]int{}, map[string][]time.Duration{}
	faults, disks := t.choose()
	config := map[string]string{
		"min.insync.replicas": "2", "log.segment.bytes": "4000000",
		"offsets.topic.replication.factor": "3", "offsets.topic.num.partitions": "3", "transaction.state.log.replication.factor": "3",
		"transaction.state.log.min.isr": "2", "transaction.state.log.num.partitions": "3",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	}
	if o.Version != "" {
		config["inter.broker.protocol.version"] = o.Version
	}
	co := cluster.Options{Dir: o.Dir, Kinds: o.Kinds, Debian: o.Debian, Links: true, Config: config}
	if disks {
		mounts := map[int]string{}
		for i := range o.Kinds {
			dir := filepath.Join(o.Dir, "disk-"+strconv.Itoa(i+1))
			unmount, err := smallDisk(dir, 256)
			if err != nil {
				t.logf("no small disks: %v", err)
				faults = slices.DeleteFunc(faults, func(f fault) bool { return f.name == "full" })
				break
			}
			defer unmount()
			mounts[i+1] = filepath.Join(dir, "logs")
		}
		if len(mounts) == len(o.Kinds) {
			co.ConfigOf = func(id int) map[string]string { return map[string]string{"log.dirs": mounts[id]} }
		}
	}
	var err error
	if t.c, err = cluster.Start(ctx, co); err != nil {
		return nil, err
	}
	defer t.c.Close()
	if err := t.start(); err != nil {
		return nil, err
	}
	t.suffer(rand.New(rand.NewPCG(o.Seed, 1)), faults)
	t.finish()
	for _, l := range t.loads {
		t.report.Progress = append(t.report.Progress, l.Progress())
	}
	return &t.report, nil
}

// start begins the load, and waits until the topics that it has brokers make are there.
func (t *torture) start() error {
	create := func(topic string, n int) error {
		for p := range n {
			t.partitions = append(t.partitions, topicPartition{topic, int32(p)})
		}
		return t.c.CreateTopic(t.ctx, topic, t.c.Spread(n, 3), nil)
	}
	internal := func(names ...string) {
		for _, name := range names {
			for p := range 3 {
				t.partitions = append(t.partitions, topicPartition{name, int32(p)})
			}
		}
	}
	const perSecond = 150
	switch t.opt.Workload {
	case "", "produce":
		if err := create("torture", partitions); err != nil {
			return err
		}
		load, err := t.c.StartLoad(t.ctx, "torture", partitions, t.opt.Load)
		t.loads = append(t.loads, load)
		return err
	case "txn":
		if err := errors.Join(create("bank", 2), create("in", 3), create("out", 3)); err != nil {
			return err
		}
		bank, err := t.c.StartBank(t.ctx, "bank", cluster.BankOptions{Tellers: 4, PerSecond: 20, Seed: t.opt.Seed})
		if err != nil {
			return err
		}
		copies, err := t.c.StartCopies(t.ctx, "in", "out", 3, cluster.CopyOptions{Workers: 4, PerSecond: perSecond, Seed: t.opt.Seed})
		if err != nil {
			return err
		}
		t.loads = append(t.loads, bank, copies)
		internal("__transaction_state", "__consumer_offsets")
	case "groups":
		if err := create("torture", partitions); err != nil {
			return err
		}
		groups, err := t.c.StartGroups(t.ctx, "torture", partitions, cluster.GroupOptions{Members: 3, PerSecond: perSecond, Seed: t.opt.Seed})
		if err != nil {
			return err
		}
		t.loads = append(t.loads, groups)
		internal("__consumer_offsets")
	default:
		return fmt.Errorf("WORKLOAD: there is none named %q", t.opt.Workload)
	}
	t.recover(time.Minute, "before the first fault")
	return nil
}

// stalls are those of all that goes on.
func (t *torture) stalls() (all []time.Duration) {
	for _, l := range t.loads {
		all = append(all, l.Stalls()...)
	}
	return all
}

func (t *torture) progress() string {
	var all []string
	for _, l := range t.loads {
		all = append(all, l.Progress())
	}
	return strings.Join(all, "; ")
}

// choose says which faults are wanted, and whether they need disks of their own.
func (t *torture) choose() (faults []fault, disks bool) {
	for _, f := range all {
		if len(t.opt.Faults) == 0 || slices.Contains(t.opt.Faults, f.name) {
			faults = append(faults, f)
			disks = disks || f.name == "full"
		}
	}
	return faults, disks
}

// suffer makes faults until the time is over, or all of a matrix.
func (t *torture) suffer(r *rand.Rand, faults []fault) {
	next := func() []fault {
		now := []fault{faults[r.IntN(len(faults))]}
		if second := faults[r.IntN(len(faults))]; r.IntN(3) == 0 && !(now[0].power && second.power) {
			now = append(now, second)
		}
		return now
	}
	if t.opt.Matrix {
		todo := matrix(faults)
		r.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
		for n, now := range todo {
			if t.ctx.Err() == nil {
				t.logf("%d of %d", n+1, len(todo))
				t.together(r, now)
			}
		}
		return
	}
	for end := time.Now().Add(t.opt.For); time.Now().Before(end) && t.ctx.Err() == nil; {
		t.together(r, next())
	}
}

// matrix is every fault and every pair of two, but for pairs that take what they acknowledged from two replicas.
func matrix(faults []fault) (out [][]fault) {
	for i, a := range faults {
		out = append(out, []fault{a})
		for _, b := range faults[i:] {
			if !(a.power && b.power) {
				out = append(out, []fault{a, b})
			}
		}
	}
	return out
}

// together makes one or two faults, which begin and end by themselves.
func (t *torture) together(r *rand.Rand, now []fault) {
	alone := len(now) == 1
	power := slices.ContainsFunc(now, func(f fault) bool { return f.power })
	if power {
		t.later.Wait() // nobody else may start the broker whose files are being damaged
	}
	if power || alone && r.IntN(2) == 0 {
		t.recover(30*time.Second, "before "+now[0].name)
	}
	if power {
		t.victims = map[int]bool{}
		defer func() { t.victims = nil }()
	}
	t.stalls()
	var wg sync.WaitGroup
	for _, f := range now {
		seed, lasts := r.Uint64(), f.shortest+time.Duration(r.Int64N(int64(f.longest-f.shortest)))
		t.report.Faults[f.name]++
		wg.Go(func() { t.one(f, rand.New(rand.NewPCG(seed, 2)), lasts) })
		if r.IntN(2) == 0 {
			wait(t.ctx, time.Duration(r.Int64N(int64(2*time.Second))))
		}
	}
	wg.Wait()
	if power {
		t.recover(60*time.Second, "after "+now[0].name)
	}
	wait(t.ctx, time.Duration(r.Int64N(int64(3*time.Second))))
	worst := slices.Max(t.stalls())
	t.logf("the longest time without progress of a part: %.2f s; %s", worst.Seconds(), t.progress())
	if alone {
		t.mu.Lock()
		t.report.Failover[now[0].name] = append(t.report.Failover[now[0].name], worst)
		t.mu.Unlock()
	}
}

func (t *torture) one(f fault, r *rand.Rand, lasts time.Duration) {
	what, end := f.begin(t, r)
	t.logf("%s: %s, for %.1f s", f.name, what, lasts.Seconds())
	wait(t.ctx, lasts)
	ctx, cancel := context.WithTimeout(t.ctx, time.Minute)
	defer cancel()
	began := time.Now()
	if err := end(ctx); err != nil {
		t.problem("ending %s: %v", what, err)
	}
	t.logf("%s: over (%.2f s)", f.name, time.Since(began).Seconds())
}

// victim is one of the brokers: any, the controller or the leader of a partition.
func (t *torture) victim(r *rand.Rand) (*cluster.Node, string) {
	kind, i, p := r.IntN(3), r.IntN(len(t.c.Nodes)), t.partitions[r.IntN(len(t.partitions))]
	ctx, cancel := context.WithTimeout(t.ctx, 3*time.Second)
	defer cancel()
	v, err := t.c.View(ctx, 0, p.topic)
	n, role := t.c.Nodes[i], "any"
	switch {
	case err != nil || kind == 0:
	case kind == 1 && v.Controller > 0:
		n, role = t.c.Node(v.Controller), "the controller"
	case kind == 2 && int(p.id) < len(v.Partitions) && v.Partitions[p.id].Leader > 0:
		n, role = t.c.Node(v.Partitions[p.id].Leader), fmt.Sprintf("which leads %s-%d", p.topic, p.id)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.victims != nil {
		for ; t.victims[n.ID]; role = "any" {
			n = t.c.Nodes[n.ID%len(t.c.Nodes)]
		}
		t.victims[n.ID] = true
	}
	return n, role
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// recover waits until every replica is in sync and no partition is being moved, and complains when it takes too long.
func (t *torture) recover(limit time.Duration, when string) {
	ctx, cancel := context.WithTimeout(t.ctx, limit)
	defer cancel()
	began := time.Now()
	err := t.c.Wait(ctx, "every replica in sync", func(v *cluster.View) error {
		if len(v.Brokers) < len(t.c.Nodes) {
			return fmt.Errorf("only brokers %v", v.Brokers)
		}
		for _, p := range v.Partitions {
			if len(p.Replicas) != 3 {
				return fmt.Errorf("%v", p)
			}
		}
		return cluster.InSync(v)
	}, t.topics()...)
	if err != nil {
		t.problem("%s: %v", when, err)
		return
	}
	t.logf("every replica in sync after %.2f s", time.Since(began).Seconds())
}

// finish checks what is left.
func (t *torture) finish() {
	t.later.Wait()
	for _, n := range t.c.Nodes {
		if !n.Up() {
			t.problem("broker %d ended by itself:\n%s", n.ID, n.Tail())
		}
	}
	t.recover(45*time.Second, "at the end")
	ctx, cancel := context.WithTimeout(t.ctx, 90*time.Second)
	defer cancel()
	var topics []string
	for _, l := range t.loads {
		records, problems := l.Finish(ctx)
		t.report.Records += records
		for _, p := range problems {
			t.problem("%s", p)
		}
		topics = append(topics, l.Topics()...)
	}
	v, err := t.c.View(ctx, 0, topics...)
	if err != nil {
		t.problem("%v", err)
		return
	}
	// High watermarks and ends are the same when every replica is in sync and nothing is written.
	var wg sync.WaitGroup
	for _, n := range t.c.Nodes {
		wg.Go(func() {
			if err := n.Stop(ctx); err != nil {
				t.problem("%v", err)
			}
		})
	}
	wg.Wait()
	if t.report.Bytes, err = t.c.SameLogs(v.Partitions); err != nil {
		t.problem("%v", err)
	}
}

// String is the report for people.
func (r *Report) String() string {
	var b strings.Builder
	n := 0
	for _, k := range r.Faults {
		n += k
	}
	fmt.Fprintf(&b, "%d faults, %d records (%s), %d bytes in each replica\n", n, r.Records, strings.Join(r.Progress, "; "), r.Bytes)
	for _, f := range all {
		if r.Faults[f.name] == 0 {
			continue
		}
		fmt.Fprintf(&b, "%-9s %3d", f.name, r.Faults[f.name])
		if d := slices.Sorted(slices.Values(r.Failover[f.name])); len(d) > 0 {
			fmt.Fprintf(&b, "   longest time without progress, alone: median %.2f s, most %.2f s", d[len(d)/2].Seconds(), d[len(d)-1].Seconds())
		}
		b.WriteByte('\n')
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "PROBLEM: %s\n", p)
	}
	return b.String()
}

// FromEnvironment reads the options that people set.
func FromEnvironment(def Options) (Options, error) {
	o := def
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return o, fmt.Errorf("SEED: %w", err)
		}
		o.Seed = n
	}
	if s := os.Getenv("SECONDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			return o, fmt.Errorf("SECONDS: %w", err)
		}
		o.For = time.Duration(n) * time.Second
	}
	if s := os.Getenv("WORKLOAD"); s != "" {
		o.Workload = s
	}
	if s := os.Getenv("FAULTS"); s != "" {
		o.Faults = strings.Split(s, ",")
		for _, name := range o.Faults {
			if !slices.ContainsFunc(all, func(f fault) bool { return f.name == name }) {
				return o, fmt.Errorf("FAULTS: there is no fault %q", name)
			}
		}
	}
	if s := os.Getenv("KINDS"); s != "" {
		o.Kinds = nil
		for _, k := range strings.Split(s, ",") {
			o.Kinds = append(o.Kinds, peer.Kind(k))
		}
	}
	o.Matrix = os.Getenv("MATRIX") != ""
	o.Debian = o.Debian || os.Getenv("ZK") == "debian"
	if s := os.Getenv("IBP"); s != "" {
		o.Version = s
	}
	if s := os.Getenv("KEEP"); s != "" {
		o.Dir = s
	}
	return o, nil
}
