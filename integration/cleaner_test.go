package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/integration/clients"
	"gregor/integration/peer"
	"gregor/wire/compress"
	"gregor/wire/record"
)

const cleanedTopic = "compacted"

// TestCleanersAgree: of the same log, with transactions, tombstones and every codec, Gregor's cleaner and Apache Kafka's leave the
// same batches with the same records; either goes on with what the other has cleaned, and they agree again.
func TestCleanersAgree(t *testing.T) {
	_, ctx := interop(t, 10*time.Minute)
	formats := []string{"2.7"}
	if full() {
		formats = append(formats, "0.10.2", "0.9.0")
	}
	for _, format := range formats {
		t.Run(format, func(t *testing.T) { cleanersAgree(t, ctx, format) })
	}
}

func cleanersAgree(t *testing.T, ctx context.Context, format string) {
	old := format != "2.7" // without transactions, then
	zk := startZooKeeper(t, ctx).Addr
	written := t.TempDir()
	w := startBroker(t, ctx, peer.Options{Kind: peer.Kafka, Dir: written, ID: 1, ZooKeeper: zk, Config: cleanerConfig(false)})
	if err := clients.CreateTopic(ctx, w.Addr, cleanedTopic, 1, map[string]string{
		"cleanup.policy": "compact", "segment.bytes": "40000", "min.cleanable.dirty.ratio": "0.0",
		"delete.retention.ms": "0", "index.interval.bytes": "512", "file.delete.delay.ms": "0", "message.format.version": format,
	}); err != nil {
		t.Fatal(err)
	}
	writeToClean(t, ctx, w.Addr, 1, !old, old)
	stop(t, w)

	dirs := map[peer.Kind]string{peer.Kafka: t.TempDir(), peer.Gregor: t.TempDir()}
	for kind, dir := range dirs {
		if out, err := exec.Command("cp", "-a", written+"/logs", dir+"/logs").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		cleanWith(t, ctx, kind, dir, zk)
	}
	before := readSegments(t, written)
	compareCleaned(t, "one cleaning", before, dirs)
	if old {
		return // how a client cuts what it writes next into compressed messages is not the same twice
	}

	// Each goes on with the other's directory.
	dirs[peer.Kafka], dirs[peer.Gregor] = dirs[peer.Gregor], dirs[peer.Kafka]
	for kind, dir := range dirs {
		// A marker goes in the round after the one that took its transaction's data, so both are to have as many rounds: one.
		b := startCleaner(t, ctx, kind, dir, zk, false)
		writeToClean(t, ctx, b.Addr, 2, false, old)
		stop(t, b)
		cleanWith(t, ctx, kind, dir, zk)
	}
	compareCleaned(t, "another, of what the other had cleaned", before, dirs)
}

func cleanerConfig(enable bool) map[string]string {
	return map[string]string{
		"log.cleaner.enable": strconv.FormatBool(enable), "log.cleaner.backoff.ms": "200", "log.cleaner.dedupe.buffer.size": "4194304",
		"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1", "transaction.state.log.num.partitions": "1",
		"offsets.topic.num.partitions": "1", "log.segment.delete.delay.ms": "0",
	}
}

// writeToClean writes records of few keys, by one producer after the other.
func writeToClean(t *testing.T, ctx context.Context, addr string, seed uint64, transactions, old bool) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	for round, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.NoCompression()} {
		if old && codec == kgo.ZstdCompression() {
			continue
		}
		opts := []kgo.Opt{kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(cleanedTopic), kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(4000),
			kgo.ManualFlushing()} // where batches end depends on nothing but their size
		txn := transactions && round%2 == 1
		if txn {
			opts = append(opts, kgo.TransactionalID(fmt.Sprintf("t%d", round)))
		} else if old || round%4 == 2 {
			opts = append(opts, kgo.DisableIdempotentWrite())
		}
		cl, err := kgo.NewClient(opts...)
		if err != nil {
			t.Fatal(err)
		}
		for part := range 6 {
			if txn {
				if err := cl.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
			}
			var batch []*kgo.Record
			for i := range 150 {
				rec := &kgo.Record{Key: []byte("key" + strconv.Itoa(r.IntN(700))), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(1000*part+i))}
				if r.IntN(6) > 0 {
					rec.Value = []byte(strings.Repeat(strconv.Itoa(r.IntN(1000)), 1+r.IntN(20)))
				}
				batch = append(batch, rec)
			}
			var failed error
			for _, rec := range batch {
				cl.Produce(ctx, rec, func(_ *kgo.Record, err error) { failed = errors.Join(failed, err) })
			}
			if err := errors.Join(cl.Flush(ctx), failed); err != nil {
				t.Fatal(err)
			}
			if txn {
				if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(part%3 != 1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		cl.Close()
	}
}

// startCleaner starts a broker on a directory, with or without its cleaner.
func startCleaner(t *testing.T, ctx context.Context, kind peer.Kind, dir, zk string, enable bool) *peer.Broker {
	t.Helper()
	b, err := peer.StartWhenFree(ctx, peer.Options{Kind: kind, Dir: dir, ID: 1, ZooKeeper: zk, Config: cleanerConfig(enable)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// cleanWith starts a broker on a directory, and stops it when its cleaner has done what there is to do.
func cleanWith(t *testing.T, ctx context.Context, kind peer.Kind, dir, zk string) {
	t.Helper()
	b := startCleaner(t, ctx, kind, dir, zk, true)
	waitUntilCleaned(t, ctx, b)
	stop(t, b)
}

// waitUntilCleaned waits until everything but the active segment was cleaned.
func waitUntilCleaned(t *testing.T, ctx context.Context, b *peer.Broker) {
	t.Helper()
	for {
		names, err := filepath.Glob(b.Dir + "/logs/" + cleanedTopic + "-0/*.log")
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		active, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(slices.Max(names)), ".log"))
		if err != nil {
			t.Fatal(err)
		}
		checkpoint, err := os.ReadFile(b.Dir + "/logs/cleaner-offset-checkpoint")
		if err == nil && strings.Contains(string(checkpoint), fmt.Sprintf("%s 0 %d\n", cleanedTopic, active)) {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not clean up to %d: %s\n%s", b.Kind, active, checkpoint, b.Tail())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readSegments reads every batch of the partition's segments.
func readSegments(t *testing.T, dir string) [][]byte {
	t.Helper()
	names, err := filepath.Glob(dir + "/logs/" + cleanedTopic + "-0/*.log")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var out [][]byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for len(b) > 0 {
			one, rest, err := record.Next(b)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out = append(out, one)
			b = rest
		}
	}
	return out
}

// describe is what a batch holds, whatever its compressed bytes are.
func describe(t *testing.T, b record.Batch, own bool) string {
	t.Helper()
	if b.Magic() < 2 {
		return describeOld(t, b)
	}
	if !b.ValidCRC() {
		t.Fatalf("the batch at %d has a wrong CRC", b.BaseOffset())
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%d-%d attributes %x count %d", b.BaseOffset(), b.LastOffset(), b.Attributes(), b.Count())
	if !own { // what two producers of the same records do not have in common
		fmt.Fprintf(&s, " epoch %d times %d %d producer %d/%d/%d", b.LeaderEpoch(), b.BaseTimestamp(), b.MaxTimestamp(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
	}
	it := record.NewIter(b, 1<<20)
	defer it.Close()
	for it.Next() {
		r := &it.Record
		fmt.Fprintf(&s, "\n  %d %d %q %q null %v headers %d", r.Offset, r.Timestamp, r.Key, r.Value, r.Value == nil, r.Headers.Len())
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	if b.Codec() == compress.None && !own {
		fmt.Fprintf(&s, "\n  %x", bytes.Clone(b))
	}
	return s.String()
}

// describeOld is describe for a message of format v0 or v1.
func describeOld(t *testing.T, b []byte) string {
	t.Helper()
	h, err := record.ParseHeader(b)
	if err != nil || !record.ValidLegacyCRC(b) {
		t.Fatalf("the message at %d: %v, or a wrong CRC", h.BaseOffset, err)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "v%d %d attributes %x time %d", h.Magic, h.BaseOffset, h.Attributes, h.MaxTimestamp)
	it := record.NewIter(b, 1<<20)
	defer it.Close()
	for it.Next() {
		r := &it.Record
		fmt.Fprintf(&s, "\n  %d %d %q %q null %v", r.Offset, r.Timestamp, r.Key, r.Value, r.Value == nil)
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	if h.Codec() == compress.None {
		fmt.Fprintf(&s, "\n  %x", b)
	}
	return s.String()
}

func compareCleaned(t *testing.T, what string, before [][]byte, dirs map[peer.Kind]string) {
	t.Helper()
	last, err := record.ParseHeader(before[len(before)-1])
	if err != nil {
		t.Fatal(err)
	}
	written := last.NextOffset()
	all := map[peer.Kind][]string{}
	for kind, dir := range dirs {
		for _, b := range readSegments(t, dir) {
			all[kind] = append(all[kind], describe(t, b, record.Batch(b).BaseOffset() >= written))
		}
	}
	t.Logf("%s: %d batches became %d", what, len(before), len(all[peer.Kafka]))
	if len(all[peer.Kafka]) >= len(before) && what == "one cleaning" {
		t.Errorf("%s: Kafka cleaned nothing", what)
	}
	for i := range max(len(all[peer.Kafka]), len(all[peer.Gregor])) {
		if i >= len(all[peer.Kafka]) || i >= len(all[peer.Gregor]) {
			t.Fatalf("%s: Kafka's has %d batches, Gregor's %d", what, len(all[peer.Kafka]), len(all[peer.Gregor]))
		}
		if k, g := all[peer.Kafka][i], all[peer.Gregor][i]; k != g {
			t.Fatalf("%s: batch %d of %d:\nKafka:  %s\nGregor: %s", what, i, len(all[peer.Kafka]), k, g)
		}
	}
}

// TestCleanersSpeed cleans the same large log with both and prints what it cost. A broker's own CPU is taken off: each also opens the
// directory with its cleaner off.
func TestCleanersSpeed(t *testing.T) {
	_, ctx := interop(t, 10*time.Minute)
	if !full() {
		t.Skip("run with FULL=1")
	}
	const records, keys = 2_000_000, 500_000
	written := t.TempDir()
	zk := startZooKeeper(t, ctx).Addr
	w := startBroker(t, ctx, peer.Options{Kind: peer.Gregor, Dir: written, ID: 1, ZooKeeper: zk, Config: cleanerConfig(false)})
	if err := clients.CreateTopic(ctx, w.Addr, cleanedTopic, 1, map[string]string{
		"cleanup.policy": "compact", "segment.bytes": "50000000", "min.cleanable.dirty.ratio": "0.0",
	}); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.Addr), kgo.DefaultProduceTopic(cleanedTopic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(20_000))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	value := bytes.Repeat([]byte("v"), 100)
	for range records {
		cl.Produce(ctx, &kgo.Record{Key: []byte("key-" + strconv.Itoa(r.IntN(keys))), Value: value}, nil)
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	stop(t, w)
	t.Logf("%d records of %d keys are written", records, keys)

	perSecond := map[peer.Kind]float64{}
	for _, kind := range []peer.Kind{peer.Kafka, peer.Gregor} {
		var cpu [2]time.Duration
		for i, enable := range []bool{false, true} {
			dir := t.TempDir()
			if out, err := exec.Command("cp", "-a", written+"/logs", dir+"/logs").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			cfg := cleanerConfig(enable)
			cfg["log.cleaner.dedupe.buffer.size"] = "134217728"
			b, err := peer.StartWhenFree(ctx, peer.Options{Kind: kind, Dir: dir, ID: 1, ZooKeeper: zk, Config: cfg, Heap: "1g"})
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if enable {
				waitUntilCleaned(t, ctx, b)
			}
			u, err := b.Usage()
			if err != nil {
				t.Fatal(err)
			}
			cpu[i] = u.CPU
			if enable {
				t.Logf("%s: %v after the start until all is cleaned, %v CPU, %v of it without the cleaner", kind, time.Since(begun).Round(time.Millisecond), u.CPU, cpu[0])
			}
			stop(t, b)
			os.RemoveAll(dir)
		}
		perSecond[kind] = records / (cpu[1] - cpu[0]).Seconds()
	}
	t.Logf("records cleaned a CPU second: Kafka %.0f, Gregor %.0f: %.1f times", perSecond[peer.Kafka], perSecond[peer.Gregor], perSecond[peer.Gregor]/perSecond[peer.Kafka])
}
