package handlers

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/storage"
	"gregor/wire/compress"
	"gregor/wire/record"
)

// message is one message of format v0 or v1.
func message(magic, attrs byte, ts int64, key, value string) []byte {
	body := []byte{magic, attrs}
	if magic > 0 {
		body = binary.BigEndian.AppendUint64(body, uint64(ts))
	}
	for _, s := range []string{key, value} {
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(s))), s...)
	}
	out := binary.BigEndian.AppendUint32(make([]byte, 8), uint32(4+len(body)))
	return append(binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body)), body...)
}

func compressed(t testing.TB, codec compress.Codec, n, size int) []byte {
	t.Helper()
	b := record.NewBuilder()
	b.Codec = codec
	for i := range n {
		b.Append(1_600_000_000_000, []byte("key"), fmt.Appendf(bytes.Repeat([]byte("v"), size), "%d", i))
	}
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *client) fetchOne(v int16, topic string, offset int64, maxBytes int32) kmsg.FetchResponseTopicPartition {
	c.t.Helper()
	req := fetchRequest(v, topic, 0, offset)
	req.Topics[0].Partitions[0].PartitionMaxBytes = maxBytes
	return c.call(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
}

// fetched describes the records of an answer, each of which must have the format that version v knows, and says what follows them.
func fetched(t *testing.T, v int16, set []byte) (offsets []int64, rest []byte) {
	t.Helper()
	magic := int8(1)
	if v < 2 {
		magic = 0
	}
	for {
		b, next, err := record.Next(set)
		if err != nil || int64(binary.BigEndian.Uint64(b)) < 0 {
			return offsets, set
		}
		if record.Batch(b).Magic() != magic || !record.ValidLegacyCRC(b) {
			t.Fatalf("v%d: a batch of format v%d", v, record.Batch(b).Magic())
		}
		it := record.NewIter(b, 1<<24)
		for it.Next() {
			offsets = append(offsets, it.Record.Offset)
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		it.Close()
		set = next
	}
}

func TestOldClientsGetOldFormats(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	for i := range 3 {
		c.produce("t", 0, fmt.Sprint(i), "x", "y")
	}
	c.call(produceRequest(8, -1, "t", 0, compressed(t, compress.LZ4, 5, 100)))
	for v := int16(0); v <= 3; v++ {
		for first := int64(0); first < 14; first++ {
			p := c.fetchOne(v, "t", first, 1<<20)
			want := []int64{}
			for o := min(first, 9); o < 14; o++ {
				want = append(want, o)
			}
			got, rest := fetched(t, v, p.RecordBatches)
			// The answer is as long as what was read, so that the last messages may not fit.
			if p.ErrorCode != 0 || p.HighWatermark != 14 || len(got) == 0 || !slices.Equal(got, want[:len(got)]) || len(got) < min(2, len(want)) {
				t.Errorf("v%d from %d: %v, want %v", v, first, got, want)
			}
			if _, _, err := record.Next(rest); len(rest) >= 12 && err != record.ErrShort {
				t.Errorf("v%d from %d: %x follows, %v", v, first, rest, err)
			}
		}
	}
}

// Much more than a piece: the answer has the length that its head says, whatever is converted on the way.
func TestConversionInPieces(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	const batches = 60
	for i := range batches {
		codec := []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4}[i%4]
		c.call(produceRequest(8, -1, "t", 0, compressed(t, codec, 200, 10+i*4)))
	}
	for v := int16(0); v <= 3; v++ {
		next := int64(0)
		for next < batches*200 {
			p := c.fetchOne(v, "t", next, 400<<10)
			got, _ := fetched(t, v, p.RecordBatches)
			if p.ErrorCode != 0 || len(got) == 0 || got[0] > next {
				t.Fatalf("v%d from %d: error %d, %d records", v, next, p.ErrorCode, len(got))
			}
			for _, o := range got {
				if o > next {
					t.Fatalf("v%d: %d after %d", v, o, next)
				}
				next = max(next, o+1)
			}
		}
	}
}

func TestConversionIsRefused(t *testing.T) {
	pl := newPlane(t)
	cfg := storage.DefaultConfig()
	cfg.DownConvert = false
	pl.config.Store(&cfg)
	pl.lead("t", 1, 0)
	pl.lead("followed", 1, 0, self, followerID)
	c := pl.dial()
	for replica, code := range map[int32]int16{followerID: 0, -1: 35} {
		topic := "t"
		if replica >= 0 {
			topic = "followed"
		}
		c.call(produceRequest(8, 1, topic, 0, batch("a", "b")))
		req := fetchRequest(3, topic, 0, 0)
		req.ReplicaID = replica
		p := c.call(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if p.ErrorCode != code || code != 0 && (p.HighWatermark != -1 || len(p.RecordBatches) > 0) {
			t.Errorf("replica %d: %+v", replica, p)
		}
		if code == 0 && len(values(t, p.RecordBatches)) != 2 {
			t.Errorf("replica %d got %x", replica, p.RecordBatches)
		}
	}
}

func TestConversionOfZstd(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	c.call(produceRequest(8, 1, "t", 0, compressed(t, compress.Gzip, 3, 10)))
	c.call(produceRequest(8, 1, "t", 0, compressed(t, compress.Zstd, 3, 10)))
	if p := c.fetchOne(2, "t", 0, 1<<20); p.ErrorCode != 0 || len(values(t, p.RecordBatches)) != 3 {
		t.Errorf("before zstd: %+v", p)
	}
	if p := c.fetchOne(2, "t", 3, 1<<20); p.ErrorCode != 76 {
		t.Errorf("zstd: %+v", p)
	}
	if p := c.fetchOne(4, "t", 3, 1<<20); p.ErrorCode != 0 {
		t.Errorf("zstd without conversion: %+v", p)
	}
}

// What has no records in an old format is a message that claims to be longer than the answer.
func TestConversionOfControlBatches(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	p, err := pl.replicas.Lookup("t", 0)
	if err != nil {
		t.Fatal(err)
	}
	marker := record.BuildEndTxnMarker(7, 0, record.EndTxnMarker{Type: record.ControlAbort, Timestamp: time.Now().UnixMilli()}, 0)
	if _, err := p.Append(marker, 1, storage.FromCoordinator, time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	c := pl.dial()
	for v := int16(0); v <= 3; v++ {
		got := c.fetchOne(v, "t", 0, 1<<20).RecordBatches
		if len(got) != 12 || int64(binary.BigEndian.Uint64(got)) != -1 || binary.BigEndian.Uint32(got[8:]) <= 12 {
			t.Errorf("v%d: %x", v, got)
		}
	}
	if p := c.produce("t", 0, "behind it"); p.ErrorCode != 0 {
		t.Fatalf("%+v", p)
	}
	if p := c.fetchOne(2, "t", 0, 1<<20); fmt.Sprint(values(t, p.RecordBatches)) != "[behind it]" {
		t.Errorf("%+v", p)
	}
}

// A limit smaller than the first batch: versions 0 to 2 get it cut, as it is; later ones get it whole and converted.
func TestConversionOfACutBatch(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	whole := compressed(t, compress.None, 20, 50)
	c.call(produceRequest(8, 1, "t", 0, whole))
	log, _ := pl.storage.Get(storage.TopicPartition{Topic: "t"})
	sl, err := log.Read(0, len(whole), true, 20)
	if err != nil {
		t.Fatal(err)
	}
	defer sl.Release()
	stored := make([]byte, 100)
	if _, err := sl.File.ReadAt(stored, 0); err != nil {
		t.Fatal(err)
	}
	for v := int16(0); v <= 2; v++ {
		if p := c.fetchOne(v, "t", 0, 100); !bytes.Equal(p.RecordBatches, stored) {
			t.Errorf("v%d: %x, want %x", v, p.RecordBatches, stored)
		}
	}
	p := c.fetchOne(3, "t", 0, 100)
	if got, rest := fetched(t, 3, p.RecordBatches); len(got) != 20 || len(rest) != 0 || len(p.RecordBatches) <= len(whole) {
		t.Errorf("v3: %d records in %d bytes, of a batch of %d", len(got), len(p.RecordBatches), len(whole))
	}
}

// Old clients produce into topics of every format.
func TestOldClientsProduce(t *testing.T) {
	for format := int8(0); format <= 2; format++ {
		pl := newPlane(t)
		cfg := storage.DefaultConfig()
		cfg.Magic = format
		pl.config.Store(&cfg)
		pl.lead("t", 1, 3)
		c := pl.dial()
		end := int64(0)
		for v := int16(0); v <= 2; v++ {
			for magic := byte(0); magic < 2; magic++ {
				set := append(message(magic, 0, 1_600_000_000_000, "k", fmt.Sprint(v)), message(magic, 0, 1_600_000_000_001, "k", "second")...)
				p := c.call(produceRequest(v, 1, "t", 0, set)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
				if p.ErrorCode != 0 || p.BaseOffset != end {
					t.Fatalf("v%d, format v%d into v%d: %+v", v, magic, format, p)
				}
				end += 2
			}
		}
		bad := message(1, 0, 1, "k", "v")
		bad[len(bad)-1]++
		if p := c.call(produceRequest(2, 1, "t", 0, bad)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 2 || p.BaseOffset != -1 {
			t.Errorf("a bad crc: %+v", p)
		}
		for v := int16(0); v <= 12; v++ {
			p := c.fetchOne(v, "t", 1, 1<<20)
			got := values(t, p.RecordBatches)
			if len(got) < int(end)-1 || fmt.Sprint(got[len(got)-3:]) != "[second 2 second]" {
				t.Errorf("format v%d by fetch v%d: %v", format, v, got)
			}
		}
		checkOldOffsets(t, c, format)
	}
}

// checkOldOffsets looks up offsets by time and by epoch, which the older formats do not have.
func checkOldOffsets(t *testing.T, c *client, format int8) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 5, -1
	for _, ts := range []int64{1_600_000_000_001, -2} {
		q := kmsg.NewListOffsetsRequestTopicPartition()
		q.Timestamp, q.CurrentLeaderEpoch = ts, -1
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{q}}}
		p := c.call(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
		epoch := int32(-1)
		if format == 2 {
			epoch = 3
		}
		switch {
		case ts == -2:
			if p.ErrorCode != 0 || p.Offset != 0 || p.LeaderEpoch != epoch {
				t.Errorf("format v%d: earliest %+v", format, p)
			}
		case format == 0:
			if p.ErrorCode != 43 || p.Offset != -1 {
				t.Errorf("format v0: by time %+v", p)
			}
		default:
			if p.ErrorCode != 0 || p.Offset != 3 || p.Timestamp != ts || p.LeaderEpoch != epoch {
				t.Errorf("format v%d: by time %+v", format, p)
			}
		}
	}
	of := kmsg.NewPtrOffsetForLeaderEpochRequest()
	of.Version, of.ReplicaID = 3, -1
	q := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	q.CurrentLeaderEpoch, q.LeaderEpoch = -1, 3
	of.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{q}}}
	p := c.call(of).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
	want := int64(-1)
	if format == 2 {
		want = 12
	}
	if p.ErrorCode != 0 || p.EndOffset != want {
		t.Errorf("format v%d: end of the epoch %+v", format, p)
	}
}

// A topic whose format was set back still holds newer batches: old clients get them converted all the same.
func TestFormatSetBack(t *testing.T) {
	pl := newPlane(t)
	pl.lead("t", 1, 0)
	c := pl.dial()
	c.produce("t", 0, "new")
	cfg := storage.DefaultConfig()
	cfg.Magic = 1
	pl.storage.UpdateConfig("t", cfg)
	c.produce("t", 0, "old")
	for v := int16(0); v <= 4; v++ {
		if got := values(t, c.fetchOne(v, "t", 0, 1<<20).RecordBatches); fmt.Sprint(got) != "[new old]" {
			t.Errorf("v%d: %v", v, got)
		}
	}
	if p := c.fetchOne(4, "t", 1, 1<<20); record.Batch(p.RecordBatches).Magic() != 1 {
		t.Errorf("%x is not in format v1", p.RecordBatches)
	}
}

// BenchmarkFetchConverted is what a fetch costs whose client knows format v1 only.
func BenchmarkFetchConverted(b *testing.B) {
	for _, codec := range []compress.Codec{compress.None, compress.LZ4} {
		b.Run(codec.String(), func(b *testing.B) {
			pl := newPlane(b)
			pl.lead("t", 1, 0)
			c := pl.dial()
			for range 64 {
				c.call(produceRequest(8, 1, "t", 0, compressed(b, codec, 160, 90)))
			}
			req := fetchRequest(3, "t", 0, 0)
			b.ReportAllocs()
			for b.Loop() {
				p := c.call(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
				b.SetBytes(int64(len(p.RecordBatches)))
			}
		})
	}
}
