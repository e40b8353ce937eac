package handlers

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"gregor/wire/record"
)

// rawDial returns a blocking descriptor, so that the client's system calls do not go through the server's poller.
func rawDial(b *testing.B, addr string) int {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		b.Fatal(err)
	}
	c.Close()
	unix.SetNonblock(int(f.Fd()), false)
	b.Cleanup(func() { f.Close() })
	return int(f.Fd())
}

func rawAll(b *testing.B, f func(int, []byte) (int, error), fd int, p []byte) {
	for len(p) > 0 {
		n, err := f(fd, p)
		if err != nil || n == 0 {
			b.Fatal("connection lost", err)
		}
		p = p[n:]
	}
}

func cpu() time.Duration {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func sized(bytes int) []byte {
	b := record.NewBuilder()
	now := time.Now().UnixMilli()
	value := make([]byte, 1000)
	for n := 0; n < bytes; n += 1010 {
		b.Append(now, nil, value)
	}
	out, err := b.Build()
	if err != nil {
		panic(err)
	}
	return out
}

// BenchmarkProduce sends batches of 1 KB records, five requests in flight, each to a partition of its own turn. CPU is client and
// broker together.
func BenchmarkProduce(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			pl := newPlane(b)
			pl.lead("t", 16, 0)
			var reqs [16][]byte
			for p := range reqs {
				req := produceRequest(8, -1, "t", int32(p), sized(size*9/10))
				reqs[p] = kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 1)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			fd := rawDial(b, pl.addr)
			resp := make([]byte, 59)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			begin, sent := cpu(), 0
			for i := range b.N {
				for ; sent < min(i+5, b.N); sent++ {
					rawAll(b, unix.Write, fd, reqs[sent%16])
				}
				rawAll(b, unix.Read, fd, resp)
				if code := binary.BigEndian.Uint16(resp[4+4+4+2+1+4+4:]); code != 0 || binary.BigEndian.Uint32(resp) != 55 {
					b.Fatal("error ", code, " size ", binary.BigEndian.Uint32(resp))
				}
			}
			b.ReportMetric(float64(cpu()-begin)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(cpu()-begin)/float64(b.N)/float64(size)*1e9/1e9, "cpu-s/GB")
		})
	}
}

// BenchmarkFetch reads 1 MB per request from the page cache.
func BenchmarkFetch(b *testing.B) {
	pl := newPlane(b)
	pl.lead("t", 1, 0)
	c := pl.dial()
	one := sized(16 << 10)
	for range 64 {
		c.call(produceRequest(8, 1, "t", 0, append([]byte(nil), one...)))
	}
	req := fetchRequest(11, "t", 0, 0)
	msg := kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 1)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd := rawDial(b, pl.addr)
	buf := make([]byte, 2<<20)
	b.ReportAllocs()
	b.ResetTimer()
	begin := cpu()
	for range b.N {
		rawAll(b, unix.Write, fd, msg)
		rawAll(b, unix.Read, fd, buf[:4])
		n := int(binary.BigEndian.Uint32(buf))
		b.SetBytes(int64(n))
		rawAll(b, unix.Read, fd, buf[4:4+n])
	}
	b.ReportMetric(float64(cpu()-begin)/float64(b.N), "cpu-ns/op")
}

// BenchmarkFetchSessionIdle is a fetch in a session of 30,000 partitions of which one has a record.
func BenchmarkFetchSessionIdle(b *testing.B) {
	pl := newPlane(b)
	pl.lead("t", 30_000, 0)
	c := pl.dial()
	c.produce("t", 77, "x")
	req := sessionFetch(0, 0)
	for p := range int32(30_000) {
		addPartition(req, "t", p, 0)
	}
	id := c.call(req).(*kmsg.FetchResponse).SessionID
	c.call(sessionFetch(id, 1))
	b.ReportAllocs()
	b.ResetTimer()
	epoch := int32(2)
	for range b.N {
		if r := c.call(sessionFetch(id, epoch)).(*kmsg.FetchResponse); len(r.Topics) != 1 || r.ErrorCode != 0 {
			b.Fatalf("%+v", r)
		}
		epoch++
	}
}

// BenchmarkBecomeLeader is one LeaderAndIsr for 10,000 new partitions.
func BenchmarkBecomeLeader(b *testing.B) {
	for i := range b.N {
		b.StopTimer()
		pl := newPlane(b)
		b.StartTimer()
		pl.lead(fmt.Sprint("t", i), 10_000, 0)
	}
}
