package server

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The client of these benchmarks runs in raw blocking system calls on one locked thread, so that the Go poller serves the server
// alone.

// rawDial dials and returns a blocking descriptor.
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
	fd := int(f.Fd())
	unix.SetNonblock(fd, false)
	b.Cleanup(func() { f.Close() })
	return fd
}

func rawWrite(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func rawRead(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Read(fd, p)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		p = p[n:]
	}
	return nil
}

func cpu() time.Duration {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkRequests sends requests of one size, several in flight, that are answered at once.
func BenchmarkRequests(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 1 << 20} {
		for _, window := range []int{1, 5} {
			b.Run(fmt.Sprintf("bytes=%d/inflight=%d", size, window), func(b *testing.B) {
				h := start(b, Options{}, produceAPI(func(r *Request) error {
					p := r.NewResponse()
					p.B = append(p.B, 1, 2, 3, 4, 5, 6, 7, 8)
					r.Complete(p)
					return nil
				}))
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				fd := rawDial(b, h.addr)
				req := frame(0, 3, 1, make([]byte, size))
				resp := make([]byte, 16)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				begin := cpu()
				sent := 0
				for i := range b.N {
					for ; sent < min(i+window, b.N); sent++ {
						if err := rawWrite(fd, req); err != nil {
							b.Fatal(err)
						}
					}
					if err := rawRead(fd, resp); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpu()-begin)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkBareRead is the floor of the above: a blocking loop that reads as much and answers as little.
func BenchmarkBareRead(b *testing.B) {
	for _, size := range []int{16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			go func() {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				f, _ := c.(*net.TCPConn).File()
				defer f.Close()
				unix.SetNonblock(int(f.Fd()), false)
				runtime.LockOSThread()
				buf := make([]byte, size+18)
				for rawRead(int(f.Fd()), buf) == nil && rawWrite(int(f.Fd()), buf[:16]) == nil {
				}
			}()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			fd := rawDial(b, ln.Addr().String())
			req, resp := make([]byte, size+18), make([]byte, 16)
			b.SetBytes(int64(size))
			b.ResetTimer()
			begin := cpu()
			for range b.N {
				if rawWrite(fd, req) != nil || rawRead(fd, resp) != nil {
					b.Fatal("connection lost")
				}
			}
			b.ReportMetric(float64(cpu()-begin)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkSendfile answers with 1 MB of a file; bare is a loop of nothing but sendfile.
func BenchmarkSendfile(b *testing.B) {
	const size = 1 << 20
	f, _ := tempFile(b, size)
	drain := func(b *testing.B, fd, per int, ask []byte) {
		buf := make([]byte, 256<<10)
		b.SetBytes(size)
		b.ReportAllocs()
		b.ResetTimer()
		begin := cpu()
		for range b.N {
			if ask != nil {
				rawWrite(fd, ask)
			}
			for left := per; left > 0; {
				n, err := unix.Read(fd, buf[:min(left, len(buf))])
				if err != nil || n == 0 {
					b.Fatal("connection lost", err)
				}
				left -= n
			}
		}
		b.ReportMetric(float64(cpu()-begin)/float64(b.N), "cpu-ns/op")
	}
	b.Run("server", func(b *testing.B) {
		h := start(b, Options{}, produceAPI(func(r *Request) error {
			p := r.NewResponse()
			p.B = append(p.B, make([]byte, 64)...)
			p.AddFile(quiet{f}, 0, size)
			r.Complete(p)
			return nil
		}))
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		drain(b, rawDial(b, h.addr), 8+64+size, frame(0, 3, 1, nil))
	})
	b.Run("bare", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer ln.Close()
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			out, _ := c.(*net.TCPConn).File()
			defer out.Close()
			unix.SetNonblock(int(out.Fd()), false)
			runtime.LockOSThread()
			req := make([]byte, len(frame(0, 3, 1, nil)))
			for rawRead(int(out.Fd()), req) == nil {
				off := int64(0)
				for left := size; left > 0; {
					n, err := unix.Sendfile(int(out.Fd()), int(f.File.Fd()), &off, left)
					if err != nil {
						return
					}
					left -= n
				}
			}
		}()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		drain(b, rawDial(b, ln.Addr().String()), size, frame(0, 3, 1, nil))
	})
}

type quiet struct{ *osFile }

func (quiet) Release() {}
