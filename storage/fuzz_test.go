package storage

import (
	"context"
	"testing"

	"gregor/internal/vfs"
)

// FuzzRecovery puts arbitrary bytes into a partition's directory. Whatever they are, the log opens, what it holds can be read to its
// end, something can be appended, and a second start finds the same.
func FuzzRecovery(f *testing.F) {
	good := append(batchOf(2, 20, testTime), batchOf(1, 30, testTime)...)
	good[len(batchOf(2, 20, testTime))+7] = 2
	f.Add(good, []byte{}, []byte{}, []byte{}, true)
	f.Add(good[:len(good)-5], []byte{0, 0, 0, 2, 0, 0, 0, 99}, []byte{0, 0, 1, 0x74, 0x87, 0x6e, 0x80, 0, 0, 0, 0, 1}, []byte("0\n1\n0 0\n"), false)
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x16aaaa\x01\x00"), make([]byte, 800), make([]byte, 1200), []byte("0\n2\n0 0\n"), true)
	f.Fuzz(func(t *testing.T, log, index, timeIndex, epochs []byte, clean bool) {
		mem := vfs.NewMem()
		write := func(name string, b []byte) {
			w, err := mem.OpenFile(name, flagCreate, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			w.WriteAt(b, 0)
			w.Close()
		}
		mem.MkdirAll("/d/t-0", 0o755)
		write("/d/t-0/"+offsetName(0)+suffixLog, log)
		write("/d/t-0/"+offsetName(0)+suffixIndex, index)
		write("/d/t-0/"+offsetName(0)+suffixTimeIndex, timeIndex)
		write("/d/t-0/leader-epoch-checkpoint", epochs)
		if clean {
			write("/d/.kafka_cleanshutdown", nil)
		}
		m, err := Open(context.Background(), testOptions(mem, "/d"))
		if err != nil {
			t.Fatal(err)
		}
		l, ok := m.Get(TopicPartition{"t", 0})
		if !ok {
			t.Fatalf("the log is not there: %+v", m.Dirs())
		}
		end := l.LogEndOffset()
		walk(t, l, end)
		l.OffsetByTimestamp(testTime)
		if end < 1<<62 {
			if info := mustAppend(t, l, batchOf(1, 1, testTime)); info.FirstOffset != end {
				t.Fatalf("appended at %d, LEO was %d", info.FirstOffset, end)
			}
			end++
			walk(t, l, end)
		}
		if clean {
			mustClose(t, m) // a clean shutdown's bytes are taken as they are, so they must be left as cleanly
		} else {
			kill(m)
		}
		m, err = Open(context.Background(), testOptions(mem, "/d"))
		if err != nil {
			t.Fatal(err)
		}
		defer kill(m)
		l, _ = m.Get(TopicPartition{"t", 0})
		if l.LogEndOffset() != end {
			t.Fatalf("LEO %d after another start, %d before", l.LogEndOffset(), end)
		}
	})
}

// walk reads every slice of the log.
func walk(t *testing.T, l *Log, end int64) {
	t.Helper()
	next := l.LogStartOffset()
	for next < end {
		sl, err := l.Read(next, 1<<16, true, end)
		if err != nil {
			t.Fatalf("read %d of %d: %v", next, end, err)
		}
		if sl.Length == 0 {
			return
		}
		b := make([]byte, sl.Length)
		if err := readFull(sl.File, b, sl.Offset); err != nil {
			t.Fatalf("slice at %d: %v", next, err)
		}
		sl.Release()
		at := lastIn(b)
		if at < next {
			t.Fatalf("slice at %d ends with offset %d", next, at)
		}
		next = at + 1
	}
}
