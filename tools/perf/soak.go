package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/integration/peer"
)

// soak keeps one Gregor at work for long: many partitions, many connections that write and read now and then, retention that deletes
// what they write, a clean restart every few minutes. What it prints should be flat.
type soak struct {
	topics, partitions, conns int
	perSecond                 int // produce requests of all connections together
	out                       io.Writer

	written, read, retried, failed atomic.Int64
}

const soakTopics = "soak-%d"

func runSoak(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("perf soak", flag.ContinueOnError)
	minutes := flags.Int("minutes", 30, "how long")
	restart := flags.Int("restart", 6, "minutes between restarts")
	s := &soak{topics: 10, out: out}
	flags.IntVar(&s.partitions, "partitions", 1000, "partitions of each of 10 topics")
	flags.IntVar(&s.conns, "conns", 1000, "connections")
	flags.IntVar(&s.perSecond, "rate", 1000, "produce requests a second")
	if err := flags.Parse(args); err != nil {
		return err
	}
	root, err := peer.Root()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "data", "soak")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	b, err := peer.StartBroker(ctx, peer.Options{Kind: peer.Gregor, Dir: dir, Embedded: true, Config: map[string]string{
		"log.segment.bytes": "65536", "log.retention.bytes": "131072", "log.retention.check.interval.ms": "10000",
		"log.segment.delete.delay.ms": "5000",
	}})
	if err != nil {
		return err
	}
	defer func() { b.Close() }()
	var names []string
	for i := range s.topics {
		names = append(names, fmt.Sprintf(soakTopics, i))
	}
	if err := createTopics(ctx, b.Addr, names, int32(s.partitions)); err != nil {
		return err
	}
	fmt.Fprintln(out, "minute  RSS MB  descriptors  goroutines  written MB  read MB  retried  errors")
	end := time.Now().Add(time.Duration(*minutes) * time.Minute)
	for minute := 0; time.Now().Before(end); {
		load, stop := context.WithCancel(ctx)
		var all sync.WaitGroup
		for i := range s.conns {
			all.Go(func() { s.work(load, b.Addr, i) })
		}
		for range *restart {
			if err := wait(ctx, time.Minute); err != nil {
				stop()
				return err
			}
			minute++
			if err := s.report(b, minute); err != nil {
				stop()
				return err
			}
		}
		stop()
		all.Wait()
		begun := time.Now()
		if err := b.Stop(ctx); err != nil {
			return err
		}
		stopped := time.Since(begun)
		if b, err = b.Restart(ctx); err != nil {
			return err
		}
		fmt.Fprintf(out, "        restarted: stop %v, first answer after %v\n", stopped.Round(time.Millisecond), b.Started.Round(time.Millisecond))
	}
	if n := s.failed.Load(); n > 0 {
		return fmt.Errorf("%d requests failed", n)
	}
	return nil
}

// work is one connection: it writes a batch of 4 KB to some partition, and every fourth time reads that partition's end.
func (s *soak) work(ctx context.Context, addr string, i int) {
	batch, _, err := plainBatch(100, 4096, time.Now().UnixMilli())
	if err != nil {
		panic(err) // it is always the same batch
	}
	pause := time.Second * time.Duration(s.conns) / time.Duration(s.perSecond)
	if wait(ctx, rand.N(pause)) != nil {
		return
	}
	var (
		p    *pipe
		head []byte
	)
	defer func() {
		if p != nil {
			p.c.Close()
		}
	}()
	for n := 0; ; n++ {
		if p == nil {
			if p, err = dialPipe(ctx, addr, 1); err != nil {
				s.problem(ctx, err)
			}
		}
		if p != nil {
			topic, partition := fmt.Sprintf(soakTopics, rand.N(s.topics)), rand.Int32N(int32(s.partitions))
			head, err = p.send(ctx, head, topic, partition, batch)
			if err == nil {
				err = p.receive()
			}
			if err == nil && n%4 == i%4 {
				err = s.readBack(ctx, addr, topic, partition)
			}
			if err != nil {
				s.problem(ctx, err)
				p.c.Close()
				p = nil
			} else {
				s.written.Add(int64(len(batch)))
			}
		}
		if wait(ctx, pause) != nil {
			return
		}
	}
}

func (s *soak) problem(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case kerr.IsRetriable(err): // just after a restart, before the controller has said what the broker leads
		s.retried.Add(1)
	case s.failed.Add(1) <= 10:
		fmt.Fprintln(s.out, "        failed:", err)
	}
}

func (s *soak) readBack(ctx context.Context, addr, topic string, partition int32) error {
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	n, err := readEnd(ctx, c, topic, partition)
	s.read.Add(n)
	return err
}

var dumpHeader = regexp.MustCompile(`Full goroutine dump: (\d+) goroutines`)

func (s *soak) report(b *peer.Broker, minute int) error {
	if b.Exited() {
		return fmt.Errorf("the broker has ended:\n%s", b.Tail())
	}
	u, err := peer.ReadUsage(b.PID())
	if err != nil {
		return err
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.PID()))
	if err != nil {
		return err
	}
	goroutines, err := countGoroutines(b)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%6d  %6d  %11d  %10d  %10d  %7d  %7d  %6d\n", minute, u.RSS>>20, len(fds), goroutines,
		s.written.Load()/1e6, s.read.Load()/1e6, s.retried.Load(), s.failed.Load())
	return nil
}

// countGoroutines asks for a dump and takes the number out of the broker's log.
func countGoroutines(b *peer.Broker) (int, error) {
	before, err := os.Stat(b.Log)
	if err != nil {
		return 0, err
	}
	if err := syscall.Kill(b.PID(), syscall.SIGQUIT); err != nil {
		return 0, err
	}
	for range 100 {
		time.Sleep(20 * time.Millisecond) // another process writes it
		f, err := os.Open(b.Log)
		if err != nil {
			return 0, err
		}
		buf := make([]byte, 64<<10)
		n, _ := f.ReadAt(buf, before.Size())
		f.Close()
		if m := dumpHeader.FindSubmatch(buf[:n]); m != nil {
			return strconv.Atoi(string(m[1]))
		}
	}
	return 0, errors.New("no goroutine dump in the broker's log")
}
