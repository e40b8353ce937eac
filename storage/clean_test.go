package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gregor/internal/vfs"
	"gregor/wire/compress"
	"gregor/wire/record"
)

// aRecord is a record of the model: what was appended, or what is read.
type aRecord struct {
	offset, ts int64
	key, value string
	tombstone  bool
	noKey      bool
	producer   int64
	aborted    bool // known once its transaction is decided
}

// cleanModel is a log beside a list of everything that was appended to it.
type cleanModel struct {
	t       testing.TB
	l       *Log
	r       *rand.Rand
	records []aRecord
	seq     map[int64]int32
	open    map[int64][]int // transactions: indexes into records
	now     int64
}

func compactConfig() Config {
	cfg := DefaultConfig()
	cfg.Delete, cfg.Compact = false, true
	cfg.SegmentBytes = 2000
	cfg.IndexIntervalBytes = 200
	cfg.MinCleanableDirtyRatio = 0
	cfg.FileDeleteDelayMs = 0
	return cfg
}

func newCleanModel(t testing.TB, l *Log, seed uint64) *cleanModel {
	return &cleanModel{t: t, l: l, r: rand.New(rand.NewPCG(seed, 7)), seq: map[int64]int32{}, open: map[int64][]int{}, now: testTime}
}

func (m *cleanModel) append(b record.Batch) AppendInfo {
	m.t.Helper()
	origin := FromClient
	if b.IsControl() || b.HasProducerID() {
		origin = FromCoordinator
	}
	info, err := m.l.AppendAsLeader(b, 0, origin, time.UnixMilli(m.now))
	if err != nil {
		m.t.Fatalf("append: %v", err)
	}
	m.l.SetHighWatermark(m.l.LogEndOffset())
	m.now += 10
	return info
}

// data appends a batch of n random records; producer 0 stands for none, odd ones write transactions.
func (m *cleanModel) data(n int, producer int64) {
	m.t.Helper()
	b := record.NewBuilder()
	b.Codec = []compress.Codec{compress.None, compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd}[m.r.IntN(6)]
	magic := m.l.cfg.Load().Magic
	if magic < 2 {
		producer = 0 // the old formats have none, no headers and no zstd
		b.Codec %= compress.Zstd
	}
	if producer > 0 {
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = producer, 0, m.seq[producer]
		b.Transactional = producer%2 == 1
		m.seq[producer] += int32(n)
	}
	at := len(m.records)
	for i := range n {
		r := aRecord{ts: m.now + int64(m.r.IntN(5)), key: "key" + strconv.Itoa(m.r.IntN(40)), producer: producer}
		var value []byte
		if r.tombstone = m.r.IntN(8) == 0; !r.tombstone {
			r.value = fmt.Sprintf("value-%d-%d-%s", at+i, m.r.IntN(1000), bytes.Repeat([]byte("x"), m.r.IntN(60)))
			value = []byte(r.value)
		}
		var headers []record.KeyValue
		if m.r.IntN(4) == 0 && magic == 2 {
			headers = append(headers, record.KeyValue{Key: "h", Value: []byte("v")})
		}
		b.Append(r.ts, []byte(r.key), value, headers...)
		if magic == 0 {
			r.ts = NoTimestamp
		}
		m.records = append(m.records, r)
	}
	out, err := b.Build()
	if err != nil {
		m.t.Fatal(err)
	}
	info := m.append(out)
	for i := range n {
		m.records[at+i].offset = info.FirstOffset + int64(i)
		if b.Transactional {
			m.open[producer] = append(m.open[producer], at+i)
		}
	}
}

func (m *cleanModel) end(producer int64, commit bool) {
	if len(m.open[producer]) == 0 {
		return
	}
	typ := record.ControlAbort
	if commit {
		typ = record.ControlCommit
	}
	for _, i := range m.open[producer] {
		m.records[i].aborted = !commit
	}
	delete(m.open, producer)
	m.append(record.BuildEndTxnMarker(producer, 0, record.EndTxnMarker{Type: typ, Timestamp: m.now}, 0))
}

// step does something that clients may do.
func (m *cleanModel) step() {
	switch p := int64(m.r.IntN(6)); m.r.IntN(8) {
	case 0:
		m.end(p|1, m.r.IntN(2) == 0)
	default:
		m.data(1+m.r.IntN(6), p)
	}
}

func testWasher(cfg CleanerConfig) *washer {
	return cfg.newWasher(func(int) {}, func() error { return nil }, func() int64 { return testTime })
}

// cleanNow cleans the log as a cleaner thread would, whether it is due or not.
func cleanNow(l *Log, w *washer) (end int64, err error) {
	c, err := l.cleanable(time.UnixMilli(testTime))
	if err != nil || c.dirtyBytes == 0 {
		return c.dirty, err
	}
	if end, err = w.clean(c); err != nil {
		return c.dirty, err
	}
	return end, l.cleanedUpTo(end, w.truncations)
}

// readRecords reads what is in the log; committed leaves out what the transaction indexes say was aborted, as consumers do.
func readRecords(t testing.TB, l *Log, committed bool) []aRecord {
	t.Helper()
	var out []aRecord
	offset, upTo := l.LogStartOffset(), l.LogEndOffset()
	if committed {
		upTo = l.LastStableOffset()
	}
	for offset < upTo {
		sl, err := l.Read(offset, 700, true, upTo)
		if err != nil {
			t.Fatalf("Read(%d): %v", offset, err)
		}
		if sl.Length == 0 {
			break
		}
		b := make([]byte, sl.Length)
		if err := readFull(sl.File, b, sl.Offset); err != nil {
			t.Fatal(err)
		}
		aborted, err := l.AbortedTxns(&sl)
		if err != nil {
			t.Fatal(err)
		}
		sl.Release()
		dropping := map[int64]bool{}
		for {
			one, rest, err := record.Next(b)
			if err != nil {
				break
			}
			b = rest
			h, err := record.ParseHeader(one)
			if err != nil {
				t.Fatal(err)
			}
			if !validCRC(one, &h) {
				t.Fatalf("the batch at offset %d has a wrong crc", h.BaseOffset)
			}
			for _, a := range aborted {
				if a.FirstOffset <= h.LastOffset() && a.FirstOffset >= offset-100_000 && !h.IsControl() && a.ProducerID == h.ProducerID {
					dropping[a.ProducerID] = true
				}
			}
			if h.IsControl() {
				if mk, ok, _ := record.ParseEndTxnMarker(one); ok && mk.Type == record.ControlAbort {
					delete(dropping, h.ProducerID)
					aborted = slices.DeleteFunc(aborted, func(a AbortedTxn) bool { return a.ProducerID == h.ProducerID && a.FirstOffset <= h.BaseOffset })
				}
			}
			it := record.NewIter(one, 1<<20)
			for it.Next() && !h.IsControl() {
				r := &it.Record
				if r.Offset < offset || committed && h.IsTransactional() && dropping[h.ProducerID] {
					continue
				}
				out = append(out, aRecord{offset: r.Offset, ts: r.Timestamp, key: string(r.Key), value: string(r.Value), tombstone: r.Value == nil,
					noKey: r.Key == nil, producer: max(h.ProducerID, 0)})
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
			it.Close()
			offset = h.NextOffset()
		}
	}
	return out
}

// check holds the log against the model: cleaned is the offset up to which it was cleaned, keepTombstones whether none was due.
func (m *cleanModel) check(cleaned int64, complete bool) {
	m.t.Helper()
	got := readRecords(m.t, m.l, false)
	byOffset := map[int64]aRecord{}
	for _, r := range m.records {
		byOffset[r.offset] = r
	}
	have := map[int64]bool{}
	for i, r := range got {
		want, ok := byOffset[r.offset]
		want.aborted = false
		if !ok || r != want {
			m.t.Fatalf("offset %d: read %+v, appended %+v (%v)", r.offset, r, want, ok)
		}
		if i > 0 && got[i-1].offset >= r.offset {
			m.t.Fatalf("offset %d follows %d", r.offset, got[i-1].offset)
		}
		have[r.offset] = true
	}
	newest := map[string]int64{} // of each key, below cleaned
	for _, r := range m.records {
		if r.offset < cleaned && !r.aborted {
			newest[r.key] = r.offset
		}
	}
	for _, r := range m.records {
		switch {
		case r.offset >= cleaned && !have[r.offset]:
			m.t.Fatalf("offset %d is gone, and was not below the cleaned end %d", r.offset, cleaned)
		case r.offset < cleaned && !r.aborted && newest[r.key] == r.offset && !r.tombstone && !have[r.offset]:
			m.t.Fatalf("offset %d, the newest of %s below %d, is gone", r.offset, r.key, cleaned)
		case complete && have[r.offset] && r.offset < cleaned && (r.aborted || newest[r.key] > r.offset):
			m.t.Fatalf("offset %d of %s stayed (aborted %v), the newest below %d is %d", r.offset, r.key, r.aborted, cleaned, newest[r.key])
		}
	}
	var want []int64
	for _, r := range m.records {
		if have[r.offset] && !r.aborted && r.offset < m.l.LastStableOffset() {
			want = append(want, r.offset)
		}
	}
	var offsets []int64
	for _, r := range readRecords(m.t, m.l, true) {
		offsets = append(offsets, r.offset)
	}
	if !slices.Equal(offsets, want) {
		m.t.Fatalf("a consumer of committed records sees %v, want %v", offsets, want)
	}
}

func TestCleanedLogsHoldTheNewestOfEachKey(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(strconv.Itoa(int(seed)), func(t *testing.T) {
			fs := vfs.NewMem()
			o := testOptions(fs, "/d")
			o.Defaults = compactConfig()
			if seed >= 30 {
				o.Defaults.Magic = int8(seed % 2)
			}
			mgr := mustOpen(t, o)
			defer func() { kill(mgr) }()
			m := newCleanModel(t, mustCreate(t, mgr, "t", 0), seed)
			cfg := DefaultCleanerConfig()
			if seed%3 == 1 {
				cfg.DedupeBufferBytes = 30 * 24 // no room for all keys
			}
			if seed%2 == 1 {
				cfg.IOBufferBytes = 0
			}
			w := testWasher(cfg)
			last := int64(0)
			for round := range 6 {
				for range 30 {
					m.step()
				}
				end, err := cleanNow(m.l, w)
				if err != nil {
					t.Fatalf("seed %d, round %d: %v", seed, round, err)
				}
				if end < last {
					t.Fatalf("cleaned up to %d after %d", end, last)
				}
				last = end
				m.check(end, true)
				if m.r.IntN(3) == 0 {
					if m.r.IntN(2) == 0 {
						mustClose(t, mgr)
					} else {
						kill(mgr)
					}
					mgr = mustOpen(t, o)
					m.l, _ = mgr.Get(m.l.tp)
					m.l.SetHighWatermark(m.l.LogEndOffset())
					if got := m.l.cleaned.Load(); got != end && got >= 0 {
						t.Fatalf("the checkpoint says %d, the cleaning ended at %d", got, end)
					}
					m.check(end, true)
				}
			}
		})
	}
}

// A cleaning that is cut off at any operation leaves a log in which nothing is lost, whether the process or the power went.
func TestCleaningSurvivesACrashAtEveryStep(t *testing.T) {
	for _, power := range []bool{false, true} {
		for step := 1; ; step++ {
			mem := vfs.NewMem()
			var mu sync.Mutex
			left, armed := step, false
			var image *vfs.Mem
			dead := errors.New("the process is gone")
			fs := vfs.NewFault(mem, func(op vfs.Op, name string) error {
				mu.Lock()
				defer mu.Unlock()
				if !armed || op == vfs.OpRead || op == vfs.OpClose || op == vfs.OpStat {
					return nil
				}
				if left--; left > 0 {
					return nil
				}
				if power && image == nil {
					image = mem.CrashClone()
				}
				return dead
			})
			o := testOptions(fs, "/d")
			o.Defaults = compactConfig()
			o.Defaults.FileDeleteDelayMs = 60_000
			mgr := mustOpen(t, o)
			m := newCleanModel(t, mustCreate(t, mgr, "t", 0), 5)
			w := testWasher(DefaultCleanerConfig())
			for range 30 {
				m.step()
			}
			if _, err := cleanNow(m.l, w); err != nil {
				t.Fatal(err)
			}
			for range 30 {
				m.step()
			}
			if err := m.l.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := mgr.checkpointDir(m.l.dir); err != nil {
				t.Fatal(err)
			}
			arm := func(on bool) {
				mu.Lock()
				armed = on
				mu.Unlock()
			}
			arm(true)
			_, err := cleanNow(m.l, w)
			arm(false)
			kill(mgr)
			if err == nil {
				if step < 30 {
					t.Fatalf("a cleaning took only %d operations", step)
				}
				break
			}
			o.FS = mem
			if power {
				o.FS = image
			}
			mgr = mustOpen(t, o)
			m.l, _ = mgr.Get(m.l.tp)
			m.l.SetHighWatermark(m.l.LogEndOffset())
			if m.l.LogEndOffset() <= m.records[len(m.records)-1].offset {
				t.Fatalf("step %d: the log ends at %d", step, m.l.LogEndOffset())
			}
			// What the interrupted cleaning was about to take in is below the active segment's base.
			m.check(m.l.active().base, false)
			if _, err := cleanNow(m.l, testWasher(DefaultCleanerConfig())); err != nil {
				t.Fatalf("step %d, power %v: cleaning after the restart: %v", step, power, err)
			}
			m.check(m.l.cleaned.Load(), true)
			names, err := mgr.fs.ReadDir(m.l.path())
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range names {
				if _, rest, ok := parseOffsetName(n.Name()); ok && (bytes.HasSuffix([]byte(rest), []byte(suffixSwap)) || bytes.HasSuffix([]byte(rest), []byte(suffixCleaned))) {
					t.Fatalf("step %d: %s is left", step, n.Name())
				}
			}
			kill(mgr)
		}
	}
}
