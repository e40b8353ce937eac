package txn

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gregor/coordinator/led/ledtest"
	"gregor/coordinator/txn/fsm"
	"gregor/wire/record"
)

// What Apache Kafka 2.7.2 wrote is read, written again byte for byte, and served.
func TestApacheKafkasLogIsReadAndWrittenTheSame(t *testing.T) {
	for name, parts := range map[string][]fsm.TP{"transactions": {tp("golden", 0)}, "transactional-offsets": {tp("__consumer_offsets", 0)}} {
		file := filepath.Join("../../storage/testdata/golden", name, "log/__transaction_state-0/00000000000000000000.log")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		log, batches := new(ledtest.Log), 0
		for rest := data; len(rest) > 0; batches++ {
			var b []byte
			if b, rest, err = record.Next(rest); err != nil {
				t.Fatal(err)
			}
			if again := rewritten(t, b); !bytes.Equal(again, b) {
				t.Errorf("%s: batch %d is written as\n%x, and was\n%x", name, batches, again, b)
			}
			if _, _, err := log.Append(bytes.Clone(b), -1, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if batches < 10 {
			t.Errorf("%s has %d batches only", name, batches)
		}
		c := lead(t, testOptions(newCluster()), 1, log)
		if d := c.Describe("t"); d.Code != 0 || d.State != fsm.Ongoing || d.ID != 0 || d.Epoch != 0 || d.Timeout != 900_000 || !slices.Equal(d.Parts, parts) {
			t.Errorf("%s: the id is %+v", name, d)
		}
	}
}

// rewritten decodes the state in a batch and encodes it as the coordinator does.
func rewritten(t *testing.T, b []byte) []byte {
	t.Helper()
	h, err := record.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	it := record.NewIter(b, 1<<20)
	defer it.Close()
	if !it.Next() {
		t.Fatal("an empty batch", it.Err())
	}
	id, err := readKey(it.Record.Key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := readValue(it.Record.Value, func(b []byte) string { return string(b) })
	if err != nil {
		t.Fatal(err)
	}
	x, err := fsm.Load(string(id), v, &fsm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	nb := record.NewBuilder()
	nb.BaseOffset, nb.LeaderEpoch = h.BaseOffset, h.LeaderEpoch
	nb.Append(it.Record.Timestamp, appendKey(nil, x.ID()), appendValue(x.Value()))
	out, err := nb.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
