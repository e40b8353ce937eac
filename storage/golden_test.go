package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gregor/internal/golden"
	"gregor/internal/vfs"
	"gregor/storage/producerstate"
	"gregor/wire/record"
)

// goldenConfig is the topic's settings in Config's terms.
func goldenConfig(t *testing.T, settings map[string]string) Config {
	cfg := DefaultConfig()
	for k, v := range settings {
		n, _ := strconv.ParseInt(v, 10, 64)
		switch k {
		case "segment.bytes":
			cfg.SegmentBytes = int32(n)
		case "segment.ms":
			cfg.SegmentMs = n
		case "segment.index.bytes":
			cfg.SegmentIndexBytes = int32(n)
		case "index.interval.bytes":
			cfg.IndexIntervalBytes = int32(n)
		case "compression.type":
			cfg.Compression = map[string]int8{"uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4, "producer": CompressionProducer}[v]
		case "message.timestamp.type":
			cfg.LogAppendTime = v == "LogAppendTime"
		case "message.format.version":
			cfg.Magic = map[string]int8{"0.8.2": 0, "0.9.0": 0, "0.10.0": 1, "0.10.2": 1}[v]
		default:
			t.Fatalf("case has a setting the test does not know: %s", k)
		}
	}
	return cfg
}

func goldenCases(t *testing.T) []golden.Case {
	t.Helper()
	cases, err := golden.LoadAll("testdata/golden")
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no golden cases")
	}
	return cases
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		out[filepath.ToSlash(rel)], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTheSameRequestsMakeTheSameFiles feeds Gregor the requests that Apache Kafka 2.7.2 was fed, and compares what both wrote.
func TestTheSameRequestsMakeTheSameFiles(t *testing.T) {
	for _, c := range goldenCases(t) {
		if c.Compare == golden.Read || c.Unclean {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			dir := t.TempDir()
			replay(t, c, dir)
			want, err := c.Files()
			if err != nil {
				t.Fatal(err)
			}
			compareFiles(t, want, files(t, dir), c.Compare == golden.Decoded, false)
		})
	}
}

// replay takes the case's steps.
func replay(t *testing.T, c golden.Case, dir string) {
	o := testOptions(vfs.OS, dir)
	o.Defaults = goldenConfig(t, c.Config)
	m := mustOpen(t, o)
	defer func() { kill(m) }()
	for p := range c.Partitions {
		mustCreate(t, m, c.Topic, p)
	}
	for i, s := range c.Steps {
		switch {
		case s.Restart:
			mustCheckpoint(t, m)
			mustClose(t, m)
			m = mustOpen(t, o)
		case s.DeleteRecords != nil:
			l, _ := m.Get(TopicPartition{c.Topic, s.DeleteRecords.Partition})
			upTo := s.DeleteRecords.Offset
			if upTo < 0 {
				upTo = l.HighWatermark()
			}
			if err := l.DeleteRecords(upTo); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			if got := l.LogStartOffset(); got != s.DeleteRecords.LogStartOffset {
				t.Fatalf("step %d: log start offset %d, want %d", i, got, s.DeleteRecords.LogStartOffset)
			}
		}
		for _, a := range s.Produce {
			l, _ := m.Get(TopicPartition{c.Topic, a.Partition})
			replayAppend(t, i, l, a)
		}
	}
	mustCheckpoint(t, m)
	mustClose(t, m)
}

func mustCheckpoint(t *testing.T, m *Manager) {
	t.Helper()
	if err := m.CheckpointHighWatermarks(); err != nil {
		t.Fatal(err)
	}
}

func replayAppend(t *testing.T, step int, l *Log, a golden.Append) {
	t.Helper()
	now := time.UnixMilli(testTime)
	if a.LogAppendTime >= 0 {
		now = time.UnixMilli(a.LogAppendTime)
	}
	if err := l.AssignEpoch(a.LeaderEpoch, l.LogEndOffset()); err != nil {
		t.Fatal(err)
	}
	info, err := l.AppendAsLeader(slices.Clone(a.Records), a.LeaderEpoch, FromClient, now)
	if a.ErrorCode != 0 {
		var seq *producerstate.OutOfOrderSequenceError
		if a.ErrorCode != 45 || !errors.As(err, &seq) {
			t.Fatalf("step %d: %v, want error code %d", step, err, a.ErrorCode)
		}
		return
	}
	if err != nil {
		t.Fatalf("step %d: %v", step, err)
	}
	if a.LogStartOffset < 0 {
		a.LogStartOffset = info.LogStartOffset // the answers to old requests do not tell it
	}
	if info.FirstOffset != a.BaseOffset || info.LogAppendTime != a.LogAppendTime || info.LogStartOffset != a.LogStartOffset {
		t.Fatalf("step %d: %+v, want base offset %d, log append time %d, log start offset %d", step, info, a.BaseOffset, a.LogAppendTime, a.LogStartOffset)
	}
	l.SetHighWatermark(l.LogEndOffset())
}

// compareFiles compares directories.
func compareFiles(t *testing.T, want, got map[string][]byte, decoded, unclean bool) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		base := path.Base(name)
		if base == "meta.properties" || base == lockFile {
			continue
		}
		g, ok := got[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		w := want[name]
		switch path.Ext(name) {
		case suffixSnapshot:
			compareSnapshots(t, name, w, g, unclean)
		case suffixIndex, suffixTimeIndex:
			if !decoded && !bytes.Equal(w, g) {
				t.Errorf("%s:\n got %x\nwant %x", name, g, w)
			}
		case suffixLog:
			if decoded {
				compareBatches(t, name, w, g)
			} else if !bytes.Equal(w, g) {
				t.Errorf("%s differs: %d bytes, want %d", name, len(g), len(w))
			}
		default:
			if strings.HasSuffix(name, "-checkpoint") {
				w, g = sortLines(w), sortLines(g)
			}
			if !bytes.Equal(w, g) {
				t.Errorf("%s:\n got %q\nwant %q", name, g, w)
			}
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && path.Base(name) != lockFile {
			t.Errorf("%s should not be there", name)
		}
	}
}

// sortLines puts the lines of an offset checkpoint in order: Kafka's is that of a hash map.
func sortLines(b []byte) []byte {
	lines := strings.Split(string(b), "\n")
	if len(lines) > 3 {
		slices.Sort(lines[2 : len(lines)-1])
	}
	return []byte(strings.Join(lines, "\n"))
}

func compareSnapshots(t *testing.T, name string, want, got []byte, unclean bool) {
	t.Helper()
	w, err := producerstate.DecodeSnapshot(want)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	g, err := producerstate.DecodeSnapshot(got)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	order := func(a, b producerstate.SnapshotEntry) int { return int(a.ProducerID - b.ProducerID) }
	slices.SortFunc(w, order)
	slices.SortFunc(g, order)
	if unclean {
		// Kafka loads a snapshot before each segment that it recovers, and drops the producers in it that have expired by now, as
		// all in these cases have. Gregor carries the state from segment to segment.
		g = slices.DeleteFunc(g, func(e producerstate.SnapshotEntry) bool { return !slices.Contains(w, e) })
	}
	if !slices.Equal(w, g) {
		t.Errorf("%s:\n got %+v\nwant %+v", name, g, w)
	}
}

// compareBatches compares batches that were compressed by different compressors: their headers and records.
func compareBatches(t *testing.T, name string, want, got []byte) {
	t.Helper()
	w, g := describe(t, want), describe(t, got)
	if !slices.Equal(w, g) {
		t.Errorf("%s:\n got %q\nwant %q", name, g, w)
	}
}

func describe(t *testing.T, b []byte) []string {
	var out []string
	for len(b) > 0 {
		one, rest, err := record.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		h, err := record.ParseHeader(one)
		if err != nil {
			t.Fatal(err)
		}
		h.CRC, h.Length = 0, 0
		out = append(out, fmt.Sprintf("%+v", h))
		it := record.NewIter(one, math.MaxInt32)
		for it.Next() {
			r := it.Record
			out = append(out, fmt.Sprintf("%d %d %q %q %d", r.Offset, r.Timestamp, r.Key, r.Value, r.Headers.Len()))
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		it.Close()
		b = rest
	}
	return out
}

// TestKafkasDirectoriesOpen opens what Kafka wrote, reads it all, and closes it again: nothing changes. What a Kafka of old wrote becomes
// what Kafka 2.7.2 makes of it.
func TestKafkasDirectoriesOpen(t *testing.T) {
	for _, c := range goldenCases(t) {
		if c.Unclean {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			want, err := c.Files()
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := golden.Write(dir, want); err != nil {
				t.Fatal(err)
			}
			o := testOptions(vfs.OS, dir)
			o.Defaults = goldenConfig(t, c.Config)
			m := mustOpen(t, o)
			for tp, l := range m.All() {
				checkWholeLog(t, l, want, tp)
			}
			mustClose(t, m)
			got := files(t, dir)
			if c.From != "" {
				if want, err = c.RecoveredFiles(); err != nil {
					t.Fatal(err)
				}
				// Where there are no producers, Kafka writes snapshots that say so.
				maps.DeleteFunc(want, func(name string, b []byte) bool { return got[name] == nil && int64(len(b)) == emptySnapshotSize })
			}
			compareFiles(t, want, got, false, false)
		})
	}
}

// checkWholeLog compares a log with the records of its files.
func checkWholeLog(t *testing.T, l *Log, want map[string][]byte, tp TopicPartition) {
	t.Helper()
	var all []record.Record
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if path.Dir(name) != tp.String() || path.Ext(name) != suffixLog {
			continue
		}
		for b := want[name]; len(b) > 0; {
			one, rest, err := record.Next(b)
			if err != nil {
				t.Fatal(err)
			}
			it := record.NewIter(one, math.MaxInt32)
			for it.Next() {
				all = append(all, record.Record{Offset: it.Record.Offset, Timestamp: it.Record.Timestamp})
			}
			it.Close()
			b = rest
		}
	}
	var offsets []int64
	for _, r := range all {
		if r.Offset >= l.LogStartOffset() {
			offsets = append(offsets, r.Offset)
		}
	}
	if got := readAll(t, l, l.LogStartOffset(), l.LogEndOffset()); !slices.Equal(got, offsets) {
		t.Errorf("%v: read offsets %v, want %v", tp, got, offsets)
	}
	if len(all) > 0 && l.LogEndOffset() != all[len(all)-1].Offset+1 {
		t.Errorf("%v: LEO %d, last offset %d", tp, l.LogEndOffset(), all[len(all)-1].Offset)
	}
	for i, r := range all {
		if r.Timestamp < 0 || r.Offset < l.LogStartOffset() || i%7 != 0 {
			continue
		}
		first := r
		for _, s := range all {
			if s.Offset >= l.LogStartOffset() && s.Timestamp >= r.Timestamp {
				first = s
				break
			}
		}
		at, found, err := l.OffsetByTimestamp(r.Timestamp)
		if err != nil || !found || at.Timestamp < r.Timestamp || at.Offset > first.Offset && first.Timestamp == at.Timestamp {
			t.Errorf("%v: search for timestamp %d: %+v, %v, %v; want offset %d", tp, r.Timestamp, at, found, err, first.Offset)
		}
	}
}

// TestKafkasCrashedDirectoriesRecover opens what Kafka left when it was killed, preallocated indexes and all, and closes it: what it
// leaves is what Kafka's own recovery leaves.
func TestKafkasCrashedDirectoriesRecover(t *testing.T) {
	for _, c := range goldenCases(t) {
		if !c.Unclean {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			left, err := c.Files()
			if err != nil {
				t.Fatal(err)
			}
			want, err := c.RecoveredFiles()
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := golden.Write(dir, left); err != nil {
				t.Fatal(err)
			}
			o := testOptions(vfs.OS, dir)
			o.Defaults = goldenConfig(t, c.Config)
			o.ProducerIDExpiration = 100 * 365 * 24 * time.Hour
			m := mustOpen(t, o)
			for tp, l := range m.All() {
				l.SetHighWatermark(l.LogEndOffset())
				checkWholeLog(t, l, want, tp)
			}
			mustCheckpoint(t, m)
			if err := m.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			compareFiles(t, want, files(t, dir), false, true)
		})
	}
}
