package peer

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Conn is a bare connection to a broker: one request, one answer, no retries, no metadata. It sends what it is told at the version
// it is told.
type Conn struct {
	net.Conn
	corr int32
	fmt  *kmsg.RequestFormatter
}

// Dial connects to a broker.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, fmt: kmsg.NewRequestFormatter(kmsg.FormatterClientID("peer"))}, nil
}

// Frame encodes a request with its size and header.
func (c *Conn) Frame(req kmsg.Request) []byte {
	c.corr++
	return c.fmt.AppendRequest(nil, req, c.corr)
}

// Request sends a request and reads its answer.
func (c *Conn) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	body, err := c.RoundTrip(ctx, c.Frame(req))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return decode(req, body)
}

// Receive reads the answer to a request whose frame was written before; the connection's deadline bounds it.
func (c *Conn) Receive(req kmsg.Request) (kmsg.Response, error) {
	body, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return decode(req, body)
}

func decode(req kmsg.Request, body []byte) (kmsg.Response, error) {
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	// A flexible response header has tags behind the correlation id, except ApiVersions'.
	if resp.IsFlexible() && resp.Key() != kmsg.ApiVersions.Int16() {
		if len(body) == 0 || body[0] != 0 {
			return nil, fmt.Errorf("%s: unexpected tags in the response header", kmsg.NameForKey(req.Key()))
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp, nil
}

// RoundTrip sends a whole frame, size included, and returns the answer from behind the correlation id.
func (c *Conn) RoundTrip(ctx context.Context, frame []byte) ([]byte, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Minute)
	}
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := c.Write(frame); err != nil {
		return nil, err
	}
	return c.read()
}

// read returns the next answer from behind the correlation id.
func (c *Conn) read() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 4 || size > 256<<20 {
		return nil, fmt.Errorf("answer of %d bytes", size)
	}
	body := make([]byte, size-4)
	_, err := io.ReadFull(c, body)
	return body, err
}
