package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
	"gregor/wire"
	"gregor/wire/compress"
	"gregor/wire/record"
)

// rawFrame is a request with a header of version 1 (2 where flexible) and any body.
func rawFrame(key, version int16, body []byte) []byte {
	b := make([]byte, 4, 32+len(body))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 7)
	if wire.RequestHeaderVersion(key, version) > 0 {
		b = append(b, 0, 4, 't', 'e', 's', 't')
	}
	if wire.RequestHeaderVersion(key, version) > 1 {
		b = append(b, 0)
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// TestBadFrames: what is no request closes its connection, with one line that names the peer and the reason, costs no memory, and
// nobody else notices.
func TestBadFrames(t *testing.T) {
	ctx := trouble(t, 5*time.Minute)
	b := troubled(t, ctx, peer.Options{})
	by := startBystander(t, ctx, b, "bystander")
	size := func(n uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 9
	metadata.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("t")}}
	whole := dialBroker(t, ctx, b).Frame(metadata)
	cut := append([]byte(nil), whole[:len(whole)-4]...)
	binary.BigEndian.PutUint32(cut, uint32(len(cut)-4))
	for _, c := range []struct {
		name, reason string
		raw          []byte
	}{
		{"an HTTP request", "socket.request.max.bytes", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		{"a TLS hello", "socket.request.max.bytes", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}},
		{"a negative size", "socket.request.max.bytes", size(0xffffffff, 1, 2, 3)},
		{"one byte too many", "socket.request.max.bytes", size(100<<20+1, 0, 3)},
		{"size 0", "", size(0)},
		{"half a header", "", size(3, 0, 3, 0)},
		{"a client id that is longer than the request", "", size(12, 0, 3, 0, 0, 0, 0, 0, 1, 0x7f, 0xff, 'a', 'b')},
		{"an unknown type", "9999", rawFrame(9999, 0, nil)},
		{"a negative type", "-5", rawFrame(-5, 0, nil)},
		{"a version to come", "version 99", rawFrame(3, 99, nil)},
		{"a request cut short", "Metadata", cut},
		{"a count that lies", "Metadata", rawFrame(3, 1, size(0x7fffffff))},
		{"a negative count", "CreateTopics", rawFrame(19, 1, size(0x80000000, 0, 0, 0, 0))},
		{"produce without records", "Produce", rawFrame(0, 8, []byte{0xff, 0xff, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})},
		{"a fetch of 2^31-1 topics", "Fetch", rawFrame(1, 4, append(make([]byte, 17), 0x7f, 0xff, 0xff, 0xff))},
		{"a connection that ends inside a request", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := logFrom(b)
			conn := dialBroker(t, ctx, b)
			rise := peakOf(t, b, func() {
				if c.raw == nil {
					conn.Write(size(1000, 0, 3, 0, 1))
					conn.Close()
					return
				}
				if got := closedAfter(t, conn, c.raw); len(got) > 0 {
					t.Errorf("answered %d bytes: %q", len(got), got[:min(len(got), 100)])
				}
			})
			if rise > 8<<20 {
				t.Errorf("memory rose by %s", mb(rise))
			}
			if c.raw == nil {
				return // a peer that goes is no news
			}
			log.wait(t, ctx, conn.LocalAddr().String())
			lines := log.lines(conn.LocalAddr().String())
			if len(lines) != 1 || !strings.Contains(lines[0], c.reason) || !strings.Contains(lines[0], "WARN") {
				t.Errorf("want one warning that says %q:\n%s", c.reason, strings.Join(lines, "\n"))
			}
			t.Log(lines[0])
		})
	}
	by.unharmed(t, 2*time.Second)
}

// TestLyingCountsCostNoMemory sends 20 MB that claim to be each type of request: the broker decodes no more than was sent.
func TestLyingCountsCostNoMemory(t *testing.T) {
	ctx := trouble(t, 10*time.Minute)
	b := troubled(t, ctx, peer.Options{})
	by := startBystander(t, ctx, b, "bystander")
	served := map[int16]bool{}
	for _, k := range ask[*kmsg.ApiVersionsResponse](t, ctx, dialBroker(t, ctx, b), kmsg.NewPtrApiVersionsRequest()).ApiKeys {
		served[k.ApiKey] = true
	}
	const bytesSent = 20 << 20
	// Each filling makes another element as small as possible: compact empty strings and arrays, ordinary ones, and null.
	fillings := map[string]byte{"zero": 0, "one": 1, "two": 2}
	var worst int64
	for key := int16(0); key <= 60; key++ {
		lo, hi, ok := wire.Versions(key)
		// What a controller sends is believed, as in Apache Kafka without an authorizer: a forged epoch would lock the real one out.
		if controls := key >= 4 && key <= 6; !ok || controls || !served[key] {
			continue
		}
		for _, version := range []int16{lo, hi} {
			for name, filling := range fillings {
				body := bytes.Repeat([]byte{filling}, bytesSent)
				binary.BigEndian.PutUint32(body, uint32(bytesSent/12))
				if wire.Flexible(key, version) {
					n := binary.PutUvarint(body, bytesSent/8)
					body[n] = filling
				}
				conn := dialBroker(t, ctx, b)
				rise := peakOf(t, b, func() {
					// Some of it happens to be a request that gets no answer, or waits for a long time.
					conn.SetDeadline(time.Now().Add(time.Second))
					conn.Write(rawFrame(key, version, body))
					conn.Read(make([]byte, 1)) // either an answer or the end
				})
				conn.Close()
				if rise > 30<<20 {
					t.Logf("%s version %d filled with %s: %s", wire.APIName(key), version, name, mb(rise))
				}
				if worst = max(worst, rise); rise > 1<<30 { // two at a time, while the bodies of others wait
					t.Errorf("%s version %d filled with %s: memory rose by %s", wire.APIName(key), version, name, mb(rise))
				}
			}
		}
	}
	by.unharmed(t, 5*time.Second)
	t.Logf("20 MB of each type of request: memory rose by at most %s; now %s", mb(worst), mb(rss(t, b)))
}

// TestManyTinyTopicsAreBounded: the request of DESIGN.md that made 1.6 GB of 20 MB, every count of it true.
func TestManyTinyTopicsAreBounded(t *testing.T) {
	ctx := trouble(t, 5*time.Minute)
	b := troubled(t, ctx, peer.Options{})
	for _, version := range []int16{1, 5} {
		one := []byte{0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0} // name "", 1 partition, 1 replica, no assignments, no configs
		if version == 5 {
			one = []byte{1, 0, 0, 0, 1, 0, 1, 1, 1, 0}
		}
		n := (20 << 20) / len(one)
		var body []byte
		if version == 5 {
			body = binary.AppendUvarint(body, uint64(n+1))
		} else {
			body = binary.BigEndian.AppendUint32(body, uint32(n))
		}
		body = append(body, bytes.Repeat(one, n)...)
		body = append(body, 0, 0, 0x27, 0x10, 0, 0)
		conn := dialBroker(t, ctx, b)
		var answer []byte
		rise := peakOf(t, b, func() {
			var err error
			if answer, err = conn.RoundTrip(ctx, rawFrame(19, version, body)); err != nil {
				t.Logf("version %d: %v", version, err)
			}
		})
		t.Logf("CreateTopics version %d with %d topics in 20 MB: answered with %d bytes, memory rose by %s", version, n, len(answer), mb(rise))
		if rise > 1<<30 {
			t.Errorf("memory rose by %s", mb(rise))
		}
	}
}

// TestBadBatches: each mistake in a batch gets Kafka's error code, and the log goes on as if nothing had been sent.
func TestBadBatches(t *testing.T) {
	ctx := trouble(t, 5*time.Minute)
	b := troubled(t, ctx, peer.Options{})
	createTopic(t, ctx, b, "strict", 1, map[string]string{"message.timestamp.difference.max.ms": "60000"})
	by := startBystander(t, ctx, b, "bystander")
	good := func() record.Batch { return batch(t, record.NewBuilder(), []byte("a"), []byte("b"), []byte("c")) }
	changed := func(f func(record.Batch)) record.Batch {
		x := good()
		f(x)
		binary.BigEndian.PutUint32(x[17:], x.ComputeCRC())
		return x
	}
	at := func(ts int64) record.Batch {
		bl := record.NewBuilder()
		bl.Append(ts, nil, []byte("x"))
		x, err := bl.Build()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	// As Apache Kafka, which does not tell a client that its compressed data cannot be unpacked but that the server failed.
	undecodable := kerr.UnknownServerError.Code
	const closes = -100
	for _, c := range []struct {
		name, topic string
		records     []byte
		code        int16
	}{
		{"a wrong CRC", "t", func() []byte { x := good(); x[len(x)-1] ^= 1; return x }(), kerr.CorruptMessage.Code},
		{"a length that claims more", "t", changed(func(x record.Batch) { binary.BigEndian.PutUint32(x[8:], uint32(len(x))) }), closes},
		{"a length of -1", "t", changed(func(x record.Batch) { binary.BigEndian.PutUint32(x[8:], math.MaxUint32) }), closes},
		{"an unknown magic", "t", changed(func(x record.Batch) { x[16] = 9 }), closes},
		{"a base offset of 2^62", "t", changed(func(x record.Batch) { binary.BigEndian.PutUint64(x, 1<<62) }), kerr.InvalidRecord.Code},
		{"a count of 2^31-1", "t", changed(func(x record.Batch) { binary.BigEndian.PutUint32(x[57:], math.MaxInt32) }), kerr.InvalidRecord.Code},
		{"a last offset delta of 2^31-1", "t", changed(func(x record.Batch) { binary.BigEndian.PutUint32(x[23:], math.MaxInt32) }), kerr.InvalidRecord.Code},
		{"two batches", "t", append(good(), good()...), kerr.InvalidRecord.Code},
		{"a timestamp in the year 292 million", "strict", at(math.MaxInt64), kerr.InvalidTimestamp.Code},
		{"a timestamp of 1970", "strict", at(1), kerr.InvalidTimestamp.Code},
		{"a control batch of a client", "t", changed(func(x record.Batch) { x[22] |= 0x20 }), kerr.InvalidRecord.Code},
		{"more than message.max.bytes", "t", batch(t, record.NewBuilder(), make([]byte, 1<<20)), kerr.MessageTooLarge.Code},
		{"gzip that is none", "t", changed(func(x record.Batch) { x[22] |= 1 }), undecodable},
		{"zstd that is none", "t", changed(func(x record.Batch) { x[22] |= 4 }), undecodable},
		{"codec 7", "t", changed(func(x record.Batch) { x[22] |= 7 }), undecodable},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := logFrom(b)
			conn := dialBroker(t, ctx, b)
			resp, err := conn.Request(ctx, produceTo(c.topic, 0, 8, 1, c.records))
			if c.code == closes {
				if err == nil {
					t.Error("the connection stays open")
				}
				log.wait(t, ctx, conn.LocalAddr().String())
				if lines := log.lines(conn.LocalAddr().String()); len(lines) != 1 {
					t.Errorf("want one line:\n%s", strings.Join(lines, "\n"))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; got != c.code {
				t.Errorf("got %s, want %s", kafkaError(got), kafkaError(c.code))
			}
		})
	}
	conn := dialBroker(t, ctx, b)
	if code, offset := produceCode(t, ctx, conn, "t", good()); code != 0 || offset != 0 {
		t.Errorf("after them a good batch got %s at offset %d, not 0", kafkaError(code), offset)
	}
	by.unharmed(t, 2*time.Second)
}

// TestImpossibleOffsets: reads, truncations and epochs that cannot be.
func TestImpossibleOffsets(t *testing.T) {
	ctx := trouble(t, 2*time.Minute)
	b := troubled(t, ctx, peer.Options{})
	conn := dialBroker(t, ctx, b)
	if code, _ := produceCode(t, ctx, conn, "t", batch(t, record.NewBuilder(), []byte("a"))); code != 0 {
		t.Fatal(kafkaError(code))
	}
	for _, offset := range []int64{-1, -1 << 63, 2, 1 << 62, math.MaxInt64} {
		if code := fetchCode(t, ctx, conn, "t", 0, offset); code != kerr.OffsetOutOfRange.Code {
			t.Errorf("fetch at %d: %s", offset, kafkaError(code))
		}
		if offset == -1 {
			continue // for DeleteRecords it means the high watermark
		}
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version, req.TimeoutMillis = 1, 5000
		req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: offset}}}}
		if code := ask[*kmsg.DeleteRecordsResponse](t, ctx, conn, req).Topics[0].Partitions[0].ErrorCode; code != kerr.OffsetOutOfRange.Code {
			t.Errorf("DeleteRecords at %d: %s", offset, kafkaError(code))
		}
	}
	for _, partition := range []int32{-1, 1, math.MaxInt32} {
		if code := fetchCode(t, ctx, conn, "t", partition, 0); code != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("fetch of partition %d: %s", partition, kafkaError(code))
		}
	}
	if code := fetchCode(t, ctx, conn, "t", 0, 0); code != 0 {
		t.Error(kafkaError(code))
	}
}

func fetchRequest(topic string, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, 0, 1, 50<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = partition, offset, 50<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	return req
}

func fetchCode(t *testing.T, ctx context.Context, c *peer.Conn, topic string, partition int32, offset int64) int16 {
	t.Helper()
	return ask[*kmsg.FetchResponse](t, ctx, c, fetchRequest(topic, partition, offset)).Topics[0].Partitions[0].ErrorCode
}

// bomb is a batch of one record of n zero bytes, small by compression.
func bomb(t *testing.T, codec compress.Codec, n int) record.Batch {
	t.Helper()
	b := record.NewBuilder()
	b.Codec = codec
	return batch(t, b, make([]byte, n))
}

// hugeWindow is a batch whose records are a zstd frame that asks for a window of 128 MB.
func hugeWindow(t *testing.T) record.Batch {
	t.Helper()
	plain := batch(t, record.NewBuilder(), make([]byte, 130<<20))
	enc, err := zstd.NewWriter(nil, zstd.WithWindowSize(128<<20), zstd.WithSingleSegment(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	out := append(record.Batch(nil), plain[:record.HeaderSize]...)
	out = record.Batch(enc.EncodeAll(plain[record.HeaderSize:], out))
	out[22] |= byte(compress.Zstd)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], out.ComputeCRC())
	return out
}

// TestCompressionBombs: batches that unpack to hundreds of megabytes are checked without being held, by many clients at once, into
// topics that keep them as they are and into topics that compress them anew.
func TestCompressionBombs(t *testing.T) {
	ctx := trouble(t, 10*time.Minute)
	b := troubled(t, ctx, peer.Options{})
	createTopic(t, ctx, b, "recompressed", 1, map[string]string{"compression.type": "snappy"})
	by := startBystander(t, ctx, b, "bystander")
	before := rss(t, b)
	const clientsAtOnce = 8
	for _, c := range []struct {
		name    string
		records record.Batch
	}{
		{"gzip, 800 MB", bomb(t, compress.Gzip, 800<<20)},
		{"zstd, 800 MB", bomb(t, compress.Zstd, 800<<20)},
		{"zstd with a window of 128 MB", hugeWindow(t)},
		{"lz4, 200 MB", bomb(t, compress.LZ4, 200<<20)},
		{"snappy, 16 MB", bomb(t, compress.Snappy, 16<<20)},
	} {
		for _, topic := range []string{"t", "recompressed"} {
			t.Run(c.name+" to "+topic, func(t *testing.T) {
				codes := make([]string, clientsAtOnce)
				began := time.Now()
				rise := peakOf(t, b, func() {
					var wg sync.WaitGroup
					for i := range codes {
						conn := dialBroker(t, ctx, b)
						wg.Go(func() {
							resp, err := conn.Request(ctx, produceTo(topic, 0, 8, 1, c.records))
							if err != nil {
								codes[i] = err.Error()
								return
							}
							codes[i] = kafkaError(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
						})
					}
					wg.Wait()
				})
				t.Logf("%d clients at once, %d bytes each: %.1f s, memory rose by %s, answers %.150q", clientsAtOnce, len(c.records), time.Since(began).Seconds(), mb(rise), codes[0])
				if rise > 1<<30 { // two at a time, while the bodies of others wait
					t.Errorf("memory rose by %s", mb(rise))
				}
				for _, c := range codes {
					if c != codes[0] {
						t.Errorf("answers differ: %q", codes)
					}
				}
			})
		}
	}
	by.unharmed(t, 10*time.Second)
	t.Logf("memory %s before, %s after", mb(before), mb(rss(t, b)))
}
