package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	floorFollowers = 2
	floorAckSize   = 8
	// floorMost is the largest frame that is taken.
	floorMost = 16 << 20
	// floorAwaited is how much of a frame the system collects before it wakes the reader, as in broker/server. Woken for each piece that comes,
	// or for whole frames, the three processes took more.
	floorAwaited = 512 << 10
)

// floorConn is a connection outside Go's poller on which a reader sleeps until all that it wants is there.
type floorConn struct {
	*blockingConn
	awaited int // SO_RCVLOWAT, 0 if it was never set
}

func acceptFloor(ln net.Listener) (*floorConn, error) {
	c, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b, err := newBlocking(c.(*net.TCPConn))
	return &floorConn{blockingConn: b}, err
}

// await makes the connection readable once n bytes are there.
func (c *floorConn) await(n int) error {
	if n = min(n, floorAwaited); n == c.awaited {
		return nil
	}
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, n); err != nil {
		return fmt.Errorf("set SO_RCVLOWAT to %d: %w", n, err)
	}
	c.awaited = n
	return nil
}

// readFull sleeps in poll rather than in read: a read that has taken something already is only woken once SO_RCVLOWAT bytes more are there,
// which may never come.
func (c *floorConn) readFull(p []byte) error {
	ready := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	for done := 0; done < len(p); {
		n, _, err := unix.Recvfrom(c.fd, p[done:], unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if err := c.await(len(p) - done); err != nil {
				return err
			}
			if _, err := unix.Poll(ready, -1); err != nil && err != unix.EINTR {
				return fmt.Errorf("poll: %w", err)
			}
		case err != nil:
			return os.NewSyscallError("recvfrom", err)
		case n == 0 && done == 0:
			return io.EOF
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			done += n
		}
	}
	return nil
}

// readFrame reads a header, of which the last four bytes are the length of what follows, and all that follows. The result is both, in buf
// if that is large enough.
func (c *floorConn) readFrame(header int, buf []byte) ([]byte, error) {
	if cap(buf) < header {
		buf = make([]byte, header)
	}
	if err := c.readFull(buf[:header]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(buf[header-4 : header]))
	if n > floorMost {
		return nil, fmt.Errorf("frame of %d bytes is larger than %d", n, floorMost)
	}
	if cap(buf) < header+n {
		buf = append(make([]byte, 0, header+n), buf[:header]...)
	}
	buf = buf[:header+n]
	return buf, c.readFull(buf[header:])
}

// followFloor is a follower of cluster-floor: it reads batches, one behind the other as they lie in a log, takes the CRC, writes and
// acknowledges each. It ends when its leader does.
func followFloor(ln net.Listener, l *floorLog) error {
	c, err := acceptFloor(ln)
	if err != nil {
		return err
	}
	defer c.Close()
	runtime.LockOSThread()
	var batch []byte
	var ack [floorAckSize]byte
	for {
		// A batch begins with its offset and its length.
		if batch, err = c.readFrame(12, batch); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := checkCRC(batch); err != nil {
			return err
		}
		if _, _, err := l.append(batch); err != nil {
			return err
		}
		if _, err := c.Write(ack[:]); err != nil {
			return err
		}
	}
}

// floorLeader is the leader of cluster-floor. One thread does it all, which waits in epoll for the client and the followers: with threads
// for the one and the others it took more.
type floorLeader struct {
	log       *floorLog
	client    *floorConn
	followers []*floorConn
	acked     []int // bytes that each follower sent
	frame     []byte
	answers   [][]byte // to what not all followers have
	answered  int
}

// dialFloorFollowers makes a leader whose client is still to come.
func dialFloorFollowers(ctx context.Context, l *floorLog, addrs []string) (*floorLeader, error) {
	r := &floorLeader{log: l, acked: make([]int, len(addrs))}
	for _, addr := range addrs {
		b, err := dialBlocking(ctx, addr)
		if err != nil {
			r.close()
			return nil, err
		}
		r.followers = append(r.followers, &floorConn{blockingConn: b})
	}
	return r, nil
}

func (r *floorLeader) close() {
	if r.client != nil {
		r.client.Close()
	}
	for _, f := range r.followers {
		f.Close()
	}
}

// serve takes one client, until that goes.
func (r *floorLeader) serve(ln net.Listener) (err error) {
	if r.client, err = acceptFloor(ln); err != nil {
		return err
	}
	runtime.LockOSThread()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	defer unix.Close(epoll)
	for _, c := range append([]*floorConn{r.client}, r.followers...) {
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	events := make([]unix.EpollEvent, 1+len(r.followers))
	for {
		n, err := unix.EpollWait(epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) != r.client.fd {
				err = r.acknowledged(int(e.Fd))
			} else if err = r.produce(); err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}

// produce appends the next frame's batch and sends it to the followers.
func (r *floorLeader) produce() (err error) {
	if r.frame, err = r.client.readFrame(4, r.frame); err != nil {
		return err
	}
	// epoll is to tell of the next frame when it begins, however small that is.
	if err := r.client.await(4); err != nil {
		return err
	}
	correlation, name, batch := producedBatch(r.frame[4:])
	if err := checkCRC(batch); err != nil {
		return err
	}
	s, pos, err := r.log.append(batch)
	if err != nil {
		return err
	}
	r.answers = append(r.answers, appendProduced(nil, correlation, name))
	for _, f := range r.followers {
		for off, left := pos, len(batch); left > 0; {
			n, err := unix.Sendfile(f.fd, s.fd, &off, left)
			if err == unix.EINTR {
				continue
			}
			if err == nil && n == 0 {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return fmt.Errorf("sendfile: %w", err)
			}
			left -= n
		}
	}
	return nil
}

// acknowledged reads from the follower with the descriptor fd and answers what all have.
func (r *floorLeader) acknowledged(fd int) error {
	var b [16 * floorAckSize]byte
	least := -1
	for i, f := range r.followers {
		if f.fd == fd {
			n, err := f.Read(b[:])
			if err != nil {
				return fmt.Errorf("a follower has gone: %w", err)
			}
			r.acked[i] += n
		}
		if n := r.acked[i] / floorAckSize; n < least || least < 0 {
			least = n
		}
	}
	for ; r.answered < least; r.answered++ {
		if _, err := r.client.Write(r.answers[0]); err != nil {
			return err
		}
		r.answers = r.answers[1:]
	}
	return nil
}

// clusterFloor is one of the processes of cluster-floor: a leader if there are followers to send to.
func clusterFloor(ctx context.Context, dir string, followers []string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	l := newFloorLog(dir)
	r, err := dialFloorFollowers(ctx, l, followers)
	if err != nil {
		return err
	}
	defer r.close()
	go l.keep(ctx.Done())
	fmt.Println(ln.Addr())
	if len(followers) == 0 {
		err = followFloor(ln, l)
	} else {
		err = r.serve(ln)
	}
	for _, gone := range []error{io.ErrUnexpectedEOF, unix.ECONNRESET, unix.EPIPE} {
		if errors.Is(err, gone) {
			return nil // the measurement is over, in the midst of a frame
		}
	}
	return err
}

// floorProcesses are the children of cluster-floor.
type floorProcesses struct {
	leader    *child
	followers []*child
}

func startClusterFloor(ctx context.Context, dir string) (p floorProcesses, err error) {
	start := func(name string, followers ...string) (*child, error) {
		dir := filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		return startChild(ctx, append([]string{"cluster-floor", dir}, followers...)...)
	}
	var addrs []string
	for i := range floorFollowers {
		f, err := start(fmt.Sprint("follower-", i))
		if err != nil {
			return p, err
		}
		p.followers = append(p.followers, f)
		addrs = append(addrs, f.addr)
	}
	p.leader, err = start("leader", addrs...)
	return p, err
}

func (p floorProcesses) close() {
	if p.leader != nil {
		p.leader.close()
	}
	for _, f := range p.followers {
		f.close()
	}
}

// cpu is what the leader and all followers used so far.
func (p floorProcesses) cpu() (leader, followers time.Duration, err error) {
	leader, err = p.leader.cpu()
	for _, f := range p.followers {
		used, e := f.cpu()
		followers += used
		err = errors.Join(err, e)
	}
	return leader, followers, err
}

// measureClusterFloor puts the load of a cluster's produce-1k on the least that any leader and two followers do with it: each reads a batch,
// takes one CRC, writes it once, syncs what it rolls and deletes what is old, and the leader sends each batch twice, by sendfile, and answers
// what both have.
func measureClusterFloor(ctx context.Context, s *session) ([]figure, error) {
	dir, err := os.MkdirTemp(filepath.Dir(s.broker.LogDir()), "floor")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	p, err := startClusterFloor(ctx, dir)
	defer p.close()
	if err != nil {
		return nil, err
	}
	l := produceLoad{topics: s.names(1), partitions: 1, valueSize: 1000, batchSize: 900_000, conns: 1, inFlight: 5}
	l.rounds = floorRetention/l.batchSize + floorSegmentSize/l.batchSize // then deletion is at work
	var leader, followers, leaderEnd, followersEnd time.Duration
	r, err := l.run(ctx, p.leader.addr, s.warm, s.seconds,
		func() (err error) { leader, followers, err = p.cpu(); return err },
		func() (err error) { leaderEnd, followersEnd, err = p.cpu(); return err })
	if err != nil {
		return nil, err
	}
	leader, followers = leaderEnd-leader, followersEnd-followers
	figures := perGB(r, leader+followers)
	figures[0].goal = 0
	gb := float64(r.bytes) / 1e9
	return append(figures,
		figure{"the leader's CPU a GB", leader.Seconds() / gb, "s", 0, 0},
		figure{"a follower's CPU a GB", followers.Seconds() / floorFollowers / gb, "s", 0, 0}), nil
}
