package storage

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/internal/vfs"
	"gregor/storage/checkpoint"
	"gregor/wire/record"
)

func keyed(offset int64, ts int64, kv ...string) []byte {
	b := record.NewBuilder()
	b.BaseOffset, b.LeaderEpoch = offset, 0
	for i := 0; i < len(kv); i += 2 {
		var v []byte
		if kv[i+1] != "" {
			v = []byte(kv[i+1])
		}
		b.Append(ts, []byte(kv[i]), v)
	}
	out, err := b.Build()
	if err != nil {
		panic(err)
	}
	return out
}

// sealedSegment appends a batch and closes its segment.
func sealedSegment(t testing.TB, l *Log, ts int64, kv ...string) {
	t.Helper()
	if _, err := l.AppendAsLeader(keyed(0, ts, kv...), 0, FromClient, time.UnixMilli(ts)); err != nil {
		t.Fatal(err)
	}
	if err := l.Roll(time.UnixMilli(ts)); err != nil {
		t.Fatal(err)
	}
	l.SetHighWatermark(l.LogEndOffset())
}

func keysOf(t testing.TB, l *Log) string {
	t.Helper()
	var s []string
	for _, r := range readRecords(t, l, false) {
		s = append(s, r.key+"="+r.value)
	}
	return strings.Join(s, " ")
}

// Tombstones stay in the cleaning that first sees them, and go once the clean part is delete.retention.ms newer.
func TestTombstonesStayForDeleteRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		o := testOptions(fs, "/d")
		o.Defaults = compactConfig()
		o.Defaults.DeleteRetentionMs = 1000
		o.Defaults.SegmentBytes = 100 // or segments would be joined, and be as new as the newest of them
		m := mustOpen(t, o)
		defer kill(m)
		l := mustCreate(t, m, "t", 0)
		w := testWasher(DefaultCleanerConfig())
		clean := func(want string) {
			t.Helper()
			if _, err := cleanNow(l, w); err != nil {
				t.Fatal(err)
			}
			if got := keysOf(t, l); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		now := func() int64 { return time.Now().UnixMilli() }
		sealedSegment(t, l, now(), "a", "1", "b", "1")
		sealedSegment(t, l, now(), "a", "")
		clean("b=1 a=")
		time.Sleep(500 * time.Millisecond)
		sealedSegment(t, l, now(), "c", "1")
		clean("b=1 a= c=1")
		time.Sleep(2 * time.Second)
		sealedSegment(t, l, now(), "d", "1")
		clean("b=1 a= c=1 d=1") // the newest clean segment is not a second newer yet
		sealedSegment(t, l, now(), "e", "1")
		clean("b=1 c=1 d=1 e=1")
	})
}

// The active segment, what is not replicated, what is too young: none of it is cleaned; what has waited too long is, at any ratio.
func TestWhatMayBeCleaned(t *testing.T) {
	o := testOptions(vfs.NewMem(), "/d")
	o.Defaults = compactConfig()
	m := mustOpen(t, o)
	defer kill(m)
	l := mustCreate(t, m, "t", 0)
	for i := range int64(4) {
		sealedSegment(t, l, testTime+1000*i, "k", "v")
	}
	mustAppend(t, l, keyed(0, testTime, "k", "active"))
	l.SetHighWatermark(5)
	look := func(change func(*Config)) cleanable {
		t.Helper()
		cfg := compactConfig()
		if change != nil {
			change(&cfg)
		}
		m.UpdateConfig("t", cfg)
		c, err := l.cleanable(time.UnixMilli(testTime + 4000))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := look(nil); c.dirty != 0 || c.end != 4 || c.ratio() != 1 || !c.due() {
		t.Errorf("%+v", c)
	}
	if c := look(func(c *Config) { c.MinCompactionLagMs = 2500 }); c.end != 2 {
		t.Errorf("a segment with records younger than min.compaction.lag.ms would be cleaned: %+v", c)
	}
	if c := look(func(c *Config) { c.MinCleanableDirtyRatio = 1 }); c.due() {
		t.Error("due although the ratio is not exceeded")
	}
	if c := look(func(c *Config) { c.MinCleanableDirtyRatio, c.MaxCompactionLagMs = 1, 3500 }); !c.due() || c.late != 500 {
		t.Errorf("not due although the first record is 500 ms past max.compaction.lag.ms: %+v", c)
	}
	l.hw.Store(2)
	if c := look(nil); c.end != 2 {
		t.Errorf("the high watermark is 2, cleaned would be up to %d", c.end)
	}
	l.hw.Store(5)
	l.cleaned.Store(99)
	if c := look(nil); c.dirty != 0 {
		t.Errorf("a checkpoint past the log's end: begins at %d", c.dirty)
	}
}

// Offsets too far apart for one index make several segments.
func TestOffsetsFarApart(t *testing.T) {
	o := testOptions(vfs.NewMem(), "/d")
	o.Defaults = compactConfig()
	m := mustOpen(t, o)
	defer func() { kill(m) }()
	l := mustCreate(t, m, "t", 0)
	for i := range int64(6) {
		if _, err := l.AppendAsFollower(keyed(i*(math.MaxInt32/2+10), testTime, "k"+string(rune('0'+i%4)), "v"+string(rune('0'+i)))); err != nil {
			t.Fatal(err)
		}
		if err := l.Roll(time.UnixMilli(testTime)); err != nil {
			t.Fatal(err)
		}
	}
	l.SetHighWatermark(l.LogEndOffset())
	if _, err := cleanNow(l, testWasher(DefaultCleanerConfig())); err != nil {
		t.Fatal(err)
	}
	const want = "k2=v2 k3=v3 k0=v4 k1=v5"
	for range 2 {
		if got := keysOf(t, l); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		segs := l.segments()
		for i := range len(segs) - 2 {
			if segs[i+1].base-segs[i].base < 2 {
				t.Errorf("segments at %d and %d", segs[i].base, segs[i+1].base)
			}
		}
		kill(m)
		m = mustOpen(t, o)
		l, _ = m.Get(l.tp)
	}
}

// A log that was truncated, deleted or is no longer to be compacted while it was cleaned keeps what it has.
func TestACleaningIsGivenUpWhenTheLogChanges(t *testing.T) {
	for name, change := range map[string]func(m *Manager, l *Log) error{
		"truncated": func(m *Manager, l *Log) error { return l.TruncateTo(3) },
		"emptied":   func(m *Manager, l *Log) error { return l.TruncateFullyAndStartAt(100) },
		"deleted":   func(m *Manager, l *Log) error { return m.Delete(l.tp) },
		"deletes":   func(m *Manager, l *Log) error { m.UpdateConfig("t", DefaultConfig()); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(vfs.NewMem(), "/d")
			o.Defaults = compactConfig()
			m := mustOpen(t, o)
			defer kill(m)
			l := mustCreate(t, m, "t", 0)
			for range 4 {
				sealedSegment(t, l, testTime, "a", "1", "b", "1")
			}
			before := l.segments()
			w := testWasher(DefaultCleanerConfig())
			reads := 0
			w.throttle = func(int) {
				if reads++; reads == 6 { // in the middle of the second pass
					if err := change(m, l); err != nil {
						t.Error(err)
					}
				}
			}
			if _, err := cleanNow(l, w); !errors.Is(err, errCleaningAborted) {
				t.Errorf("%v, want that the cleaning was aborted", err)
			}
			if name == "truncated" {
				if got := keysOf(t, l); got != "a=1 b=1" || l.LogEndOffset() != 2 && l.LogEndOffset() != 3 {
					t.Errorf("%q up to %d", got, l.LogEndOffset())
				}
			}
			if name == "deletes" && l.segments()[0] != before[0] {
				t.Error("segments were replaced")
			}
		})
	}
}

// One log that cannot be cleaned is set aside with a line in the log; others are cleaned.
func TestOneFailingLogIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		o := testOptions(fs, "/d")
		o.Defaults = compactConfig()
		o.Defaults.Compact = false // until the damage is done
		o.Cleaner = DefaultCleanerConfig()
		var lines bytes.Buffer
		log := logrus.New()
		log.SetOutput(&lines)
		o.CleanerLog = log
		m := mustOpen(t, o)
		bad, good := mustCreate(t, m, "bad", 0), mustCreate(t, m, "good", 0)
		for _, l := range []*Log{bad, good} {
			for range 3 {
				sealedSegment(t, l, time.Now().UnixMilli(), "a", "1", "b", "1")
			}
		}
		f, err := bad.segments()[1].openLog()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.writeAt([]byte("damage"), record.HeaderSize+2); err != nil {
			t.Fatal(err)
		}
		f.Release()
		m.UpdateConfig("bad", compactConfig())
		m.UpdateConfig("good", compactConfig())
		time.Sleep(50 * time.Second) // three rounds: one may meet only the bad log
		synctest.Wait()
		if got := keysOf(t, good); got != "a=1 b=1" {
			t.Errorf("the good log has %q", got)
		}
		st := m.CleanerStats()
		if st.UncleanableLogs["/d"] != 1 || st.UncleanableDirBytes["/d"] == 0 || st.RecopyPercent == 0 || st.Bytes == 0 {
			t.Errorf("%+v", st)
		}
		cp, err := checkpoint.ReadOffsets(fs, "/d/"+checkpoint.CleanerFile)
		if err != nil {
			t.Error(err)
		}
		// The segment before the damaged one may have been cleaned.
		cp = slices.DeleteFunc(cp, func(o checkpoint.Offset) bool { return o.Topic == "bad" && o.Offset <= 2 })
		if len(cp) != 1 || cp[0] != (checkpoint.Offset{Topic: "good", Offset: 6}) {
			t.Errorf("checkpoint: %v", cp)
		}
		if err := m.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := lines.String(); strings.Count(got, "uncleanable") != 1 || !strings.Contains(got, "bad-0") {
			t.Errorf("the log says %s", got)
		}
	})
}

func TestTheThrottleKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var th throttle
		th.limit(1000)
		begun := time.Now()
		for range 100 {
			th.wait(100, nil)
		}
		if took := time.Since(begun); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("10,000 bytes at 1,000 a second took %v", took)
		}
		th.limit(math.MaxFloat64)
		begun = time.Now()
		th.wait(1<<30, nil)
		if took := time.Since(begun); took > 0 {
			t.Errorf("without a limit: %v", took)
		}
	})
}

// Appends and reads go on while segments are swapped.
func TestCleaningBesideAppendsAndReads(t *testing.T) {
	cfg := compactConfig()
	o := testOptions(vfs.OS, t.TempDir())
	o.Defaults = cfg
	o.MaxOpenFiles = 10
	o.Cleaner = DefaultCleanerConfig()
	o.Cleaner.Threads, o.Cleaner.Backoff = 2, time.Millisecond
	m := mustOpen(t, o)
	defer kill(m)
	model := newCleanModel(t, mustCreate(t, m, "t", 0), 3)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					last := int64(-1)
					for _, r := range readRecords(t, model.l, true) {
						if r.offset <= last {
							t.Errorf("offset %d after %d", r.offset, last)
						}
						last = r.offset
					}
				}
			}
		})
	}
	for range 1500 {
		model.step()
	}
	close(stop)
	wg.Wait()
	m.cleaner.close()
	if m.cleaner.throttle.total.Load() == 0 || model.l.uncleanable.Load() {
		t.Errorf("cleaned up to %d", model.l.cleaned.Load())
	}
	if _, err := cleanNow(model.l, testWasher(o.Cleaner)); err != nil { // the last cleaning may have been given up half-way
		t.Fatal(err)
	}
	model.check(model.l.cleaned.Load(), true)
}

// BenchmarkClean cleans a log of 100-byte records of which each key was written four times.
func BenchmarkClean(b *testing.B) {
	const records = 400_000
	cfg := compactConfig()
	cfg.SegmentBytes, cfg.IndexIntervalBytes = 16<<20, 4096
	r := rand.New(rand.NewPCG(1, 1))
	value := bytes.Repeat([]byte("v"), 100)
	b.SetBytes(records * 120)
	for b.Loop() {
		b.StopTimer()
		m, l := openTemp(b, cfg)
		for n := 0; n < records; {
			batch := record.NewBuilder()
			for range 120 {
				batch.Append(testTime, []byte("key-"+strconv.Itoa(r.IntN(records/4))), value)
				n++
			}
			out, err := batch.Build()
			if err != nil {
				b.Fatal(err)
			}
			mustAppend(b, l, out)
		}
		l.SetHighWatermark(l.LogEndOffset())
		w := testWasher(DefaultCleanerConfig())
		b.StartTimer()
		if _, err := cleanNow(l, w); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		kill(m)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*records/b.Elapsed().Seconds(), "records/s")
}
