package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// latencyFloor is the least that a broker can do with the latency row's load, for comparison: one thread that waits in epoll for two
// connections, writes each batch to a file, answers it, and sends it to whoever waits for it. It looks at nothing, checks nothing, and
// keeps what was not fetched yet in memory; a fetch is answered from there whatever its offset.
func latencyFloor(dir string) error {
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	r := &relay{file: floorWriter{dir: dir}, fetching: -1}
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	conns := map[int32]*relayConn{}
	for range 2 {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		b, err := newBlocking(c.(*net.TCPConn)) // epoll says when there is something to read, so that reads do not block
		if err != nil {
			return err
		}
		c.Close()
		if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, b.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(b.fd)}); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
		conns[int32(b.fd)] = &relayConn{blockingConn: b, in: make([]byte, 1<<20)}
	}
	events := make([]unix.EpollEvent, 4)
	for {
		n, err := unix.EpollWait(r.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if err := r.serve(conns[e.Fd]); err != nil {
				return err
			}
		}
	}
}

type relayConn struct {
	*blockingConn
	in []byte
	n  int
}

type relay struct {
	epoll int
	file  floorWriter
	end   int64
	tail  []byte // appended and not fetched
	out   []byte

	fetcher  *relayConn
	fetching int32 // correlation id of the fetch that waits, -1 for none
	topic    []byte
}

func (r *relay) serve(c *relayConn) error {
	n, err := c.Read(c.in[c.n:])
	if err != nil {
		return err
	}
	c.n += n
	at, be := 0, binary.BigEndian
	for c.n-at >= 4 {
		size := int(be.Uint32(c.in[at:]))
		if c.n-at < 4+size {
			break
		}
		body := c.in[at+4 : at+4+size]
		at += 4 + size
		if be.Uint16(body) == 0 {
			err = r.produce(c, body)
		} else {
			r.fetcher, r.fetching = c, int32(be.Uint32(body[4:]))
		}
		if err == nil && r.fetching >= 0 && len(r.tail) > 0 {
			err = r.deliver()
		}
		if err != nil {
			return err
		}
	}
	c.n = copy(c.in, c.in[at:c.n])
	return nil
}

// produce appends one batch.
func (r *relay) produce(c *relayConn, body []byte) error {
	be := binary.BigEndian
	correlation, name, batch := producedBatch(body)
	be.PutUint64(batch, uint64(r.end))
	if err := r.file.append(batch); err != nil {
		return err
	}
	r.end += int64(be.Uint32(batch[23:])) + 1
	r.tail = append(r.tail, batch...)
	r.topic = append(r.topic[:0], name...)
	r.out = appendProduced(r.out[:0], correlation, name)
	_, err := c.Write(r.out)
	return err
}

// deliver answers the fetch that waits, as version 11.
func (r *relay) deliver() error {
	be := binary.BigEndian
	b := append(r.out[:0], 0, 0, 0, 0)
	b = be.AppendUint32(b, uint32(r.fetching))
	b = append(b, make([]byte, 4+2+4)...) // throttle, error, session
	b = be.AppendUint32(b, 1)
	b = append(b, r.topic...)
	b = be.AppendUint32(b, 1)
	b = append(b, make([]byte, 4+2)...) // partition, error
	b = be.AppendUint64(b, uint64(r.end))
	b = be.AppendUint64(b, uint64(r.end))
	b = be.AppendUint64(b, 0)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	b = be.AppendUint32(b, uint32(len(r.tail)))
	b = append(b, r.tail...)
	be.PutUint32(b, uint32(len(b)-4))
	r.out, r.tail, r.fetching = b, r.tail[:0], -1
	_, err := r.fetcher.Write(b)
	return err
}

// measureLatencyFloor puts the load of the latency row on that least server.
func measureLatencyFloor(ctx context.Context, s *session) ([]figure, error) {
	dir, err := os.MkdirTemp(filepath.Dir(s.broker.LogDir()), "floor")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	c, err := startChild(ctx, "latency-floor", dir)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var before, after time.Duration
	d := 3 * s.seconds
	got, err := latencyLoad{s.names(1)[0], latencyRate, 100}.run(ctx, c.addr, max(5*time.Second, s.warm), d,
		func() (err error) { before, err = c.cpu(); return err },
		func() (err error) { after, err = c.cpu(); return err })
	if err != nil {
		return nil, err
	}
	return latencyFigures(got, after-before, d, 0, 0, 0), nil
}
