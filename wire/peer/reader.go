package peer

import (
	"io"
	"net"
	"syscall"

	"gregor/internal/rawio"
)

// reader reads from a plain socket: it is not woken for each segment of a large answer, and its reads, which do not wait, are not announced to
// the scheduler. It is for one goroutine; a read deadline of the connection ends its wait as any other.
type reader struct {
	raw      syscall.RawConn
	once     func(fd uintptr) bool
	lowWater rawio.LowWater

	// p is where the present read goes, n and err are its results.
	p   []byte
	n   int
	err error
}

// newReader reads from c itself where that is not a plain socket.
func newReader(c net.Conn) io.Reader {
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			r := &reader{raw: raw}
			r.once = r.readOnce
			return r
		}
	}
	return c
}

// Read waits for all of p, or a good part of it, if p is large: the buffer before it asks for that much only when it is missing.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.p, r.n, r.err = p, 0, nil
	err := r.raw.Read(r.once)
	r.p = nil
	if err != nil {
		return 0, err
	}
	return r.n, r.err
}

// readOnce is called by the poller until it returns true: at first at once, then whenever the socket is readable.
func (r *reader) readOnce(fd uintptr) bool {
	n, again, err := rawio.Receive(fd, r.p)
	if again {
		r.lowWater.Await(fd, len(r.p))
		return false
	}
	r.n, r.err = n, err
	return true
}
