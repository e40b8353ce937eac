package torture

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What is flushed is never damaged, and something of the rest is.
func TestOnlyUnflushedEndsAreTorn(t *testing.T) {
	var data []byte
	var at []int
	for i := range 40 {
		b := kmsg.NewRecordBatch()
		b.FirstOffset, b.Magic, b.NumRecords, b.Records = int64(i), 2, 1, make([]byte, 20+i)
		b.Length = int32(49 + len(b.Records))
		at = append(at, len(data))
		data = b.AppendTo(data)
	}
	damaged := map[string]int{}
	for seed := range uint64(200) {
		dir := t.TempDir()
		name := filepath.Join(dir, "t-3", fmt.Sprintf("%020d.log", 0))
		if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 0))
		flushed := r.IntN(41)
		checkpoint := fmt.Sprintf("0\n2\nother 3 7\nt 3 %d\n", flushed)
		if err := os.WriteFile(filepath.Join(dir, "recovery-point-offset-checkpoint"), []byte(checkpoint), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		how, err := tearLog(dir, "t", 3, r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		keep := len(data)
		if flushed < 40 {
			keep = at[flushed]
		}
		if len(got) < keep || string(got[:keep]) != string(data[:keep]) {
			t.Fatalf("seed %d, %s: what is flushed up to %d was damaged", seed, how, flushed)
		}
		if (how == "") != (flushed == 40) {
			t.Fatalf("seed %d: %q of what is flushed up to %d", seed, how, flushed)
		}
		if string(got) != string(data) {
			damaged[how]++
		}
	}
	for _, how := range []string{"cut", "zeroed", "garbled"} {
		if damaged[how] < 20 {
			t.Errorf("damaged: %v", damaged)
		}
	}
}
