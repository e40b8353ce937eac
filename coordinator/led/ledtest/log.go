// Package ledtest has a partition in memory, for the tests of coordinators.
//
// It owns the batches of one Log, guarded by its mutex. Imports: wire.
package ledtest

import (
	"sync"
	"time"

	"gregor/wire/record"
)

// Log is a partition in memory. While held, what is appended is not committed. The zero value is empty.
type Log struct {
	mu      sync.Mutex
	buf     []byte
	starts  []int // where each batch begins, by order
	bases   []int64
	end     int64
	held    bool
	waiting []func(error)
	refuse  error
	// OnRead, if set, is called before each Read, with no lock held.
	OnRead func()
}

// Append adds a batch.
func (l *Log) Append(batch []byte, _ int16, _ time.Time) (first, last int64, err error) {
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

// WhenCommitted calls done at once, or when the log is released.
func (l *Log) WhenCommitted(_ int64, done func(error)) func() bool {
	l.mu.Lock()
	if !l.held {
		l.mu.Unlock()
		done(nil)
		return nil
	}
	over := false
	l.waiting = append(l.waiting, func(err error) {
		l.mu.Lock()
		was := over
		over = true
		l.mu.Unlock()
		if !was {
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

// Committed is true unless the log is held.
func (l *Log) Committed(int64) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.held, nil
}

// Hold keeps what is appended from now on from being committed.
func (l *Log) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// Release commits, or fails, what waits.
func (l *Log) Release(err error) {
	l.mu.Lock()
	all := l.waiting
	l.waiting, l.held = nil, false
	l.mu.Unlock()
	for _, f := range all {
		f(err)
	}
}

// Refuse makes every append fail; nil ends that.
func (l *Log) Refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = err
}

// Bounds are 0 and the end.
func (l *Log) Bounds() (start, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 0, l.end, nil
}

// Read reads as a log does.
func (l *Log) Read(offset int64, buf []byte) ([]byte, error) {
	if l.OnRead != nil {
		l.OnRead()
	}
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
