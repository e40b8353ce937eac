package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// produceFloor is the least that a broker can do with a Produce request of this program, for comparison: read it from a blocking
// socket, take the batch's CRC, write the batch to a file (a new one every gigabyte, as segments are), answer. One connection.
func produceFloor(dir string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	sock, err := c.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	c.Close()
	if err := unix.SetNonblock(int(sock.Fd()), false); err != nil {
		return err
	}
	runtime.LockOSThread()
	var (
		r    = bufio.NewReaderSize(sock, 4<<10)
		w    = floorWriter{dir: dir}
		body []byte
		size [4]byte
	)
	for {
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(size[:]))
		if n > len(body) {
			body = make([]byte, n)
		}
		if _, err := io.ReadFull(r, body[:n]); err != nil {
			return err
		}
		correlation, name, batch := producedBatch(body[:n])
		if err := checkCRC(batch); err != nil {
			return err
		}
		if err := w.append(batch); err != nil {
			return err
		}
		resp := appendProduced(make([]byte, 0, 128), correlation, name)
		if _, err := sock.Write(resp); err != nil {
			return err
		}
	}
}

// producedBatch takes a Produce request apart, whose layout is produceHeader's: the topic follows 26 bytes. name has its length before it.
func producedBatch(body []byte) (correlation, name, batch []byte) {
	const at = 26
	name = body[at : at+2+int(binary.BigEndian.Uint16(body[at:]))]
	return body[4:8], name, body[at+len(name)+12:]
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checkCRC(batch []byte) error {
	if len(batch) < 21 || crc32.Checksum(batch[21:], castagnoli) != binary.BigEndian.Uint32(batch[17:]) {
		return fmt.Errorf("batch of %d bytes has a wrong CRC", len(batch))
	}
	return nil
}

// appendProduced appends the answer, as version 8, to a Produce request for one partition of a topic; name has its length before it.
func appendProduced(dst, correlation, name []byte) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(dst, uint32(4+4+len(name)+4+4+2+8+8+8+4+2+4))
	dst = append(dst, correlation...)
	dst = be.AppendUint32(dst, 1)
	dst = append(dst, name...)
	dst = be.AppendUint32(dst, 1)
	return append(dst, make([]byte, 4+2+8+8+8+4+2+4)...)
}

type floorWriter struct {
	dir string
	f   *os.File
	off int64
}

func (w *floorWriter) append(b []byte) (err error) {
	if w.f == nil || w.off+int64(len(b)) > 1<<30 {
		if w.f != nil {
			w.f.Close()
			os.Remove(w.f.Name())
		}
		if w.f, err = os.CreateTemp(w.dir, "floor"); err != nil {
			return err
		}
		w.off = 0
	}
	n, err := w.f.WriteAt(b, w.off)
	w.off += int64(n)
	return err
}

// measureFloor puts the load of produce-1k on that least server, in a process of its own.
func measureFloor(ctx context.Context, s *session) ([]figure, error) {
	dir, err := os.MkdirTemp(filepath.Dir(s.broker.LogDir()), "floor")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	c, err := startChild(ctx, "produce-floor", dir)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var before, after time.Duration
	l := produceLoad{topics: s.names(1), partitions: 1, valueSize: 1000, batchSize: 900_000, conns: 1, inFlight: 5}
	r, err := l.run(ctx, c.addr, s.warm, s.seconds,
		func() (err error) { before, err = c.cpu(); return err },
		func() (err error) { after, err = c.cpu(); return err })
	if err != nil {
		return nil, err
	}
	return []figure{
		{"CPU a GB", (after - before).Seconds() / (float64(r.bytes) / 1e9), "s", 0, 0},
		{"MB/s", r.mbPerSecond(), "MB", 0, 0},
	}, nil
}
