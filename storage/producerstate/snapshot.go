package producerstate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gregor/internal/vfs"
)

// SnapshotSuffix ends the names of snapshot files; before it stands the offset in 20 digits.
const SnapshotSuffix = ".snapshot"

// SnapshotName is the file name of the snapshot at offset.
func SnapshotName(offset int64) string { return fmt.Sprintf("%020d%s", offset, SnapshotSuffix) }

// SnapshotEntry is one producer in a snapshot file.
type SnapshotEntry struct {
	ProducerID       int64
	ProducerEpoch    int16
	LastSequence     int32
	LastOffset       int64
	OffsetDelta      int32
	Timestamp        int64
	CoordinatorEpoch int32
	TxnFirstOffset   int64 // -1 for none
}

// CorruptSnapshotError says why a snapshot file cannot be used; the state must then come from an older one or the log.
type CorruptSnapshotError struct{ Reason string }

func (e *CorruptSnapshotError) Error() string { return "corrupt producer snapshot: " + e.Reason }

// The file: version (int16), CRC-32C of what follows, number of entries, entries.
const (
	snapshotVersion = 1
	snapshotHeader  = 2 + 4 + 4
	snapshotEntry   = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8
	posSnapshotCRC  = 2
	posSnapshotBody = 6

	// maxSnapshotFile is what a file may hold before it is taken for garbage: 20 million producers.
	maxSnapshotFile = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeSnapshot appends the bytes of a .snapshot file (version 1) to dst.
func EncodeSnapshot(dst []byte, entries []SnapshotEntry) []byte {
	be := binary.BigEndian
	start := len(dst)
	dst = be.AppendUint16(dst, snapshotVersion)
	dst = be.AppendUint32(dst, 0)
	dst = be.AppendUint32(dst, uint32(len(entries)))
	for _, e := range entries {
		dst = be.AppendUint64(dst, uint64(e.ProducerID))
		dst = be.AppendUint16(dst, uint16(e.ProducerEpoch))
		dst = be.AppendUint32(dst, uint32(e.LastSequence))
		dst = be.AppendUint64(dst, uint64(e.LastOffset))
		dst = be.AppendUint32(dst, uint32(e.OffsetDelta))
		dst = be.AppendUint64(dst, uint64(e.Timestamp))
		dst = be.AppendUint32(dst, uint32(e.CoordinatorEpoch))
		dst = be.AppendUint64(dst, uint64(e.TxnFirstOffset))
	}
	be.PutUint32(dst[start+posSnapshotCRC:], crc32.Checksum(dst[start+posSnapshotBody:], castagnoli))
	return dst
}

// DecodeSnapshot reads the bytes of a .snapshot file.
func DecodeSnapshot(b []byte) ([]SnapshotEntry, error) {
	if len(b) < snapshotHeader {
		return nil, &CorruptSnapshotError{fmt.Sprintf("%d bytes are fewer than a header has (%d)", len(b), snapshotHeader)}
	}
	be := binary.BigEndian
	if v := int16(be.Uint16(b)); v != snapshotVersion {
		return nil, &CorruptSnapshotError{fmt.Sprintf("version %d, known is %d", v, snapshotVersion)}
	}
	if stored, got := be.Uint32(b[posSnapshotCRC:]), crc32.Checksum(b[posSnapshotBody:], castagnoli); stored != got {
		return nil, &CorruptSnapshotError{fmt.Sprintf("stored crc %d, computed %d", stored, got)}
	}
	n := int32(be.Uint32(b[posSnapshotBody:]))
	b = b[snapshotHeader:]
	if n < 0 || int64(n)*snapshotEntry > int64(len(b)) {
		return nil, &CorruptSnapshotError{fmt.Sprintf("%d entries in %d bytes", n, len(b))}
	}
	entries := make([]SnapshotEntry, n)
	for i := range entries {
		entries[i] = SnapshotEntry{
			ProducerID:       int64(be.Uint64(b)),
			ProducerEpoch:    int16(be.Uint16(b[8:])),
			LastSequence:     int32(be.Uint32(b[10:])),
			LastOffset:       int64(be.Uint64(b[14:])),
			OffsetDelta:      int32(be.Uint32(b[22:])),
			Timestamp:        int64(be.Uint64(b[26:])),
			CoordinatorEpoch: int32(be.Uint32(b[34:])),
			TxnFirstOffset:   int64(be.Uint64(b[38:])),
		}
		b = b[snapshotEntry:]
	}
	return entries, nil
}

// Entries is the state as a snapshot holds it, by producer id.
func (m *Manager) Entries() []SnapshotEntry {
	if m.s == nil {
		return nil
	}
	out := make([]SnapshotEntry, 0, len(m.s.producers))
	for id, p := range m.s.producers {
		e := SnapshotEntry{
			ProducerID: id, ProducerEpoch: p.epoch, LastSequence: -1, LastOffset: -1,
			Timestamp: p.lastTimestamp, CoordinatorEpoch: p.coordinatorEpoch, TxnFirstOffset: p.txnFirstOffset,
		}
		if b, ok := p.last(); ok {
			e.LastSequence, e.LastOffset, e.OffsetDelta = b.lastSeq, b.lastOffset, b.offsetDelta
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b SnapshotEntry) int {
		if a.ProducerID < b.ProducerID {
			return -1
		}
		return 1
	})
	return out
}

// restore puts a snapshot's producers into an empty state.
func (m *Manager) restore(entries []SnapshotEntry, now time.Time, expiration time.Duration) {
	for _, e := range entries {
		if expired(e.TxnFirstOffset, e.Timestamp, now, expiration) {
			continue
		}
		if m.s == nil {
			m.s = &state{producers: make(map[int64]*producer)}
		}
		p := newProducer()
		p.epoch, p.coordinatorEpoch, p.lastTimestamp = e.ProducerEpoch, e.CoordinatorEpoch, e.Timestamp
		if e.LastOffset >= 0 {
			p.push(batch{lastOffset: e.LastOffset, timestamp: e.Timestamp, lastSeq: e.LastSequence, offsetDelta: e.OffsetDelta})
		}
		m.s.producers[e.ProducerID] = p
		if e.TxnFirstOffset >= 0 {
			p.txnFirstOffset = e.TxnFirstOffset
			m.s.open(openTxn{e.ProducerID, e.TxnFirstOffset, -1})
		}
	}
}

// TakeSnapshot writes MapEnd's .snapshot file into dir unless the newest one is as new. The file is not synced: after a crash its
// CRC tells, and the log is what counts.
func (m *Manager) TakeSnapshot(fsys vfs.FS, dir string) error {
	if m.mapEnd <= m.snapEnd {
		return nil
	}
	if err := writeSnapshot(fsys, dir, m.mapEnd, m.Entries()); err != nil {
		return err
	}
	m.snapEnd = m.mapEnd
	return nil
}

// WriteEmptySnapshot writes a snapshot without producers at offset, as Kafka does for every rolled segment.
func WriteEmptySnapshot(fsys vfs.FS, dir string, offset int64) error {
	return writeSnapshot(fsys, dir, offset, nil)
}

func writeSnapshot(fsys vfs.FS, dir string, offset int64, entries []SnapshotEntry) error {
	name := filepath.Join(dir, SnapshotName(offset))
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("creating producer snapshot %s: %w", name, err)
	}
	_, err = f.WriteAt(EncodeSnapshot(nil, entries), 0)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("writing producer snapshot %s: %w", name, err)
	}
	return nil
}

// ReadSnapshot reads and decodes one file.
func ReadSnapshot(fsys vfs.FS, name string) ([]SnapshotEntry, error) {
	b, err := vfs.ReadFile(fsys, name, maxSnapshotFile)
	if err != nil {
		return nil, err
	}
	return DecodeSnapshot(b)
}

// ListSnapshots returns the offsets of the snapshot files in dir, ascending; a missing dir has none.
func ListSnapshots(fsys vfs.FS, dir string) ([]int64, error) {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), SnapshotSuffix)
		if !ok || e.IsDir() {
			continue
		}
		if o, err := strconv.ParseInt(digits, 10, 64); err == nil && o >= 0 {
			out = append(out, o)
		}
	}
	slices.Sort(out)
	return out, nil
}

// DeleteSnapshotsBefore removes the snapshots below offset.
func DeleteSnapshotsBefore(fsys vfs.FS, dir string, offset int64) error {
	_, err := deleteSnapshots(fsys, dir, func(o int64) bool { return o < offset })
	return err
}

// deleteSnapshots removes the files that which picks and returns the offsets of the others, ascending.
func deleteSnapshots(fsys vfs.FS, dir string, which func(offset int64) bool) (kept []int64, err error) {
	offsets, err := ListSnapshots(fsys, dir)
	if err != nil {
		return nil, err
	}
	kept = offsets[:0]
	for _, o := range offsets {
		if !which(o) {
			kept = append(kept, o)
		} else if err := fsys.Remove(filepath.Join(dir, SnapshotName(o))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return kept, nil
}

// TruncateAndReload brings the state to what the newest snapshot at or below logEnd says, after the log was truncated there or
// opened; the caller then Loads the batches from MapEnd to logEnd. Snapshots outside (logStart, logEnd] are removed, and so are
// corrupt ones.
func (m *Manager) TruncateAndReload(fsys vfs.FS, dir string, logStart, logEnd int64, now time.Time, expiration time.Duration) error {
	offsets, err := deleteSnapshots(fsys, dir, func(o int64) bool { return o > logEnd || o <= logStart })
	if err != nil {
		return err
	}
	if logEnd == m.mapEnd {
		m.truncateHead(offsets, logStart)
		return nil
	}
	m.s = nil
	for i := len(offsets) - 1; i >= 0; i-- {
		name := filepath.Join(dir, SnapshotName(offsets[i]))
		entries, err := ReadSnapshot(fsys, name)
		if err == nil {
			m.restore(entries, now, expiration)
			m.mapEnd, m.snapEnd = offsets[i], offsets[i]
			return nil
		}
		var corrupt *CorruptSnapshotError
		if !errors.As(err, &corrupt) {
			return err
		}
		if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	m.mapEnd, m.snapEnd = logStart, logStart
	return nil
}

// TruncateFullyAndStartAt forgets everything and removes all snapshots.
func (m *Manager) TruncateFullyAndStartAt(fsys vfs.FS, dir string, offset int64) error {
	*m = Manager{mapEnd: offset}
	_, err := deleteSnapshots(fsys, dir, func(int64) bool { return true })
	return err
}

// TruncateHead follows an advanced log start offset: snapshots below it go, the producers stay.
func (m *Manager) TruncateHead(fsys vfs.FS, dir string, logStart int64) error {
	offsets, err := deleteSnapshots(fsys, dir, func(o int64) bool { return o < logStart })
	if err != nil {
		return err
	}
	m.truncateHead(offsets, logStart)
	return nil
}

func (m *Manager) truncateHead(snapshots []int64, logStart int64) {
	m.OnHighWatermark(logStart)
	m.mapEnd = max(m.mapEnd, logStart)
	m.snapEnd = logStart
	if n := len(snapshots); n > 0 {
		m.snapEnd = snapshots[n-1]
	}
}
