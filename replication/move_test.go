package replication

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"

	"gregor/storage"
)

// mover is a replica manager with two log directories.
type mover struct {
	*Manager
	logs     *storage.Manager
	dirs     []string
	throttle *Throttle
	stop     func()
}

func newMover(t *testing.T, dirs ...string) *mover {
	t.Helper()
	if dirs == nil {
		dirs = []string{t.TempDir(), t.TempDir()}
	}
	log, _ := test.NewNullLogger()
	cfg := storage.DefaultConfig()
	cfg.SegmentBytes = 10_000
	logs, err := storage.Open(context.Background(), storage.Options{Dirs: dirs, BrokerID: 1, Defaults: cfg, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	mv := &mover{logs: logs, dirs: dirs, throttle: NewThrottle(1, time.Hour)}
	mv.Manager = New(Options{BrokerID: 1, Logs: logs, TopicConfig: func(string) storage.Config { return cfg }, Log: log,
		Moving: Moving{Logs: logs, Threads: 2, Throttle: mv.throttle}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = mv.Run(ctx); close(ended) }()
	mv.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		logs.Close(context.Background())
	})
	t.Cleanup(mv.stop)
	return mv
}

func (mv *mover) alter(tp storage.TopicPartition, dir string) error {
	moves := []Move{{TopicPartition: tp, Dir: dir}}
	mv.AlterLogDirs(moves)
	return moves[0].Err
}

// moved waits until the partition's log lies in the directory.
func (mv *mover) moved(t *testing.T, p *Partition, dir string) {
	t.Helper()
	var set WatchSet
	w := &Watch{Set: &set}
	w.Attach(p)
	defer w.Detach()
	for p.Log().Dir() != dir {
		woken := make(chan struct{})
		if set.Take(nil); p.Log().Dir() != dir && set.Park(resume(func() { close(woken) })) {
			<-woken
		}
	}
}

func (mv *mover) other(p *Partition) string {
	for _, d := range mv.dirs {
		if d != p.Log().Dir() {
			return d
		}
	}
	return ""
}

// contents are the segments of the partition's log, one after the other.
func contents(t *testing.T, p *Partition) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.Log().Dir(), p.tp.String(), "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	var all []byte
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

var alone = State{Leader: 1, ISR: []int32{1}, Replicas: []int32{1}, IsNew: true}

func TestReplicaMovesWhileItIsWritten(t *testing.T) {
	mv := newMover(t)
	p := mv.decide(t, alone)
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range 2000 {
				if _, err := p.Append(one(t), 1, storage.FromClient, time.Now(), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		to := mv.other(p)
		if err := mv.alter(p.tp, to); err != nil {
			t.Fatal(err)
		}
		mv.moved(t, p, to)
	}
	writers.Wait()
	before := contents(t, p)
	to := mv.other(p)
	if err := mv.alter(p.tp, to); err != nil {
		t.Fatal(err)
	}
	mv.moved(t, p, to)
	l := p.Log()
	if l.LogEndOffset() != 4000 || l.HighWatermark() != 4000 || !bytes.Equal(before, contents(t, p)) {
		t.Errorf("after the moves the log ends at %d, high watermark %d, same bytes: %v", l.LogEndOffset(), l.HighWatermark(), bytes.Equal(before, contents(t, p)))
	}
}

func TestMoveGoesOnAfterARestart(t *testing.T) {
	mv := newMover(t)
	p := mv.decide(t, alone)
	for range 500 {
		if _, err := p.Append(one(t), 1, storage.FromClient, time.Now(), nil); err != nil {
			t.Fatal(err)
		}
	}
	mv.throttle.SetRate(0)
	mv.throttle.Record(1, time.Now()) // nothing is copied now
	to := mv.other(p)
	if err := mv.alter(p.tp, to); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(to, "*-future"))
	if len(names) != 1 || !strings.HasPrefix(filepath.Base(names[0]), p.tp.String()+".") {
		t.Fatal("no future directory:", names)
	}
	mv.stop()
	mv = newMover(t, mv.dirs...)
	p = mv.decide(t, alone)
	mv.moved(t, p, to)
	if end := p.Log().LogEndOffset(); end != 500 {
		t.Errorf("the log ends at %d", end)
	}
}

func TestMovesAreRefusedAndTakenBack(t *testing.T) {
	mv := newMover(t)
	p := mv.decide(t, alone)
	from, to := p.Log().Dir(), mv.other(p)
	if err := mv.alter(p.tp, "/nowhere"); !errors.Is(err, storage.ErrUnknownDir) {
		t.Error(err)
	}
	long := storage.TopicPartition{Topic: strings.Repeat("x", 240)}
	if err := mv.alter(long, to); !errors.Is(err, storage.ErrNameTooLong) {
		t.Error(err)
	}
	absent := storage.TopicPartition{Topic: "absent"}
	for range 2 { // what is preferred is where it will be
		if err := mv.alter(absent, to); !errors.Is(err, ErrUnknownPartition) {
			t.Error(err)
		}
	}
	if l, err := mv.logs.GetOrCreate(absent, storage.DefaultConfig(), true); err != nil || l.Dir() != to {
		t.Error(l.Dir(), err)
	}
	mv.throttle.SetRate(0)
	mv.throttle.Record(1, time.Now())
	if err := mv.alter(p.tp, to); err != nil {
		t.Fatal(err)
	}
	if _, ok := mv.logs.Future(p.tp); !ok {
		t.Error("nothing is on its way")
	}
	if err := mv.alter(p.tp, from); err != nil {
		t.Fatal(err)
	}
	if _, ok := mv.logs.Future(p.tp); ok || p.Log().Dir() != from {
		t.Error("the move was not taken back")
	}
}
