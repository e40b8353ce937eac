package storage

import (
	"os"
	"syscall"
	"testing"
	"time"

	"gregor/internal/vfs"
)

// fileRoom is how long a file is and how many bytes of the disk it has.
func fileRoom(t *testing.T, name string) (size, taken int64) {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size(), st.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestRoomTakenAheadIsGivenBack(t *testing.T) {
	cfg := DefaultConfig()
	cfg.SegmentBytes = 64 << 20
	m, l := openTemp(t, cfg)
	name := l.path() + "/00000000000000000000.log"
	probe, err := vfs.OS.OpenFile(l.path()+"/probe", flagCreate, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	can := vfs.Reserve(probe, 0, 4096)
	probe.Close()
	os.Remove(l.path() + "/probe")
	if !can {
		t.Skip("this file system reserves nothing")
	}
	fill := func(to int64) {
		for l.Size() < to {
			mustAppend(t, l, batchOf(10, 100_000, 1))
		}
	}
	fill(reserveFrom - 1<<20)
	if size, taken := fileRoom(t, name); taken > size+1<<20 {
		t.Errorf("a log of %d bytes has %d on the disk", size, taken)
	}
	fill(reserveFrom + 1<<20)
	size, taken := fileRoom(t, name)
	if size != l.Size() {
		t.Errorf("%d bytes were written, the file has %d", l.Size(), size)
	}
	if taken < size+reserveStep/2 {
		t.Errorf("nothing is taken ahead: %d bytes long, %d on the disk", size, taken)
	}
	if err := l.Roll(time.UnixMilli(2)); err != nil {
		t.Fatal(err)
	}
	if rolled, taken := fileRoom(t, name); rolled != size || taken > size+1<<20 {
		t.Errorf("after the roll: %d bytes, not %d, %d on the disk", rolled, size, taken)
	}

	// The same for the segment that is active at the end, and nothing is lost.
	from := l.LogEndOffset()
	fill(size + reserveFrom + 1<<20)
	end := l.LogEndOffset()
	active := l.active().path(suffixLog)
	if size, taken := fileRoom(t, active); taken < size+reserveStep/2 {
		t.Errorf("nothing is taken ahead of the second segment: %d bytes long, %d on the disk", size, taken)
	}
	mustClose(t, m)
	if size, taken := fileRoom(t, active); taken > size+1<<20 {
		t.Errorf("after a clean stop: %d bytes, %d on the disk", size, taken)
	}
	again := mustOpen(t, m.opt)
	defer mustClose(t, again)
	l = mustCreate(t, again, "t", 0)
	if l.LogEndOffset() != end || from >= end {
		t.Errorf("opened again, the log ends at %d, not %d", l.LogEndOffset(), end)
	}
}
