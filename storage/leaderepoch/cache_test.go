package leaderepoch

import (
	"path/filepath"
	"slices"
	"testing"

	"gregor/internal/vfs"
)

func TestAssign(t *testing.T) {
	for name, tc := range map[string]struct{ in, want []Entry }{
		"in order":                      {[]Entry{{0, 0}, {1, 5}, {3, 9}}, []Entry{{0, 0}, {1, 5}, {3, 9}}},
		"again":                         {[]Entry{{1, 5}, {1, 5}, {1, 9}}, []Entry{{1, 5}}},
		"same epoch from earlier":       {[]Entry{{1, 5}, {1, 3}}, []Entry{{1, 3}}},
		"same offset in a newer epoch":  {[]Entry{{0, 0}, {1, 5}, {2, 5}}, []Entry{{0, 0}, {2, 5}}},
		"an older epoch removes newer":  {[]Entry{{1, 0}, {3, 5}, {4, 8}, {2, 9}}, []Entry{{1, 0}, {2, 9}}},
		"a lower offset removes higher": {[]Entry{{1, 0}, {3, 5}, {4, 8}, {5, 4}}, []Entry{{1, 0}, {5, 4}}},
		"no epoch":                      {[]Entry{{-1, 5}, {2, -1}}, nil},
	} {
		var c Cache
		for _, e := range tc.in {
			c.Assign(e.Epoch, e.StartOffset)
		}
		if !slices.Equal(c.Entries(), tc.want) {
			t.Errorf("%s: %v, want %v", name, c.Entries(), tc.want)
		}
	}
}

func TestEndOffsetFor(t *testing.T) {
	var c Cache
	if e, o := c.EndOffsetFor(3, 100); e != Undefined || o != Undefined {
		t.Error("empty cache", e, o)
	}
	for _, e := range []Entry{{2, 10}, {4, 20}, {7, 30}} {
		c.Assign(e.Epoch, e.StartOffset)
	}
	for _, tc := range []struct {
		ask, epoch int32
		end        int64
	}{{-1, -1, -1}, {0, 0, 10}, {1, 1, 10}, {2, 2, 20}, {3, 2, 20}, {4, 4, 30}, {6, 4, 30}, {7, 7, 100}, {8, -1, -1}} {
		if e, o := c.EndOffsetFor(tc.ask, 100); e != tc.epoch || o != tc.end {
			t.Errorf("epoch %d: %d ends at %d, want %d at %d", tc.ask, e, o, tc.epoch, tc.end)
		}
	}
	for offset, want := range map[int64]int32{9: -1, 10: 2, 19: 2, 20: 4, 99: 7} {
		if got := c.EpochFor(offset); got != want {
			t.Errorf("offset %d: epoch %d, want %d", offset, got, want)
		}
	}
}

func TestTruncate(t *testing.T) {
	full := []Entry{{2, 10}, {4, 20}, {7, 30}}
	for _, tc := range []struct {
		fromStart bool
		at        int64
		changed   bool
		want      []Entry
	}{
		{false, 31, false, full}, {false, 30, true, full[:2]}, {false, 11, true, full[:1]}, {false, 10, true, nil}, {false, -1, false, full},
		{true, 5, false, full}, {true, 10, false, full}, {true, 15, true, []Entry{{2, 15}, {4, 20}, {7, 30}}},
		{true, 20, true, full[1:]}, {true, 25, true, []Entry{{4, 25}, {7, 30}}}, {true, 100, true, []Entry{{7, 100}}},
	} {
		var c Cache
		for _, e := range full {
			c.Assign(e.Epoch, e.StartOffset)
		}
		f := c.TruncateFromEnd
		if tc.fromStart {
			f = c.TruncateFromStart
		}
		if changed := f(tc.at); changed != tc.changed || !slices.Equal(c.Entries(), tc.want) {
			t.Errorf("%+v: changed %v, %v", tc, changed, c.Entries())
		}
	}
}

func TestFile(t *testing.T) {
	fsys := vfs.NewMem()
	fsys.MkdirAll("/d", 0o755)
	var c, d Cache
	if err := d.Load(fsys, "/d"); err != nil || d.Entries() != nil {
		t.Error(err, d.Entries())
	}
	c.Assign(0, 0)
	c.Assign(12, 345)
	if err := c.Flush(fsys, "/d"); err != nil {
		t.Fatal(err)
	}
	if b, err := vfs.ReadFile(fsys, filepath.Join("/d", FileName), 1000); string(b) != "0\n2\n0 0\n12 345\n" {
		t.Errorf("%q %v", b, err)
	}
	if err := d.Load(fsys, "/d"); err != nil || !slices.Equal(c.Entries(), d.Entries()) {
		t.Error(err, d.Entries())
	}
	if !c.Clear() || c.Clear() {
		t.Error("clear")
	}
}
