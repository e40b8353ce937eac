package txnindex

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"gregor/internal/vfs"
)

var golden = []Aborted{{4711, 10, 20, 15}, {1 << 40, 15, 30, 31}, {3, 1 << 33, 1<<33 + 5, 1<<33 + 6}}

func TestAgreesWithKafka(t *testing.T) {
	want, err := os.ReadFile("testdata/golden.txnindex")
	if err != nil {
		t.Fatal(err)
	}
	fsys := vfs.NewMem()
	if all, err := ReadAll(fsys, "/x.txnindex"); err != nil || len(all) != 0 {
		t.Error("missing file", all, err)
	}
	for _, a := range golden {
		if err := Append(fsys, "/x.txnindex", a); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := vfs.ReadFile(fsys, "/x.txnindex", 1000); !bytes.Equal(got, want) {
		t.Errorf("%x\nwant %x", got, want)
	}
	if all, err := ReadAll(vfs.OS, "testdata/golden.txnindex"); err != nil || !slices.Equal(all, golden) {
		t.Error(all, err)
	}
	if Append(fsys, "/x.txnindex", golden[1]) == nil {
		t.Error("last offset goes back")
	}
	if err := SanityCheck(fsys, "/x.txnindex", 20); err != nil {
		t.Error(err)
	}
	if SanityCheck(fsys, "/x.txnindex", 21) == nil {
		t.Error("entry before the segment passes")
	}
}

func TestCollectAndTruncate(t *testing.T) {
	fsys := vfs.NewMem()
	for _, a := range golden {
		if err := Append(fsys, "/x", a); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		from, upTo int64
		want       []Aborted
		complete   bool
	}{{0, 5, nil, true}, {0, 16, golden[:2], true}, {21, 16, golden[1:2], true}, {0, 1 << 34, golden, false}, {31, 31, nil, true}, {31, 32, nil, true}} {
		got, complete, err := Collect(nil, fsys, "/x", tc.from, tc.upTo)
		if err != nil || !slices.Equal(got, tc.want) || complete != tc.complete {
			t.Errorf("[%d, %d): %v %v %v", tc.from, tc.upTo, got, complete, err)
		}
	}
	f, _ := fsys.OpenFile("/x", os.O_RDWR, 0)
	f.WriteAt([]byte{0, 0, 1}, 3*EntrySize) // an entry cut short
	f.Close()
	if err := TruncateTo(fsys, "/x", 30); err != nil {
		t.Fatal(err)
	}
	if all, err := ReadAll(fsys, "/x"); err != nil || !slices.Equal(all, golden[:1]) {
		t.Error(all, err)
	}
}

// Properties: no panic; what decodes encodes to the same bytes.
func FuzzDecodeEntry(f *testing.F) {
	f.Add(AppendEntry(nil, golden[0]))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := DecodeEntry(b)
		if err == nil && !bytes.Equal(AppendEntry(nil, a), b[:EntrySize]) {
			t.Fatalf("%x", b)
		}
	})
}
