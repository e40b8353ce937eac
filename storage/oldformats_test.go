package storage

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gregor/internal/vfs"
	"gregor/storage/leaderepoch"
	"gregor/wire/compress"
	"gregor/wire/record"
)

func oldConfig(magic int8) Config {
	cfg := DefaultConfig()
	cfg.Magic = magic
	cfg.SegmentBytes, cfg.IndexIntervalBytes = 4000, 300
	return cfg
}

// oldAppends appends batches of every codec that the old formats have, as whatever the log's format is; returns every record's timestamp.
func oldAppends(t testing.TB, l *Log, r *rand.Rand, batches int) (times []int64) {
	t.Helper()
	for range batches {
		b := record.NewBuilder()
		b.Codec = compress.Codec(r.IntN(4))
		n := 1 + r.IntN(8)
		for range n {
			ts := testTime + int64(r.IntN(100_000))
			b.Append(ts, fmt.Appendf(nil, "key %d", r.IntN(20)), make([]byte, r.IntN(200)))
			times = append(times, ts)
		}
		out, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, out)
	}
	l.SetHighWatermark(l.LogEndOffset())
	return times
}

// checkOld looks up every offset and every time.
func checkOld(t *testing.T, l *Log, times []int64) {
	t.Helper()
	end := l.LogEndOffset()
	if end != int64(len(times)) {
		t.Fatalf("the log ends at %d, want %d", end, len(times))
	}
	wantOffsets(t, readAll(t, l, 0, end), 0, end)
	for o := range end {
		sl, err := l.Read(o, 1, true, end)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, sl.Length)
		if err := readFull(sl.File, b, sl.Offset); err != nil {
			t.Fatal(err)
		}
		sl.Release()
		one, rest, err := record.Next(b)
		if err != nil || len(rest) > 0 {
			t.Fatalf("offset %d: %d bytes behind the first batch, %v", o, len(rest), err)
		}
		h, _ := record.ParseHeader(one)
		it := record.NewIter(one, 1<<20)
		it.Next()
		if first := it.Record.Offset; first > o || h.LastOffset() < o || h.Magic < 2 && h.Codec() == compress.None && first != o {
			t.Fatalf("offset %d lies in a batch of %d to %d", o, first, h.LastOffset())
		}
		it.Close()
	}
}

// checkTimes looks up each record's time; from is the first offset with times.
func checkTimes(t *testing.T, l *Log, times []int64, from int64) {
	t.Helper()
	for _, ts := range times[from:] {
		at, found, err := l.OffsetByTimestamp(ts)
		if err != nil || !found || at.Timestamp < ts || at.Offset < from {
			t.Fatalf("time %d: %+v, %v, %v", ts, at, found, err)
		}
		// The first of all that are as young, but for segments that end before.
		for o := from; o < at.Offset; o++ {
			if times[o] >= ts {
				t.Fatalf("time %d: offset %d, and %d is as young", ts, at.Offset, o)
			}
		}
	}
}

// A log of an old format is written, read, killed and recovered, closed and opened, and truncated anywhere.
func TestLogsOfOldFormats(t *testing.T) {
	for magic := int8(0); magic < 2; magic++ {
		o := testOptions(vfs.OS, t.TempDir())
		o.Defaults = oldConfig(magic)
		m := mustOpen(t, o)
		l := mustCreate(t, m, "t", 0)
		r := rand.New(rand.NewPCG(uint64(magic), 1))
		times := oldAppends(t, l, r, 60)
		look := func(what string) {
			t.Helper()
			t.Logf("v%d: %s: %d records in %d segments", magic, what, len(times), l.Segments())
			checkOld(t, l, times)
			if magic > 0 {
				checkTimes(t, l, times, 0)
			}
			if _, ok := l.LatestEpoch(); ok || exists(t, l.path(), leaderepoch.FileName) {
				t.Errorf("v%d: %s: there are leader epochs", magic, what)
			}
		}
		reopen := func(what string, end func()) {
			t.Helper()
			end()
			m = mustOpen(t, o)
			l, _ = m.Get(l.tp)
			l.SetHighWatermark(l.LogEndOffset())
			look(what)
		}
		look("as written")
		reopen("recovered", func() { kill(m) })
		times = append(times, oldAppends(t, l, r, 20)...)
		reopen("closed and opened", func() { mustClose(t, m) })
		times = append(times, oldAppends(t, l, r, 20)...)
		for l.LogEndOffset() > 10 {
			to := l.LogEndOffset() - 1 - int64(r.IntN(60))
			if err := l.TruncateTo(max(to, 0)); err != nil {
				t.Fatal(err)
			}
			// What is compressed goes as a whole; the end is where it was said to be all the same.
			got := readAll(t, l, 0, l.LogEndOffset())
			if l.LogEndOffset() != max(to, 0) || len(got) > 0 && got[len(got)-1] >= to {
				t.Fatalf("v%d: truncated to %d: ends at %d, last %v", magic, to, l.LogEndOffset(), got[max(0, len(got)-1):])
			}
			if magic > 0 {
				for _, o := range got {
					if at, found, err := l.OffsetByTimestamp(times[o]); err != nil || !found || at.Timestamp < times[o] {
						t.Fatalf("v%d: truncated to %d: time %d: %+v, %v, %v", magic, to, times[o], at, found, err)
					}
				}
			}
		}
		kill(m)
	}
}

// A torn end of an old log is cut off at the last whole message.
func TestTornLogsOfOldFormats(t *testing.T) {
	for magic := int8(0); magic < 2; magic++ {
		o := testOptions(vfs.OS, t.TempDir())
		o.Defaults = oldConfig(magic)
		o.Defaults.SegmentBytes = 1 << 20
		m := mustOpen(t, o)
		l := mustCreate(t, m, "t", 0)
		r := rand.New(rand.NewPCG(uint64(magic), 2))
		oldAppends(t, l, r, 10)
		name := l.active().path(suffixLog)
		for range 30 {
			kill(m)
			f, err := vfs.OS.OpenFile(name, flagCreate, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			size, _ := f.Size()
			if size < 200 {
				f.Close()
				break
			}
			if r.IntN(2) == 0 {
				err = f.Truncate(size - 1 - int64(r.IntN(150)))
			} else {
				_, err = f.WriteAt([]byte{0xa5, 0x5a}, size-1-int64(r.IntN(100)))
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			m = mustOpen(t, o)
			l, _ = m.Get(l.tp)
			end := l.LogEndOffset()
			wantOffsets(t, readAll(t, l, 0, end), 0, end)
		}
		kill(m)
	}
}

// A follower takes an old leader's log as it is, in pieces that begin and end anywhere.
func TestFollowersOfOldFormats(t *testing.T) {
	for magic := int8(0); magic < 2; magic++ {
		_, leader := openTemp(t, oldConfig(magic))
		times := oldAppends(t, leader, rand.New(rand.NewPCG(uint64(magic), 3)), 60)
		_, follower := openTemp(t, oldConfig(magic))
		for end := leader.LogEndOffset(); follower.LogEndOffset() < end; {
			sl, err := leader.Read(follower.LogEndOffset(), 900, true, end)
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, sl.Length)
			if err := readFull(sl.File, b, sl.Offset); err != nil {
				t.Fatal(err)
			}
			sl.Release()
			if _, err := follower.AppendAsFollower(b); err != nil {
				t.Fatalf("v%d at %d: %v", magic, follower.LogEndOffset(), err)
			}
		}
		follower.SetHighWatermark(follower.LogEndOffset())
		checkOld(t, follower, times)
		if magic > 0 {
			checkTimes(t, follower, times, 0)
		}
		for _, s := range follower.segments() {
			if got := readAll(t, follower, s.base, s.base+1); len(got) > 0 && got[0] < s.base {
				t.Errorf("v%d: the segment at %d begins with offset %d", magic, s.base, got[0])
			}
		}
		bad := batchOf(1, 10, testTime)
		v, err := record.Validate(bad, record.ValidateOptions{FromClient: true, MaxTimestampDiff: math.MaxInt64, Codec: record.KeepCodec, Magic: magic}, follower.LogEndOffset(), 0)
		if err != nil {
			t.Fatal(err)
		}
		v.Batch[len(v.Batch)-1] ^= 1
		if _, err := follower.AppendAsFollower(v.Batch); !isRecordError(err) {
			t.Errorf("v%d: a message with a bad crc: %v", magic, err)
		}
	}
}

// A log goes from one format to the next while it is in use, and back: every record stays where it is, and can be found.
func TestFormatsChange(t *testing.T) {
	o := testOptions(vfs.OS, t.TempDir())
	o.Defaults = oldConfig(0)
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	r := rand.New(rand.NewPCG(4, 4))
	var times []int64
	timed := int64(0)
	for _, magic := range []int8{0, 1, 2, 1, 0, 2} {
		cfg := oldConfig(magic)
		m.UpdateConfig("t", cfg)
		before := l.LogEndOffset()
		times = append(times, oldAppends(t, l, r, 15)...)
		if magic == 1 && timed == 0 {
			timed = before
		}
		if got := l.KeepsEpochs(); got != (magic == 2) {
			t.Errorf("v%d: keeps epochs: %v", magic, got)
		}
		if e, ok := l.LatestEpoch(); ok != (magic == 2) {
			t.Errorf("v%d: epoch %d, %v", magic, e, ok)
		}
		sl, err := l.Read(before, 1<<20, true, l.LogEndOffset())
		if err != nil {
			t.Fatal(err)
		}
		for known := int8(0); known < 2; known++ {
			if newer, err := sl.HasNewer(known, true); err != nil || newer != (magic > known) {
				t.Errorf("v%d: newer than v%d: %v, %v", magic, known, newer, err)
			}
		}
		sl.Release()
		checkOld(t, l, times)
		o.TopicConfig = func(string) Config { return cfg }
		if magic%2 == 0 {
			kill(m)
		} else {
			mustClose(t, m)
		}
		m = mustOpen(t, o)
		l, _ = m.Get(l.tp)
		l.SetHighWatermark(l.LogEndOffset())
		checkOld(t, l, times)
		if file := exists(t, l.path(), leaderepoch.FileName); file && magic < 2 {
			t.Errorf("v%d: the file of leader epochs is still there", magic)
		}
	}
	kill(m)
}

// HasNewer looks past batches that are larger than what it reads at a time.
func TestNewerBehindLargeBatches(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Magic = 1
	m, l := openTemp(t, cfg)
	mustAppend(t, l, batchOf(3, 3000, testTime))
	mustAppend(t, l, batchOf(1, 20_000, testTime))
	old := l.LogEndOffset()
	cfg.Magic = 2
	m.UpdateConfig("t", cfg)
	mustAppend(t, l, batchOf(1, 5000, testTime))
	for _, c := range []struct {
		upTo  int64
		max   int
		all   bool
		newer bool
	}{{old, 1 << 20, true, false}, {old + 1, 1 << 20, true, true}, {old + 1, 1 << 20, false, false}, {old + 1, 30_000, true, false}} {
		sl, err := l.Read(0, c.max, true, c.upTo)
		if err != nil {
			t.Fatal(err)
		}
		if newer, err := sl.HasNewer(1, c.all); err != nil || newer != c.newer {
			t.Errorf("up to %d, %d bytes, all %v: %v, %v", c.upTo, c.max, c.all, newer, err)
		}
		sl.Release()
	}
}

// The cleaner keeps of a compressed message what is newest, and what it keeps can be looked up.
func TestCleanedLogsOfOldFormatsAreFound(t *testing.T) {
	for magic := int8(0); magic < 2; magic++ {
		cfg := compactConfig()
		cfg.Magic = magic
		m, l := openTemp(t, cfg)
		times := oldAppends(t, l, rand.New(rand.NewPCG(uint64(magic), 5)), 120)
		w := testWasher(DefaultCleanerConfig())
		defer w.filter.Close()
		end, err := cleanNow(l, w)
		if err != nil || end == 0 {
			t.Fatal(end, err)
		}
		left := readAll(t, l, 0, l.LogEndOffset())
		if len(left) > len(times)/2 || !slices.IsSorted(left) {
			t.Fatalf("v%d: %d of %d records are left", magic, len(left), len(times))
		}
		for _, o := range left {
			sl, err := l.Read(o, 1, true, l.LogEndOffset())
			if err != nil || sl.Length == 0 {
				t.Fatal(o, err)
			}
			sl.Release()
			if magic == 0 {
				continue
			}
			at, found, err := l.OffsetByTimestamp(times[o])
			if err != nil || !found || at.Timestamp < times[o] || at.Offset > o && at.Timestamp == times[o] {
				t.Errorf("time %d of offset %d: %+v, %v, %v", times[o], o, at, found, err)
			}
		}
		mustClose(t, m)
	}
}

// A sealed segment of format v0 that has no time index, as Kafka wrote them before 0.10, gets an empty one; its offset index stays.
func TestSegmentsWithoutTimeIndex(t *testing.T) {
	for magic := int8(0); magic < 2; magic++ {
		o := testOptions(vfs.OS, t.TempDir())
		o.Defaults = oldConfig(magic)
		m := mustOpen(t, o)
		l := mustCreate(t, m, "t", 0)
		times := oldAppends(t, l, rand.New(rand.NewPCG(uint64(magic), 6)), 60)
		mustClose(t, m)
		first := l.segments()[0]
		if err := vfs.OS.Remove(first.path(suffixTimeIndex)); err != nil {
			t.Fatal(err)
		}
		before := files(t, l.path())
		m = mustOpen(t, o)
		l, _ = m.Get(l.tp)
		l.SetHighWatermark(l.LogEndOffset())
		checkOld(t, l, times)
		if magic > 0 {
			checkTimes(t, l, times, 0)
		}
		mustClose(t, m)
		after := files(t, l.path())
		name := offsetName(first.base)
		if got, ok := after[name+suffixTimeIndex]; !ok || magic == 0 && len(got) > 0 || magic > 0 && len(got) == 0 {
			t.Errorf("v%d: the time index is %x, %v", magic, got, ok)
		}
		if magic == 0 && !slices.Equal(after[name+suffixIndex], before[name+suffixIndex]) {
			t.Errorf("the offset index was written anew")
		}
	}
}

// BenchmarkAppendOld is what an append of old messages costs, as they are and converted.
func BenchmarkAppendOld(b *testing.B) {
	for from := int8(0); from <= 1; from++ {
		for to := int8(0); to <= 2; to++ {
			b.Run(fmt.Sprintf("v%d into v%d", from, to), func(b *testing.B) {
				cfg := DefaultConfig()
				cfg.Magic = from
				_, source := openTemp(b, cfg)
				mustAppend(b, source, batchOf(100, 100, testTime))
				sl, err := source.Read(0, 1<<20, true, 100)
				if err != nil {
					b.Fatal(err)
				}
				set := make([]byte, sl.Length)
				if err := readFull(sl.File, set, sl.Offset); err != nil {
					b.Fatal(err)
				}
				sl.Release()
				cfg.Magic = to
				_, l := openTemp(b, cfg)
				work := slices.Clone(set)
				b.SetBytes(int64(len(set)))
				b.ReportAllocs()
				for b.Loop() {
					copy(work, set)
					if _, err := l.AppendAsLeader(work, 0, FromClient, time.UnixMilli(testTime)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
