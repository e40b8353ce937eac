package group

import (
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led"
	"gregor/wire/record"
)

// memLog is a partition in memory. While held, what is appended is not committed.
type memLog struct {
	mu      sync.Mutex
	buf     []byte
	starts  []int // where each batch begins, by order
	bases   []int64
	end     int64
	held    bool
	waiting []func(error)
	refuse  error
}

func (l *memLog) Append(batch []byte, _ int16, _ time.Time) (first, last int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return 0, 0, l.refuse
	}
	b := record.Batch(batch)
	b.SetBaseOffset(l.end)
	h, err := record.ParseHeader(batch)
	if err != nil {
		return 0, 0, err
	}
	l.starts, l.bases = append(l.starts, len(l.buf)), append(l.bases, l.end)
	l.buf = append(l.buf, batch...)
	first, l.end = l.end, h.NextOffset()
	return first, l.end - 1, nil
}

func (l *memLog) WhenCommitted(_ int64, done func(error)) func() bool {
	l.mu.Lock()
	if !l.held {
		l.mu.Unlock()
		done(nil)
		return nil
	}
	over := false
	l.waiting = append(l.waiting, func(err error) {
		if !over {
			over = true
			done(err)
		}
	})
	l.mu.Unlock()
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		was := over
		over = true
		return !was
	}
}

// release commits, or fails, what waits.
func (l *memLog) release(err error) {
	l.mu.Lock()
	all := l.waiting
	l.waiting, l.held = nil, false
	l.mu.Unlock()
	for _, f := range all {
		f(err)
	}
}

func (l *memLog) Bounds() (start, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 0, l.end, nil
}

func (l *memLog) Read(offset int64, buf []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := len(l.bases) - 1
	for i > 0 && l.bases[i] > offset {
		i--
	}
	from := l.starts[i]
	to := min(len(l.buf), from+max(cap(buf), 1<<20))
	return append(buf[:0], l.buf[from:to]...), nil
}

var errNotLeader = errors.New("not the leader")

func quiet() logrus.FieldLogger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

func testOptions() Options {
	return Options{
		Groups:     fsm.Config{MinSession: 10, MaxSession: 1 << 30, InitialDelay: 3000, MaxSize: 1 << 30, MaxMetadata: 4096, Retention: 7 * 24 * 3600 * 1000},
		Partitions: func() int32 { return 1 }, OffsetValue: 3, GroupValue: 3, Acks: -1, CommitTimeout: 5 * time.Second, LoadBuffer: 5 << 20,
		CheckInterval: 10 * time.Minute, Log: quiet(),
		ErrorCode: func(err error) int16 {
			if errors.Is(err, errNotLeader) {
				return kerr.NotLeaderForPartition.Code
			}
			return kerr.UnknownServerError.Code
		},
	}
}

// lead starts a coordinator on the log, and returns it when it has loaded.
func lead(t testing.TB, opt Options, log led.Log) *Coordinator {
	c := New(opt)
	c.Lead(0, log)
	c.shards.Wait()
	t.Cleanup(c.Close)
	return c
}
