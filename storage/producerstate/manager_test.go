package producerstate

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gregor/internal/vfs"
	"gregor/wire/record"
)

var testNow = time.UnixMilli(1_600_000_000_000)

type producerBatch struct {
	id    int64
	epoch int16
	seq   int32
	n     int
	txn   bool
}

func (p producerBatch) at(offset int64) record.Batch {
	b := record.NewBuilder()
	b.BaseOffset, b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = offset, p.id, p.epoch, p.seq, p.txn
	for range p.n {
		b.Append(testNow.UnixMilli(), nil, []byte("v"))
	}
	out, err := b.Build()
	if err != nil {
		panic(err)
	}
	return out
}

func marker(id int64, epoch int16, typ record.ControlType, coordinatorEpoch int32, offset int64) record.Batch {
	b := record.BuildEndTxnMarker(id, epoch, record.EndTxnMarker{Type: typ, CoordinatorEpoch: coordinatorEpoch, Timestamp: testNow.UnixMilli()}, 0)
	b.SetBaseOffset(offset)
	return b
}

// log appends batches as a leader does.
type log struct {
	m   Manager
	end int64
}

func (l *log) append(p producerBatch) (Pending, error) { return l.write(p.at(l.end), FromClient) }

func (l *log) write(b record.Batch, origin Origin) (Pending, error) {
	p, err := l.m.Check(b, origin)
	if err != nil || p.IsDuplicate {
		return p, err
	}
	if txn, ok := l.m.Apply(&p); ok {
		l.m.Complete(txn)
	}
	l.end = b.NextOffset()
	l.m.SetMapEnd(l.end)
	return p, nil
}

func TestSequences(t *testing.T) {
	type step struct {
		in   producerBatch
		want string // "", "dup FIRST-LAST", "order", "epoch", "txn"
	}
	for name, steps := range map[string][]step{
		"an unknown producer starts anywhere": {{producerBatch{id: 1, seq: 77, n: 2}, ""}, {producerBatch{id: 1, seq: 79, n: 1}, ""}},
		"gap and repetition":                  {{producerBatch{id: 1, n: 2}, ""}, {producerBatch{id: 1, seq: 3, n: 1}, "order"}, {producerBatch{id: 1, seq: 1, n: 1}, "order"}},
		"duplicates of the last five": {
			{producerBatch{id: 1, n: 2}, ""}, {producerBatch{id: 1, seq: 2, n: 1}, ""}, {producerBatch{id: 1, seq: 3, n: 1}, ""},
			{producerBatch{id: 1, seq: 4, n: 1}, ""}, {producerBatch{id: 1, seq: 5, n: 1}, ""},
			{producerBatch{id: 1, n: 2}, "dup 0-1"}, {producerBatch{id: 1, seq: 4, n: 1}, "dup 4-4"},
			{producerBatch{id: 1, seq: 6, n: 1}, ""}, {producerBatch{id: 1, n: 2}, "order"}, {producerBatch{id: 1, seq: 2, n: 1}, "dup 2-2"},
		},
		"a part of a batch is no duplicate": {{producerBatch{id: 1, n: 3}, ""}, {producerBatch{id: 1, n: 2}, "order"}},
		"epochs": {
			{producerBatch{id: 1, epoch: 3, n: 1}, ""}, {producerBatch{id: 1, epoch: 2, seq: 1, n: 1}, "epoch"},
			{producerBatch{id: 1, epoch: 4, seq: 1, n: 1}, "order"}, {producerBatch{id: 1, epoch: 4, n: 1}, ""}, {producerBatch{id: 1, epoch: 3, n: 1}, "epoch"},
		},
		"wrap": {{producerBatch{id: 1, seq: math.MaxInt32 - 1, n: 2}, ""}, {producerBatch{id: 1, seq: 1, n: 1}, "order"}, {producerBatch{id: 1, n: 1}, ""},
			{producerBatch{id: 1, seq: math.MaxInt32 - 1, n: 2}, "dup 0-1"}},
		"wrap inside a batch":          {{producerBatch{id: 1, seq: math.MaxInt32, n: 3}, ""}, {producerBatch{id: 1, seq: 2, n: 1}, ""}},
		"producers do not mix":         {{producerBatch{id: 1, n: 1}, ""}, {producerBatch{id: 2, n: 1}, ""}, {producerBatch{id: 1, seq: 1, n: 1}, ""}},
		"plain batch in a transaction": {{producerBatch{id: 1, n: 1, txn: true}, ""}, {producerBatch{id: 1, seq: 1, n: 1}, "txn"}},
	} {
		var l log
		for i, s := range steps {
			p, err := l.append(s.in)
			got := ""
			var order *OutOfOrderSequenceError
			var epoch *InvalidProducerEpochError
			var txn *InvalidTxnStateError
			switch {
			case errors.As(err, &order):
				got = "order"
			case errors.As(err, &epoch):
				got = "epoch"
			case errors.As(err, &txn):
				got = "txn"
			case err != nil:
				t.Fatal(err)
			case p.IsDuplicate:
				got = "dup " + strconv.FormatInt(p.Duplicate.FirstOffset, 10) + "-" + strconv.FormatInt(p.Duplicate.LastOffset, 10)
			}
			if got != s.want {
				t.Errorf("%s, step %d: %q (%v), want %q", name, i, got, err, s.want)
			}
		}
	}
}

func TestCheckChangesNothing(t *testing.T) {
	var l log
	l.append(producerBatch{id: 1, n: 1})
	before := l.m.Entries()
	for range 3 {
		if _, err := l.m.Check(producerBatch{id: 1, seq: 1, n: 4}.at(1), FromClient); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(before, l.m.Entries()) {
		t.Error("state changed")
	}
}

func TestReplicasTakeWhatTheLeaderWrote(t *testing.T) {
	var l log
	for _, p := range []producerBatch{{id: 1, epoch: 5, n: 1}, {id: 1, epoch: 5, seq: 9, n: 1}, {id: 1, epoch: 4, seq: 9, n: 1}} {
		if _, err := l.write(p.at(l.end), FromReplication); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestTransactions(t *testing.T) {
	var l log
	unstable := func(want int64) {
		t.Helper()
		got, ok := l.m.FirstUnstable()
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("first unstable %d, want %d", got, want)
		}
	}
	l.append(producerBatch{id: 1, n: 3, txn: true})
	l.append(producerBatch{id: 2, n: 1, txn: true}) // offset 3
	l.append(producerBatch{id: 1, seq: 3, n: 1, txn: true})
	unstable(0)
	b := marker(1, 0, record.ControlAbort, 7, l.end) // offset 5
	p, err := l.m.Check(b, FromCoordinator)
	if err != nil {
		t.Fatal(err)
	}
	txn, ok := l.m.Apply(&p)
	if want := (CompletedTxn{ProducerID: 1, FirstOffset: 0, LastOffset: 5, Aborted: true}); !ok || txn != want {
		t.Errorf("%+v", txn)
	}
	if lso := l.m.LastStableOffset(txn); lso != 3 {
		t.Errorf("lso %d", lso)
	}
	l.m.Complete(txn)
	l.end = 6
	unstable(0)
	l.m.OnHighWatermark(5)
	unstable(0)
	l.m.OnHighWatermark(6)
	unstable(3)
	var fenced *CoordinatorFencedError
	if _, err := l.write(marker(1, 0, record.ControlCommit, 6, l.end), FromCoordinator); !errors.As(err, &fenced) {
		t.Errorf("marker of an old coordinator: %v", err)
	}
	if _, err := l.write(marker(2, 0, record.ControlCommit, 7, l.end), FromCoordinator); err != nil {
		t.Error(err)
	}
	if _, ok := l.m.FirstUndecided(); ok {
		t.Error("a transaction is open")
	}
	unstable(3)
	l.m.OnHighWatermark(7)
	unstable(-1)
	// A marker with a higher epoch (the coordinator fencing a producer) empties the window; the next batch starts at 0.
	if _, err := l.write(marker(1, 1, record.ControlAbort, 7, l.end), FromCoordinator); err != nil {
		t.Error(err)
	}
	if _, err := l.append(producerBatch{id: 1, epoch: 1, seq: 0, n: 1}); err != nil {
		t.Error(err)
	}
}

func TestSnapshotsAndExpiry(t *testing.T) {
	fsys := vfs.NewMem()
	fsys.MkdirAll("/l", 0o755)
	var l log
	l.append(producerBatch{id: 9, epoch: 2, n: 3})
	l.append(producerBatch{id: 1, n: 2, txn: true})
	if err := l.m.TakeSnapshot(fsys, "/l"); err != nil {
		t.Fatal(err)
	}
	l.append(producerBatch{id: 9, epoch: 2, seq: 3, n: 1})
	if err := l.m.TakeSnapshot(fsys, "/l"); err != nil {
		t.Fatal(err)
	}
	if got, _ := ListSnapshots(fsys, "/l"); !slices.Equal(got, []int64{5, 6}) {
		t.Fatal(got)
	}
	f, _ := fsys.OpenFile("/l/"+SnapshotName(6), os.O_RDWR, 0)
	f.WriteAt([]byte{1}, 12) // corrupt the newest
	f.Close()
	write := func(name string) {
		f, _ := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		f.Close()
	}
	write("/l/00000000000000000099.snapshot") // beyond the end
	write("/l/x.snapshot")                    // not ours

	var m Manager
	if err := m.TruncateAndReload(fsys, "/l", 0, 6, testNow, DefaultExpiration); err != nil {
		t.Fatal(err)
	}
	if m.MapEnd() != 5 || m.Len() != 2 {
		t.Errorf("map end %d, %d producers", m.MapEnd(), m.Len())
	}
	if o, ok := m.FirstUnstable(); !ok || o != 3 {
		t.Errorf("open transaction at %d, %v", o, ok)
	}
	if got, _ := ListSnapshots(fsys, "/l"); !slices.Equal(got, []int64{5}) {
		t.Error(got)
	}
	// Without its transaction the silent producer expires on loading, the other stays.
	var late Manager
	if err := late.TruncateAndReload(fsys, "/l", 0, 6, testNow.Add(DefaultExpiration), DefaultExpiration); err != nil || late.Len() != 1 {
		t.Error(err, late.Len())
	}
	m.RemoveExpired(testNow.Add(DefaultExpiration-time.Millisecond), DefaultExpiration)
	if m.Len() != 2 {
		t.Error("expired too early")
	}
	m.RemoveExpired(testNow.Add(DefaultExpiration), DefaultExpiration)
	if m.Len() != 1 {
		t.Errorf("%d producers", m.Len())
	}
	if err := m.TruncateHead(fsys, "/l", 6); err != nil || m.MapEnd() != 6 {
		t.Error(err, m.MapEnd())
	}
	if got, _ := ListSnapshots(fsys, "/l"); len(got) != 0 {
		t.Error(got)
	}
	if err := m.TruncateFullyAndStartAt(fsys, "/l", 50); err != nil || !m.Empty() || m.MapEnd() != 50 {
		t.Error(err, m.Empty(), m.MapEnd())
	}
}

// A snapshot keeps one batch of each producer; the log has the others.
func TestBackfillCompletesWindows(t *testing.T) {
	fsys := vfs.NewMem()
	fsys.MkdirAll("/l", 0o755)
	var l log
	var written []record.Batch
	for i := range int32(8) {
		for id := range int64(2) {
			b := producerBatch{id: id, seq: 2 * i, n: 2}.at(l.end)
			if _, err := l.write(b, FromClient); err != nil {
				t.Fatal(err)
			}
			written = append(written, b)
		}
	}
	if err := l.m.TakeSnapshot(fsys, "/l"); err != nil {
		t.Fatal(err)
	}
	var m Manager
	if err := m.TruncateAndReload(fsys, "/l", 0, l.end, testNow, DefaultExpiration); err != nil {
		t.Fatal(err)
	}
	retry := producerBatch{id: 1, seq: 6, n: 2}.at(l.end)
	if _, err := m.Check(retry, FromClient); err == nil {
		t.Fatal("known without the log?")
	}
	bf := m.NewBackfill()
	for _, b := range written {
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		bf.Add(&h)
	}
	bf.Done()
	for i := range int32(8) {
		p, err := m.Check(producerBatch{id: 1, seq: 2 * i, n: 2}.at(l.end), FromClient)
		want, werr := l.m.Check(producerBatch{id: 1, seq: 2 * i, n: 2}.at(l.end), FromClient)
		if p != want || (err == nil) != (werr == nil) {
			t.Errorf("sequence %d: %+v %v, before the restart %+v %v", 2*i, p, err, want, werr)
		}
	}
	if m.NewBackfill() != nil {
		t.Error("windows are not complete")
	}
}

func goldenLogs(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob("../testdata/golden/*/log/*-[0-9]*")
	if err != nil || len(dirs) == 0 {
		t.Skip("no golden directories: ", err)
	}
	return dirs
}

// The state built from the batches of a log that Apache Kafka wrote must be the one in its snapshots.
func TestAgreesWithKafkasSnapshots(t *testing.T) {
	compared := 0
	for _, dir := range goldenLogs(t) {
		segments, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		slices.Sort(segments)
		if len(segments) == 0 || filepath.Base(segments[0]) != "00000000000000000000.log" {
			continue
		}
		var m Manager
		compare := func() {
			want, err := ReadSnapshot(vfs.OS, filepath.Join(dir, SnapshotName(m.MapEnd())))
			if errors.Is(err, os.ErrNotExist) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(want, func(a, b SnapshotEntry) int { return int(a.ProducerID - b.ProducerID) })
			// The recordings' timestamps are years old, so their broker forgot producers whenever its sweep for expired ones ran.
			got := slices.DeleteFunc(m.Entries(), func(e SnapshotEntry) bool {
				return !slices.ContainsFunc(want, func(w SnapshotEntry) bool { return w.ProducerID == e.ProducerID })
			})
			if !slices.Equal(got, want) {
				t.Errorf("%s at %d:\n%+v\nwant\n%+v", dir, m.MapEnd(), got, want)
			}
			raw, _ := os.ReadFile(filepath.Join(dir, SnapshotName(m.MapEnd())))
			decoded, _ := DecodeSnapshot(raw)
			if !bytes.Equal(EncodeSnapshot(nil, decoded), raw) {
				t.Errorf("%s at %d: re-encoding differs", dir, m.MapEnd())
			}
			compared += len(want)
		}
		for _, s := range segments {
			base, _ := strconv.ParseInt(strings.TrimSuffix(filepath.Base(s), ".log"), 10, 64)
			m.SetMapEnd(base)
			compare()
			data, err := os.ReadFile(s)
			if err != nil {
				t.Fatal(err)
			}
			for len(data) > 0 {
				b, rest, err := record.Next(data)
				if err != nil {
					break
				}
				data = rest
				if b[16] < 2 {
					continue
				}
				if err := m.Load(b); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
				m.SetMapEnd(record.Batch(b).NextOffset())
			}
		}
		compare()
	}
	if compared < 5 {
		t.Errorf("only %d producers were compared", compared)
	}
}

// Properties: no panic, no allocation beyond what the bytes hold; what decodes encodes to the same bytes.
func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(EncodeSnapshot(nil, nil))
	f.Add(EncodeSnapshot(nil, []SnapshotEntry{{ProducerID: 1, LastOffset: 5, TxnFirstOffset: -1}, {ProducerID: 1 << 40, ProducerEpoch: 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := DecodeSnapshot(b)
		if err != nil {
			return
		}
		again := EncodeSnapshot(nil, entries)
		if !bytes.Equal(again, b[:len(again)]) && len(again) == len(b) {
			t.Fatalf("%x became %x", b, again)
		}
		var m Manager
		m.restore(entries, testNow, DefaultExpiration)
		_ = m.Entries()
	})
}

// naiveWindow is the sequence check of one producer and epoch over the whole history: what a client may see depends on the last
// five batches only.
func FuzzSequencesAgainstHistory(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 0, 1, 9})
	f.Fuzz(func(t *testing.T, ops []byte) {
		type written struct {
			seq    int32
			n      int
			offset int64
		}
		var l log
		var history []written
		next := int32(0)
		for _, op := range ops {
			n := int(op>>6) + 1
			seq := next - int32(op&0x0f) + 3
			if seq < 0 {
				seq = 0
			}
			p, err := l.append(producerBatch{id: 1, seq: seq, n: n})
			var dup *written
			for i := max(0, len(history)-windowSize); i < len(history); i++ {
				if history[i].seq == seq && history[i].n == n {
					dup = &history[i]
					break
				}
			}
			switch {
			case dup != nil:
				if err != nil || !p.IsDuplicate || p.Duplicate.FirstOffset != dup.offset {
					t.Fatalf("sequence %d: %+v %v, was written at %d", seq, p, err, dup.offset)
				}
			case len(history) == 0 || seq == next:
				if err != nil || p.IsDuplicate {
					t.Fatalf("sequence %d: %+v %v", seq, p, err)
				}
				history = append(history, written{seq, n, l.end - int64(n)})
				next = seq + int32(n)
			default:
				if err == nil {
					t.Fatalf("sequence %d after %d passes", seq, next)
				}
			}
		}
	})
}

func BenchmarkCheckApply(b *testing.B) {
	var l log
	batch := producerBatch{id: 1, n: 10}.at(0)
	l.write(batch, FromClient)
	b.ReportAllocs()
	seq := int32(10)
	for b.Loop() {
		be := batch[53:57]
		be[0], be[1], be[2], be[3] = byte(seq>>24), byte(seq>>16), byte(seq>>8), byte(seq)
		p, err := l.m.Check(batch, FromClient)
		if err != nil {
			b.Fatal(err)
		}
		l.m.Apply(&p)
		if seq += 10; seq < 0 {
			b.Fatal("too many iterations")
		}
	}
}
