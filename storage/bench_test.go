package storage

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gregor/internal/vfs"
	"gregor/wire/record"
)

// benchRoot is where benchmarks write: set GREGOR_BENCH_DIR to measure another file system than the temporary one.
func benchRoot(b *testing.B) string {
	if d := os.Getenv("GREGOR_BENCH_DIR"); d != "" {
		d, err := os.MkdirTemp(d, "gregor-bench")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(d) })
		return d
	}
	return b.TempDir()
}

func benchManager(b *testing.B) *Manager {
	o := testOptions(vfs.OS, benchRoot(b))
	o.Defaults.RetentionBytes = -1
	m := mustOpen(b, o)
	b.Cleanup(func() { kill(m) })
	return m
}

// cpu reports the processor time, user and system, of each operation: unlike the clock's it is not that of others on the machine.
func cpu(b *testing.B) func() {
	var before unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &before)
	return func() {
		var after unix.Rusage
		unix.Getrusage(unix.RUSAGE_SELF, &after)
		user := after.Utime.Nano() - before.Utime.Nano()
		sys := after.Stime.Nano() - before.Stime.Nano()
		b.ReportMetric(float64(user)/float64(b.N), "user-ns/op")
		b.ReportMetric(float64(sys)/float64(b.N), "sys-ns/op")
	}
}

func cpuTime() time.Duration {
	var r unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkFloor is what an append cannot do without: one CRC and one write, round over so many files.
func BenchmarkFloor(b *testing.B) {
	for _, n := range []int{1, 64, 2048} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			root := benchRoot(b)
			batch := sized(4 << 10)
			fs := make([]vfs.File, n)
			pos := make([]int64, n)
			for i := range fs {
				dir := fmt.Sprintf("%s/%d", root, i)
				os.Mkdir(dir, 0o755)
				f, err := vfs.OS.OpenFile(dir+"/f", flagCreate, 0o644)
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				fs[i] = f
			}
			b.ResetTimer()
			defer cpu(b)()
			for i := range b.N {
				if !record.Batch(batch).ValidCRC() {
					b.Fatal("crc")
				}
				fs[i%n].WriteAt(batch, pos[i%n])
				pos[i%n] += int64(len(batch))
			}
		})
	}
}

// sized is a batch of about size bytes with records of 100 bytes, or of 1 KB from 16 KB on.
func sized(size int) []byte {
	value := 100
	if size >= 16<<10 {
		value = 1000
	}
	n := max(1, (size-61)/(value+10))
	if n == 1 {
		value = max(1, size-61-12)
	}
	return batchOf(n, value, testTime)
}

// reset undoes what an append patched, so that the same bytes can be appended again.
func reset(b []byte) { binary.BigEndian.PutUint64(b, 0) }

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 4 << 10, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := benchManager(b)
			l := mustCreate(b, m, "t", 0)
			batch := sized(size)
			now := time.UnixMilli(testTime)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			b.ResetTimer()
			defer cpu(b)()
			written := 0
			for range b.N {
				reset(batch)
				if _, err := l.AppendAsLeader(batch, 0, FromClient, now); err != nil {
					b.Fatal(err)
				}
				if written += len(batch); written > 2<<30 { // do not fill the disk
					b.StopTimer()
					if err := l.TruncateFullyAndStartAt(l.LogEndOffset()); err != nil {
						b.Fatal(err)
					}
					written = 0
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkAppendManyLogs spreads the same batches over more and more logs.
func BenchmarkAppendManyLogs(b *testing.B) {
	for _, n := range []int{1, 64, 2048, 8192} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := benchManager(b)
			logs := make([]*Log, n)
			batch := sized(4 << 10)
			now := time.UnixMilli(testTime)
			for i := range logs {
				logs[i] = mustCreate(b, m, fmt.Sprintf("topic-%d", i), 0)
				reset(batch)
				mustAppend(b, logs[i], batch)
			}
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			b.ResetTimer()
			defer cpu(b)()
			for i := range b.N {
				reset(batch)
				if _, err := logs[i%n].AppendAsLeader(batch, 0, FromClient, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendParallel(b *testing.B) {
	m := benchManager(b)
	logs := make([]*Log, 16)
	for i := range logs {
		logs[i] = mustCreate(b, m, "t", int32(i))
	}
	now := time.UnixMilli(testTime)
	b.SetBytes(int64(len(sized(16 << 10))))
	b.ReportAllocs()
	var turn atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		batch := sized(16 << 10)
		l := logs[int(turn.Add(1))%len(logs)]
		for pb.Next() {
			reset(batch)
			if _, err := l.AppendAsLeader(batch, 0, FromClient, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// filledLog is a log of about size bytes in segments of 64 MB, closed and opened again.
func filledLog(b *testing.B, size int) *Log {
	o := testOptions(vfs.OS, benchRoot(b))
	o.Defaults.SegmentBytes = 64 << 20
	m := mustOpen(b, o)
	l := mustCreate(b, m, "t", 0)
	batch := sized(16 << 10)
	for range size / len(batch) {
		reset(batch)
		mustAppend(b, l, batch)
	}
	mustClose(b, m)
	m = mustOpen(b, o)
	b.Cleanup(func() { kill(m) })
	l, _ = m.Get(TopicPartition{"t", 0})
	return l
}

// BenchmarkReadTail reads what was just appended, as consumers and followers that keep up do.
func BenchmarkReadTail(b *testing.B) {
	m := benchManager(b)
	l := mustCreate(b, m, "t", 0)
	batch := sized(4 << 10)
	var ends []int64
	for range 64 {
		reset(batch)
		ends = append(ends, mustAppend(b, l, batch).LastOffset+1)
	}
	b.ReportAllocs()
	b.ResetTimer()
	defer cpu(b)()
	for i := range b.N {
		sl, err := l.Read(ends[len(ends)-2-i%8], 1<<20, true, ends[len(ends)-1])
		if err != nil || sl.Length == 0 {
			b.Fatal(sl, err)
		}
		sl.Release()
	}
}

// BenchmarkReadSealed looks up offsets all over closed segments, as consumers that catch up do.
func BenchmarkReadSealed(b *testing.B) {
	l := filledLog(b, 256<<20)
	leo := l.LogEndOffset()
	b.ReportAllocs()
	b.ResetTimer()
	defer cpu(b)()
	for i := range b.N {
		sl, err := l.Read(int64(i)*7919%leo, 1<<20, true, leo)
		if err != nil || sl.Length == 0 {
			b.Fatal(sl, err)
		}
		sl.Release()
	}
}

func BenchmarkOffsetByTimestamp(b *testing.B) {
	l := filledLog(b, 64<<20)
	b.ReportAllocs()
	b.ResetTimer()
	defer cpu(b)()
	for range b.N {
		if _, _, err := l.OffsetByTimestamp(testTime + 5); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestart times starts and stops with many partitions; each is one start or stop.
func BenchmarkRestart(b *testing.B) {
	for _, c := range []struct {
		name       string
		partitions int
		bytes      int
		clean      bool
	}{
		{"100000-empty", 100_000, 0, true},
		{"20000-idle-clean", 20_000, 4 << 10, true},
		{"5000-killed-100KB", 5000, 100 << 10, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			o := testOptions(vfs.OS, benchRoot(b))
			m := mustOpen(b, o)
			batch := sized(4 << 10)
			var create, closing, open time.Duration
			begin := time.Now()
			for p := range c.partitions {
				l := mustCreate(b, m, "t", int32(p))
				for range c.bytes / len(batch) {
					reset(batch)
					mustAppend(b, l, batch)
				}
			}
			create = time.Since(begin)
			begin = time.Now()
			if c.clean {
				mustClose(b, m)
			} else {
				kill(m)
			}
			closing = time.Since(begin)
			b.ResetTimer()
			var used time.Duration
			for range b.N {
				begin = time.Now()
				before := cpuTime()
				m = mustOpen(b, o)
				open += time.Since(begin)
				used += cpuTime() - before
				if c.clean {
					mustClose(b, m)
				} else {
					kill(m)
				}
			}
			b.ReportMetric(float64(create.Microseconds())/float64(c.partitions), "us/partition-made")
			b.ReportMetric(closing.Seconds(), "s/first-close")
			b.ReportMetric(open.Seconds()/float64(b.N), "s/open")
			b.ReportMetric(used.Seconds()/float64(b.N), "cpu-s/open")
		})
	}
}

// BenchmarkClose times a clean stop with many partitions that were written to.
func BenchmarkClose(b *testing.B) {
	for range b.N {
		b.StopTimer()
		o := testOptions(vfs.OS, benchRoot(b))
		m := mustOpen(b, o)
		batch := sized(4 << 10)
		for p := range 5000 {
			l := mustCreate(b, m, "t", int32(p))
			for range 3 {
				reset(batch)
				mustAppend(b, l, batch)
			}
		}
		b.StartTimer()
		if err := m.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
