package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
)

// fetchMax is what one fetch asks for: the consumer's default of 1 MiB per partition.
const fetchMax = 1 << 20

// fetchLoop reads a partition from its beginning to end, again and again, and throws it away.
type fetchLoop struct {
	*fetcher
	end    int64
	offset int64
	bytes  int64
}

func (l *fetchLoop) step() error {
	n, next, err := l.fetch(l.offset, 500)
	if err != nil {
		return err
	}
	l.bytes += n
	if l.offset = next; next >= l.end {
		l.offset = 0
	}
	return nil
}

// slice calls step for about d.
func slice(ctx context.Context, d time.Duration, step func() error) error {
	for began := time.Now(); time.Since(began) < d; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// fetcher reads one partition by Fetch requests of version 11 without a session.
type fetcher struct {
	c   io.ReadWriteCloser
	r   *bufio.Reader
	req []byte
	buf []byte
	// at is where the fetch offset, and wait where the wait time lies in req.
	at, wait int
	// records of the last fetch.
	records []byte
}

func dialFetcher(ctx context.Context, addr, topic string) (*fetcher, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newFetcher(c, topic), nil
}

func newFetcher(c io.ReadWriteCloser, topic string) *fetcher {
	const marker = 0x0123456789abcdef
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, -1, 1, 50<<20, -1
	req.MaxWaitMillis = 500
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LogStartOffset = marker, fetchMax, -1, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	f := &fetcher{c: c, r: bufio.NewReaderSize(c, 4<<10), buf: make([]byte, 2<<20)}
	f.req = kmsg.NewRequestFormatter(kmsg.FormatterClientID("perf")).AppendRequest(nil, req, 1)
	for i := range f.req {
		if len(f.req)-i >= 8 && binary.BigEndian.Uint64(f.req[i:]) == marker {
			f.at = i
		}
	}
	// Header: size, key, version, correlation id, client id; then the replica id.
	f.wait = 4 + 2 + 2 + 4 + 2 + len("perf") + 4
	return f
}

// fetch returns the bytes of the answer and the offset behind its last whole batch.
func (f *fetcher) fetch(offset int64, waitMillis int32) (n, next int64, err error) {
	binary.BigEndian.PutUint64(f.req[f.at:], uint64(offset))
	binary.BigEndian.PutUint32(f.req[f.wait:], uint32(waitMillis))
	if _, err := f.c.Write(f.req); err != nil {
		return 0, 0, err
	}
	var size [4]byte
	if _, err := io.ReadFull(f.r, size[:]); err != nil {
		return 0, 0, err
	}
	length := int(binary.BigEndian.Uint32(size[:]))
	if length > cap(f.buf) {
		f.buf = make([]byte, length)
	}
	b := f.buf[:length]
	if _, err := io.ReadFull(f.r, b); err != nil {
		return 0, 0, err
	}
	next, err = f.parse(b, offset)
	return int64(length) + 4, next, err
}

// parse steps through a response of version 11 for one partition.
func (f *fetcher) parse(b []byte, offset int64) (int64, error) {
	be := binary.BigEndian
	if code := int16(be.Uint16(b[8:])); code != 0 {
		return 0, fmt.Errorf("fetch: %w", kerr.ErrorForCode(code))
	}
	at := 4 + 4 + 2 + 4 + 4 // correlation id, throttle, error, session, topics
	at += 2 + int(be.Uint16(b[at:])) + 4 + 4
	if code := int16(be.Uint16(b[at:])); code != 0 {
		return 0, fmt.Errorf("fetch at %d: %w", offset, kerr.ErrorForCode(code))
	}
	at += 2 + 8 + 8 + 8 // error, high watermark, last stable offset, log start offset
	if aborted := int32(be.Uint32(b[at:])); aborted > 0 {
		at += int(aborted) * 16
	}
	at += 4 + 4 // aborted transactions, preferred replica
	records := b[at+4:]
	f.records = records
	for len(records) >= 61 {
		n := 12 + int(be.Uint32(records[8:]))
		if n > len(records) {
			break
		}
		offset = int64(be.Uint64(records)) + int64(be.Uint32(records[23:])) + 1
		records = records[n:]
	}
	f.records = f.records[:len(f.records)-len(records)]
	return offset, nil
}

// readEnd reads a partition's last batch and returns its bytes.
func readEnd(ctx context.Context, c *peer.Conn, topic string, partition int32) (int64, error) {
	lo := kmsg.NewPtrListOffsetsRequest()
	lo.Version, lo.ReplicaID = 1, -1
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = topic
	lp := kmsg.NewListOffsetsRequestTopicPartition()
	lp.Partition, lp.Timestamp = partition, -1
	lt.Partitions = append(lt.Partitions, lp)
	lo.Topics = append(lo.Topics, lt)
	resp, err := c.Request(ctx, lo)
	if err != nil {
		return 0, err
	}
	end := resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(end.ErrorCode); err != nil {
		return 0, fmt.Errorf("end of %s-%d: %w", topic, partition, err)
	}
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MinBytes, req.MaxBytes, req.SessionEpoch, req.MaxWaitMillis = 11, -1, 1, 1<<20, -1, 500
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic = topic
	fp := kmsg.NewFetchRequestTopicPartition()
	fp.Partition, fp.FetchOffset, fp.PartitionMaxBytes, fp.CurrentLeaderEpoch, fp.LogStartOffset = partition, end.Offset-1, 64<<10, -1, -1
	ft.Partitions = append(ft.Partitions, fp)
	req.Topics = append(req.Topics, ft)
	if resp, err = c.Request(ctx, req); err != nil {
		return 0, err
	}
	got := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return 0, fmt.Errorf("fetch the last record of %s-%d: %w", topic, partition, err)
	}
	if len(got.RecordBatches) == 0 {
		return 0, fmt.Errorf("fetch the last record of %s-%d: nothing came", topic, partition)
	}
	return int64(len(got.RecordBatches)), nil
}
