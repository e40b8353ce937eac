package storage

import (
	"errors"
	"testing"
	"time"

	"gregor/internal/vfs"
)

func TestAnEmptyPartitionIsOnlyADirectory(t *testing.T) {
	m, l := openTemp(t, DefaultConfig())
	dir := l.Dir()
	entries, err := vfs.OS.ReadDir(dir + "/t-0")
	if err != nil || len(entries) != 0 {
		t.Fatalf("entries %v, %v", entries, err)
	}
	sl, err := l.Read(0, 100, true, 0)
	if err != nil || sl.Length != 0 {
		t.Fatalf("read of an empty log: %+v, %v", sl, err)
	}
	mustClose(t, m)
	entries, err = vfs.OS.ReadDir(dir + "/t-0")
	if err != nil || len(entries) != 0 {
		t.Fatalf("after close: entries %v, %v", entries, err)
	}
	m = mustOpen(t, testOptions(vfs.OS, dir))
	defer kill(m)
	if l, ok := m.Get(TopicPartition{"t", 0}); !ok || l.LogEndOffset() != 0 {
		t.Fatal("the log is not there after a restart")
	}
}

func TestAppendThenRead(t *testing.T) {
	cfg := DefaultConfig()
	cfg.SegmentBytes = 20_000
	_, l := openTemp(t, cfg)
	var next int64
	for i := range 300 {
		n := 1 + i%7
		info := mustAppend(t, l, batchOf(n, 50+i%400, testTime+int64(i*10)))
		if info.FirstOffset != next || info.LastOffset != next+int64(n)-1 {
			t.Fatalf("append %d: %+v, want first offset %d", i, info, next)
		}
		next += int64(n)
		if l.LogEndOffset() != next {
			t.Fatalf("LEO %d, want %d", l.LogEndOffset(), next)
		}
	}
	if l.Segments() < 3 {
		t.Fatalf("%d segments", l.Segments())
	}
	for _, from := range []int64{0, 1, 17, next / 2, next - 1, next} {
		wantOffsets(t, readAll(t, l, from, next), from, next)
	}
	for _, upTo := range []int64{0, 1, 3, next / 3, next - 5} {
		got := readAll(t, l, 0, upTo)
		if len(got) > 0 && got[len(got)-1] >= upTo {
			t.Fatalf("read up to %d returned offset %d", upTo, got[len(got)-1])
		}
	}
	var out *OffsetOutOfRangeError
	if _, err := l.Read(next+1, 1, true, next); !errors.As(err, &out) {
		t.Fatalf("read past the end: %v", err)
	}
}

func TestReadReturnsTheFirstBatchWholeAndOnlyThen(t *testing.T) {
	_, l := openTemp(t, DefaultConfig())
	b := batchOf(3, 1000, testTime)
	size := len(b)
	for range 4 {
		mustAppend(t, l, b)
	}
	for _, c := range []struct {
		max    int
		minOne bool
		want   int
		cut    bool
	}{{10, true, size, false}, {10, false, 10, true}, {0, false, 0, true}, {size, false, size, false}, {size + 5, false, size + 5, false}, {1 << 20, true, 3 * size, false}} {
		sl, err := l.Read(4, c.max, c.minOne, 12)
		if err != nil {
			t.Fatal(err)
		}
		if sl.Length != c.want || sl.FirstIncomplete != c.cut {
			t.Errorf("max %d, minOne %v: %d bytes, cut %v; want %d, %v", c.max, c.minOne, sl.Length, sl.FirstIncomplete, c.want, c.cut)
		}
		if sl.Start != (OffsetMetadata{4, 0, int32(size)}) {
			t.Errorf("start %+v", sl.Start)
		}
		sl.Release()
	}
}

func TestFlushMovesTheRecoveryPoint(t *testing.T) {
	cfg := DefaultConfig()
	cfg.FlushMessages = 5
	_, l := openTemp(t, cfg)
	mustAppend(t, l, batchOf(3, 10, testTime))
	if l.RecoveryPoint() != 0 {
		t.Fatal("flushed too early")
	}
	mustAppend(t, l, batchOf(3, 10, testTime))
	if l.RecoveryPoint() != 6 {
		t.Fatalf("recovery point %d", l.RecoveryPoint())
	}
}

func TestDuplicateIsAnsweredWithItsFirstOffsets(t *testing.T) {
	_, l := openTemp(t, DefaultConfig())
	for i := range 6 {
		mustAppend(t, l, idempotent(7, 0, int32(i*2), 2, testTime+int64(i)))
	}
	info := mustAppend(t, l, idempotent(7, 0, 6, 2, testTime+3))
	if !info.Duplicate || info.FirstOffset != 6 || info.LastOffset != 7 || l.LogEndOffset() != 12 {
		t.Fatalf("%+v, LEO %d", info, l.LogEndOffset())
	}
	if _, err := l.AppendAsLeader(idempotent(7, 0, 20, 1, testTime), 0, FromClient, time.UnixMilli(testTime)); err == nil {
		t.Fatal("a gap in the sequence was accepted")
	}
	if l.LogEndOffset() != 12 {
		t.Fatalf("LEO %d after a refused append", l.LogEndOffset())
	}
}
