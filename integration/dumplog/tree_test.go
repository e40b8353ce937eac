package dumplog

import (
	"archive/tar"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plant copies the golden directories into dir, unpacks those that are packed, and adds the damaged copies.
func plant(t *testing.T, golden, dir string) {
	t.Helper()
	must(t, os.CopyFS(dir, os.DirFS(golden)))
	packed, err := filepath.Glob(filepath.Join(dir, "*", "log.tar.gz"))
	must(t, err)
	for _, name := range packed {
		unpack(t, name)
	}
	for _, d := range damages() {
		to := filepath.Join(dir, "damaged", d.name)
		must(t, os.MkdirAll(to, 0o755))
		entries, err := os.ReadDir(filepath.Join(dir, filepath.FromSlash(d.from)))
		must(t, err)
		for _, e := range entries {
			if word, _, _ := strings.Cut(e.Name(), "."); d.segment == "" || word == d.segment {
				b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(d.from), e.Name()))
				must(t, err)
				must(t, os.WriteFile(filepath.Join(to, e.Name()), b, 0o644))
			}
		}
		d.harm(t, to)
	}
	odd := filepath.Join(dir, "odd")
	must(t, os.MkdirAll(filepath.Join(odd, "directory.log"), 0o755))
	for _, name := range []string{"00000000000000000000.log", "00000000000000000000.index", "00000000000000000000.timeindex",
		"00000000000000000000.snapshot", "00000000000000000000.txnindex", "00000000000000000007.log.deleted", "x.log", "x.index", "x.timeindex",
		"x.snapshot", "x.txnindex", "00000000000000000005.index", "00000000000000000006.timeindex", "00000000000000000006.log", ".log", "none", "-3.log", "+4.log"} {
		must(t, os.WriteFile(filepath.Join(odd, name), nil, 0o644))
	}
}

func unpack(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		must(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		to := filepath.Join(filepath.Dir(name), filepath.FromSlash(h.Name))
		must(t, os.MkdirAll(filepath.Dir(to), 0o755))
		b, err := io.ReadAll(r)
		must(t, err)
		must(t, os.WriteFile(to, b, 0o644))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// damage is a copy of some files with something wrong in it.
type damage struct {
	name, from, segment string
	harm                func(t *testing.T, dir string)
}

const first = "00000000000000000000"

// edit changes one file of the copy.
func edit(file string, change func(b []byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		name := filepath.Join(dir, file)
		b, err := os.ReadFile(name)
		must(t, err)
		must(t, os.WriteFile(name, change(b), 0o644))
	}
}

func put(at int, with ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		copy(b[at:], with)
		return b
	}
}

func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:max(0, len(b)-n)] } }

func longer(with ...byte) func([]byte) []byte {
	return func(b []byte) []byte { return append(b, with...) }
}

// second is where the second batch of a log begins.
func second(b []byte) int { return 12 + int(binary.BigEndian.Uint32(b[8:])) }

// inSecond changes bytes of the second batch.
func inSecond(at int, with ...byte) func([]byte) []byte {
	return func(b []byte) []byte { return put(second(b)+at, with...)(b) }
}

func damages() []damage {
	var out []damage
	log := func(name, from string, change func([]byte) []byte) {
		out = append(out, damage{name, from + "/log/golden-0", first, edit(first+".log", change)})
	}
	for _, from := range []string{"codec-none", "codec-gzip", "codec-snappy", "codec-lz4", "codec-zstd", "format-v0", "format-v1"} {
		log(from+"-crc", from, inSecond(17, 1, 2, 3, 4))
		log(from+"-crc-legacy", from, inSecond(12, 1, 2, 3, 4))
		log(from+"-cut", from, cut(10))
		log(from+"-cut-header", from, func(b []byte) []byte { return b[:second(b)+9] })
		log(from+"-zeros", from, longer(make([]byte, 100)...))
		log(from+"-size-small", from, inSecond(8, 0, 0, 0, 13))
		log(from+"-size-14", from, inSecond(8, 0, 0, 0, 14))
		log(from+"-size-huge", from, inSecond(8, 0x7f, 0xff, 0xff, 0xff))
		log(from+"-size-negative", from, inSecond(8, 0xff, 0xff, 0xff, 0xff))
		log(from+"-magic-9", from, inSecond(16, 9))
		log(from+"-magic-255", from, inSecond(16, 255))
		log(from+"-attributes-codec-7", from, inSecond(22, 7))
		log(from+"-attributes-legacy-5", from, inSecond(17, 5))
		log(from+"-middle", from, func(b []byte) []byte { return put(second(b)+second(b[second(b):])-40, 0xde, 0xad, 0xbe, 0xef)(b) })
		for seed := range 12 {
			log(fmt.Sprintf("%s-random-%d", from, seed), from, func(b []byte) []byte {
				r := rand.New(rand.NewSource(int64(seed)))
				at := second(b) + r.Intn(second(b[second(b):]))
				b[at] ^= 1 << r.Intn(8)
				return b
			})
		}
	}
	log("count-more", "codec-none", inSecond(57, 0, 0, 0, 99))
	log("count-fewer", "codec-none", inSecond(57, 0, 0, 0, 1))
	log("count-negative", "codec-none", inSecond(57, 255, 255, 255, 255))
	log("control", "codec-none", inSecond(22, 0x20))
	log("last-offset", "codec-none", inSecond(23, 0, 0, 1, 0))
	log("overlapping", "codec-none", inSecond(0, 0, 0, 0, 0, 0, 0, 0, 0))
	log("marker", "transactions", func(b []byte) []byte { return put(len(b)-12, 0, 9)(b) })

	for _, file := range []string{".index", ".timeindex"} {
		idx := func(name, from, segment string, change func([]byte) []byte) {
			out = append(out, damage{name + file, from, segment, edit(segment+file, change)})
		}
		const from = "segments-size/log/golden-1"
		idx("longer", from, first, longer(1, 2, 3))
		idx("zeros", from, first, longer(make([]byte, 240)...))
		idx("empty", from, first, cut(1<<20))
		idx("offset", from, first, put(3, 9))
		idx("offset-late", from, first, put(8, 0, 0, 1))
		idx("position-inside", from, first, put(7, 3))
		idx("position-far", from, first, put(4, 0x7f))
		idx("position-end", from, first, put(4, 0, 0, 0xff))
		idx("negative", from, first, put(0, 0xff))
		idx("negative-8", from, first, put(8, 0xff))
		idx("entries-swapped", from, first, func(b []byte) []byte {
			if len(b) >= 24 {
				b = append(append(append([]byte{}, b[12:24]...), b[:12]...), b[24:]...)
			}
			return b
		})
		idx("negative-last", from, first, func(b []byte) []byte { return put(max(0, len(b)-12), 0xff, 0xff, 0xff)(b) })
		idx("last-below", from, "00000000000000000080", func(b []byte) []byte { return put(max(0, len(b)-4), 0xff, 0xff, 0xff, 0xf0)(b) })
		out = append(out, damage{"no-log" + file, from, first, func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, first+".log"))) }})
	}
	out = append(out, damage{"no-index", "segments-size/log/golden-1", first, func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, first+".index"))) }})
	for i, change := range []func([]byte) []byte{put(2, 9), cut(5), cut(1 << 20), put(1, 2), longer(1), put(6, 0, 0, 0, 9), cut(1)} {
		out = append(out, damage{fmt.Sprintf("snapshot-%d", i), "idempotent-segments/log/golden-0", "", func(t *testing.T, dir string) {
			names, err := filepath.Glob(filepath.Join(dir, "*.snapshot"))
			must(t, err)
			for _, name := range names {
				edit(filepath.Base(name), change)(t, dir)
			}
		}})
	}
	for i, change := range []func([]byte) []byte{put(1, 1), cut(5), cut(1 << 20), longer(0, 0, 1), put(10, 0xff), put(1, 0xff)} {
		out = append(out, damage{fmt.Sprintf("txnindex-%d", i), "transactions/log/golden-0", "", func(t *testing.T, dir string) {
			names, err := filepath.Glob(filepath.Join(dir, "*.txnindex"))
			must(t, err)
			for _, name := range names {
				edit(filepath.Base(name), change)(t, dir)
			}
		}})
	}
	return out
}

// calls are the command lines about a tree, from its root.
func calls(t *testing.T, dir string) [][]string {
	t.Helper()
	var out [][]string
	root := os.DirFS(dir)
	must(t, fs.WalkDir(root, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		files, err := fs.Glob(root, p+"/*.*")
		must(t, err)
		byType := map[string][]string{}
		for _, f := range files {
			ext := filepath.Ext(f)
			byType[ext] = append(byType[ext], f)
		}
		each := strings.HasPrefix(p, "damaged") || strings.HasPrefix(p, "odd")
		for _, c := range []struct{ ext, flags string }{{".log", ""}, {".log", "--deep-iteration"}, {".log", "--print-data-log"}, {".index", ""}, {".index", "--verify-index-only"},
			{".index", "--index-sanity-check"}, {".timeindex", ""}, {".timeindex", "--verify-index-only"}, {".timeindex", "--index-sanity-check"},
			{".snapshot", ""}, {".txnindex", ""}, {".properties", ""}, {".deleted", ""}} {
			list := byType[c.ext]
			sparse := strings.HasPrefix(p, "damaged") && !strings.Contains(p, "index") // a log is damaged: flags of indexes change nothing
			if len(list) == 0 || sparse && (c.ext == ".log") != (c.flags == "--deep-iteration") {
				continue
			}
			if !each {
				list = []string{strings.Join(list, ",")}
			}
			for _, f := range list {
				out = append(out, append(strings.Fields(c.flags), "--files", f))
			}
		}
		return nil
	}))
	const logs = "segments-size/log/golden-1/"
	const state = "transactions/log/__transaction_state-0/" + first + ".log"
	for _, line := range []string{
		"", "--help", "--version", "--deep-iteration", "--files", "--foo", "--files " + logs + first + ".log --max-message-size x",
		"--files missing.log", "--files missing.index", "--files missing.timeindex", "--files missing.snapshot", "--files missing.txnindex", "--files missing",
		"--files 0.log", "--files 0.index", "--files 0.timeindex", "--files 0.snapshot", "--files 0.txnindex", "--files odd/none", "--files odd/.log",
		"--files " + logs + first + ".log," + logs + first + ".index," + logs + first + ".timeindex", "--files " + logs + first + ".log,,", "--files ,",
		"--files " + logs + first + ".index --max-message-size 0", "--files " + logs + first + ".index --max-message-size 100",
		"--files " + logs + first + ".index --max-message-size -1", "--files " + logs + first + ".log --max-message-size 1 --deep-iteration",
		"--files " + logs + first + ".timeindex --max-message-size 1",
		"--files ./" + logs + "//" + first + ".index", "--files odd", "--files odd/directory.log", "--files=" + logs + first + ".log",
		"--value-decoder-class kafka.serializer.LongDecoder --files " + logs + first + ".log", "--key-decoder-class --files " + logs + first + ".log",
		"--value-decoder-class my.Decoder --files " + logs + first + ".log", "--key-decoder-class kafka.serializer.IntegerDecoder --files " + logs + first + ".log",
		"--transaction-log-decoder --files " + state, "--transaction-log-decoder --files " + logs + first + ".log", "--offsets-decoder --files " + logs + first + ".log",
		"--offsets-decoder --files " + state, "--offsets-decoder --transaction-log-decoder --files " + state, "--print-data-log --deep-iteration --files " + state,
	} {
		out = append(out, strings.Fields(line))
	}
	return out
}
