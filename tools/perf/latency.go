package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gregor/wire/record"
)

// latencyLoad is an open loop: records are due at fixed times, whether or not the broker keeps up, and a record's latency runs from the
// time it was due to the time its consumer has it. One connection produces (acks=all, five requests in flight, no linger: what is due
// goes into one batch when a request may be sent), another fetches with a wait of 500 ms.
type latencyLoad struct {
	topic     string
	perSecond int
	valueSize int
}

// latencies are those of the measured part, sorted.
type latencies []time.Duration

func (l latencies) at(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(len(l)-1, int(q*float64(len(l))))]
}

func (l latencyLoad) run(ctx context.Context, addr string, warm, d time.Duration, begin, end func() error) (latencies, error) {
	// The client's own collector and scheduler would be measured too: the one stays off for the minute that this takes, within a bound;
	// each of the three goroutines below has a thread, which blocks in the system, and a processor to itself.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(3 << 30))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pc, err := dialBlocking(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	fc, err := dialBlocking(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer fc.Close()
	p, f := newPipe(pc, 5), newFetcher(fc, l.topic)

	gap := time.Second / time.Duration(l.perSecond)
	count := int((warm + d) / gap)
	skip := int(warm / gap)
	s := &pacedSender{pipe: p, topic: l.topic, value: make([]byte, l.valueSize), gap: gap, count: count, start: time.Now()}
	var all sync.WaitGroup
	all.Go(func() {
		if err := s.pace(ctx); err != nil {
			cancel(fmt.Errorf("producing: %w", err))
		}
	})
	all.Go(func() {
		if err := s.answers(); ctx.Err() == nil {
			cancel(fmt.Errorf("producing: %w", err))
		}
	})
	got := make(latencies, 0, count)
	consumed := make(chan struct{})
	all.Go(func() {
		defer close(consumed)
		if err := l.consume(ctx, f, s, count, &got); err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("consuming: %w", err))
		}
	})
	phases := func() error {
		if err := wait(ctx, warm); err != nil {
			return err
		}
		if err := begin(); err != nil {
			return err
		}
		if err := wait(ctx, d); err != nil {
			return err
		}
		return end()
	}
	err = phases()
	if err == nil {
		// The last records are still on their way.
		late := time.NewTimer(10 * time.Second)
		select {
		case <-consumed:
		case <-late.C:
		case <-ctx.Done():
		}
		late.Stop()
	}
	cancel(nil)
	pc.stop()
	fc.stop()
	all.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return nil, cause
	}
	if len(got) < count {
		return nil, fmt.Errorf("%d of %d records arrived", len(got), count)
	}
	got = got[skip:]
	slices.Sort(got)
	return got, err
}

func (l latencyLoad) consume(ctx context.Context, f *fetcher, s *pacedSender, count int, got *latencies) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	it := record.NewIter(nil, 1<<20)
	defer it.Close()
	offset := int64(0)
	for len(*got) < count && ctx.Err() == nil {
		_, next, err := f.fetch(offset, 500)
		if err != nil {
			return err
		}
		now := time.Since(s.start)
		offset = next
		for rest := f.records; len(rest) > 0; {
			var first []byte
			if first, rest, err = record.Next(rest); err != nil {
				return err
			}
			for it.Reset(first, 1<<20); it.Next(); {
				*got = append(*got, now-time.Duration(binary.BigEndian.Uint64(it.Record.Value)))
			}
			if err := it.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// pacedSender makes records due and sends them. pace runs on one goroutine, answers on another; both may send.
type pacedSender struct {
	pipe  *pipe
	topic string
	value []byte
	gap   time.Duration
	count int
	start time.Time

	mu struct {
		sync.Mutex
		due, sent int // records
		head      []byte
	}
}

// pace wakes for each record on a thread of its own: the runtime's timers come up to a millisecond late.
func (s *pacedSender) pace(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel rounds a sleep up by the thread's slack, 50 us unless told otherwise. Without it pacing is only coarser.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	for i := range s.count {
		if wait := time.Duration(i)*s.gap - time.Since(s.start); wait > 0 {
			ts := unix.NsecToTimespec(int64(wait))
			if err := unix.Nanosleep(&ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		s.mu.Lock()
		s.mu.due = i + 1
		err := s.sendLocked(ctx)
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// sendLocked sends all that is due in one batch if a request may be sent now.
func (s *pacedSender) sendLocked(ctx context.Context) error {
	if s.mu.sent == s.mu.due || len(s.pipe.slots) == cap(s.pipe.slots) {
		return nil
	}
	b := record.NewBuilder()
	now := time.Now().UnixMilli()
	for ; s.mu.sent < s.mu.due; s.mu.sent++ {
		binary.BigEndian.PutUint64(s.value, uint64(time.Duration(s.mu.sent)*s.gap))
		b.Append(now, nil, s.value)
	}
	batch, err := b.Build()
	if err == nil {
		s.mu.head, err = s.pipe.send(ctx, s.mu.head, s.topic, 0, batch)
	}
	return err
}

func (s *pacedSender) answers() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		if err := s.pipe.receive(); err != nil {
			return err
		}
		s.mu.Lock()
		err := s.sendLocked(context.Background())
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}
