package storage

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"gregor/internal/vfs"
	"gregor/wire/record"
)

// testOptions are Options for tests: no sweeps, everything by hand.
func testOptions(fs vfs.FS, dirs ...string) Options {
	return Options{FS: fs, Dirs: dirs, BrokerID: -1, Defaults: DefaultConfig()}
}

func mustOpen(t testing.TB, o Options) *Manager {
	t.Helper()
	m, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return m
}

func mustClose(t testing.TB, m *Manager) {
	t.Helper()
	if err := m.Close(context.Background()); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// kill ends a manager's goroutines and locks as a kill would, writing nothing.
func kill(m *Manager) {
	if m.closing.Swap(true) {
		return
	}
	close(m.stop)
	m.running.Wait()
	for _, d := range m.dirs {
		d.unlock()
	}
}

func openTemp(t testing.TB, cfg Config) (*Manager, *Log) {
	t.Helper()
	o := testOptions(vfs.OS, t.TempDir())
	o.Defaults = cfg
	m := mustOpen(t, o)
	t.Cleanup(func() { kill(m) })
	return m, mustCreate(t, m, "t", 0)
}

func mustCreate(t testing.TB, m *Manager, topic string, partition int32) *Log {
	t.Helper()
	l, err := m.GetOrCreate(TopicPartition{topic, partition}, m.opt.Defaults, true)
	if err != nil {
		t.Fatalf("GetOrCreate: %v", err)
	}
	return l
}

// batchOf builds a batch of n records with values of size bytes; ts is the first record's timestamp, each later one 1 ms more.
func batchOf(n, size int, ts int64) []byte {
	b := record.NewBuilder()
	for i := range n {
		v := make([]byte, size)
		for j := range v {
			v[j] = byte(i + j)
		}
		b.Append(ts+int64(i), []byte("k"+strconv.Itoa(i)), v)
	}
	out, err := b.Build()
	if err != nil {
		panic(err)
	}
	return out
}

func idempotent(pid int64, epoch int16, seq int32, n int, ts int64) []byte {
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = pid, epoch, seq
	for i := range n {
		b.Append(ts+int64(i), nil, []byte("v"+strconv.Itoa(i)))
	}
	out, err := b.Build()
	if err != nil {
		panic(err)
	}
	return out
}

const testTime = 1_600_000_000_000

func mustAppend(t testing.TB, l *Log, batch []byte) AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(slices.Clone(batch), 0, FromClient, time.UnixMilli(testTime))
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return info
}

// readAll returns the offsets of all records from offset on, below upTo.
func readAll(t testing.TB, l *Log, offset, upTo int64) []int64 {
	t.Helper()
	var out []int64
	for {
		sl, err := l.Read(offset, 1<<20, true, upTo)
		if err != nil {
			t.Fatalf("Read(%d): %v", offset, err)
		}
		if sl.Length == 0 {
			return out
		}
		b := make([]byte, sl.Length)
		if err := readFull(sl.File, b, sl.Offset); err != nil {
			t.Fatalf("reading the slice: %v", err)
		}
		sl.Release()
		next := offset
		for len(b) > 0 {
			one, rest, err := record.Next(b)
			if err != nil {
				break
			}
			it := record.NewIter(one, math.MaxInt32)
			for it.Next() {
				if it.Record.Offset >= offset {
					out = append(out, it.Record.Offset)
					next = it.Record.Offset + 1
				}
			}
			if it.Err() != nil {
				t.Fatalf("batch: %v", it.Err())
			}
			it.Close()
			b = rest
		}
		if next == offset {
			t.Fatalf("Read(%d) made no progress", offset)
		}
		offset = next
	}
}

func wantOffsets(t testing.TB, got []int64, from, to int64) {
	t.Helper()
	if int64(len(got)) != to-from {
		t.Fatalf("read %d records, want %d (offsets %d to %d)", len(got), to-from, from, to)
	}
	for i, o := range got {
		if o != from+int64(i) {
			t.Fatalf("record %d has offset %d, want %d", i, o, from+int64(i))
		}
	}
}

func exists(t testing.TB, elem ...string) bool {
	t.Helper()
	_, err := vfs.OS.Stat(filepath.Join(elem...))
	return err == nil
}

// lastIn is the last offset of the whole batches in b, -1 if there is none.
func lastIn(b []byte) int64 {
	last := int64(-1)
	for {
		one, rest, err := record.Next(b)
		if err != nil {
			return last
		}
		h, err := record.ParseHeader(one)
		if err != nil {
			return last
		}
		last, b = h.LastOffset(), rest
	}
}
