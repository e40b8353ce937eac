package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"gregor/internal/rawio"
)

// bigThreshold is how much of a request larger than a chunk has arrived before it gets a buffer of its own.
const bigThreshold = 16 << 10

// input is the read side of a connection: a chunk that holds whole small requests, which alias it, and the beginning of the next.
type input struct {
	c     *conn
	raw   syscall.RawConn // nil where the connection is not a plain socket
	chunk *buffer         // nil while nothing is buffered and nothing arrives
	r, w  int             // chunk.b[r:w] was read and not consumed

	// dst is where the present read goes; nil means the chunk. n and err are its results.
	dst      []byte
	n        int
	err      error
	readFn   func(fd uintptr) bool
	lowWater rawio.LowWater
}

func (in *input) init(c *conn) {
	in.c = c
	if sc, ok := c.nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			in.raw = raw
			in.readFn = in.readOnce
		}
	}
}

func (in *input) close() {
	if in.chunk != nil {
		in.chunk.release()
		in.chunk = nil
	}
}

// nextFrame returns the next request without its length prefix, and the buffer it lies in, of which the caller owns a reference.
func (c *conn) nextFrame() ([]byte, *buffer, error) {
	in := &c.in
	for {
		if c.isDraining() {
			return nil, nil, errDrained
		}
		avail := in.w - in.r
		size := -1
		if avail >= 4 {
			claimed := int32(binary.BigEndian.Uint32(in.chunk.b[in.r:]))
			if claimed < 0 || int64(claimed) > int64(c.srv.opt.MaxRequestBytes) {
				return nil, nil, fmt.Errorf("request of %d bytes is not between 0 and the %d that socket.request.max.bytes allows", claimed,
					c.srv.opt.MaxRequestBytes)
			}
			size = int(claimed)
			if avail >= 4+size {
				from := in.r + 4
				in.r = from + size
				in.chunk.retain()
				return in.chunk.b[from:in.r:in.r], in.chunk, nil
			}
			if 4+size > chunkSize && avail >= bigThreshold {
				return c.bigFrame(size)
			}
		}
		c.flush()
		if err := in.fill(size); err != nil {
			if errors.Is(err, io.EOF) && avail > 0 {
				err = io.ErrUnexpectedEOF
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, nil, fmt.Errorf("connection ended inside a request: %w", io.EOF)
			}
			return nil, nil, err
		}
	}
}

// bigFrame reads the rest of a request that does not fit in a chunk into a buffer of its own, which grows as bytes arrive.
func (c *conn) bigFrame(size int) ([]byte, *buffer, error) {
	in := &c.in
	c.flush()
	buf := newBuffer(min(size, directSize))
	if !c.srv.budget.begin(int64(len(buf.b))) {
		buf.release()
		return nil, nil, errDrained
	}
	buf.charged, buf.budget = int64(len(buf.b)), c.srv.budget
	n := copy(buf.b, in.chunk.b[in.r+4:in.w])
	in.r = in.w
	for n < size {
		if n == len(buf.b) {
			next := newBuffer(min(2*n, size))
			c.srv.budget.more(int64(len(next.b)))
			next.charged, next.budget = int64(len(next.b)), c.srv.budget
			copy(next.b, buf.b)
			buf.release()
			buf = next
		}
		in.dst = buf.b[n:min(size, len(buf.b))]
		m, err := in.read()
		in.dst = nil
		if err != nil {
			buf.release()
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("connection ended inside a request: %w", io.EOF)
			}
			return nil, nil, err
		}
		n += m
	}
	return buf.b[:size:size], buf, nil
}

// fill reads more into the chunk. size is what the request at its beginning claims, or -1.
func (in *input) fill(size int) error {
	if in.w > in.r && size >= 0 && 4+size <= chunkSize && in.r+4+size > len(in.chunk.b) {
		in.move()
	}
	if in.raw == nil {
		in.room()
	}
	n, err := in.read()
	in.w += n
	return err
}

// room makes sure that the chunk can take bytes at w.
func (in *input) room() {
	switch {
	case in.chunk == nil:
		in.chunk = newBuffer(chunkSize)
		in.r, in.w = 0, 0
	case in.r == in.w && !in.chunk.shared():
		in.r, in.w = 0, 0
	case in.r == in.w:
		in.chunk.release()
		in.chunk = newBuffer(chunkSize)
		in.r, in.w = 0, 0
	}
	if in.w == len(in.chunk.b) || len(in.chunk.b) < chunkSize {
		in.move()
	}
}

// move puts the beginning of a request at the beginning of a chunk: the same one if no request uses it.
func (in *input) move() {
	if len(in.chunk.b) == chunkSize && !in.chunk.shared() {
		in.w = copy(in.chunk.b, in.chunk.b[in.r:in.w])
		in.r = 0
		return
	}
	in.moveTo(newBuffer(chunkSize))
}

func (in *input) moveTo(b *buffer) {
	n := copy(b.b, in.chunk.b[in.r:in.w])
	in.chunk.release()
	in.chunk, in.r, in.w = b, 0, n
}

// rest is called when nothing more arrives for now: the connection keeps no chunk for nothing, or for a few bytes.
func (in *input) rest() {
	n := in.w - in.r
	switch {
	case in.chunk == nil:
	case n == 0:
		in.chunk.release()
		in.chunk, in.r, in.w = nil, 0, 0
	case n <= stashSize && len(in.chunk.b) > stashSize:
		in.moveTo(newBuffer(stashSize))
	}
}

// read waits for bytes and puts them into dst or the chunk.
func (in *input) read() (int, error) {
	if in.raw == nil {
		dst := in.dst
		if dst == nil {
			dst = in.chunk.b[in.w:]
		}
		n, err := in.c.nc.Read(dst)
		in.c.activity.Add(1)
		return n, in.ended(n, err)
	}
	in.n, in.err = 0, nil
	if err := in.raw.Read(in.readFn); err != nil {
		return 0, in.ended(0, err)
	}
	in.c.activity.Add(1)
	return in.n, in.err
}

// ended turns the deadline that drain sets into errDrained.
func (in *input) ended(n int, err error) error {
	if n > 0 {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errDrained
	}
	return err
}

// readOnce is called by the poller's RawConn.Read until it returns true: at first at once, then whenever the socket is readable.
func (in *input) readOnce(fd uintptr) bool {
	dst := in.dst
	if dst == nil {
		in.room()
		dst = in.chunk.b[in.w:]
	}
	n, again, err := rawio.Receive(fd, dst)
	if again {
		if in.dst == nil {
			in.rest()
		}
		in.lowWater.Await(fd, len(in.dst))
		return false
	}
	in.n, in.err = n, err
	return true
}
