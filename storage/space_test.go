package storage

import (
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"gregor/internal/vfs"
)

func appendOne(l *Log) error {
	_, err := l.AppendAsLeader(sized(4<<10), 0, FromClient, time.Now())
	return err
}

// Below the floor clients' records are refused, and nothing else is; they are taken again with a tenth more than the floor free.
func TestFloorOfFreeSpace(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(1 << 20)
	o := testOptions(mem, "/data")
	o.MinFreeBytes = 512 << 10
	logger, lines := logtest.NewNullLogger()
	o.Log = logger
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	m.checkDirs() // makes the reserve
	taken := 0
	for ; taken < 1000; taken++ {
		if err := appendOne(l); err != nil {
			var full *NoSpaceError
			if !errors.As(err, &full) {
				t.Fatal(err)
			}
			break
		}
	}
	if free, _, _ := mem.Free("/data"); taken < 70 || free < 500<<10 || free > 516<<10 {
		t.Errorf("refused after %d appends with %d bytes free", taken, free)
	}
	if !m.Dirs()[0].Full || !m.Dirs()[0].Online {
		t.Errorf("%+v", m.Dirs()[0])
	}
	if _, err := l.AppendAsLeader(sized(4<<10), 0, FromCoordinator, time.Now()); err != nil {
		t.Errorf("an append that is not a client's: %v", err)
	}
	if err := l.Flush(); err != nil {
		t.Error(err)
	}
	if err := m.checkpointDir(m.dirs[0]); err != nil {
		t.Error(err)
	}
	mem.SetCapacity(1<<20 + 40<<10)
	m.checkDirs()
	if err := appendOne(l); err == nil {
		t.Error("records are taken again as soon as the floor is passed")
	}
	mem.SetCapacity(1<<20 + 100<<10)
	m.checkDirs()
	if err := appendOne(l); err != nil {
		t.Errorf("records are refused although there is space: %v", err)
	}
	said := map[logrus.Level]int{}
	for _, e := range lines.AllEntries() {
		if strings.Contains(e.Message, "bytes free") {
			said[e.Level]++
		}
	}
	if said[logrus.WarnLevel] != 1 || said[logrus.InfoLevel] != 1 {
		t.Errorf("lines: %v", said)
	}
	mustClose(t, m)
}

// When others fill the disk below a floor that was not reached at the last look, an append leaves no half batch behind.
func TestDiskFullAboveTheFloor(t *testing.T) {
	mem := vfs.NewMem()
	o := testOptions(mem, "/data")
	o.MinFreeBytes = 1 << 20
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	if err := appendOne(l); err != nil {
		t.Fatal(err)
	}
	free, total, _ := mem.Free("/data")
	mem.SetCapacity(total - free + 100) // the next batch fits by a part only
	var full *NoSpaceError
	if err := appendOne(l); !errors.As(err, &full) {
		t.Fatalf("append on a full disk: %v", err)
	}
	mem.SetCapacity(total)
	m.checkDirs()
	if err := appendOne(l); err != nil {
		t.Fatal(err)
	}
	if !m.Dirs()[0].Online {
		t.Errorf("%+v", m.Dirs()[0])
	}
	want := l.LogEndOffset()
	kill(m)
	m = mustOpen(t, testOptions(mem, "/data"))
	if l, _ := m.Get(TopicPartition{"t", 0}); l.LogEndOffset() != want {
		t.Errorf("recovered to %d, want %d", l.LogEndOffset(), want)
	}
	mustClose(t, m)
}

// Without a floor a full disk takes the directory offline, as in Kafka; its checkpoints stay as they were.
func TestDiskFullWithoutFloor(t *testing.T) {
	mem := vfs.NewMem()
	o := testOptions(mem, "/data")
	m := mustOpen(t, o)
	l := mustCreate(t, m, "t", 0)
	if err := appendOne(l); err != nil {
		t.Fatal(err)
	}
	want := l.LogEndOffset()
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := m.checkpointDir(m.dirs[0]); err != nil {
		t.Fatal(err)
	}
	free, total, _ := mem.Free("/data")
	mem.SetCapacity(total - free + 100)
	var off *DirOfflineError
	if err := appendOne(l); !errors.As(err, &off) {
		t.Fatalf("append on a full disk: %v", err)
	}
	kill(m)
	mem.SetCapacity(total)
	m = mustOpen(t, o)
	if l, _ := m.Get(TopicPartition{"t", 0}); l.LogEndOffset() != want || l.recovery.Load() != want {
		t.Errorf("log end %d, recovery point %d", l.LogEndOffset(), l.recovery.Load())
	}
	mustClose(t, m)
}

// The checkpoints of a disk that is full to the last byte are written from the space that is held back, and so is a clean stop.
func TestFullDiskDoesNotCostTheCheckpoints(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(4 << 20)
	o := testOptions(mem, "/data")
	m := mustOpen(t, o)
	for p := range 20 {
		l := mustCreate(t, m, "topic-with-a-rather-long-name", int32(p))
		if err := appendOne(l); err != nil {
			t.Fatal(err)
		}
		l.SetHighWatermark(1)
	}
	m.checkDirs()
	fill, err := mem.OpenFile("/data/other", flagCreate, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fill.WriteAt(make([]byte, 8<<20), 0); !isNoSpace(err) {
		t.Fatal(err)
	}
	if err := m.CheckpointHighWatermarks(); err != nil {
		t.Error(err)
	}
	mustClose(t, m)
	if !m.Dirs()[0].Online {
		t.Errorf("%+v", m.Dirs()[0])
	}
	if _, err := mem.Stat("/data/" + reserveFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a clean stop left the reserve: %v", err)
	}
	m = mustOpen(t, o)
	if l, _ := m.Get(TopicPartition{"topic-with-a-rather-long-name", 7}); l.HighWatermark() != 1 || l.recovery.Load() != l.LogEndOffset() {
		t.Errorf("high watermark %d, recovery point %d", l.HighWatermark(), l.recovery.Load())
	}
	kill(m)
}

// A directory that is removed, replaced or unreadable goes offline by itself; the others go on.
func TestDirectoryTakenAway(t *testing.T) {
	var broken atomic.Bool
	for name, take := range map[string]func(fsys vfs.FS) error{
		"removed":  func(fsys vfs.FS) error { return fsys.RemoveAll("/a") },
		"replaced": func(fsys vfs.FS) error { return errors.Join(fsys.Rename("/a", "/old"), fsys.Mkdir("/a", 0o755)) },
		"broken":   func(vfs.FS) error { broken.Store(true); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			broken.Store(false)
			synctest.Test(t, func(t *testing.T) {
				fsys := vfs.NewFault(vfs.NewMem(), func(op vfs.Op, name string) error {
					if broken.Load() && strings.HasPrefix(name, "/a") {
						return syscall.EIO
					}
					return nil
				})
				failed := make(chan string, 2)
				o := testOptions(fsys, "/a", "/b")
				o.DirCheckInterval = time.Second
				o.OnDirFailure = func(dir string, err error) { failed <- dir }
				m := mustOpen(t, o)
				first, second := mustCreate(t, m, "t", 0), mustCreate(t, m, "t", 1)
				if err := take(fsys); err != nil {
					t.Fatal(err)
				}
				if dir := <-failed; dir != "/a" {
					t.Errorf("%s failed", dir)
				}
				var off *DirOfflineError
				if first.Dir() != "/a" || second.Dir() != "/b" {
					t.Fatal(first.Dir(), second.Dir())
				}
				if err := appendOne(first); !errors.As(err, &off) {
					t.Errorf("append to the lost directory: %v", err)
				}
				if err := appendOne(second); err != nil {
					t.Errorf("append to the other: %v", err)
				}
				mustClose(t, m)
				for _, d := range m.Dirs() {
					if d.Online != (d.Path == "/b") {
						t.Errorf("%+v", d)
					}
				}
			})
		})
	}
}
