package torture

import (
	"context"
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
	Seed    uint64
	For     time.Duration
	Faults  []string // none: all
	Kinds   []peer.Kind
	Debian  bool
	Version string // inter.broker.protocol.version
	Dir     string
	Load    cluster.LoadOptions
	Logf    func(format string, args ...any)
}

// Report is what came of a run.
type Report struct {
	Faults   map[string]int
	Records  int64
	Read     int64
	Bytes    int64
	Failover map[string][]time.Duration // the longest time without an acknowledgement of any partition, by what happened alone
	Problems []string
}

type torture struct {
	ctx   context.Context
	opt   Options
	c     *cluster.Cluster
	topic string
	load  *cluster.Load
	began time.Time

	mu     sync.Mutex
	report Report
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
	t := &torture{ctx: ctx, opt: o, topic: "torture", began: time.Now()}
	t.report.Faults, t.report.Failover = map[string]int{}, map[string][]time.Duration{}
	faults, disks := t.choose()
	config := map[string]string{"min.insync.replicas": "2", "log.segment.bytes": "4000000"}
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
	if err := t.c.CreateTopic(ctx, t.topic, t.c.Spread(partitions, 3), nil); err != nil {
		return nil, err
	}
	if t.load, err = t.c.StartLoad(ctx, t.topic, partitions, o.Load); err != nil {
		return nil, err
	}
	t.suffer(rand.New(rand.NewPCG(o.Seed, 1)), faults)
	t.finish()
	t.report.Read = t.load.Read.Load()
	return &t.report, nil
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

// suffer makes faults until the time is over.
func (t *torture) suffer(r *rand.Rand, faults []fault) {
	end := time.Now().Add(t.opt.For)
	for time.Now().Before(end) && t.ctx.Err() == nil {
		now := []fault{faults[r.IntN(len(faults))]}
		if second := faults[r.IntN(len(faults))]; r.IntN(3) == 0 && !now[0].alone && !second.alone {
			now = append(now, second)
		}
		alone := len(now) == 1
		if now[0].alone || alone && r.IntN(2) == 0 {
			t.recover(30*time.Second, "before "+now[0].name)
		}
		t.load.Stalls()
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
		wait(t.ctx, time.Duration(r.Int64N(int64(3*time.Second))))
		worst := slices.Max(t.load.Stalls())
		t.logf("the longest time without an acknowledgement of a partition: %.2f s; %d acknowledged, %d read", worst.Seconds(), t.load.Acked.Load(), t.load.Read.Load())
		if alone {
			t.mu.Lock()
			t.report.Failover[now[0].name] = append(t.report.Failover[now[0].name], worst)
			t.mu.Unlock()
		}
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
	kind, i, p := r.IntN(3), r.IntN(len(t.c.Nodes)), r.IntN(partitions)
	ctx, cancel := context.WithTimeout(t.ctx, 3*time.Second)
	defer cancel()
	v, err := t.c.View(ctx, 0, t.topic)
	switch {
	case err != nil || kind == 0:
	case kind == 1 && v.Controller > 0:
		return t.c.Node(v.Controller), "the controller"
	case kind == 2 && p < len(v.Partitions) && v.Partitions[p].Leader > 0:
		return t.c.Node(v.Partitions[p].Leader), fmt.Sprintf("which leads partition %d", p)
	}
	return t.c.Nodes[i], "any"
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
	}, t.topic)
	if err != nil {
		t.problem("%s: %v", when, err)
		return
	}
	t.logf("every replica in sync after %.2f s", time.Since(began).Seconds())
}

// finish checks what is left.
func (t *torture) finish() {
	for _, n := range t.c.Nodes {
		if !n.Up() {
			t.problem("broker %d ended by itself:\n%s", n.ID, n.Tail())
		}
	}
	t.recover(45*time.Second, "at the end")
	ctx, cancel := context.WithTimeout(t.ctx, 90*time.Second)
	defer cancel()
	records, problems := t.load.Finish(ctx)
	t.report.Records = records
	for _, p := range problems {
		t.problem("%s", p)
	}
	v, err := t.c.View(ctx, 0, t.topic)
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
	fmt.Fprintf(&b, "%d faults, %d records (%d read), %d bytes in each replica\n", n, r.Records, r.Read, r.Bytes)
	for _, f := range all {
		if r.Faults[f.name] == 0 {
			continue
		}
		fmt.Fprintf(&b, "%-9s %3d", f.name, r.Faults[f.name])
		if d := slices.Sorted(slices.Values(r.Failover[f.name])); len(d) > 0 {
			fmt.Fprintf(&b, "   longest wait for an acknowledgement, alone: median %.2f s, most %.2f s", d[len(d)/2].Seconds(), d[len(d)-1].Seconds())
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
	o.Debian = o.Debian || os.Getenv("ZK") == "debian"
	if s := os.Getenv("IBP"); s != "" {
		o.Version = s
	}
	if s := os.Getenv("KEEP"); s != "" {
		o.Dir = s
	}
	return o, nil
}
