package group

import (
	"bytes"
	"os"
	"testing"
	"time"

	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led/ledtest"
	"gregor/wire/record"
)

// What Apache Kafka 2.7.2 wrote of offsets in transactions is read, and written again byte for byte.
func TestApacheKafkasTransactionalOffsets(t *testing.T) {
	data, err := os.ReadFile("../../storage/testdata/golden/transactional-offsets/log/__consumer_offsets-0/00000000000000000000.log")
	if err != nil {
		t.Fatal(err)
	}
	log, transactional := new(ledtest.Log), 0
	writer := New(testOptions())
	for rest := data; len(rest) > 0; {
		var b []byte
		if b, rest, err = record.Next(rest); err != nil {
			t.Fatal(err)
		}
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := log.Append(bytes.Clone(b), -1, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if h.IsControl() {
			m, _, err := record.ParseEndTxnMarker(b)
			if err != nil {
				t.Fatal(err)
			}
			again := record.BuildEndTxnMarker(h.ProducerID, h.ProducerEpoch, m, h.LeaderEpoch)
			if again.SetBaseOffset(h.BaseOffset); !bytes.Equal(again, b) {
				t.Errorf("the marker at %d is written as\n%x, and was\n%x", h.BaseOffset, again, b)
			}
			continue
		}
		if again := recommitted(t, writer, b, &h); !bytes.Equal(again, b) {
			t.Errorf("the offset at %d is written as\n%x, and was\n%x", h.BaseOffset, again, b)
		}
		transactional++
	}
	if transactional != 4 {
		t.Errorf("%d offsets in transactions, want 4", transactional)
	}
	c := lead(t, testOptions(), log)
	for group, want := range map[string]int64{"g": 1, "h": 3} {
		list, code := c.Fetch(group, []fsm.TP{{Topic: "golden"}}, false, false)
		if code != 0 || list[0].Offset == nil || list[0].Offset.Offset != want {
			t.Errorf("group %s is at %+v, code %d", group, list[0].Offset, code)
		}
	}
	if list, _ := c.Fetch("g", []fsm.TP{{Topic: "golden"}}, false, true); list[0].Code == 0 {
		t.Error("the open transaction's offset is not pending")
	}
	c.EndTxn(0, 0, 1000, true)
	if list, _ := c.Fetch("g", []fsm.TP{{Topic: "golden"}}, false, true); list[0].Code != 0 || list[0].Offset.Offset != 4 {
		t.Errorf("after its end: %+v", list[0])
	}
}

// recommitted decodes the offset in a batch and encodes it as the coordinator does.
func recommitted(t *testing.T, c *Coordinator, b []byte, h *record.Header) []byte {
	t.Helper()
	it := record.NewIter(b, 1<<20)
	defer it.Close()
	if !it.Next() {
		t.Fatal("an empty batch", it.Err())
	}
	group, topic, partition, _, err := readKey(it.Record.Key)
	if err != nil {
		t.Fatal(err)
	}
	o, err := readOffset(it.Record.Value)
	if err != nil {
		t.Fatal(err)
	}
	w := &fsm.Write{Txn: fsm.Txn{Producer: h.ProducerID, Epoch: h.ProducerEpoch}, Offsets: []fsm.OffsetRecord{{TP: fsm.TP{Topic: string(topic), Partition: partition}, Offset: o}}}
	var batches [][]byte
	err = c.encode(new(encoder), string(group), w, it.Record.Timestamp, func(b []byte) error {
		batches = append(batches, b)
		return nil
	})
	if err != nil || len(batches) != 1 {
		t.Fatal(len(batches), err)
	}
	out := record.Batch(batches[0])
	out.SetBaseOffset(h.BaseOffset)
	out.SetLeaderEpoch(h.LeaderEpoch)
	return out
}

// Keys of a topic are made of each other.
func TestEachRecordHasTheKeyOfItsPartition(t *testing.T) {
	c := New(testOptions())
	var w fsm.Write
	w.Txn = fsm.NoTxn
	for _, tp := range []fsm.TP{{Topic: "a", Partition: 1}, {Topic: "a", Partition: 70000}, {Topic: "bcd", Partition: 70000}, {Topic: "a", Partition: 0}, {Topic: "a", Partition: 2}} {
		w.Offsets = append(w.Offsets, fsm.OffsetRecord{TP: tp, Offset: &fsm.Offset{ExpireTime: -1}})
	}
	w.Offsets[4].Offset = nil
	err := c.encode(new(encoder), "g", &w, 1, func(batch []byte) error {
		it := record.NewIter(batch, 1<<20)
		defer it.Close()
		for i := range w.Offsets {
			if !it.Next() {
				t.Fatal("too few records", it.Err())
			}
			group, topic, partition, _, err := readKey(it.Record.Key)
			got := fsm.TP{Topic: string(topic), Partition: partition}
			if err != nil || string(group) != "g" || got != w.Offsets[i].TP || (it.Record.Value == nil) != (i == 4) {
				t.Errorf("record %d: group %q, %v, %v", i, group, got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
