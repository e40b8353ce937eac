package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gregor/internal/vfs"
	"gregor/storage/checkpoint"
)

func smallSegments() Config {
	cfg := DefaultConfig()
	cfg.SegmentBytes = 4096
	cfg.IndexIntervalBytes = 256
	return cfg
}

// TestPowerCutLeavesAValidPrefix writes, flushes now and then, cuts the power, and opens what is left: everything below the recovery
// point is there, what lies past it is a prefix of what was written, and the log goes on from there.
func TestPowerCutLeavesAValidPrefix(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			mem := vfs.NewMem()
			o := testOptions(mem, "/a")
			o.Defaults = smallSegments()
			m := mustOpen(t, o)
			var written []int64 // last offsets of the batches
			for life := range 4 {
				l := mustCreate(t, m, "t", 0)
				for range rng.IntN(60) {
					n := 1 + rng.IntN(4)
					info := mustAppend(t, l, idempotentOrPlain(rng, l, n))
					written = append(written, info.LastOffset)
					if rng.IntN(15) == 0 {
						if err := l.Flush(); err != nil {
							t.Fatal(err)
						}
					}
					if rng.IntN(30) == 0 {
						if err := m.checkpointRecoveryPoints(m.dirs[0]); err != nil {
							t.Fatal(err)
						}
					}
				}
				durable := l.RecoveryPoint()
				crashed := mem.CrashClone()
				kill(m)
				mem = crashed
				o.FS = mem
				m = mustOpen(t, o)
				l, ok := m.Get(TopicPartition{"t", 0})
				if !ok {
					if durable > 0 {
						t.Fatalf("life %d: the log is gone, recovery point was %d", life, durable)
					}
					written = nil
					continue
				}
				leo := l.LogEndOffset()
				if leo < durable {
					t.Fatalf("life %d: LEO %d after the power cut, %d was flushed", life, leo, durable)
				}
				if leo > 0 && !slices.Contains(written, leo-1) {
					t.Fatalf("life %d: LEO %d is no end of a batch", life, leo)
				}
				wantOffsets(t, readAll(t, l, 0, leo), 0, leo)
				written = written[:slices.Index(append(written, leo-1), leo-1)+min(1, int(leo))]
			}
			kill(m)
		})
	}
}

func idempotentOrPlain(rng *rand.Rand, l *Log, n int) []byte {
	if rng.IntN(3) > 0 {
		return batchOf(n, 10+rng.IntN(300), testTime+l.LogEndOffset())
	}
	return idempotent(int64(1000+rng.IntN(1<<30)), 0, 0, n, time.Now().UnixMilli())
}

func TestRecoveryReadsOnlyWhatLiesPastTheRecoveryPoint(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(vfs.OS, dir)
	o.Defaults.IndexIntervalBytes = 512
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	for i := range 200 {
		mustAppend(t, l, batchOf(1, 1000, testTime+int64(i)))
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := m.checkpointRecoveryPoints(m.dirs[0]); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		mustAppend(t, l, batchOf(1, 1000, testTime+int64(200+i)))
	}
	before := files(t, dir)
	kill(m)

	var read atomic.Int64
	o.FS = countReads{vfs.OS, &read}
	m = mustOpen(t, o)
	l, _ = m.Get(TopicPartition{"t", 0})
	if l.LogEndOffset() != 220 {
		t.Fatalf("LEO %d", l.LogEndOffset())
	}
	if n := read.Load(); n > 60_000 {
		t.Errorf("recovery read %d bytes of the log; some 22,000 lie past the recovery point", n)
	}
	mustClose(t, m)
	// The indexes are as if nothing had happened.
	m2dir := t.TempDir()
	o.FS, o.Dirs = vfs.OS, []string{m2dir}
	m = mustOpen(t, o)
	l = mustCreate(t, m, "t", 0)
	for i := range 220 {
		mustAppend(t, l, batchOf(1, 1000, testTime+int64(i)))
	}
	mustClose(t, m)
	a, b := files(t, dir), files(t, m2dir)
	for _, suffix := range []string{suffixLog, suffixIndex, suffixTimeIndex} {
		name := "t-0/" + offsetName(0) + suffix
		if !slices.Equal(a[name], b[name]) {
			t.Errorf("%s differs from that of a log without a crash", name)
		}
	}
	_ = before
}

type countReads struct {
	vfs.FS
	n *atomic.Int64
}

func (c countReads) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err == nil && strings.HasSuffix(name, suffixLog) {
		f = countingFile{f, c.n}
	}
	return f, err
}

type countingFile struct {
	vfs.File
	n *atomic.Int64
}

func (f countingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	f.n.Add(int64(n))
	return n, err
}

func TestATornTailIsCutOffAndWritingGoesOn(t *testing.T) {
	for _, tail := range []struct {
		name string
		do   func(b []byte) []byte
	}{
		{"half a batch", func(b []byte) []byte { return b[:len(b)-40] }},
		{"garbage after the end", func(b []byte) []byte { return append(b, "garbage garbage garbage garbage garbage"...) }},
		{"zeros after the end", func(b []byte) []byte { return append(b, make([]byte, 5000)...) }},
		{"a flipped bit in the last batch", func(b []byte) []byte { b[len(b)-3] ^= 4; return b }},
		{"a length that lies", func(b []byte) []byte {
			return append(b, 0, 0, 0, 0, 0, 0, 0, 10, 0x7f, 0xff, 0xff, 0xf0, 0, 0, 0, 0, 2, 1, 2, 3)
		}},
	} {
		t.Run(tail.name, func(t *testing.T) {
			dir := t.TempDir()
			o := testOptions(vfs.OS, dir)
			m := mustOpen(t, o)
			l := mustCreate(t, m, "t", 0)
			for i := range 10 {
				mustAppend(t, l, batchOf(2, 100, testTime+int64(i)))
			}
			kill(m)
			name := filepath.Join(dir, "t-0", offsetName(0)+suffixLog)
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, tail.do(b), 0o644); err != nil {
				t.Fatal(err)
			}
			m = mustOpen(t, o)
			l, _ = m.Get(TopicPartition{"t", 0})
			leo := l.LogEndOffset()
			if leo != 18 && leo != 20 {
				t.Fatalf("LEO %d", leo)
			}
			wantOffsets(t, readAll(t, l, 0, leo), 0, leo)
			mustAppend(t, l, batchOf(3, 100, testTime))
			mustClose(t, m)
			m = mustOpen(t, o)
			l, _ = m.Get(TopicPartition{"t", 0})
			wantOffsets(t, readAll(t, l, 0, leo+3), 0, leo+3)
			kill(m)
		})
	}
}

func TestDamageInTheMiddleDeletesWhatFollows(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(vfs.OS, dir)
	o.Defaults = smallSegments()
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	for i := range 60 {
		mustAppend(t, l, batchOf(1, 300, testTime+int64(i)))
	}
	base := l.segments()[2].base
	kill(m)
	os.Remove(filepath.Join(dir, checkpoint.RecoveryPointFile)) // the flusher may have been quick
	name := filepath.Join(dir, "t-0", offsetName(base)+suffixLog)
	b, _ := os.ReadFile(name)
	b[500] ^= 1
	os.WriteFile(name, b, 0o644)
	m = mustOpen(t, o)
	defer kill(m)
	l, _ = m.Get(TopicPartition{"t", 0})
	leo := l.LogEndOffset()
	if leo != base+1 {
		t.Fatalf("LEO %d, the damage is in the second batch after %d", leo, base)
	}
	if l.Segments() != 3 {
		t.Fatalf("%d segments", l.Segments())
	}
	wantOffsets(t, readAll(t, l, 0, leo), 0, leo)
	mustAppend(t, l, batchOf(1, 300, testTime))
}

func TestIndexesAreRebuiltWhenMissingOrDamaged(t *testing.T) {
	for _, damage := range []struct {
		name string
		do   func(name string)
	}{
		{"missing", func(name string) { os.Remove(name) }},
		{"empty", func(name string) { os.Truncate(name, 0) }},
		{"garbage", func(name string) {
			os.WriteFile(name, []byte("\xff\xff\xff\xf0garbagegarbagegarbage\xff\xff\xff\xff\xff\xff\xff\xff"), 0o644)
		}},
		{"preallocated", func(name string) { os.Truncate(name, 10<<20/24*24) }},
	} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, clean %v", damage.name, clean), func(t *testing.T) {
				dir := t.TempDir()
				o := testOptions(vfs.OS, dir)
				o.Defaults = smallSegments()
				m := mustOpen(t, o)
				l := mustCreate(t, m, "t", 0)
				for i := range 60 {
					mustAppend(t, l, batchOf(1, 300, testTime+int64(i)))
				}
				mustClose(t, m)
				want := files(t, dir)
				if !clean {
					os.Remove(filepath.Join(dir, checkpoint.CleanShutdownFile))
				}
				for name := range want {
					if ext := filepath.Ext(name); ext == suffixIndex || ext == suffixTimeIndex {
						damage.do(filepath.Join(dir, name))
					}
				}
				m = mustOpen(t, o)
				defer func() { kill(m) }()
				l, _ = m.Get(TopicPartition{"t", 0})
				wantOffsets(t, readAll(t, l, 0, 60), 0, 60)
				for off := range int64(60) {
					sl, err := l.Read(off, 1, true, 60)
					if err != nil || sl.Length == 0 {
						t.Fatalf("read %d: %v", off, err)
					}
					sl.Release()
				}
				mustAppend(t, l, batchOf(1, 300, testTime+60))
				mustClose(t, m)
				m = mustOpen(t, o)
				l, _ = m.Get(TopicPartition{"t", 0})
				wantOffsets(t, readAll(t, l, 0, 61), 0, 61)
			})
		}
	}
}

func TestCleanRestartChangesNothing(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(vfs.OS, dir)
	o.Defaults = smallSegments()
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	for i := range 40 {
		mustAppend(t, l, idempotent(5, 0, int32(i), 1, time.Now().UnixMilli()))
	}
	mustClose(t, m)
	want := files(t, dir)
	for range 2 {
		m = mustOpen(t, o)
		if exists(t, dir, checkpoint.CleanShutdownFile) {
			t.Fatal("the mark of the clean shutdown is still there while logs are open")
		}
		mustClose(t, m)
		got := files(t, dir)
		for name := range want {
			if !slices.Equal(want[name], got[name]) {
				t.Errorf("%s changed", name)
			}
		}
		if len(want) != len(got) {
			t.Errorf("%d files, want %d", len(got), len(want))
		}
	}
}

func TestARetryIsRecognisedAfterARestart(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("clean ", clean), func(t *testing.T) {
			o := testOptions(vfs.OS, t.TempDir())
			m := mustOpen(t, o)
			l := mustCreate(t, m, "t", 0)
			for i := range 8 {
				mustAppend(t, l, idempotent(5, 0, int32(i*2), 2, time.Now().UnixMilli()))
			}
			if clean {
				mustClose(t, m)
			} else {
				kill(m)
			}
			m = mustOpen(t, o)
			defer kill(m)
			l, _ = m.Get(TopicPartition{"t", 0})
			for i := 3; i < 8; i++ {
				info := mustAppend(t, l, idempotent(5, 0, int32(i*2), 2, time.Now().UnixMilli()))
				if !info.Duplicate || info.FirstOffset != int64(i*2) {
					t.Errorf("retry of batch %d: %+v", i, info)
				}
			}
			if info := mustAppend(t, l, idempotent(5, 0, 16, 2, time.Now().UnixMilli())); info.Duplicate || info.FirstOffset != 16 {
				t.Errorf("next batch: %+v", info)
			}
		})
	}
}

// TestAFailingDirectoryGoesOfflineAlone fails every write of one directory with ENOSPC.
func TestAFailingDirectoryGoesOfflineAlone(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	var full atomic.Bool
	fs := vfs.NewFault(vfs.OS, func(op vfs.Op, name string) error {
		if full.Load() && op == vfs.OpWrite && strings.HasPrefix(name, a) {
			return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
		}
		return nil
	})
	failed := make(chan string, 4)
	o := testOptions(fs, a, b)
	o.OnDirFailure = func(dir string, err error) { failed <- dir }
	m := mustOpen(t, o)
	defer kill(m)
	var logs []*Log
	for p := range int32(4) {
		l := mustCreate(t, m, "t", p)
		mustAppend(t, l, batchOf(1, 10, testTime))
		logs = append(logs, l)
	}
	full.Store(true)
	offline := 0
	for _, l := range logs {
		_, err := l.AppendAsLeader(batchOf(1, 10, testTime), 0, FromClient, time.Now())
		var off *DirOfflineError
		switch {
		case l.Dir() == a && errors.As(err, &off) && errors.Is(err, syscall.ENOSPC):
			offline++
		case l.Dir() == b && err == nil:
		default:
			t.Errorf("%v in %s: %v", l.Partition(), l.Dir(), err)
		}
	}
	if offline != 2 {
		t.Fatalf("%d logs offline, want 2", offline)
	}
	if d := <-failed; d != a {
		t.Fatalf("reported %s", d)
	}
	if st := m.Dirs(); st[0].Online || !st[1].Online {
		t.Fatalf("%+v", st)
	}
	if _, err := m.GetOrCreate(TopicPartition{"u", 0}, DefaultConfig(), false); err == nil {
		t.Error("a log was made that may lie in the offline directory")
	}
	if l, err := m.GetOrCreate(TopicPartition{"u", 0}, DefaultConfig(), true); err != nil || l.Dir() != b {
		t.Errorf("a new log: %v", err)
	}
}

func TestOpenRefusesADirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	m := mustOpen(t, testOptions(vfs.OS, dir))
	if _, err := Open(context.Background(), testOptions(vfs.OS, dir)); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second Open: %v", err)
	}
	kill(m)
	kill(mustOpen(t, testOptions(vfs.OS, dir)))
}

func TestOpenRefusesAnotherBrokersDirectories(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for i, dir := range []string{a, b} {
		m := mustOpen(t, testOptions(vfs.OS, dir))
		if err := m.WriteBrokerMetadata(BrokerMetadata{BrokerID: int32(i), ClusterID: "c"}); err != nil {
			t.Fatal(err)
		}
		mustClose(t, m)
	}
	var me *MetadataError
	if _, err := Open(context.Background(), testOptions(vfs.OS, a, b)); !errors.As(err, &me) {
		t.Fatalf("directories of two brokers: %v", err)
	}
	o := testOptions(vfs.OS, a)
	o.BrokerID = 9
	if _, err := Open(context.Background(), o); !errors.As(err, &me) {
		t.Fatalf("another broker.id: %v", err)
	}
	o.BrokerID = 0
	m := mustOpen(t, o)
	if md := m.BrokerMetadata(); md != (BrokerMetadata{0, "c"}) {
		t.Fatalf("%+v", md)
	}
	kill(m)
}

// Segments that a truncation removed stay away after a power cut, once something was flushed in their place.
func TestTruncatedSegmentsDoNotComeBack(t *testing.T) {
	mem := vfs.NewMem()
	o := testOptions(mem, "/a")
	o.Defaults.SegmentBytes = 2000
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	for l.Segments() < 3 {
		mustAppend(t, l, batchOf(1, 300, testTime))
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	second := l.segments()[1].base
	if err := l.TruncateTo(second - 2); err != nil {
		t.Fatal(err)
	}
	// Smaller records: the first segment reaches past where the second one began.
	for l.LogEndOffset() < second+3 {
		mustAppend(t, l, batchOf(1, 10, testTime))
	}
	if l.Segments() != 1 {
		t.Fatal(l.Segments(), "segments")
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	end := l.LogEndOffset()
	o.FS = mem.CrashClone()
	kill(m)
	m = mustOpen(t, o)
	defer mustClose(t, m)
	l = mustCreate(t, m, "t", 0)
	if got := l.LogEndOffset(); got != end || l.Segments() != 1 {
		t.Errorf("the log ends at %d in %d segments, not at %d in one", got, l.Segments(), end)
	}
}
