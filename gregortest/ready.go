package gregortest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// pollInterval is between two questions whether the broker knows its controller, which it does a millisecond or two after its start.
const pollInterval = 500 * time.Microsecond

// prepare waits until the broker is its cluster's controller and knows it, and makes the topics: a client's first request then finds
// everything as in a cluster that has been up for long.
func (b *Broker) prepare(ctx context.Context, topics []topic) error {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	if deadline, ok := ctx.Deadline(); ok {
		nc.SetDeadline(deadline) //nolint:errcheck // a socket just opened
	}
	for {
		m := &kmsg.MetadataRequest{Version: 4, Topics: []kmsg.MetadataRequestTopic{}}
		resp := &kmsg.MetadataResponse{Version: 4}
		if err := ask(nc, m, resp); err != nil {
			return err
		}
		if resp.ControllerID >= 0 && len(resp.Brokers) > 0 {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the controller: %w", ctx.Err())
		case <-time.After(pollInterval):
		}
	}
	if len(topics) == 0 {
		return nil
	}
	return create(nc, topics)
}

func create(nc net.Conn, topics []topic) error {
	req := &kmsg.CreateTopicsRequest{Version: 4, TimeoutMillis: int32(startTimeout.Milliseconds())}
	for _, t := range topics {
		rt := kmsg.CreateTopicsRequestTopic{Topic: t.name, NumPartitions: t.partitions, ReplicationFactor: 1}
		for k, v := range t.config {
			rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
		}
		req.Topics = append(req.Topics, rt)
	}
	resp := &kmsg.CreateTopicsResponse{Version: 4}
	if err := ask(nc, req, resp); err != nil {
		return err
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		err := kerr.ErrorForCode(rt.ErrorCode)
		switch {
		case err == nil || rt.ErrorCode == kerr.TopicAlreadyExists.Code: // a broker of a directory may have it already
		case rt.ErrorMessage != nil:
			return fmt.Errorf("create topic %s: %w: %s", rt.Topic, err, *rt.ErrorMessage)
		default:
			return fmt.Errorf("create topic %s: %w", rt.Topic, err)
		}
	}
	return nil
}

// maxAnswer bounds an answer of our own broker to our own small requests.
const maxAnswer = 64 << 20

// ask sends a request whose version is not a flexible one, and reads its answer.
func ask(nc net.Conn, req kmsg.Request, resp kmsg.Response) error {
	if _, err := nc.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("gregortest")).AppendRequest(nil, req, 1)); err != nil {
		return err
	}
	var head [8]byte // length, correlation id
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	n := int32(binary.BigEndian.Uint32(head[:])) - 4
	if n < 0 || n > maxAnswer {
		return fmt.Errorf("%s: an answer of %d bytes", kmsg.NameForKey(req.Key()), n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(nc, body); err != nil {
		return fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp.ReadFrom(body)
}
