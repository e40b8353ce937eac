package storage

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gregor/internal/vfs"
	"gregor/storage/producerstate"
	"gregor/wire/record"
)

// txnModel is what a log with transactions must be like, in a few lines: each batch with what became of it.
type txnModel struct {
	batches []modelBatch
	open    map[int64]int64 // producer -> first offset
	ended   []modelTxn
	end     int64
}

type modelBatch struct {
	first, last int64
	producer    int64 // -1: not in a transaction
	marker      bool
}

type modelTxn struct {
	producer, first, marker int64
	aborted                 bool
}

// lso is the first offset of what is not decided, or whose marker lies at the high watermark or behind it.
func (m *txnModel) lso(hw int64) int64 {
	lso := m.undecided(hw)
	for _, e := range m.ended {
		if e.marker >= hw {
			lso = min(lso, e.first)
		}
	}
	return lso
}

// undecided is the high watermark, or the first offset of what is not decided.
func (m *txnModel) undecided(hw int64) int64 {
	for _, first := range m.open {
		hw = min(hw, first)
	}
	return hw
}

// visible are the first offsets of the data batches that a reader of committed records gets in [from, upTo).
func (m *txnModel) visible(from, upTo int64) (out []int64) {
	for _, b := range m.batches {
		if b.marker || b.last < from || b.first >= upTo {
			continue
		}
		aborted := false
		for _, e := range m.ended {
			aborted = aborted || e.aborted && e.producer == b.producer && b.first >= e.first && b.first < e.marker
		}
		if !aborted {
			out = append(out, b.first)
		}
	}
	return out
}

// truncate takes the model back to an offset, which is where a batch begins.
func (m *txnModel) truncate(offset int64) {
	m.batches = slices.DeleteFunc(m.batches, func(b modelBatch) bool { return b.first >= offset })
	m.end = offset
	maps.DeleteFunc(m.open, func(_, first int64) bool { return first >= offset })
	m.ended = slices.DeleteFunc(m.ended, func(e modelTxn) bool {
		if e.marker < offset {
			return false
		}
		if e.first < offset && slices.ContainsFunc(m.batches, func(b modelBatch) bool { return b.producer == e.producer && b.first == e.first && !b.marker }) {
			m.open[e.producer] = e.first
		}
		return true
	})
}

// readCommitted reads as a client does that wants committed records: it drops the batches of producers with an aborted transaction that has
// begun, until its marker.
func readCommitted(t testing.TB, l *Log, from int64) (out []int64) {
	t.Helper()
	for at, upTo := from, l.LastStableOffset(); at < upTo; {
		sl, err := l.Read(at, 700, true, upTo)
		if err != nil {
			t.Fatal(err)
		}
		if sl.Length == 0 {
			break
		}
		aborted, err := l.AbortedTxns(&sl)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, sl.Length)
		if err := readFull(sl.File, b, sl.Offset); err != nil {
			t.Fatal(err)
		}
		sl.Release()
		slices.SortFunc(aborted, func(a, b AbortedTxn) int { return int(a.FirstOffset - b.FirstOffset) })
		dropped := map[int64]bool{}
		next := at
		for {
			one, rest, err := record.Next(b)
			if err != nil {
				break
			}
			h, err := record.ParseHeader(one)
			if err != nil {
				t.Fatal(err)
			}
			for len(aborted) > 0 && aborted[0].FirstOffset <= h.LastOffset() {
				dropped[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			switch {
			case h.IsControl():
				if m, _, err := record.ParseEndTxnMarker(one); err != nil {
					t.Fatal(err)
				} else if m.Type == record.ControlAbort {
					delete(dropped, h.ProducerID)
				}
			case h.IsTransactional() && dropped[h.ProducerID]:
			case h.LastOffset() >= at:
				out = append(out, h.BaseOffset)
			}
			next, b = h.NextOffset(), rest
		}
		if next == at {
			t.Fatalf("no progress at %d", at)
		}
		at = next
	}
	return out
}

// txnWorld writes to a leader's log at random and copies it to a follower's.
type txnWorld struct {
	t        *testing.T
	rng      *rand.Rand
	mem      *vfs.Mem
	m        *Manager
	leader   *Log
	follower *Log
	model    txnModel
	seqs     map[int64]int32
	epochs   map[int64]int16
	hw       int64
	now      int64
	cutAt    int64 // the log's end when it was cut last: a shorter file is not durable before something is written to it
	// reopened: a snapshot does not say which decided transactions were not below the high watermark yet, as in Kafka. What readers see of
	// them is right all the same.
	reopened bool
}

func (w *txnWorld) open() {
	o := testOptions(w.mem, "/a")
	o.Defaults = smallSegments()
	o.Defaults.SegmentBytes = 1500
	w.m = mustOpen(w.t, o)
	w.leader, w.follower = mustCreate(w.t, w.m, "leader", 0), mustCreate(w.t, w.m, "follower", 0)
	w.leader.SetHighWatermark(w.hw)
	w.follower.SetHighWatermark(w.hw)
	w.reopened = w.model.end > 0
}

func (w *txnWorld) append(batch []byte, origin Origin) AppendInfo {
	w.t.Helper()
	info, err := w.leader.AppendAsLeader(batch, 0, origin, time.UnixMilli(w.now))
	if err != nil {
		w.t.Fatal(err)
	}
	w.model.end = info.LastOffset + 1
	return info
}

func (w *txnWorld) write() {
	producer := int64(w.rng.IntN(4))
	switch n := w.rng.IntN(10); {
	case n < 2:
		info := w.append(batchOf(1+w.rng.IntN(3), 20, w.now), FromClient)
		w.model.batches = append(w.model.batches, modelBatch{info.FirstOffset, info.LastOffset, -1, false})
	case n < 7:
		b := record.NewBuilder()
		b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = producer, w.epochs[producer], w.seqs[producer], true
		count := 1 + w.rng.IntN(3)
		for range count {
			b.Append(w.now, nil, []byte("a value of some length"))
		}
		batch, err := b.Build()
		if err != nil {
			w.t.Fatal(err)
		}
		w.seqs[producer] += int32(count)
		info := w.append(batch, FromClient)
		w.model.batches = append(w.model.batches, modelBatch{info.FirstOffset, info.LastOffset, producer, false})
		if _, is := w.model.open[producer]; !is {
			w.model.open[producer] = info.FirstOffset
		}
	default:
		kind := record.ControlType(w.rng.IntN(2))
		if w.rng.IntN(5) == 0 && kind == record.ControlAbort { // its producer is fenced
			w.epochs[producer]++
			w.seqs[producer] = 0
		}
		info := w.append(record.BuildEndTxnMarker(producer, w.epochs[producer], record.EndTxnMarker{Type: kind, Timestamp: w.now}, 0), FromCoordinator)
		w.model.batches = append(w.model.batches, modelBatch{info.FirstOffset, info.LastOffset, producer, true})
		first, is := w.model.open[producer]
		if !is {
			first = info.FirstOffset // of a transaction that wrote nothing here
		}
		delete(w.model.open, producer)
		w.model.ended = append(w.model.ended, modelTxn{producer, first, info.FirstOffset, kind == record.ControlAbort})
	}
}

func (w *txnWorld) replicate() {
	for at := w.follower.LogEndOffset(); at < w.leader.LogEndOffset(); at = w.follower.LogEndOffset() {
		sl, err := w.leader.Read(at, 1+w.rng.IntN(1200), true, math.MaxInt64)
		if err != nil {
			w.t.Fatal(err)
		}
		b := make([]byte, sl.Length)
		if err := readFull(sl.File, b, sl.Offset); err != nil {
			w.t.Fatal(err)
		}
		sl.Release()
		if _, err := w.follower.AppendAsFollower(b); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *txnWorld) advance() {
	for _, b := range w.model.batches { // it lies between batches
		if b.last >= w.hw && w.rng.IntN(3) > 0 {
			w.hw = b.last + 1
		}
	}
	w.leader.SetHighWatermark(w.hw)
	w.follower.SetHighWatermark(w.hw)
}

func (w *txnWorld) check(what string) {
	w.t.Helper()
	logs := map[string]*Log{"the leader": w.leader}
	if w.follower.LogEndOffset() == w.leader.LogEndOffset() {
		logs["the follower"] = w.follower
	}
	for name, l := range logs {
		got, want, most := l.LastStableOffset(), w.model.lso(w.hw), w.model.undecided(w.hw)
		if got < want || got > most || got != want && !w.reopened {
			w.t.Fatalf("%s: the last stable offset of %s is %d, want %d; high watermark %d, open %v, ended %v", what, name, got, want, w.hw, w.model.open, w.model.ended)
		}
		from := w.rng.Int64N(w.hw + 1)
		if got, want := readCommitted(w.t, l, from), w.model.visible(from, l.LastStableOffset()); !slices.Equal(got, want) {
			w.t.Fatalf("%s: from %d on %s shows %v, want %v", what, from, name, got, want)
		}
	}
	if len(logs) == 2 {
		if a, b := states(w.leader), states(w.follower); !slices.Equal(a, b) {
			w.t.Fatalf("%s: leader and follower know of producers\n%v\n%v", what, a, b)
		}
	}
}

// states are the producers without their times, which recovery takes from the batches.
func states(l *Log) []producerstate.SnapshotEntry { return l.Producers() }

// TestTransactionsAreTheSameOnEveryReplica: open transactions, the last stable offset and what readers see, on the leader and on the
// follower, with segments that roll, clean and unclean ends, and truncation, beside a model.
func TestTransactionsAreTheSameOnEveryReplica(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := &txnWorld{t: t, rng: rand.New(rand.NewPCG(seed, 5)), mem: vfs.NewMem(), model: txnModel{open: map[int64]int64{}},
				seqs: map[int64]int32{}, epochs: map[int64]int16{}, now: time.Now().UnixMilli(), cutAt: -1}
			w.open()
			for range 150 {
				switch n := w.rng.IntN(100); {
				case n < 70:
					w.write()
				case n < 82:
					w.replicate()
				case n < 94:
					w.replicate()
					w.advance()
				case n < 96:
					w.replicate()
					mustClose(t, w.m)
					w.open()
					w.check("after a clean end")
				case n < 98 && w.model.end != w.cutAt:
					w.replicate()
					for _, l := range []*Log{w.leader, w.follower} {
						if err := l.Flush(); err != nil {
							t.Fatal(err)
						}
					}
					crashed := w.mem.CrashClone()
					kill(w.m)
					w.mem = crashed
					w.open()
					if end := w.leader.LogEndOffset(); end != w.model.end {
						t.Fatalf("after a crash the log ends at %d, %d was flushed", end, w.model.end)
					}
					w.check("after a crash")
				default:
					w.cut()
				}
				w.check("on the way")
			}
			kill(w.m)
		})
	}
}

// cut truncates both logs to where a batch begins, above the high watermark.
func (w *txnWorld) cut() {
	w.replicate()
	for _, b := range w.model.batches {
		if b.first >= w.hw && w.rng.IntN(3) == 0 {
			for _, l := range []*Log{w.leader, w.follower} {
				if err := l.TruncateTo(b.first); err != nil {
					w.t.Fatal(err)
				}
			}
			w.model.truncate(b.first)
			w.cutAt = b.first
			// What the producers think of their sequences is not what the log knows now: they begin a new epoch.
			for id := range int64(4) {
				w.epochs[id]++
				w.seqs[id] = 0
			}
			w.check("after truncation")
			return
		}
	}
}

// A batch may be kept from opening a transaction, and is judged by all other rules first.
func TestABatchOpensATransactionOnlyIfItMay(t *testing.T) {
	_, l := openTemp(t, DefaultConfig())
	batch := func(seq int32) []byte {
		b := record.NewBuilder()
		b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = 7, 1, seq, true
		b.Append(testTime, nil, []byte("x"))
		out, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	put := func(seq int32, ends int64) error {
		_, err := l.AppendInTxn(batch(seq), 0, FromClient, time.UnixMilli(testTime), ends)
		return err
	}
	if err := put(0, NoTxn); !errors.Is(err, ErrOpensTxn) {
		t.Errorf("one that may not: %v", err)
	}
	open, ends := l.TxnOf(7, 1)
	if open || put(0, ends) != nil {
		t.Error("one that may is refused")
	}
	if open, _ := l.TxnOf(7, 1); !open {
		t.Error("the transaction is not open")
	}
	if open, _ := l.TxnOf(7, 2); open {
		t.Error("it is open for another epoch")
	}
	if err := put(1, NoTxn); err != nil {
		t.Errorf("one in the open transaction: %v", err)
	}
	marker := record.BuildEndTxnMarker(7, 1, record.EndTxnMarker{Type: record.ControlCommit, Timestamp: testTime}, 0)
	if _, err := l.AppendAsLeader(marker, 0, FromCoordinator, time.UnixMilli(testTime)); err != nil {
		t.Fatal(err)
	}
	if err := put(2, ends); !errors.Is(err, ErrOpensTxn) {
		t.Errorf("one that was allowed before the transaction ended: %v", err)
	}
	if err := put(1, NoTxn); err != nil {
		t.Errorf("one that is in the log already: %v", err)
	}
	var order *producerstate.OutOfOrderSequenceError
	if err := put(9, NoTxn); !errors.As(err, &order) {
		t.Errorf("one with a gap before it: %v", err)
	}
	if err := put(2, AnyTxn); err != nil {
		t.Errorf("any: %v", err)
	}
}
