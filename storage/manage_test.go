package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"gregor/internal/vfs"
	"gregor/storage/checkpoint"
)

func fill(t testing.TB, l *Log, n int, from int64) {
	t.Helper()
	for i := range n {
		mustAppend(t, l, batchOf(1, 300, from+int64(i)*1000))
	}
	l.SetHighWatermark(l.LogEndOffset())
}

func TestRetentionByTimeDeletesOldSegmentsAndRollsTheLast(t *testing.T) {
	cfg := smallSegments()
	cfg.RetentionMs = 30_000
	_, l := openTemp(t, cfg)
	fill(t, l, 60, testTime)
	end := l.LogEndOffset()
	segs := l.segments()
	if n, err := l.CleanUp(time.UnixMilli(testTime + 60_000)); err != nil || n == 0 {
		t.Fatalf("%d, %v", n, err)
	}
	start := l.LogStartOffset()
	if start == 0 || start != l.segments()[0].base {
		t.Fatalf("log start %d, first segment %d", start, l.segments()[0].base)
	}
	for _, s := range segs {
		ts, _ := s.largestTimestamp()
		if old := testTime+60_000-ts > 30_000; old == (s.base >= start) {
			t.Errorf("segment %d with timestamp %d: log start %d", s.base, ts, start)
		}
	}
	var out *OffsetOutOfRangeError
	if _, err := l.Read(start-1, 1, true, end); !errors.As(err, &out) || out.LogStart != start {
		t.Fatalf("%v", err)
	}
	wantOffsets(t, readAll(t, l, start, end), start, end)
	if _, err := l.CleanUp(time.UnixMilli(testTime + 1e9)); err != nil {
		t.Fatal(err)
	}
	if l.LogStartOffset() != end || l.LogEndOffset() != end || l.Segments() != 1 || l.Size() != 0 {
		t.Fatalf("after everything is old: start %d, end %d, %d segments", l.LogStartOffset(), l.LogEndOffset(), l.Segments())
	}
	mustAppend(t, l, batchOf(1, 10, testTime))
}

func TestRetentionStopsAtTheHighWatermark(t *testing.T) {
	cfg := smallSegments()
	cfg.RetentionMs = 1
	_, l := openTemp(t, cfg)
	fill(t, l, 60, testTime)
	hw := l.segments()[2].base + 1
	l.hw.Store(hw)
	if _, err := l.CleanUp(time.UnixMilli(testTime + 1e9)); err != nil {
		t.Fatal(err)
	}
	if l.LogStartOffset() != l.segments()[0].base || l.LogStartOffset() > hw || l.Segments() < 2 {
		t.Fatalf("log start %d, high watermark %d", l.LogStartOffset(), hw)
	}
}

func TestRetentionBySize(t *testing.T) {
	cfg := smallSegments()
	cfg.RetentionBytes = 10_000
	_, l := openTemp(t, cfg)
	fill(t, l, 60, testTime)
	before := l.Size()
	if _, err := l.CleanUp(time.UnixMilli(testTime)); err != nil {
		t.Fatal(err)
	}
	first := int64(l.segments()[0].size.Load())
	if l.Size() < 10_000 || l.Size()-first >= 10_000 || l.Size() >= before {
		t.Fatalf("size %d, first segment %d", l.Size(), first)
	}
}

func TestDeleteRecords(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(vfs.OS, dir)
	o.Defaults = smallSegments()
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	fill(t, l, 60, testTime)
	var out *OffsetOutOfRangeError
	if err := l.DeleteRecords(61); !errors.As(err, &out) {
		t.Fatalf("past the high watermark: %v", err)
	}
	if err := l.DeleteRecords(25); err != nil || l.LogStartOffset() != 25 {
		t.Fatal(err)
	}
	if err := l.DeleteRecords(10); err != nil || l.LogStartOffset() != 25 {
		t.Fatal("the log start went back")
	}
	if n, err := l.CleanUp(time.UnixMilli(testTime)); err != nil || n == 0 || l.LogStartOffset() != 25 {
		t.Fatalf("%d segments, %v", n, err)
	}
	mustClose(t, m)
	m = mustOpen(t, o)
	defer kill(m)
	l, _ = m.Get(TopicPartition{"t", 0})
	if l.LogStartOffset() != 25 {
		t.Fatalf("log start %d after a restart", l.LogStartOffset())
	}
	wantOffsets(t, readAll(t, l, 25, 60), 25, 60)
}

func TestTruncation(t *testing.T) {
	for _, to := range []int64{0, 1, 7, 30, 59, 60, 100} {
		t.Run(fmt.Sprint(to), func(t *testing.T) {
			dir := t.TempDir()
			o := testOptions(vfs.OS, dir)
			o.Defaults = smallSegments()
			m := mustOpen(t, o)
			l := mustCreate(t, m, "t", 0)
			for i := range 30 {
				mustAppend(t, l, batchOf(2, 300, testTime+int64(i)*1000))
			}
			if err := l.TruncateTo(to); err != nil {
				t.Fatal(err)
			}
			want := min(to, 60) / 2 * 2 // batches go whole
			if got := l.LogEndOffset(); got != to && to < 60 || to >= 60 && got != 60 {
				t.Fatalf("LEO %d", got)
			}
			wantOffsets(t, readAll(t, l, 0, want), 0, want)
			if to%2 == 0 && to < 60 {
				for i := range 10 {
					mustAppend(t, l, batchOf(2, 300, testTime+int64(i)*1000))
				}
				want += 20
			}
			for _, clean := range []bool{false, true} {
				if clean {
					mustClose(t, m)
				} else {
					kill(m)
				}
				m = mustOpen(t, o)
				l, _ = m.Get(TopicPartition{"t", 0})
				wantOffsets(t, readAll(t, l, 0, want), 0, want)
			}
			kill(m)
		})
	}
}

func TestTruncateFullyRemembersWhereTheLogStarts(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(vfs.OS, dir)
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	fill(t, l, 10, testTime)
	if err := l.TruncateFullyAndStartAt(500); err != nil {
		t.Fatal(err)
	}
	kill(m)
	m = mustOpen(t, o)
	defer kill(m)
	l, _ = m.Get(TopicPartition{"t", 0})
	if l.LogStartOffset() != 500 || l.LogEndOffset() != 500 {
		t.Fatalf("%d to %d", l.LogStartOffset(), l.LogEndOffset())
	}
}

func TestFollowerAppendsMayLeaveGapsButNotGoBack(t *testing.T) {
	_, l := openTemp(t, smallSegments())
	at := func(offset int64, n int) []byte {
		b := slices.Clone(batchOf(n, 100, testTime))
		b[7], b[6] = byte(offset), byte(offset>>8)
		return b
	}
	if _, err := l.AppendAsFollower(append(at(0, 3), at(3, 2)...)); err != nil {
		t.Fatal(err)
	}
	info, err := l.AppendAsFollower(append(at(10, 2), at(20, 1)[:30]...))
	if err != nil || info.FirstOffset != 10 || l.LogEndOffset() != 12 {
		t.Fatalf("%+v, %v", info, err)
	}
	var un *UnexpectedOffsetError
	if _, err := l.AppendAsFollower(at(11, 1)); !errors.As(err, &un) {
		t.Fatalf("%v", err)
	}
	var ooo *OutOfOrderError
	if _, err := l.AppendAsFollower(append(at(20, 1), at(15, 1)...)); !errors.As(err, &ooo) {
		t.Fatalf("%v", err)
	}
	for _, from := range []int64{5, 7, 10} {
		sl, err := l.Read(from, 1<<20, true, 12)
		if err != nil || sl.Length == 0 {
			t.Fatalf("read %d: %v", from, err)
		}
		sl.Release()
	}
	if got := readAll(t, l, 0, 12); !slices.Equal(got, []int64{0, 1, 2, 3, 4, 10, 11}) {
		t.Fatalf("%v", got)
	}
}

func TestSegmentRollsWhenOffsetsNoLongerFit(t *testing.T) {
	_, l := openTemp(t, DefaultConfig())
	b := batchOf(1, 10, testTime)
	if _, err := l.AppendAsFollower(slices.Clone(b)); err != nil {
		t.Fatal(err)
	}
	far := slices.Clone(b)
	far[3] = 1 // offset 2^32
	if _, err := l.AppendAsFollower(far); err != nil {
		t.Fatal(err)
	}
	if l.Segments() != 2 || l.segments()[1].base != 1<<32 {
		t.Fatalf("%d segments", l.Segments())
	}
	if got := readAll(t, l, 0, 1<<32+1); !slices.Equal(got, []int64{0, 1 << 32}) {
		t.Fatalf("%v", got)
	}
}

func TestSegmentsRollByAge(t *testing.T) {
	cfg := DefaultConfig()
	cfg.SegmentMs = 10_000
	_, l := openTemp(t, cfg)
	mustAppend(t, l, batchOf(1, 10, testTime))
	mustAppend(t, l, batchOf(1, 10, testTime+10_000))
	if l.Segments() != 1 {
		t.Fatal("rolled at exactly segment.ms")
	}
	mustAppend(t, l, batchOf(1, 10, testTime+10_001))
	if l.Segments() != 2 {
		t.Fatal("did not roll by age")
	}
}

func TestDeletedLogsGoAfterTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		o := testOptions(mem, "/d")
		m := mustOpen(t, o)
		l := mustCreate(t, m, "t", 0)
		fill(t, l, 3, testTime)
		sl, err := l.Read(0, 100, true, 3)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Delete(TopicPartition{"t", 0}); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Get(TopicPartition{"t", 0}); ok {
			t.Fatal("still there")
		}
		if _, err := l.AppendAsLeader(batchOf(1, 1, 0), 0, FromClient, time.Now()); !errors.Is(err, ErrDeleted) {
			t.Fatalf("append to a deleted log: %v", err)
		}
		if _, err := l.Read(0, 1, true, 3); !errors.Is(err, ErrDeleted) {
			t.Fatalf("read of a deleted log: %v", err)
		}
		if err := readFull(sl.File, make([]byte, sl.Length), sl.Offset); err != nil {
			t.Fatalf("a slice that was read before: %v", err)
		}
		sl.Release()
		if names := dirNames(t, mem, "/d"); len(names) != 1 || !strings.HasPrefix(names[0], "t-0.") || !strings.HasSuffix(names[0], "-delete") {
			t.Fatalf("%v", names)
		}
		// The name is free at once, and the new log's checkpoints are its own.
		l = mustCreate(t, m, "t", 0)
		mustAppend(t, l, batchOf(1, 1, testTime))
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if names := dirNames(t, mem, "/d"); !slices.Equal(names, []string{"t-0"}) {
			t.Fatalf("%v", names)
		}
		mustClose(t, m)
	})
}

func dirNames(t *testing.T, fs vfs.FS, dir string) []string {
	entries, err := fs.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}

func TestARecreatedPartitionDoesNotInheritCheckpoints(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) { testRecreate(t, restart) })
	}
}

func testRecreate(t *testing.T, restart bool) {
	o := testOptions(vfs.OS, t.TempDir())
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	fill(t, l, 50, testTime)
	l.Flush()
	l.DeleteRecords(40)
	if err := m.checkpointDir(m.dirs[0]); err != nil {
		t.Fatal(err)
	}
	if err := m.Delete(l.tp); err != nil {
		t.Fatal(err)
	}
	if restart {
		kill(m)
		m = mustOpen(t, o)
	}
	l = mustCreate(t, m, "t", 0)
	fill(t, l, 5, testTime)
	kill(m)
	m = mustOpen(t, o)
	defer kill(m)
	if n := m.OpenFiles(); n != 0 {
		t.Errorf("%d files are open although nobody reads or writes", n)
	}
	l, _ = m.Get(TopicPartition{"t", 0})
	wantOffsets(t, readAll(t, l, 0, 5), 0, 5)
}

func TestSweepsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		o := testOptions(mem, "/d")
		o.Defaults = smallSegments()
		o.Defaults.RetentionMs = 10 * 60 * 1000
		o.Defaults.FlushMs = 1000
		o.RetentionInterval, o.FlushInterval = 5*time.Minute, time.Second
		o.RecoveryPointInterval, o.StartOffsetInterval = time.Minute, time.Minute
		m := mustOpen(t, o)
		l := mustCreate(t, m, "t", 0)
		fill(t, l, 40, time.Now().UnixMilli())
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if l.RecoveryPoint() != 40 {
			t.Errorf("recovery point %d: not flushed by time", l.RecoveryPoint())
		}
		cps, err := checkpoint.ReadOffsets(mem, "/d/"+checkpoint.RecoveryPointFile)
		if err != nil || len(cps) != 1 || cps[0].Offset != 40 {
			t.Errorf("recovery points %v, %v", cps, err)
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if l.LogStartOffset() != 40 {
			t.Errorf("log start %d: retention did not run", l.LogStartOffset())
		}
		entries, _ := mem.ReadDir("/d/t-0")
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), suffixDeleted) {
				t.Errorf("%s is still there", e.Name())
			}
		}
		mustClose(t, m)
	})
}

func TestDescriptorsStayUnderTheLimit(t *testing.T) {
	o := testOptions(vfs.OS, t.TempDir())
	o.MaxOpenFiles = 20
	m := mustOpen(t, o)
	defer kill(m)
	var logs []*Log
	for p := range int32(200) {
		l := mustCreate(t, m, "t", p)
		mustAppend(t, l, batchOf(1, 10, testTime))
		logs = append(logs, l)
		if n := m.OpenFiles(); n > 20 {
			t.Fatalf("%d files open", n)
		}
	}
	for _, l := range logs {
		mustAppend(t, l, batchOf(1, 10, testTime))
		wantOffsets(t, readAll(t, l, 0, 2), 0, 2)
	}
	if n := m.OpenFiles(); n > 20 {
		t.Fatalf("%d files open", n)
	}
}

// TestReadersSeeWholeBatchesWhileTheLogChanges reads all the time while batches are appended, segments rolled, deleted and flushed.
func TestReadersSeeWholeBatchesWhileTheLogChanges(t *testing.T) {
	cfg := smallSegments()
	cfg.RetentionBytes = 20_000
	cfg.FileDeleteDelayMs = 0
	m, l := openTemp(t, cfg)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			var next int64
			for !stop.Load() {
				upTo := l.HighWatermark()
				next = max(next, l.LogStartOffset())
				sl, err := l.Read(next, 2000, true, upTo)
				if err != nil {
					var out *OffsetOutOfRangeError
					if errors.As(err, &out) && out.Offset < out.LogStart {
						next = out.LogStart
						continue
					}
					t.Errorf("read %d: %v", next, err)
					return
				}
				if sl.Length == 0 {
					continue
				}
				b := make([]byte, sl.Length)
				if err := readFull(sl.File, b, sl.Offset); err != nil {
					t.Errorf("slice at %d: %v", next, err)
				}
				sl.Release()
				next = checkSlice(t, b, next, upTo)
				if _, _, err := l.OffsetByTimestamp(testTime + next); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("search: %v", err)
				}
			}
		})
	}
	for i := range 3000 {
		mustAppend(t, l, batchOf(1+i%3, 100, testTime+int64(i)))
		l.SetHighWatermark(l.LogEndOffset())
		if i%100 == 99 {
			m.CleanUp(time.UnixMilli(testTime))
		}
		if i%250 == 249 {
			if err := l.Flush(); err != nil {
				t.Error(err)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
	if l.LogStartOffset() == 0 {
		t.Error("retention never ran")
	}
}

func checkSlice(t *testing.T, b []byte, next, upTo int64) int64 {
	for len(b) >= 61 {
		n := int(uint32(b[8])<<24|uint32(b[9])<<16|uint32(b[10])<<8|uint32(b[11])) + 12
		if n > len(b) {
			break
		}
		base := int64(0)
		for _, c := range b[:8] {
			base = base<<8 | int64(c)
		}
		last := base + int64(uint32(b[23])<<24|uint32(b[24])<<16|uint32(b[25])<<8|uint32(b[26]))
		if last < next || base > next || last >= upTo {
			t.Errorf("at %d: batch %d to %d, up to %d", next, base, last, upTo)
		}
		next = last + 1
		b = b[n:]
	}
	return next
}

func TestStrayFilesOfInterruptedWorkAreDealtWith(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(vfs.OS, dir)
	o.Defaults = smallSegments()
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	fill(t, l, 60, testTime)
	second := l.segments()[1].base
	mustClose(t, m)
	p := func(name string) string { return filepath.Join(dir, "t-0", name) }
	copyFile := func(from, to string) {
		b, err := os.ReadFile(p(from))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(p(to), b, 0o644)
	}
	copyFile(offsetName(0)+suffixLog, "00000000000000000900.log.deleted")
	copyFile(offsetName(0)+suffixIndex, "00000000000000000901.index")
	copyFile(offsetName(0)+suffixLog, offsetName(0)+suffixLog+suffixSwap)              // a finished swap
	copyFile(offsetName(second)+suffixLog, offsetName(second)+suffixLog+suffixCleaned) // unfinished
	os.Mkdir(filepath.Join(dir, "gone-3.0123456789abcdef0123456789abcdef-delete"), 0o755)
	o.Defaults.FileDeleteDelayMs = 0
	m = mustOpen(t, o)
	defer kill(m)
	l, _ = m.Get(TopicPartition{"t", 0})
	wantOffsets(t, readAll(t, l, 0, 60), 0, 60)
	for _, name := range []string{"00000000000000000900.log.deleted", "00000000000000000901.index", offsetName(0) + suffixLog + suffixSwap, offsetName(second) + suffixLog + suffixCleaned} {
		if exists(t, p(name)) {
			t.Errorf("%s is still there", name)
		}
	}
	if _, ok := m.Get(TopicPartition{"gone", 3}); ok {
		t.Error("a deleted partition came back")
	}
}

func TestAlienDirectoriesAreNamed(t *testing.T) {
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "lost+found"), 0o755)
	kill(mustOpen(t, testOptions(vfs.OS, dir)))
	os.Mkdir(filepath.Join(dir, "holiday pictures"), 0o755)
	if m, err := Open(t.Context(), testOptions(vfs.OS, dir)); err == nil || !strings.Contains(err.Error(), "holiday pictures") {
		if err == nil {
			kill(m)
		}
		t.Fatalf("%v", err)
	}
}

func TestDirNames(t *testing.T) {
	for name, want := range map[string]struct {
		tp   TopicPartition
		kind dirKind
		ok   bool
	}{
		"a-0":           {TopicPartition{"a", 0}, dirCurrent, true},
		"a-b-12":        {TopicPartition{"a-b", 12}, dirCurrent, true},
		"a.b-1":         {TopicPartition{"a.b", 1}, dirCurrent, true},
		"a-0.x1-delete": {TopicPartition{"a", 0}, dirDeleted, true},
		"a-0.x1-future": {TopicPartition{"a", 0}, dirFuture, true},
		"a":             {}, "a-": {}, "-1": {}, "a-x": {}, "a-0-delete": {}, "a--1": {TopicPartition{"a-", 1}, dirCurrent, true},
	} {
		tp, kind, err := parseDirName(name)
		if (err == nil) != want.ok || err == nil && (tp != want.tp || kind != want.kind) {
			t.Errorf("%q: %v, %v, %v", name, tp, kind, err)
		}
	}
	long := TopicPartition{strings.Repeat("t", 249), 100}
	if n := deleteDirName(long, strings.Repeat("u", 32)); len(n) > 255 {
		t.Errorf("%d characters", len(n))
	}
}

// TestAnIdleLogIsSmall bounds what each of a hundred thousand idle partitions costs.
func TestAnIdleLogIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Log{}); n > 320 {
		t.Errorf("a Log is %d bytes", n)
	}
	if n := unsafe.Sizeof(segment{}); n > 320 {
		t.Errorf("a segment is %d bytes", n)
	}
}

// TestClosingManyLogsTogether stops with more logs than are closed one by one, and finds all of it after a clean start.
func TestClosingManyLogsTogether(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(vfs.OS, dir)
	m := mustOpen(t, o)
	for p := range int32(closeTogetherFrom + 10) {
		l := mustCreate(t, m, "t", p)
		if err := l.AssignEpoch(3, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := l.AppendAsLeader(batchOf(int(p)+1, 10, testTime), 3, FromClient, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, m)
	if !exists(t, dir, checkpoint.CleanShutdownFile) {
		t.Fatal("not marked as clean")
	}
	m = mustOpen(t, o)
	defer kill(m)
	for tp, l := range m.All() {
		if l.LogEndOffset() != int64(tp.Partition)+1 || l.RecoveryPoint() != l.LogEndOffset() {
			t.Errorf("%v: LEO %d, recovery point %d", tp, l.LogEndOffset(), l.RecoveryPoint())
		}
		if e, ok := l.LatestEpoch(); !ok || e != 3 {
			t.Errorf("%v: epoch %d, %v", tp, e, ok)
		}
		if exists(t, dir, tp.String(), "leader-epoch-checkpoint.tmp") {
			t.Errorf("%v: a temporary file is left", tp)
		}
	}
}

// TestRunningOutOfDescriptorsIsNotTheDisksFault refuses every second file that is opened.
func TestRunningOutOfDescriptorsIsNotTheDisksFault(t *testing.T) {
	var refuse atomic.Bool
	var n atomic.Int64
	fs := vfs.NewFault(vfs.OS, func(op vfs.Op, name string) error {
		if op == vfs.OpOpen && refuse.Load() && n.Add(1)%2 == 1 {
			return &os.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
		}
		return nil
	})
	o := testOptions(fs, t.TempDir())
	o.MaxOpenFiles = 8
	m := mustOpen(t, o)
	defer kill(m)
	var logs []*Log
	for p := range int32(20) {
		logs = append(logs, mustCreate(t, m, "t", p))
		mustAppend(t, logs[p], batchOf(1, 10, testTime))
	}
	refuse.Store(true)
	for _, l := range logs {
		mustAppend(t, l, batchOf(1, 10, testTime))
		wantOffsets(t, readAll(t, l, 0, 2), 0, 2)
	}
	if !m.Dirs()[0].Online {
		t.Fatal("the directory is offline")
	}
}

func TestNewDefaultsReachTheLogsThatThereAre(t *testing.T) {
	own := DefaultConfig()
	own.MaxMessageBytes = 77
	defaults := DefaultConfig()
	effective := func(topic string) Config {
		if topic == "own" {
			return own
		}
		return defaults
	}
	m, err := Open(t.Context(), Options{FS: vfs.NewMem(), Dirs: []string{"/d"}, Defaults: defaults, TopicConfig: effective})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context())
	var logs []*Log
	for _, topic := range []string{"plain", "own"} {
		l, err := m.GetOrCreate(TopicPartition{topic, 0}, effective(topic), true)
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	defaults.MaxMessageBytes = 55
	m.UpdateDefaults(defaults, effective)
	if a, b := logs[0].cfg.Load().MaxMessageBytes, logs[1].cfg.Load().MaxMessageBytes; a != 55 || b != 77 {
		t.Errorf("the topic without settings has %d, the one with some %d", a, b)
	}
}

// A log that was deleted stays so through a power cut: one of its name that is made later must not find its records.
func TestADeletedLogDoesNotComeBack(t *testing.T) {
	mem := vfs.NewMem()
	tp := TopicPartition{Topic: "t", Partition: 0}
	open := func(fsys vfs.FS) *Manager {
		m, err := Open(context.Background(), Options{FS: fsys, Dirs: []string{"/data"}, Defaults: DefaultConfig()})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open(mem)
	defer m.Close(context.Background())
	l, err := m.GetOrCreate(tp, DefaultConfig(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := mem.SyncDir("/data"); err != nil {
		t.Fatal(err)
	}
	if err := m.Delete(tp); err != nil {
		t.Fatal(err)
	}
	if err := m.SyncRemovals(); err != nil {
		t.Fatal(err)
	}
	again := open(mem.CrashClone())
	defer again.Close(context.Background())
	if _, ok := again.Get(tp); ok {
		t.Error("it is back")
	}
}

// A directory that was in use and not closed is unclean even if no log is in it: their directories may have gone with a loss of power.
func TestUncleanDirectories(t *testing.T) {
	mem := vfs.NewMem()
	open := func(fsys vfs.FS) *Manager {
		m, err := Open(context.Background(), Options{FS: fsys, Dirs: []string{"/data"}, Defaults: DefaultConfig()})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := open(mem)
	if first.Unclean() {
		t.Error("a new directory")
	}
	if err := first.WriteBrokerMetadata(BrokerMetadata{BrokerID: 0, ClusterID: "c"}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.GetOrCreate(TopicPartition{Topic: "t"}, DefaultConfig(), true); err != nil {
		t.Fatal(err)
	}
	after := open(mem.CrashClone())
	defer after.Close(context.Background())
	if _, there := after.Get(TopicPartition{Topic: "t"}); there || !after.Unclean() {
		t.Errorf("after a loss of power: the log is there %t, unclean %t", there, after.Unclean())
	}
	if err := first.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	again := open(mem)
	defer again.Close(context.Background())
	if again.Unclean() {
		t.Error("after a clean stop")
	}
}
