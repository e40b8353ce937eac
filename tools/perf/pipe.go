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
	"gregor/wire/record"
)

// pipe is one connection with a bounded number of Produce requests in flight. One goroutine sends, another calls receive.
type pipe struct {
	c     io.ReadWriteCloser
	r     *bufio.Reader
	slots chan struct{}
	corr  int32
}

func dialPipe(ctx context.Context, addr string, inFlight int) (*pipe, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newPipe(c, inFlight), nil
}

func newPipe(c io.ReadWriteCloser, inFlight int) *pipe {
	return &pipe{c: c, r: bufio.NewReaderSize(c, 16<<10), slots: make(chan struct{}, inFlight)}
}

// smallBatch is copied behind its header rather than gathered.
const smallBatch = 4 << 10

// produceHeader is a Produce request of version 8 with one batch, up to the batch itself.
func produceHeader(dst []byte, corr int32, topic string, partition int32, batchLen int) []byte {
	const client = "perf"
	size := 2 + 2 + 4 + 2 + len(client) + 2 + 2 + 4 + 4 + 2 + len(topic) + 4 + 4 + 4 + batchLen
	be := binary.BigEndian
	dst = be.AppendUint32(dst, uint32(size))
	dst = be.AppendUint16(dst, 0) // Produce
	dst = be.AppendUint16(dst, 8)
	dst = be.AppendUint32(dst, uint32(corr))
	dst = be.AppendUint16(dst, uint16(len(client)))
	dst = append(dst, client...)
	dst = be.AppendUint16(dst, 0xffff) // no transactional id
	dst = be.AppendUint16(dst, 0xffff) // acks=all
	dst = be.AppendUint32(dst, 30_000)
	dst = be.AppendUint32(dst, 1)
	dst = be.AppendUint16(dst, uint16(len(topic)))
	dst = append(dst, topic...)
	dst = be.AppendUint32(dst, 1)
	dst = be.AppendUint32(dst, uint32(partition))
	return be.AppendUint32(dst, uint32(batchLen))
}

// send waits for a slot and writes a request with one batch, in one system call.
func (p *pipe) send(ctx context.Context, head []byte, topic string, partition int32, batch []byte) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return head, ctx.Err()
	}
	p.corr++
	head = produceHeader(head[:0], p.corr, topic, partition, len(batch))
	if len(batch) <= smallBatch {
		head = append(head, batch...)
		_, err := p.c.Write(head)
		return head, err
	}
	bufs := net.Buffers{head, batch}
	_, err := bufs.WriteTo(p.c)
	return head, err
}

// receive reads the next response, frees its slot, and returns the error in it.
func (p *pipe) receive() error {
	var size [4]byte
	if _, err := io.ReadFull(p.r, size[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	b, err := p.r.Peek(n)
	if err != nil {
		return err
	}
	// correlation id, topics, name, partitions, partition, error code
	at := 4 + 4
	name := int(binary.BigEndian.Uint16(b[at:]))
	at += 2 + name + 4 + 4
	code := int16(binary.BigEndian.Uint16(b[at:]))
	if _, err := p.r.Discard(n); err != nil {
		return err
	}
	<-p.slots
	return kerr.ErrorForCode(code)
}

// plainBatch encodes a batch of as many records with values of size bytes as fit into limit bytes (at least one).
func plainBatch(size, limit int, timestamp int64) (record.Batch, int, error) {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte('a' + (i*7+i/13)%26)
	}
	// 61 bytes of header; each record's length, attributes, deltas and lengths take at most 20.
	n := max(1, (limit-61)/(size+12))
	b := record.NewBuilder()
	for range n {
		b.Append(timestamp, nil, value)
	}
	batch, err := b.Build()
	return batch, n, err
}

// createTopics makes topics of the given number of partitions, a few hundred in a request.
func createTopics(ctx context.Context, addr string, names []string, partitions int32) error {
	return createReplicated(ctx, addr, names, partitions, nil, nil)
}

// createReplicated makes topics with replicas on the brokers, the first of which leads; without them each has one, anywhere.
// config is the topics' own.
func createReplicated(ctx context.Context, addr string, names []string, partitions int32, replicas []int32, config map[string]string) error {
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for len(names) > 0 {
		n := min(len(names), 256)
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version, req.TimeoutMillis = 4, 60_000
		for _, name := range names[:n] {
			t := kmsg.NewCreateTopicsRequestTopic()
			t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
			if len(replicas) > 0 {
				t.NumPartitions, t.ReplicationFactor = -1, -1
				for p := range partitions {
					t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: p, Replicas: replicas})
				}
			}
			for k, v := range config {
				t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
			}
			req.Topics = append(req.Topics, t)
		}
		resp, err := c.Request(ctx, req)
		if err != nil {
			return err
		}
		for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
				return fmt.Errorf("creating %s: %w", t.Topic, err)
			}
		}
		names = names[n:]
	}
	return nil
}

// deleteTopics gives the disk back. Kafka takes a minute or more to delete 2,048 topics on a busy machine.
func deleteTopics(ctx context.Context, addr string, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis, req.TopicNames = 3, 240_000, names
	_, err = c.Request(ctx, req)
	return err
}
