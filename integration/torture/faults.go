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
	"time"

	"golang.org/x/sys/unix"

	"gregor/integration/cluster"
	"gregor/wire/record"
)

// fault is one thing that can happen. begin makes it happen and returns what ends it.
type fault struct {
	name string
	// power: it takes from one replica what it acknowledged, so it comes when every replica is in sync, with one other fault at most that is
	// not such a one, and everything recovers before the next.
	power bool
	// shortest and longest it lasts.
	shortest, longest time.Duration
	begin             func(t *torture, r *rand.Rand) (what string, end func(ctx context.Context) error)
}

var all = []fault{
	{name: "kill", shortest: 0, longest: 9 * time.Second, begin: func(t *torture, r *rand.Rand) (string, func(context.Context) error) {
		n, role := t.victim(r)
		n.Kill()
		return fmt.Sprintf("kill -9 of broker %d, %s", n.ID, role), n.Start
	}},
	{name: "stop", shortest: 0, longest: 4 * time.Second, begin: func(t *torture, r *rand.Rand) (string, func(context.Context) error) {
		n, role := t.victim(r)
		ctx, cancel := context.WithTimeout(t.ctx, 40*time.Second)
		defer cancel()
		began := time.Now()
		err := n.Stop(ctx)
		what := fmt.Sprintf("clean stop of broker %d, %s, in %.2f s", n.ID, role, time.Since(began).Seconds())
		if err != nil {
			t.logf("stopping broker %d: %v", n.ID, err)
		}
		return what, n.Start
	}},
	{name: "pause", shortest: time.Second, longest: 12 * time.Second, begin: func(t *torture, r *rand.Rand) (string, func(context.Context) error) {
		n, role := t.victim(r)
		n.Pause()
		return fmt.Sprintf("SIGSTOP of broker %d, %s", n.ID, role), func(context.Context) error { n.Resume(); return nil }
	}},
	{name: "zkkill", shortest: 0, longest: 10 * time.Second, begin: func(t *torture, _ *rand.Rand) (string, func(context.Context) error) {
		t.c.KillZooKeeper()
		return "kill -9 of ZooKeeper", t.c.StartZooKeeper
	}},
	{name: "zkpause", shortest: time.Second, longest: 12 * time.Second, begin: func(t *torture, _ *rand.Rand) (string, func(context.Context) error) {
		t.c.PauseZooKeeper()
		return "SIGSTOP of ZooKeeper", func(context.Context) error { t.c.ResumeZooKeeper(); return nil }
	}},
	{name: "cut", shortest: time.Second, longest: 12 * time.Second, begin: cutBrokers},
	{name: "zkcut", shortest: time.Second, longest: 12 * time.Second, begin: func(t *torture, r *rand.Rand) (string, func(context.Context) error) {
		n, role := t.victim(r)
		return t.cut(r, n.ID, cluster.ZooKeeper, fmt.Sprintf("%d (%s)", n.ID, role), "ZooKeeper")
	}},
	{name: "full", shortest: time.Second, longest: 5 * time.Second, begin: fillDisk},
	{name: "torn", power: true, shortest: 0, longest: time.Second, begin: tear},
	{name: "reassign", shortest: 0, longest: 2 * time.Second, begin: reassign},
	{name: "elect", shortest: 0, longest: time.Second, begin: func(t *torture, _ *rand.Rand) (string, func(context.Context) error) {
		ctx, cancel := context.WithTimeout(t.ctx, 10*time.Second)
		defer cancel()
		err := t.c.ElectPreferred(ctx)
		return fmt.Sprintf("election of preferred leaders (%v)", err), func(context.Context) error { return nil }
	}},
}

func cutBrokers(t *torture, r *rand.Rand) (string, func(context.Context) error) {
	a := r.IntN(len(t.c.Nodes))
	b := (a + 1 + r.IntN(len(t.c.Nodes)-1)) % len(t.c.Nodes)
	x, y := t.c.Nodes[a].ID, t.c.Nodes[b].ID
	return t.cut(r, x, y, fmt.Sprint(x), fmt.Sprint(y))
}

// cut cuts a link one way or both.
func (t *torture) cut(r *rand.Rand, a, b int, nameA, nameB string) (string, func(context.Context) error) {
	way, lose := r.IntN(3), r.IntN(2) == 0
	if way != 1 {
		t.c.Links.Cut(a, b)
	}
	if way != 0 {
		t.c.Links.Cut(b, a)
	}
	arrow := []string{"from %s to %s", "backwards from %s to %s", "between %s and %s"}[way]
	what := fmt.Sprintf("link cut "+arrow, nameA, nameB)
	if lose {
		what += ", connections lost"
	}
	return what, func(context.Context) error {
		t.c.Links.Heal(a, b, lose)
		t.c.Links.Heal(b, a, lose)
		return nil
	}
}

// fillDisk leaves no byte on a broker's file system. Its broker may go on, or stop as one without a log directory does.
func fillDisk(t *torture, r *rand.Rand) (string, func(context.Context) error) {
	n, role := t.victim(r)
	ballast := filepath.Join(n.LogDir(), "..", "ballast")
	f, err := os.Create(ballast)
	if err == nil {
		block := make([]byte, 64<<10)
		for size := len(block); size >= 512; {
			if _, err := f.Write(block[:size]); err != nil {
				size /= 2
			}
		}
		_ = f.Close()
	}
	return fmt.Sprintf("disk of broker %d full, %s", n.ID, role), func(ctx context.Context) error {
		if err := os.Remove(ballast); err != nil {
			return err
		}
		t.later.Go(func() { t.revive(n) })
		return n.Start(ctx) // if it ended
	}
}

// revive starts a broker that is still on its way to its end, since its log directory failed, when the fault is over.
func (t *torture) revive(n *cluster.Node) {
	ctx, cancel := context.WithTimeout(t.ctx, 20*time.Second)
	defer cancel()
	for n.Up() && ctx.Err() == nil {
		wait(ctx, 100*time.Millisecond)
	}
	if ctx.Err() == nil {
		if err := n.Start(ctx); err != nil {
			t.problem("after its disk was full: %v", err)
		}
	}
}

// tear kills a broker and, at once or when the others have taken over, damages the ends of its logs as far as they are not flushed: what a loss
// of power does to one replica. Bytes are missing, or pages were not written, or something else was.
func tear(t *torture, r *rand.Rand) (string, func(context.Context) error) {
	n, role := t.victim(r)
	n.Kill()
	if err := reboot(n.LogDir()); err != nil {
		t.problem("broker %d: %v", n.ID, err)
	}
	ctx, cancel := context.WithTimeout(t.ctx, 30*time.Second)
	defer cancel()
	when := "at once"
	if r.IntN(3) == 0 {
		when = "when others lead"
		if err := t.c.Wait(ctx, "others take over", func(v *cluster.View) error { return notIn(v, int32(n.ID)) }, t.topics()...); err != nil {
			t.logf("not %s: %v", when, err) // another fault may keep them from it
		}
	}
	torn := map[string]int{}
	for _, p := range t.partitions {
		if r.IntN(4) == 0 {
			continue
		}
		how, err := tearLog(n.LogDir(), p.topic, int(p.id), r)
		if err != nil {
			t.problem("tearing the log of %s-%d of broker %d: %v", p.topic, p.id, n.ID, err)
		}
		if how != "" {
			torn[how]++
		}
	}
	return fmt.Sprintf("kill -9 of broker %d, %s, and the ends of logs damaged %s: %v", n.ID, role, when, torn), n.Start
}

// reboot makes a broker of Gregor's see that its machine was started anew: in the second line it has noted when it was.
func reboot(dir string) error {
	name := filepath.Join(dir, ".gregor.session")
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // of Apache's
	}
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(string(b), "\n")
	if len(lines) < 3 {
		return fmt.Errorf("%s holds %q", name, b)
	}
	lines[1] = "another\n"
	return os.WriteFile(name, []byte(strings.Join(lines, "")), 0o644)
}

// tearLog damages the end of a partition's last segment, but nothing that is flushed.
func tearLog(dir, topic string, partition int, r *rand.Rand) (how string, err error) {
	segments, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%s-%d", topic, partition), "*.log"))
	if err != nil || len(segments) == 0 {
		return "", err
	}
	name := slices.Max(segments)
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	flushed, err := flushedUpTo(filepath.Join(dir, "recovery-point-offset-checkpoint"), topic, partition)
	if err != nil {
		return "", err
	}
	from := max(position(data, flushed), len(data)-5000)
	if from >= len(data) {
		return "", nil
	}
	at := from + r.IntN(len(data)-from)
	switch r.IntN(3) {
	case 0:
		return "cut", os.Truncate(name, int64(at))
	case 1: // the length was written, the page was not
		how = "zeroed"
		clear(data[at:min(len(data), (at|4095)+1)])
	default:
		how = "garbled"
		for i := at; i < min(len(data), at+1+r.IntN(2000)); i++ {
			data[i] = byte(r.Uint32())
		}
	}
	return how, os.WriteFile(name, data, 0o644)
}

// flushedUpTo is what a checkpoint file says of a partition, 0 if nothing.
func flushedUpTo(file, topic string, partition int) (int64, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == topic && f[1] == strconv.Itoa(partition) {
			return strconv.ParseInt(f[2], 10, 64)
		}
	}
	return 0, err
}

// position is where the batch with an offset begins, or where whole batches end.
func position(data []byte, offset int64) int {
	at := 0
	for {
		h, err := record.ParseHeader(data[at:])
		if err != nil || h.Size() > len(data)-at || h.BaseOffset >= offset {
			return at
		}
		at += h.Size()
	}
}

func notIn(v *cluster.View, id int32) error {
	for _, p := range v.Partitions {
		if p.Leader < 0 || p.Leader == id {
			return fmt.Errorf("%v", p)
		}
		for _, in := range p.ISR {
			if in == id {
				return fmt.Errorf("%v", p)
			}
		}
	}
	return nil
}

// reassign gives a partition three brokers in another order.
func reassign(t *torture, r *rand.Rand) (string, func(context.Context) error) {
	p := t.partitions[r.IntN(len(t.partitions))]
	var to []int32
	for _, i := range r.Perm(len(t.c.Nodes))[:3] {
		to = append(to, int32(t.c.Nodes[i].ID))
	}
	ctx, cancel := context.WithTimeout(t.ctx, 10*time.Second)
	defer cancel()
	err := t.c.Reassign(ctx, p.topic, p.id, to)
	return fmt.Sprintf("%s-%d is moved to %v (%v)", p.topic, p.id, to, err), func(context.Context) error { return nil }
}

// smallDisk mounts a file system of its own for a broker's logs.
func smallDisk(dir string, megabytes int) (unmount func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		return nil, err
	}
	return func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }, nil
}
