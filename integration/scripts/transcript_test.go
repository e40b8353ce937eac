package scripts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"gregor/integration/peer"
)

// TestScripts plays each transcript at the four places, or, without Java, Gregor's scripts on Gregor against what Apache's class
// answered when it was recorded.
func TestScripts(t *testing.T) { playAll(t, "testdata/*.txt", 1) }

// TestClusterScripts does the same where each place has three brokers.
func TestClusterScripts(t *testing.T) { playAll(t, "testdata/cluster/*.txt", 3) }

func playAll(t *testing.T, glob string, brokers int) {
	full := os.Getenv("FULL") == "1"
	ctx := t.Context()
	if end, ok := t.Deadline(); ok { // what was started is to be stopped before the test is killed
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-10*time.Second))
		defer cancel()
	}
	var places []*place
	if os.Getenv("GREGOR_INTEROP") == "1" {
		places = four(t, ctx, brokers)
	}
	paths, err := filepath.Glob(glob)
	if err != nil || len(paths) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			tr, err := load(path)
			if err != nil {
				t.Fatal(err)
			}
			if tr.full != "" && !full {
				t.Skip("with FULL=1: " + tr.full)
			}
			if len(places) == 0 { // a broker costs nothing, and what another transcript left behind is not to be seen
				againstRecord(t, ctx, tr, onGregor(t, ctx, brokers))
				return
			}
			compare(t, ctx, tr, places, full)
		})
	}
}

// four starts the brokers. The first place is Apache's class on Apache's broker.
func four(t *testing.T, ctx context.Context, brokers int) []*place {
	t.Helper()
	dir := t.TempDir()
	bin, err := peer.GregorBinary()
	if err != nil {
		t.Fatal(err)
	}
	zk, err := peer.StartZooKeeper(ctx, filepath.Join(dir, "zookeeper"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(zk.Close)
	out := make([]*place, 4)
	var wg sync.WaitGroup
	for i, kind := range []peer.Kind{peer.Kafka, peer.Kafka, peer.Gregor, peer.Gregor} {
		o := peer.Options{Kind: kind, Dir: filepath.Join(dir, fmt.Sprint("broker", i))}
		if kind == peer.Kafka {
			o.ZooKeeper = fmt.Sprintf("%s/place%d", zk.Addr, i)
		}
		p := &place{apache: i%2 == 0, kind: kind, dir: t.TempDir(), bin: bin}
		if p.apache {
			if p.java, err = newJava(t.TempDir(), "kafka-2.7.2"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.java.close)
		}
		out[i] = p
		wg.Go(func() { start(t, ctx, p, o, brokers) })
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return out
}

// start starts a place's brokers, one after the other: the first brings the ZooKeeper.
func start(t *testing.T, ctx context.Context, p *place, o peer.Options, brokers int) {
	t.Helper()
	dir := o.Dir
	if brokers > 1 {
		o.Heap = "256m"
	}
	for id := range brokers {
		o.ID = id
		o.Dir = dir
		if id > 0 {
			o.Dir = fmt.Sprint(dir, "-", id)
		}
		b, err := peer.StartBroker(ctx, o)
		if err != nil {
			t.Error(err)
			return
		}
		p.brokers = append(p.brokers, b)
		t.Cleanup(func() { p.brokers[id].Close() }) // a transcript may have started it anew
		o.ZooKeeper = b.ZooKeeper
	}
	p.broker, p.zookeeper = p.brokers[0].Addr, p.brokers[0].ZooKeeper
}

func onGregor(t *testing.T, ctx context.Context, brokers int) *place {
	t.Helper()
	bin, err := peer.GregorBinary()
	if err != nil {
		t.Skip(err)
	}
	p := &place{kind: peer.Gregor, dir: t.TempDir(), bin: bin}
	start(t, ctx, p, peer.Options{Kind: peer.Gregor, Dir: t.TempDir()}, brokers)
	if t.Failed() {
		t.FailNow()
	}
	return p
}

// compare plays at all places at once and holds each answer against that of Apache's class on Apache's broker.
func compare(t *testing.T, ctx context.Context, tr *transcript, places []*place, full bool) {
	played := make([]place, len(places))
	results := make([][]*result, len(places))
	errs := make([]error, len(places))
	skip := func(s *step) bool { return (s.full || s.slow) && !full }
	var wg sync.WaitGroup
	for i := range places {
		played[i] = *places[i] // play gives it a directory of its own
		wg.Go(func() { results[i], errs[i] = played[i].play(ctx, tr, skip) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	var record strings.Builder
	for i, s := range tr.steps {
		if skip(s) {
			continue
		}
		t.Run(fmt.Sprintf("%d %s", s.line, s.text()), func(t *testing.T) {
			answer := ""
			switch {
			case s.skipApache:
				answer = agree(t, tr, i, played, results, 3, 1)
			case s.onKafka:
				answer = agree(t, tr, i, played, results, 0, 1, 3)
			case s.ownBroker:
				agree(t, tr, i, played, results, 0, 1)
				answer = agree(t, tr, i, played, results, 2, 3)
			default:
				answer = agree(t, tr, i, played, results, 0, 1, 2, 3)
			}
			if !s.slow {
				record.WriteString(heading(s) + answer + "\n")
			}
		})
	}
	if os.Getenv("RECORD") == "1" && full {
		if err := os.WriteFile(tr.record, []byte(record.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// agree holds what the other places answered against the first of them, and returns that.
func agree(t *testing.T, tr *transcript, i int, played []place, results [][]*result, at ...int) string {
	t.Helper()
	s := tr.steps[i]
	var answers []string // each different one, the first place's first
	who := map[string]string{}
	for _, at := range at {
		shown := tr.shown(s, *results[at][i], &played[at])
		if _, ok := who[shown]; !ok {
			answers = append(answers, shown)
		}
		who[shown] += played[at].String() + ", "
	}
	if len(answers) > 1 {
		for _, a := range answers {
			t.Errorf("line %d: %s\n%ssays\n%s", s.line, s.text(), who[a], a)
		}
	}
	return answers[0]
}

func heading(s *step) string { return "$ " + s.text() + "\n" }

// againstRecord holds Gregor's scripts on Gregor against what was recorded.
func againstRecord(t *testing.T, ctx context.Context, tr *transcript, at *place) {
	b, err := os.ReadFile(tr.record)
	if os.IsNotExist(err) {
		t.Skip("nothing was recorded: see the package's documentation")
	}
	if err != nil {
		t.Fatal(err)
	}
	p := *at
	results, err := p.play(ctx, tr, func(s *step) bool { return s.slow })
	if err != nil {
		t.Fatal(err)
	}
	want := string(b)
	for i, s := range tr.steps {
		if s.slow {
			continue
		}
		if s.ownBroker && strings.HasPrefix(want, heading(s)) { // it shows what this broker is able to, which grows
			next := strings.Index(want, "\n\n$ ")
			if next < 0 {
				return
			}
			want = want[next+2:]
			continue
		}
		got := heading(s) + tr.shown(s, *results[i], &p) + "\n"
		if strings.HasPrefix(want, got) {
			want = want[len(got):]
			continue
		}
		next := strings.Index(want[min(1, len(want)):], "\n\n$ ")
		if next < 0 {
			next = len(want) - 1
		}
		t.Fatalf("line %d: got\n%s\nrecorded\n%s", s.line, got, want[:min(next+3, len(want))])
	}
	if want != "" {
		t.Errorf("recorded beyond the transcript: %s", want)
	}
}

func TestWordsAreSplitAsInAShell(t *testing.T) {
	for in, want := range map[string][]string{
		`a  b `:              {"a", "b"},
		`a 'b c' "d \" e" f`: {"a", "b c", `d " e`, "f"},
		`a '' \' x\ y`:       {"a", "", "'", "x y"},
		`'a\b' "c\d"`:        {`a\b`, `c\d`},
	} {
		if got, err := split(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v, want %q", in, got, err, want)
		}
	}
	if _, err := split("a 'b"); err == nil {
		t.Error("an open quote was taken")
	}
}
