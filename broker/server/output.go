package server

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"gregor/internal/rawio"
)

const (
	// sendfileMin is the least range handed to sendfile; smaller ones are read into memory and leave with their neighbours in one call.
	sendfileMin = 8 << 10
	// maxBuffers is how many pieces go into one sendmsg (the system's limit is 1024).
	maxBuffers = 256
	// maxGathered is how much of small ranges is copied before it is sent.
	maxGathered = 256 << 10
	// maxTried is how much is sent by a goroutine that has other things to do than to send.
	maxTried = 32 << 10
)

// output is the write side of a connection, used by one goroutine at a time (conn.mu.writing).
type output struct {
	c    *conn
	raw  syscall.RawConn
	bufs [][]byte
	// copies hold small ranges until they are sent.
	copies []*buffer
	copied int

	// The present call of writeFn: either bufs with flags, or a file range.
	flags   int
	infd    int
	off     int64
	left    int
	err     error
	writeFn func(fd uintptr) bool
	tryFn   func(fd uintptr) bool
	fileFn  func(fd uintptr) bool

	// tried: the list was put together by try, and whole is what is left of it.
	tried bool
	whole []byte
}

func (o *output) init(c *conn) {
	o.c = c
	if c.in.raw != nil {
		o.raw = c.in.raw
		o.writeFn = o.writeOnce
		o.tryFn = o.tryOnce
		o.fileFn = o.fileOnce
	}
}

// send writes the responses of a list of requests.
func (o *output) send(first *Request) error {
	var err error
	for r := first; r != nil && err == nil; r = r.next {
		if r.resp != nil {
			err = o.response(r.resp)
		}
	}
	if err == nil {
		err = o.flush(0)
	}
	o.reset()
	return err
}

// try sends the responses of a list if they are few bytes and the socket takes them at once. If it returns false, rest must follow.
func (o *output) try(first *Request) (done bool, err error) {
	o.tried = false
	size := 0
	for r := first; r != nil; r = r.next {
		if r.resp != nil {
			size += r.resp.Size()
		}
	}
	if size == 0 {
		return true, nil
	}
	if o.raw == nil || size > maxTried {
		return false, nil
	}
	b := newBuffer(size)
	o.copies = append(o.copies, b)
	o.whole = b.b[:0]
	for r := first; r != nil; r = r.next {
		if r.resp == nil {
			continue
		}
		if o.whole, err = r.resp.appendTo(o.whole); err != nil {
			o.reset()
			return true, err
		}
	}
	o.c.activity.Add(1)
	if err := o.raw.Write(o.tryFn); err != nil || o.err != nil || len(o.whole) == 0 {
		err = cmp.Or(err, o.err)
		o.reset()
		return true, err
	}
	o.tried = true
	return false, nil
}

// tryOnce writes as much of whole as the socket takes.
func (o *output) tryOnce(fd uintptr) bool {
	o.err = nil
	for len(o.whole) > 0 {
		n, err := rawio.Write(fd, o.whole)
		if err != nil {
			if err != unix.EAGAIN {
				o.err = os.NewSyscallError("write", err)
			}
			break
		}
		o.whole = o.whole[n:]
	}
	return true
}

// rest sends what try did not, waiting for the peer where need be.
func (o *output) rest(first *Request) error {
	if !o.tried {
		return o.send(first)
	}
	o.bufs = append(o.bufs, o.whole)
	return o.flush(0)
}

func (o *output) reset() {
	for i, b := range o.copies {
		b.release()
		o.copies[i] = nil
	}
	o.copies, o.copied = o.copies[:0], 0
	clear(o.bufs)
	o.bufs, o.whole = o.bufs[:0], nil
}

func (o *output) response(p *Response) error {
	at := 0
	for i := range p.files {
		f := &p.files[i]
		if f.at > at {
			o.bufs = append(o.bufs, p.B[at:f.at])
			at = f.at
		}
		var err error
		if f.source != nil {
			err = o.made(f)
		} else {
			err = o.file(f)
		}
		if err != nil {
			return err
		}
	}
	if at < len(p.B) {
		o.bufs = append(o.bufs, p.B[at:])
	}
	if len(o.bufs) >= maxBuffers {
		return o.flush(unix.MSG_MORE)
	}
	return nil
}

// appendTo appends the whole response to dst, which has room for it.
func (p *Response) appendTo(dst []byte) ([]byte, error) {
	at := 0
	for i := range p.files {
		f := &p.files[i]
		dst = append(dst, p.B[at:f.at]...)
		at = f.at
		if f.source != nil {
			for left := f.length; left > 0; {
				b, err := f.source.Next(left)
				if err != nil {
					return dst, err
				}
				dst = append(dst, b...)
				left -= len(b)
			}
			continue
		}
		from := len(dst)
		dst = dst[:from+f.length]
		if err := readRange(dst[from:], f.file, f.off); err != nil {
			return dst, err
		}
	}
	return append(dst, p.B[at:]...), nil
}

// readRange fills b from a file.
func readRange(b []byte, file FileRange, off int64) error {
	if n, err := file.ReadAt(b, off); n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("a file is shorter than the range to send, which starts at %d: %w", off, err)
	}
	return nil
}

// copy reads a range of a file into memory and puts it behind what is gathered.
func (o *output) copy(file FileRange, off int64, n int) error {
	b := newBuffer(n)
	o.copies = append(o.copies, b)
	if err := readRange(b.b[:n], file, off); err != nil {
		return err
	}
	o.bufs = append(o.bufs, b.b[:n])
	o.copied += n
	return nil
}

func (o *output) file(f *fileSpan) error {
	fd, ok := f.file.Fd()
	if ok && o.raw != nil && f.length >= sendfileMin {
		if err := o.flush(unix.MSG_MORE); err != nil {
			return err
		}
		return o.sendfile(int(fd), f.off, f.length)
	}
	for off, left := f.off, f.length; left > 0; {
		n := min(left, maxGathered)
		if err := o.copy(f.file, off, n); err != nil {
			return err
		}
		off, left = off+int64(n), left-n
		if o.copied >= maxGathered || len(o.bufs) >= maxBuffers {
			if err := o.flush(unix.MSG_MORE); err != nil {
				return err
			}
		}
	}
	return nil
}

// made sends what a source makes, piece by piece.
func (o *output) made(f *fileSpan) error {
	for left := f.length; left > 0; {
		b, err := f.source.Next(left)
		if err != nil {
			return err
		}
		o.bufs = append(o.bufs, b)
		if left -= len(b); left == 0 {
			return nil // the last piece leaves with what follows, and stays as it is until then
		}
		if err := o.flush(unix.MSG_MORE); err != nil {
			return err
		}
	}
	return nil
}

// flush writes what was gathered. MSG_MORE says that more follows at once.
func (o *output) flush(flags int) error {
	if len(o.bufs) == 0 {
		return nil
	}
	o.c.activity.Add(1)
	if o.raw == nil {
		for _, b := range o.bufs {
			if _, err := o.c.nc.Write(b); err != nil {
				return err
			}
		}
		o.reset()
		return nil
	}
	all := o.bufs
	o.flags, o.err = flags|unix.MSG_NOSIGNAL, nil
	err := o.raw.Write(o.writeFn)
	o.bufs = all
	o.reset()
	if err == nil {
		err = o.err
	}
	return err
}

func (o *output) writeOnce(fd uintptr) bool {
	for len(o.bufs) > 0 {
		var n int
		var err error
		if len(o.bufs) == 1 && o.flags == unix.MSG_NOSIGNAL {
			n, err = unix.Write(int(fd), o.bufs[0])
		} else {
			n, err = unix.SendmsgBuffers(int(fd), o.bufs, nil, nil, o.flags)
		}
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		default:
			o.err = os.NewSyscallError("sendmsg", err)
			return true
		}
		for n > 0 && n >= len(o.bufs[0]) {
			n -= len(o.bufs[0])
			o.bufs = o.bufs[1:]
		}
		if n > 0 {
			o.bufs[0] = o.bufs[0][n:]
		}
	}
	return true
}

func (o *output) sendfile(infd int, off int64, length int) error {
	o.c.activity.Add(1)
	o.infd, o.off, o.left, o.err = infd, off, length, nil
	if err := o.raw.Write(o.fileFn); err != nil {
		return err
	}
	return o.err
}

func (o *output) fileOnce(fd uintptr) bool {
	for o.left > 0 {
		n, err := unix.Sendfile(int(fd), o.infd, &o.off, o.left)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case err != nil:
			o.err = os.NewSyscallError("sendfile", err)
			return true
		case n == 0:
			// The rest of the response cannot be told apart from the next one: the connection must end.
			o.err = fmt.Errorf("a file ended %d bytes before the range to send: %w", o.left, io.ErrUnexpectedEOF)
			return true
		}
		o.left -= n
	}
	return true
}
