// Package peer is a broker's side of a conversation with another broker: one connection, answers in the order of the requests.
//
// It owns the connection. A Conn belongs to one goroutine, except Close and Interrupt, which may be called by any. What an
// answer may allocate is bounded before it is read. Imports: wire and kmsg. Kafka's counterparts: NetworkClientUtils and
// kafka.server.ReplicaFetcherBlockingSend.
package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire"
)

// MaxResponse bounds an answer: error codes of a million partitions are less.
const MaxResponse = 256 << 20

// DialFunc opens a connection that is ready for requests: authentication, if there is any, is its part.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Conn is a connection to a broker.
type Conn struct {
	conn        net.Conn
	in          *bufio.Reader
	out         []byte
	body        []byte
	clientID    string
	formatter   *kmsg.RequestFormatter
	timeout     time.Duration
	correlation int32 // of the last request that was sent
	answered    int32 // of the last answer that was taken

	mu          sync.Mutex
	waiting     bool // in Await
	interrupted bool
}

// Dial connects. clientID is what the broker's request log shows; timeout bounds the connection's set-up and each round trip.
func Dial(ctx context.Context, dial DialFunc, addr, clientID string, timeout time.Duration) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{conn: c, in: bufio.NewReaderSize(newReader(c), 16<<10), timeout: timeout, clientID: clientID,
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))}, nil
}

// Close closes the connection; a call under way fails.
func (c *Conn) Close() error { return c.conn.Close() }

// keepBuffer is how large a buffer stays with the connection between requests.
const keepBuffer = 1 << 20

// RoundTrip sends a request and returns its answer. After an error the connection is of no use.
func (c *Conn) RoundTrip(req kmsg.Request) (kmsg.Response, error) {
	c.correlation++
	c.out = c.formatter.AppendRequest(c.out[:0], req, c.correlation)
	body, err := c.exchange(c.out, MaxResponse)
	if cap(c.out) > keepBuffer {
		c.out = nil
	}
	if err != nil {
		return nil, err
	}
	if body, err = skipHeader(req.Key(), req.GetVersion(), body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	err = resp.ReadFrom(body)
	if cap(c.body) > keepBuffer {
		c.body = nil
	}
	if err != nil {
		return nil, fmt.Errorf("the answer to %s: %w", wire.APIName(req.Key()), err)
	}
	return resp, nil
}

// Send sends a request whose body build appends. Receive takes its answer, after those of earlier requests.
func (c *Conn) Send(key, version int16, build func([]byte) []byte) error {
	c.correlation++
	c.out = c.appendHeader(c.out[:0], key, version)
	c.out = build(c.out)
	binary.BigEndian.PutUint32(c.out, uint32(len(c.out)-4))
	err := c.write(c.out)
	if cap(c.out) > keepBuffer {
		c.out = nil
	}
	return err
}

// Receive takes the answer to the oldest request that has none, of at most limit bytes. The body is good until the next call.
func (c *Conn) Receive(key, version int16, limit int) ([]byte, error) {
	body, err := c.read(limit)
	if err != nil {
		return nil, err
	}
	return skipHeader(key, version, body)
}

// longAgo is a deadline that is over.
var longAgo = time.Unix(1, 0)

// Await waits for an answer to begin to arrive, but not past a time or an Interrupt: then it returns false and nothing is lost.
func (c *Conn) Await(until time.Time) (arrived bool, err error) {
	if c.in.Buffered() > 0 {
		return true, nil
	}
	c.mu.Lock()
	if c.interrupted {
		c.interrupted = false
		c.mu.Unlock()
		return false, nil
	}
	c.waiting = true
	err = c.conn.SetReadDeadline(until)
	c.mu.Unlock()
	if err == nil {
		_, err = c.in.Peek(1)
	}
	c.mu.Lock()
	c.waiting = false
	if err != nil {
		c.interrupted = false
	}
	c.mu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// Interrupt ends an Await, or the next one. It may be called by any goroutine.
func (c *Conn) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	if c.waiting {
		_ = c.conn.SetReadDeadline(longAgo)
	}
}

// appendHeader appends room for the size, and the request's header.
func (c *Conn) appendHeader(b []byte, key, version int16) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(c.correlation))
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.clientID)))
	b = append(b, c.clientID...)
	if wire.RequestHeaderVersion(key, version) >= 2 {
		b = append(b, 0) // no tagged fields
	}
	return b
}

// Grow makes room for answers of n bytes.
func (c *Conn) Grow(n int) {
	if cap(c.body) < n {
		c.body = make([]byte, 0, n)
	}
}

func (c *Conn) exchange(frame []byte, limit int) ([]byte, error) {
	if err := c.write(frame); err != nil {
		return nil, err
	}
	return c.read(limit)
}

func (c *Conn) write(frame []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(frame)
	return err
}

// read takes one answer's frame without its size and correlation id.
func (c *Conn) read(limit int) ([]byte, error) {
	var head [8]byte
	if err := c.allow(len(head)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	c.answered++
	size, correlation := int64(binary.BigEndian.Uint32(head[:])), int32(binary.BigEndian.Uint32(head[4:]))
	if correlation != c.answered || size < 4 || size > int64(limit) {
		return nil, fmt.Errorf("an answer of %d bytes to request %d, where %d was asked and at most %d bytes are expected", size, correlation, c.answered, limit)
	}
	n := int(size) - 4
	if cap(c.body) < n {
		c.body = make([]byte, 0, max(n, 2*cap(c.body)))
	}
	if err := c.allow(n); err != nil {
		return nil, err
	}
	body := c.body[:n]
	_, err := io.ReadFull(c.in, body)
	return body, err
}

// allow gives the next n bytes their time, if they have not arrived.
func (c *Conn) allow(n int) error {
	if c.in.Buffered() >= n {
		return nil
	}
	return c.conn.SetReadDeadline(time.Now().Add(c.timeout))
}

// skipHeader takes off what a response's header has behind the correlation id.
func skipHeader(key, version int16, body []byte) ([]byte, error) {
	if wire.ResponseHeaderVersion(key, version) < 1 {
		return body, nil
	}
	if len(body) == 0 || body[0] != 0 { // no tagged field of a response header is known
		return nil, errors.New("tagged fields in the header of an answer")
	}
	return body[1:], nil
}
