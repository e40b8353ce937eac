package dumplog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzDump: no file of a partition makes the tool panic or print without end.
func FuzzDump(f *testing.F) {
	suffixes := []string{".log", ".index", ".timeindex", ".snapshot", ".txnindex"}
	seen := map[string]int{}
	_ = filepath.WalkDir("../../storage/testdata/golden", func(name string, _ os.DirEntry, _ error) error {
		for i, s := range suffixes {
			if filepath.Ext(name) != s || seen[s] > 6 {
				continue
			}
			data, err := os.ReadFile(name)
			if err != nil || len(data) == 0 || len(data) > 4000 {
				continue
			}
			seen[s]++
			log, _ := os.ReadFile(name[:len(name)-len(s)] + ".log")
			f.Add(byte(i), byte(0), data, log[:min(len(log), 4000)])
			f.Add(byte(i), byte(seen[s]), data, log[:min(len(log), 4000)])
		}
		return nil
	})
	decoders := [][]string{{}, {"--print-data-log"}, {"--deep-iteration"}, {"--offsets-decoder"}, {"--transaction-log-decoder"}, {"--index-sanity-check"},
		{"--verify-index-only"}}
	f.Fuzz(func(t *testing.T, which, how byte, data, log []byte) {
		name := filepath.Join(t.TempDir(), "00000000000000000000")
		if err := os.WriteFile(name+".log", log, 0o644); err != nil {
			t.Fatal(err)
		}
		name += suffixes[int(which)%len(suffixes)]
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		Main(append([]string{"--files", name}, decoders[int(how)%len(decoders)]...), nil, &out, &errs)
		if out.Len() > 1<<20+100*(len(data)+len(log))*64 {
			t.Fatalf("%d bytes printed", out.Len())
		}
	})
}
