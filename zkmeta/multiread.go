package zkmeta

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"gregor/zkmeta/jute"
)

// errNoMultiRead: ZooKeeper is older than 3.6.
var errNoMultiRead = errors.New("ZooKeeper has no multiRead")

const (
	// A batch's answer holds all of its data: 1,000 znodes of up to 1 MB are bad luck, 1,000 partition states are 200 KB.
	multiReadPaths    = 1000
	multiReadBytes    = 256 << 10 // of paths in a batch
	multiReadInFlight = 8
	multiReadMaxReply = 1 << 30
)

// multiRead reads paths through a connection and a session of its own, that end with it: a server that does not know the request closes
// the connection, and the library cannot send it.
func (c *Client) multiRead(ctx context.Context, paths []string) ([]Node, error) {
	var err error
	for _, server := range c.servers {
		var conn net.Conn
		if conn, err = c.opt.Dialer(ctx, "tcp", server); err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		r := &reader{conn: conn, in: bufio.NewReaderSize(conn, 256<<10), timeout: c.opt.SessionTimeout}
		var nodes []Node
		nodes, err = r.readAll(c, paths)
		stop()
		_ = conn.Close()
		if err == nil || errors.Is(err, errNoMultiRead) || ctx.Err() != nil {
			return nodes, err
		}
	}
	return nil, fmt.Errorf("multiRead from ZooKeeper at %s: %w", c.opt.Connect, err)
}

type reader struct {
	conn    net.Conn
	in      *bufio.Reader
	timeout time.Duration
	buf     []byte
}

func (r *reader) send(body []byte) error {
	_ = r.conn.SetWriteDeadline(time.Now().Add(r.timeout))
	_, err := r.conn.Write(body)
	return err
}

// frame leaves room for the length, which done fills in.
func frame() []byte { return make([]byte, 4, 4096) }

func done(b []byte) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (r *reader) receive() ([]byte, error) {
	_ = r.conn.SetReadDeadline(time.Now().Add(r.timeout))
	var head [4]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > multiReadMaxReply {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	r.buf = slices.Grow(r.buf[:0], int(n))[:n]
	_, err := io.ReadFull(r.in, r.buf)
	return r.buf, err
}

func (r *reader) readAll(c *Client, paths []string) ([]Node, error) {
	hello := jute.ConnectRequest{TimeoutMs: int32(r.timeout / time.Millisecond), Password: make([]byte, 16)}
	if err := r.send(done(hello.Append(frame()))); err != nil {
		return nil, err
	}
	b, err := r.receive()
	if err != nil {
		return nil, err
	}
	d := jute.NewDecoder(b)
	var welcome jute.ConnectResponse
	welcome.Decode(&d)
	if d.Err() != nil || welcome.SessionID == 0 {
		return nil, fmt.Errorf("no session: %w", errors.Join(d.Err(), errors.New("the server refused")))
	}
	// This may be another server of the ensemble than the session's own: the sync makes it catch up first.
	sync := jute.AppendString(jute.RequestHeader{Xid: 1, Op: jute.OpSync}.Append(frame()), c.absolute("/"))
	if err := r.send(done(sync)); err != nil {
		return nil, err
	}
	if _, _, err := r.reply(); err != nil {
		return nil, err
	}
	nodes := make([]Node, len(paths))
	batches := c.readBatches(paths)
	for sent, received := 0, 0; received < len(batches); {
		for ; sent < len(batches) && sent-received < multiReadInFlight; sent++ {
			if err := r.send(batches[sent].request); err != nil {
				return nil, r.unimplemented(received, err)
			}
		}
		code, body, err := r.reply()
		if err != nil {
			return nil, r.unimplemented(received, err)
		}
		if code == jute.ErrUnimplemented {
			return nil, errNoMultiRead
		}
		if code != 0 {
			return nil, fmt.Errorf("ZooKeeper answers code %d", code)
		}
		if err := batches[received].decode(body, paths, nodes); err != nil {
			return nil, err
		}
		received++
	}
	_ = r.send(done(jute.RequestHeader{Xid: 2, Op: jute.OpCloseSession}.Append(frame())))
	_, _ = r.receive()
	return nodes, nil
}

// unimplemented takes a connection closed on the very first batch as an answer: 3.5 closes it, at times before its -6 arrives.
func (r *reader) unimplemented(received int, err error) error {
	if received == 0 && errors.Is(err, io.EOF) {
		return errNoMultiRead
	}
	return err
}

func (r *reader) reply() (jute.Code, []byte, error) {
	b, err := r.receive()
	if err != nil {
		return 0, nil, err
	}
	d := jute.NewDecoder(b)
	var h jute.ReplyHeader
	h.Decode(&d)
	return h.Code, d.Rest(), d.Err()
}

type readBatch struct {
	from, to int
	request  []byte
}

func (c *Client) readBatches(paths []string) []readBatch {
	var out []readBatch
	for from := 0; from < len(paths); {
		to, size := from, 0
		for to < len(paths) && to-from < multiReadPaths && size < multiReadBytes {
			size += len(paths[to]) + len(c.chroot)
			to++
		}
		abs := make([]string, 0, to-from)
		for _, p := range paths[from:to] {
			abs = append(abs, c.absolute(p))
		}
		req := jute.RequestHeader{Xid: int32(3 + len(out)), Op: jute.OpMultiRead}.Append(frame())
		out = append(out, readBatch{from, to, done(jute.AppendMultiRead(req, abs))})
		from = to
	}
	return out
}

func (b readBatch) decode(body []byte, paths []string, nodes []Node) error {
	n := 0
	err := jute.DecodeMultiRead(body, func(i int, r *jute.ReadResult) {
		n++
		if b.from+i >= b.to {
			return
		}
		nd := &nodes[b.from+i]
		switch r.Code {
		case 0:
			nd.Data = slices.Clone(r.Data)
			nd.Stat = Stat{Czxid: r.Stat.Czxid, Mzxid: r.Stat.Mzxid, Version: r.Stat.Version, Cversion: r.Stat.Cversion,
				EphemeralOwner: r.Stat.EphemeralOwner, NumChildren: r.Stat.NumChildren, Ctime: r.Stat.Ctime, Mtime: r.Stat.Mtime}
		case jute.ErrNoNode:
			nd.Err = fmt.Errorf("zookeeper: get %s: %w", paths[b.from+i], ErrNoNode)
		default:
			nd.Err = fmt.Errorf("zookeeper: get %s: code %d", paths[b.from+i], r.Code)
		}
	})
	if err == nil && n != b.to-b.from {
		err = fmt.Errorf("%d answers to %d reads", n, b.to-b.from)
	}
	return err
}
