package checkpoint

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gregor/internal/vfs"
)

func put(t *testing.T, fsys vfs.FS, name, data string) {
	t.Helper()
	if err := WriteAtomic(fsys, name, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOffsets(t *testing.T) {
	fsys := vfs.NewMem()
	if got, err := ReadOffsets(fsys, "/c"); err != nil || got != nil {
		t.Error("missing file", got, err)
	}
	in := []Offset{{"t", 0, 5}, {"a.b-c_d", 12, math.MaxInt64}}
	if err := WriteOffsets(fsys, "/c", in); err != nil {
		t.Fatal(err)
	}
	if got := get(t, fsys, "/c"); got != "0\n2\nt 0 5\na.b-c_d 12 9223372036854775807\n" {
		t.Errorf("%q", got)
	}
	if got, err := ReadOffsets(fsys, "/c"); err != nil || !slices.Equal(got, in) {
		t.Error(got, err)
	}
}

func TestMalformedOffsets(t *testing.T) {
	fsys := vfs.NewMem()
	for data, ok := range map[string]bool{
		"": true, "0\n": true, "0\n0\n": true, "0\n1\nt 0 5\n": true, "0\n1\nt 0 5": true, "0\r\n1\r\nt  0\t5 \r\n": true,
		"1\n0\n": false, "x": false, "0\nx\n": false, "0\n2\nt 0 5\n": false, "0\n0\nt 0 5\n": false, "0\n1\nt 0\n": false,
		"0\n1\n t 0 5\n": false, "0\n1\nt 0 5 6\n": false, "0\n1\n\n": false, "0\n1\nt 0 99999999999999999999\n": false, "0\n-1\n": false,
	} {
		put(t, fsys, "/c", data)
		_, err := ReadOffsets(fsys, "/c")
		var malformed *MalformedError
		if ok != (err == nil) || !ok && !errors.As(err, &malformed) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// Every checkpoint of the golden directories must be written again to the same bytes.
func TestGoldenCheckpoints(t *testing.T) {
	offsets, _ := filepath.Glob("../testdata/golden/*/log/*-offset-checkpoint")
	epochs, _ := filepath.Glob("../testdata/golden/*/log/*/leader-epoch-checkpoint")
	if len(offsets) == 0 || len(epochs) == 0 {
		t.Skip("no golden directories")
	}
	fsys := vfs.NewMem()
	for _, name := range append(offsets, epochs...) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) == 0 {
			continue // Kafka creates the file empty
		}
		if filepath.Base(name) == "leader-epoch-checkpoint" {
			list, err := ReadPairs(vfs.OS, name)
			if err == nil {
				err = WritePairs(fsys, "/c", list)
			}
			if err != nil {
				t.Fatal(err)
			}
		} else {
			list, err := ReadOffsets(vfs.OS, name)
			if err == nil {
				err = WriteOffsets(fsys, "/c", list)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := get(t, fsys, "/c"); got != string(raw) {
			t.Errorf("%s: %q, want %q", name, got, raw)
		}
	}
}

// What Kafka's BrokerMetadataCheckpoint wrote on Java 17.
func TestMeta(t *testing.T) {
	const kafkas = "#\n#Sun Nov 22 17:19:10 UTC 2026\nbroker.id=1\nversion=0\ncluster.id=p1Lv-tJ6QsizlS4_LtTMog\n"
	now := time.Date(2026, 11, 22, 17, 19, 10, 0, time.UTC)
	fsys := vfs.NewMem()
	if _, found, err := ReadMeta(fsys, "/m"); found || err != nil {
		t.Error("missing", found, err)
	}
	in := Meta{1, "p1Lv-tJ6QsizlS4_LtTMog"}
	if err := WriteMeta(fsys, "/m", in, now); err != nil {
		t.Fatal(err)
	}
	if got := get(t, fsys, "/m"); got != kafkas {
		t.Errorf("%q", got)
	}
	if got, found, err := ReadMeta(fsys, "/m"); got != in || !found || err != nil {
		t.Error(got, found, err)
	}
	odd := Meta{0, "a=b:c #!\\ d\u00e9\t"}
	if err := WriteMeta(fsys, "/m", odd, now); err != nil {
		t.Fatal(err)
	}
	if got, want := get(t, fsys, "/m"), "#\n#Sun Nov 22 17:19:10 UTC 2026\nbroker.id=0\nversion=0\ncluster.id=a\\=b\\:c \\#\\!\\\\ d\\u00E9\\t\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, _, err := ReadMeta(fsys, "/m"); got.ClusterID != "a=b:c #!\\ dé" || err != nil { // Kafka trims what it reads
		t.Errorf("%q %v", got, err)
	}
	for data, ok := range map[string]bool{
		"version=0\nbroker.id=7": true, "  version : 0\r\nbroker.id 7\r\n! x\n\n#y\\\nunknown": true, "version=0\nbroker\\\n .id=7": true,
		"broker.id=7": false, "version=1\nbroker.id=7": false, "version=0": false, "version=0\nbroker.id=-7": false,
		"version=0\nbroker.id=x": false, "version=0\nbroker.id=7\nx=\\u12": false,
	} {
		put(t, fsys, "/m", data)
		got, found, err := ReadMeta(fsys, "/m")
		if ok != (err == nil) || ok && (got != Meta{7, ""} || !found) {
			t.Errorf("%q: %+v %v %v", data, got, found, err)
		}
	}
}

func TestCleanShutdownMark(t *testing.T) {
	fsys := vfs.NewMem()
	for _, want := range []bool{false, true, false} {
		got, err := TakeCleanShutdown(fsys, "/")
		if got != want || err != nil {
			t.Error(got, err)
		}
		if !want && WriteCleanShutdown(fsys, "/") != nil {
			t.Error("write")
		}
		if want {
			if got, _ := TakeCleanShutdown(fsys.CrashClone(), "/"); got {
				t.Error("the mark came back after a crash")
			}
		}
	}
}

// Whatever operation fails or is the last before a crash, the file has its old content or the new.
func TestWriteAtomicUnderFaultsAndCrashes(t *testing.T) {
	for failAt := 0; ; failAt++ {
		mem := vfs.NewMem()
		put(t, mem, "/c", "old")
		n := 0
		boom := errors.New("boom")
		var crashed *vfs.Mem
		fsys := vfs.NewFault(mem, func(op vfs.Op, name string) error {
			if n++; n == failAt+1 {
				crashed = mem.CrashClone()
				return boom
			}
			return nil
		})
		err := WriteAtomic(fsys, "/c", []byte("new"))
		if n <= failAt {
			if err != nil || get(t, mem.CrashClone(), "/c") != "new" {
				t.Error("no fault and not durable", err)
			}
			return
		}
		if err == nil && failAt < 3 {
			t.Errorf("fault %d was lost", failAt)
		}
		for _, f := range []*vfs.Mem{mem, crashed, mem.CrashClone()} {
			if got := get(t, f, "/c"); got != "old" && got != "new" {
				t.Errorf("fault %d leaves %q", failAt, got)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("0\n1\nt 0 5\n")
	f.Add("#\n#x\nbroker.id=1\nversion=0\ncluster.id=\\u0041\n")
	f.Fuzz(func(t *testing.T, data string) {
		fsys := vfs.NewMem()
		put(t, fsys, "/c", data)
		if list, err := ReadOffsets(fsys, "/c"); err == nil {
			if err := WriteOffsets(fsys, "/d", list); err != nil {
				t.Fatal(err)
			}
			if again, err := ReadOffsets(fsys, "/d"); err != nil || !slices.Equal(list, again) {
				t.Fatal(err, list, again)
			}
		}
		_, _ = ReadPairs(fsys, "/c")
		_, _, _ = ReadMeta(fsys, "/c")
	})
}
